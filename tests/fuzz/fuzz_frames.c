/* Any bytes as what comes over a link: preamble, then frames, cut anywhere. What a frame reader says of the first bytes
 * it must also say when more are there, and what it asks for must be enough. */
#include "crc32c.h"
#include "fuzz_decode.h"

#define CRC_BIT 0x40

/* Nobody guesses a checksum: with the first byte odd the trailers that are there are made right. */
static void seal(uint8_t *data, size_t size) {
    while (size >= 4) {
        size_t checked = 4 + ((size_t)data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16);
        size_t whole = checked + (data[3] & CRC_BIT ? PR_CRC_SIZE : 0);
        if (whole > size) return;
        uint32_t crc = pr_crc32c(data, checked);
        for (size_t i = checked; i < whole; i++, crc >>= 8) data[i] = (uint8_t)crc;
        data += whole;
        size -= whole;
    }
}

static bool same_frame(const pr_frame_in *a, const pr_frame_in *b) {
    return a->type == b->type && a->payload == b->payload && a->size == b->size && a->compressed == b->compressed;
}

/* A part of the same bytes: less is needed, or the same is said. */
static void take_part(const uint8_t *data, size_t part, uint32_t max_frame, int whole_rc, const pr_frame_in *whole,
                      size_t whole_consumed) {
    pr_frame_in frame;
    size_t consumed = 0, wanted = 0;
    int rc = pr_frame_read(data, part, max_frame, &frame, &consumed, &wanted);
    if (rc == 0)
        REQUIRE(wanted > part);
    else
        REQUIRE(rc == whole_rc);
    if (rc == 1) REQUIRE(consumed == whole_consumed && consumed <= part && same_frame(&frame, whole));
    if (rc == 0 && whole_rc == 1) REQUIRE(wanted <= whole_consumed);
}

static void take_stream(fuzz_decoding *d, const uint8_t *data, size_t size, uint32_t max_frame, size_t cut) {
    for (;;) {
        pr_frame_in frame = {0};
        size_t consumed = 0, wanted = 0;
        int rc = pr_frame_read(data, size, max_frame, &frame, &consumed, &wanted);
        REQUIRE(rc == 1 || rc == 0 || rc == PRESENCE_EPROTOCOL);
        take_part(data, cut % (size + 1), max_frame, rc, &frame, consumed);
        if (rc == 0) REQUIRE(wanted > size && wanted <= (size_t)max_frame + 8);
        if (rc != 1) return;
        REQUIRE(consumed >= 4 && consumed <= size && frame.size <= max_frame && frame.size <= consumed - 4);
        fuzz_open(d, &frame, cut & 1 ? PR_FEATURE_LZ4 | PR_FEATURE_ZSTD : 0, max_frame);
        data += consumed;
        size -= consumed;
    }
}

static void take_preamble(const uint8_t *data) {
    uint8_t own[PR_PREAMBLE_SIZE];
    uint32_t proto = 0;
    int rc = pr_preamble_read(data, &proto);
    REQUIRE(rc == 0 || rc == PRESENCE_EPROTOCOL || rc == PRESENCE_EVERSION);
    if (rc == 0) REQUIRE(proto >= PR_PROTO_MIN && proto <= PR_PROTO_MAX);
    pr_preamble_write(own);
    REQUIRE(pr_preamble_read(own, &proto) == 0 && proto == PR_PROTO_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 + PR_PREAMBLE_SIZE) return 0;
    uint8_t choice = data[0];
    size_t left = size - 1 - PR_PREAMBLE_SIZE;
    take_preamble(data + 1);
    uint8_t *copy = malloc(left ? left : 1); /* of just its size, so that a read behind the end is seen */
    REQUIRE(copy != NULL);
    memcpy(copy, data + 1 + PR_PREAMBLE_SIZE, left);
    if (choice & 1) seal(copy, left);
    fuzz_decoding *d = fuzz_decoding_new();
    take_stream(d, copy, left, choice & 2 ? 64 : PR_FRAME_MIN, choice >> 2);
    fuzz_decoding_free(d);
    free(copy);
    return 0;
}

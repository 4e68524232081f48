/* The bytes of protocol 1, kept in tests/data/wire-1: encoded to, decoded from, cut and damaged. */
#include "wire_samples.h"

#include "crc32c.h"
#include "wire_golden.h"

#define FRAME_ROOM 4096

static golden all[GOLDEN_SIZE];

static void print_hex(const char *name, const uint8_t *data, size_t size) {
    print_message("%s.hex:\n", name);
    for (size_t i = 0; i < size; i++) print_message("%02x%s", data[i], i % 32 == 31 || i + 1 == size ? "\n" : " ");
}

static void messages_encode_to_the_kept_bytes(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    uint8_t kept[FRAME_ROOM];
    int wrong = 0;
    for (size_t i = 0; i < GOLDEN_SIZE; i++) {
        size_t size = golden_read(all[i].name, kept, sizeof kept);
        wire_encode(&pair, &all[i].message);
        if (size == pair.buffer.size && memcmp(kept, pair.buffer.data, size) == 0) continue;
        print_hex(all[i].name, pair.buffer.data, pair.buffer.size);
        wrong++;
    }
    wire_pair_close(&pair);
    assert_int_equal(wrong, 0);
}

static void kept_bytes_decode_to_the_messages(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    uint8_t kept[FRAME_ROOM];
    for (size_t i = 0; i < GOLDEN_SIZE; i++) {
        size_t size = golden_read(all[i].name, kept, sizeof kept);
        assert_int_equal(wire_decode(&pair, kept, size), 0);
        assert_messages(&all[i].message, &pair.out);
    }
    wire_pair_close(&pair);
}

/* data in a block of just its size, so that a sanitizer sees a read behind it */
static uint8_t *copy_of(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, data, size);
    return copy;
}

/* a frame without crc around a payload; read and decoded, whatever comes of it */
static int decode_payload(wire_pair *pair, uint8_t type, const uint8_t *payload, size_t size) {
    uint8_t *copy = copy_of(payload, size);
    pr_frame_in frame = {.type = type, .payload = copy, .size = size};
    int result = pr_decode(pair->decoder, &frame, &pair->out);
    free(copy);
    assert_true(result == 0 || result == PRESENCE_EPROTOCOL || result == PRESENCE_EUNSUPPORTED);
    return result;
}

static void a_frame_cut_short_asks_for_the_rest(void **state) {
    (void)state;
    uint8_t kept[FRAME_ROOM];
    for (size_t i = 0; i < GOLDEN_SIZE; i++) {
        size_t size = golden_read(all[i].name, kept, sizeof kept);
        for (size_t cut = 0; cut < size; cut++) {
            pr_frame_in frame;
            size_t consumed = 0, wanted = 0;
            uint8_t *copy = copy_of(kept, cut);
            assert_int_equal(pr_frame_read(copy, cut, PR_FRAME_MIN, &frame, &consumed, &wanted), 0);
            assert_int_equal(wanted, cut < 4 ? 4 : size);
            free(copy);
        }
    }
}

static void a_payload_cut_short_does_no_harm(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    uint8_t kept[FRAME_ROOM];
    for (size_t i = 0; i < GOLDEN_SIZE; i++) {
        size_t size = golden_read(all[i].name, kept, sizeof kept);
        for (size_t cut = 0; cut + 8 < size; cut++)
            decode_payload(&pair, all[i].message.type, kept + 4, cut); /* a cut between fields may be a message */
    }
    wire_pair_close(&pair);
}

static void every_flipped_bit_is_seen(void **state) {
    (void)state;
    uint8_t kept[FRAME_ROOM];
    for (size_t i = 0; i < GOLDEN_SIZE; i++) {
        size_t size = golden_read(all[i].name, kept, sizeof kept);
        for (size_t bit = 0; bit < size * 8; bit++) {
            if (bit == 30) continue; /* says that there is a crc: without it the trailer is taken for the next frame */
            pr_frame_in frame;
            size_t consumed, wanted;
            uint8_t *copy = copy_of(kept, size);
            copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
            int result = pr_frame_read(copy, size, PR_FRAME_MIN, &frame, &consumed, &wanted);
            assert_true(result == PRESENCE_EPROTOCOL || (result == 0 && wanted > size));
            free(copy);
        }
    }
}

static void flipped_bits_behind_a_right_crc_do_no_harm(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    uint8_t kept[FRAME_ROOM];
    for (size_t i = 0; i < GOLDEN_SIZE; i++) {
        size_t size = golden_read(all[i].name, kept, sizeof kept);
        for (size_t bit = 0; bit < (size - 8) * 8; bit++) {
            kept[4 + bit / 8] ^= (uint8_t)(1u << bit % 8);
            for (uint8_t type = 0; type < 32; type++) decode_payload(&pair, type, kept + 4, size - 8);
            kept[4 + bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    wire_pair_close(&pair);
}

static void fields_of_a_later_version_are_skipped(void **state) {
    (void)state;
    static const uint8_t unknown[] = {0xa0, 0x1f, 0x07,                              /* 500: varint */
                                      0xa5, 0x1f, 1,    2,    3,    4,               /* 500: fixed32 */
                                      0xa1, 0x1f, 1,    2,    3,    4,   5, 6, 7, 8, /* 500: fixed64 */
                                      0xa2, 0x1f, 3,    0xff, 0xff, 0xff};           /* 500: bytes */
    wire_pair pair;
    wire_pair_open(&pair);
    uint8_t kept[FRAME_ROOM], longer[FRAME_ROOM];
    for (size_t i = 0; i < GOLDEN_SIZE; i++) {
        size_t size = golden_read(all[i].name, kept, sizeof kept) - 8;
        memcpy(longer, unknown, sizeof unknown);
        memcpy(longer + sizeof unknown, kept + 4, size);
        memcpy(longer + sizeof unknown + size, unknown, sizeof unknown);
        pr_frame_in frame = {.type = all[i].message.type, .payload = longer, .size = size + 2 * sizeof unknown};
        assert_int_equal(pr_decode(pair.decoder, &frame, &pair.out), 0);
        assert_messages(&all[i].message, &pair.out);
    }
    wire_pair_close(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_encode_to_the_kept_bytes),
        cmocka_unit_test(kept_bytes_decode_to_the_messages),
        cmocka_unit_test(a_frame_cut_short_asks_for_the_rest),
        cmocka_unit_test(a_payload_cut_short_does_no_harm),
        cmocka_unit_test(every_flipped_bit_is_seen),
        cmocka_unit_test(flipped_bits_behind_a_right_crc_do_no_harm),
        cmocka_unit_test(fields_of_a_later_version_are_skipped),
    };
    golden_fill(all);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

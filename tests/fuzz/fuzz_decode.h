/* One payload of one type of message: what decodes must encode, and what was encoded must decode to itself. */
#ifndef FUZZ_DECODE_H
#define FUZZ_DECODE_H

#include "fuzz_input.h"
#include "wire.h"

typedef struct fuzz_decoding {
    pr_alloc alloc;
    pr_decoder *decoder;
    pr_buffer first, second;
    pr_message message;
} fuzz_decoding;

static inline fuzz_decoding *fuzz_decoding_new(void) {
    fuzz_decoding *d = calloc(1, sizeof *d);
    REQUIRE(d != NULL);
    d->alloc = pr_alloc_default();
    REQUIRE(pr_decoder_new(&d->alloc, &d->decoder) == 0);
    pr_buffer_init(&d->first, &d->alloc, (size_t)1 << 26);
    pr_buffer_init(&d->second, &d->alloc, (size_t)1 << 26);
    return d;
}

static inline void fuzz_decoding_free(fuzz_decoding *d) {
    pr_decoder_free(d->decoder);
    pr_buffer_free(&d->first);
    pr_buffer_free(&d->second);
    free(d);
}

static inline void fuzz_encode(fuzz_decoding *d, pr_buffer *buffer) {
    pr_buffer_clear(buffer);
    REQUIRE(pr_encode(buffer, &d->message, 0xffffff) == 0);
}

static inline void fuzz_decode(fuzz_decoding *d, const pr_frame_in *frame) {
    int rc = pr_decode(d->decoder, frame, &d->message);
    REQUIRE(rc == 0 || rc == PRESENCE_EPROTOCOL || rc == PRESENCE_EUNSUPPORTED);
    if (rc) return;
    fuzz_encode(d, &d->first);
    pr_frame_in again;
    size_t consumed, wanted;
    REQUIRE(pr_frame_read(d->first.data, d->first.size, 0xffffff, &again, &consumed, &wanted) == 1);
    REQUIRE(consumed == d->first.size && again.type == frame->type);
    REQUIRE(pr_decode(d->decoder, &again, &d->message) == 0);
    fuzz_encode(d, &d->second);
    REQUIRE(d->first.size == d->second.size && memcmp(d->first.data, d->second.data, d->first.size) == 0);
}

/* A frame as it came, compressed or not: what is opened is within the limit, then decodes or not like any other. */
static inline void fuzz_open(fuzz_decoding *d, pr_frame_in *frame, uint64_t features, uint32_t max_frame) {
    bool compressed = frame->compressed;
    int rc = pr_frame_open(d->decoder, frame, features, max_frame);
    REQUIRE(rc == 0 || (rc == PRESENCE_EPROTOCOL && compressed));
    if (rc) return;
    REQUIRE(!frame->compressed && frame->size <= max_frame && (features || !compressed));
    fuzz_decode(d, frame);
}

static inline int fuzz_payload(uint8_t type, const uint8_t *data, size_t size) {
    fuzz_decoding *d = fuzz_decoding_new();
    pr_frame_in frame = {.type = type, .payload = data, .size = size};
    fuzz_decode(d, &frame);
    fuzz_decoding_free(d);
    return 0;
}

#endif

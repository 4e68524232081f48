/* Messages written field by field, also such as our encoder never writes; and whether they decode. */
#ifndef WIRE_RAW_H
#define WIRE_RAW_H

#include "protobuf.h"
#include "wire_samples.h"

struct raw {
    uint8_t data[1 << 18];
    size_t size;
};

static inline struct raw *raw_new(void) {
    struct raw *r = calloc(1, sizeof *r);
    assert_non_null(r);
    return r;
}

/* also with value 0, which our encoder leaves out */
static inline void raw_number(struct raw *r, unsigned field, uint64_t value) {
    uint8_t *at = pr_put_varint(r->data + r->size, PR_TAG(field, PR_FIELD_VARINT));
    r->size = (size_t)(pr_put_varint(at, value) - r->data);
}

static inline void raw_bytes(struct raw *r, unsigned field, const void *data, size_t size) {
    uint8_t *at = pr_put_varint(r->data + r->size, PR_TAG(field, PR_FIELD_BYTES));
    at = pr_put_varint(at, size);
    if (size) memcpy(at, data, size);
    r->size = (size_t)(at - r->data) + size;
}

static inline void raw_text(struct raw *r, unsigned field, const char *text) {
    raw_bytes(r, field, text, strlen(text));
}

static inline void raw_fixed64(struct raw *r, unsigned field, uint64_t value) {
    r->data[r->size++] = (uint8_t)PR_TAG(field, PR_FIELD_FIXED64);
    for (int i = 0; i < 8; i++) r->data[r->size++] = (uint8_t)(value >> 8 * i);
}

static inline void raw_varints(struct raw *r, unsigned field, const uint64_t *values, size_t count) {
    uint8_t packed[256], *at = packed;
    for (size_t i = 0; i < count; i++) at = pr_put_varint(at, values[i]);
    raw_bytes(r, field, packed, (size_t)(at - packed));
}

/* decodes and frees; in a block of just its size */
static inline int raw_decode(uint8_t type, struct raw *r, pr_message *out) {
    wire_pair pair;
    wire_pair_open(&pair);
    uint8_t *copy = malloc(r->size ? r->size : 1);
    assert_non_null(copy);
    memcpy(copy, r->data, r->size);
    pr_frame_in frame = {.type = type, .payload = copy, .size = r->size};
    int result = pr_decode(pair.decoder, &frame, &pair.out);
    if (out) *out = pair.out;
    free(copy);
    free(r);
    wire_pair_close(&pair);
    return result;
}

#define GOOD(type, raw) assert_int_equal(raw_decode(type, raw, NULL), 0)
#define BAD(type, raw)  assert_int_equal(raw_decode(type, raw, NULL), PRESENCE_EPROTOCOL)

#endif

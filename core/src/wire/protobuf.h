/* The protobuf encoding itself, as the hot messages need it: varints, fields, lengths. The cold ones use nanopb. */
#ifndef PR_PROTOBUF_H
#define PR_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PR_VARINT_MAX        10 /* bytes of the longest varint */
#define PR_TAG(number, type) ((uint32_t)(number) << 3 | (type))

enum pr_field_type { PR_FIELD_VARINT = 0, PR_FIELD_FIXED64 = 1, PR_FIELD_BYTES = 2, PR_FIELD_FIXED32 = 5 };

/* ---- reading ---- */
typedef struct pr_reader {
    const uint8_t *at, *end;
} pr_reader;

static inline size_t pr_reader_left(const pr_reader *r) { return (size_t)(r->end - r->at); }

/* false: no whole varint, or over 64 bits */
static inline bool pr_read_varint(pr_reader *r, uint64_t *out) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70 && r->at < r->end; shift += 7) {
        uint8_t byte = *r->at++;
        if (shift == 63 && byte > 1) return false;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = value;
            return true;
        }
    }
    return false;
}

typedef struct pr_field {
    uint32_t tag;    /* PR_TAG(number, type) */
    uint64_t value;  /* of a varint, or fixed */
    pr_reader bytes; /* of PR_FIELD_BYTES */
} pr_field;

/* 1: a field, 0: the end, -1: not protobuf. Fields the caller does not know are read past. */
int pr_field_next(pr_reader *, pr_field *);

/* ---- writing: into room the caller has reserved ---- */
static inline size_t pr_varint_size(uint64_t value) {
    return ((size_t)(63 - __builtin_clzll(value | 1)) * 9 + 73) / 64;
}

static inline uint8_t *pr_put_varint(uint8_t *at, uint64_t value) {
    for (; value >= 0x80; value >>= 7) *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

/* A number field with a tag of one byte; nothing if it is 0, as proto3 wants it. */
static inline uint8_t *pr_put_number(uint8_t *at, unsigned number, uint64_t value) {
    if (!value) return at;
    *at++ = (uint8_t)PR_TAG(number, PR_FIELD_VARINT);
    return pr_put_varint(at, value);
}

/* A fixed64 field with a tag of one byte; nothing if it is 0. */
static inline uint8_t *pr_put_fixed64(uint8_t *at, unsigned number, uint64_t value) {
    if (!value) return at;
    *at++ = (uint8_t)PR_TAG(number, PR_FIELD_FIXED64);
    for (unsigned i = 0; i < 8; i++, value >>= 8) *at++ = (uint8_t)value;
    return at;
}

static inline size_t pr_number_size(uint64_t value) { return value ? 1 + pr_varint_size(value) : 0; }

/* tag and length of a bytes field */
static inline uint8_t *pr_put_bytes_head(uint8_t *at, unsigned number, size_t size) {
    *at++ = (uint8_t)PR_TAG(number, PR_FIELD_BYTES);
    return pr_put_varint(at, size);
}

static inline size_t pr_bytes_size(size_t size) { return size ? 1 + pr_varint_size(size) + size : 0; }

#endif

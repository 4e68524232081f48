/* Reads one protobuf field, whatever it is, so that unknown ones are skipped by the same code (protocol.md 5.6). */
#include "protobuf.h"

static bool skip(pr_reader *r, size_t size) {
    if (pr_reader_left(r) < size) return false;
    r->at += size;
    return true;
}

static bool read_fixed64(pr_reader *r, uint64_t *out) {
    const uint8_t *at = r->at;
    if (!skip(r, 8)) return false;
    *out = 0;
    for (unsigned i = 8; i--;) *out = *out << 8 | at[i];
    return true;
}

static bool read_bytes(pr_reader *r, pr_reader *out) {
    uint64_t size;
    if (!pr_read_varint(r, &size) || size > pr_reader_left(r)) return false;
    out->at = r->at;
    out->end = r->at += size;
    return true;
}

int pr_field_next(pr_reader *r, pr_field *out) {
    if (r->at == r->end) return 0;
    uint64_t tag;
    if (!pr_read_varint(r, &tag) || tag > UINT32_MAX || tag < PR_TAG(1, 0)) return -1;
    out->tag = (uint32_t)tag;
    switch (tag & 7) {
    case PR_FIELD_VARINT: return pr_read_varint(r, &out->value) ? 1 : -1;
    case PR_FIELD_FIXED64: return read_fixed64(r, &out->value) ? 1 : -1;
    case PR_FIELD_BYTES: return read_bytes(r, &out->bytes) ? 1 : -1;
    case PR_FIELD_FIXED32: return skip(r, 4) ? 1 : -1;
    default: return -1; /* groups were never part of this protocol */
    }
}

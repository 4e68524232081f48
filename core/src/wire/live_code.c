/* LIVE both ways: eids as gaps or as bits, whichever is shorter (protocol.md 5.2). */
#include "decoder.h"
#include "encoder.h"
#include "protobuf.h"
#include <string.h>

enum { LOG = 1, VERSION, LO, D_HI, GAPS, BITS, MORE, INST };

#define NUMBER(field) PR_TAG(field, PR_FIELD_VARINT)
#define BYTES(field)  PR_TAG(field, PR_FIELD_BYTES)

/* ---- reading ---- */
struct scan {
    uint64_t log, version, lo, d_hi, more, inst;
    pr_reader gaps, bits;
};

static bool scan_field(struct scan *s, const pr_field *field) {
    switch (field->tag) {
    case NUMBER(LOG): s->log = field->value; break;
    case NUMBER(VERSION): s->version = field->value; break;
    case NUMBER(LO): s->lo = field->value; break;
    case NUMBER(D_HI): s->d_hi = field->value; break;
    case BYTES(GAPS): s->gaps = field->bytes; break;
    case BYTES(BITS): s->bits = field->bytes; break;
    case NUMBER(MORE): s->more = field->value; break;
    case PR_TAG(INST, PR_FIELD_FIXED64): s->inst = field->value; break; /* of a broker */
    default: return field->tag >> 3 > INST;
    }
    return true;
}

static bool scan_frame(pr_reader reader, struct scan *out) {
    pr_field field;
    int found;
    while ((found = pr_field_next(&reader, &field)) == 1)
        if (!scan_field(out, &field)) return false;
    return found == 0;
}

/* lo <= hi <= w: the sender has entities up to hi, and is itself at w (3.5) */
static bool take_range(const struct scan *s, pr_live *out) {
    if (s->log > UINT32_MAX || s->lo > s->version || s->d_hi > s->version - s->lo) return false;
    out->log = (uint32_t)s->log;
    out->w = s->version;
    out->lo = s->lo;
    out->hi = s->lo + s->d_hi;
    out->more = s->more != 0;
    out->inst = s->inst;
    return true;
}

static size_t count_gaps(pr_reader r) {
    size_t count = 0;
    for (; r.at < r.end; r.at++) count += *r.at < 0x80;
    return count;
}

static size_t count_bits(pr_reader r) {
    size_t count = 0;
    for (; r.at < r.end; r.at++) count += (size_t)__builtin_popcount(*r.at);
    return count;
}

static bool take_gaps(pr_reader gaps, pr_live *out) {
    uint64_t previous = out->lo, gap;
    while (gaps.at < gaps.end) {
        if (!pr_read_varint(&gaps, &gap) || previous >= out->hi || gap > out->hi - previous - 1) return false;
        previous += 1 + gap;
        out->eids[out->eids_size++] = previous;
    }
    return true;
}

static bool take_bits(pr_reader bits, pr_live *out) {
    uint64_t width = out->hi - out->lo;
    for (uint64_t base = 0; bits.at < bits.end; base += 8, bits.at++)
        for (unsigned left = *bits.at; left; left &= left - 1) {
            uint64_t bit = base + (unsigned)__builtin_ctz(left);
            if (bit >= width) return false;
            out->eids[out->eids_size++] = out->lo + 1 + bit;
        }
    return true;
}

int pr_decode_live(pr_decoder *d, const pr_frame_in *frame, pr_live *out) {
    memset(out, 0, sizeof *out);
    pr_reader reader = {frame->payload, frame->payload + frame->size};
    struct scan scan = {0};
    if (!scan_frame(reader, &scan) || !take_range(&scan, out)) return PRESENCE_EPROTOCOL;
    size_t gaps = count_gaps(scan.gaps), bits = count_bits(scan.bits);
    if (pr_reader_left(&scan.gaps) && pr_reader_left(&scan.bits)) return PRESENCE_EPROTOCOL;
    if (gaps > out->hi - out->lo || bits > out->hi - out->lo) return PRESENCE_EPROTOCOL;
    out->eids = pr_scratch_fit(d, &d->eids, gaps + bits, sizeof(uint64_t));
    if (!out->eids) return PRESENCE_ENOMEM;
    return take_gaps(scan.gaps, out) && take_bits(scan.bits, out) ? 0 : PRESENCE_EPROTOCOL;
}

/* ---- writing ---- */
static size_t gaps_size(const pr_live *live) {
    size_t size = 0;
    uint64_t previous = live->lo;
    for (size_t i = 0; i < live->eids_size; previous = live->eids[i++])
        size += pr_varint_size(live->eids[i] - previous - 1);
    return size;
}

static uint64_t bits_size(const pr_live *live) {
    return live->eids_size ? (live->eids[live->eids_size - 1] - live->lo - 1) / 8 + 1 : 0;
}

static uint8_t *put_gaps(uint8_t *at, const pr_live *live, size_t size) {
    if (!size) return at;
    at = pr_put_bytes_head(at, GAPS, size);
    uint64_t previous = live->lo;
    for (size_t i = 0; i < live->eids_size; previous = live->eids[i++])
        at = pr_put_varint(at, live->eids[i] - previous - 1);
    return at;
}

static uint8_t *put_bits(uint8_t *at, const pr_live *live, size_t size) {
    at = pr_put_bytes_head(at, BITS, size);
    memset(at, 0, size);
    for (size_t i = 0; i < live->eids_size; i++) {
        uint64_t bit = live->eids[i] - live->lo - 1;
        at[bit / 8] |= (uint8_t)(1u << bit % 8);
    }
    return at + size;
}

int pr_encode_live(pr_buffer *buffer, const pr_live *live) {
    size_t gaps = gaps_size(live);
    uint64_t bits = bits_size(live);
    bool as_bits = bits < gaps;
    size_t size = as_bits ? (size_t)bits : gaps;
    if (pr_buffer_reserve(buffer, size + 8 * (PR_VARINT_MAX + 1)) != 0) return buffer->failed;
    uint8_t *at = buffer->data + buffer->size;
    at = pr_put_number(at, LOG, live->log);
    at = pr_put_number(at, VERSION, live->w);
    at = pr_put_number(at, LO, live->lo);
    at = pr_put_number(at, D_HI, live->hi - live->lo);
    at = as_bits ? put_bits(at, live, size) : put_gaps(at, live, size);
    at = pr_put_number(at, MORE, live->more);
    at = pr_put_fixed64(at, INST, live->inst);
    buffer->size = (size_t)(at - buffer->data);
    return 0;
}

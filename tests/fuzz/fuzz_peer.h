/* What a lying peer says: messages of every type made from the bytes of a fuzz input, mostly of the right form. */
#ifndef FUZZ_PEER_H
#define FUZZ_PEER_H

#include "fuzz_input.h"
#include "wire.h"

enum { ITEMS = 6 };
#define FUZZ_SELF 0x5E1Full /* inst of the engine under test */

/* What a message points to. */
typedef struct fuzz_said {
    pr_message message;
    pr_record records[ITEMS];
    uint64_t numbers[ITEMS];
    pr_removed removed[ITEMS];
    pr_up ups[ITEMS];
} fuzz_said;

static inline uint64_t fuzz_inst(fuzz_input *in) {
    static const uint64_t insts[] = {0xA, 0xB, 0xC, 0xD, FUZZ_SELF, 0xE, 0xA, 0xB};
    return insts[fuzz_below(in, 8)];
}

/* An inst mostly has its own name. */
static inline void fuzz_name(fuzz_input *in, uint64_t inst, char *out) {
    uint8_t b = fuzz_byte(in);
    out[0] = (char)(b < 200 ? inst == FUZZ_SELF ? 's' : 'a' + (int)(inst % 5) : b % 2 ? 's' : 'a' + b % 5);
    out[1] = 0;
}

static inline void fuzz_record(fuzz_input *in, pr_record *out) {
    memset(out, 0, sizeof *out);
    uint8_t flags = fuzz_byte(in);
    out->inst = fuzz_inst(in);
    out->inc = fuzz_number(in);
    out->hb = fuzz_number(in);
    out->left = (flags & 7) == 7;
    out->observer = (flags & 0x18) == 0x18;
    out->has_version = flags & 0x20;
    if (out->has_version) out->version = fuzz_number(in);
    if (flags & 0x80) {
        out->age_ms = fuzz_number(in);
        out->hops = (uint32_t)fuzz_number(in);
        out->period_ms = (uint32_t)fuzz_number(in);
    }
    out->fixed = !(flags & 0x40);
    if (!out->fixed) return;
    fuzz_name(in, out->inst, out->name);
    out->features = flags & 1 ? fuzz_byte(in) : 0x33;
    out->proto = 1;
    if (flags & 2) return;
    out->addresses_size = 1;
    snprintf(out->addresses[0], sizeof out->addresses[0], "x:%u", (unsigned)(1 + out->inst % 9));
}

static inline pr_records fuzz_records(fuzz_input *in, fuzz_said *s, size_t from) {
    size_t size = fuzz_below(in, ITEMS - (uint32_t)from);
    for (size_t i = 0; i < size; i++) fuzz_record(in, &s->records[from + i]);
    return (pr_records){s->records + from, size};
}

static inline pr_state fuzz_state(fuzz_input *in) {
    pr_state s = {.live = fuzz_below(in, 4) == 0};
    s.floor = fuzz_number(in);
    uint64_t below = fuzz_number(in);
    s.asof = !s.live && below < s.floor ? s.floor - below : s.live ? 0 : s.floor;
    below = fuzz_number(in);
    uint64_t top = s.live ? s.floor : s.asof;
    s.have = below < top ? top - below : top;
    if (!s.live) return s;
    s.live_pos = fuzz_number(in);
    below = fuzz_number(in);
    s.live_from = below < s.floor ? s.floor - below : s.floor;
    return s;
}

static inline pr_up fuzz_up(fuzz_input *in, uint64_t dot) {
    static const char *const topics[] = {"t", "u", "a longer topic", "\xc3\xa9"}, *const keys[] = {"k", "l", "m", "n"};
    static const char *const metas[] = {"{}", "{\"n\":1}", "{]}", "{\"a\":\"a meta of more bytes than a short one\"}"};
    uint8_t b = fuzz_byte(in);
    uint64_t back = b & 0x80 ? fuzz_number(in) : 0;
    pr_up up = {.dot = dot, .eid = back < dot ? dot - back : dot, .meta = pr_cstr(metas[b & 3])};
    up.patch = back > 0 && back < dot && (b & 0x40);
    if (up.patch) return up;
    up.topic = pr_cstr(topics[b >> 2 & 3]);
    up.key = pr_cstr(keys[b >> 4 & 3]);
    up.topic_id = 1 + (b >> 2 & 3);
    return up;
}

/* (x, T) -> (x2, T2) in order, ups and removed within them: what the decoder would let through */
static inline void fuzz_say_segment(fuzz_input *in, fuzz_said *s) {
    pr_segment *f = &s->message.as.segment;
    uint8_t shape = fuzz_byte(in);
    f->log = shape & 3 ? 0 : fuzz_below(in, 4);
    f->x = fuzz_number(in);
    f->T = f->x + (shape & 4 ? fuzz_byte(in) : 0);
    f->x2 = f->x + fuzz_byte(in);
    f->T2 = f->T > f->x2 ? f->T : f->x2;
    if (shape & 8) f->T2 += fuzz_byte(in);
    if (f->x > UINT64_MAX - 1024) f->x = f->T = f->x2 = f->T2 = UINT64_MAX - 1;
    f->more = shape & 16;
    f->count_hint = shape & 32 ? (uint32_t)fuzz_number(in) : 0;
    f->ups = s->ups;
    f->removed = s->removed;
    size_t ups = fuzz_below(in, ITEMS), removed = fuzz_below(in, ITEMS);
    for (uint64_t dot = f->x + 1; f->ups_size < ups && dot <= f->x2; dot += 1 + fuzz_below(in, 4))
        s->ups[f->ups_size++] = fuzz_up(in, dot);
    for (uint64_t eid = 1 + fuzz_byte(in); f->removed_size < removed && eid <= f->x; eid += 1 + fuzz_below(in, 16))
        s->removed[f->removed_size++] = (pr_removed){eid, (uint8_t)fuzz_below(in, 4)};
}

static inline void fuzz_say_live(fuzz_input *in, fuzz_said *s) {
    pr_live *f = &s->message.as.live;
    f->log = fuzz_below(in, 4) ? 0 : fuzz_below(in, 4);
    f->w = fuzz_number(in);
    f->lo = fuzz_number(in);
    if (f->lo > UINT64_MAX - 1024) f->lo = 0;
    f->hi = f->lo + fuzz_byte(in);
    f->more = f->hi & 1;
    f->eids = s->numbers;
    size_t size = fuzz_below(in, ITEMS);
    for (uint64_t eid = f->lo + 1; f->eids_size < size && eid <= f->hi; eid += 1 + fuzz_below(in, 4))
        s->numbers[f->eids_size++] = eid;
}

static inline void fuzz_say_hello(fuzz_input *in, fuzz_said *s) {
    pr_hello *hello = &s->message.as.hello;
    uint8_t flags = fuzz_byte(in);
    snprintf(hello->cluster, sizeof hello->cluster, "%s", flags > 250 ? "other" : "default");
    fuzz_record(in, &hello->self);
    hello->self.hops = 0;
    if (flags & 1) hello->self.age_ms = 0;
    if (flags & 2) hello->self.left = false;
    hello->max_frame = flags & 4 ? PR_FRAME_MIN : PR_FRAME_MAX;
    hello->version = fuzz_number(in);
    hello->to = flags & 8 ? fuzz_inst(in) : 0;
    hello->has_state = hello->to && flags & 16;
    if (hello->has_state) hello->state = fuzz_state(in);
    hello->records = fuzz_records(in, s, 0);
}

static inline void fuzz_say_heartbeat(fuzz_input *in, fuzz_said *s) {
    pr_heartbeat *hb = &s->message.as.heartbeat;
    uint8_t flags = fuzz_byte(in);
    hb->inc = fuzz_number(in);
    hb->hb = fuzz_number(in);
    hb->version = fuzz_number(in);
    hb->has_at = flags & 1;
    if (hb->has_at) hb->at = flags & 2 ? hb->version : fuzz_number(in);
    hb->has_sum = flags & 4;
    if (hb->has_sum) hb->sum = fuzz_number(in);
    hb->members = fuzz_byte(in);
    if (flags & 8) hb->period_ms = (uint32_t)fuzz_number(in);
    hb->unlinked = s->numbers;
    hb->unlinked_size = fuzz_below(in, 3);
    for (size_t i = 0; i < hb->unlinked_size; i++) s->numbers[i] = fuzz_inst(in);
    hb->digest = fuzz_records(in, s, 0);
}

static inline void fuzz_say_small(fuzz_input *in, pr_message *m) {
    uint64_t inst = fuzz_inst(in);
    switch (m->type) {
    case PR_REQUEST: m->as.request = (pr_request){.inst = inst, .state = fuzz_state(in)}; break;
    case PR_UNSUB: m->as.unsub = inst; break;
    case PR_LEAVE:
        m->as.leave.inst = inst;
        m->as.leave.inc = fuzz_number(in);
        fuzz_name(in, inst, m->as.leave.name);
        break;
    case PR_PROBE: m->as.probe = (pr_probe){.inst = inst, .id = fuzz_byte(in)}; break;
    case PR_PROBE_ACK:
        m->as.probe_ack = (pr_probe_ack){.inst = inst, .id = fuzz_byte(in), .direct = fuzz_below(in, 2)};
        m->as.probe_ack.silence_ms = (uint32_t)fuzz_number(in);
        break;
    case PR_ERROR:
        m->as.error.code = fuzz_below(in, 12);
        snprintf(m->as.error.text, sizeof m->as.error.text, "because");
        break;
    case PR_LOGDEF:
        m->as.logdef = (pr_logdef){.log = fuzz_below(in, 4), .lane = fuzz_below(in, 9) == 8, .inst = inst};
        fuzz_name(in, inst, m->as.logdef.name);
        break;
    default: m->as.nak = (pr_nak){.inst = inst, .version = fuzz_number(in), .reason = fuzz_below(in, 8)}; break;
    }
    if (m->type == PR_REQUEST) m->as.request.subscribe = fuzz_below(in, 2);
}

static inline const pr_message *fuzz_say(fuzz_input *in, fuzz_said *s, uint8_t type) {
    memset(s, 0, sizeof *s);
    s->message.type = type;
    switch (type) {
    case PR_SEGMENT: fuzz_say_segment(in, s); break;
    case PR_LIVE: fuzz_say_live(in, s); break;
    case PR_HELLO: fuzz_say_hello(in, s); break;
    case PR_HEARTBEAT: fuzz_say_heartbeat(in, s); break;
    default: fuzz_say_small(in, &s->message); break;
    }
    return &s->message;
}

#endif

/* Messages for the tests of wire: random ones within the limits, and equality of two messages. */
#ifndef WIRE_SAMPLES_H
#define WIRE_SAMPLES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "wire.h"
#include <cmocka.h>

#define SAMPLE_ITEMS 700
#define SAMPLE_TEXT  (2u << 20)

/* What a random message points to: good until the next one. */
typedef struct sample {
    uint64_t seed;
    pr_message message;
    pr_record records[SAMPLE_ITEMS];
    uint64_t numbers[SAMPLE_ITEMS];
    pr_removed removed[SAMPLE_ITEMS];
    pr_up ups[SAMPLE_ITEMS];
    presence_str topics[SAMPLE_ITEMS];
    char text[SAMPLE_TEXT];
    size_t text_size;
} sample;

static inline sample *sample_new(uint64_t seed) {
    sample *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->seed = seed;
    return s;
}

static inline uint64_t sample_number(sample *s) { return pr_random_next(&s->seed); }
static inline uint64_t sample_below(sample *s, uint64_t bound) { return bound ? sample_number(s) % bound : 0; }
static inline bool sample_chance(sample *s, unsigned percent) { return sample_below(s, 100) < percent; }

/* every size of varint comes up */
static inline uint64_t sample_sized(sample *s, unsigned bits_max) {
    unsigned bits = (unsigned)sample_below(s, bits_max + 1);
    return bits ? sample_number(s) >> (64 - bits) : 0;
}

static inline uint64_t sample_inst(sample *s) { return sample_number(s) | 1; }

/* 1 to size_max bytes of UTF-8 */
static inline presence_str sample_text(sample *s, size_t size_max) {
    static const char *const letters[] = {"a", "Z", "0", ":", "\"", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    if (s->text_size + size_max > SAMPLE_TEXT) s->text_size = 0;
    size_t wanted = 1 + (size_t)sample_below(s, sample_chance(s, 80) && size_max > 20 ? 20 : size_max), size = 0;
    char *out = s->text + s->text_size;
    while (size < wanted) {
        const char *letter = letters[sample_below(s, 8)];
        if (size + strlen(letter) > wanted) letter = "x";
        memcpy(out + size, letter, strlen(letter));
        size += strlen(letter);
    }
    s->text_size += size;
    return pr_str(out, size);
}

static inline void sample_copy_text(sample *s, char *out, size_t size_max) {
    presence_str text = sample_text(s, size_max);
    memcpy(out, text.data, text.size);
    out[text.size] = 0;
}

static inline presence_str sample_meta(sample *s) {
    size_t inside = sample_chance(s, 1) ? PR_META_MAX - 2 : (size_t)sample_below(s, 100);
    if (s->text_size + inside + 2 > SAMPLE_TEXT) s->text_size = 0;
    char *out = s->text + s->text_size;
    out[0] = '{';
    memset(out + 1, ' ', inside);
    out[1 + inside] = '}';
    s->text_size += inside + 2;
    return pr_str(out, inside + 2);
}

static inline pr_state sample_state(sample *s) {
    pr_state state = {.floor = sample_sized(s, 64), .live = sample_chance(s, 30)};
    state.have = sample_chance(s, 50) ? state.floor : sample_below(s, state.floor);
    if (state.live) {
        state.live_from = sample_below(s, state.floor);
        state.live_pos = sample_below(s, state.have);
    } else
        state.asof = sample_chance(s, 50) ? state.floor : state.have + sample_below(s, state.floor - state.have);
    return state;
}

static inline void sample_record(sample *s, bool fixed, pr_record *out) {
    memset(out, 0, sizeof *out);
    out->inst = sample_inst(s);
    out->inc = sample_sized(s, 64);
    out->hb = sample_sized(s, 64);
    out->left = sample_chance(s, 20);
    out->age_ms = sample_sized(s, 64);
    out->hops = (uint32_t)sample_sized(s, 32);
    out->period_ms = (uint32_t)sample_sized(s, 32);
    out->has_version = sample_chance(s, 60);
    if (out->has_version) out->version = sample_sized(s, 64);
    out->fixed = fixed;
    if (!fixed) return;
    sample_copy_text(s, out->name, PR_MEMBER_NAME_MAX);
    out->addresses_size = (uint8_t)sample_below(s, PR_ADDRESSES_MAX + 1);
    for (size_t i = 0; i < out->addresses_size; i++) sample_copy_text(s, out->addresses[i], PR_ADDRESS_MAX);
    out->features = sample_sized(s, 64);
    out->proto = (uint32_t)sample_sized(s, 32);
    out->observer = sample_chance(s, 10);
}

static inline pr_records sample_records(sample *s, size_t max) {
    size_t size = (size_t)sample_below(s, sample_chance(s, 70) ? 3 : max + 1);
    for (size_t i = 0; i < size; i++) sample_record(s, sample_chance(s, 50), &s->records[i]);
    return (pr_records){s->records, size};
}

static inline void sample_hello(sample *s, pr_hello *out) {
    sample_copy_text(s, out->cluster, PR_CLUSTER_MAX);
    sample_record(s, true, &out->self);
    out->max_frame = PR_FRAME_MIN + (uint32_t)sample_sized(s, 24);
    out->version = sample_sized(s, 64);
    if (sample_chance(s, 50)) out->to = sample_inst(s);
    out->has_state = out->to && sample_chance(s, 70);
    if (out->has_state) out->state = sample_state(s);
    out->records = sample_records(s, 100);
}

static inline void sample_heartbeat(sample *s, pr_heartbeat *out) {
    out->inc = sample_sized(s, 64);
    out->hb = sample_sized(s, 64);
    out->version = sample_sized(s, 64);
    out->has_at = sample_chance(s, 70);
    if (out->has_at) out->at = sample_sized(s, 64);
    out->has_sum = sample_chance(s, 30);
    if (out->has_sum) out->sum = sample_sized(s, 64);
    out->members = (uint32_t)sample_number(s);
    out->period_ms = (uint32_t)sample_sized(s, 32);
    out->unlinked_size = (size_t)sample_below(s, sample_chance(s, 70) ? 3 : SAMPLE_ITEMS);
    for (size_t i = 0; i < out->unlinked_size; i++) s->numbers[i] = sample_number(s);
    out->unlinked = s->numbers;
    out->digest = sample_records(s, 80);
    out->has_self = sample_chance(s, 30);
    if (out->has_self) sample_record(s, true, &out->self);
}

static inline void sample_ups(sample *s, pr_segment *out, size_t size) {
    size_t topics = 1 + (size_t)sample_below(s, SAMPLE_ITEMS);
    for (size_t i = 0; i < topics; i++) {
        s->topics[i] = sample_text(s, PR_TOPIC_MAX);
        for (size_t j = 0; j < i; j++) /* equal ids = equal topics */
            if (pr_str_equal(s->topics[i], s->topics[j])) s->topics[i] = s->topics[j];
    }
    uint64_t dot = out->x;
    for (size_t i = 0; i < size; i++) {
        pr_up *up = &s->ups[i];
        memset(up, 0, sizeof *up);
        dot += 1 + (sample_chance(s, 50) ? 0 : sample_sized(s, 30));
        up->dot = dot;
        up->eid = sample_chance(s, 50) ? dot : 1 + sample_below(s, dot);
        up->meta = sample_meta(s);
        up->patch = up->eid < dot && sample_chance(s, 50);
        if (up->patch) continue;
        size_t topic = (size_t)sample_below(s, topics);
        while (topic && s->topics[topic].data == s->topics[topic - 1].data) topic--;
        up->topic = s->topics[topic];
        up->topic_id = (pr_id)(up->topic.data - s->text) + 1;
        up->key = sample_text(s, PR_KEY_MAX);
    }
    out->x2 = dot;
    out->ups = s->ups;
    out->ups_size = size;
}

static inline void sample_removed(sample *s, pr_segment *out, size_t size) {
    uint64_t eid = 0;
    for (size_t i = 0; i < size; i++) {
        uint64_t gap = sample_chance(s, 60) ? 0 : sample_sized(s, 40);
        if (gap >= out->x - eid) break;
        eid += 1 + gap;
        s->removed[out->removed_size++] = (pr_removed){eid, (uint8_t)sample_below(s, 4)};
        if (eid == out->x) break;
    }
    out->removed = s->removed;
}

static inline void sample_segment(sample *s, pr_segment *out) {
    size_t many = sample_chance(s, 80) ? 20 : SAMPLE_ITEMS;
    s->text_size = 0;
    out->log = (uint32_t)sample_sized(s, 32);
    out->x = sample_sized(s, 62);
    sample_ups(s, out, (size_t)sample_below(s, many));
    sample_removed(s, out, (size_t)sample_below(s, many));
    out->T = out->x + sample_sized(s, 60);
    if (sample_chance(s, 50)) out->x2 += sample_sized(s, 60);
    out->T2 = (out->T > out->x2 ? out->T : out->x2) + (sample_chance(s, 50) ? 0 : sample_sized(s, 60));
    out->more = sample_chance(s, 20);
    out->count_hint = sample_chance(s, 20) ? (uint32_t)sample_sized(s, 32) : 0;
    out->inst = sample_chance(s, 30) ? sample_inst(s) : 0;
}

static inline void sample_live(sample *s, pr_live *out) {
    size_t many = sample_chance(s, 80) ? 20 : SAMPLE_ITEMS;
    out->log = (uint32_t)sample_sized(s, 32);
    out->lo = sample_chance(s, 50) ? 0 : sample_sized(s, 62);
    out->eids = s->numbers;
    out->eids_size = (size_t)sample_below(s, many);
    unsigned bits = (unsigned)sample_below(s, 30);
    uint64_t eid = out->lo;
    for (size_t i = 0; i < out->eids_size; i++) s->numbers[i] = eid += 1 + sample_sized(s, bits);
    out->hi = eid + (sample_chance(s, 50) ? 0 : sample_sized(s, 40));
    out->w = out->hi + sample_sized(s, 40);
    out->more = sample_chance(s, 20);
    out->inst = sample_chance(s, 30) ? sample_inst(s) : 0;
}

/* fills s->message; all types but SEG and LIVE, HELLO and HB are one struct of numbers */
static inline void sample_small(sample *s, pr_message *out) {
    uint64_t inst = sample_inst(s), big = sample_sized(s, 64);
    uint32_t small = (uint32_t)sample_sized(s, 32);
    switch (out->type) {
    case PR_REQUEST:
        out->as.request = (pr_request){.inst = inst, .from = big, .subscribe = sample_chance(s, 50)};
        out->as.request.state = sample_state(s);
        break;
    case PR_UNSUB: out->as.unsub = inst; break;
    case PR_LEAVE:
        out->as.leave = (pr_leave){.inc = big, .inst = inst};
        sample_copy_text(s, out->as.leave.name, PR_MEMBER_NAME_MAX);
        break;
    case PR_PROBE: out->as.probe = (pr_probe){.inst = inst, .id = small}; break;
    case PR_PROBE_ACK:
        out->as.probe_ack = (pr_probe_ack){.inst = inst, .id = small, .direct = sample_chance(s, 50)};
        out->as.probe_ack.silence_ms = (uint32_t)big;
        break;
    case PR_ERROR:
        out->as.error.code = small;
        sample_copy_text(s, out->as.error.text, sizeof out->as.error.text - 1);
        break;
    case PR_LOGDEF:
        out->as.logdef = (pr_logdef){.log = small | 1, .lane = (uint32_t)sample_below(s, 2), .inst = inst};
        sample_copy_text(s, out->as.logdef.name, PR_MEMBER_NAME_MAX);
        break;
    case PR_NAK:
        out->as.nak = (pr_nak){.inst = inst, .version = big, .reason = 1 + (uint32_t)sample_below(s, 5)};
        break;
    default: fail_msg("no such type");
    }
}

static inline const pr_message *sample_next(sample *s, uint8_t type) {
    memset(&s->message, 0, sizeof s->message);
    s->text_size = 0;
    s->message.type = type;
    switch (type) {
    case PR_HELLO: sample_hello(s, &s->message.as.hello); break;
    case PR_HEARTBEAT: sample_heartbeat(s, &s->message.as.heartbeat); break;
    case PR_SEGMENT: sample_segment(s, &s->message.as.segment); break;
    case PR_LIVE: sample_live(s, &s->message.as.live); break;
    default: sample_small(s, &s->message); break;
    }
    return &s->message;
}

/* ---- equality ---- */
static inline void assert_text(presence_str a, presence_str b) {
    assert_int_equal(a.size, b.size);
    if (a.size) assert_memory_equal(a.data, b.data, a.size);
}

static inline void assert_states(const pr_state *a, const pr_state *b) {
    assert_int_equal(a->live, b->live);
    assert_int_equal(a->floor, b->floor);
    assert_int_equal(a->have, b->have);
    assert_int_equal(a->asof, b->asof);
    assert_int_equal(a->live_from, b->live_from);
    assert_int_equal(a->live_pos, b->live_pos);
}

static inline void assert_record(const pr_record *a, const pr_record *b) {
    assert_int_equal(a->inst, b->inst);
    assert_int_equal(a->inc, b->inc);
    assert_int_equal(a->hb, b->hb);
    assert_int_equal(a->left, b->left);
    assert_int_equal(a->age_ms, b->age_ms);
    assert_int_equal(a->hops, b->hops);
    assert_int_equal(a->period_ms, b->period_ms);
    assert_int_equal(a->has_version, b->has_version);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->fixed, b->fixed);
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->addresses_size, b->addresses_size);
    for (size_t i = 0; i < a->addresses_size; i++) assert_string_equal(a->addresses[i], b->addresses[i]);
    assert_int_equal(a->features, b->features);
    assert_int_equal(a->proto, b->proto);
    assert_int_equal(a->observer, b->observer);
}

static inline void assert_records(const pr_records *a, const pr_records *b) {
    assert_int_equal(a->size, b->size);
    for (size_t i = 0; i < a->size; i++) assert_record(&a->items[i], &b->items[i]);
}

static inline void assert_hellos(const pr_hello *a, const pr_hello *b) {
    assert_string_equal(a->cluster, b->cluster);
    assert_record(&a->self, &b->self);
    assert_int_equal(a->max_frame, b->max_frame);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->to, b->to);
    assert_int_equal(a->has_state, b->has_state);
    assert_states(&a->state, &b->state);
    assert_records(&a->records, &b->records);
}

static inline void assert_heartbeats(const pr_heartbeat *a, const pr_heartbeat *b) {
    assert_int_equal(a->inc, b->inc);
    assert_int_equal(a->hb, b->hb);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->has_at, b->has_at);
    assert_int_equal(a->at, b->at);
    assert_int_equal(a->has_sum, b->has_sum);
    assert_int_equal(a->sum, b->sum);
    assert_int_equal(a->members, b->members);
    assert_int_equal(a->period_ms, b->period_ms);
    assert_int_equal(a->unlinked_size, b->unlinked_size);
    for (size_t i = 0; i < a->unlinked_size; i++) assert_int_equal(a->unlinked[i], b->unlinked[i]);
    assert_records(&a->digest, &b->digest);
    assert_int_equal(a->has_self, b->has_self);
    if (a->has_self) assert_record(&a->self, &b->self);
}

static inline void assert_segments(const pr_segment *a, const pr_segment *b) {
    assert_int_equal(a->log, b->log);
    assert_int_equal(a->x, b->x);
    assert_int_equal(a->T, b->T);
    assert_int_equal(a->x2, b->x2);
    assert_int_equal(a->T2, b->T2);
    assert_int_equal(a->more, b->more);
    assert_int_equal(a->count_hint, b->count_hint);
    assert_int_equal(a->inst, b->inst);
    assert_int_equal(a->removed_size, b->removed_size);
    for (size_t i = 0; i < a->removed_size; i++) {
        assert_int_equal(a->removed[i].eid, b->removed[i].eid);
        assert_int_equal(a->removed[i].reason, b->removed[i].reason);
    }
    assert_int_equal(a->ups_size, b->ups_size);
    for (size_t i = 0; i < a->ups_size; i++) {
        assert_int_equal(a->ups[i].eid, b->ups[i].eid);
        assert_int_equal(a->ups[i].dot, b->ups[i].dot);
        assert_int_equal(a->ups[i].patch, b->ups[i].patch);
        assert_text(a->ups[i].topic, b->ups[i].topic);
        assert_text(a->ups[i].key, b->ups[i].key);
        assert_text(a->ups[i].meta, b->ups[i].meta);
    }
}

static inline void assert_lives(const pr_live *a, const pr_live *b) {
    assert_int_equal(a->log, b->log);
    assert_int_equal(a->w, b->w);
    assert_int_equal(a->lo, b->lo);
    assert_int_equal(a->hi, b->hi);
    assert_int_equal(a->more, b->more);
    assert_int_equal(a->inst, b->inst);
    assert_int_equal(a->eids_size, b->eids_size);
    if (a->eids_size) assert_memory_equal(a->eids, b->eids, a->eids_size * sizeof *a->eids);
}

static inline void assert_probe_acks(const pr_probe_ack *a, const pr_probe_ack *b) {
    assert_int_equal(a->inst, b->inst);
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->direct, b->direct);
    assert_int_equal(a->silence_ms, b->silence_ms);
}

static inline void assert_small(const pr_message *a, const pr_message *b) {
    switch (a->type) {
    case PR_REQUEST:
        assert_int_equal(a->as.request.inst, b->as.request.inst);
        assert_int_equal(a->as.request.from, b->as.request.from);
        assert_int_equal(a->as.request.subscribe, b->as.request.subscribe);
        assert_states(&a->as.request.state, &b->as.request.state);
        break;
    case PR_UNSUB: assert_int_equal(a->as.unsub, b->as.unsub); break;
    case PR_LEAVE:
        assert_int_equal(a->as.leave.inc, b->as.leave.inc);
        assert_int_equal(a->as.leave.inst, b->as.leave.inst);
        assert_string_equal(a->as.leave.name, b->as.leave.name);
        break;
    case PR_PROBE:
        assert_int_equal(a->as.probe.inst, b->as.probe.inst);
        assert_int_equal(a->as.probe.id, b->as.probe.id);
        break;
    case PR_PROBE_ACK: assert_probe_acks(&a->as.probe_ack, &b->as.probe_ack); break;
    case PR_ERROR:
        assert_int_equal(a->as.error.code, b->as.error.code);
        assert_string_equal(a->as.error.text, b->as.error.text);
        break;
    case PR_LOGDEF:
        assert_int_equal(a->as.logdef.log, b->as.logdef.log);
        assert_int_equal(a->as.logdef.lane, b->as.logdef.lane);
        assert_int_equal(a->as.logdef.inst, b->as.logdef.inst);
        assert_string_equal(a->as.logdef.name, b->as.logdef.name);
        break;
    case PR_NAK:
        assert_int_equal(a->as.nak.inst, b->as.nak.inst);
        assert_int_equal(a->as.nak.version, b->as.nak.version);
        assert_int_equal(a->as.nak.reason, b->as.nak.reason);
        break;
    default: fail_msg("no such type");
    }
}

static inline void assert_messages(const pr_message *a, const pr_message *b) {
    assert_int_equal(a->type, b->type);
    switch (a->type) {
    case PR_HELLO: assert_hellos(&a->as.hello, &b->as.hello); break;
    case PR_HEARTBEAT: assert_heartbeats(&a->as.heartbeat, &b->as.heartbeat); break;
    case PR_SEGMENT: assert_segments(&a->as.segment, &b->as.segment); break;
    case PR_LIVE: assert_lives(&a->as.live, &b->as.live); break;
    default: assert_small(a, b); break;
    }
}

/* ---- one encoder and decoder for a test ---- */
typedef struct wire_pair {
    pr_alloc alloc;
    pr_decoder *decoder;
    pr_buffer buffer;
    pr_message out;
} wire_pair;

static inline void wire_pair_open(wire_pair *p) {
    memset(p, 0, sizeof *p);
    p->alloc = pr_alloc_default();
    assert_int_equal(pr_decoder_new(&p->alloc, &p->decoder), 0);
    pr_buffer_init(&p->buffer, &p->alloc, (size_t)64 << 20);
}

static inline void wire_pair_close(wire_pair *p) {
    pr_decoder_free(p->decoder);
    pr_buffer_free(&p->buffer);
}

/* the frame is in p->buffer, alone */
static inline size_t wire_encode(wire_pair *p, const pr_message *message) {
    pr_buffer_clear(&p->buffer);
    assert_int_equal(pr_encode(&p->buffer, message, 0xffffff), 0);
    return p->buffer.size;
}

static inline int wire_decode(wire_pair *p, const uint8_t *data, size_t size) {
    pr_frame_in frame;
    size_t consumed, wanted;
    assert_int_equal(pr_frame_read(data, size, 0xffffff, &frame, &consumed, &wanted), 1);
    assert_int_equal(consumed, size);
    return pr_decode(p->decoder, &frame, &p->out);
}

#endif

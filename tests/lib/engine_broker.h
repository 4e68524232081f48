/* One engine at a broker that the test plays: every message it publishes is noted, and any can be brought to it. */
#ifndef PR_TEST_ENGINE_BROKER_H
#define PR_TEST_ENGINE_BROKER_H

#include "engine.h"
#include "heap.h"

#define OWN_INST   500u
#define OTHER      1000u /* the inst of other members, and the next ones */
#define ALL_SPOKEN (PR_FEATURE_PATCH | PR_FEATURE_CRC | PR_FEATURE_SUBSCRIBE | PR_FEATURE_SUM)
#define FRAMES     64
#define ANSWER     8 /* frames of one answer */

typedef struct frame_note {
    pr_subject subject;
    uint8_t type;
    bool more, patch;
    uint64_t x, T, x2, T2, inst;
} frame_note;

typedef struct lone {
    heap heap;
    pr_alloc alloc;
    pr_engine *engine;
    uint64_t now;
    pr_decoder *decoder;
    frame_note frames[FRAMES]; /* published since the last `forget` */
    size_t size;
    pr_heartbeat beat; /* the last one to everybody; lists are not kept */
    bool told;         /* its digest has a record of `watched` */
    uint64_t watched;
    pr_request request;
    int ups, downs, lefts, joins, leaves, errors, last_error;
    uint64_t hb;
} lone;

static inline pr_time lone_time(const lone *l) { return (pr_time){l->now, l->now}; }

static inline void lone_note(lone *l, pr_subject subject, const pr_bytes *bytes) {
    pr_frame_in frame;
    size_t consumed = 0, wanted = 0;
    pr_message message;
    assert_int_equal(pr_frame_read(bytes->data, bytes->size, PR_FRAME_MAX, &frame, &consumed, &wanted), 1);
    assert_int_equal(consumed, bytes->size);
    assert_true(frame.checked);
    assert_int_equal(pr_frame_open(l->decoder, &frame, UINT64_MAX, PR_FRAME_MAX), 0);
    assert_int_equal(pr_decode(l->decoder, &frame, &message), 0);
    assert_true(l->size < FRAMES);
    frame_note *note = &l->frames[l->size++];
    *note = (frame_note){.subject = subject, .type = frame.type};
    if (frame.type == PR_SEGMENT) {
        const pr_segment *s = &message.as.segment;
        *note = (frame_note){subject, frame.type, s->more, s->ups_size && s->ups[0].patch, s->x, s->T,
                             s->x2,   s->T2,      s->inst};
    }
    if (frame.type == PR_LIVE) note->inst = message.as.live.inst;
    if (frame.type == PR_NAK) note->inst = message.as.nak.inst;
    if (frame.type == PR_REQUEST) l->request = message.as.request;
    if (frame.type != PR_HEARTBEAT || subject.kind != PR_SUBJECT_BEATS) return;
    l->beat = message.as.heartbeat;
    for (size_t i = 0; i < l->beat.digest.size; i++) l->told |= l->beat.digest.items[i].inst == l->watched;
}

static inline void lone_note_diff(lone *l, pr_diff *diff) {
    for (size_t i = 0; i < diff->size; i++) {
        l->joins += diff->items[i].kind == PRESENCE_JOIN;
        l->leaves += diff->items[i].kind == PRESENCE_LEAVE;
    }
    pr_diff_free(diff);
}

static inline void lone_act(lone *l) {
    pr_action action;
    while (pr_engine_next_action(l->engine, &action)) switch (action.kind) {
        case PR_ACTION_PUBLISH:
            lone_note(l, action.as.publish.subject, action.as.publish.bytes);
            pr_bytes_release(action.as.publish.bytes);
            break;
        case PR_ACTION_DIFF: lone_note_diff(l, action.as.diff); break;
        case PR_ACTION_MEMBER:
            l->ups += action.as.member.status == PRESENCE_MEMBER_UP;
            l->downs += action.as.member.status == PRESENCE_MEMBER_DOWN;
            l->lefts += action.as.member.status == PRESENCE_MEMBER_LEFT;
            break;
        case PR_ACTION_ERROR:
            l->errors++;
            l->last_error = action.as.error.code;
            break;
        case PR_ACTION_SYNCED: break;
        default: fail_msg("action %d over a broker", action.kind);
        }
}

static inline void lone_forget(lone *l) {
    l->size = 0;
    l->told = false;
}

static inline lone *lone_new(const pr_engine_options *options) {
    lone *l = calloc(1, sizeof *l);
    pr_engine_options o = options ? *options : pr_engine_options_default();
    l->now = 1000;
    l->alloc = heap_allocator(&l->heap);
    o.broker = true;
    o.compression = PR_CODEC_NONE;
    o.flush_ms = 0;
    o.name = pr_cstr("a");
    o.inst = OWN_INST;
    o.inc = 7;
    o.seed = 1;
    assert_int_equal(pr_decoder_new(&l->alloc, &l->decoder), 0);
    assert_int_equal(pr_engine_new(&l->alloc, &o, lone_time(l), &l->engine), 0);
    pr_store_watch_all(pr_engine_store_for_watch(l->engine), true);
    pr_engine_broker_up(l->engine, lone_time(l));
    lone_act(l);
    return l;
}

static inline void lone_free(lone *l) {
    pr_engine_free(l->engine);
    pr_decoder_free(l->decoder);
    assert_int_equal(l->heap.blocks, 0);
    free(l);
}

static inline void lone_run(lone *l, uint64_t ms) {
    uint64_t end = l->now + ms;
    for (uint64_t due; (due = pr_engine_deadline(l->engine)) <= end;) {
        if (due > l->now) l->now = due;
        pr_engine_tick(l->engine, lone_time(l));
        lone_act(l);
    }
    l->now = end;
}

/* ---- what others say ---- */
static inline void lone_hear_bytes(lone *l, pr_subject subject, const void *data, size_t size) {
    pr_engine_message(l->engine, subject, data, size, lone_time(l));
    lone_act(l);
}

static inline void lone_hear(lone *l, pr_subject subject, const pr_message *message) {
    pr_buffer buffer;
    pr_buffer_init(&buffer, &l->alloc, PR_FRAME_MAX);
    assert_int_equal(pr_encode(&buffer, message, PR_FRAME_MAX), 0);
    lone_hear_bytes(l, subject, buffer.data, buffer.size);
    pr_buffer_free(&buffer);
}

static inline pr_subject beats(void) { return (pr_subject){PR_SUBJECT_BEATS, 0}; }
static inline pr_subject inbox(uint64_t inst) { return (pr_subject){PR_SUBJECT_INBOX, inst}; }
static inline pr_subject log_of(uint64_t inst) { return (pr_subject){PR_SUBJECT_LOG, inst}; }

/* A heartbeat of the member OTHER + i, with that number of its own. */
static inline pr_message beat_of(int i, uint64_t hb, uint64_t at) {
    pr_message message;
    memset(&message, 0, sizeof message);
    message.type = PR_HEARTBEAT;
    pr_heartbeat *heartbeat = &message.as.heartbeat;
    heartbeat->inc = 5;
    heartbeat->hb = hb;
    heartbeat->version = heartbeat->at = at;
    heartbeat->has_at = heartbeat->has_self = true;
    heartbeat->self = (pr_record){.inst = OTHER + (uint64_t)i, .inc = 5, .hb = hb, .period_ms = 1000, .proto = 1};
    heartbeat->self.fixed = true;
    heartbeat->self.features = ALL_SPOKEN;
    snprintf(heartbeat->self.name, sizeof heartbeat->self.name, "o%d", i);
    return message;
}

static inline void other_beats(lone *l, int i, uint64_t at) {
    pr_message message = beat_of(i, ++l->hb, at);
    lone_hear(l, beats(), &message);
}

/* One entity of the log of OTHER + i, born at `to`, for who stands at `from`. */
static inline void other_says(lone *l, pr_subject subject, int i, uint64_t from, uint64_t to, bool more) {
    pr_up up = {.eid = to, .dot = to, .topic = pr_cstr("t"), .key = pr_cstr("k"), .meta = pr_cstr("{}"), .topic_id = 1};
    pr_message message;
    memset(&message, 0, sizeof message);
    message.type = PR_SEGMENT;
    message.as.segment =
        (pr_segment){.x = from, .T = from, .x2 = to, .T2 = to, .ups = &up, .ups_size = 1, .more = more};
    message.as.segment.inst = OTHER + (uint64_t)i;
    lone_hear(l, subject, &message);
}

static inline int frames_of(const lone *l, uint8_t type, int kind, uint64_t inst) {
    int count = 0;
    for (size_t i = 0; i < l->size; i++)
        count += l->frames[i].type == type && l->frames[i].subject.kind == kind && l->frames[i].subject.inst == inst;
    return count;
}

static inline pr_member_info lone_info(lone *l, const char *name) {
    pr_member_info members[32];
    size_t size = pr_engine_members(l->engine, members, 32);
    for (size_t i = 0; i < size; i++)
        if (strcmp(members[i].name, name) == 0) return members[i];
    return (pr_member_info){.status = 0};
}

#endif

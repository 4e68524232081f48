/* One engine and several peers made of raw frames, each of which says whatever a test wants it to say. */
#ifndef PR_TEST_ENGINE_VOICES_H
#define PR_TEST_ENGINE_VOICES_H

#include "engine_probe.h"
#include "engine_world.h"

#define VOICES 3
#define VOICE_INST                                                                                                     \
    1000u                 /* voice i has the inst VOICE_INST + i, above or below that of the engine as a test needs it \
                           */
#define ALL_SPOKEN  0x33u /* patch, crc, subscribe, sum */
#define BEFORE_LONG 20000u

typedef struct voice {
    pr_link link;
    uint64_t inst, hb;
    char name[8];
    bool closed, preamble;
    bool deaf; /* the engine is not told that anything was written */
    int frames[32];
    uint32_t last_error;
    pr_nak nak;
    pr_request request;
    pr_heartbeat heartbeat;
    pr_record about; /* the last record of the instance `watched` */
    uint64_t watched, unsub;
    bool patch; /* the first entity of the last segment is one */
    uint8_t in[1 << 17];
    size_t in_size;
} voice;

typedef struct voices {
    world *w;
    pr_engine *e;
    uint64_t inst; /* of the engine */
    voice v[VOICES];
    uint64_t dial; /* the last DIAL */
    pr_decoder *decoder;
    pr_alloc alloc;
} voices;

static inline voices *voices_new(const pr_engine_options *options) {
    voices *all = calloc(1, sizeof *all);
    all->w = world_new();
    all->alloc = pr_alloc_default();
    if (options != NULL) all->w->nodes[0].options = *options;
    world_start(all->w, 0, "a", 0);
    all->e = all->w->nodes[0].engine;
    pr_member_info self;
    pr_engine_members(all->e, &self, 1);
    all->inst = self.inst;
    assert_int_equal(pr_decoder_new(&all->alloc, &all->decoder), 0);
    for (int i = 0; i < VOICES; i++) {
        all->v[i].inst = VOICE_INST + (uint64_t)i;
        snprintf(all->v[i].name, sizeof all->v[i].name, "v%d", i);
    }
    return all;
}

static inline void voices_free(voices *all) {
    pr_decoder_free(all->decoder);
    world_free(all->w);
    free(all);
}

static inline void voice_note(voice *v, const pr_message *message) {
    v->frames[message->type]++;
    if (message->type == PR_ERROR) v->last_error = message->as.error.code;
    if (message->type == PR_NAK) v->nak = message->as.nak;
    if (message->type == PR_REQUEST) v->request = message->as.request;
    if (message->type == PR_UNSUB) v->unsub = message->as.unsub;
    if (message->type == PR_SEGMENT && message->as.segment.ups_size > 0) v->patch = message->as.segment.ups[0].patch;
    if (message->type != PR_HEARTBEAT) return;
    v->heartbeat = message->as.heartbeat;
    for (size_t i = 0; i < v->heartbeat.digest.size; i++)
        if (v->heartbeat.digest.items[i].inst == v->watched) v->about = v->heartbeat.digest.items[i];
}

static inline void voice_hear(voices *all, voice *v) {
    size_t used, wanted;
    pr_frame_in frame;
    pr_message message;
    if (!v->preamble && v->in_size >= PR_PREAMBLE_SIZE) {
        v->preamble = true;
        memmove(v->in, v->in + PR_PREAMBLE_SIZE, v->in_size -= PR_PREAMBLE_SIZE);
    }
    while (pr_frame_read(v->in, v->in_size, PR_FRAME_MAX, &frame, &used, &wanted) == 1) {
        assert_int_equal(pr_decode(all->decoder, &frame, &message), 0);
        voice_note(v, &message);
        memmove(v->in, v->in + used, v->in_size -= used);
    }
}

static inline void voices_send(voices *all, const pr_action *action) {
    for (int i = 0; i < VOICES; i++) {
        voice *v = &all->v[i];
        if (action->as.send.link != v->link) continue;
        assert_true(v->in_size + action->as.send.bytes->size <= sizeof v->in);
        memcpy(v->in + v->in_size, action->as.send.bytes->data, action->as.send.bytes->size);
        v->in_size += action->as.send.bytes->size;
        if (!v->deaf) pr_engine_written(all->e, v->link, action->as.send.bytes->size, world_time(all->w));
        voice_hear(all, v);
    }
    pr_bytes_release(action->as.send.bytes);
}

static inline void voices_act(voices *all) {
    pr_action action;
    while (pr_engine_next_action(all->e, &action)) switch (action.kind) {
        case PR_ACTION_SEND: voices_send(all, &action); break;
        case PR_ACTION_CLOSE:
            for (int i = 0; i < VOICES; i++) all->v[i].closed |= action.as.close.link == all->v[i].link;
            break;
        case PR_ACTION_DIAL: all->dial = action.as.dial.id; break;
        case PR_ACTION_DIFF: world_note_diff(&all->w->nodes[0], action.as.diff); break;
        case PR_ACTION_MEMBER: world_note_member(&all->w->nodes[0], &action.as.member); break;
        case PR_ACTION_YIELD: all->w->nodes[0].yields++; break;
        case PR_ACTION_ERROR: all->w->nodes[0].last_error = action.as.error.code; break;
        default: break;
        }
}

/* Returns false when the engine does not take all of it. */
static inline bool voice_bytes(voices *all, voice *v, const void *data, size_t size) {
    const uint8_t *at = data;
    int rc = 1;
    while (size > 0 && rc == 1) {
        size_t used = 0;
        rc = pr_engine_bytes(all->e, v->link, at, size, &used, world_time(all->w));
        at += used;
        size -= used;
        voices_act(all);
    }
    return size == 0;
}

static inline bool voice_say(voices *all, voice *v, const pr_message *message) {
    pr_buffer buffer;
    pr_buffer_init(&buffer, &all->alloc, PR_FRAME_MAX);
    assert_int_equal(pr_encode(&buffer, message, PR_FRAME_MAX), 0);
    bool taken = voice_bytes(all, v, buffer.data, buffer.size);
    pr_buffer_free(&buffer);
    return taken;
}

static inline pr_message message_of(uint8_t type) {
    pr_message message;
    memset(&message, 0, sizeof message);
    message.type = type;
    return message;
}

static inline pr_record record_of(const char *name, uint64_t inst, uint64_t inc, uint64_t hb) {
    pr_record record;
    memset(&record, 0, sizeof record);
    record.inst = inst;
    record.inc = inc;
    record.hb = hb;
    record.fixed = true;
    record.proto = 1;
    record.features = ALL_SPOKEN;
    record.period_ms = 1000;
    snprintf(record.name, sizeof record.name, "%s", name);
    return record;
}

/* A link of voice i with a HELLO of this record. */
static inline voice *voice_link_as(voices *all, int i, const pr_record *self, uint64_t version, uint64_t dial) {
    voice *v = &all->v[i];
    uint8_t preamble[PR_PREAMBLE_SIZE];
    v->link = ++all->w->ids;
    v->closed = v->preamble = false;
    v->in_size = 0;
    pr_engine_link_up(all->e, v->link, dial, world_time(all->w));
    voices_act(all);
    pr_preamble_write(preamble);
    voice_bytes(all, v, preamble, sizeof preamble);
    pr_message message = message_of(PR_HELLO);
    strcpy(message.as.hello.cluster, "default");
    message.as.hello.self = *self;
    message.as.hello.max_frame = PR_FRAME_MAX;
    message.as.hello.version = version;
    voice_say(all, v, &message);
    return v;
}

/* A link of voice i, with the HELLO of its name; dial: the id of the DIAL it answers, 0 = it dialled us. */
static inline voice *voice_link(voices *all, int i, uint64_t features, uint64_t version, uint64_t dial) {
    pr_record self = record_of(all->v[i].name, all->v[i].inst, 5, ++all->v[i].hb);
    self.features = features;
    return voice_link_as(all, i, &self, version, dial);
}

/* A heartbeat of voice v that says its version, and records of others. */
static inline void voice_beat(voices *all, voice *v, uint64_t version, pr_record *records, size_t size) {
    pr_message message = message_of(PR_HEARTBEAT);
    message.as.heartbeat.inc = 5;
    message.as.heartbeat.hb = ++v->hb;
    message.as.heartbeat.version = version;
    message.as.heartbeat.digest = (pr_records){records, size};
    voice_say(all, v, &message);
}

/* Of its own log: entity `eid` is born at its version, or none. */
static inline void voice_segment(voices *all, voice *v, uint64_t have, uint64_t asof, uint64_t have2, uint64_t asof2,
                                 uint64_t eid) {
    pr_up up = {
        .eid = eid, .dot = eid, .topic = pr_cstr("t"), .key = pr_cstr("k"), .meta = pr_cstr("{}"), .topic_id = 1};
    pr_message message = message_of(PR_SEGMENT);
    message.as.segment = (pr_segment){.x = have, .T = asof, .x2 = have2, .T2 = asof2};
    message.as.segment.ups = &up;
    message.as.segment.ups_size = eid != 0;
    voice_say(all, v, &message);
}

static inline void voice_live(voices *all, voice *v, uint64_t w, uint64_t lo, uint64_t hi, uint64_t *eids,
                              size_t size) {
    pr_message message = message_of(PR_LIVE);
    message.as.live = (pr_live){.w = w, .lo = lo, .hi = hi, .eids = eids, .eids_size = size};
    voice_say(all, v, &message);
}

/* Time passes for the engine alone. */
static inline void voices_pass(voices *all, uint64_t ms) {
    world *w = all->w;
    for (uint64_t until = w->now + ms; w->now < until;) {
        uint64_t due = pr_engine_deadline(all->e);
        w->now = due > w->now && due < until ? due : due <= w->now ? w->now : until;
        pr_engine_tick(all->e, world_time(w));
        voices_act(all);
    }
}

#endif

/* A member that lies, over real bytes: raw ends of wires to the engines of a world, which say whatever a test wants. */
#ifndef PR_TEST_ENGINE_LIAR_H
#define PR_TEST_ENGINE_LIAR_H

#include "engine_world.h"
#include "wire_hello.h"

#define LIAR      (NODES - 1) /* the node of the world that has no engine */
#define LIAR_INST 0x5E1Full

typedef struct liar {
    world *w;
    int at; /* whom it is linked with */
    wire *wire;
    pr_link id; /* of the other end: the wire may be another one's by now */
    pr_decoder *decoder;
    pr_alloc alloc;
    bool preamble;
    int frames[32]; /* by type, what the engine sent */
    uint32_t error; /* of its last ERROR frame */
    uint64_t asked; /* the inst of its last REQUEST for another log than the liar's */
} liar;

static inline bool liar_linked(const liar *l) {
    return l->wire && l->wire->used && l->wire->ends[1].id == l->id && !l->wire->ends[1].closed;
}

static inline void liar_note(liar *l, const pr_message *message) {
    l->frames[message->type]++;
    if (message->type == PR_ERROR) l->error = message->as.error.code;
    if (message->type == PR_REQUEST && message->as.request.inst != LIAR_INST) l->asked = message->as.request.inst;
}

/* Reads what has come, so that the engine sees its bytes leave. */
static inline void liar_hear(liar *l) {
    if (!l->wire || !l->wire->used || l->wire->ends[1].id != l->id) return;
    end *mine = &l->wire->ends[0];
    size_t at = 0, used, wanted;
    pr_frame_in frame;
    pr_message message;
    if (!l->preamble && mine->size >= PR_PREAMBLE_SIZE) l->preamble = true, at = PR_PREAMBLE_SIZE;
    while (pr_frame_read(mine->bytes + at, mine->size - at, PR_FRAME_MAX, &frame, &used, &wanted) == 1) {
        if (pr_frame_open(l->decoder, &frame, UINT64_MAX, PR_FRAME_MAX) == 0 &&
            pr_decode(l->decoder, &frame, &message) == 0)
            liar_note(l, &message);
        at += used;
    }
    if (at == 0) return;
    memmove(mine->bytes, mine->bytes + at, mine->size -= at);
    if (l->wire->ends[1].closed) return;
    pr_engine_written(l->w->nodes[l->at].engine, l->id, at, world_time(l->w));
    world_act(l->w, l->at);
}

static inline void liar_say_bytes(liar *l, const void *data, size_t size) {
    if (!liar_linked(l)) return;
    end *to = &l->wire->ends[1];
    if (to->size + size > to->room) to->bytes = realloc(to->bytes, to->room = 2 * (to->size + size));
    memcpy(to->bytes + to->size, data, size);
    to->size += size;
    world_deliver(l->w);
    liar_hear(l);
}

/* false: no frame says this */
static inline bool liar_say(liar *l, const pr_message *message) {
    pr_buffer buffer;
    pr_buffer_init(&buffer, &l->alloc, PR_FRAME_MAX);
    bool said = pr_encode(&buffer, message, PR_FRAME_MAX) == 0;
    if (said) liar_say_bytes(l, buffer.data, buffer.size);
    pr_buffer_free(&buffer);
    return said;
}

static inline pr_message liar_message(uint8_t type) {
    pr_message message;
    memset(&message, 0, sizeof message);
    message.type = type;
    return message;
}

static inline void liar_hello(liar *l, const char *name) {
    uint8_t preamble[PR_PREAMBLE_SIZE];
    pr_message message = wire_hello(name, LIAR_INST);
    message.as.hello.self.features = 0x31;
    pr_preamble_write(preamble);
    liar_say_bytes(l, preamble, sizeof preamble);
    liar_say(l, &message);
}

static inline void liar_hang_up(liar *l) {
    if (l->wire && l->wire->used && l->wire->ends[1].id == l->id) l->wire->ends[0].closed = true;
    world_deliver(l->w);
}

/* A fresh link to a node, open: it is a member as good as any, until it lies. */
static inline void liar_link(liar *l, world *w, int at, const char *name) {
    if (!l->decoder) {
        l->alloc = pr_alloc_default();
        if (pr_decoder_new(&l->alloc, &l->decoder)) abort();
    }
    l->w = w;
    liar_hang_up(l); /* the link it had */
    l->at = at;
    l->preamble = false;
    l->error = 0;
    for (int i = 0; i < LINKS; i++) {
        l->wire = &w->wires[i];
        if (!l->wire->used) break;
    }
    if (l->wire->used) abort();
    l->id = ++w->ids;
    *l->wire = (wire){.used = true, .ends = {{.node = LIAR}, {.node = at, .id = l->id}}};
    pr_engine_link_up(w->nodes[at].engine, l->id, 0, world_time(w));
    world_act(w, at);
    liar_hello(l, name);
}

static inline void liar_free(liar *l) {
    if (l->w) liar_hang_up(l);
    pr_decoder_free(l->decoder);
}

/* ---- lies ---- */
static inline void liar_beat(liar *l, uint64_t hb, const pr_record *record) {
    pr_message message = liar_message(PR_HEARTBEAT);
    message.as.heartbeat.inc = 5;
    message.as.heartbeat.hb = hb;
    if (record) message.as.heartbeat.digest = (pr_records){(pr_record *)(uintptr_t)record, 1};
    liar_say(l, &message);
}

static inline pr_record liar_record(const char *name, uint64_t inst, uint64_t inc, uint64_t hb) {
    pr_record record;
    memset(&record, 0, sizeof record);
    strcpy(record.name, name);
    record.inst = inst;
    record.inc = inc;
    record.hb = hb;
    record.fixed = true;
    record.proto = 1;
    record.period_ms = 1000;
    return record;
}

/* One presence in the log of an instance, as if the liar relayed it. */
static inline void liar_forge(liar *l, uint64_t inst, const char *name, const char *key) {
    pr_message message = liar_message(PR_LOGDEF);
    message.as.logdef.log = 7;
    message.as.logdef.inst = inst;
    strcpy(message.as.logdef.name, name);
    liar_say(l, &message);
    pr_up up = {.eid = 1, .dot = 1, .topic_id = 1};
    up.topic = pr_cstr("room"), up.key = pr_cstr(key), up.meta = pr_cstr("{}");
    message = liar_message(PR_SEGMENT);
    message.as.segment.log = 7;
    message.as.segment.x2 = message.as.segment.T2 = 1000;
    message.as.segment.ups = &up;
    message.as.segment.ups_size = 1;
    liar_say(l, &message);
}

#endif

/* One engine and a peer made of raw frames, which says whatever a test wants it to say. */
#ifndef PR_TEST_ENGINE_PEER_H
#define PR_TEST_ENGINE_PEER_H

#include "engine_world.h"
#include "wire_hello.h"

#define EVIL 0xE711ull

typedef struct fixture {
    world *w;
    pr_engine *e;
    pr_link link;
    bool closed;
    uint32_t last_error; /* of an ERROR frame */
    int frames[32];      /* by type, what the engine sent */
    pr_nak nak;
    pr_probe probe; /* the last one */
    pr_probe_ack ack;
    pr_request request;
    pr_decoder *decoder;
    pr_alloc alloc;
    uint8_t in[1 << 20];
    size_t in_size;
    bool preamble;
} fixture;

static inline int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    f->w = world_new();
    f->alloc = pr_alloc_default();
    world_start(f->w, 0, "a", 0);
    f->e = f->w->nodes[0].engine;
    assert_int_equal(pr_decoder_new(&f->alloc, &f->decoder), 0);
    *state = f;
    return 0;
}

static inline int teardown(void **state) {
    fixture *f = *state;
    pr_decoder_free(f->decoder);
    world_free(f->w);
    free(f);
    return 0;
}

static inline void note_frames(fixture *f) {
    size_t used, wanted;
    pr_frame_in frame;
    pr_message message;
    if (!f->preamble && f->in_size >= PR_PREAMBLE_SIZE) {
        f->preamble = true;
        memmove(f->in, f->in + PR_PREAMBLE_SIZE, f->in_size -= PR_PREAMBLE_SIZE);
    }
    while (pr_frame_read(f->in, f->in_size, PR_FRAME_MAX, &frame, &used, &wanted) == 1) {
        assert_int_equal(pr_decode(f->decoder, &frame, &message), 0);
        f->frames[message.type]++;
        if (message.type == PR_ERROR) f->last_error = message.as.error.code;
        if (message.type == PR_NAK) f->nak = message.as.nak;
        if (message.type == PR_PROBE) f->probe = message.as.probe;
        if (message.type == PR_PROBE_ACK) f->ack = message.as.probe_ack;
        if (message.type == PR_REQUEST) f->request = message.as.request;
        memmove(f->in, f->in + used, f->in_size -= used);
    }
}

static inline void act(fixture *f) {
    pr_action action;
    while (pr_engine_next_action(f->e, &action)) {
        if (action.kind == PR_ACTION_SEND) {
            if (action.as.send.link == f->link) {
                memcpy(f->in + f->in_size, action.as.send.bytes->data, action.as.send.bytes->size);
                f->in_size += action.as.send.bytes->size;
                pr_engine_written(f->e, f->link, action.as.send.bytes->size, world_time(f->w));
            }
            pr_bytes_release(action.as.send.bytes);
        }
        if (action.kind == PR_ACTION_CLOSE && action.as.close.link == f->link) f->closed = true;
        if (action.kind == PR_ACTION_DIAL)
            pr_engine_dial_failed(f->e, action.as.dial.id, PR_DIAL_REFUSED, world_time(f->w));
        if (action.kind == PR_ACTION_DIFF) world_note_diff(&f->w->nodes[0], action.as.diff);
        if (action.kind == PR_ACTION_MEMBER) world_note_member(&f->w->nodes[0], &action.as.member);
        if (action.kind == PR_ACTION_ERROR) {
            f->w->nodes[0].last_error = action.as.error.code;
            memcpy(f->w->nodes[0].last_text, action.as.error.text, sizeof f->w->nodes[0].last_text);
        }
        if (action.kind == PR_ACTION_YIELD) f->w->nodes[0].yields++;
    }
    note_frames(f);
}

static inline void say_bytes(fixture *f, const void *data, size_t size) {
    const uint8_t *at = data;
    while (size) {
        size_t used = 0;
        int rc = pr_engine_bytes(f->e, f->link, at, size, &used, world_time(f->w));
        at += used;
        size -= used;
        act(f);
        if (rc != 1) break;
    }
}

static inline void say(fixture *f, const pr_message *message) {
    pr_buffer buffer;
    pr_buffer_init(&buffer, &f->alloc, PR_FRAME_MAX);
    assert_int_equal(pr_encode(&buffer, message, PR_FRAME_MAX), 0);
    say_bytes(f, buffer.data, buffer.size);
    pr_buffer_free(&buffer);
}

static inline void connect_raw(fixture *f) {
    f->link = ++f->w->ids;
    f->closed = f->preamble = false;
    f->in_size = 0;
    memset(f->frames, 0, sizeof f->frames);
    pr_engine_link_up(f->e, f->link, 0, world_time(f->w));
    act(f);
}

static inline void say_preamble(fixture *f) {
    uint8_t preamble[PR_PREAMBLE_SIZE];
    pr_preamble_write(preamble);
    say_bytes(f, preamble, sizeof preamble);
}

static inline pr_message hello_of(const char *name, uint64_t inst) {
    pr_message message = wire_hello(name, inst);
    message.as.hello.self.features = 0x33;
    return message;
}

static inline void link_evil(fixture *f) {
    connect_raw(f);
    say_preamble(f);
    pr_message message = hello_of("evil", EVIL);
    say(f, &message);
    assert_false(f->closed);
    assert_int_equal(f->frames[PR_REQUEST], 1);
}

static inline pr_message empty(uint8_t type) {
    pr_message message;
    memset(&message, 0, sizeof message);
    message.type = type;
    return message;
}

/* Time passes for the engine alone; what it sends is taken. */
static inline void pass(fixture *f, uint64_t ms) {
    for (uint64_t until = f->w->now + ms; f->w->now < until;) {
        uint64_t due = pr_engine_deadline(f->e);
        f->w->now = due > f->w->now && due < until ? due : due <= f->w->now ? f->w->now : until;
        pr_engine_tick(f->e, world_time(f->w));
        act(f);
    }
}

#endif

/* An origin and replicas of it, each log in a store of its own, for tests of single frames. */
#ifndef LOG_PAIR_H
#define LOG_PAIR_H

#include "heap.h"
#include "log.h"
#include <stdio.h>

typedef struct log_side {
    heap heap;
    pr_alloc alloc;
    pr_store *store;
    pr_log *log;
    pr_changes changes;
} log_side;

static inline void side_open(log_side *s, bool own, const pr_log_options *options, uint64_t floor) {
    memset(s, 0, sizeof *s);
    s->alloc = heap_allocator(&s->heap);
    assert_int_equal(pr_store_new(&s->alloc, &s->store), 0);
    assert_int_equal(pr_log_new(&s->alloc, s->store, options, 3, 99, own, floor, &s->log), 0);
    pr_changes_init(&s->changes, &s->alloc);
}

static inline void side_close(log_side *s) {
    pr_log_free(s->log);
    pr_store_free(s->store);
    pr_changes_free(&s->changes);
    assert_int_equal(s->heap.bytes, 0);
}

/* What the caller of apply does with the changes. */
static inline void side_settle(log_side *s) {
    for (size_t i = 0; i < s->changes.size; i++) {
        pr_change *c = &s->changes.items[i];
        if (c->kind == PR_CHANGE_UPDATE) pr_store_meta_release(s->store, &c->old);
        if (c->kind == PR_CHANGE_LEAVE) pr_store_remove(s->store, c->entry);
    }
    s->changes.size = 0;
}

static inline int side_segment(log_side *s, const pr_segment *f) {
    int result = pr_log_apply_segment(s->log, f, &s->changes);
    if (result == PR_APPLIED) side_settle(s);
    return result;
}

static inline int side_live(log_side *s, const pr_live *f) {
    int result = pr_log_apply_live(s->log, f, &s->changes);
    if (result == PR_APPLIED) side_settle(s);
    return result;
}

/* One frame; what serve gave. */
static inline int side_feed(log_side *from, pr_cursor *c, log_side *to, bool patches) {
    pr_served_frame f;
    int served = pr_log_serve(from->log, c, patches, &f);
    if (served == PR_SERVED_SEGMENT) assert_int_equal(side_segment(to, &f.segment), PR_APPLIED);
    if (served == PR_SERVED_LIVE) assert_int_equal(side_live(to, &f.live), PR_APPLIED);
    return served;
}

/* All there is; how many frames. */
static inline unsigned side_catch_up(log_side *from, log_side *to) {
    pr_state s = pr_log_state(to->log);
    pr_cursor c = pr_cursor_from_state(&s);
    unsigned frames = 0;
    while (side_feed(from, &c, to, true) > 0) frames++;
    assert_true(pr_log_complete(to->log));
    return frames;
}

static inline pr_id side_track(log_side *s, const char *topic, const char *key) {
    pr_id id;
    assert_int_equal(pr_log_track(s->log, 0, pr_cstr(topic), pr_cstr(key), pr_cstr("{}"), &id), 0);
    return id;
}

static inline void side_update(log_side *s, uint64_t eid, const char *meta) {
    pr_meta_hold old;
    assert_int_equal(pr_log_update(s->log, pr_log_find(s->log, eid), pr_cstr(meta), &old), 0);
    pr_store_meta_release(s->store, &old);
}

static inline void side_untrack(log_side *s, uint64_t eid) {
    assert_int_equal(pr_log_untrack(s->log, pr_log_find(s->log, eid), PR_REMOVED_UNTRACK), 0);
}

/* Many entities: tracks, updates and removals in a fixed pattern. */
static inline void side_write(log_side *s, uint64_t rounds) {
    char key[24], meta[40];
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t v = pr_log_version(s->log) + 1;
        snprintf(key, sizeof key, "user:%u", (unsigned)v);
        side_track(s, v % 7 ? "room:1" : "room:2", key);
        if (i % 2 == 0 && v > 40 && pr_log_find(s->log, v - 40)) {
            snprintf(meta, sizeof meta, "{\"v\":%u}", (unsigned)v);
            side_update(s, v - 40, meta);
        }
        if (i % 3 == 0 && v > 90 && pr_log_find(s->log, v - 90)) side_untrack(s, v - 90);
    }
}

static inline void assert_same_logs(const log_side *a, const log_side *b) {
    assert_int_equal(pr_log_version(a->log), pr_log_version(b->log));
    assert_int_equal(pr_log_size(a->log), pr_log_size(b->log));
    assert_true(pr_log_sum(a->log) == pr_log_sum(b->log));
}

#endif

/* For tests on the public header: opening trackers from a list of options, texts, events kept, waiting. */
#ifndef PR_TEST_TRACKERS_H
#define PR_TEST_TRACKERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <presence.h>

#define PATIENCE_MS 20000 /* until a test gives up; nothing is said about how fast it should be */

static inline presence_str S(const char *text) {
    presence_str out = {text, strlen(text)};
    return out;
}

static inline int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Turns over a condition until it holds; false after PATIENCE_MS. */
static inline bool wait_until(bool (*holds)(void *), void *of) {
    int64_t deadline = now_ms() + PATIENCE_MS;
    struct timespec pause = {0, 2000000};
    while (!holds(of)) {
        if (now_ms() > deadline) return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

/* options: name, value, …, NULL */
static inline presence_config *make_config(const char *const *options) {
    presence_config *config = presence_config_new();
    assert_non_null(config);
    for (; options && options[0]; options += 2) {
        int failed = presence_config_set(config, options[0], options[1]);
        if (failed) fail_msg("%s", presence_config_message(config));
    }
    return config;
}

static inline presence_tracker *open_tracker(const char *const *options) {
    presence_config *config = make_config(options);
    presence_tracker *tracker = NULL;
    int failed = presence_tracker_open(config, &tracker);
    if (failed) fail_msg("%s", presence_config_message(config));
    presence_config_free(config);
    return tracker;
}

static inline presence_tracker *open_memory(void) {
    const char *const options[] = {"transport", "memory", NULL};
    return open_tracker(options);
}

static inline presence_owner open_owner(presence_tracker *tracker) {
    presence_owner owner = 0;
    assert_int_equal(presence_owner_open(tracker, &owner), 0);
    return owner;
}

static inline presence_ref track(presence_tracker *tracker, presence_owner owner, const char *topic, const char *key,
                                 const char *meta) {
    presence_ref ref;
    assert_int_equal(presence_track(tracker, owner, S(topic), S(key), S(meta), &ref), 0);
    return ref;
}

static inline size_t count_metas(presence_tracker *tracker, const char *topic) {
    size_t keys, metas;
    assert_int_equal(presence_count(tracker, S(topic), &keys, &metas), 0);
    return metas;
}

/* Fold of a topic by ref, fed from diffs and resyncs; and counts of everything else. */
#define KEPT_MAX 4096
typedef struct kept {
    char refs[KEPT_MAX][32];
    size_t size;
    unsigned diffs, resyncs, members, synced, errors, stopped, bad;
    unsigned joins, updates, leaves;
    int last_kind, last_error, last_reason, member_status;
    char last_meta[256], last_message[512], error_message[512];
    uint64_t last_seq;
} kept;

static inline bool kept_find(const kept *k, presence_str ref, size_t *at) {
    for (size_t i = 0; i < k->size; i++) {
        if (strlen(k->refs[i]) == ref.size && memcmp(k->refs[i], ref.data, ref.size) == 0) {
            if (at) *at = i;
            return true;
        }
    }
    return false;
}

static inline void kept_remove(kept *k, presence_str ref) {
    size_t at;
    if (!kept_find(k, ref, &at)) {
        k->bad++;
        return;
    }
    memcpy(k->refs[at], k->refs[--k->size], sizeof k->refs[at]);
}

static inline void kept_add(kept *k, presence_str ref) {
    if (kept_find(k, ref, NULL) || k->size == KEPT_MAX) {
        k->bad++;
        return;
    }
    memcpy(k->refs[k->size], ref.data, ref.size);
    k->refs[k->size++][ref.size] = 0;
}

static inline void kept_change(kept *k, const presence_entry *entry) {
    if (entry->kind != PRESENCE_JOIN) kept_remove(k, entry->kind == PRESENCE_UPDATE ? entry->prev_ref : entry->ref);
    if (entry->kind != PRESENCE_LEAVE) kept_add(k, entry->ref);
    k->joins += entry->kind == PRESENCE_JOIN;
    k->updates += entry->kind == PRESENCE_UPDATE;
    k->leaves += entry->kind == PRESENCE_LEAVE;
    if (entry->kind == PRESENCE_LEAVE) k->last_reason = entry->reason;
    snprintf(k->last_meta, sizeof k->last_meta, "%.*s", (int)entry->meta.size, entry->meta.data);
}

static inline void keep(const presence_event *event, void *user) {
    kept *k = user;
    presence_member member = {.size = sizeof member};
    presence_entry entry = {.size = sizeof entry};
    presence_str message = presence_event_message(event);
    k->last_kind = presence_event_kind(event);
    k->diffs += k->last_kind == PRESENCE_EVENT_DIFF;
    k->resyncs += k->last_kind == PRESENCE_EVENT_RESYNC;
    k->synced += k->last_kind == PRESENCE_EVENT_SYNCED;
    k->errors += k->last_kind == PRESENCE_EVENT_ERROR;
    if (k->stopped) k->bad++; /* nothing may follow */
    k->stopped += k->last_kind == PRESENCE_EVENT_STOPPED;
    k->last_error = presence_event_error(event);
    if (k->last_kind == PRESENCE_EVENT_ERROR) {
        snprintf(k->error_message, sizeof k->error_message, "%.*s", (int)message.size, message.data);
    }
    if (message.size) snprintf(k->last_message, sizeof k->last_message, "%.*s", (int)message.size, message.data);
    if (presence_event_member(event, &member) == 0) k->members++, k->member_status = member.status;
    if (k->last_kind == PRESENCE_EVENT_RESYNC) k->size = 0;
    if (presence_event_seq(event)) {
        if (presence_event_seq(event) < k->last_seq) k->bad++;
        k->last_seq = presence_event_seq(event);
    }
    for (size_t i = 0; i < presence_event_size(event); i++) {
        if (presence_event_at(event, i, &entry) != 0)
            k->bad++;
        else if (k->last_kind == PRESENCE_EVENT_DIFF)
            kept_change(k, &entry);
        else
            kept_add(k, entry.ref);
    }
}

static inline void drain_all(presence_tracker *tracker, kept *k) {
    size_t delivered = 1;
    while (delivered) assert_int_equal(presence_drain(tracker, 0, keep, k, &delivered), 0);
}

/* The fold must be what list gives. */
static inline void assert_folded(presence_tracker *tracker, const char *topic, const kept *k) {
    presence_snapshot *snapshot;
    presence_entry entry = {.size = sizeof entry};
    assert_int_equal(k->bad, 0);
    assert_int_equal(presence_list(tracker, S(topic), &snapshot), 0);
    assert_int_equal(presence_snapshot_size(snapshot), k->size);
    for (size_t i = 0; i < k->size; i++) {
        assert_int_equal(presence_snapshot_at(snapshot, i, &entry), 0);
        assert_true(kept_find(k, entry.ref, NULL));
    }
    presence_snapshot_free(snapshot);
}

#endif

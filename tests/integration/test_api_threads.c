/* Many threads on one tracker: changes, reads, drains, stops; for the thread sanitizer and for the fold. */
#include "trackers.h"
#include <pthread.h>
#include <stdatomic.h>

typedef struct shared {
    presence_tracker *tracker;
    atomic_bool ending;
    atomic_int failures;
} shared;

static void note(shared *s, int result) {
    if (result != 0 && result != PRESENCE_ECLOSED) atomic_fetch_add(&s->failures, 1);
}

static void *change(void *argument) {
    shared *s = argument;
    for (int round = 0; !atomic_load(&s->ending); round++) {
        presence_owner owner;
        if (presence_owner_open(s->tracker, &owner) != 0) return NULL;
        for (int i = 0; i < 20; i++) {
            char key[16], topic[16], meta[32];
            snprintf(key, sizeof key, "u%d", i);
            snprintf(topic, sizeof topic, "t%d", i % 3);
            snprintf(meta, sizeof meta, "{\"r\":%d}", round);
            note(s, presence_track(s->tracker, owner, S(topic), S(key), S(""), NULL));
            note(s, presence_update(s->tracker, owner, S(topic), S(key), S(meta), NULL));
            if (i % 4 == 0) note(s, presence_untrack(s->tracker, owner, S(topic), S(key), NULL));
        }
        note(s, presence_owner_close(s->tracker, owner));
    }
    return NULL;
}

static void *look(void *argument) {
    shared *s = argument;
    while (!atomic_load(&s->ending)) {
        presence_snapshot *list;
        presence_str json;
        presence_statistics stats = {.size = sizeof stats};
        size_t keys, metas;
        if (presence_list_json(s->tracker, S("t1"), &list, &json) == 0) {
            presence_entry entry = {.size = sizeof entry};
            for (size_t i = 0; i < presence_snapshot_size(list); i++) {
                note(s, presence_snapshot_at(list, i, &entry));
                if (entry.ref.size != 22) atomic_fetch_add(&s->failures, 1);
            }
            presence_snapshot_free(list);
        }
        note(s, presence_count(s->tracker, S("t0"), &keys, &metas));
        note(s, presence_stats(s->tracker, &stats));
        if (presence_members(s->tracker, &list) == 0) presence_snapshot_free(list);
        if (presence_topics(s->tracker, &list) == 0) presence_snapshot_free(list);
        if (presence_get_by_key(s->tracker, S("t2"), S("u2"), &list) == 0) presence_snapshot_free(list);
    }
    return NULL;
}

static void *subscribe_and_not(void *argument) {
    shared *s = argument;
    while (!atomic_load(&s->ending)) {
        presence_snapshot *list = NULL;
        if (presence_subscribe(s->tracker, S("t2"), &list) == 0) presence_snapshot_free(list);
        note(s, presence_unsubscribe(s->tracker, S("t2")));
    }
    return NULL;
}

static void no_wake(void *user) { atomic_fetch_add((atomic_int *)user, 1); }

static void *set_and_remove_wake(void *argument) {
    shared *s = argument;
    while (!atomic_load(&s->ending)) {
        atomic_int wakes = 0; /* its life proves that no wake runs after removal */
        note(s, presence_set_wake_callback(s->tracker, no_wake, &wakes));
        note(s, presence_set_wake_callback(s->tracker, NULL, NULL));
    }
    return NULL;
}

static void hammering_keeps_the_fold(void **state) {
    (void)state;
    static kept k;
    memset(&k, 0, sizeof k);
    const char *const options[] = {"queue_bytes", "65536", NULL};
    shared s = {.tracker = open_tracker(options)};
    pthread_t threads[6];
    void *(*const bodies[6])(void *) = {change, change, look, look, subscribe_and_not, set_and_remove_wake};
    assert_int_equal(presence_subscribe(s.tracker, S("t1"), NULL), 0);
    for (int i = 0; i < 6; i++) assert_int_equal(pthread_create(&threads[i], NULL, bodies[i], &s), 0);
    for (int i = 0; i < 2000; i++) {
        size_t delivered;
        assert_int_equal(presence_drain(s.tracker, 5, keep, &k, &delivered), 0);
    }
    atomic_store(&s.ending, true);
    for (int i = 0; i < 6; i++) pthread_join(threads[i], NULL);
    presence_unsubscribe(s.tracker, S("t2"));
    assert_int_equal(atomic_load(&s.failures), 0);
    presence_tracker_close(s.tracker);
}

/* The fold over one topic while two threads write it. */
static void *write_one(void *argument) {
    shared *s = argument;
    presence_owner owner = open_owner(s->tracker);
    for (int i = 0; i < 4000; i++) {
        char key[16];
        snprintf(key, sizeof key, "u%d", i % 23);
        if (presence_track(s->tracker, owner, S("room"), S(key), S(""), NULL) == PRESENCE_ETRACKED) {
            note(s, presence_untrack(s->tracker, owner, S("room"), S(key), NULL));
        }
    }
    atomic_fetch_add(&s->failures, 1 << 16); /* counts the finished */
    return NULL;
}

static void two_writers_one_reader(void **state) {
    (void)state;
    static kept k;
    memset(&k, 0, sizeof k);
    shared s = {.tracker = open_memory()};
    pthread_t a, b;
    assert_int_equal(presence_subscribe(s.tracker, S("room"), NULL), 0);
    assert_int_equal(pthread_create(&a, NULL, write_one, &s), 0);
    assert_int_equal(pthread_create(&b, NULL, write_one, &s), 0);
    while (atomic_load(&s.failures) >> 16 < 2) presence_drain(s.tracker, 0, keep, &k, NULL);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    drain_all(s.tracker, &k);
    assert_int_equal(atomic_load(&s.failures) & 0xffff, 0);
    assert_folded(s.tracker, "room", &k);
    presence_tracker_close(s.tracker);
}

static void *stop_it(void *argument) {
    shared *s = argument;
    if (presence_tracker_stop(s->tracker, 1000) != 0) atomic_fetch_add(&s->failures, 1);
    return NULL;
}

static void *wait_for_sync(void *argument) {
    shared *s = argument;
    int result;
    while ((result = presence_wait_synced(s->tracker, 1000)) >= 0 && !atomic_load(&s->ending)) {}
    if (result < 0 && result != PRESENCE_ECLOSED) atomic_fetch_add(&s->failures, 1);
    return NULL;
}

static void several_stop_at_once_under_load(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        static kept k;
        memset(&k, 0, sizeof k);
        shared s = {.tracker = open_tracker(NULL)};
        pthread_t threads[6];
        void *(*const bodies[6])(void *) = {change, look, wait_for_sync, stop_it, stop_it, stop_it};
        for (int i = 0; i < 6; i++) assert_int_equal(pthread_create(&threads[i], NULL, bodies[i], &s), 0);
        for (int i = 3; i < 6; i++) pthread_join(threads[i], NULL);
        atomic_store(&s.ending, true);
        for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
        assert_int_equal(atomic_load(&s.failures), 0);
        drain_all(s.tracker, &k);
        assert_int_equal(k.stopped, 1);
        presence_tracker_close(s.tracker);
    }
}

static void open_and_close_many_times(void **state) {
    (void)state;
    for (int i = 0; i < 30; i++) {
        presence_tracker *tracker = open_tracker(NULL);
        if (i % 2) track(tracker, open_owner(tracker), "room", "u1", "{}");
        presence_tracker_close(tracker);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hammering_keeps_the_fold),
        cmocka_unit_test(two_writers_one_reader),
        cmocka_unit_test(several_stop_at_once_under_load),
        cmocka_unit_test(open_and_close_many_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

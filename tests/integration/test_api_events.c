/* Events of one member: subscribe, drain, wake, overflow and resync, the dispatch thread, what callbacks may call. */
#include "trackers.h"
#include <pthread.h>
#include <stdatomic.h>

static void a_subscription_has_no_gap(void **state) {
    (void)state;
    presence_tracker *tracker = open_memory();
    presence_owner owner = open_owner(tracker);
    presence_snapshot *first;
    static kept k;
    memset(&k, 0, sizeof k);
    track(tracker, owner, "room", "before", "{}");
    assert_int_equal(presence_subscribe(tracker, S("room"), &first), 0);
    assert_int_equal(presence_snapshot_size(first), 1);
    presence_entry entry = {.size = sizeof entry};
    assert_int_equal(presence_snapshot_at(first, 0, &entry), 0);
    kept_add(&k, entry.ref);
    k.last_seq = presence_snapshot_seq(first);
    track(tracker, owner, "room", "after", "{\"a\":1}");
    assert_int_equal(presence_update(tracker, owner, S("room"), S("after"), S("{\"a\":2}"), NULL), 0);
    track(tracker, owner, "elsewhere", "u", "{}"); /* nobody subscribed */
    presence_untrack(tracker, owner, S("room"), S("before"), NULL);
    drain_all(tracker, &k);
    assert_int_equal(k.joins, 1);
    assert_int_equal(k.updates, 1);
    assert_int_equal(k.leaves, 1);
    assert_string_equal(k.last_meta, "{}");
    assert_folded(tracker, "room", &k);
    presence_snapshot_free(first);
    presence_tracker_close(tracker);
}

static void unsubscribed_diffs_are_not_delivered(void **state) {
    (void)state;
    presence_tracker *tracker = open_memory();
    presence_owner owner = open_owner(tracker);
    static kept k;
    memset(&k, 0, sizeof k);
    assert_int_equal(presence_subscribe(tracker, S("room"), NULL), 0);
    track(tracker, owner, "room", "u1", "{}");
    assert_int_equal(presence_unsubscribe(tracker, S("room")), 0);
    track(tracker, owner, "room", "u2", "{}");
    drain_all(tracker, &k);
    assert_int_equal(k.diffs, 0);
    track(tracker, owner, "room", "u3", "{}");
    assert_int_equal(presence_subscribe(tracker, S("room"), NULL), 0);
    drain_all(tracker, &k);
    assert_int_equal(k.diffs, 0); /* older than the subscription */
    track(tracker, owner, "room", "u5", "{}");
    assert_int_equal(presence_unsubscribe(tracker, S("room")), 0);
    assert_int_equal(presence_subscribe(tracker, S("room"), NULL), 0);
    drain_all(tracker, &k);
    assert_int_equal(k.diffs, 0); /* of the earlier subscription, and in the first state of this one */
    assert_int_equal(presence_subscribe_all(tracker), 0);
    track(tracker, owner, "elsewhere", "u4", "{}");
    drain_all(tracker, &k);
    assert_int_equal(k.diffs, 1);
    presence_tracker_close(tracker);
}

static void an_owner_leaves_in_one_diff_per_topic(void **state) {
    (void)state;
    presence_tracker *tracker = open_memory();
    presence_owner owner = open_owner(tracker);
    static kept k;
    memset(&k, 0, sizeof k);
    presence_subscribe_all(tracker);
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof key, "u%d", i);
        track(tracker, owner, i % 2 ? "odd" : "even", key, "{}");
    }
    drain_all(tracker, &k);
    assert_int_equal(k.diffs, 50);
    assert_int_equal(presence_owner_close(tracker, owner), 0);
    drain_all(tracker, &k);
    assert_int_equal(k.diffs, 52);
    assert_int_equal(k.leaves, 50);
    assert_int_equal(k.last_reason, PRESENCE_REASON_OWNER_CLOSED);
    assert_int_equal(k.bad, 0);
    presence_tracker_close(tracker);
}

static void json_of_a_diff(const presence_event *event, void *user) {
    presence_str json, again;
    if (presence_event_kind(event) != PRESENCE_EVENT_DIFF) return;
    assert_int_equal(presence_diff_json(event, &json), 0);
    assert_int_equal(presence_diff_json(event, &again), 0);
    assert_ptr_equal(json.data, again.data); /* built once */
    snprintf(user, 512, "%.*s", (int)json.size, json.data);
}

static void a_diff_as_json(void **state) {
    (void)state;
    presence_tracker *tracker = open_memory();
    char json[512] = "", expected[512];
    presence_subscribe_all(tracker);
    presence_ref ref = track(tracker, open_owner(tracker), "room", "u1", "{\"a\":1}");
    assert_int_equal(presence_drain(tracker, 0, json_of_a_diff, json, NULL), 0);
    snprintf(expected, sizeof expected, "{\"joins\":{\"u1\":{\"metas\":[{\"a\":1,\"phx_ref\":\"%s\"}]}},\"leaves\":{}}",
             ref.text);
    assert_string_equal(json, expected);
    presence_tracker_close(tracker);
}

/* ---- wake ---- */
static void on_wake(void *user) { atomic_fetch_add((atomic_int *)user, 1); }

static bool woken(void *count) { return atomic_load((atomic_int *)count) > 0; }

static void wake_comes_when_the_queue_fills(void **state) {
    (void)state;
    presence_tracker *tracker = open_memory();
    presence_owner owner = open_owner(tracker);
    atomic_int wakes = 0;
    static kept k;
    memset(&k, 0, sizeof k);
    presence_subscribe_all(tracker);
    assert_int_equal(presence_wait_synced(tracker, PATIENCE_MS), 1);
    drain_all(tracker, &k);
    assert_int_equal(presence_set_wake_callback(tracker, on_wake, &wakes), 0);
    assert_int_equal(atomic_load(&wakes), 0);
    track(tracker, owner, "room", "u1", "{}");
    assert_true(wait_until(woken, &wakes));
    track(tracker, owner, "room", "u2", "{}");
    track(tracker, owner, "room", "u3", "{}");
    atomic_store(&wakes, 0);
    size_t delivered;
    assert_int_equal(presence_drain(tracker, 1, keep, &k, &delivered), 0);
    assert_int_equal(delivered, 1);
    assert_int_equal(atomic_load(&wakes), 1); /* events are left */
    drain_all(tracker, &k);
    assert_int_equal(presence_set_wake_callback(tracker, NULL, NULL), 0);
    atomic_store(&wakes, 0);
    track(tracker, owner, "room", "u4", "{}");
    assert_int_equal(presence_set_wake_callback(tracker, on_wake, &wakes), 0); /* at once: one event waits */
    assert_int_equal(atomic_load(&wakes), 1);
    assert_int_equal(k.bad, 0);
    presence_tracker_close(tracker);
}

typedef struct slow_wake {
    atomic_int entered, finished;
} slow_wake;

static void on_slow_wake(void *user) {
    slow_wake *w = user;
    struct timespec work = {0, 100000000};
    if (atomic_fetch_add(&w->entered, 1) == 0) nanosleep(&work, NULL);
    atomic_fetch_add(&w->finished, 1);
}

static void no_wake_runs_after_it_is_removed(void **state) {
    (void)state;
    presence_tracker *tracker = open_memory();
    slow_wake w = {0};
    static kept k;
    memset(&k, 0, sizeof k);
    presence_subscribe_all(tracker);
    assert_int_equal(presence_wait_synced(tracker, PATIENCE_MS), 1);
    drain_all(tracker, &k);
    assert_int_equal(presence_set_wake_callback(tracker, on_slow_wake, &w), 0);
    track(tracker, open_owner(tracker), "room", "u1", "{}");
    assert_true(wait_until(woken, &w.entered));
    assert_int_equal(presence_set_wake_callback(tracker, NULL, NULL), 0);
    assert_int_equal(atomic_load(&w.finished), atomic_load(&w.entered));
    presence_tracker_close(tracker);
}

static void stop_wakes_for_the_last_event(void **state) {
    (void)state;
    presence_tracker *tracker = open_memory();
    atomic_int wakes = 0;
    static kept k;
    memset(&k, 0, sizeof k);
    assert_int_equal(presence_wait_synced(tracker, PATIENCE_MS), 1);
    drain_all(tracker, &k);
    assert_int_equal(presence_set_wake_callback(tracker, on_wake, &wakes), 0);
    assert_int_equal(presence_tracker_stop(tracker, 1000), 0);
    assert_int_equal(atomic_load(&wakes), 1);
    drain_all(tracker, &k);
    assert_int_equal(k.stopped, 1);
    presence_tracker_close(tracker);
}

/* ---- overflow ---- */
static void overflow_becomes_one_resync_per_topic(void **state) {
    (void)state;
    const char *const options[] = {"transport", "memory", "queue_bytes", "16384", NULL};
    presence_tracker *tracker = open_tracker(options);
    presence_owner owner = open_owner(tracker);
    static kept a, quiet;
    memset(&a, 0, sizeof a);
    memset(&quiet, 0, sizeof quiet);
    assert_int_equal(presence_wait_synced(tracker, PATIENCE_MS), 1);
    assert_int_equal(presence_subscribe(tracker, S("a"), NULL), 0);
    assert_int_equal(presence_subscribe(tracker, S("b"), NULL), 0);
    for (int i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof key, "u%d", i);
        track(tracker, owner, i % 10 ? "a" : "b", key, "{\"some\":\"meta\"}");
        if (i % 3 == 0) presence_untrack(tracker, owner, S(i % 10 ? "a" : "b"), S(key), NULL);
    }
    presence_statistics stats = {.size = sizeof stats};
    assert_int_equal(presence_stats(tracker, &stats), 0);
    assert_true(stats.queue_bytes < 2 * 16384);
    assert_true(stats.resyncs >= 2);
    presence_unsubscribe(tracker, S("b"));
    drain_all(tracker, &a);
    assert_int_equal(a.resyncs, 1);
    assert_folded(tracker, "a", &a);
    track(tracker, owner, "a", "later", "{}");
    drain_all(tracker, &a);
    assert_int_equal(a.last_kind, PRESENCE_EVENT_DIFF);
    assert_folded(tracker, "a", &a);
    presence_tracker_close(tracker);
}

/* A consumer that drains a little while others write: it must end with exactly what list gives. */
typedef struct writing {
    presence_tracker *tracker;
    int rounds;
    atomic_bool done;
} writing;

static void *write_much(void *argument) {
    writing *w = argument;
    presence_owner owner = open_owner(w->tracker);
    for (int i = 0; i < w->rounds; i++) {
        char key[16], meta[32];
        snprintf(key, sizeof key, "u%d", i % 37);
        snprintf(meta, sizeof meta, "{\"i\":%d}", i);
        if (presence_track(w->tracker, owner, S("a"), S(key), S(meta), NULL) == PRESENCE_ETRACKED) {
            if (i % 5)
                presence_update(w->tracker, owner, S("a"), S(key), S(meta), NULL);
            else
                presence_untrack(w->tracker, owner, S("a"), S(key), NULL);
        }
    }
    atomic_store(&w->done, true);
    return NULL;
}

static void a_slow_consumer_never_disagrees(void **state) {
    (void)state;
    const char *const options[] = {"transport", "memory", "queue_bytes", "16384", NULL};
    presence_tracker *tracker = open_tracker(options);
    static kept k;
    memset(&k, 0, sizeof k);
    assert_int_equal(presence_wait_synced(tracker, PATIENCE_MS), 1);
    assert_int_equal(presence_subscribe(tracker, S("a"), NULL), 0);
    writing w = {.tracker = tracker, .rounds = 20000};
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, write_much, &w), 0);
    while (!atomic_load(&w.done)) presence_drain(tracker, 3, keep, &k, NULL);
    pthread_join(writer, NULL);
    drain_all(tracker, &k);
    assert_folded(tracker, "a", &k);
    presence_tracker_close(tracker);
}

/* ---- inside callbacks ---- */
typedef struct inside {
    presence_tracker *tracker;
    presence_owner owner;
    int drain, stop, dispatch, track, list;
    unsigned calls;
} inside;

static void call_everything(const presence_event *event, void *user) {
    inside *in = user;
    presence_snapshot *list;
    if (presence_event_kind(event) != PRESENCE_EVENT_DIFF || in->calls++) return;
    in->drain = presence_drain(in->tracker, 0, keep, NULL, NULL);
    in->stop = presence_tracker_stop(in->tracker, 0);
    presence_tracker_close(in->tracker); /* does nothing here */
    in->dispatch = presence_set_diff_callback(in->tracker, NULL, NULL);
    in->track = presence_track(in->tracker, in->owner, S("room"), S("inner"), S("{}"), NULL);
    in->list = presence_list(in->tracker, S("room"), &list);
    if (in->list == 0) presence_snapshot_free(list);
}

static void what_callbacks_may_call(void **state) {
    (void)state;
    presence_tracker *tracker = open_memory();
    inside in = {.tracker = tracker, .owner = open_owner(tracker)};
    presence_subscribe_all(tracker);
    track(tracker, in.owner, "room", "u1", "{}");
    assert_int_equal(presence_drain(tracker, 0, call_everything, &in, NULL), 0);
    assert_int_equal(in.calls, 1);
    assert_int_equal(in.drain, PRESENCE_ESTATE);
    assert_int_equal(in.stop, PRESENCE_ETHREAD);
    assert_int_equal(in.dispatch, PRESENCE_ETHREAD);
    assert_int_equal(in.track, 0);
    assert_int_equal(in.list, 0);
    assert_int_equal(count_metas(tracker, "room"), 2);
    presence_tracker_close(tracker);
}

/* ---- the dispatch thread ---- */
typedef struct dispatched {
    pthread_mutex_t mutex;
    kept kept;
    pthread_t thread;
} dispatched;

static void on_dispatch(const presence_event *event, void *user) {
    dispatched *d = user;
    pthread_mutex_lock(&d->mutex);
    keep(event, &d->kept);
    d->thread = pthread_self();
    pthread_mutex_unlock(&d->mutex);
}

static bool three_joins(void *user) {
    dispatched *d = user;
    pthread_mutex_lock(&d->mutex);
    bool all = d->kept.joins == 3;
    pthread_mutex_unlock(&d->mutex);
    return all;
}

static void the_dispatch_thread_delivers(void **state) {
    (void)state;
    static dispatched d;
    memset(&d, 0, sizeof d);
    pthread_mutex_init(&d.mutex, NULL);
    presence_tracker *tracker = open_memory();
    presence_owner owner = open_owner(tracker);
    atomic_int wakes = 0;
    presence_subscribe_all(tracker);
    assert_int_equal(presence_set_diff_callback(tracker, on_dispatch, &d), 0);
    assert_int_equal(presence_set_diff_callback(tracker, on_dispatch, &d), PRESENCE_ESTATE);
    assert_int_equal(presence_set_wake_callback(tracker, on_wake, &wakes), PRESENCE_ESTATE);
    assert_int_equal(presence_drain(tracker, 0, keep, &d.kept, NULL), PRESENCE_ESTATE);
    for (int i = 0; i < 3; i++) track(tracker, owner, "room", i == 0 ? "a" : i == 1 ? "b" : "c", "{}");
    assert_true(wait_until(three_joins, &d));
    assert_false(pthread_equal(d.thread, pthread_self()));
    assert_int_equal(presence_set_diff_callback(tracker, NULL, NULL), 0);
    track(tracker, owner, "room", "d", "{}");
    static kept k;
    memset(&k, 0, sizeof k);
    drain_all(tracker, &k);
    assert_int_equal(k.joins, 1);
    assert_int_equal(presence_set_diff_callback(tracker, on_dispatch, &d), 0);
    assert_int_equal(presence_tracker_stop(tracker, PATIENCE_MS), 0);
    assert_int_equal(d.kept.stopped, 1); /* delivered before stop returns */
    assert_int_equal(d.kept.bad, 0);
    presence_tracker_close(tracker);
    pthread_mutex_destroy(&d.mutex);
}

static void wake_and_dispatch_exclude_each_other(void **state) {
    (void)state;
    presence_tracker *tracker = open_memory();
    atomic_int wakes = 0;
    assert_int_equal(presence_set_wake_callback(tracker, on_wake, &wakes), 0);
    assert_int_equal(presence_set_diff_callback(tracker, keep, NULL), PRESENCE_ESTATE);
    assert_int_equal(presence_set_diff_callback(tracker, NULL, NULL), 0);
    presence_tracker_close(tracker);
}

/* ---- log ---- */
static void on_log(int level, const char *line, void *user) {
    char *all = user;
    size_t used = strlen(all);
    snprintf(all + used, 2048 - used, "%d %s\n", level, line);
}

static void log_lines(void **state) {
    (void)state;
    static char all[2048];
    const char *const options[] = {"transport", "memory", "log_level", "info", NULL};
    presence_config *config = make_config(options);
    presence_tracker *tracker;
    assert_int_equal(presence_config_set_log(config, on_log, all), 0);
    assert_int_equal(presence_tracker_open(config, &tracker), 0);
    presence_config_free(config);
    assert_int_equal(presence_wait_synced(tracker, PATIENCE_MS), 1);
    presence_tracker_close(tracker);
    assert_non_null(strstr(all, "3 tracker.opened address=none\n"));
    assert_non_null(strstr(all, "3 tracker.synced as=alone\n"));
    assert_non_null(strstr(all, "3 tracker.stopped reason=stop\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subscription_has_no_gap),
        cmocka_unit_test(unsubscribed_diffs_are_not_delivered),
        cmocka_unit_test(an_owner_leaves_in_one_diff_per_topic),
        cmocka_unit_test(a_diff_as_json),
        cmocka_unit_test(wake_comes_when_the_queue_fills),
        cmocka_unit_test(no_wake_runs_after_it_is_removed),
        cmocka_unit_test(stop_wakes_for_the_last_event),
        cmocka_unit_test(overflow_becomes_one_resync_per_topic),
        cmocka_unit_test(a_slow_consumer_never_disagrees),
        cmocka_unit_test(what_callbacks_may_call),
        cmocka_unit_test(the_dispatch_thread_delivers),
        cmocka_unit_test(wake_and_dispatch_exclude_each_other),
        cmocka_unit_test(log_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

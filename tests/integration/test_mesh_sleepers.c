/* Over real connections: a callback that sleeps costs its member nothing but late events (R13), and members of one
 * process that leave at the same time are seen to leave, at once and for that reason (R19). */
#include "trackers.h"
#include <pthread.h>

#define BEATS "heartbeat_ms", "50", "suspect_ms", "1500", "permdown_ms", "60000"

static presence_tracker *member(const char *name, presence_tracker *seed) {
    char address[80] = "";
    if (seed) assert_int_equal(presence_tracker_address(seed, address, sizeof address), 0);
    const char *const options[] = {"name", name, "join", address, BEATS, NULL};
    return open_tracker(options);
}

/* What is awaited of a tracker. */
typedef struct wanted {
    presence_tracker *tracker;
    size_t metas, members;
    uint64_t frames;
} wanted;

static bool has_metas(void *user) {
    wanted *w = user;
    return count_metas(w->tracker, "room") == w->metas;
}

static bool has_members(void *user) {
    wanted *w = user;
    presence_snapshot *members;
    presence_member m = {.size = sizeof m};
    size_t up = 0;
    assert_int_equal(presence_members(w->tracker, &members), 0);
    for (size_t i = 0; i < presence_snapshot_size(members); i++) {
        assert_int_equal(presence_snapshot_member_at(members, i, &m), 0);
        up += m.status == PRESENCE_MEMBER_UP;
    }
    presence_snapshot_free(members);
    return up == w->members;
}

static uint64_t frames_in(presence_tracker *tracker) {
    presence_statistics s = {.size = sizeof s};
    assert_int_equal(presence_stats(tracker, &s), 0);
    return s.frames_in;
}

static bool has_frames(void *user) {
    wanted *w = user;
    return frames_in(w->tracker) >= w->frames;
}

/* ---- the sleeper ---- */
typedef struct sleeper {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool asleep, awake;
    kept kept;
} sleeper;

static void on_event(const presence_event *event, void *user) {
    sleeper *s = user;
    pthread_mutex_lock(&s->mutex);
    if (presence_event_kind(event) == PRESENCE_EVENT_DIFF) s->asleep = true;
    while (s->asleep && !s->awake) pthread_cond_wait(&s->wake, &s->mutex);
    keep(event, &s->kept);
    pthread_mutex_unlock(&s->mutex);
}

static bool is_asleep(void *user) {
    sleeper *s = user;
    pthread_mutex_lock(&s->mutex);
    bool asleep = s->asleep;
    pthread_mutex_unlock(&s->mutex);
    return asleep;
}

static bool has_told_all(void *user) {
    sleeper *s = user;
    pthread_mutex_lock(&s->mutex);
    bool all = s->kept.size == 61;
    pthread_mutex_unlock(&s->mutex);
    return all;
}

static void count_downs(const presence_event *event, void *user) {
    presence_member m = {.size = sizeof m};
    if (presence_event_member(event, &m) == 0) *(int *)user += m.status == PRESENCE_MEMBER_DOWN;
}

static void a_callback_that_sleeps_costs_only_its_own_events(void **state) {
    (void)state;
    static sleeper s = {.mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    presence_tracker *a = member("a", NULL), *b = member("b", a);
    presence_owner of_a = open_owner(a), of_b = open_owner(b);
    wanted both = {.tracker = b, .members = 2}, all = {.tracker = a, .metas = 61};
    char key[16];
    int downs = 0;
    assert_true(wait_until(has_members, &both));
    assert_int_equal(presence_subscribe(a, S("room"), NULL), 0);
    assert_int_equal(presence_set_diff_callback(a, on_event, &s), 0);
    track(b, of_b, "room", "first", "{}");
    assert_true(wait_until(is_asleep, &s));
    for (int i = 0; i < 60; i++) { /* here and there life goes on */
        snprintf(key, sizeof key, "u%d", i);
        track(i % 2 ? a : b, i % 2 ? of_a : of_b, "room", key, "{}");
    }
    assert_true(wait_until(has_metas, &all));
    all.tracker = b;
    assert_true(wait_until(has_metas, &all));
    wanted beats = {.tracker = b, .frames = frames_in(b) + 60}; /* twice the silence that would be death */
    assert_true(wait_until(has_frames, &beats));
    assert_int_equal(presence_drain(b, 0, count_downs, &downs, NULL), 0);
    assert_int_equal(downs, 0);
    assert_true(has_members(&both));
    both.tracker = a;
    assert_true(has_members(&both));
    pthread_mutex_lock(&s.mutex);
    s.awake = true;
    pthread_cond_signal(&s.wake);
    pthread_mutex_unlock(&s.mutex);
    assert_true(wait_until(has_told_all, &s));
    assert_int_equal(presence_set_diff_callback(a, NULL, NULL), 0);
    assert_folded(a, "room", &s.kept);
    presence_tracker_close(b);
    presence_tracker_close(a);
}

/* ---- leaving ---- */
static void *leave(void *tracker) {
    assert_int_equal(presence_tracker_stop(tracker, PATIENCE_MS), 0);
    return NULL;
}

typedef struct leaves {
    size_t left, otherwise, diffs;
} leaves;

static void count_leaves(const presence_event *event, void *user) {
    leaves *l = user;
    presence_entry e = {.size = sizeof e};
    if (presence_event_kind(event) != PRESENCE_EVENT_DIFF) return;
    l->diffs++;
    for (size_t i = 0; i < presence_event_size(event); i++) {
        assert_int_equal(presence_event_at(event, i, &e), 0);
        if (e.kind == PRESENCE_LEAVE) (*(e.reason == PRESENCE_REASON_MEMBER_LEFT ? &l->left : &l->otherwise))++;
    }
}

static void two_of_one_process_leave_at_the_same_time(void **state) {
    (void)state;
    presence_tracker *a = member("a", NULL), *b = member("b", a), *c = member("c", a);
    wanted all = {.tracker = a, .metas = 301, .members = 3};
    char key[16];
    assert_true(wait_until(has_members, &all));
    presence_owner of_b = open_owner(b);
    for (int i = 0; i < 300; i++) {
        snprintf(key, sizeof key, "u%d", i);
        track(b, of_b, "room", key, "{}");
    }
    track(c, open_owner(c), "room", "carol", "{}");
    assert_true(wait_until(has_metas, &all));
    assert_int_equal(presence_subscribe(a, S("room"), NULL), 0);
    pthread_t of[2];
    assert_int_equal(pthread_create(&of[0], NULL, leave, b), 0);
    assert_int_equal(pthread_create(&of[1], NULL, leave, c), 0);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_join(of[i], NULL), 0);
    all.metas = 0, all.members = 1;
    assert_true(wait_until(has_metas, &all));
    assert_true(wait_until(has_members, &all));
    leaves l = {0};
    assert_int_equal(presence_drain(a, 0, count_leaves, &l, NULL), 0);
    assert_int_equal(l.left, 301);
    assert_int_equal(l.otherwise, 0);
    assert_int_equal(l.diffs, 2); /* one for each that left */
    presence_tracker_close(b);
    presence_tracker_close(c);
    presence_tracker_close(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_callback_that_sleeps_costs_only_its_own_events),
        cmocka_unit_test(two_of_one_process_leave_at_the_same_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

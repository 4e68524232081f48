/* Calls come back while what they could wait for hangs: callbacks in another thread, seeds that never say a word. A
 * hang ends when the test says so, after the calls; one that ends by itself, after PATIENCE_MS, fails the test.
 * docs/bad-input.md names the tests of look-ups and of peers that read nothing. */
#include "trackers.h"
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a callback that hangs ---- */
typedef struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool entered, open, too_late;
} gate;

static void gate_init(gate *g) {
    memset(g, 0, sizeof *g);
    pthread_mutex_init(&g->mutex, NULL);
    pthread_cond_init(&g->changed, NULL);
}

static void gate_hang(gate *g) {
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 3 * PATIENCE_MS / 1000;
    pthread_mutex_lock(&g->mutex);
    g->entered = true;
    while (!g->open && !g->too_late) g->too_late = pthread_cond_timedwait(&g->changed, &g->mutex, &end) == ETIMEDOUT;
    pthread_mutex_unlock(&g->mutex);
}

static bool gate_entered(void *user) {
    gate *g = user;
    pthread_mutex_lock(&g->mutex);
    bool entered = g->entered;
    pthread_mutex_unlock(&g->mutex);
    return entered;
}

/* It hung all the time until now. */
static void gate_open(gate *g) {
    pthread_mutex_lock(&g->mutex);
    bool too_late = g->too_late;
    g->open = true;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
    assert_false(too_late);
}

static void gate_free(gate *g) {
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->mutex);
}

static void hang_in_event(const presence_event *event, void *user) { (void)event, gate_hang(user); }

static void hang_in_wake(void *user) { gate_hang(user); }

static void hang_in_log(int level, const char *line, void *user) { (void)level, (void)line, gate_hang(user); }

/* ---- trackers of which something hangs ---- */
static void *drain_once(void *user);

typedef struct hung {
    gate gate;
    presence_tracker *tracker;
    presence_owner owner;
    pthread_t thread;
    int result; /* of stop */
} hung;

static void await_hang(hung *h) {
    track(h->tracker, h->owner, "room", "u1", "{}");
    assert_true(wait_until(gate_entered, &h->gate));
}

static void start(hung *h) {
    gate_init(&h->gate);
    h->tracker = open_tracker(NULL);
    h->owner = open_owner(h->tracker);
    assert_int_equal(presence_subscribe_all(h->tracker), 0);
}

static void hangs_in_dispatch(hung *h) {
    start(h);
    assert_int_equal(presence_set_diff_callback(h->tracker, hang_in_event, &h->gate), 0);
    await_hang(h);
}

static void hangs_in_wake(hung *h) {
    kept *k = calloc(1, sizeof *k);
    start(h);
    assert_true(presence_wait_synced(h->tracker, PATIENCE_MS) >= 0);
    drain_all(h->tracker, k); /* or the callback would be called at once, on this thread */
    free(k);
    assert_int_equal(presence_set_wake_callback(h->tracker, hang_in_wake, &h->gate), 0);
    await_hang(h);
}

static void hangs_in_log(hung *h) {
    gate_init(&h->gate);
    presence_config *config = make_config((const char *const[]){"log_level", "debug", NULL});
    presence_config_set_log(config, hang_in_log, &h->gate);
    assert_int_equal(presence_tracker_open(config, &h->tracker), 0);
    presence_config_free(config);
    h->owner = open_owner(h->tracker);
    await_hang(h);
}

static void hangs_in_drain(hung *h) {
    start(h);
    track(h->tracker, h->owner, "room", "u0", "{}");
    assert_int_equal(pthread_create(&h->thread, NULL, drain_once, h), 0);
    await_hang(h);
}

static void end(hung *h) {
    gate_open(&h->gate);
    presence_tracker_close(h->tracker);
    gate_free(&h->gate);
}

static void *drain_once(void *user) {
    hung *h = user;
    while (!gate_entered(&h->gate)) presence_drain(h->tracker, 1, hang_in_event, &h->gate, NULL);
    return NULL;
}

/* ---- the calls ---- */
static void read_everything(hung *h) {
    presence_snapshot *snapshot;
    presence_str json;
    presence_statistics stats = {.size = sizeof stats};
    char address[80];
    size_t keys, metas;
    assert_int_equal(presence_list(h->tracker, S("room"), &snapshot), 0);
    presence_snapshot_free(snapshot);
    assert_int_equal(presence_list_json(h->tracker, S("room"), &snapshot, &json), 0);
    presence_snapshot_free(snapshot);
    assert_int_equal(presence_get_by_key(h->tracker, S("room"), S("u1"), &snapshot), 0);
    presence_snapshot_free(snapshot);
    assert_int_equal(presence_topics(h->tracker, &snapshot), 0);
    presence_snapshot_free(snapshot);
    assert_int_equal(presence_members(h->tracker, &snapshot), 0);
    presence_snapshot_free(snapshot);
    assert_int_equal(presence_count(h->tracker, S("room"), &keys, &metas), 0);
    assert_int_equal(presence_stats(h->tracker, &stats), 0);
    assert_int_equal(presence_tracker_address(h->tracker, address, sizeof address), 0);
}

static void call_everything(hung *h) {
    presence_snapshot *snapshot;
    presence_owner owner = open_owner(h->tracker), lease;
    presence_item item = {S("room"), S("many"), S("{}")};
    presence_ref ref = track(h->tracker, owner, "room", "u2", "{}");
    assert_int_equal(presence_update(h->tracker, owner, S("room"), S("u2"), S("{\"a\":1}"), &ref), 0);
    assert_int_equal(presence_update_if(h->tracker, owner, S("room"), S("u2"), S(ref.text), S("{}"), NULL), 0);
    assert_int_equal(presence_track_many(h->tracker, owner, &item, 1, NULL, NULL), 0);
    assert_int_equal(presence_untrack(h->tracker, owner, S("room"), S("u2"), NULL), 0);
    assert_int_equal(presence_untrack_owner(h->tracker, owner, NULL), 0);
    assert_int_equal(presence_owner_close(h->tracker, owner), 0);
    assert_int_equal(presence_owner_open_lease(h->tracker, 60000, &lease), 0);
    assert_int_equal(presence_owner_touch(h->tracker, lease), 0);
    assert_int_equal(presence_subscribe(h->tracker, S("room"), &snapshot), 0);
    presence_snapshot_free(snapshot);
    assert_int_equal(presence_unsubscribe(h->tracker, S("room")), 0);
    read_everything(h);
}

static void (*const kinds[])(hung *) = {hangs_in_dispatch, hangs_in_wake, hangs_in_log, hangs_in_drain};
enum { KINDS = sizeof kinds / sizeof *kinds, IN_DISPATCH = 0, IN_DRAIN = 3 };

static void calls_go_on_while_a_callback_hangs(void **state) {
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        hung h;
        kinds[i](&h);
        call_everything(&h);
        if (i == IN_DRAIN || i == IN_DISPATCH)
            assert_int_equal(presence_drain(h.tracker, 0, hang_in_event, &h.gate, NULL), PRESENCE_ESTATE);
        gate_open(&h.gate);
        if (i == IN_DRAIN) pthread_join(h.thread, NULL);
        end(&h);
    }
}

static void *stop_it(void *user) {
    hung *h = user;
    h->result = presence_tracker_stop(h->tracker, 0);
    return NULL;
}

/* All at once, as each takes its time. What an application drains itself holds up no stop. */
static void stop_says_that_a_callback_hangs(void **state) {
    (void)state;
    hung all[KINDS];
    pthread_t stopping[KINDS];
    for (size_t i = 0; i < KINDS; i++) kinds[i](&all[i]);
    for (size_t i = 0; i < KINDS; i++) assert_int_equal(pthread_create(&stopping[i], NULL, stop_it, &all[i]), 0);
    for (size_t i = 0; i < KINDS; i++) {
        pthread_join(stopping[i], NULL);
        assert_int_equal(all[i].result, i == IN_DRAIN ? 0 : PRESENCE_ETIMEDOUT);
    }
    for (size_t i = 0; i < KINDS; i++) {
        gate_open(&all[i].gate);
        assert_int_equal(presence_tracker_stop(all[i].tracker, PATIENCE_MS), 0);
        if (i == IN_DRAIN) pthread_join(all[i].thread, NULL);
        end(&all[i]);
    }
}

/* ---- seeds that are silent: connected at once by the system, and nobody accepts ---- */
static int silent_seed(char *join, size_t room) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof to;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &size), 0);
    snprintf(join, room, "127.0.0.1:%d", ntohs(to.sin_port));
    return fd;
}

static void *wait_for_ever(void *user) {
    hung *h = user;
    h->result = presence_wait_synced(h->tracker, -1);
    return NULL;
}

static void seeds_that_never_speak(void **state) {
    (void)state;
    hung h;
    char join[80];
    int fd = silent_seed(join, sizeof join);
    const char *const options[] = {"join", join, "connect_timeout_ms", "60000", NULL}; /* longer than the test */
    h.tracker = open_tracker(options);
    h.owner = open_owner(h.tracker);
    assert_int_equal(presence_wait_synced(h.tracker, 0), PRESENCE_ETIMEDOUT);
    assert_int_equal(presence_wait_synced(h.tracker, 20), PRESENCE_ETIMEDOUT);
    call_everything(&h);
    assert_int_equal(pthread_create(&h.thread, NULL, wait_for_ever, &h), 0);
    assert_int_equal(presence_tracker_stop(h.tracker, 0), 0);
    pthread_join(h.thread, NULL);
    assert_int_equal(h.result, PRESENCE_ECLOSED);
    presence_tracker_close(h.tracker);
    h.tracker = open_tracker(options); /* close alone does it too */
    presence_tracker_close(h.tracker);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_go_on_while_a_callback_hangs),
        cmocka_unit_test(stop_says_that_a_callback_hangs),
        cmocka_unit_test(seeds_that_never_speak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Members in processes of their own that are killed, stopped, restarted or out of descriptors. */
#define _GNU_SOURCE 1 /* pipe2 */
#include "trackers.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the child: this program again, so that it shares nothing with its parent ---- */
typedef struct child {
    pid_t pid;
    char address[80];
} child;

static int
run_child(char **arguments) { /* name, join, heartbeat, presences, descriptors (0: as they are, -1: and fork) */
    const char *const options[] = {"name",       arguments[0],  "join",       arguments[1], "heartbeat_ms",
                                   arguments[2], "permdown_ms", "2592000000", NULL};
    presence_tracker *tracker = open_tracker(options);
    presence_owner owner = open_owner(tracker);
    char address[80];
    for (int i = 0; i < atoi(arguments[3]); i++) {
        char key[32];
        snprintf(key, sizeof key, "%s-%d", arguments[0], i);
        track(tracker, owner, "room", key, "{}");
    }
    if (atoi(arguments[4]) > 0) {
        int next = dup(0);
        struct rlimit limit = {(rlim_t)(next + atoi(arguments[4])), (rlim_t)(next + atoi(arguments[4]))};
        close(next);
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
    }
    if (presence_tracker_address(tracker, address, sizeof address) != 0) return 1;
    printf("%s\n", address);
    fflush(stdout);
    if (atoi(arguments[4]) < 0 && fork() == 0) presence_tracker_close(tracker); /* the child's child stays alive */
    char end;
    while (read(0, &end, 1) < 0 && errno == EINTR) {} /* until the parent is gone */
    if (atoi(arguments[4]) < 0) _exit(0);
    presence_tracker_close(tracker);
    return 0;
}

static child start(const char *name, const char *join, const char *heartbeat, const char *presences,
                   const char *descriptors) {
    int out[2], in[2];
    child c;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    c.pid = fork();
    if (c.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execl("/proc/self/exe", "child", name, join, heartbeat, presences, descriptors, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    close(in[0]); /* in[1] stays open until this program ends */
    FILE *reader = fdopen(out[0], "r");
    assert_non_null(fgets(c.address, sizeof c.address, reader));
    c.address[strcspn(c.address, "\n")] = 0;
    fclose(reader);
    return c;
}

static void end(child *c) {
    int status;
    kill(c->pid, SIGKILL);
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
}

typedef struct wanted {
    presence_tracker *tracker;
    size_t metas;
} wanted;

static bool has_metas(void *user) {
    wanted *w = user;
    return count_metas(w->tracker, "room") == w->metas;
}

static void await_metas(presence_tracker *tracker, size_t metas) {
    wanted w = {tracker, metas};
    if (!wait_until(has_metas, &w)) fail_msg("there were never %zu metas", metas);
}

static presence_tracker *observer_of(const char *name, const char *heartbeat) {
    const char *const options[] = {"name", name, "heartbeat_ms", heartbeat, "permdown_ms", "2592000000", NULL};
    presence_tracker *tracker = open_tracker(options);
    assert_int_equal(presence_subscribe(tracker, S("room"), NULL), 0);
    return tracker;
}

/* Heartbeats come once a minute here: only the closed connection can tell in time. */
static void kill_is_seen_by_the_closed_connection(void **state) {
    (void)state;
    char address[80];
    static kept k;
    memset(&k, 0, sizeof k);
    presence_tracker *a = observer_of("a", "60000");
    assert_int_equal(presence_tracker_address(a, address, sizeof address), 0);
    child b = start("b", address, "60000", "50", "0");
    await_metas(a, 50);
    int64_t killed = now_ms();
    end(&b);
    await_metas(a, 0);
    printf("kill -9 seen after %d ms\n", (int)(now_ms() - killed));
    drain_all(a, &k);
    assert_int_equal(k.leaves, 50);
    assert_int_equal(k.last_reason, PRESENCE_REASON_MEMBER_DOWN);
    assert_folded(a, "room", &k);
    presence_tracker_close(a);
}

/* A child of the killed process that closed its copy of the tracker holds no connection of it open. */
__attribute__((unused)) static void kill_is_seen_though_a_fork_lives_on(void **state) {
    (void)state;
    char address[80];
    presence_tracker *a = observer_of("a", "60000");
    assert_int_equal(presence_tracker_address(a, address, sizeof address), 0);
    child b = start("b", address, "60000", "5", "-1");
    await_metas(a, 5);
    end(&b);
    await_metas(a, 0);
    presence_tracker_close(a);
}

typedef struct counted {
    pthread_mutex_t mutex;
    unsigned joins, leaves, resyncs;
} counted;

static void count_changes(const presence_event *event, void *user) {
    counted *c = user;
    presence_entry entry = {.size = sizeof entry};
    int kind = presence_event_kind(event);
    struct timespec work = {0, 20000000}; /* a consumer that is slower than the sweep */
    nanosleep(&work, NULL);
    pthread_mutex_lock(&c->mutex);
    c->resyncs += kind == PRESENCE_EVENT_RESYNC;
    if (kind == PRESENCE_EVENT_RESYNC) c->joins = (unsigned)presence_event_size(event);
    for (size_t i = 0; kind == PRESENCE_EVENT_DIFF && i < presence_event_size(event); i++) {
        if (presence_event_at(event, i, &entry) != 0) continue;
        c->joins += entry.kind == PRESENCE_JOIN;
        c->leaves += entry.kind == PRESENCE_LEAVE;
    }
    pthread_mutex_unlock(&c->mutex);
}

static bool all_joined(void *user) {
    counted *c = user;
    pthread_mutex_lock(&c->mutex);
    bool all = c->joins == 60000;
    pthread_mutex_unlock(&c->mutex);
    return all;
}

static bool all_left(void *user) {
    counted *c = user;
    pthread_mutex_lock(&c->mutex);
    bool all = c->leaves == 60000 || c->resyncs > 0;
    pthread_mutex_unlock(&c->mutex);
    return all;
}

/* What leaves is more than the queue holds, but the consumer works it off: it gets every leave. */
static void a_large_member_going_down_is_no_resync(void **state) {
    (void)state;
    char address[80];
    static counted c = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    presence_tracker *a = observer_of("a", "60000");
    assert_int_equal(presence_tracker_address(a, address, sizeof address), 0);
    assert_int_equal(presence_set_diff_callback(a, count_changes, &c), 0);
    child b = start("b", address, "60000", "60000", "0");
    assert_true(wait_until(all_joined, &c));
    pthread_mutex_lock(&c.mutex);
    c.resyncs = 0;
    pthread_mutex_unlock(&c.mutex);
    end(&b);
    assert_true(wait_until(all_left, &c));
    pthread_mutex_lock(&c.mutex);
    assert_int_equal(c.resyncs, 0);
    pthread_mutex_unlock(&c.mutex);
    presence_tracker_close(a);
}

typedef struct worker {
    pthread_mutex_t mutex;
    presence_tracker *tracker;
    size_t leaves, resyncs;
} worker;

/* Works on every change: much slower than the sweep, but never still. */
static void work_off(const presence_event *event, void *user) {
    worker *w = user;
    presence_entry entry = {.size = sizeof entry};
    struct timespec work = {0, 100000};
    nanosleep(&work, NULL);
    pthread_mutex_lock(&w->mutex);
    w->resyncs += presence_event_kind(event) == PRESENCE_EVENT_RESYNC;
    for (size_t i = 0; i < presence_event_size(event) && presence_event_at(event, i, &entry) == 0; i++) {
        w->leaves += entry.kind == PRESENCE_LEAVE;
    }
    pthread_mutex_unlock(&w->mutex);
}

#define MANY_TOPICS 12000
#define QUEUE_BYTES "2097152"

static bool has_taken_all(void *user) {
    worker *w = user;
    presence_statistics statistics = {.size = sizeof statistics};
    assert_int_equal(presence_stats(w->tracker, &statistics), 0);
    return statistics.entries == MANY_TOPICS && statistics.queue_events == 0;
}

static bool has_seen_all_leave(void *user) {
    worker *w = user;
    pthread_mutex_lock(&w->mutex);
    bool holds = w->leaves == MANY_TOPICS || w->resyncs > 0;
    pthread_mutex_unlock(&w->mutex);
    return holds;
}

/* Every topic is an event of its own and the queue holds a part of them: the sweep waits as long as they are taken. */
static void a_sweep_waits_for_a_consumer_that_works(void **state) {
    (void)state;
    char address[80], topic[32];
    static worker w = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    const char *const tracking[] = {"name", "b", NULL};
    presence_tracker *b = open_tracker(tracking);
    presence_owner owner = open_owner(b);
    for (int i = 0; i < MANY_TOPICS; i++) {
        snprintf(topic, sizeof topic, "room:%d", i);
        track(b, owner, topic, "key", "{}");
    }
    assert_int_equal(presence_tracker_address(b, address, sizeof address), 0);
    const char *const options[] = {"name", "a", "join", address, "queue_bytes", QUEUE_BYTES, NULL};
    presence_tracker *a = open_tracker(options);
    assert_int_equal(presence_subscribe_all(a), 0);
    w.tracker = a;
    assert_int_equal(presence_set_diff_callback(a, work_off, &w), 0);
    assert_true(wait_until(has_taken_all, &w));
    assert_int_equal(presence_tracker_stop(b, 1000), 0);
    assert_true(wait_until(has_seen_all_leave, &w));
    pthread_mutex_lock(&w.mutex);
    assert_int_equal(w.resyncs, 0);
    pthread_mutex_unlock(&w.mutex);
    presence_tracker_close(b);
    presence_tracker_close(a);
}

static void a_restart_under_the_same_name_replaces(void **state) {
    (void)state;
    char address[80];
    static kept k;
    memset(&k, 0, sizeof k);
    presence_tracker *a = observer_of("a", "100");
    assert_int_equal(presence_tracker_address(a, address, sizeof address), 0);
    child b = start("b", address, "100", "5", "0");
    await_metas(a, 5);
    end(&b);
    b = start("b", address, "100", "3", "0");
    await_metas(a, 3);
    drain_all(a, &k);
    assert_folded(a, "room", &k);
    end(&b);
    presence_tracker_close(a);
}

static void a_frozen_member_is_hidden_and_comes_back(void **state) {
    (void)state;
    char address[80];
    static kept k;
    memset(&k, 0, sizeof k);
    presence_tracker *a = observer_of("a", "100");
    assert_int_equal(presence_tracker_address(a, address, sizeof address), 0);
    child b = start("b", address, "100", "7", "0");
    await_metas(a, 7);
    assert_int_equal(kill(b.pid, SIGSTOP), 0);
    await_metas(a, 0);
    assert_int_equal(kill(b.pid, SIGCONT), 0);
    await_metas(a, 7); /* without tracking again */
    drain_all(a, &k);
    assert_int_equal(k.joins, 14);
    assert_folded(a, "room", &k);
    end(&b);
    presence_tracker_close(a);
}

/* A peer that reads nothing any more cannot hold back a member that leaves, however much waits for it. */
static void stop_does_not_wait_for_a_frozen_peer(void **state) {
    (void)state;
    char address[80];
    static char meta[8000];
    memset(meta, 'x', sizeof meta);
    memcpy(meta, "{\"a\":\"", 6);
    memcpy(meta + sizeof meta - 3, "\"}", 3);
    presence_tracker *a = observer_of("a", "60000");
    assert_int_equal(presence_tracker_address(a, address, sizeof address), 0);
    child b = start("b", address, "60000", "1", "0");
    await_metas(a, 1);
    assert_int_equal(kill(b.pid, SIGSTOP), 0);
    presence_owner owner = open_owner(a);
    for (int i = 0; i < 2000; i++) {
        char key[16];
        snprintf(key, sizeof key, "u%d", i);
        track(a, owner, "big", key, meta);
    }
    assert_int_equal(presence_tracker_stop(a, 200), 0);
    presence_tracker_close(a);
    end(&b);
}

/* b has few descriptors left and strangers take them all; when they are gone it accepts members again. */
static void no_descriptors_is_survived(void **state) {
    (void)state;
    int strangers[40];
    child b = start("b", "", "100", "3", "4");
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    to.sin_port = htons((uint16_t)atoi(strrchr(b.address, ':') + 1));
    for (int i = 0; i < 40; i++) {
        strangers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(strangers[i], (struct sockaddr *)&to, sizeof to), 0);
    }
    for (int i = 0; i < 40; i++) close(strangers[i]);
    const char *const options[] = {"name", "a", "join", b.address, "heartbeat_ms", "100", NULL};
    presence_tracker *a = open_tracker(options);
    await_metas(a, 3);
    presence_tracker_close(a);
    end(&b);
}

int main(int count, char **arguments) {
    if (count > 1) return run_child(arguments + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kill_is_seen_by_the_closed_connection),
#ifndef __SANITIZE_THREAD__ /* its runtime does not carry a process with threads over a fork */
        cmocka_unit_test(kill_is_seen_though_a_fork_lives_on),
#endif
        cmocka_unit_test(a_large_member_going_down_is_no_resync),
        cmocka_unit_test(a_sweep_waits_for_a_consumer_that_works),
        cmocka_unit_test(a_restart_under_the_same_name_replaces),
        cmocka_unit_test(a_frozen_member_is_hidden_and_comes_back),
        cmocka_unit_test(stop_does_not_wait_for_a_frozen_peer),
        cmocka_unit_test(no_descriptors_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

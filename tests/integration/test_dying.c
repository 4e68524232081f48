/* A process that ends at the worst moment, again and again: in each callback, in the middle of calls of other threads,
 * while it connects, resolves, writes or stops. It ends with the code it asked for, quietly; its peer goes on.
 *
 * Every end is a child of a parent without threads; DYING_LOOPS sets how often each is tried. ci/dying runs it under
 * ASan, TSan and valgrind. */
#include "trackers.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOPS   10
#define CODE    42
#define ALARM_S 60 /* a child that hangs is killed, which fails the test */
#define LARGE   8000
#define ENTRIES 300

static const char *peer; /* address of a member that outlives the children */

static void end(void) { exit(CODE); }

static void end_in_event(const presence_event *event, void *user) { (void)event, (void)user, end(); }

static void end_in_wake(void *user) { (void)user, end(); }

static void end_in_log(int level, const char *line, void *user) { (void)level, (void)line, (void)user, end(); }

static void *end_in_thread(void *user) {
    atomic_int *ready = user;
    while (ready && !atomic_load(ready)) {}
    end();
    return NULL;
}

static void start(void *(*run)(void *), void *user) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run, user), 0);
    pthread_detach(thread);
}

/* A member of the cluster of `peer`, with something to say. */
static presence_tracker *talker(presence_owner *owner) {
    presence_tracker *tracker = open_tracker((const char *const[]){"join", peer, "heartbeat_ms", "50", NULL});
    *owner = open_owner(tracker);
    assert_int_equal(presence_subscribe_all(tracker), 0);
    track(tracker, *owner, "small", "u1", "{}");
    return tracker;
}

static void *change_for_ever(void *user) {
    presence_tracker *tracker = user;
    presence_owner owner;
    presence_snapshot *list;
    for (char key[16]; presence_owner_open(tracker, &owner) == 0; presence_owner_close(tracker, owner)) {
        snprintf(key, sizeof key, "%llx", (unsigned long long)owner);
        presence_track(tracker, owner, S("room"), S(key), S("{\"a\":1}"), NULL);
        if (presence_list(tracker, S("room"), &list) == 0) presence_snapshot_free(list);
    }
    return NULL;
}

/* ---- the moments ---- */
static void in_wake(presence_tracker *tracker, presence_owner owner) {
    (void)owner;
    presence_set_wake_callback(tracker, end_in_wake, NULL);
    change_for_ever(tracker);
}

static void in_wake_of_the_loop(presence_tracker *tracker, presence_owner owner) {
    kept *k = calloc(1, sizeof *k);
    drain_all(tracker, k);
    free(k);
    presence_set_wake_callback(tracker, end_in_wake, NULL);
    track(tracker, owner, "room", "k", "{}");
    for (;;) pause();
}

static void in_drain(presence_tracker *tracker, presence_owner owner) {
    (void)owner;
    start(change_for_ever, tracker);
    for (;;) presence_drain(tracker, 0, end_in_event, NULL, NULL);
}

static void in_dispatch(presence_tracker *tracker, presence_owner owner) {
    (void)owner;
    presence_set_diff_callback(tracker, end_in_event, NULL);
    change_for_ever(tracker);
}

static void in_connect(presence_tracker *tracker, presence_owner owner) {
    (void)tracker, (void)owner;
    open_tracker((const char *const[]){"join", "127.0.0.1:9,LOCALHOST:9,127.0.0.1:10-30", NULL});
    end();
}

static void while_others_change(presence_tracker *tracker, presence_owner owner) {
    atomic_int ready = 1;
    (void)owner;
    start(change_for_ever, tracker);
    start(change_for_ever, tracker);
    start(end_in_thread, &ready);
    change_for_ever(tracker);
}

static void while_one_waits(presence_tracker *tracker, presence_owner owner) {
    (void)tracker, (void)owner;
    presence_tracker *other =
        open_tracker((const char *const[]){"join", "127.0.0.1:9", "connect_timeout_ms", "60000", NULL});
    start(end_in_thread, NULL);
    presence_wait_synced(other, -1);
    for (;;) pause();
}

static void with_frames_half_written(presence_tracker *tracker, presence_owner owner) {
    static char meta[LARGE] = "{\"m\":\"", keys[ENTRIES][8];
    static presence_item items[ENTRIES];
    assert_int_equal(presence_wait_synced(tracker, PATIENCE_MS), 0);
    memset(meta + 6, 'm', sizeof meta - 8);
    memcpy(meta + sizeof meta - 2, "\"}", 2);
    presence_str text = {meta, sizeof meta};
    for (int i = 0; i < ENTRIES; i++) {
        snprintf(keys[i], sizeof keys[i], "k%d", i);
        items[i] = (presence_item){S("large"), S(keys[i]), text};
    }
    presence_statistics stats = {.size = sizeof stats}, now = stats;
    assert_int_equal(presence_stats(tracker, &stats), 0);
    assert_int_equal(presence_track_many(tracker, owner, items, ENTRIES, NULL, NULL), 0);
    do presence_stats(tracker, &now);
    while (now.bytes_out < stats.bytes_out + LARGE); /* some of it is on its way */
    end();
}

static void *stop_it(void *user) {
    presence_tracker_stop(user, 1000);
    return NULL;
}

static void in_stop(presence_tracker *tracker, presence_owner owner) {
    (void)owner;
    start(stop_it, tracker);
    end();
}

static void in_log(presence_tracker *tracker, presence_owner owner) {
    presence_tracker *other;
    (void)tracker, (void)owner;
    presence_config *config = make_config((const char *const[]){"join", peer, "log_level", "debug", NULL});
    presence_config_set_log(config, end_in_log, NULL);
    presence_tracker_open(config, &other);
    for (;;) pause();
}

static presence_tracker *closed_at_exit; /* what atexit calls gets no argument */

static void close_it(void) { presence_tracker_close(closed_at_exit); }

static void closed_by_atexit(presence_tracker *tracker, presence_owner owner) {
    (void)owner;
    closed_at_exit = tracker;
    atexit(close_it);
    presence_set_diff_callback(tracker, NULL, NULL);
    end();
}

/* ---- children ---- */
static size_t loops(void) {
    const char *text = getenv("DYING_LOOPS");
    return text ? (size_t)strtoul(text, NULL, 10) : LOOPS;
}

static int run(void (*moment)(presence_tracker *, presence_owner)) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        presence_owner owner;
        alarm(ALARM_S);
        presence_tracker *tracker = talker(&owner);
        moment(tracker, owner);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void again_and_again(void (*moment)(presence_tracker *, presence_owner)) {
    for (size_t i = 0; i < loops(); i++) {
        int status = run(moment);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != CODE) fail_msg("loop %zu: status %x", i, status);
    }
}

#define DIES(moment)                                                                                                   \
    static void dies_##moment(void **state) {                                                                          \
        (void)state;                                                                                                   \
        again_and_again(moment);                                                                                       \
    }
DIES(in_wake)
DIES(in_wake_of_the_loop)
DIES(in_drain)
DIES(in_dispatch)
DIES(in_connect)
DIES(while_others_change)
DIES(while_one_waits)
DIES(with_frames_half_written)
DIES(in_stop)
DIES(in_log)
DIES(closed_by_atexit)

/* ---- the peer ---- */
static bool alone_again(void *tracker) {
    presence_statistics stats = {.size = sizeof stats};
    assert_int_equal(presence_stats(tracker, &stats), 0);
    return stats.links == 0 && count_metas(tracker, "room") + count_metas(tracker, "small") == 0 &&
           count_metas(tracker, "large") == 0;
}

/* Ends when its input does, well if all who died are gone with all they had. */
static void run_peer(int in, int out) {
    char address[80] = {0}, rest;
    presence_tracker *tracker = open_tracker((const char *const[]){"heartbeat_ms", "50", NULL});
    assert_int_equal(presence_tracker_address(tracker, address, sizeof address), 0);
    assert_int_equal(write(out, address, sizeof address), sizeof address);
    while (read(in, &rest, 1) > 0) {}
    bool well = wait_until(alone_again, tracker);
    presence_tracker_close(tracker);
    exit(well ? CODE : 1);
}

typedef struct peer_process {
    pid_t pid;
    int in;
    char address[80];
} peer_process;

static int start_peer(void **state) {
    static peer_process p;
    int in[2], out[2];
    if (pipe(in) != 0 || pipe(out) != 0) return -1;
    p.pid = fork();
    if (p.pid == 0) {
        close(in[1]);
        close(out[0]);
        run_peer(in[0], out[1]);
    }
    close(in[0]);
    close(out[1]);
    p.in = in[1];
    if (read(out[0], p.address, sizeof p.address) != sizeof p.address) return -1;
    close(out[0]);
    peer = p.address;
    *state = &p;
    return 0;
}

static int end_peer(void **state) {
    peer_process *p = *state;
    int status;
    close(p->in);
    if (waitpid(p->pid, &status, 0) != p->pid) return -1;
    return WIFEXITED(status) && WEXITSTATUS(status) == CODE ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dies_in_wake),          cmocka_unit_test(dies_in_wake_of_the_loop),
        cmocka_unit_test(dies_in_drain),         cmocka_unit_test(dies_in_dispatch),
        cmocka_unit_test(dies_in_connect),       cmocka_unit_test(dies_while_others_change),
        cmocka_unit_test(dies_while_one_waits),  cmocka_unit_test(dies_with_frames_half_written),
        cmocka_unit_test(dies_in_stop),          cmocka_unit_test(dies_in_log),
        cmocka_unit_test(dies_closed_by_atexit),
    };
    return cmocka_run_group_tests(tests, start_peer, end_peer);
}

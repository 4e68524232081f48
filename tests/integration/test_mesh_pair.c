/* Members in one process over loopback: joins seen, leaves seen, ports, seeds, names, stop. */
#include "trackers.h"
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAST "heartbeat_ms", "100", "permdown_ms", "60000"

static presence_tracker *member(const char *name, const char *join) {
    const char *const options[] = {"name", name, "join", join, FAST, NULL};
    return open_tracker(options);
}

static const char *address_of(presence_tracker *tracker, char *out) {
    assert_int_equal(presence_tracker_address(tracker, out, 80), 0);
    return out;
}

typedef struct wanted {
    presence_tracker *tracker;
    const char *topic;
    size_t metas, members;
} wanted;

static bool has_metas(void *user) {
    wanted *w = user;
    return count_metas(w->tracker, w->topic) == w->metas;
}

static bool has_members(void *user) {
    wanted *w = user;
    presence_snapshot *members;
    size_t up = 0;
    assert_int_equal(presence_members(w->tracker, &members), 0);
    for (size_t i = 0; i < presence_snapshot_size(members); i++) {
        presence_member m = {.size = sizeof m};
        assert_int_equal(presence_snapshot_member_at(members, i, &m), 0);
        up += m.status == PRESENCE_MEMBER_UP;
    }
    presence_snapshot_free(members);
    return up == w->members;
}

static void await_metas(presence_tracker *tracker, const char *topic, size_t metas) {
    wanted w = {.tracker = tracker, .topic = topic, .metas = metas};
    if (!wait_until(has_metas, &w)) fail_msg("%s never had %zu metas", topic, metas);
}

static void await_members(presence_tracker *tracker, size_t members) {
    wanted w = {.tracker = tracker, .members = members};
    if (!wait_until(has_members, &w)) fail_msg("there were never %zu members up", members);
}

static void a_join_is_seen_by_the_other(void **state) {
    (void)state;
    char address[80];
    static kept k;
    memset(&k, 0, sizeof k);
    presence_tracker *a = member("a", ""), *b = member("b", address_of(a, address));
    presence_owner owner = open_owner(a);
    assert_int_equal(presence_subscribe(b, S("room"), NULL), 0);
    presence_ref ref = track(a, owner, "room", "u1", "{\"x\":1}");
    await_metas(b, "room", 1);
    drain_all(b, &k);
    assert_int_equal(k.joins, 1);
    assert_string_equal(k.refs[0], ref.text);                  /* the same ref on every member */
    assert_int_equal(presence_wait_synced(a, PATIENCE_MS), 1); /* it had no seed */
    assert_int_equal(presence_wait_synced(b, PATIENCE_MS), 0);
    assert_int_equal(presence_owner_close(a, owner), 0);
    await_metas(b, "room", 0);
    drain_all(b, &k);
    assert_int_equal(k.last_reason, PRESENCE_REASON_OWNER_CLOSED);
    assert_folded(b, "room", &k);
    presence_tracker_close(b);
    presence_tracker_close(a);
}

static void stop_is_seen_as_a_leave_at_once(void **state) {
    (void)state;
    char address[80];
    static kept k;
    memset(&k, 0, sizeof k);
    presence_tracker *a = member("a", ""), *b = member("b", address_of(a, address));
    assert_int_equal(presence_subscribe(a, S("room"), NULL), 0);
    track(b, open_owner(b), "room", "u1", "{}");
    await_metas(a, "room", 1);
    assert_int_equal(presence_tracker_stop(b, 1000), 0);
    await_metas(a, "room", 0);
    drain_all(a, &k);
    assert_int_equal(k.last_reason, PRESENCE_REASON_MEMBER_LEFT);
    presence_tracker_close(b);
    presence_tracker_close(a);
}

static void one_seed_gives_the_full_mesh(void **state) {
    (void)state;
    char address[80];
    presence_tracker *t[4];
    t[0] = member("m0", "");
    for (int i = 1; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof name, "m%d", i);
        t[i] = member(name, address_of(t[0], address));
    }
    for (int i = 0; i < 4; i++) await_members(t[i], 4);
    for (int i = 0; i < 4; i++) track(t[i], open_owner(t[i]), "room", "same", "{}");
    for (int i = 0; i < 4; i++) await_metas(t[i], "room", 4);
    presence_tracker_close(t[0]); /* the seed is not needed any more */
    for (int i = 1; i < 4; i++) await_metas(t[i], "room", 3);
    track(t[1], open_owner(t[1]), "room", "more", "{}");
    for (int i = 1; i < 4; i++) await_metas(t[i], "room", 4);
    for (int i = 1; i < 4; i++) presence_tracker_close(t[i]);
}

/* Of a member that is down nothing is waited for: here nobody is, however long a frame takes under a sanitizer. */
static presence_tracker *patient(const char *name, const char *join) {
    return open_tracker((const char *const[]){"name", name, "join", join, "suspect_ms", "20000", NULL});
}

static void a_full_state_arrives_whole(void **state) {
    (void)state;
    char address[80];
    presence_tracker *a = patient("a", "");
    presence_owner owner = open_owner(a);
    static char keys[20000][12];
    static presence_item items[20000];
    for (int i = 0; i < 20000; i++) {
        snprintf(keys[i], sizeof keys[i], "u%d", i);
        items[i] = (presence_item){S("room"), S(keys[i]), S("{\"status\":\"online\",\"device\":\"phone\"}")};
    }
    assert_int_equal(presence_track_many(a, owner, items, 20000, NULL, NULL), 0);
    presence_tracker *b = patient("b", address_of(a, address));
    assert_int_equal(presence_wait_synced(b, PATIENCE_MS), 0);
    assert_int_equal(count_metas(b, "room"), 20000);
    presence_tracker_close(b);
    presence_tracker_close(a);
}

static void the_first_sync_does_not_overflow(void **state) {
    (void)state;
    char address[80];
    static kept k;
    memset(&k, 0, sizeof k);
    presence_tracker *a = member("a", "");
    presence_owner owner = open_owner(a);
    for (int i = 0; i < 1000; i++) {
        char topic[16];
        snprintf(topic, sizeof topic, "t%d", i);
        track(a, owner, topic, "u", "{\"a\":\"long enough to be more than the queue holds\"}");
    }
    const char *const options[] = {"name", "b", "join", address_of(a, address), "queue_bytes", "16384", FAST, NULL};
    presence_tracker *b = open_tracker(options);
    presence_subscribe_all(b);
    assert_int_equal(presence_wait_synced(b, PATIENCE_MS), 0);
    drain_all(b, &k);
    assert_int_equal(k.resyncs, 0);
    assert_int_equal(k.bad, 0);
    presence_tracker_close(b);
    presence_tracker_close(a);
}

static void a_range_takes_the_first_free_port(void **state) {
    (void)state;
    char first[80], second[80], third[80], range[80];
    presence_tracker *probe = open_tracker(NULL);
    int port = atoi(strrchr(address_of(probe, first), ':') + 1);
    presence_tracker_close(probe);
    if (port > 65000) port = 40000;
    snprintf(range, sizeof range, "127.0.0.1:%d-%d", port, port + 15);
    const char *const options[] = {"listen", range, "join", range, FAST, NULL}; /* one configuration for all */
    presence_tracker *a = open_tracker(options), *b = open_tracker(options), *c = open_tracker(options);
    address_of(a, first), address_of(b, second), address_of(c, third);
    assert_string_not_equal(first, second);
    assert_string_not_equal(second, third);
    await_members(a, 3);
    await_members(b, 3);
    await_members(c, 3);
    presence_tracker_close(a);
    presence_tracker_close(b);
    presence_tracker_close(c);
}

static void two_that_are_each_others_seed_both_come_up(void **state) {
    (void)state;
    char a_address[80], b_address[80];
    presence_tracker *probe = open_tracker(NULL), *other = open_tracker(NULL);
    address_of(probe, a_address), address_of(other, b_address);
    presence_tracker_close(probe);
    presence_tracker_close(other);
    const char *const first[] = {"name", "a", "listen", a_address, "join", b_address, FAST, NULL};
    const char *const second[] = {"name", "b", "listen", b_address, "join", a_address, FAST, NULL};
    presence_tracker *a = open_tracker(first);
    assert_int_equal(presence_wait_synced(a, PATIENCE_MS), 1); /* alone: refused */
    presence_tracker *b = open_tracker(second);
    assert_int_equal(presence_wait_synced(b, PATIENCE_MS), 0);
    await_members(a, 2);
    presence_tracker_close(a);
    presence_tracker_close(b);
}

static void ipv6_and_names(void **state) {
    (void)state;
    char address[80], name[80];
    const char *const v6[] = {"listen", "[::1]:0", FAST, NULL};
    presence_config *config = make_config(v6);
    presence_tracker *a;
    if (presence_tracker_open(config, &a) == 0) { /* a machine may have no IPv6 */
        presence_tracker *b = member("b", address_of(a, address));
        await_members(a, 2);
        presence_tracker_close(b);
        presence_tracker_close(a);
    }
    presence_config_free(config);
    a = member("a", "");
    presence_tracker *b;
    static const char *const hosts[] = {"localhost", "LOCALHOST"}; /* known, and by the resolver: perhaps ::1 first */
    for (size_t i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s:%s", hosts[i], strrchr(address_of(a, address), ':') + 1);
        b = member(hosts[i], name);
        await_members(a, 2);
        presence_tracker_close(b);
        await_members(a, 1);
    }
    presence_tracker_close(a);
    b = member("b", "no-such-host.invalid:7946"); /* unresolved is a failure like any other */
    assert_int_equal(presence_wait_synced(b, PATIENCE_MS), 1);
    presence_tracker_close(b);
}

/* ---- strangers ---- */
typedef struct stranger {
    int fd;
    char address[80];
    const char *answer; /* NULL: silent */
    size_t size;
    atomic_bool ending;
    pthread_t thread;
} stranger;

static void *serve_strangely(void *argument) {
    stranger *s = argument;
    int kept_open[64], count = 0;
    while (!atomic_load(&s->ending)) {
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0) break;
        if (s->answer && send(fd, s->answer, s->size, MSG_NOSIGNAL) < 0)
            close(fd);
        else if (count < 64)
            kept_open[count++] = fd;
        else
            close(fd);
    }
    for (int i = 0; i < count; i++) close(kept_open[i]);
    return NULL;
}

static void stranger_start(stranger *s, const char *answer, size_t size) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof to;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(s->fd >= 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(listen(s->fd, 16), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&to, &length), 0);
    snprintf(s->address, sizeof s->address, "127.0.0.1:%d", ntohs(to.sin_port));
    s->answer = answer;
    s->size = size;
    assert_int_equal(pthread_create(&s->thread, NULL, serve_strangely, s), 0);
}

static void stranger_stop(stranger *s) {
    atomic_store(&s->ending, true);
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

static void strange_seeds_are_no_members(void **state) {
    (void)state;
    static char noise[4096];
    uint32_t x = 12345;
    for (size_t i = 0; i < sizeof noise; i++) x = x * 1664525u + 1013904223u, noise[i] = (char)(x >> 24);
    const char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    static stranger silent, web, random, hello;
    char bad_hello[] = "LPRE\1\0\1\0\xff\xff\xff\xff\xff";
    stranger_start(&silent, NULL, 0);
    stranger_start(&web, http, sizeof http - 1);
    stranger_start(&random, noise, sizeof noise);
    stranger_start(&hello, bad_hello, sizeof bad_hello - 1);
    char join[400];
    snprintf(join, sizeof join, "%s,%s,%s,%s", silent.address, web.address, random.address, hello.address);
    presence_tracker *a = member("a", join);
    assert_int_equal(presence_wait_synced(a, PATIENCE_MS), 1);
    track(a, open_owner(a), "room", "u1", "{}");
    char address[80];
    presence_tracker *b = member("b", address_of(a, address));
    await_metas(b, "room", 1); /* it works beside them */
    presence_tracker_close(b);
    presence_tracker_close(a);
    stranger_stop(&silent);
    stranger_stop(&web);
    stranger_stop(&random);
    stranger_stop(&hello);
}

static void strange_clients_are_closed(void **state) {
    (void)state;
    char address[80], buffer[512];
    presence_tracker *a = member("a", "");
    address_of(a, address);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    to.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
    static const char *const texts[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02garbage",
                                        "LPRE\2\0\3\0........................"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct timeval patience = {PATIENCE_MS / 1000, 0};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
        assert_true(send(fd, texts[i], strlen(texts[i]), MSG_NOSIGNAL) > 0);
        ssize_t got;
        while ((got = recv(fd, buffer, sizeof buffer, 0)) > 0) {}
        assert_true(got == 0 || errno == ECONNRESET);
        close(fd);
    }
    presence_tracker_close(a);
}

static bool has_error(void *user) {
    void **pair = user;
    drain_all(pair[0], pair[1]);
    return ((kept *)pair[1])->errors > 0;
}

static void another_cluster_is_refused_with_an_event(void **state) {
    (void)state;
    char address[80];
    static kept k;
    memset(&k, 0, sizeof k);
    presence_tracker *a = member("a", "");
    const char *const options[] = {"name", "b", "cluster", "other", "join", address_of(a, address), FAST, NULL};
    presence_tracker *b = open_tracker(options);
    assert_int_equal(presence_wait_synced(b, PATIENCE_MS), 1);
    void *pair[] = {b, &k};
    assert_true(wait_until(has_error, pair));
    assert_non_null(strstr(k.error_message, "cluster"));
    await_members(a, 1);
    presence_tracker_close(b);
    presence_tracker_close(a);
}

static bool is_stopped(void *user) {
    void **pair = user;
    drain_all(pair[0], pair[1]);
    return ((kept *)pair[1])->stopped > 0;
}

static bool saw_conflict(void *user) {
    void **pair = user;
    drain_all(pair[0], pair[1]);
    return ((kept *)pair[1])->member_status == PRESENCE_MEMBER_CONFLICT;
}

static int64_t wall_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool wall_moved_on(void *opened) { return wall_ms() > *(int64_t *)opened; }

static void of_two_with_one_name_the_older_yields(void **state) {
    (void)state;
    char address[80];
    static kept old_kept, new_kept;
    memset(&old_kept, 0, sizeof old_kept);
    memset(&new_kept, 0, sizeof new_kept);
    presence_tracker *older = member("twin", "");
    int64_t opened = wall_ms();
    assert_true(wait_until(wall_moved_on, &opened)); /* within one millisecond chance decides who is older */
    presence_tracker *newer = member("twin", address_of(older, address));
    void *old_pair[] = {older, &old_kept}, *new_pair[] = {newer, &new_kept};
    assert_true(wait_until(is_stopped, old_pair));
    assert_int_equal(old_kept.last_error, PRESENCE_ENAME);
    assert_int_equal(old_kept.member_status, PRESENCE_MEMBER_CONFLICT);
    presence_owner owner;
    assert_int_equal(presence_owner_open(older, &owner), PRESENCE_ENAME);
    assert_int_equal(presence_wait_synced(older, 0), PRESENCE_ENAME);
    assert_int_equal(presence_owner_open(newer, &owner), 0);
    assert_true(wait_until(saw_conflict, new_pair));
    assert_int_equal(presence_tracker_stop(older, 100), 0);
    presence_tracker_close(older);
    presence_tracker_close(newer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_join_is_seen_by_the_other),
        cmocka_unit_test(stop_is_seen_as_a_leave_at_once),
        cmocka_unit_test(one_seed_gives_the_full_mesh),
        cmocka_unit_test(a_full_state_arrives_whole),
        cmocka_unit_test(the_first_sync_does_not_overflow),
        cmocka_unit_test(a_range_takes_the_first_free_port),
        cmocka_unit_test(two_that_are_each_others_seed_both_come_up),
        cmocka_unit_test(ipv6_and_names),
        cmocka_unit_test(strange_seeds_are_no_members),
        cmocka_unit_test(strange_clients_are_closed),
        cmocka_unit_test(another_cluster_is_refused_with_an_event),
        cmocka_unit_test(of_two_with_one_name_the_older_yields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

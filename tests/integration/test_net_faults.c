/* Connect, read, write, accept, resolve and what a start needs, failing in turn: two members agree in spite of it, or
 * open says what is wrong; a resolver that hangs holds up no stop. The program is linked with --wrap for these calls.
 */
#include "trackers.h"
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- the faults ---- */
enum fault {
    NONE,
    CONNECT,
    READ,
    WRITE,
    ACCEPT,
    SOCKET,
    BIND,
    LISTEN,
    RESOLVE,
    THREAD,
    EPOLL,
    EVENTFD,
    RANDOM,
    BYTEWISE, /* read and write: one byte at a time, always */
};
static struct { /* wrapped functions have no other place for it */
    atomic_int fault, error;
    atomic_int in;    /* 1: the next call fails; 0: none does any more */
    atomic_int times; /* and so many after it */
    atomic_int failed;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool hang, too_late; /* resolve: until hang is false */
    int hanging, returned;
} fails = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static bool fails_now(enum fault fault) {
    if (atomic_load(&fails.fault) != (int)fault) return false;
    int before = atomic_load(&fails.in);
    while (before > 0 && !atomic_compare_exchange_weak(&fails.in, &before, before - 1)) {}
    if (before > 1) return false;
    if (before <= 0 && atomic_fetch_sub(&fails.times, 1) <= 0) return false;
    atomic_fetch_add(&fails.failed, 1);
    errno = atomic_load(&fails.error);
    return true;
}

static void break_call(enum fault fault, int error, int in, int times) {
    atomic_store(&fails.fault, NONE);
    atomic_store(&fails.error, error);
    atomic_store(&fails.in, in);
    atomic_store(&fails.times, times);
    atomic_store(&fails.failed, 0);
    atomic_store(&fails.fault, fault);
}

static bool is_socket(int fd) {
    int type;
    socklen_t size = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

#define WRAPPED(type, name, ...)                                                                                       \
    type __real_##name(__VA_ARGS__);                                                                                   \
    type __wrap_##name(__VA_ARGS__);                                                                                   \
    type __wrap_##name(__VA_ARGS__)

WRAPPED(int, connect, int fd, const struct sockaddr *to, socklen_t size) {
    return fails_now(CONNECT) ? -1 : __real_connect(fd, to, size);
}
WRAPPED(ssize_t, read, int fd, void *out, size_t size) {
    int fault = atomic_load(&fails.fault);
    if ((fault != READ && fault != BYTEWISE) || !is_socket(fd)) return __real_read(fd, out, size);
    return fails_now(READ) ? -1 : __real_read(fd, out, fault == BYTEWISE && size ? 1 : size);
}
WRAPPED(ssize_t, write, int fd, const void *from, size_t size) {
    int fault = atomic_load(&fails.fault);
    if ((fault != WRITE && fault != BYTEWISE) || !is_socket(fd)) return __real_write(fd, from, size);
    return fails_now(WRITE) ? -1 : __real_write(fd, from, fault == BYTEWISE && size ? 1 : size);
}
WRAPPED(ssize_t, writev, int fd, const struct iovec *from, int count) {
    int fault = atomic_load(&fails.fault);
    if ((fault != WRITE && fault != BYTEWISE) || !is_socket(fd)) return __real_writev(fd, from, count);
    if (fails_now(WRITE)) return -1;
    return fault == BYTEWISE ? __real_write(fd, from[0].iov_base, 1) : __real_writev(fd, from, count);
}
WRAPPED(int, accept4, int fd, struct sockaddr *from, socklen_t *size, int flags) {
    return fails_now(ACCEPT) ? -1 : __real_accept4(fd, from, size, flags);
}
WRAPPED(int, socket, int family, int type, int protocol) {
    return fails_now(SOCKET) ? -1 : __real_socket(family, type, protocol);
}
WRAPPED(int, bind, int fd, const struct sockaddr *to, socklen_t size) {
    return fails_now(BIND) ? -1 : __real_bind(fd, to, size);
}
WRAPPED(int, listen, int fd, int backlog) { return fails_now(LISTEN) ? -1 : __real_listen(fd, backlog); }
WRAPPED(int, epoll_create1, int flags) { return fails_now(EPOLL) ? -1 : __real_epoll_create1(flags); }
WRAPPED(int, eventfd, unsigned start, int flags) { return fails_now(EVENTFD) ? -1 : __real_eventfd(start, flags); }
WRAPPED(ssize_t, getrandom, void *out, size_t size, unsigned flags) {
    return fails_now(RANDOM) ? -1 : __real_getrandom(out, size, flags);
}
WRAPPED(int, pthread_create, pthread_t *out, const pthread_attr_t *with, void *(*run)(void *), void *argument) {
    return fails_now(THREAD) ? atomic_load(&fails.error) : __real_pthread_create(out, with, run, argument);
}
WRAPPED(int, getaddrinfo, const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out) {
    if (fails_now(RESOLVE)) return atomic_load(&fails.error);
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += PATIENCE_MS / 1000;
    pthread_mutex_lock(&fails.mutex);
    fails.hanging++;
    pthread_cond_broadcast(&fails.changed);
    while (fails.hang && !fails.too_late)
        fails.too_late = pthread_cond_timedwait(&fails.changed, &fails.mutex, &end) == ETIMEDOUT;
    fails.returned++;
    pthread_mutex_unlock(&fails.mutex);
    return __real_getaddrinfo(strcmp(host, "hangs.invalid") ? host : "127.0.0.1", port, hints, out);
}

/* ---- two members ---- */
#define ENTRIES 30

typedef struct pair {
    presence_tracker *a, *b;
    int failures; /* so many are to be met */
} pair;

static size_t members_up(presence_tracker *tracker) {
    presence_snapshot *members;
    size_t up = 0;
    assert_int_equal(presence_members(tracker, &members), 0);
    for (size_t i = 0; i < presence_snapshot_size(members); i++) {
        presence_member m = {.size = sizeof m};
        assert_int_equal(presence_snapshot_member_at(members, i, &m), 0);
        up += m.status == PRESENCE_MEMBER_UP;
    }
    presence_snapshot_free(members);
    return up;
}

static bool agree(void *user) {
    pair *p = user;
    return atomic_load(&fails.failed) >= p->failures && members_up(p->a) == 2 && members_up(p->b) == 2 &&
           count_metas(p->a, "room") == ENTRIES && count_metas(p->b, "room") == ENTRIES;
}

#define FAST "heartbeat_ms", "50", "grace_ms", "50", "permdown_ms", "60000"

/* host: how the second names the first, by an address or a name that is asked for */
static void two_agree(enum fault fault, int error, int in, int times, const char *host) {
    char address[80], join[80];
    pair p = {.failures = fault == BYTEWISE ? 0 : times + 1};
    p.a = open_tracker((const char *const[]){"name", "a", FAST, NULL});
    presence_owner owner = open_owner(p.a);
    for (int i = 0; i < ENTRIES / 2; i++) {
        char key[16];
        snprintf(key, sizeof key, "a%d", i);
        track(p.a, owner, "room", key, "{\"status\":\"online\"}");
    }
    assert_int_equal(presence_tracker_address(p.a, address, sizeof address), 0);
    snprintf(join, sizeof join, "%s%s", host, strrchr(address, ':'));
    break_call(fault, error, in, times);
    presence_config *config = make_config((const char *const[]){"name", "b", "join", join, FAST, NULL});
    if (fault == SOCKET) atomic_store(&fails.in, in + 1); /* the first one is that of listen */
    if (fault == THREAD) atomic_store(&fails.in, in + 1); /* and the loop */
    assert_int_equal(presence_tracker_open(config, &p.b), 0);
    presence_config_free(config);
    owner = open_owner(p.b);
    for (int i = 0; i < ENTRIES / 2; i++) {
        char key[16];
        snprintf(key, sizeof key, "b%d", i);
        track(p.b, owner, "room", key, "{\"status\":\"online\"}");
    }
    if (!wait_until(agree, &p)) fail_msg("fault %d, error %d at %d: they do not agree", fault, error, in);
    presence_tracker_close(p.b);
    presence_tracker_close(p.a);
    break_call(NONE, 0, 0, 0);
}

typedef struct kind {
    enum fault fault;
    int error, last; /* at call 1, 2, … last */
    const char *host;
} kind;

static void one_call_fails(void **state) {
    (void)state;
    static const kind kinds[] = {
        {CONNECT, ECONNREFUSED, 1, "127.0.0.1"},
        {CONNECT, ENETUNREACH, 1, "127.0.0.1"},
        {CONNECT, EADDRNOTAVAIL, 1, "127.0.0.1"},
        {CONNECT, ETIMEDOUT, 1, "127.0.0.1"},
        {READ, ECONNRESET, 5, "127.0.0.1"},
        {READ, ETIMEDOUT, 1, "127.0.0.1"},
        {READ, EIO, 1, "127.0.0.1"},
        {READ, ENOMEM, 1, "127.0.0.1"},
        {READ, EAGAIN, 2, "127.0.0.1"},
        {READ, EINTR, 2, "127.0.0.1"},
        {WRITE, EPIPE, 5, "127.0.0.1"},
        {WRITE, ENOBUFS, 1, "127.0.0.1"},
        {WRITE, EAGAIN, 2, "127.0.0.1"},
        {WRITE, EINTR, 2, "127.0.0.1"},
        {ACCEPT, ECONNABORTED, 1, "127.0.0.1"},
        {ACCEPT, EMFILE, 2, "127.0.0.1"},
        {ACCEPT, ENOMEM, 1, "127.0.0.1"},
        {ACCEPT, EINTR, 1, "127.0.0.1"},
        {SOCKET, EMFILE, 1, "127.0.0.1"},
        {SOCKET, ENOBUFS, 1, "127.0.0.1"},
        {RESOLVE, EAI_AGAIN, 1, "LOCALHOST"},
        {RESOLVE, EAI_MEMORY, 1, "LOCALHOST"},
        {RESOLVE, EAI_NONAME, 1, "LOCALHOST"},
        {RESOLVE, EAI_SYSTEM, 1, "LOCALHOST"},
        {THREAD, EAGAIN, 1, "LOCALHOST"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        for (int in = 1; in <= kinds[i].last; in++) two_agree(kinds[i].fault, kinds[i].error, in, 0, kinds[i].host);
    }
}

static void many_calls_fail(void **state) {
    (void)state;
    two_agree(CONNECT, ECONNREFUSED, 1, 2, "127.0.0.1");
    two_agree(ACCEPT, EMFILE, 1, 2, "127.0.0.1");
    two_agree(READ, ECONNRESET, 1, 4, "127.0.0.1");
    two_agree(WRITE, EPIPE, 1, 4, "127.0.0.1");
    two_agree(SOCKET, EMFILE, 1, 2, "127.0.0.1");
}

static void frames_come_byte_by_byte(void **state) {
    (void)state;
    two_agree(BYTEWISE, 0, 0, 0, "127.0.0.1");
}

/* ---- opening ---- */
static void open_says_what_is_missing(void **state) {
    (void)state;
    static const struct {
        enum fault fault;
        int error, result;
        const char *text;
    } wrong[] = {
        {SOCKET, EMFILE, PRESENCE_EADDRESS, "no descriptor"},
        {SOCKET, EAFNOSUPPORT, PRESENCE_EADDRESS, "family"},
        {BIND, EACCES, PRESENCE_EADDRESS, "permission"},
        {BIND, EADDRNOTAVAIL, PRESENCE_EADDRESS, "this machine"},
        {BIND, EADDRINUSE, PRESENCE_EADDRINUSE, "in use"},
        {LISTEN, EADDRINUSE, PRESENCE_EADDRINUSE, "in use"},
        {EPOLL, EMFILE, PRESENCE_EINTERNAL, "descriptors"},
        {EVENTFD, EMFILE, PRESENCE_EINTERNAL, "descriptors"},
        {RANDOM, ENOSYS, PRESENCE_EINTERNAL, "random numbers"},
        {THREAD, EAGAIN, PRESENCE_EINTERNAL, "thread"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        presence_config *config = make_config((const char *const[]){"name", "m", "join", "127.0.0.1:9", NULL});
        presence_tracker *tracker = (presence_tracker *)config;
        break_call(wrong[i].fault, wrong[i].error, 1, 0);
        assert_int_equal(presence_tracker_open(config, &tracker), wrong[i].result);
        assert_int_equal(atomic_load(&fails.failed), 1);
        assert_null(tracker);
        if (!strstr(presence_config_message(config), wrong[i].text)) fail_msg("%s", presence_config_message(config));
        assert_int_equal(presence_tracker_open(config, &tracker), 0); /* as if nothing had been */
        presence_tracker_close(tracker);
        presence_config_free(config);
    }
    break_call(NONE, 0, 0, 0);
}

static void ignore(const presence_event *event, void *user) { (void)event, (void)user; }

static void no_thread_for_callbacks(void **state) {
    (void)state;
    presence_tracker *tracker = open_memory();
    break_call(THREAD, EAGAIN, 1, 0);
    assert_int_equal(presence_set_diff_callback(tracker, ignore, NULL), PRESENCE_EINTERNAL);
    assert_int_equal(presence_set_diff_callback(tracker, ignore, NULL), 0);
    presence_tracker_close(tracker);
    break_call(NONE, 0, 0, 0);
}

/* ---- a resolver that hangs ---- */
static void hang(bool on) {
    pthread_mutex_lock(&fails.mutex);
    fails.hang = on;
    if (on) fails.hanging = fails.returned = 0;
    pthread_cond_broadcast(&fails.changed);
    pthread_mutex_unlock(&fails.mutex);
}

static void await_look_up(void) {
    pthread_mutex_lock(&fails.mutex);
    while (fails.hanging == 0) pthread_cond_wait(&fails.changed, &fails.mutex);
    pthread_mutex_unlock(&fails.mutex);
}

static bool all_returned(void *user) {
    (void)user;
    pthread_mutex_lock(&fails.mutex);
    bool all = fails.returned == fails.hanging;
    pthread_mutex_unlock(&fails.mutex);
    return all;
}

static void a_resolver_that_hangs_delays_no_stop(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        hang(true);
        presence_tracker *tracker = open_tracker(
            (const char *const[]){"join", "hangs.invalid:9,127.0.0.1:9", "connect_timeout_ms", "20", NULL});
        presence_owner owner = open_owner(tracker);
        await_look_up();
        if (i & 1) assert_int_equal(presence_wait_synced(tracker, PATIENCE_MS), 1); /* the dial has given up */
        track(tracker, owner, "room", "u1", "{}");
        if (i & 2) assert_int_equal(presence_tracker_stop(tracker, 0), 0);
        presence_tracker_close(tracker);
        assert_false(fails.too_late); /* it still hangs */
        assert_false(all_returned(NULL));
        hang(false);
        assert_true(wait_until(all_returned, NULL));
    }
}

/* The answer and the end come at the same time, in whatever order. */
static void an_answer_at_the_end(void **state) {
    (void)state;
    for (int i = 0; i < 100; i++) {
        hang(true);
        presence_tracker *tracker = open_tracker((const char *const[]){"join", "hangs.invalid:9", NULL});
        await_look_up();
        hang(false);
        presence_tracker_close(tracker);
        assert_true(wait_until(all_returned, NULL));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_call_fails),           cmocka_unit_test(many_calls_fail),
        cmocka_unit_test(frames_come_byte_by_byte), cmocka_unit_test(open_says_what_is_missing),
        cmocka_unit_test(no_thread_for_callbacks),  cmocka_unit_test(a_resolver_that_hangs_delays_no_stop),
        cmocka_unit_test(an_answer_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Bad input that only a running member meets: a thousand seeds, seeds that are no members, garbage in every option,
 * calls that have no place in a callback, peers that stop in the middle of a frame. docs/bad-input.md names the rest.
 */
#include "trackers.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAST "heartbeat_ms", "100", "permdown_ms", "60000"

/* ---- options ---- */
static char *repeated(char c, size_t size) {
    char *text = malloc(size + 1);
    assert_non_null(text);
    memset(text, c, size);
    text[size] = 0;
    return text;
}

/* Refused, naming the option, with the value as it was; or taken. */
static void set_whatever(const char *option, const char *value) {
    presence_config *config = presence_config_new();
    int result = presence_config_set(config, option, value);
    if (result != 0 && result != PRESENCE_EOPTION && result != PRESENCE_EUNSUPPORTED)
        fail_msg("%s=%.20s: %s", option, value, presence_error_name(result));
    if (result != 0) assert_non_null(strstr(presence_config_message(config), option));
    presence_config_free(config);
}

/* The same from the environment, where the variable is named too. */
static void load_whatever(const char *option, const char *value) {
    char variable[80];
    snprintf(variable, sizeof variable, "LIBPRESENCE_%s", option);
    for (char *p = variable; *p; p++) *p = (char)toupper((unsigned char)*p);
    presence_config *config = presence_config_new();
    assert_int_equal(setenv(variable, value, 1), 0);
    int result = presence_config_load_env(config);
    if (result != 0 && result != PRESENCE_EOPTION && result != PRESENCE_EUNSUPPORTED)
        fail_msg("%s=%.20s: %s", variable, value, presence_error_name(result));
    if (result != 0) assert_non_null(strstr(presence_config_message(config), variable));
    assert_int_equal(unsetenv(variable), 0);
    presence_config_free(config);
}

static void garbage_in_every_option(void **state) {
    (void)state;
    char *values[] = {strdup(""),         strdup(" "),          strdup("\xff\xfe"), strdup("-1"),
                      strdup("nan"),      strdup("1e9"),        strdup("0x10"),     strdup(","),
                      strdup(",,,:,"),    strdup("\x01\x02"),   strdup("true "),    strdup("99999999999999999999"),
                      strdup("[::1]"),    strdup("localhost:"), strdup("%s%n%n"),   strdup("127.0.0.1:1-65535"),
                      strdup("../../.."), repeated('x', 70000), repeated('9', 400), repeated('[', 5000)};
    const char *option;
    for (size_t i = 0; (option = presence_option_at(i, NULL, NULL)); i++) {
        for (size_t j = 0; j < sizeof values / sizeof *values; j++) {
            set_whatever(option, values[j]);
            load_whatever(option, values[j]);
        }
    }
    for (size_t j = 0; j < sizeof values / sizeof *values; j++) free(values[j]);
}

/* ---- descriptors ---- */
enum { FIRST_OPENED = 10, FIRST_REFUSED = 11, FREE_MAX = 40 };

/* The first tracker of this process, with so many descriptors. */
static int first_open(int free_ones) {
    struct rlimit limit, few;
    presence_tracker *tracker;
    int next = dup(0);
    if (next < 0 || close(next) != 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
    few = (struct rlimit){(rlim_t)(next + free_ones), limit.rlim_max};
    presence_config *config = presence_config_new();
    if (setrlimit(RLIMIT_NOFILE, &few) != 0) return 1;
    int result = presence_tracker_open(config, &tracker);
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
    bool named = result == PRESENCE_EINTERNAL || result == PRESENCE_EADDRESS;
    if (result != 0 && (!named || !*presence_config_message(config))) return 1;
    if (result != 0 && presence_tracker_open(config, &tracker) != 0) return 1; /* as if nothing had been */
    presence_tracker_close(tracker);
    presence_config_free(config);
    return result == 0 ? FIRST_OPENED : FIRST_REFUSED;
}

/* Before any other tracker of this program: what the first one sets up once must not need more than is there. */
static void no_descriptors_for_the_first(void **state) {
    (void)state;
    int seen[FIRST_REFUSED + 1] = {0};
    for (int free_ones = 0; seen[FIRST_OPENED] == 0; free_ones++) {
        int status;
        assert_true(free_ones < FREE_MAX);
        pid_t child = fork();
        if (child == 0) _exit(first_open(free_ones));
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) < FIRST_OPENED)
            fail_msg("with %d descriptors: status %x", free_ones, status);
        seen[WEXITSTATUS(status)]++;
    }
    assert_true(seen[FIRST_REFUSED] > 1);
}

/* ---- seeds ---- */
static void a_thousand_seeds(void **state) {
    (void)state;
    presence_tracker *tracker = open_tracker((const char *const[]){
        "cluster", "of-a-thousand", "join", "127.0.0.1:1-1000", "connect_timeout_ms", "200", NULL});
    track(tracker, open_owner(tracker), "room", "u1", "{}");
    assert_int_equal(presence_wait_synced(tracker, PATIENCE_MS), 1);
    assert_int_equal(count_metas(tracker, "room"), 1);
    presence_tracker_close(tracker);
    tracker = open_tracker((const char *const[]){"join", "127.0.0.1:1-1000", NULL}); /* closed while it dials them */
    presence_tracker_close(tracker);
}

typedef struct stranger {
    int fd;
    char address[80];
    const char *says; /* NULL: nothing */
    size_t size;
    pthread_t thread;
} stranger;

/* Accepts for ever, keeps what it accepted open. */
static void *serve(void *argument) {
    stranger *s = argument;
    int kept_open[256], count = 0, fd;
    while (count < 256 && (fd = accept(s->fd, NULL, NULL)) >= 0) {
        if (s->says && send(fd, s->says, s->size, MSG_NOSIGNAL) < 0) break;
        kept_open[count++] = fd;
    }
    while (count > 0) close(kept_open[--count]);
    return NULL;
}

static void stranger_start(stranger *s, const char *says, size_t size) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof to;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    s->says = says;
    s->size = size;
    assert_int_equal(bind(s->fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(listen(s->fd, 16), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&to, &length), 0);
    snprintf(s->address, sizeof s->address, "127.0.0.1:%d", ntohs(to.sin_port));
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stranger_stop(stranger *s) {
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

static bool has_two(void *tracker) { return count_metas(tracker, "room") == 2; }

static void one_good_seed_among_bad_ones(void **state) {
    (void)state;
    static const char http[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    static const char huge[] = "LPRE\1\0\1\0\xff\xff\xff\x3f"; /* a length of 16 MiB, and then nothing */
    char good_address[80], other_address[80], join[600];
    stranger silent, web, liar;
    stranger_start(&silent, NULL, 0);
    stranger_start(&web, http, sizeof http - 1);
    stranger_start(&liar, huge, sizeof huge - 1);
    presence_tracker *good = open_tracker((const char *const[]){"name", "good", FAST, NULL});
    presence_tracker *other = open_tracker((const char *const[]){"name", "x", "cluster", "other", FAST, NULL});
    assert_int_equal(presence_tracker_address(good, good_address, sizeof good_address), 0);
    assert_int_equal(presence_tracker_address(other, other_address, sizeof other_address), 0);
    snprintf(join, sizeof join, "%s,%s,%s,%s,no-such-host.invalid:7946,127.0.0.1:1,%s", silent.address, web.address,
             liar.address, other_address, good_address);
    presence_tracker *tracker =
        open_tracker((const char *const[]){"name", "b", "join", join, "connect_timeout_ms", "200", FAST, NULL});
    track(good, open_owner(good), "room", "u1", "{}");
    track(tracker, open_owner(tracker), "room", "u2", "{}");
    assert_true(wait_until(has_two, good));
    assert_true(wait_until(has_two, tracker));
    assert_int_equal(presence_wait_synced(tracker, PATIENCE_MS), 0);
    assert_int_equal(count_metas(other, "room"), 0);
    presence_tracker_close(tracker);
    presence_tracker_close(other);
    presence_tracker_close(good);
    stranger_stop(&silent);
    stranger_stop(&web);
    stranger_stop(&liar);
}

/* ---- peers ---- */
static int connect_to(const char *address) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    to.sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void peers_that_stop_in_the_middle(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } halves[] = {{"", 0},
                  {"L", 1},
                  {"LPRE\1\0\1\0", 8},
                  {"LPRE\1\0\1\0\x40", 9},
                  {"LPRE\1\0\1\0\xff\xff\xff\xff", 12},
                  {"LPRE\1\0\1\0\x20\0\0\0\1\2\3", 15},
                  {"LPRE\1\0\1\0\0\0\0\0", 12}};
    enum { HALVES = sizeof halves / sizeof *halves, ROUNDS = 8 };
    char address[80];
    int fds[HALVES * ROUNDS];
    presence_tracker *a = open_tracker((const char *const[]){"name", "a", FAST, NULL});
    assert_int_equal(presence_tracker_address(a, address, sizeof address), 0);
    for (int i = 0; i < HALVES * ROUNDS; i++) {
        fds[i] = connect_to(address);
        if (halves[i % HALVES].size)
            assert_true(send(fds[i], halves[i % HALVES].bytes, halves[i % HALVES].size, MSG_NOSIGNAL) > 0);
    }
    presence_tracker *b = open_tracker((const char *const[]){"name", "b", "join", address, FAST, NULL});
    track(a, open_owner(a), "room", "u1", "{}");
    track(b, open_owner(b), "room", "u2", "{}");
    assert_true(wait_until(has_two, a));
    assert_true(wait_until(has_two, b));
    assert_int_equal(presence_tracker_stop(a, 1000), 0); /* they do not hold it up */
    presence_tracker_close(a);
    presence_tracker_close(b);
    for (int i = 0; i < HALVES * ROUNDS; i++) close(fds[i]);
}

/* ---- callbacks ---- */
typedef struct told {
    presence_tracker *tracker;
    atomic_int stop, drain, refused, events;
} told;

static void ignore(const presence_event *event, void *user) { (void)event, (void)user; }

static void on_line(int level, const char *line, void *user) {
    told *t = user;
    if (level == PRESENCE_LOG_ERROR && strstr(line, "close.refused")) atomic_fetch_add(&t->refused, 1);
}

static void misbehave(const presence_event *event, void *user) {
    told *t = user;
    (void)event;
    if (!t->tracker) return;
    atomic_store(&t->stop, presence_tracker_stop(t->tracker, 100));
    atomic_store(&t->drain, presence_drain(t->tracker, 0, ignore, NULL, NULL));
    presence_tracker_close(t->tracker);
    atomic_fetch_add(&t->events, 1);
}

static bool was_refused(void *user) {
    told *t = user;
    return atomic_load(&t->refused) > 0 && atomic_load(&t->events) > 0;
}

static void calls_that_have_no_place_in_a_callback(void **state) {
    (void)state;
    for (int dispatched = 0; dispatched < 2; dispatched++) {
        told t = {.stop = 1, .drain = 1};
        presence_config *config = make_config((const char *const[]){"transport", "memory", NULL});
        presence_config_set_log(config, on_line, &t);
        presence_tracker *tracker;
        assert_int_equal(presence_tracker_open(config, &tracker), 0);
        presence_config_free(config);
        assert_int_equal(presence_wait_synced(tracker, PATIENCE_MS), 1);
        presence_owner owner = open_owner(tracker);
        assert_int_equal(presence_subscribe(tracker, S("room"), NULL), 0);
        t.tracker = tracker;
        if (dispatched) assert_int_equal(presence_set_diff_callback(tracker, misbehave, &t), 0);
        track(tracker, owner, "room", "u1", "{}");
        if (!dispatched) assert_int_equal(presence_drain(tracker, 0, misbehave, &t, NULL), 0);
        assert_true(wait_until(was_refused, &t));
        assert_int_equal(atomic_load(&t.stop), PRESENCE_ETHREAD);
        assert_int_equal(atomic_load(&t.drain), PRESENCE_ESTATE);
        track(tracker, owner, "room", "u2", "{}"); /* it works on */
        if (dispatched) assert_int_equal(presence_set_diff_callback(tracker, NULL, NULL), 0);
        presence_tracker_close(tracker);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_descriptors_for_the_first), /* first */
        cmocka_unit_test(garbage_in_every_option),
        cmocka_unit_test(a_thousand_seeds),
        cmocka_unit_test(one_good_seed_among_bad_ones),
        cmocka_unit_test(peers_that_stop_in_the_middle),
        cmocka_unit_test(calls_that_have_no_place_in_a_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Trackers whose links prove themselves, and strangers who cannot: by secret, by certificate, over real sockets. */
#include "shared_heap.h"
#include "tls_authority.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#define SECRET "correct horse battery staple"

static char folder[64], ca_file[128];
static pem_files member;
static authority ours;

#define LINES_MAX 160

typedef struct lines {
    char text[LINES_MAX][400];
    size_t size;
    pthread_mutex_t mutex;
} lines;
static lines told; /* of the tracker under test */

static void on_line(int level, const char *line, void *user) {
    lines *l = user;
    (void)level;
    pthread_mutex_lock(&l->mutex);
    if (l->size < LINES_MAX) snprintf(l->text[l->size++], sizeof l->text[0], "%s", line);
    pthread_mutex_unlock(&l->mutex);
}

static size_t lines_with(const char *part) {
    size_t count = 0;
    pthread_mutex_lock(&told.mutex);
    for (size_t i = 0; i < told.size; i++) count += strstr(told.text[i], part) != NULL;
    pthread_mutex_unlock(&told.mutex);
    return count;
}

static bool line_came(void *part) { return lines_with(part) > 0; }

static void expect_line(const char *part) {
    if (wait_until(line_came, (void *)(uintptr_t)part)) return;
    for (size_t i = 0; i < told.size; i++) print_message("%s\n", told.text[i]);
    fail_msg("no line has \"%s\"", part);
}

static presence_tracker *open_with(const char *const *options, const char *join, bool listening) {
    presence_config *config = make_config(options);
    presence_tracker *tracker = NULL;
    if (join) assert_int_equal(presence_config_set(config, "join", join), 0);
    if (listening) presence_config_set_log(config, on_line, &told);
    if (presence_tracker_open(config, &tracker)) fail_msg("%s", presence_config_message(config));
    presence_config_free(config);
    return tracker;
}

static void address_of(presence_tracker *tracker, char out[80]) {
    assert_int_equal(presence_tracker_address(tracker, out, 80), 0);
}

static bool has_two(void *tracker) { return count_metas(tracker, "room") == 2; }

/* Both see what both track, through a snapshot and through a change. */
static void expect_cluster(const char *const *a_options, const char *const *b_options) {
    char address[80];
    presence_tracker *a = open_with(a_options, NULL, true);
    address_of(a, address);
    track(a, open_owner(a), "room", "a", "{}");
    presence_tracker *b = open_with(b_options, address, false);
    track(b, open_owner(b), "room", "b", "{}");
    if (!wait_until(has_two, a)) {
        for (size_t i = 0; i < told.size; i++) print_message("%s\n", told.text[i]);
        fail_msg("not seen");
    }
    assert_true(wait_until(has_two, b));
    presence_tracker_close(b);
    presence_tracker_close(a);
    assert_int_equal(lines_with("error"), 0);
}

static const char *const by_secret[] = {"secret", SECRET, "heartbeat_ms", "200", "connect_timeout_ms", "10000", NULL};

static void members_with_one_secret(void **state) {
    (void)state;
    const char *const two[] = {"secret", "a new one that comes soon, " SECRET, NULL};
    expect_cluster(by_secret, by_secret);
    expect_cluster(two, by_secret);
}

static void members_with_certificates(void **state) {
    (void)state;
    const char *const options[] = {"tls_cert", member.cert,          "tls_key", member.key, "tls_ca",
                                   ca_file,    "connect_timeout_ms", "10000",   NULL};
    expect_cluster(options, options);
}

/* 0.0.0.0 is nothing that others could dial: the addresses of the machine are told instead. */
static void listening_on_every_address(void **state) {
    (void)state;
    const char *const everywhere[] = {"secret", SECRET, "listen", "0.0.0.0:0", "connect_timeout_ms", "10000", NULL};
    char address[80];
    presence_tracker *a = open_with(everywhere, NULL, false);
    address_of(a, address);
    assert_null(strstr(address, "0.0.0.0"));
    presence_tracker *b = open_with(by_secret, address, false);
    track(a, open_owner(a), "room", "a", "{}");
    track(b, open_owner(b), "room", "b", "{}");
    assert_true(wait_until(has_two, a));
    assert_true(wait_until(has_two, b));
    presence_tracker_close(b);
    presence_tracker_close(a);
}

static void many_presences_come_through(void **state) {
    (void)state;
    enum { MANY = 3000 };
    char address[80], key[32];
    presence_tracker *a = open_with(by_secret, NULL, false);
    presence_owner owner = open_owner(a);
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "user-%d", i);
        track(a, owner, "room", key, "{\"status\":\"online\",\"device\":\"a rather long text to make frames grow\"}");
    }
    address_of(a, address);
    presence_tracker *b = open_with(by_secret, address, false);
    assert_int_equal(presence_wait_synced(b, PATIENCE_MS), 0);
    assert_int_equal(count_metas(b, "room"), MANY);
    presence_tracker_close(b);
    presence_tracker_close(a);
}

/* Without memory it does not open, and says so; when it opens it has all it needs. */
static void no_memory_to_open(void **state) {
    (void)state;
    bool failed = true;
    for (size_t n = 1; failed && n < 500; n++) {
        shared_heap s = {.mutex = PTHREAD_MUTEX_INITIALIZER};
        presence_config *config = config_on(&s, by_secret);
        presence_tracker *tracker = NULL;
        shared_fail(&s, n);
        int result = presence_tracker_open(config, &tracker);
        failed = shared_failed(&s);
        shared_fail(&s, 0);
        assert_true(result == 0 || result == PRESENCE_ENOMEM);
        assert_int_equal(result == 0, tracker != NULL);
        presence_tracker_close(tracker);
        presence_config_free(config);
        assert_int_equal(s.heap.blocks, 0);
    }
    assert_false(failed);
}

static bool has_many(void *tracker) { return count_metas(tracker, "room") == 300; }

/* Short of memory once, while it proves itself or while it is told everything: it tries again, and leaks nothing. */
static void no_memory_while_it_joins(void **state) {
    (void)state;
    char address[80], key[16];
    presence_tracker *a = open_with(by_secret, NULL, false);
    presence_owner owner = open_owner(a);
    address_of(a, address);
    for (int i = 0; i < 300; i++) {
        snprintf(key, sizeof key, "u%d", i);
        track(a, owner, "room", key, "{\"a\":\"0123456789\"}");
    }
    const char *const options[] = {"secret", SECRET, "join", address, "heartbeat_ms", "100", NULL};
    for (size_t n = 1; n < 60; n += 8) {
        shared_heap s = {.mutex = PTHREAD_MUTEX_INITIALIZER};
        presence_tracker *b = open_on(&s, options);
        shared_fail(&s, n);
        assert_true(wait_until(has_many, b));
        shared_fail(&s, 0);
        presence_tracker_close(b);
        assert_int_equal(s.heap.blocks, 0);
    }
    presence_tracker_close(a);
}

/* ---- strangers ---- */
static int dial_from(uint32_t host, const char *address) {
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(host)};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    to.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static int dial(const char *address) { return dial_from(INADDR_LOOPBACK, address); }

/* Whatever it answers; until it closes. */
static void expect_closed(int fd) {
    char bytes[4096];
    struct pollfd ready = {fd, POLLIN, 0};
    for (ssize_t size = 1; size > 0;) {
        if (poll(&ready, 1, PATIENCE_MS) != 1) fail_msg("not closed");
        size = recv(fd, bytes, sizeof bytes, 0);
    }
    close(fd);
}

static void say(const char *address, const char *bytes, size_t size, const char *part) {
    int fd = dial(address);
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
    expect_closed(fd);
    expect_line(part);
}

static void refused_member(const char *const *options, const char *address, const char *part) {
    presence_tracker *stranger = open_with(options, address, false);
    expect_line(part);
    presence_tracker_close(stranger);
}

static bool is_up(void *tracker) {
    presence_statistics stats = {.size = sizeof stats};
    return presence_stats(tracker, &stats) == 0 && stats.members == 2;
}

static void strangers_are_told_apart(void **state) {
    (void)state;
    char address[80];
    presence_tracker *a = open_with(by_secret, NULL, true);
    address_of(a, address);
    say(address, "LPRE\1\0\1\0aaaaaaaa", 16, "127.0.0.1");
    expect_line("speaks the protocol without TLS");
    say(address, "GET / HTTP/1.1\r\n\r\n", 18, "does not speak TLS (HTTP?)");
    static const char old[] = "\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x03"
                              "aaaaaaaabbbbbbbbccccccccdddddddd\x00\x00\x02\x13\x01\x01\x00";
    say(address, old, sizeof old - 1, "TLS 1.3");
    const char *const wrong[] = {"secret", "guessed by somebody else", NULL}, *const plain[] = {NULL};
    refused_member(wrong, address, "another secret or another cluster");
    const char *const elsewhere[] = {"secret", SECRET, "cluster", "chat", NULL};
    refused_member(elsewhere, address, "another secret or another cluster");
    presence_tracker *guest = open_with(plain, address, false);
    expect_line("without TLS");
    presence_tracker_close(guest);
    assert_int_equal(lines_with(SECRET), 0);
    assert_int_equal(lines_with("guessed by"), 0);
    assert_int_equal(lines_with("without TLS"), 1); /* the second came within the rate */
    presence_tracker *b = open_with(by_secret, address, false);
    assert_true(wait_until(is_up, a));
    presence_tracker_close(b);
    presence_tracker_close(a);
}

static bool most_were_told(void *part) { return lines_with(part) >= 60; }

/* Each address has its line; a flood of addresses fills no log. */
static void lines_of_many_addresses(void **state) {
    (void)state;
    enum { ADDRESSES = 120 };
    char address[80], who[40];
    presence_tracker *a = open_with(by_secret, NULL, true);
    address_of(a, address);
    int64_t begin = now_ms();
    for (uint32_t i = 0; i < ADDRESSES * 2; i++) {
        int fd = dial_from((127u << 24) + 256 + i / 2, address);
        assert_int_equal(send(fd, "SSH-2.0-", 8, MSG_NOSIGNAL), 8);
        expect_closed(fd);
    }
    for (int i = 0; i < 40; i++) {
        snprintf(who, sizeof who, "127.0.1.%d:", i);
        expect_line(who);
    }
    assert_true(wait_until(most_were_told, "does not speak TLS"));
    bool quick = now_ms() - begin < 10000; /* else the first may be told of again */
    if (quick) assert_true(lines_with("does not speak TLS") <= 64 + 1);
    presence_tracker_close(a);
}

static void certificates_that_are_wrong(void **state) {
    (void)state;
    static const char right[] = "DNS:localhost,IP:127.0.0.1";
    static const char *const parts[] = {"certificate has expired", "self-signed certificate",
                                        "local issuer certificate", "is not for 127.0.0.1"};
    authority other = authority_new("theirs");
    pem_files bad[4];
    char address[80];
    write_member(folder, "old", &ours, right, -2 * DAY, -DAY, &bad[0]);
    write_member(folder, "alone", NULL, right, -DAY, DAY, &bad[1]);
    write_member(folder, "alien", &other, right, -DAY, DAY, &bad[2]);
    write_member(folder, "web", &ours, "DNS:web.example,IP:192.0.2.1", -DAY, DAY, &bad[3]);
    authority_free(&other);
    const char *const good[] = {"tls_cert", member.cert, "tls_key", member.key, "tls_ca", ca_file, NULL};
    presence_tracker *a = open_with(good, NULL, true);
    address_of(a, address);
    for (size_t i = 0; i < 4; i++) {
        const char *const options[] = {"tls_cert", bad[i].cert, "tls_key", bad[i].key, "tls_ca", ca_file, NULL};
        refused_member(options, address, parts[i]);
    }
    const char *const none[] = {"secret", SECRET, NULL};
    refused_member(none, address, "it does not believe us");
    presence_tracker_close(a);
}

/* One byte now and then of a handshake that never ends. */
static void slow_ones_are_closed(void **state) {
    (void)state;
    static const uint8_t record[] = {0x16, 3, 1, 4, 0, 1, 0, 3, 0xfc};
    char address[80];
    presence_tracker *a = open_with(by_secret, NULL, true);
    address_of(a, address);
    int fd = dial(address);
    int64_t deadline = now_ms() + PATIENCE_MS;
    for (size_t i = 0;; i++) {
        struct pollfd ready = {fd, POLLIN, 0};
        if (send(fd, i < sizeof record ? &record[i] : &record[1], 1, MSG_NOSIGNAL) != 1) break;
        if (poll(&ready, 1, 200) == 1) break; /* it says something, or closes */
        if (now_ms() > deadline) fail_msg("not closed");
    }
    close(fd);
    expect_line("did not prove within 5 s");
    presence_tracker_close(a);
}

/* Silence keeps nobody out, and a peer that sends a byte now and then is closed when its time is over. */
static void silent_ones_keep_nobody_out(void **state) {
    (void)state;
    enum { SILENT = 300 };
    static int silent[SILENT];
    char address[80];
    presence_tracker *a = open_with(by_secret, NULL, true);
    address_of(a, address);
    for (int i = 0; i < SILENT; i++) silent[i] = dial(address);
    presence_tracker *b = open_with(by_secret, address, false);
    assert_true(wait_until(is_up, a));
    expect_line("too many connections that prove nothing");
    expect_line("did not prove within 5 s");
    for (int i = 0; i < SILENT; i++) expect_closed(silent[i]);
    presence_tracker_close(b);
    presence_tracker_close(a);
}

static bool fails(void *k) { return ((kept *)k)->errors > 0; }

static bool error_came(void *of) {
    void **both = of;
    size_t delivered;
    presence_drain(both[0], 100, keep, both[1], &delivered);
    return fails(both[1]);
}

static void an_error_event_says_why(void **state) {
    (void)state;
    static kept seen;
    char address[80];
    presence_tracker *a = open_with(by_secret, NULL, false);
    address_of(a, address);
    memset(&seen, 0, sizeof seen);
    int fd = dial(address);
    assert_int_equal(send(fd, "nonsense", 8, MSG_NOSIGNAL), 8);
    expect_closed(fd);
    void *both[] = {a, &seen};
    assert_true(wait_until(error_came, both));
    assert_int_equal(seen.last_error, PRESENCE_EAUTH);
    assert_non_null(strstr(seen.error_message, "does not speak TLS"));
    presence_tracker_close(a);
}

static int forget_lines(void **state) {
    (void)state;
    pthread_mutex_lock(&told.mutex);
    told.size = 0;
    pthread_mutex_unlock(&told.mutex);
    return 0;
}

static int set_up(void **state) {
    (void)state;
    pthread_mutex_init(&told.mutex, NULL);
    make_folder(folder);
    ours = authority_new("ours");
    snprintf(ca_file, sizeof ca_file, "%s/ca.pem", folder);
    write_certificate(ca_file, "w", ours.certificate);
    write_member(folder, "member", &ours, "DNS:localhost,IP:127.0.0.1", -DAY, DAY, &member);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    remove_folder(folder);
    authority_free(&ours);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(members_with_one_secret, forget_lines),
        cmocka_unit_test_setup(members_with_certificates, forget_lines),
        cmocka_unit_test_setup(listening_on_every_address, forget_lines),
        cmocka_unit_test_setup(many_presences_come_through, forget_lines),
        cmocka_unit_test_setup(no_memory_to_open, forget_lines),
        cmocka_unit_test_setup(no_memory_while_it_joins, forget_lines),
        cmocka_unit_test_setup(strangers_are_told_apart, forget_lines),
        cmocka_unit_test_setup(lines_of_many_addresses, forget_lines),
        cmocka_unit_test_setup(certificates_that_are_wrong, forget_lines),
        cmocka_unit_test_setup(slow_ones_are_closed, forget_lines),
        cmocka_unit_test_setup(silent_ones_keep_nobody_out, forget_lines),
        cmocka_unit_test_setup(an_error_event_says_why, forget_lines),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

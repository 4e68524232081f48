/* Members find each other over real sockets: names with several addresses that change (a headless service), IPv6,
 * seeds added and removed at run time, an advertised address apart from the listening one. The program is linked with
 * --wrap for getaddrinfo: the name is answered here. */
#include "trackers.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the resolver ---- */
#define ANSWERS 8
static struct { /* wrapped functions have no other place for it */
    pthread_mutex_t mutex;
    char hosts[ANSWERS][INET6_ADDRSTRLEN];
    size_t size;
    int asked;
} resolver = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void answer(const char *const *hosts) {
    pthread_mutex_lock(&resolver.mutex);
    resolver.size = 0;
    for (; *hosts; hosts++) snprintf(resolver.hosts[resolver.size++], INET6_ADDRSTRLEN, "%s", *hosts);
    resolver.asked = 0;
    pthread_mutex_unlock(&resolver.mutex);
}

static bool asked(void *user) {
    (void)user;
    pthread_mutex_lock(&resolver.mutex);
    bool once = resolver.asked > 0;
    pthread_mutex_unlock(&resolver.mutex);
    return once;
}

static bool asked_again(void *user) {
    (void)user;
    pthread_mutex_lock(&resolver.mutex);
    bool again = resolver.asked >= 2;
    pthread_mutex_unlock(&resolver.mutex);
    return again;
}

static struct addrinfo *address_of(const char *host, struct addrinfo *next) {
    struct {
        struct addrinfo info;
        struct sockaddr_storage address;
    } *made = calloc(1, sizeof *made);
    struct sockaddr_in *v4 = (struct sockaddr_in *)&made->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&made->address;
    made->info.ai_next = next;
    made->info.ai_addr = (struct sockaddr *)&made->address;
    made->info.ai_addrlen = sizeof *v4;
    made->address.ss_family = AF_INET;
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) return &made->info;
    made->info.ai_addrlen = sizeof *v6;
    made->address.ss_family = AF_INET6;
    inet_pton(AF_INET6, host, &v6->sin6_addr);
    return &made->info;
}

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out);
void __wrap_freeaddrinfo(struct addrinfo *list);

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out) {
    (void)service;
    (void)hints;
    *out = NULL;
    if (strcmp(node, "chat.test") != 0) return EAI_NONAME;
    pthread_mutex_lock(&resolver.mutex);
    resolver.asked++;
    for (size_t i = resolver.size; i--;) *out = address_of(resolver.hosts[i], *out);
    pthread_mutex_unlock(&resolver.mutex);
    return *out ? 0 : EAI_AGAIN;
}

void __wrap_freeaddrinfo(struct addrinfo *list) {
    while (list) {
        struct addrinfo *next = list->ai_next;
        free(list);
        list = next;
    }
}

/* ---- members ---- */
typedef struct wanted {
    presence_tracker *tracker;
    const char *name;
    int status;
} wanted;

static bool has_status(void *user) {
    wanted *want = user;
    presence_snapshot *members = NULL;
    presence_member member = {.size = sizeof member};
    bool found = false;
    if (presence_members(want->tracker, &members) != 0) return false;
    for (size_t i = 0; presence_snapshot_member_at(members, i, &member) == 0; i++) {
        bool named =
            member.name.size == strlen(want->name) && memcmp(member.name.data, want->name, member.name.size) == 0;
        found |= named && member.status == want->status;
    }
    presence_snapshot_free(members);
    return found;
}

static bool sees(presence_tracker *tracker, const char *name) {
    return wait_until(has_status, &(wanted){tracker, name, PRESENCE_MEMBER_UP});
}

static bool sees_now(presence_tracker *tracker, const char *name) {
    return has_status(&(wanted){tracker, name, PRESENCE_MEMBER_UP});
}

static presence_tracker *member(const char *name, const char *listen, const char *join) {
    return open_tracker((const char *const[]){"name", name, "listen", listen, "join", join, "resolve_ms", "100",
                                              "heartbeat_ms", "100", NULL});
}

static bool can_bind(const char *host, int port) {
    struct sockaddr_storage address = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    bool is_v4 = inet_pton(AF_INET, host, &v4->sin_addr) == 1;
    address.ss_family = is_v4 ? AF_INET : AF_INET6;
    if (!is_v4) inet_pton(AF_INET6, host, &v6->sin6_addr);
    if (is_v4)
        v4->sin_port = htons((uint16_t)port);
    else
        v6->sin6_port = htons((uint16_t)port);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&address, is_v4 ? sizeof *v4 : sizeof *v6) == 0;
    if (fd >= 0) close(fd);
    return ok;
}

/* Where IPv6 is switched off, another address stands for it. */
static const char *v6_host(void) { return can_bind("::1", 0) ? "::1" : "127.0.0.4"; }

/* A port that is free at all these addresses; none that connections of other processes are given. */
static int free_port(void) {
    static const char *const hosts[] = {"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.5"};
    unsigned at = (unsigned)now_ms() * 31u + (unsigned)getpid() * 7919u;
    for (;; at += 7) {
        int port = 20000 + (int)(at % 12000u);
        size_t free = 0;
        while (free < sizeof hosts / sizeof *hosts && can_bind(hosts[free], port)) free++;
        if (free == sizeof hosts / sizeof *hosts && can_bind(v6_host(), port)) return port;
    }
}

/* Three pods of one service: each has its own address, all the same port, and the name stands for all three; which of
 * them are ready changes. */
static void a_headless_service(void **state) {
    (void)state;
    char name[32], one[32], two[32], three[64];
    int port = free_port();
    const char *v6 = v6_host();
    snprintf(name, sizeof name, "chat.test:%d", port);
    snprintf(one, sizeof one, "127.0.0.1:%d", port);
    snprintf(two, sizeof two, "127.0.0.2:%d", port);
    snprintf(three, sizeof three, strchr(v6, ':') ? "[%s]:%d" : "%s:%d", v6, port);
    answer((const char *const[]){"127.0.0.1", NULL});
    presence_tracker *a = member("a", one, "");
    presence_tracker *b = member("b", two, "");
    presence_tracker *c = member("c", three, "");
    presence_tracker *d = member("d", "127.0.0.3:0", name);
    assert_true(sees(d, "a") && sees(a, "d"));
    assert_int_equal(presence_wait_synced(d, PATIENCE_MS), 0);
    assert_false(sees_now(d, "b"));
    answer((const char *const[]){"127.0.0.9", "127.0.0.1", "127.0.0.2", v6, NULL});
    assert_true(sees(d, "b") && sees(d, "c") && sees(a, "b") && sees(b, "c") && sees(c, "a"));
    answer((const char *const[]){NULL}); /* no answer takes nobody away */
    assert_true(wait_until(asked_again, NULL));
    assert_true(sees_now(d, "a") && sees_now(d, "b") && sees_now(d, "c"));
    presence_tracker_close(d);
    presence_tracker_close(c);
    presence_tracker_close(b);
    presence_tracker_close(a);
}

/* The first address of the name leads to the member itself, under another address than it listens on. */
static void a_name_that_is_oneself_too(void **state) {
    (void)state;
    char name[32], one[32], two[32];
    int port = free_port();
    answer((const char *const[]){"127.0.0.1", "127.0.0.2", NULL});
    snprintf(name, sizeof name, "chat.test:%d", port);
    snprintf(one, sizeof one, "127.0.0.1:%d", port);
    snprintf(two, sizeof two, "127.0.0.2:%d", port);
    presence_tracker *a = member("a", two, "");
    presence_tracker *b = open_tracker((const char *const[]){"name", "b", "listen", one, "advertise", "localhost:9",
                                                             "join", name, "resolve_ms", "100", NULL});
    assert_true(sees(b, "a") && sees(a, "b"));
    presence_tracker_close(b);
    presence_tracker_close(a);
}

static void seeds_at_run_time(void **state) {
    (void)state;
    char address[80], list[200];
    size_t removed = 9;
    presence_tracker *a = member("a", "127.0.0.1:0", ""),
                     *b = member("b", strchr(v6_host(), ':') ? "[::1]:0" : "127.0.0.4:0", "");
    assert_int_equal(presence_tracker_address(a, address, sizeof address), 0);
    snprintf(list, sizeof list, " %s ,127.0.0.1:9", address);
    assert_int_equal(presence_seed_add(b, list), 0);
    assert_true(sees(b, "a") && sees(a, "b"));
    assert_int_equal(presence_seed_remove(b, list, &removed), 0);
    assert_int_equal(removed, 2);
    assert_int_equal(presence_seed_remove(b, list, &removed), 0);
    assert_int_equal(removed, 0);
    assert_int_equal(presence_seed_add(b, ""), PRESENCE_EADDRESS);
    assert_int_equal(presence_seed_add(b, "nonsense"), PRESENCE_EADDRESS);
    assert_int_equal(presence_seed_add(b, "127.0.0.1:0"), PRESENCE_EADDRESS);
    assert_int_equal(presence_seed_add(b, "10.0.0.1:7946"), PRESENCE_EUNSUPPORTED);
    assert_int_equal(presence_seed_add(b, "127.0.0.1:1000-2000,127.0.0.1:3000-4000"), PRESENCE_ELIMIT);
    assert_int_equal(presence_seed_add(NULL, "127.0.0.1:9"), PRESENCE_EINVAL);
    assert_int_equal(presence_seed_add(b, NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_tracker_stop(b, 1000), 0);
    assert_int_equal(presence_seed_add(b, "127.0.0.1:9"), PRESENCE_ECLOSED);
    presence_tracker_close(b);
    presence_tracker_close(a);
}

/* What others are told is where they dial: c, which nobody can dial, reaches a by the name that a advertises. */
static void an_advertised_address_is_dialled(void **state) {
    (void)state;
    char listen[32], advertised[32], address[80], own[80];
    int port = free_port();
    snprintf(listen, sizeof listen, "127.0.0.5:%d", port);
    snprintf(advertised, sizeof advertised, "chat.test:%d", port);
    answer((const char *const[]){"127.0.0.5", NULL});
    presence_tracker *b = member("b", "127.0.0.1:0", "");
    assert_int_equal(presence_tracker_address(b, address, sizeof address), 0);
    const char *const options[] = {"name", "a", "listen", listen, "advertise", advertised, "join", address, NULL};
    presence_tracker *a = open_tracker(options);
    assert_int_equal(presence_tracker_address(a, own, sizeof own), 0);
    assert_string_equal(own, advertised);
    presence_tracker *c = member("c", "", address);
    assert_true(sees(c, "a") && sees(a, "c"));
    assert_true(wait_until(asked, NULL));
    presence_tracker_close(b);
    assert_true(sees(c, "a") && sees(a, "c"));
    presence_tracker_close(c);
    presence_tracker_close(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_headless_service),
        cmocka_unit_test(a_name_that_is_oneself_too),
        cmocka_unit_test(seeds_at_run_time),
        cmocka_unit_test(an_advertised_address_is_dialled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

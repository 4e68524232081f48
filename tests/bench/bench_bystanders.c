/* What two members feel while a third party sends one of them each class of bad input: each joins and leaves every 5 ms
 * and measures the time to the diff of the other.
 * usage: bench_bystanders [CLASS [JOINS]]    all classes, 400 joins of each of the two
 *
 * Both members are processes of their own; the attacker is their parent, which stops for nothing. */
#include "bench_load.h"
#include "wire_hello.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HELD_MAX = 200, JOINS = 400, FEW_DESCRIPTORS = 4, START_MS = 10000 };

static const presence_str topic = {"bystanders", 10};

/* ---- a member: measures, and says what it measured when it has enough ---- */

typedef struct member {
    pthread_mutex_t lock;
    double *took; /* ms */
    size_t size, room;
    char mine[16]; /* keys of this member begin so */
} member;

static void on_event(const presence_event *event, void *user) {
    member *m = user;
    double now = bench_wall();
    if (presence_event_kind(event) != PRESENCE_EVENT_DIFF) return;
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < presence_event_size(event) && m->size < m->room; i++) {
        presence_entry entry = {.size = sizeof entry};
        if (presence_event_at(event, i, &entry) != 0 || entry.kind != PRESENCE_JOIN) continue;
        if (entry.key.data[0] == m->mine[0]) continue;
        /* {"t":<nanoseconds>} */
        m->took[m->size++] = now * 1e3 - strtod(entry.meta.data + 5, NULL) * 1e-6;
    }
    pthread_mutex_unlock(&m->lock);
}

static bool has_enough(member *m) {
    pthread_mutex_lock(&m->lock);
    bool enough = m->size == m->room;
    pthread_mutex_unlock(&m->lock);
    return enough;
}

static void rest_ms(long ms) {
    struct timespec rest = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&rest, NULL);
}

/* Until it has measured enough joins of the other; then goes on, so that the other measures as many. */
static void join_and_leave(presence_tracker *tracker, member *m, int out, int in) {
    presence_owner owner;
    struct pollfd end = {in, POLLIN, 0};
    bool said = false;
    bench_check(presence_owner_open(tracker, &owner), "owner");
    for (size_t i = 0; poll(&end, 1, 0) == 0; i++) {
        char key[40], meta[40];
        presence_str k = {key, (size_t)sprintf(key, "%s%zu", m->mine, i)};
        presence_str t = {meta, (size_t)sprintf(meta, "{\"t\":%.0f}", bench_wall() * 1e9)};
        bench_check(presence_track(tracker, owner, topic, k, t, NULL), "track");
        rest_ms(5);
        bench_check(presence_untrack(tracker, owner, topic, k, NULL), "untrack");
        if (said || !has_enough(m)) continue;
        if (write(out, m->took, m->size * sizeof *m->took) < 0) exit(1);
        said = true;
    }
}

static void few_descriptors(void) {
    int next = dup(0);
    struct rlimit limit = {(rlim_t)next + FEW_DESCRIPTORS, (rlim_t)next + FEW_DESCRIPTORS};
    close(next);
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) exit(1);
}

static int be_member(const char *name, const char *join, size_t joins, bool few, int out, int in) {
    member m = {.lock = PTHREAD_MUTEX_INITIALIZER, .room = joins, .took = malloc(joins * sizeof(double))};
    char address[80] = {0};
    const char *const options[] = {"name", name, "join", join, "log_level", "error", NULL};
    presence_config *config = presence_config_new();
    snprintf(m.mine, sizeof m.mine, "%s", name);
    presence_tracker *tracker = bench_open(config, options);
    bench_check(presence_set_diff_callback(tracker, on_event, &m), "set_diff_callback");
    bench_check(presence_subscribe(tracker, topic, NULL), "subscribe");
    if (*join) bench_check(presence_wait_synced(tracker, START_MS), "synced");
    bench_check(presence_tracker_address(tracker, address, sizeof address), "address");
    if (write(out, address, sizeof address) < 0) return 1;
    if (few) few_descriptors();
    join_and_leave(tracker, &m, out, in);
    presence_tracker_close(tracker);
    presence_config_free(config);
    free(m.took);
    return 0;
}

/* ---- the attacks: each of them is one step, made again until both have measured enough ---- */

typedef struct attack {
    struct sockaddr_in to;
    const char *address;
    int held[HELD_MAX]; /* connections left open; the oldest makes way */
    size_t next;
} attack;

static void hold(attack *a, int fd) {
    int *place = &a->held[a->next++ % HELD_MAX];
    if (*place > 0) close(*place);
    *place = fd;
}

static int connected(attack *a) {
    struct linger at_once = {1, 0};             /* no port is left waiting */
    const struct timeval patience = {0, 50000}; /* who accepts nobody has a full backlog */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&a->to, sizeof a->to) == 0) return fd;
    close(fd);
    return -1;
}

static void say(attack *a, const void *bytes, size_t size) {
    int fd = connected(a);
    if (fd < 0) return;
    if (send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) errno = 0; /* it closed already: as it should */
    hold(a, fd);
}

static void nothing(attack *a) { (void)a, rest_ms(5); }

static void half_frame(attack *a) { say(a, "LPRE\1\0\1\0\x20\0\0\0\1\2\3", 15); }

static void huge_length(attack *a) { say(a, "LPRE\1\0\1\0\xff\xff\xff\xff\1\1\1\1", 16); }

static void http(attack *a) {
    static const char request[] = "GET /socket/websocket HTTP/1.1\r\nHost: localhost\r\n\r\n";
    say(a, request, sizeof request - 1);
}

static void random_bytes(attack *a) {
    uint32_t noise[1024], x = (uint32_t)a->next * 2654435761u + 1;
    for (size_t i = 0; i < sizeof noise / sizeof *noise; i++) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        noise[i] = x;
    }
    say(a, noise, sizeof noise);
}

/* After a good preamble, so that it is the decoder that meets them. */
static void random_frames(attack *a) {
    uint8_t bytes[512] = "LPRE\1\0\1\0";
    uint32_t x = (uint32_t)a->next * 2654435761u + 1;
    for (size_t i = 8; i < sizeof bytes; i++) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        bytes[i] = (uint8_t)x;
    }
    bytes[8] = 200, bytes[9] = bytes[10] = bytes[11] = 0; /* a length that is one */
    say(a, bytes, sizeof bytes);
}

static void flood(attack *a) {
    int fd = connected(a);
    if (fd >= 0) close(fd);
}

static void silent(attack *a) {
    int fd = connected(a);
    if (fd >= 0) hold(a, fd);
}

static void wrong_cluster(attack *a) {
    const char *const options[] = {"cluster", "another",    "join",      a->address, "listen", "",
                                   "name",    "a-stranger", "log_level", "error",    NULL};
    presence_config *config = presence_config_new();
    presence_tracker *tracker = bench_open(config, options);
    presence_wait_synced(tracker, START_MS);
    presence_tracker_close(tracker);
    presence_config_free(config);
}

/* ---- attacks that greet as a member does ---- */

static void add(pr_buffer *out, const pr_message *message) {
    if (pr_encode(out, message, PR_FRAME_MAX) != 0) abort();
}

static void add_hello(pr_buffer *out, const char *name, uint64_t inst, uint64_t inc) {
    uint8_t preamble[PR_PREAMBLE_SIZE];
    pr_message message = wire_hello(name, inst);
    message.as.hello.self.inc = inc;
    pr_preamble_write(preamble);
    pr_buffer_append(out, preamble, sizeof preamble);
    add(out, &message);
}

/* One presence in the log of an instance. */
static void add_forged(pr_buffer *out, uint64_t inst, const char *name) {
    static pr_message message;
    pr_up up = {.eid = 1, .dot = 1, .topic_id = 1, .topic = topic, .key = {"forged", 6}, .meta = {"{}", 2}};
    memset(&message, 0, sizeof message);
    message.type = PR_LOGDEF;
    message.as.logdef.log = 7;
    message.as.logdef.inst = inst;
    strcpy(message.as.logdef.name, name);
    add(out, &message);
    memset(&message, 0, sizeof message);
    message.type = PR_SEGMENT;
    message.as.segment.log = 7;
    message.as.segment.x2 = message.as.segment.T2 = 1000;
    message.as.segment.ups = &up;
    message.as.segment.ups_size = 1;
    add(out, &message);
}

static void greet_and_lie(attack *a, const char *name, uint64_t inst, uint64_t inc) {
    pr_alloc heap = pr_alloc_default();
    pr_buffer out;
    pr_buffer_init(&out, &heap, 1u << 20);
    add_hello(&out, name, inst, inc);
    add_forged(&out, 0xABCD, "b");
    say(a, out.data, out.size);
    pr_buffer_free(&out);
}

static void another_log(attack *a) { greet_and_lie(a, "liar", 0xE711, 5); }

/* An incarnation of the other member that is long over. */
static void stale(attack *a) { greet_and_lie(a, "b", 0xE711, 1); }

static const struct {
    const char *name;
    void (*step)(attack *);
    bool few; /* the attacked member has hardly any descriptors */
} classes[] = {
    {"none", nothing, false},
    {"half_frame", half_frame, false},
    {"huge_length", huge_length, false},
    {"http", http, false},
    {"random_bytes", random_bytes, false},
    {"random_frames", random_frames, false},
    {"silent", silent, false},
    {"flood", flood, false},
    {"wrong_cluster", wrong_cluster, false},
    {"another_log", another_log, false},
    {"stale", stale, false},
    {"no_descriptors", silent, true},
};

/* ---- one class ---- */

typedef struct child {
    pid_t pid;
    int in, out; /* of the child */
    char address[80];
} child;

static child start(const char *name, const char *join, size_t joins, bool few) {
    int in[2], out[2];
    child c;
    if (pipe(in) != 0 || pipe(out) != 0) abort();
    c.pid = fork();
    if (c.pid == 0) {
        close(in[1]);
        close(out[0]);
        exit(be_member(name, join, joins, few, out[1], in[0]));
    }
    close(in[0]);
    close(out[1]);
    c.in = in[1], c.out = out[0];
    if (read(c.out, c.address, sizeof c.address) != sizeof c.address) {
        fprintf(stderr, "bystanders: member %s did not start\n", name);
        exit(1);
    }
    return c;
}

/* Reads what a member measured. */
static void measured(const child *c, double *out, size_t joins) {
    size_t size = joins * sizeof *out, done = 0;
    for (ssize_t got; done < size && (got = read(c->out, (char *)out + done, size - done)) > 0;) done += (size_t)got;
    if (done == size) return;
    fprintf(stderr, "bystanders: a member ended\n");
    exit(1);
}

static void end(child *c) {
    int status;
    close(c->in);
    if (waitpid(c->pid, &status, 0) != c->pid || status != 0) {
        fprintf(stderr, "bystanders: a member ended with %x\n", status);
        exit(1);
    }
    close(c->out);
}

static void report(const char *name, const char *what, double value) {
    char line[80];
    snprintf(line, sizeof line, "bystanders.%s.%s", name, what);
    bench_report(line, value, strcmp(what, "steps") == 0 ? "/s" : "ms");
}

static void measure(size_t index, size_t joins) {
    attack a = {.to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    double *took = malloc(2 * joins * sizeof *took), begin;
    size_t steps = 0;
    child attacked = start("a", "", joins, classes[index].few), other = start("b", attacked.address, joins, false);
    a.address = attacked.address;
    a.to.sin_port = htons((uint16_t)atoi(strrchr(attacked.address, ':') + 1));
    struct pollfd ready[] = {{attacked.out, POLLIN, 0}, {other.out, POLLIN, 0}};
    begin = bench_wall();
    for (; poll(ready, 2, 0) < 2; steps++) classes[index].step(&a);
    double seconds = bench_wall() - begin;
    measured(&attacked, took, joins);
    measured(&other, took + joins, joins);
    report(classes[index].name, "p50", bench_quantile(took, 2 * joins, 0.5));
    report(classes[index].name, "p99", bench_quantile(took, 2 * joins, 0.99));
    report(classes[index].name, "max", took[2 * joins - 1]);
    report(classes[index].name, "steps", (double)steps / seconds);
    end(&other);
    end(&attacked);
    for (size_t i = 0; i < HELD_MAX; i++)
        if (a.held[i] > 0) close(a.held[i]);
    free(took);
}

int main(int argc, char **argv) {
    size_t joins = argc > 2 ? strtoull(argv[2], NULL, 10) : JOINS;
    bool found = false;
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (argc > 1 && strcmp(argv[1], classes[i].name) != 0) continue;
        found = true;
        measure(i, joins);
    }
    if (!found || !joins) return fprintf(stderr, "usage: bench_bystanders [CLASS [JOINS]]\n"), 2;
    return 0;
}

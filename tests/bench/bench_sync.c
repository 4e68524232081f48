/* What replication costs: one engine fills another over a link in memory (apply, merge), and two processes over
 * loopback while a thread of the receiver goes on listing (live).
 * usage: bench_sync apply N | merge N | live N
 *
 * The program is linked with --wrap for the lock and for epoll_wait, so that the turns of the loop thread and the time
 * it holds the lock are seen without a change to the library. */
#include "bench_load.h"
#include "engine.h"
#include "hash.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- two engines in memory ---- */

enum { LINK = 1 };

typedef struct side {
    pr_engine *engine;
    uint8_t *bytes; /* towards it, not read yet */
    size_t at, size, room;
    double seconds, longest; /* in pr_engine_bytes and in taking its actions */
    size_t diffs;
} side;

static pr_alloc memory;

static void side_open(side *s, const char *name, uint64_t inst) {
    pr_engine_options options = pr_engine_options_default();
    options.name = pr_cstr(name);
    options.inst = options.seed = inst;
    options.inc = 1;
    bench_check(pr_engine_new(&memory, &options, (pr_time){1000, 1000}, &s->engine), "engine");
}

static void take_bytes(side *to, pr_bytes *bytes) {
    if (to->at == to->size) to->at = to->size = 0;
    if (to->size + bytes->size > to->room) to->bytes = realloc(to->bytes, to->room = 2 * (to->size + bytes->size));
    memcpy(to->bytes + to->size, bytes->data, bytes->size);
    to->size += bytes->size;
    pr_bytes_release(bytes);
}

static void act(side *from, side *to) {
    pr_action action;
    while (pr_engine_next_action(from->engine, &action)) {
        if (action.kind == PR_ACTION_SEND) take_bytes(to, action.as.send.bytes);
        if (action.kind == PR_ACTION_DIFF) from->diffs++, pr_diff_free(action.as.diff);
    }
}

/* One frame at most; true: something was read. */
static bool turn(side *s, side *other, pr_time now) {
    size_t used = 0;
    if (s->at == s->size) return false;
    double start = bench_cpu();
    pr_engine_bytes(s->engine, LINK, s->bytes + s->at, s->size - s->at, &used, now);
    double took = bench_cpu() - start;
    act(s, other);
    s->at += used;
    s->seconds += took;
    if (took > s->longest) s->longest = took;
    pr_engine_written(other->engine, LINK, used, now);
    act(other, s);
    return used != 0;
}

static void converse(side *a, side *b, pr_time now) {
    for (bool any = true; any;) {
        any = turn(a, b, now);
        any |= turn(b, a, now);
    }
}

static void fill(side *s, const bench_texts *texts, size_t n, presence_owner *owners) {
    for (size_t i = 0; i < BENCH_OWNERS; i++)
        bench_check(pr_engine_owner_open(s->engine, 0, (pr_time){1000, 1000}, &owners[i]), "owner");
    for (size_t i = 0; i < n; i++) {
        presence_item item = {texts[i].topic, texts[i].key, texts[i].meta};
        bench_check(pr_engine_track_many(s->engine, owners[i % BENCH_OWNERS], &item, 1, (pr_time){1000, 1000}, NULL,
                                         NULL, NULL),
                    "track");
    }
}

static void link_up(side *a, side *b) {
    pr_time now = {1001, 1001};
    pr_engine_link_up(a->engine, LINK, 0, now);
    pr_engine_link_up(b->engine, LINK, 0, now);
    act(a, b);
    act(b, a);
    converse(a, b, now);
}

static void report(const char *what, size_t n, double value, const char *unit) {
    char name[64];
    snprintf(name, sizeof name, "c.%s.%zu", what, n);
    bench_report(name, value, unit);
}

static void make_pair(side *a, side *b, const bench_texts *texts, size_t n, presence_owner *owners) {
    side_open(a, "a", 11);
    side_open(b, "b", 22);
    fill(a, texts, n, owners);
    link_up(a, b);
    if (pr_store_size(pr_engine_store(b->engine)) != n) abort();
}

static void close_pair(side *a, side *b) {
    pr_engine_free(a->engine);
    pr_engine_free(b->engine);
    free(a->bytes);
    free(b->bytes);
}

static void apply(size_t n) {
    side a = {0}, b = {0};
    presence_owner owners[BENCH_OWNERS];
    bench_texts *texts = bench_texts_new(n);
    make_pair(&a, &b, texts, n, owners);
    report("apply", n, b.seconds * 1e6 / (double)n, "us");
    report("apply_slice", n, b.longest * 1e3, "ms");
    close_pair(&a, &b);
    free(texts);
}

/* Updates of entries far from each other, each alone in its frame. */
static void merge(size_t n) {
    enum { ROUNDS = 20000 };
    side a = {0}, b = {0};
    presence_owner owners[BENCH_OWNERS];
    bench_texts *texts = bench_texts_new(n);
    make_pair(&a, &b, texts, n, owners);
    bool *changed = calloc(n, sizeof *changed);
    double seconds = 0;
    uint64_t ms = 2000, chosen = 1;
    for (size_t i = 0; i < ROUNDS; i++) {
        size_t at = pr_random_next(&chosen) % n;
        const bench_texts *t = &texts[at];
        ms += 2;
        pr_time now = {ms, ms};
        pr_engine_tick(b.engine, now);
        act(&b, &a);
        converse(&a, &b, now);
        double before = b.seconds;
        bench_check(pr_engine_update(a.engine, owners[at % BENCH_OWNERS], t->topic, t->key, NULL,
                                     changed[at] ? t->meta : t->other, now, NULL, NULL),
                    "update");
        changed[at] = !changed[at];
        ms++;
        pr_engine_tick(a.engine, (pr_time){ms, ms}); /* what was held back for a moment goes */
        act(&a, &b);
        converse(&a, &b, now);
        seconds += b.seconds - before;
    }
    presence_statistics stats = {.size = sizeof stats};
    pr_engine_stats(b.engine, &stats);
    if (stats.updates != ROUNDS) fprintf(stderr, "only %llu merged\n", (unsigned long long)stats.updates), exit(1);
    report("merge", n, seconds * 1e6 / ROUNDS, "us");
    free(changed);
    close_pair(&a, &b);
    free(texts);
}

/* ---- two processes, and what a local caller feels ---- */

typedef struct watched {
    atomic_bool measuring;
    pthread_t loop; /* whose turns are measured */
    atomic_bool found;
    double turn_start, hold_start, turn_longest, hold_longest;
    size_t turns;
} watched;

static watched seen; /* of this benchmark program alone: wrapped functions have no other place for it */

int __real_pthread_rwlock_wrlock(pthread_rwlock_t *);
int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *);
int __real_pthread_rwlock_unlock(pthread_rwlock_t *);
int __wrap_pthread_rwlock_unlock(pthread_rwlock_t *);
int __real_epoll_wait(int, struct epoll_event *, int, int);
int __wrap_epoll_wait(int, struct epoll_event *, int, int);

static bool is_loop(void) { return seen.found && pthread_equal(seen.loop, pthread_self()); }

static void note(double since, double *longest) {
    double took = bench_cpu() - since;
    if (seen.measuring && took > *longest) *longest = took;
}

int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *lock) {
    int failed = __real_pthread_rwlock_wrlock(lock);
    if (is_loop()) seen.hold_start = bench_cpu();
    return failed;
}

int __wrap_pthread_rwlock_unlock(pthread_rwlock_t *lock) {
    if (is_loop()) note(seen.hold_start, &seen.hold_longest);
    return __real_pthread_rwlock_unlock(lock);
}

int __wrap_epoll_wait(int fd, struct epoll_event *events, int size, int timeout) {
    if (!seen.found) seen.loop = pthread_self(), seen.found = true;
    if (is_loop() && seen.turns++) note(seen.turn_start, &seen.turn_longest);
    int result = __real_epoll_wait(fd, events, size, timeout);
    if (is_loop()) seen.turn_start = bench_cpu();
    return result;
}

/* The other process: has n entries, says where, ends when its input does. */
static void be_source(size_t n, int out, int in) {
    char address[80] = "", end;
    bench_texts *texts = bench_texts_new(n);
    presence_config *config = presence_config_new();
    presence_tracker *tracker = bench_open(config, NULL);
    presence_owner *owners = bench_owners_new(tracker);
    for (size_t i = 0; i < n; i++) bench_track(tracker, owners, texts, i);
    bench_check(presence_tracker_address(tracker, address, sizeof address), "address");
    if (write(out, address, sizeof address) < 0 || read(in, &end, 1) < 0) _exit(1);
    presence_tracker_close(tracker);
    _exit(0);
}

typedef struct lister {
    presence_tracker *tracker;
    double *took;
    size_t size, room;
    atomic_bool end;
} lister;

static void *list_on(void *argument) {
    lister *l = argument;
    struct timespec rest = {0, 100000};
    while (!l->end && l->size < l->room) {
        presence_snapshot *snapshot;
        double start = bench_wall();
        bench_check(presence_list(l->tracker, pr_cstr("own"), &snapshot), "list");
        presence_snapshot_free(snapshot);
        l->took[l->size++] = bench_wall() - start;
        nanosleep(&rest, NULL);
    }
    return NULL;
}

static void receive(const char *address, size_t n) {
    const char *const joining[] = {"join", address, NULL};
    presence_config *config = presence_config_new();
    presence_statistics stats = {.size = sizeof stats};
    lister l = {.room = 1000000};
    presence_owner owner;
    pthread_t thread;
    l.took = malloc(l.room * sizeof *l.took);
    l.tracker = bench_open(config, joining);
    presence_config_free(config);
    double start = bench_wall();
    seen.measuring = true;
    bench_check(presence_owner_open(l.tracker, &owner), "owner");
    for (int i = 0; i < 10; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        bench_check(presence_track(l.tracker, owner, pr_cstr("own"), pr_cstr(key), pr_cstr("{}"), NULL), "track");
    }
    if (pthread_create(&thread, NULL, list_on, &l) != 0) abort();
    bench_check(presence_wait_synced(l.tracker, 60000), "synced");
    double took = bench_wall() - start;
    seen.measuring = false;
    l.end = true;
    pthread_join(thread, NULL);
    bench_check(presence_stats(l.tracker, &stats), "stats");
    if (stats.entries != n + 10) fprintf(stderr, "only %llu entries came\n", (unsigned long long)stats.entries);
    report("sync", n, took * 1e3, "ms");
    report("sync_turn", n, seen.turn_longest * 1e3, "ms");
    report("sync_hold", n, seen.hold_longest * 1e3, "ms");
    report("sync_list_p99", n, bench_quantile(l.took, l.size, 0.99) * 1e3, "ms");
    presence_tracker_close(l.tracker);
    free(l.took);
}

static void live(size_t n) {
    int up[2], down[2], status;
    char address[80];
    if (pipe(up) || pipe(down)) abort();
    pid_t child = fork();
    if (child == 0) {
        close(up[0]), close(down[1]);
        be_source(n, up[1], down[0]);
    }
    close(up[1]), close(down[0]);
    if (read(up[0], address, sizeof address) <= 0) exit(1);
    receive(address, n);
    close(down[1]);
    waitpid(child, &status, 0);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    size_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 100000;
    memory = pr_alloc_default();
    if (strcmp(what, "apply") == 0)
        apply(n);
    else if (strcmp(what, "merge") == 0)
        merge(n);
    else if (strcmp(what, "live") == 0)
        live(n);
    else
        return fprintf(stderr, "usage: bench_sync apply N | merge N | live N\n"), 2;
    return 0;
}

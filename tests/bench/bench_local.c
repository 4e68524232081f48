/* Calls of one tracker through the public API, on one thread and on four; bytes per presence.
 * usage: bench_local calls N | longest N | lists | memory N | threads */
#include "bench_load.h"
#include <pthread.h>
#include <stdatomic.h>

static const char *const alone[] = {"listen", "", NULL};

static presence_tracker *open_alone(void) {
    presence_config *config = presence_config_new();
    presence_tracker *tracker = bench_open(config, alone);
    presence_config_free(config);
    return tracker;
}

static void report_rate(const char *call, size_t entries, double start, size_t calls) {
    char name[64];
    snprintf(name, sizeof name, "c.%s.%zu", call, entries);
    bench_report(name, (double)calls / (bench_cpu() - start), "/s");
}

/* ---- track, update, get_by_key, count, untrack ---- */

static void read_some(presence_tracker *tracker, const bench_texts *texts, size_t n) {
    size_t reads = n < 100000 ? n : 100000, step = n / reads, keys;
    presence_snapshot *snapshot;
    double start = bench_cpu();
    for (size_t i = 0; i < reads; i++) {
        bench_check(presence_get_by_key(tracker, texts[i * step].topic, texts[i * step].key, &snapshot), "get_by_key");
        presence_snapshot_free(snapshot);
    }
    report_rate("get_by_key", n, start, reads);
    start = bench_cpu();
    for (size_t i = 0; i < reads; i++)
        bench_check(presence_count(tracker, texts[i * step].topic, &keys, NULL), "count");
    report_rate("count", n, start, reads);
}

static void calls(size_t n) {
    bench_texts *texts = bench_texts_new(n);
    presence_tracker *tracker = open_alone();
    presence_owner *owners = bench_owners_new(tracker);
    double start = bench_cpu();
    for (size_t i = 0; i < n; i++) bench_track(tracker, owners, texts, i);
    report_rate("track", n, start, n);
    start = bench_cpu();
    for (size_t i = 0; i < n; i++) {
        const bench_texts *t = &texts[i];
        presence_owner owner = owners[i % BENCH_OWNERS];
        bench_check(presence_update(tracker, owner, t->topic, t->key, t->other, NULL), "update");
    }
    report_rate("update", n, start, n);
    read_some(tracker, texts, n);
    start = bench_cpu();
    for (size_t i = 0; i < n; i++) {
        const bench_texts *t = &texts[i];
        bench_check(presence_untrack(tracker, owners[i % BENCH_OWNERS], t->topic, t->key, NULL), "untrack");
    }
    report_rate("untrack", n, start, n);
    presence_tracker_close(tracker);
    free(owners);
    free(texts);
}

/* The one track that took longest: what others wait for at worst. */
static void longest(size_t n) {
    bench_texts *texts = bench_texts_new(n);
    presence_tracker *tracker = open_alone();
    presence_owner *owners = bench_owners_new(tracker);
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double start = bench_cpu();
        bench_track(tracker, owners, texts, i);
        double took = bench_cpu() - start;
        if (took > most) most = took;
    }
    char name[64];
    snprintf(name, sizeof name, "c.track_longest.%zu", n);
    bench_report(name, most * 1e3, "ms");
    presence_tracker_close(tracker);
    free(owners);
    free(texts);
}

/* ---- lists of one topic, and an owner that ends ---- */

static void fill_topic(presence_tracker *tracker, presence_owner owner, presence_str topic, const bench_texts *texts,
                       size_t n) {
    for (size_t i = 0; i < n; i++)
        bench_check(presence_track(tracker, owner, topic, texts[i].key, texts[i].meta, NULL), "track");
}

static void report_time(const char *call, size_t entries, double seconds) {
    char name[64];
    snprintf(name, sizeof name, "c.%s.%zu", call, entries);
    bench_report(name, seconds * 1e6, "us");
}

static void list(presence_tracker *tracker, presence_str topic, size_t n) {
    size_t rounds = 200000 / n;
    presence_snapshot *snapshot;
    presence_str json;
    presence_entry entry = {.size = sizeof entry};
    double start = bench_cpu();
    for (size_t i = 0; i < rounds; i++) {
        bench_check(presence_list(tracker, topic, &snapshot), "list");
        for (size_t e = 0; e < n; e++) bench_check(presence_snapshot_at(snapshot, e, &entry), "snapshot_at");
        presence_snapshot_free(snapshot);
    }
    report_time("list", n, (bench_cpu() - start) / (double)rounds);
    start = bench_cpu();
    for (size_t i = 0; i < rounds; i++) {
        bench_check(presence_list_json(tracker, topic, &snapshot, &json), "list_json");
        presence_snapshot_free(snapshot);
    }
    report_time("list_json", n, (bench_cpu() - start) / (double)rounds);
}

static void lists(void) {
    enum { LARGE = 10000, SMALL = 100 };
    presence_tracker *tracker = open_alone();
    bench_texts *texts = bench_texts_new(LARGE);
    presence_owner owner;
    presence_str large = {"large", 5}, small = {"small", 5};
    bench_check(presence_owner_open(tracker, &owner), "owner");
    fill_topic(tracker, owner, small, texts, SMALL);
    list(tracker, small, SMALL);
    bench_check(presence_untrack_owner(tracker, owner, NULL), "untrack_owner");
    fill_topic(tracker, owner, large, texts, LARGE);
    list(tracker, large, LARGE);
    double start = bench_cpu();
    bench_check(presence_untrack_owner(tracker, owner, NULL), "untrack_owner");
    report_time("untrack_owner", LARGE, bench_cpu() - start);
    presence_tracker_close(tracker);
    free(texts);
}

/* ---- memory ---- */

typedef struct counted {
    atomic_size_t bytes;
} counted;

static void *count_alloc(size_t size, void *user) {
    atomic_fetch_add(&((counted *)user)->bytes, size);
    return malloc(size);
}

static void *count_resize(void *block, size_t old_size, size_t size, void *user) {
    atomic_fetch_add(&((counted *)user)->bytes, size - old_size);
    return realloc(block, size);
}

static void count_release(void *block, size_t size, void *user) {
    atomic_fetch_sub(&((counted *)user)->bytes, size);
    free(block);
}

static presence_tracker *open_counted(counted *count, const char *const *options) {
    presence_config *config = presence_config_new();
    bench_check(presence_config_set_allocator(config, count_alloc, count_resize, count_release, count), "allocator");
    presence_tracker *tracker = bench_open(config, options);
    presence_config_free(config);
    return tracker;
}

static void pause_ms(long ms) {
    struct timespec t = {0, ms * 1000000};
    nanosleep(&t, NULL);
}

/* Waits until the other member shows as much, and its queues have settled. */
static void wait_for(presence_tracker *tracker, uint64_t joins, uint64_t updates) {
    presence_statistics stats = {.size = sizeof stats};
    do {
        pause_ms(5);
        bench_check(presence_stats(tracker, &stats), "stats");
    } while (stats.joins < joins || stats.updates < updates);
}

static void report_memory(const char *where, size_t updated, size_t bytes, size_t n) {
    char name[64];
    snprintf(name, sizeof name, "c.memory.%s.%zu", where, updated);
    bench_report(name, (double)bytes / (double)n, "B");
}

static void memory(size_t n) {
    counted local = {0}, remote = {0};
    char address[80];
    presence_tracker *a = open_counted(&local, NULL);
    bench_check(presence_tracker_address(a, address, sizeof address), "address");
    const char *const joining[] = {"join", address, NULL};
    presence_tracker *b = open_counted(&remote, joining);
    bench_check(presence_wait_synced(b, 5000), "synced");
    bench_texts *texts = bench_texts_new(n);
    presence_owner *owners = bench_owners_new(a);
    size_t local_before = local.bytes, remote_before = remote.bytes;
    for (size_t i = 0; i < n; i++) bench_track(a, owners, texts, i);
    wait_for(b, n, 0);
    report_memory("local", 0, local.bytes - local_before, n);
    report_memory("remote", 0, remote.bytes - remote_before, n);
    for (size_t i = 0; i < n; i++) {
        const bench_texts *t = &texts[i];
        bench_check(presence_update(a, owners[i % BENCH_OWNERS], t->topic, t->key, t->other, NULL), "update");
    }
    wait_for(b, n, n);
    report_memory("local", 100, local.bytes - local_before, n);
    report_memory("remote", 100, remote.bytes - remote_before, n);
    presence_tracker_close(b);
    presence_tracker_close(a);
    free(owners);
    free(texts);
}

/* ---- four threads ---- */

enum { THREADS = 4, THREAD_CALLS = 40000 };

typedef struct worker {
    presence_tracker *tracker;
    const bench_texts *texts;
    pthread_t thread;
    size_t first;
} worker;

/* A topic of its own rooms: one track, then one list of its topic, over and over. */
static void *work(void *argument) {
    worker *w = argument;
    presence_owner owner;
    presence_snapshot *snapshot;
    bench_check(presence_owner_open(w->tracker, &owner), "owner");
    for (size_t i = w->first; i < w->first + THREAD_CALLS; i++) {
        const bench_texts *t = &w->texts[i];
        bench_check(presence_track(w->tracker, owner, t->topic, t->key, t->meta, NULL), "track");
        bench_check(presence_list(w->tracker, t->topic, &snapshot), "list");
        presence_snapshot_free(snapshot);
    }
    return NULL;
}

static void report_pairs(size_t threads, const bench_texts *texts) {
    worker workers[THREADS];
    char name[64];
    presence_tracker *tracker = open_alone();
    double start = bench_wall(), start_cpu = bench_clock(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t i = 0; i < threads; i++) {
        workers[i] = (worker){.tracker = tracker, .texts = texts, .first = i * THREAD_CALLS};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) abort();
    }
    for (size_t i = 0; i < threads; i++) pthread_join(workers[i].thread, NULL);
    double pairs = (double)(threads * THREAD_CALLS), seconds = bench_wall() - start,
           seconds_cpu = bench_clock(CLOCK_PROCESS_CPUTIME_ID) - start_cpu;
    presence_tracker_close(tracker);
    snprintf(name, sizeof name, "c.threads.%zu", threads);
    bench_report(name, pairs / seconds, "/s");
    snprintf(name, sizeof name, "c.threads_cpu.%zu", threads);
    bench_report(name, seconds_cpu * 1e6 / pairs, "us");
}

static void threads(void) {
    bench_texts *texts = bench_texts_new(THREADS * THREAD_CALLS);
    report_pairs(1, texts);
    report_pairs(THREADS, texts);
    free(texts);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    size_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 100000;
    if (strcmp(what, "calls") == 0)
        calls(n);
    else if (strcmp(what, "longest") == 0)
        longest(n);
    else if (strcmp(what, "lists") == 0)
        lists();
    else if (strcmp(what, "memory") == 0)
        memory(n);
    else if (strcmp(what, "threads") == 0)
        threads();
    else
        return fprintf(stderr, "usage: bench_local calls N | longest N | lists | memory N | threads\n"), 2;
    return 0;
}

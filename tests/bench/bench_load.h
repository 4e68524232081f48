/* The load that all benchmarks share: 1 000 owners, 10 entries per topic, metas of 41 bytes; and how a figure is
 * reported. */
#ifndef PR_BENCH_LOAD_H
#define PR_BENCH_LOAD_H

#include <presence.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BENCH_OWNERS = 1000, BENCH_TOPIC_ENTRIES = 10 };

/* One figure on a line of its own: name, value, unit, separated by tabs; tests/bench/table.py reads them. */
static inline void bench_report(const char *name, double value, const char *unit) {
    printf("%s\t%.6g\t%s\n", name, value, unit);
    fflush(stdout);
}

static inline double bench_clock(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* CPU time of the calling thread: what others do on the machine meanwhile is not in it. */
static inline double bench_cpu(void) { return bench_clock(CLOCK_THREAD_CPUTIME_ID); }

static inline double bench_wall(void) { return bench_clock(CLOCK_MONOTONIC); }

static inline void bench_check(int code, const char *what) {
    if (code >= 0) return;
    fprintf(stderr, "%s: %s\n", what, presence_error_name(code));
    exit(1);
}

/* Texts of presence i, made ahead so that their formatting is not measured. */
typedef struct bench_texts {
    presence_str topic, key, meta, other; /* other: a meta of the same size, for updates */
    char room[128];
} bench_texts;

static inline presence_str bench_print(char **at, const char *format, size_t number) {
    int size = sprintf(*at, format, number);
    presence_str text = {*at, (size_t)size};
    *at += size + 1;
    return text;
}

static inline bench_texts *bench_texts_new(size_t count) {
    bench_texts *texts = malloc(count * sizeof *texts);
    if (!texts) abort();
    for (size_t i = 0; i < count; i++) {
        char *at = texts[i].room;
        texts[i].topic = bench_print(&at, "room:%08zu", i / BENCH_TOPIC_ENTRIES % 100000000);
        texts[i].key = bench_print(&at, "u%010zu", i % 10000000000);
        texts[i].meta = bench_print(&at, "{\"status\":\"online\",\"at\":1%09zu,\"d\":1}", i % 1000000000);
        texts[i].other = bench_print(&at, "{\"status\":\"absent\",\"at\":1%09zu,\"d\":2}", i % 1000000000);
    }
    return texts;
}

/* Option name and value in turn, NULL at the end; BENCH_SECRET of the environment makes links prove themselves. */
static inline presence_tracker *bench_open(presence_config *config, const char *const *options) {
    presence_tracker *tracker = NULL;
    for (; options && *options; options += 2)
        bench_check(presence_config_set(config, options[0], options[1]), *options);
    if (getenv("BENCH_SECRET")) bench_check(presence_config_set(config, "secret", getenv("BENCH_SECRET")), "secret");
    if (presence_tracker_open(config, &tracker) != 0) {
        fprintf(stderr, "open: %s\n", presence_config_message(config));
        exit(1);
    }
    return tracker;
}

static inline presence_owner *bench_owners_new(presence_tracker *tracker) {
    presence_owner *owners = malloc(BENCH_OWNERS * sizeof *owners);
    for (size_t i = 0; i < BENCH_OWNERS; i++) bench_check(presence_owner_open(tracker, &owners[i]), "owner");
    return owners;
}

static inline void bench_track(presence_tracker *tracker, const presence_owner *owners, const bench_texts *texts,
                               size_t i) {
    const bench_texts *t = &texts[i];
    bench_check(presence_track(tracker, owners[i % BENCH_OWNERS], t->topic, t->key, t->meta, NULL), "track");
}

static int bench_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the values; share 0.5 is the median. */
static inline double bench_quantile(double *values, size_t count, double share) {
    if (!count) return 0;
    qsort(values, count, sizeof *values, bench_compare);
    size_t at = (size_t)(share * (double)count);
    return values[at < count ? at : count - 1];
}

#endif

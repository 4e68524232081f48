/* Bytes per presence and time per operation of the store, by number of entries; 10 per topic, 41 bytes of meta, 11 of
 * key. Usage: bench_store [entries]... */
#include "hash.h"
#include "snapshot.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct counted {
    size_t bytes, blocks;
} counted;

static void *count_alloc(size_t size, void *user) {
    counted *c = user;
    c->bytes += size, c->blocks++;
    return malloc(size);
}

static void *count_resize(void *block, size_t old_size, size_t size, void *user) {
    counted *c = user;
    c->bytes += size - old_size;
    return realloc(block, size);
}

static void count_release(void *block, size_t size, void *user) {
    counted *c = user;
    c->bytes -= size, c->blocks--;
    free(block);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void report(const char *what, double start, size_t n) {
    printf("  %-34s %7.0f ns\n", what, (seconds() - start) * 1e9 / (double)n);
}

/* Texts of presence i, made ahead so that their formatting is not measured. */
typedef struct texts {
    char topic[16], key[16], meta[48];
} texts;

static void make_texts(texts *t, size_t i) {
    snprintf(t->topic, sizeof t->topic, "room:%08zu", i / 10 % 100000000);
    snprintf(t->key, sizeof t->key, "u%010zu", i % 10000000000);
    snprintf(t->meta, sizeof t->meta, "{\"status\":\"online\",\"since\":%010zu,\"d\":1}", i % 10000000000);
}

static void shuffle(uint32_t *order, size_t n) {
    uint64_t seed = 1;
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    for (size_t i = n - 1; i > 0; i--) {
        size_t j = pr_random_next(&seed) % (i + 1);
        uint32_t swap = order[i];
        order[i] = order[j], order[j] = swap;
    }
}

static void fill(pr_store *s, const texts *t, const uint32_t *order, size_t n, pr_id *ids, presence_owner owner) {
    for (size_t i = 0; i < n; i++) {
        const texts *p = &t[order[i]];
        if (pr_store_insert(s, 1, i + 1, i + 1, pr_cstr(p->topic), pr_cstr(p->key), pr_cstr(p->meta), owner,
                            &ids[order[i]]))
            abort();
    }
}

/* One change per diff, as a local call makes it. */
static void show_all(pr_store *s, const uint32_t *order, size_t n, const pr_id *ids) {
    for (size_t i = 0; i < n; i++) {
        if (pr_diff_begin(s, 1, 64)) abort();
        pr_diff_show(s, ids[order[i]]);
        pr_diff_free(pr_diff_finish(s));
    }
}

static void update_all(pr_store *s, const texts *t, const uint32_t *order, size_t n, const pr_id *ids) {
    for (size_t i = 0; i < n; i++) {
        pr_id id = ids[order[i]];
        pr_meta_hold old;
        uint64_t dot = pr_store_dot(s, id);
        if (pr_diff_begin(s, 1, 128) || pr_store_set(s, id, n + i + 1, pr_cstr(t[i].meta), &old)) abort();
        pr_diff_update(s, id, dot, old.meta);
        pr_store_meta_release(s, &old);
        pr_diff_free(pr_diff_finish(s));
    }
}

static void list_all(const pr_store *s, const texts *t, const uint32_t *order, size_t n) {
    for (size_t i = 0; i < n; i++) {
        pr_rows *rows;
        if (pr_store_list(s, pr_cstr(t[order[i]].topic), &rows)) abort();
        pr_rows_free(rows);
    }
}

static void get_all(const pr_store *s, const texts *t, const uint32_t *order, size_t n) {
    for (size_t i = 0; i < n; i++) {
        pr_rows *rows;
        if (pr_store_get(s, pr_cstr(t[order[i]].topic), pr_cstr(t[order[i]].key), &rows) || rows->size != 1) abort();
        pr_rows_free(rows);
    }
}

static void remove_all(pr_store *s, const uint32_t *order, size_t n, const pr_id *ids) {
    for (size_t i = 0; i < n; i++) {
        if (pr_diff_begin(s, 1, 64)) abort();
        pr_diff_hide(s, ids[order[i]], PRESENCE_REASON_UNTRACK);
        pr_store_remove(s, ids[order[i]]);
        pr_diff_free(pr_diff_finish(s));
    }
}

static void run(size_t n, bool local, bool watched) {
    counted c = {0};
    pr_alloc alloc = {count_alloc, count_resize, count_release, &c};
    texts *t = malloc(n * sizeof *t);
    uint32_t *order = malloc(n * sizeof *order);
    pr_id *ids = malloc(n * sizeof *ids);
    presence_owner owner = 0;
    pr_store *s;
    for (size_t i = 0; i < n; i++) make_texts(&t[i], i);
    shuffle(order, n);
    if (pr_store_new(&alloc, &s) || pr_store_name_log(s, 1, 7, pr_cstr("bench"))) abort();
    if (local && pr_store_owner_open(s, 0, &owner)) abort();
    pr_store_watch_all(s, watched);
    printf("%zu entries, %s, %s\n", n, local ? "local" : "of another member", watched ? "watched" : "not watched");
    double start = seconds();
    fill(s, t, order, n, ids, owner);
    report("insert", start, n);
    printf("  %-34s %7.1f (and %.3f blocks)\n", "bytes per presence", (double)c.bytes / (double)n,
           (double)c.blocks / (double)n);
    start = seconds(), show_all(s, order, n, ids), report("show, one per diff", start, n);
    start = seconds(), update_all(s, t, order, n, ids), report("update, one per diff", start, n);
    size_t reads = n < 200000 ? n : 200000;
    start = seconds(), list_all(s, t, order, reads), report("list of 10", start, reads);
    start = seconds(), get_all(s, t, order, reads), report("get by key", start, reads);
    start = seconds(), remove_all(s, order, n, ids), report("hide and remove, one per diff", start, n);
    pr_store_free(s);
    free(t), free(order), free(ids);
}

static void bench_metas(void) {
    presence_str meta = pr_cstr("{\"status\":\"online\",\"since\":1700000000,\"device\":\"phone\",\"x\":[1,2]}");
    double start = seconds();
    enum { N = 200000 };
    for (int i = 0; i < N; i++)
        if (pr_check_meta(meta, PR_META_MAX, NULL)) abort();
    report("check of a meta of 66 bytes", start, N);
}

int main(int argc, char **argv) {
    bench_metas();
    if (argc < 2) {
        run(100000, false, false);
        run(100000, true, true);
        run(1000000, false, false);
    }
    for (int i = 1; i < argc; i++) run(strtoull(argv[i], NULL, 10), false, false);
    return 0;
}

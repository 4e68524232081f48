/* Snapshots and their JSON: shape, refs written into metas, grouping by key, and failing allocations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hash.h"
#include "heap.h"
#include "snapshot.h"
#include <pthread.h>

typedef struct fixture {
    heap heap;
    pr_alloc alloc;
    pr_store *store;
    pr_buffer json;
} fixture;

/* refs of member 1 (inst 1) and 2 (inst 2) by dot */
#define REF_1_1 "AAAAAAAAAAEAAAAAAAAAAQ"
#define REF_1_2 "AAAAAAAAAAEAAAAAAAAAAg"
#define REF_1_9 "AAAAAAAAAAEAAAAAAAAACQ"
#define REF_2_1 "AAAAAAAAAAIAAAAAAAAAAQ"
#define REF_2_3 "AAAAAAAAAAIAAAAAAAAAAw"

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    f->alloc = heap_allocator(&f->heap);
    *state = f;
    pr_buffer_init(&f->json, &f->alloc, 1 << 20);
    if (pr_store_new(&f->alloc, &f->store) || pr_store_watch(f->store, pr_cstr("t"))) return -1;
    if (pr_store_name_log(f->store, 1, 1, pr_cstr("one"))) return -1;
    return pr_store_name_log(f->store, 2, 2, pr_cstr("two"));
}

static int teardown(void **state) {
    fixture *f = *state;
    pr_buffer_free(&f->json);
    pr_store_free(f->store);
    size_t left = f->heap.blocks;
    free(f);
    return left != 0;
}

static pr_id show(fixture *f, uint16_t log, uint64_t eid, const char *topic, const char *key, const char *meta) {
    pr_id id;
    assert_int_equal(pr_store_insert(f->store, log, eid, eid, pr_cstr(topic), pr_cstr(key), pr_cstr(meta), 0, &id), 0);
    pr_diff_show(f->store, id);
    return id;
}

static void update(fixture *f, pr_id id, uint64_t dot, const char *meta) {
    pr_meta_hold old;
    uint64_t old_dot = pr_store_dot(f->store, id);
    assert_int_equal(pr_store_set(f->store, id, dot, pr_cstr(meta), &old), 0);
    pr_diff_update(f->store, id, old_dot, old.meta);
    pr_store_meta_release(f->store, &old);
}

static void assert_json(fixture *f, const char *expected) {
    assert_int_equal(f->json.failed, 0);
    pr_buffer_append(&f->json, "", 1);
    assert_string_equal((char *)f->json.data, expected);
    pr_buffer_clear(&f->json);
}

static void assert_list(fixture *f, const char *expected) {
    pr_rows *rows;
    assert_int_equal(pr_store_list(f->store, pr_cstr("t"), &rows), 0);
    pr_rows_json(rows, &f->json);
    pr_rows_free(rows);
    assert_json(f, expected);
}

static void an_unknown_topic_is_empty_and_has_a_sequence_number(void **state) {
    fixture *f = *state;
    pr_rows *rows;
    assert_int_equal(pr_store_list(f->store, pr_cstr("unknown"), &rows), 0);
    assert_int_equal(rows->size, 0);
    assert_int_equal(rows->seq, pr_store_seq(f->store));
    pr_rows_free(rows);
    assert_int_equal(pr_store_get(f->store, pr_cstr("t"), pr_cstr("unknown"), &rows), 0);
    assert_int_equal(rows->size, 0);
    pr_rows_free(rows);
    assert_int_equal(pr_store_topics(f->store, &rows), 0);
    assert_int_equal(rows->size, 0); /* t is watched, but has no entry */
    pr_rows_free(rows);
    pr_rows_free(NULL);
    assert_list(f, "{}");
}

static void refs_are_written_behind_the_fields(void **state) {
    fixture *f = *state;
    show(f, 1, 1, "t", "a", "{}");
    assert_list(f, "{\"a\":{\"metas\":[{\"phx_ref\":\"" REF_1_1 "\"}]}}");
}

static void blanks_around_and_inside_a_meta_do_no_harm(void **state) {
    static const char *const metas[] = {" { } ", "{\n}", "\t{ \"x\" : [1, 2] }\r\n", "{\"x\":\"}\"}"};
    static const char *const begins[] = {" {", "{", "\t{ \"x\" : [1, 2],", "{\"x\":\"}\","};
    fixture *f = *state;
    for (size_t i = 0; i < sizeof metas / sizeof *metas; i++) {
        char expected[200];
        pr_id id = show(f, 1, 1, "t", "a", metas[i]);
        snprintf(expected, sizeof expected, "{\"a\":{\"metas\":[%s\"phx_ref\":\"" REF_1_1 "\"}]}}", begins[i]);
        assert_list(f, expected);
        pr_diff_hide(f->store, id, 1);
        pr_store_remove(f->store, id);
    }
}

static void the_previous_ref_is_there_only_when_it_was_shown(void **state) {
    fixture *f = *state;
    pr_id id = show(f, 1, 1, "t", "a", "{}");
    update(f, id, 9, "{\"s\":1}");
    assert_list(f, "{\"a\":{\"metas\":[{\"s\":1,\"phx_ref\":\"" REF_1_9 "\",\"phx_ref_prev\":\"" REF_1_1 "\"}]}}");
    pr_diff_hide(f->store, id, 1);
    pr_diff_show(f->store, id);
    assert_list(f, "{\"a\":{\"metas\":[{\"s\":1,\"phx_ref\":\"" REF_1_9 "\"}]}}");
}

static void metas_of_a_key_are_adjacent_and_ordered(void **state) {
    fixture *f = *state;
    show(f, 2, 3, "t", "a", "{\"n\":1}");
    show(f, 2, 4, "t", "b", "{\"n\":2}");
    show(f, 1, 2, "t", "a", "{\"n\":3}");
    pr_id first = show(f, 1, 1, "t", "a", "{\"n\":4}");
    update(f, first, 9, "{\"n\":5}"); /* keeps its place */
    pr_rows *rows;
    assert_int_equal(pr_store_get(f->store, pr_cstr("t"), pr_cstr("a"), &rows), 0);
    assert_int_equal(rows->size, 3);
    assert_true(pr_str_equal(rows->rows[0].member, pr_cstr("one")));
    assert_true(pr_str_equal(rows->rows[2].member, pr_cstr("two")));
    pr_rows_json(rows, &f->json);
    pr_rows_free(rows);
    assert_json(f, "{\"a\":{\"metas\":[{\"n\":5,\"phx_ref\":\"" REF_1_9 "\",\"phx_ref_prev\":\"" REF_1_1
                   "\"},{\"n\":3,\"phx_ref\":\"" REF_1_2 "\"},{\"n\":1,\"phx_ref\":\"" REF_2_3 "\"}]}}");
    assert_int_equal(pr_store_list(f->store, pr_cstr("t"), &rows), 0);
    assert_int_equal(rows->size, 4);
    pr_rows_free(rows);
}

static void keys_are_only_strings(void **state) {
    fixture *f = *state;
    show(f, 1, 1, "t", "__proto__", "{}");
    assert_list(f, "{\"__proto__\":{\"metas\":[{\"phx_ref\":\"" REF_1_1 "\"}]}}");
    show(f, 2, 1, "other", "a\"\\\n\x01/", "{}");
    pr_rows *rows;
    assert_int_equal(pr_store_list(f->store, pr_cstr("other"), &rows), 0);
    pr_rows_json(rows, &f->json);
    pr_rows_free(rows);
    assert_json(f, "{\"a\\\"\\\\\\n\\u0001/\":{\"metas\":[{\"phx_ref\":\"" REF_2_1 "\"}]}}");
}

static void topics_with_a_visible_entry_are_listed(void **state) {
    fixture *f = *state;
    pr_rows *rows;
    pr_id hidden;
    show(f, 1, 1, "a", "k", "{}");
    show(f, 1, 2, "b", "k", "{}");
    assert_int_equal(pr_store_insert(f->store, 1, 3, 3, pr_cstr("c"), pr_cstr("k"), pr_cstr("{}"), 0, &hidden), 0);
    assert_int_equal(pr_store_topics(f->store, &rows), 0);
    assert_int_equal(rows->size, 2);
    assert_true(pr_str_equal(rows->rows[0].topic, pr_cstr("a")));
    assert_true(pr_str_equal(rows->rows[1].topic, pr_cstr("b")));
    pr_rows_free(rows);
    assert_int_equal(pr_store_topic_count(f->store), 2);
}

static void a_snapshot_outlives_the_store_and_counts_its_bytes(void **state) {
    fixture *f = *state;
    pr_rows *rows;
    char *large = malloc(PR_META_MAX + 1);
    memset(large, ' ', PR_META_MAX);
    large[0] = '{', large[PR_META_MAX - 1] = '}', large[PR_META_MAX] = 0;
    show(f, 1, 1, "t", "a", large);
    assert_int_equal(pr_store_list(f->store, pr_cstr("t"), &rows), 0);
    pr_store_free(f->store);
    f->store = NULL;
    assert_int_equal(rows->bytes, f->heap.bytes);
    assert_true(pr_str_equal(rows->rows[0].meta, pr_cstr(large)));
    assert_true(pr_str_equal(rows->rows[0].topic, pr_cstr("t")));
    pr_rows_free(rows);
    free(large);
}

static void a_key_with_many_metas_is_ordered(void **state) {
    enum { N = 3000 };
    fixture *f = *state;
    pr_rows *rows;
    uint64_t seed = 4;
    uint64_t eids[N];
    for (uint64_t i = 0; i < N; i++) eids[i] = i + 1;
    for (size_t i = N - 1; i; i--) { /* in any order */
        size_t j = pr_random_next(&seed) % (i + 1);
        uint64_t swap = eids[i];
        eids[i] = eids[j], eids[j] = swap;
    }
    for (size_t i = 0; i < N; i++) show(f, (uint16_t)(1 + eids[i] % 2), eids[i], "t", "k", "{}");
    assert_int_equal(pr_store_list(f->store, pr_cstr("t"), &rows), 0);
    assert_int_equal(rows->size, N);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(rows->rows[i].inst, i < N / 2 ? 1 : 2);
        assert_int_equal(rows->rows[i].eid, i < N / 2 ? 2 * (i + 1) : 2 * (i - N / 2) + 1);
    }
    pr_rows_free(rows);
}

static void a_diff_has_both_members(void **state) {
    fixture *f = *state;
    pr_id id;
    assert_int_equal(pr_store_insert(f->store, 1, 1, 1, pr_cstr("t"), pr_cstr("a"), pr_cstr("{}"), 0, &id), 0);
    assert_int_equal(pr_diff_begin(f->store, 1, 10), 0);
    pr_diff_show(f->store, id);
    pr_diff *d = pr_diff_finish(f->store);
    pr_diff_json(d, &f->json);
    pr_diff_free(d);
    assert_json(f, "{\"joins\":{\"a\":{\"metas\":[{\"phx_ref\":\"" REF_1_1 "\"}]}},\"leaves\":{}}");
    assert_int_equal(pr_diff_begin(f->store, 1, 10), 0);
    pr_diff_hide(f->store, id, 1);
    d = pr_diff_finish(f->store);
    pr_diff_json(d, &f->json);
    pr_diff_free(d);
    assert_json(f, "{\"joins\":{},\"leaves\":{\"a\":{\"metas\":[{\"phx_ref\":\"" REF_1_1 "\"}]}}}");
}

/* An update is in both, and a key is named once however its changes are spread. */
static void a_diff_names_each_key_once(void **state) {
    fixture *f = *state;
    pr_id a2, b, a1 = show(f, 1, 1, "t", "a", "{\"n\":1}");
    assert_int_equal(pr_store_insert(f->store, 2, 1, 1, pr_cstr("t"), pr_cstr("a"), pr_cstr("{\"n\":2}"), 0, &a2), 0);
    assert_int_equal(pr_store_insert(f->store, 2, 3, 3, pr_cstr("t"), pr_cstr("b"), pr_cstr("{\"n\":3}"), 0, &b), 0);
    assert_int_equal(pr_diff_begin(f->store, 3, 100), 0);
    pr_diff_show(f->store, a2);
    pr_diff_show(f->store, b);
    update(f, a1, 9, "{\"n\":4}");
    pr_diff *d = pr_diff_finish(f->store);
    pr_diff_json(d, &f->json);
    pr_diff_free(d);
    assert_json(f, "{\"joins\":{\"a\":{\"metas\":[{\"n\":4,\"phx_ref\":\"" REF_1_9 "\",\"phx_ref_prev\":\"" REF_1_1
                   "\"},{\"n\":2,\"phx_ref\":\"" REF_2_1 "\"}]},\"b\":{\"metas\":[{\"n\":3,\"phx_ref\":\"" REF_2_3
                   "\"}]}},\"leaves\":{\"a\":{\"metas\":[{\"n\":1,\"phx_ref\":\"" REF_1_1 "\"}]}}}");
}

static void without_memory_there_is_no_snapshot(void **state) {
    fixture *f = *state;
    pr_rows *rows;
    pr_id id;
    show(f, 1, 1, "t", "a", "{}");
    heap_fail(&f->heap, 1);
    assert_int_equal(pr_store_list(f->store, pr_cstr("t"), &rows), PRESENCE_ENOMEM);
    assert_null(rows);
    heap_fail(&f->heap, 1);
    assert_int_equal(pr_store_topics(f->store, &rows), PRESENCE_ENOMEM);
    assert_int_equal(pr_store_insert(f->store, 1, 2, 2, pr_cstr("t"), pr_cstr("b"), pr_cstr("{}"), 0, &id), 0);
    assert_int_equal(pr_diff_begin(f->store, 1, 10), 0);
    pr_diff_show(f->store, id);
    pr_diff *d = pr_diff_finish(f->store);
    heap_fail(&f->heap, 1);
    pr_diff_json(d, &f->json);
    assert_int_equal(f->json.failed, PRESENCE_ENOMEM);
    pr_buffer_clear(&f->json);
    heap_fail(&f->heap, 2);
    pr_diff_json(d, &f->json);
    assert_int_equal(f->json.failed, PRESENCE_ENOMEM);
    pr_diff_free(d);
}

static void *read_everything(void *store) {
    const pr_store *s = store;
    size_t rows_seen = 0;
    for (int i = 0; i < 300; i++) {
        pr_rows *rows;
        size_t keys, metas;
        if (!pr_store_list(s, pr_cstr("t"), &rows)) rows_seen += rows->size, pr_rows_free(rows);
        if (!pr_store_get(s, pr_cstr("t"), pr_cstr("k1"), &rows)) rows_seen += rows->size, pr_rows_free(rows);
        if (!pr_store_topics(s, &rows)) rows_seen += rows->size, pr_rows_free(rows);
        pr_store_count(s, pr_cstr("t"), &keys, &metas);
        rows_seen += keys + metas;
    }
    return (void *)rows_seen;
}

/* Reading writes nothing shared: several readers at once get the same (seen by the thread sanitizer, too). */
static void readers_run_side_by_side(void **state) {
    pr_alloc alloc = pr_alloc_default();
    pr_store *s;
    pthread_t threads[4];
    pr_id id;
    (void)state;
    assert_int_equal(pr_store_new(&alloc, &s), 0);
    for (uint64_t i = 1; i <= 60; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%u", (unsigned)(i % 7));
        assert_int_equal(pr_store_insert(s, 1, i, i, pr_cstr("t"), pr_cstr(key), pr_cstr("{}"), 0, &id), 0);
        pr_diff_show(s, id);
    }
    for (size_t i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, read_everything, s), 0);
    for (size_t i = 0; i < 4; i++) {
        void *seen;
        assert_int_equal(pthread_join(threads[i], &seen), 0);
        assert_int_equal((size_t)seen, 300 * (60 + 9 + 1 + 7 + 60));
    }
    pr_store_free(s);
}

static void texts_over_the_limits_are_refused(void **state) {
    fixture *f = *state;
    char *text = calloc(1, PR_META_MAX + 2);
    pr_id id;
    pr_meta_hold old;
    presence_str t = pr_cstr("t"), long_name = pr_str(text, 256), long_meta = pr_str(text, PR_META_MAX + 1);
    assert_int_equal(pr_store_insert(f->store, 1, 1, 1, long_name, t, pr_cstr("{}"), 0, &id), PRESENCE_ELIMIT);
    assert_int_equal(pr_store_insert(f->store, 1, 1, 1, t, long_name, pr_cstr("{}"), 0, &id), PRESENCE_ELIMIT);
    assert_int_equal(pr_store_insert(f->store, 1, 1, 1, t, t, long_meta, 0, &id), PRESENCE_ELIMIT);
    assert_int_equal(pr_store_watch(f->store, long_name), PRESENCE_ETOPIC);
    id = show(f, 1, 1, "t", "k", "{}");
    assert_int_equal(pr_store_set(f->store, id, 2, long_meta, &old), PRESENCE_ELIMIT);
    assert_int_equal(pr_store_dot(f->store, id), 1);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_unknown_topic_is_empty_and_has_a_sequence_number, setup, teardown),
        cmocka_unit_test_setup_teardown(refs_are_written_behind_the_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(blanks_around_and_inside_a_meta_do_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(the_previous_ref_is_there_only_when_it_was_shown, setup, teardown),
        cmocka_unit_test_setup_teardown(metas_of_a_key_are_adjacent_and_ordered, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_are_only_strings, setup, teardown),
        cmocka_unit_test_setup_teardown(topics_with_a_visible_entry_are_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_snapshot_outlives_the_store_and_counts_its_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_with_many_metas_is_ordered, setup, teardown),
        cmocka_unit_test_setup_teardown(a_diff_has_both_members, setup, teardown),
        cmocka_unit_test_setup_teardown(a_diff_names_each_key_once, setup, teardown),
        cmocka_unit_test_setup_teardown(readers_run_side_by_side, setup, teardown),
        cmocka_unit_test_setup_teardown(texts_over_the_limits_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_there_is_no_snapshot, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

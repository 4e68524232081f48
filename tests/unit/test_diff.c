/* Diffs by example: what nets out to what, key edges, order, sequence numbers, watches, and memory reserved at begin.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "diff.h"
#include "heap.h"
#include "records.h"

typedef struct fixture {
    heap heap;
    pr_alloc alloc;
    pr_store *store;
} fixture;

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    f->alloc = heap_allocator(&f->heap);
    *state = f;
    if (pr_store_new(&f->alloc, &f->store) || pr_store_watch(f->store, pr_cstr("t"))) return -1;
    if (pr_store_name_log(f->store, 0, 100, pr_cstr("zero"))) return -1;
    return pr_store_name_log(f->store, 1, 50, pr_cstr("one"));
}

static int teardown(void **state) {
    fixture *f = *state;
    pr_store_free(f->store);
    size_t left = f->heap.blocks;
    free(f);
    return left != 0;
}

static pr_id insert(fixture *f, uint16_t log, uint64_t eid, const char *topic, const char *key, const char *meta) {
    pr_id id;
    assert_int_equal(pr_store_insert(f->store, log, eid, eid, pr_cstr(topic), pr_cstr(key), pr_cstr(meta), 0, &id), 0);
    return id;
}

static void begin(fixture *f) { assert_int_equal(pr_diff_begin(f->store, 8, 800), 0); }

/* Inserted and shown in a diff that nobody looks at. */
static pr_id shown(fixture *f, uint16_t log, uint64_t eid, const char *topic, const char *key, const char *meta) {
    pr_id id = insert(f, log, eid, topic, key, meta);
    begin(f);
    pr_diff_show(f->store, id);
    pr_diff_free(pr_diff_finish(f->store));
    return id;
}

static void update(fixture *f, pr_id id, uint64_t dot, const char *meta) {
    pr_meta_hold old;
    uint64_t old_dot = pr_store_dot(f->store, id);
    assert_int_equal(pr_store_set(f->store, id, dot, pr_cstr(meta), &old), 0);
    pr_diff_update(f->store, id, old_dot, old.meta);
    pr_store_meta_release(f->store, &old);
}

static void hide_and_remove(fixture *f, pr_id id, uint8_t reason) {
    pr_diff_hide(f->store, id, reason);
    pr_store_remove(f->store, id);
}

/* One line per change: kind, key, dot, meta; of an update the dot and meta before; reason; F and L for edges. */
static void assert_diff(const pr_diff *d, const char *expected) {
    char text[2000];
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; d && i < d->size; i++) {
        const pr_diff_item *it = &d->items[i];
        n += (size_t)snprintf(text + n, sizeof text - n, "%c %.*s %u %.*s", " JUL"[it->kind], (int)it -> key.size,
                              it->key.data, (unsigned)it->dot, (int)it->meta.size, it->meta.data);
        if (it->kind == PRESENCE_UPDATE)
            n += (size_t)snprintf(text + n, sizeof text - n, " was %u %.*s", (unsigned)it->prev_dot,
                                  (int)it->prev_meta.size, it->prev_meta.data);
        if (it->reason) n += (size_t)snprintf(text + n, sizeof text - n, " because %d", it->reason);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s\n", it->first ? " F" : "", it->last ? " L" : "");
    }
    assert_string_equal(text, expected);
}

static void finish(fixture *f, const char *expected) {
    pr_diff *d = pr_diff_finish(f->store);
    assert_diff(d, expected);
    if (d) assert_null(d->next);
    pr_diff_free(d);
}

static void a_join_an_update_and_a_leave(void **state) {
    fixture *f = *state;
    pr_id id = insert(f, 0, 1, "t", "k", "{}");
    begin(f);
    pr_diff_show(f->store, id);
    finish(f, "J k 1 {} F\n");
    begin(f);
    update(f, id, 5, "{\"a\":1}");
    finish(f, "U k 5 {\"a\":1} was 1 {}\n");
    begin(f);
    hide_and_remove(f, id, PRESENCE_REASON_LEASE);
    finish(f, "L k 5 {\"a\":1} because 3 L\n");
}

static void what_came_and_went_inside_is_nothing(void **state) {
    fixture *f = *state;
    pr_id id = insert(f, 0, 1, "t", "k", "{}");
    begin(f);
    pr_diff_show(f->store, id);
    update(f, id, 2, "{\"a\":1}");
    hide_and_remove(f, id, 1);
    uint64_t seq = pr_store_seq(f->store);
    assert_null(pr_diff_finish(f->store));
    assert_int_equal(pr_store_seq(f->store), seq);
}

static void two_updates_are_one_with_the_first_old_meta(void **state) {
    fixture *f = *state;
    pr_id id = shown(f, 0, 1, "t", "k", "{\"a\":1}");
    begin(f);
    update(f, id, 2, "{\"a\":2}");
    update(f, id, 3, "{\"a\":3}");
    finish(f, "U k 3 {\"a\":3} was 1 {\"a\":1}\n");
}

static void shown_then_updated_is_a_join_without_a_previous_ref(void **state) {
    fixture *f = *state;
    pr_view v;
    pr_id id = insert(f, 0, 1, "t", "k", "{\"a\":1}");
    begin(f);
    pr_diff_show(f->store, id);
    update(f, id, 2, "{\"a\":2}");
    finish(f, "J k 2 {\"a\":2} F\n");
    pr_store_view(f->store, id, &v);
    assert_int_equal(v.prev_dot, 0);
}

static void updated_then_hidden_is_a_leave_as_last_shown(void **state) {
    fixture *f = *state;
    pr_id id = shown(f, 0, 1, "t", "k", "{\"a\":1}");
    begin(f);
    update(f, id, 2, "{\"a\":2}");
    hide_and_remove(f, id, PRESENCE_REASON_UNTRACK);
    finish(f, "L k 1 {\"a\":1} because 1 L\n");
}

static void hidden_then_shown_is_nothing_or_an_update(void **state) {
    fixture *f = *state;
    pr_id id = shown(f, 0, 1, "t", "k", "{\"a\":1}");
    begin(f);
    pr_diff_hide(f->store, id, 1);
    pr_diff_show(f->store, id);
    finish(f, "");
    begin(f);
    pr_diff_hide(f->store, id, 1);
    update(f, id, 2, "{\"a\":2}"); /* not shown: the store alone changes */
    pr_diff_show(f->store, id);
    finish(f, "U k 2 {\"a\":2} was 1 {\"a\":1}\n");
}

static void the_previous_dot_is_gone_after_a_join(void **state) {
    fixture *f = *state;
    pr_view v;
    pr_id id = shown(f, 0, 1, "t", "k", "{\"a\":1}");
    begin(f);
    update(f, id, 4, "{\"a\":2}");
    finish(f, "U k 4 {\"a\":2} was 1 {\"a\":1}\n");
    pr_store_view(f->store, id, &v);
    assert_int_equal(v.prev_dot, 1);
    begin(f);
    pr_diff_hide(f->store, id, PRESENCE_REASON_MEMBER_DOWN);
    finish(f, "L k 4 {\"a\":2} because 5 L\n");
    begin(f);
    pr_diff_show(f->store, id);
    finish(f, "J k 4 {\"a\":2} F\n");
    pr_store_view(f->store, id, &v);
    assert_int_equal(v.prev_dot, 0);
}

static void order_is_joins_updates_leaves_each_by_dot(void **state) {
    fixture *f = *state;
    pr_id l9 = shown(f, 0, 9, "t", "a", "{}"), l3 = shown(f, 1, 3, "t", "b", "{}");
    pr_id u1 = shown(f, 0, 1, "t", "c", "{}"), u2 = shown(f, 0, 2, "t", "d", "{}");
    pr_id j20 = insert(f, 0, 20, "t", "e", "{}"), j15 = insert(f, 1, 15, "t", "f", "{}");
    begin(f);
    hide_and_remove(f, l9, 1);
    update(f, u2, 30, "{\"n\":1}");
    pr_diff_show(f->store, j20);
    hide_and_remove(f, l3, 2);
    update(f, u1, 31, "{\"n\":1}");
    pr_diff_show(f->store, j15);
    finish(f, "J f 15 {} F\nJ e 20 {} F\nU d 30 {\"n\":1} was 2 {}\nU c 31 {\"n\":1} was 1 {}\n"
              "L b 3 {} because 2 L\nL a 9 {} because 1 L\n");
}

static void equal_dots_of_two_members_go_by_member(void **state) {
    fixture *f = *state;
    pr_id a = insert(f, 0, 7, "t", "zero", "{}"), b = insert(f, 1, 7, "t", "one", "{}");
    begin(f);
    pr_diff_show(f->store, a);
    pr_diff_show(f->store, b);
    finish(f, "J one 7 {} F\nJ zero 7 {} F\n"); /* inst 50 before 100 */
}

static void first_is_marked_on_the_first_join_of_a_key(void **state) {
    fixture *f = *state;
    pr_id a = insert(f, 0, 5, "t", "k", "{}"), b = insert(f, 1, 4, "t", "k", "{}"), c = insert(f, 0, 6, "t", "k", "{}");
    begin(f);
    pr_diff_show(f->store, a);
    pr_diff_show(f->store, b);
    finish(f, "J k 4 {} F\nJ k 5 {}\n");
    begin(f);
    pr_diff_show(f->store, c); /* the key is online already */
    finish(f, "J k 6 {}\n");
}

static void last_is_marked_on_the_last_leave_of_a_key(void **state) {
    fixture *f = *state;
    pr_id a = shown(f, 0, 1, "t", "k", "{}"), b = shown(f, 0, 2, "t", "k", "{}"), c = shown(f, 0, 3, "t", "k", "{}");
    begin(f);
    hide_and_remove(f, b, 1);
    finish(f, "L k 2 {} because 1\n");
    begin(f);
    hide_and_remove(f, c, 1);
    hide_and_remove(f, a, 1);
    finish(f, "L k 1 {} because 1\nL k 3 {} because 1 L\n");
}

static void a_key_that_moves_has_no_edge(void **state) {
    fixture *f = *state;
    pr_id old = shown(f, 0, 1, "t", "k", "{\"old\":1}");
    pr_id new = insert(f, 0, 3, "t", "k", "{\"new\":1}");
    begin(f);
    hide_and_remove(f, old, PRESENCE_REASON_UNTRACK);
    pr_diff_show(f->store, new);
    finish(f, "J k 3 {\"new\":1}\nL k 1 {\"old\":1} because 1\n");
}

static void an_entity_that_came_and_went_does_not_count_for_edges(void **state) {
    fixture *f = *state;
    pr_id ghost = insert(f, 0, 1, "t", "k", "{}"), id = insert(f, 0, 2, "t", "k", "{}");
    begin(f);
    pr_diff_show(f->store, ghost);
    pr_diff_show(f->store, id);
    hide_and_remove(f, ghost, 1);
    finish(f, "J k 2 {} F\n");
}

static void each_watched_topic_has_its_own_diff(void **state) {
    fixture *f = *state;
    assert_int_equal(pr_store_watch(f->store, pr_cstr("u")), 0);
    pr_id a = insert(f, 0, 1, "u", "k", "{}"), b = insert(f, 0, 2, "nobody", "k", "{}"),
          c = insert(f, 0, 3, "t", "k", "{}");
    uint64_t seq = pr_store_seq(f->store);
    begin(f);
    pr_diff_show(f->store, a);
    pr_diff_show(f->store, b);
    pr_diff_show(f->store, c);
    pr_diff *first = pr_diff_finish(f->store), *second = first->next;
    assert_true(pr_str_equal(first->topic, pr_cstr("u")));
    assert_true(pr_str_equal(second->topic, pr_cstr("t")));
    assert_int_equal(first->seq, seq + 1);
    assert_int_equal(second->seq, seq + 2);
    assert_int_equal(pr_store_seq(f->store), seq + 2);
    assert_null(second->next);
    pr_diff_free(first); /* either may be freed first, also after the store */
    assert_diff(second, "J k 3 {} F\n");
    size_t metas;
    pr_store_count(f->store, pr_cstr("nobody"), NULL, &metas);
    assert_int_equal(metas, 1);
    pr_diff_free(second);
}

static void watching_all_sees_topics_that_end(void **state) {
    fixture *f = *state;
    pr_store_watch_all(f->store, true);
    pr_id id = shown(f, 0, 1, "gone", "k", "{\"x\":1}");
    begin(f);
    hide_and_remove(f, id, 4); /* the topic has no entry any more */
    pr_diff *d = pr_diff_finish(f->store);
    assert_non_null(d);
    assert_true(pr_str_equal(d->topic, pr_cstr("gone")));
    assert_diff(d, "L k 1 {\"x\":1} because 4 L\n");
    pr_diff_free(d);
    pr_store_watch_all(f->store, false);
    pr_id again = insert(f, 0, 2, "gone", "k", "{}");
    begin(f);
    pr_diff_show(f->store, again);
    assert_null(pr_diff_finish(f->store));
}

static void watches_are_counted(void **state) {
    fixture *f = *state;
    assert_int_equal(pr_store_watch(f->store, pr_cstr("t")), 0);
    pr_store_unwatch(f->store, pr_cstr("t"));
    pr_id id = insert(f, 0, 1, "t", "k", "{}");
    begin(f);
    pr_diff_show(f->store, id);
    finish(f, "J k 1 {} F\n");
    pr_store_unwatch(f->store, pr_cstr("t"));
    pr_store_unwatch(f->store, pr_cstr("t")); /* one too many */
    pr_store_unwatch(f->store, pr_cstr("unknown"));
    begin(f);
    hide_and_remove(f, id, 1);
    finish(f, "");
}

static void a_diff_outlives_the_store(void **state) {
    fixture *f = *state;
    pr_id id = insert(f, 1, 1, "t", "k", "{\"a\":1}");
    begin(f);
    pr_diff_show(f->store, id);
    pr_diff *d = pr_diff_finish(f->store);
    pr_store_free(f->store);
    f->store = NULL;
    assert_diff(d, "J k 1 {\"a\":1} F\n");
    assert_int_equal(d->items[0].inst, 50);
    assert_true(pr_str_equal(d->items[0].member, pr_cstr("one")));
    assert_int_equal(d->bytes, f->heap.bytes);
    pr_diff_free(d);
    pr_diff_free(NULL);
}

static void entries_of_a_removed_id_are_another_entity(void **state) {
    fixture *f = *state;
    pr_id old = shown(f, 0, 1, "t", "k", "{\"old\":1}");
    begin(f);
    hide_and_remove(f, old, 1);
    pr_id new = insert(f, 0, 2, "t", "l", "{}");
    assert_int_equal(old, new);
    pr_diff_show(f->store, new);
    finish(f, "J l 2 {} F\nL k 1 {\"old\":1} because 1 L\n");
}

/* With exactly the announced changes and bytes, finish needs no memory at all; without it begin changes nothing. */
static void finish_cannot_fail(void **state) {
    fixture *f = *state;
    assert_int_equal(pr_store_watch(f->store, pr_cstr("another-topic")), 0);
    pr_id u = shown(f, 0, 1, "t", "key", "{\"a\":1}"), l = shown(f, 1, 2, "another-topic", "k", "{\"l\":1}");
    pr_id j = insert(f, 0, 3, "t", "join", "{\"j\":1}");
    pr_meta_hold old;
    assert_int_equal(pr_store_set(f->store, u, 4, pr_cstr("{\"a\":2}"), &old), 0);
    size_t bytes = 3 + 7 + 7 + 1 + 7 + 4 + 7;
    size_t n = 1;
    for (int error; heap_fail(&f->heap, n), (error = pr_diff_begin(f->store, 3, bytes)); n++) {
        assert_int_equal(error, PRESENCE_ENOMEM);
        assert_true(n < 10);
    }
    assert_true(n > 1);
    f->heap.fail_on = true;
    heap_fail(&f->heap, 1);
    pr_diff_update(f->store, u, 1, old.meta);
    pr_store_meta_release(f->store, &old);
    hide_and_remove(f, l, 6);
    pr_diff_show(f->store, j);
    pr_diff *first = pr_diff_finish(f->store);
    heap_fail(&f->heap, 0);
    assert_diff(first, "J join 3 {\"j\":1} F\nU key 4 {\"a\":2} was 1 {\"a\":1}\n");
    assert_diff(first->next, "L k 2 {\"l\":1} because 6 L\n");
    pr_diff_free(first->next);
    pr_diff_free(first);
}

static void finish_of_many_cannot_fail(void **state) {
    enum { N = 100 };
    static const char name[] = "a-member-name-of-64-bytes-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    fixture *f = *state;
    pr_id ids[N];
    assert_int_equal(pr_store_name_log(f->store, 2, 9, pr_str(name, PR_MEMBER_NAME_MAX)), 0);
    for (uint64_t i = 0; i < N; i++) ids[i] = insert(f, 2, i + 1, "t", "k", "{}");
    assert_int_equal(pr_diff_begin(f->store, N, N * 3), 0);
    f->heap.fail_on = true;
    heap_fail(&f->heap, 1);
    for (size_t i = 0; i < N; i++) pr_diff_show(f->store, ids[i]);
    pr_diff *d = pr_diff_finish(f->store);
    heap_fail(&f->heap, 0);
    assert_non_null(d);
    assert_int_equal(d->size, N);
    pr_diff_free(d);
}

static void what_a_huge_diff_reserved_is_given_back(void **state) {
    enum { N = 5000 };
    fixture *f = *state;
    pr_id *ids = malloc(N * sizeof *ids);
    for (uint64_t i = 0; i < N; i++) ids[i] = insert(f, 0, i + 1, i % 2 ? "t" : "u", i % 3 ? "k" : "l", "{}");
    size_t bytes = f->heap.bytes;
    assert_int_equal(pr_diff_begin(f->store, N, N * 3), 0);
    for (size_t i = 0; i < N; i++) pr_diff_show(f->store, ids[i]);
    pr_diff *d = pr_diff_finish(f->store);
    assert_int_equal(d->size, N / 2);
    assert_int_equal(f->heap.bytes, bytes + d->bytes);
    pr_diff_free(d);
    free(ids);
}

/* Two keys whose 32 bits of hash are equal: found by trying, about 80,000 are enough. */
static void find_equal_hashes(pr_id topic, char *a, char *b) {
    enum { ROOM = 1 << 21 };
    uint32_t *seen = calloc(ROOM, sizeof *seen);
    for (uint32_t n = 1;; n++) {
        snprintf(a, 16, "%u", n);
        uint32_t hash = pr_key_hash(topic, pr_cstr(a));
        if (!seen[hash % ROOM]) seen[hash % ROOM] = n;
        snprintf(b, 16, "%u", seen[hash % ROOM]);
        if (strcmp(a, b) && pr_key_hash(topic, pr_cstr(b)) == hash) break;
    }
    free(seen);
}

static void keys_of_equal_hash_are_apart(void **state) {
    fixture *f = *state;
    char a[16], b[16], expected[200];
    size_t keys;
    pr_view v;
    pr_store_view(f->store, insert(f, 0, 1, "t", "other", "{}"), &v);
    find_equal_hashes(v.topic_id, a, b);
    pr_id id_a = insert(f, 0, 2, "t", a, "{}"), id_b = insert(f, 0, 3, "t", b, "{}"),
          id_c = insert(f, 0, 4, "t", a, "{}");
    begin(f);
    pr_diff_show(f->store, id_a);
    pr_diff_show(f->store, id_b);
    pr_diff_show(f->store, id_c);
    snprintf(expected, sizeof expected, "J %s 2 {} F\nJ %s 3 {} F\nJ %s 4 {}\n", a, b, a);
    finish(f, expected);
    pr_store_count(f->store, pr_cstr("t"), &keys, NULL);
    assert_int_equal(keys, 2);
    begin(f);
    hide_and_remove(f, id_a, 1);
    hide_and_remove(f, id_b, 1);
    snprintf(expected, sizeof expected, "L %s 2 {} because 1\nL %s 3 {} because 1 L\n", a, b);
    finish(f, expected);
}

static void more_than_announced_still_works(void **state) {
    fixture *f = *state;
    pr_id ids[40];
    for (uint64_t i = 0; i < 40; i++) ids[i] = insert(f, 0, i + 1, "t", i % 2 ? "odd" : "even", "{\"some\":\"text\"}");
    assert_int_equal(pr_diff_begin(f->store, 1, 0), 0);
    for (size_t i = 0; i < 40; i++) pr_diff_show(f->store, ids[i]);
    pr_diff *d = pr_diff_finish(f->store);
    assert_int_equal(d->size, 40);
    assert_true(d->items[0].first && d->items[1].first && !d->items[2].first);
    pr_diff_free(d);
    assert_int_equal(pr_diff_begin(f->store, 1, 0), 0);
    for (size_t i = 0; i < 40; i++) hide_and_remove(f, ids[i], 1);
    d = pr_diff_finish(f->store);
    assert_int_equal(d->size, 40);
    assert_true(d->items[39].last && d->items[38].last && !d->items[37].last);
    pr_diff_free(d);
}

static void outside_a_diff_only_the_flag_changes(void **state) {
    fixture *f = *state;
    pr_view v;
    pr_id id = insert(f, 0, 1, "t", "k", "{}");
    pr_diff_show(f->store, id);
    update(f, id, 3, "{\"a\":1}");
    pr_store_view(f->store, id, &v);
    assert_true(v.visible);
    assert_int_equal(v.prev_dot, 1);
    pr_diff_hide(f->store, id, 1);
    assert_false(pr_store_visible(f->store, id));
    assert_null(pr_diff_finish(f->store));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_join_an_update_and_a_leave, setup, teardown),
        cmocka_unit_test_setup_teardown(what_came_and_went_inside_is_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(two_updates_are_one_with_the_first_old_meta, setup, teardown),
        cmocka_unit_test_setup_teardown(shown_then_updated_is_a_join_without_a_previous_ref, setup, teardown),
        cmocka_unit_test_setup_teardown(updated_then_hidden_is_a_leave_as_last_shown, setup, teardown),
        cmocka_unit_test_setup_teardown(hidden_then_shown_is_nothing_or_an_update, setup, teardown),
        cmocka_unit_test_setup_teardown(the_previous_dot_is_gone_after_a_join, setup, teardown),
        cmocka_unit_test_setup_teardown(order_is_joins_updates_leaves_each_by_dot, setup, teardown),
        cmocka_unit_test_setup_teardown(equal_dots_of_two_members_go_by_member, setup, teardown),
        cmocka_unit_test_setup_teardown(first_is_marked_on_the_first_join_of_a_key, setup, teardown),
        cmocka_unit_test_setup_teardown(last_is_marked_on_the_last_leave_of_a_key, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_that_moves_has_no_edge, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entity_that_came_and_went_does_not_count_for_edges, setup, teardown),
        cmocka_unit_test_setup_teardown(each_watched_topic_has_its_own_diff, setup, teardown),
        cmocka_unit_test_setup_teardown(watching_all_sees_topics_that_end, setup, teardown),
        cmocka_unit_test_setup_teardown(watches_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_diff_outlives_the_store, setup, teardown),
        cmocka_unit_test_setup_teardown(entries_of_a_removed_id_are_another_entity, setup, teardown),
        cmocka_unit_test_setup_teardown(finish_cannot_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(finish_of_many_cannot_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_huge_diff_reserved_is_given_back, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_of_equal_hash_are_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(more_than_announced_still_works, setup, teardown),
        cmocka_unit_test_setup_teardown(outside_a_diff_only_the_flag_changes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

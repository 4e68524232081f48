/* One member by itself: owners, track, update, untrack, leases, limits, no memory; what comes out as diffs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine_world.h"

#define N0 (&w->nodes[0])

static int setup(void **state) {
    world *w = world_new();
    world_start(w, 0, "a", 0);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    world_free(*state);
    return 0;
}

static void track_update_untrack(void **state) {
    world *w = *state;
    presence_owner o = world_owner(w, 0);
    assert_int_equal(world_track(w, 0, o, "t", "k", ""), 0);
    assert_int_equal(world_shown(w, 0, "t"), 1);
    assert_int_equal(N0->joins, 1);
    assert_int_equal(world_track(w, 0, o, "t", "k", "{\"a\":1}"), PRESENCE_ETRACKED);
    assert_int_equal(world_update(w, 0, o, "t", "k", "{\"a\":1}"), 0);
    assert_int_equal(N0->updates, 1);
    assert_int_equal(world_update(w, 0, o, "t", "k", "{\"a\":1}"), 0); /* the same text: nothing happens */
    assert_int_equal(N0->diffs, 2);
    assert_int_equal(world_update(w, 0, o, "t", "other", "{}"), PRESENCE_ENOTTRACKED);
    assert_int_equal(world_untrack(w, 0, o, "t", "k"), 1);
    assert_int_equal(N0->last_reason, PRESENCE_REASON_UNTRACK);
    assert_int_equal(world_untrack(w, 0, o, "t", "k"), 0);
    assert_int_equal(world_shown(w, 0, "t"), 0);
}

static void empty_meta_is_an_object(void **state) {
    world *w = *state;
    presence_owner o = world_owner(w, 0);
    assert_int_equal(world_track(w, 0, o, "t", "k", ""), 0);
    pr_rows *rows;
    assert_int_equal(pr_store_list(pr_engine_store(N0->engine), pr_cstr("t"), &rows), 0);
    assert_true(pr_str_equal(rows->rows[0].meta, pr_cstr("{}")));
    pr_rows_free(rows);
}

static void update_if_compares_the_ref(void **state) {
    world *w = *state;
    presence_owner o = world_owner(w, 0);
    presence_item item = {pr_cstr("t"), pr_cstr("k"), pr_cstr("{}")};
    presence_ref first, second;
    assert_int_equal(pr_engine_track_many(N0->engine, o, &item, 1, world_time(w), &first, NULL, NULL), 0);
    presence_str expected = pr_cstr(first.text);
    assert_int_equal(pr_engine_update(N0->engine, o, item.topic, item.key, &expected, pr_cstr("{\"a\":1}"),
                                      world_time(w), &second, NULL),
                     0);
    assert_string_not_equal(first.text, second.text);
    assert_int_equal(pr_engine_update(N0->engine, o, item.topic, item.key, &expected, pr_cstr("{\"a\":2}"),
                                      world_time(w), NULL, NULL),
                     PRESENCE_ESTALE);
}

static void many_are_all_or_nothing(void **state) {
    world *w = *state;
    presence_owner o = world_owner(w, 0);
    presence_item items[3] = {{pr_cstr("t"), pr_cstr("a"), pr_cstr("{}")},
                              {pr_cstr("t"), pr_cstr("b"), pr_cstr("{}")},
                              {pr_cstr("t"), pr_cstr("a"), pr_cstr("{}")}};
    size_t failed = 9;
    assert_int_equal(pr_engine_track_many(N0->engine, o, items, 3, world_time(w), NULL, &failed, NULL),
                     PRESENCE_ETRACKED);
    assert_int_equal(failed, 2);
    assert_int_equal(world_shown(w, 0, "t"), 0);
    items[2].meta = pr_cstr("[]");
    const char *why = NULL;
    assert_int_equal(pr_engine_track_many(N0->engine, o, items, 3, world_time(w), NULL, &failed, &why), PRESENCE_EMETA);
    assert_non_null(why);
    items[2] = (presence_item){pr_cstr("u"), pr_cstr("a"), pr_cstr("{}")};
    assert_int_equal(pr_engine_track_many(N0->engine, o, items, 3, world_time(w), NULL, &failed, NULL), 0);
    world_act(w, 0);
    assert_int_equal(N0->diffs, 2); /* one per topic */
}

static int check(world *w, presence_owner o, const presence_item *items, size_t count, const char *option) {
    size_t failed = 99;
    const char *why = NULL;
    int rc = pr_engine_track_check(N0->engine, o, items, count, world_time(w), &failed, &why);
    assert_string_equal(why, option);
    const char *again = NULL; /* and the call itself says the same */
    if (rc) assert_int_equal(pr_engine_track_many(N0->engine, o, items, count, world_time(w), NULL, NULL, &again), rc);
    if (rc) assert_string_equal(again, option);
    return rc ? (int)failed : -1;
}

/* -1: allowed; else the index of the item that is one too many */
static void quotas_name_the_option(void **state) {
    (void)state;
    world *w = world_new();
    w->nodes[0].options = pr_engine_options_default();
    w->nodes[0].options.member_entries = 6;
    w->nodes[0].options.topic_entries = 3;
    w->nodes[0].options.key_metas = 2;
    world_start(w, 0, "a", 0);
    presence_owner o = world_owner(w, 0), p = world_owner(w, 0), q = world_owner(w, 0);
    const presence_item many[] = {
        {pr_cstr("t"), pr_cstr("a"), pr_cstr("{}")}, {pr_cstr("u"), pr_cstr("b"), pr_cstr("{}")},
        {pr_cstr("t"), pr_cstr("c"), pr_cstr("{}")}, {pr_cstr("t"), pr_cstr("d"), pr_cstr("{}")},
        {pr_cstr("t"), pr_cstr("e"), pr_cstr("{}")}, {pr_cstr("u"), pr_cstr("f"), pr_cstr("{}")},
        {pr_cstr("v"), pr_cstr("g"), pr_cstr("{}")}};
    assert_int_equal(check(w, o, many, 4, ""), -1);
    assert_int_equal(check(w, o, many, 5, "topic_entries"), 4); /* the fourth of t, counted within the call */
    assert_int_equal(world_shown(w, 0, "t"), 0);                /* nothing of it was made */
    assert_int_equal(world_track(w, 0, o, "t", "a", "{}"), 0);
    assert_int_equal(world_track(w, 0, p, "t", "a", "{}"), 0);
    assert_int_equal(check(w, q, many, 1, "key_metas"), 0);
    assert_int_equal(world_track(w, 0, q, "t", "c", "{}"), 0);
    assert_int_equal(check(w, o, many + 4, 1, "topic_entries"), 0);
    assert_int_equal(world_track(w, 0, o, "t", "a", "{}"), PRESENCE_ETRACKED);
    assert_int_equal(check(w, o, many + 5, 2, ""), -1);
    const presence_item four[] = {many[1], many[5], many[6], {pr_cstr("w"), pr_cstr("h"), pr_cstr("{}")}};
    assert_int_equal(check(w, o, four, 4, "member_entries"), 3);
    presence_ref ref;
    assert_int_equal(pr_engine_update(N0->engine, q, pr_cstr("t"), pr_cstr("c"), NULL, pr_cstr("{\"n\":1}"),
                                      world_time(w), &ref, NULL),
                     0); /* what is there may change */
    assert_int_equal(pr_engine_untrack(N0->engine, q, pr_cstr("t"), pr_cstr("c"), world_time(w), NULL), 0);
    assert_int_equal(world_track(w, 0, q, "t", "d", "{}"), 0); /* room again */
    world_free(w);
}

static void limits_name_the_option(void **state) {
    world *w = *state;
    presence_owner o = world_owner(w, 0);
    static char big[9000];
    memset(big, 'x', sizeof big);
    memcpy(big, "{\"a\":\"", 6);
    memcpy(big + sizeof big - 2, "\"}", 2);
    presence_item item = {pr_cstr("t"), pr_cstr("k"), pr_str(big, sizeof big)};
    const char *why = NULL;
    assert_int_equal(pr_engine_track_many(N0->engine, o, &item, 1, world_time(w), NULL, NULL, &why), PRESENCE_ELIMIT);
    assert_string_equal(why, "meta_bytes");
    assert_int_equal(world_track(w, 0, o, "", "k", "{}"), PRESENCE_ETOPIC);
    assert_int_equal(world_track(w, 0, o, "t", "", "{}"), PRESENCE_EKEY);
    assert_int_equal(world_track(w, 0, 77, "t", "k", "{}"), PRESENCE_EOWNER);
}

static void an_owner_ends_in_one_diff_per_topic(void **state) {
    world *w = *state;
    presence_owner o = world_owner(w, 0), other = world_owner(w, 0);
    char key[16];
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(world_track(w, 0, o, i % 2 ? "t" : "u", key, "{}"), 0);
    }
    assert_int_equal(world_track(w, 0, other, "t", "k1", "{}"), 0);
    N0->diffs = N0->edges = 0;
    assert_int_equal(pr_engine_owner_close(N0->engine, o, world_time(w)), 0);
    world_act(w, 0);
    assert_int_equal(N0->diffs, 2);
    assert_int_equal(N0->leaves, 100);
    assert_int_equal(N0->edges, 99); /* k1 stays online through the other owner */
    assert_int_equal(N0->last_reason, PRESENCE_REASON_OWNER_CLOSED);
    assert_int_equal(pr_engine_owner_close(N0->engine, o, world_time(w)), PRESENCE_EOWNERCLOSED);
    assert_int_equal(world_track(w, 0, o, "t", "k", "{}"), PRESENCE_EOWNERCLOSED);
    assert_int_equal(world_shown(w, 0, "t"), 1);
}

static void untrack_owner_leaves_it_open(void **state) {
    world *w = *state;
    presence_owner o = world_owner(w, 0);
    world_track(w, 0, o, "t", "a", "{}");
    world_track(w, 0, o, "t", "b", "{}");
    size_t removed;
    assert_int_equal(pr_engine_untrack_owner(N0->engine, o, world_time(w), &removed), 0);
    assert_int_equal(removed, 2);
    assert_int_equal(world_track(w, 0, o, "t", "a", "{}"), 0);
}

static void a_lease_runs_out(void **state) {
    world *w = *state;
    presence_owner o;
    assert_int_equal(pr_engine_owner_open(N0->engine, 500, world_time(w), &o), 0);
    assert_int_equal(world_track(w, 0, o, "t", "k", "{}"), 0);
    world_run(w, 400);
    assert_int_equal(pr_engine_owner_touch(N0->engine, o, world_time(w)), 0);
    world_run(w, 400);
    assert_int_equal(world_shown(w, 0, "t"), 1);
    world_run(w, 100);
    assert_int_equal(world_shown(w, 0, "t"), 0);
    assert_int_equal(N0->last_reason, PRESENCE_REASON_LEASE);
    assert_int_equal(pr_engine_owner_touch(N0->engine, o, world_time(w)), PRESENCE_EOWNERCLOSED);
}

static void alone_is_synced(void **state) {
    world *w = *state;
    world_run(w, 10);
    assert_int_equal(N0->synced, 2);
    assert_int_equal(pr_engine_synced(N0->engine), 2);
}

/* Every request of memory fails once: each call does all or nothing, and works when it is tried again. */
static void without_memory_nothing_changes(void **state) {
    world *w = *state;
    presence_owner o = world_owner(w, 0);
    presence_item items[40];
    static char keys[40][8];
    for (size_t i = 0; i < 40; i++) {
        snprintf(keys[i], sizeof keys[i], "k%zu", i);
        items[i] = (presence_item){pr_cstr(i % 3 ? "t" : "u"), pr_cstr(keys[i]), pr_cstr("{\"a\":1}")};
    }
    int failures = 0;
    for (size_t at = 1;; at++) {
        N0->heap.fail_in = at;
        int rc = pr_engine_track_many(N0->engine, o, items, 40, world_time(w), NULL, NULL, NULL);
        bool failed = N0->heap.fail_in == 0;
        N0->heap.fail_in = 0;
        world_act(w, 0);
        if (!rc) {
            assert_false(failed && N0->joins != 40);
            break;
        }
        failures++;
        assert_int_equal(rc, PRESENCE_ENOMEM);
        assert_int_equal(world_shown(w, 0, "t") + world_shown(w, 0, "u"), 0);
    }
    assert_true(failures > 0);
    assert_int_equal(world_shown(w, 0, "t") + world_shown(w, 0, "u"), 40);
    N0->heap.fail_in = 1;
    N0->heap.fail_on = true;
    int rc = pr_engine_owner_close(N0->engine, o, world_time(w));
    N0->heap.fail_in = 0;
    N0->heap.fail_on = false;
    if (rc) assert_int_equal(pr_engine_owner_close(N0->engine, o, world_time(w)), 0);
    world_act(w, 0);
    assert_int_equal(N0->leaves, 40);
}

/* No request of pr_engine_new may leak or crash. */
static void a_new_engine_without_memory(void **state) {
    (void)state;
    heap h = {0};
    pr_alloc alloc = heap_allocator(&h);
    presence_str seeds[2] = {pr_cstr("m1"), pr_cstr("m2")};
    pr_engine_options o = pr_engine_options_default();
    o.name = pr_cstr("a");
    o.inst = 5;
    o.seeds = seeds;
    o.seeds_size = 2;
    pr_engine *e;
    size_t at = 0;
    do {
        h.fail_in = ++at;
        int rc = pr_engine_new(&alloc, &o, (pr_time){1, 1}, &e);
        bool failed = h.fail_in == 0;
        h.fail_in = 0;
        if (rc) assert_int_equal(rc, PRESENCE_ENOMEM);
        if (rc) assert_null(e);
        pr_engine_free(e);
        assert_int_equal(h.blocks, 0);
        if (!failed) break;
    } while (at < 10000);
    assert_true(at > 5 && at < 10000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(track_update_untrack, setup, teardown),
        cmocka_unit_test_setup_teardown(empty_meta_is_an_object, setup, teardown),
        cmocka_unit_test_setup_teardown(update_if_compares_the_ref, setup, teardown),
        cmocka_unit_test_setup_teardown(many_are_all_or_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_name_the_option, setup, teardown),
        cmocka_unit_test(quotas_name_the_option),
        cmocka_unit_test_setup_teardown(an_owner_ends_in_one_diff_per_topic, setup, teardown),
        cmocka_unit_test_setup_teardown(untrack_owner_leaves_it_open, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lease_runs_out, setup, teardown),
        cmocka_unit_test_setup_teardown(alone_is_synced, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_nothing_changes, setup, teardown),
        cmocka_unit_test(a_new_engine_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* leave_grace_ms: a key whose last meta left with its owner or its member stays shown until it comes back, or until
 * the time is over; what is told in both cases, what is never held back, and what happens without memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine_world.h"

enum { WATCHER, FIRST, SECOND };
#define GRACE 5000
#define W     (&w->nodes[WATCHER])

/* Two members, and a third that has the grace and looks on. */
static int setup(void **state) {
    world *w = world_new();
    W->options = pr_engine_options_default();
    W->options.leave_grace_ms = GRACE;
    world_start(w, WATCHER, "watcher", 0);
    world_start(w, FIRST, "first", 1u << WATCHER);
    world_start(w, SECOND, "second", 1u << WATCHER);
    world_run(w, 100);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    world_free(*state);
    return 0;
}

/* The watcher anew, with other times. */
static void again(world *w, uint32_t grace_ms, uint32_t permdown_ms) {
    world_kill(w, WATCHER, true);
    W->options.permdown_ms = permdown_ms;
    W->options.leave_grace_ms = grace_ms;
    world_start(w, WATCHER, "watcher", 0);
    world_run(w, 2000);
}

static void forget(world *w) {
    W->joins = W->updates = W->leaves = W->edges = W->diffs = 0;
    W->last_reason = -1;
}

static presence_owner present(world *w, int i, const char *key) {
    presence_owner owner = world_owner(w, i);
    assert_int_equal(world_track(w, i, owner, "t", key, "{\"n\":1}"), 0);
    world_run(w, 200);
    return owner;
}

static void shut(world *w, int i, presence_owner owner) {
    assert_int_equal(pr_engine_owner_close(w->nodes[i].engine, owner, world_time(w)), 0);
    world_act(w, i);
    world_run(w, 200);
}

static void expect(world *w, size_t shown, int joins, int leaves, int edges) {
    assert_int_equal(world_shown(w, WATCHER, "t"), shown);
    assert_int_equal(W->joins, joins);
    assert_int_equal(W->leaves, leaves);
    assert_int_equal(W->edges, edges);
}

static void back_elsewhere_in_time_the_key_was_never_away(void **state) {
    world *w = *state;
    presence_owner owner = present(w, FIRST, "anna");
    forget(w);
    shut(w, FIRST, owner);
    expect(w, 1, 0, 0, 0);
    assert_int_equal(world_shown(w, FIRST, "t"), 0); /* the others have no grace */
    world_run(w, GRACE / 2);
    present(w, SECOND, "anna");
    expect(w, 1, 1, 1, 0);
    assert_int_equal(W->diffs, 1);
    assert_int_equal(W->last_reason, PRESENCE_REASON_OWNER_CLOSED);
    world_run(w, 2 * GRACE);
    expect(w, 1, 1, 1, 0);
}

static void not_back_the_leave_is_shown_when_the_time_is_over(void **state) {
    world *w = *state;
    presence_owner owner = present(w, FIRST, "anna");
    forget(w);
    shut(w, FIRST, owner);
    world_run(w, GRACE - 300);
    expect(w, 1, 0, 0, 0);
    world_run(w, 400);
    expect(w, 0, 0, 1, 1);
    assert_int_equal(W->last_reason, PRESENCE_REASON_OWNER_CLOSED);
}

static void of_several_metas_only_the_last_waits(void **state) {
    world *w = *state;
    presence_owner one = present(w, FIRST, "anna"), two = present(w, SECOND, "anna");
    forget(w);
    shut(w, FIRST, one);
    expect(w, 1, 0, 1, 0);
    shut(w, SECOND, two);
    expect(w, 1, 0, 1, 0);
    world_run(w, GRACE);
    expect(w, 0, 0, 2, 1);
}

static void untrack_and_leases_are_never_delayed(void **state) {
    world *w = *state;
    presence_owner owner = present(w, FIRST, "anna"), leased;
    present(w, FIRST, "bob");
    assert_int_equal(pr_engine_owner_open(w->nodes[FIRST].engine, 500, world_time(w), &leased), 0);
    assert_int_equal(world_track(w, FIRST, leased, "t", "carl", "{}"), 0);
    world_run(w, 200);
    forget(w);
    assert_int_equal(world_untrack(w, FIRST, owner, "t", "anna"), 1);
    world_run(w, 1000);
    expect(w, 1, 0, 2, 2);
    assert_int_equal(W->last_reason, PRESENCE_REASON_LEASE);
}

/* The own owners of the member that has the grace. */
static void at_home(void **state) {
    world *w = *state;
    presence_owner owner = present(w, WATCHER, "anna");
    forget(w);
    shut(w, WATCHER, owner);
    expect(w, 1, 0, 0, 0);
    assert_int_equal(world_untrack(w, WATCHER, owner, "t", "anna"), PRESENCE_EOWNERCLOSED);
    presence_owner next = present(w, WATCHER, "anna");
    expect(w, 1, 1, 1, 0);
    shut(w, WATCHER, next);
    world_run(w, GRACE);
    expect(w, 0, 1, 2, 1);
}

static void a_member_that_leaves_or_dies(void **state) {
    world *w = *state;
    present(w, FIRST, "anna");
    present(w, SECOND, "bob");
    forget(w);
    pr_engine_leave(w->nodes[FIRST].engine, world_time(w));
    world_act(w, FIRST);
    world_run(w, 100);
    world_kill(w, FIRST, true);
    w->nodes[SECOND].refuse = true;
    world_kill(w, SECOND, true);
    world_run(w, 2000);
    assert_int_equal(W->lefts, 1);
    assert_int_equal(W->downs, 1);
    expect(w, 2, 0, 0, 0);
    present(w, WATCHER, "anna");
    expect(w, 2, 1, 1, 0);
    assert_int_equal(W->last_reason, PRESENCE_REASON_MEMBER_LEFT);
    world_run(w, GRACE);
    expect(w, 1, 1, 2, 1);
    assert_int_equal(W->last_reason, PRESENCE_REASON_MEMBER_DOWN);
}

/* Nothing was told of its absence, so nothing is told of its return but what changed meanwhile. */
static void a_member_that_returns_in_time(void **state) {
    world *w = *state;
    again(w, 60000, 1200000);
    presence_owner stays = present(w, FIRST, "anna"), goes = present(w, FIRST, "bob");
    forget(w);
    for (int l = 0; l < LINKS; l++) {
        wire *cut = &w->wires[l];
        if (cut->ends[0].node == FIRST || cut->ends[1].node == FIRST) cut->cut = cut->used;
    }
    for (int i = 0; i < NODES; i++) w->severed[FIRST][i] = w->severed[i][FIRST] = true;
    while (!W->downs) world_run(w, 100);
    expect(w, 2, 0, 0, 0);
    assert_int_equal(world_update(w, FIRST, stays, "t", "anna", "{\"n\":2}"), 0);
    assert_int_equal(world_untrack(w, FIRST, goes, "t", "bob"), 1);
    world_run(w, 500);
    memset(w->severed, 0, sizeof w->severed);
    while (world_status(w, WATCHER, "first", NULL) != PRESENCE_MEMBER_UP) world_run(w, 100);
    world_run(w, 500);
    expect(w, 1, 0, 1, 1);
    assert_int_equal(W->updates, 1);
    world_run(w, 120000);
    expect(w, 1, 0, 1, 1);
}

static void a_member_that_is_forgotten_is_not_waited_for(void **state) {
    world *w = *state;
    again(w, 60000, 12000);
    present(w, FIRST, "anna");
    world_run(w, 2000);
    forget(w);
    world_kill(w, FIRST, true);
    world_run(w, 9000);
    assert_int_equal(W->downs, 1);
    expect(w, 1, 0, 0, 0);
    world_run(w, 8000);
    assert_int_equal(W->permdowns, 1);
    expect(w, 0, 0, 1, 1);
}

/* Indexes of logs are not given out again while entries of them are shown: the names in the list would be others. */
static void members_come_and_go_meanwhile(void **state) {
    world *w = *state;
    again(w, 60000, 1200000);
    for (int i = 0; i < 6; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        world_kill(w, FIRST, true);
        world_start(w, FIRST, name, 1u << WATCHER);
        world_run(w, 100);
        present(w, FIRST, name);
        pr_engine_leave(w->nodes[FIRST].engine, world_time(w));
        world_act(w, FIRST);
        world_run(w, 100);
    }
    pr_rows *rows;
    assert_int_equal(pr_store_list(pr_engine_store(W->engine), pr_cstr("t"), &rows), 0);
    assert_int_equal(rows->size, 6);
    for (size_t i = 0; i < rows->size; i++) assert_true(pr_str_equal(rows->rows[i].key, rows->rows[i].member));
    pr_rows_free(rows);
    world_run(w, 61000);
    assert_int_equal(world_shown(w, WATCHER, "t"), 0);
    assert_int_equal(pr_store_size(pr_engine_store(W->engine)), 0);
}

/* ---- the store alone ---- */

static pr_id put(pr_store *s, uint16_t log, uint64_t eid, uint64_t dot, const char *meta) {
    pr_id id;
    assert_int_equal(pr_store_insert(s, log, eid, dot, pr_cstr("t"), pr_cstr("k"), pr_cstr(meta), 0, &id), 0);
    return id;
}

/* The same entity comes with a fresh copy of its log: it is no join of what is shown. */
static void an_entity_that_lingers_is_adopted_by_itself(void **state) {
    (void)state;
    heap h = {0};
    pr_alloc alloc = heap_allocator(&h);
    pr_store *s;
    assert_int_equal(pr_store_new(&alloc, &s), 0);
    pr_store_watch_all(s, true);
    for (uint64_t dot = 7; dot < 9; dot++) { /* the same version, a later one */
        assert_int_equal(pr_store_name_log(s, 1, 5, pr_cstr("m")), 0);
        assert_int_equal(pr_store_name_log(s, 2, 5, pr_cstr("m")), 0);
        pr_id old = put(s, 1, 7, 7, "{}");
        assert_int_equal(pr_diff_begin(s, 1, 100), 0);
        pr_diff_show(s, old);
        pr_diff_free(pr_diff_finish(s));
        assert_true(pr_store_linger(s, old, 100, PRESENCE_REASON_MEMBER_LEFT));
        pr_store_remove(s, old);
        assert_false(pr_store_log_done(s, 1));
        pr_id fresh = put(s, 2, 7, dot, "{\"new\":1}");
        assert_int_equal(pr_store_linger_of_key(s, fresh), old);
        assert_int_equal(pr_diff_begin(s, 1, 100), 0);
        assert_true(pr_store_linger_adopt(s, old, fresh));
        assert_true(pr_store_log_over(s, 1));
        pr_diff *diff = pr_diff_finish(s);
        assert_int_equal(diff ? diff->size : 0, dot - 7);
        if (diff) {
            assert_int_equal(diff->items[0].kind, PRESENCE_UPDATE);
            assert_int_equal(diff->items[0].prev_dot, 7);
            assert_true(pr_str_equal(diff->items[0].prev_meta, pr_cstr("{}")));
        }
        pr_diff_free(diff);
        size_t keys, metas;
        pr_store_count(s, pr_cstr("t"), &keys, &metas);
        assert_int_equal(keys, 1);
        assert_int_equal(metas, 1);
        assert_int_equal(pr_diff_begin(s, 1, 100), 0);
        pr_diff_hide(s, fresh, PRESENCE_REASON_UNTRACK);
        pr_store_remove(s, fresh);
        pr_diff_free(pr_diff_finish(s));
        assert_int_equal(pr_store_size(s), 0);
    }
    pr_store_free(s);
    assert_int_equal(h.blocks, 0);
}

/* ---- no memory ---- */

/* Whatever allocation of the watcher fails, at the end it shows what is true; false: it was never reached. */
static bool life_without(size_t n) {
    void *state;
    setup(&state);
    world *w = state;
    presence_owner anna = present(w, FIRST, "anna"), bob = present(w, FIRST, "bob");
    present(w, SECOND, "carl");
    present(w, SECOND, "dora");
    heap_fail(&W->heap, n);
    shut(w, FIRST, anna);
    shut(w, FIRST, bob);
    present(w, FIRST, "anna");
    world_kill(w, SECOND, true);
    world_run(w, 3000);
    present(w, FIRST, "carl");
    world_run(w, GRACE + 3000);
    bool failed = W->heap.failed;
    W->heap.fail_in = 0;
    world_run(w, GRACE + 3000);
    assert_int_equal(world_shown(w, WATCHER, "t"), 2);
    size_t keys, metas;
    pr_store_count(pr_engine_store(W->engine), pr_cstr("t"), &keys, &metas);
    assert_int_equal(keys, 2);
    assert_int_equal(W->joins - W->leaves, 2);
    world_free(w);
    return failed;
}

static void without_memory(void **state) {
    (void)state;
    size_t n = 1;
    while (life_without(n)) n++;
    assert_true(n > 30);
}

int main(void) {
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_WORLD(back_elsewhere_in_time_the_key_was_never_away),
        IN_WORLD(not_back_the_leave_is_shown_when_the_time_is_over),
        IN_WORLD(of_several_metas_only_the_last_waits),
        IN_WORLD(untrack_and_leases_are_never_delayed),
        IN_WORLD(at_home),
        IN_WORLD(a_member_that_leaves_or_dies),
        IN_WORLD(a_member_that_returns_in_time),
        IN_WORLD(a_member_that_is_forgotten_is_not_waited_for),
        IN_WORLD(members_come_and_go_meanwhile),
        cmocka_unit_test(an_entity_that_lingers_is_adopted_by_itself),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

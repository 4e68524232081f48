/* Seeds that come and go, names that stand for several addresses, and seeds that are all gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine_world.h"

#define RESOLVE_MS 5000

static int setup(void **state) {
    world *w = world_new();
    for (int i = 0; i < NODES; i++) {
        w->nodes[i].options = pr_engine_options_default();
        w->nodes[i].options.resolve_ms = RESOLVE_MS;
    }
    *state = w;
    return 0;
}

/* The addresses of this world look like names: here they are none. */
static int setup_plain(void **state) {
    setup(state);
    world *w = *state;
    for (int i = 0; i < NODES; i++) w->nodes[i].options.resolve_ms = 0;
    return 0;
}

static int teardown(void **state) {
    world_free(*state);
    return 0;
}

static int seed(world *w, int i, const char *address) {
    int rc = pr_engine_seed_add(w->nodes[i].engine, pr_cstr(address), world_time(w));
    world_act(w, i);
    return rc;
}

static bool unseed(world *w, int i, const char *address) {
    bool was = pr_engine_seed_remove(w->nodes[i].engine, pr_cstr(address), world_time(w));
    world_act(w, i);
    return was;
}

static uint64_t dials(world *w, int i) {
    presence_statistics stats = {.size = sizeof stats};
    pr_engine_stats(w->nodes[i].engine, &stats);
    return stats.dials;
}

static bool up(world *w, int i, const char *name) { return world_status(w, i, name, NULL) == PRESENCE_MEMBER_UP; }

static void all_addresses_of_a_name_are_dialled(void **state) {
    world *w = *state;
    world_start(w, 0, "a", 0);
    world_start(w, 1, "b", 0);
    world_start(w, 2, "c", 0);
    world_run(w, 100);
    w->answer = 7; /* also the own address of c */
    assert_int_equal(seed(w, 2, "service:7946"), 0);
    world_run(w, 3000);
    assert_true(up(w, 2, "a") && up(w, 2, "b") && up(w, 0, "b") && up(w, 1, "a"));
    assert_int_equal(w->nodes[2].errors, 0);
}

/* Two halves that found each other before the other half was in the name's answer. */
static void a_name_is_looked_up_again_and_again(void **state) {
    world *w = *state;
    w->answer = 1;
    world_start(w, 0, "a", 0);
    world_start(w, 1, "b", 0);
    assert_int_equal(seed(w, 1, "service:7946"), 0);
    world_run(w, 100);
    assert_true(up(w, 1, "a"));
    world_start(w, 2, "c", 0);
    world_run(w, 4 * RESOLVE_MS);
    assert_false(up(w, 1, "c"));
    w->answer = 5;
    world_run(w, RESOLVE_MS + 100);
    assert_true(up(w, 1, "c") && up(w, 0, "c"));
    int before = w->asked;
    world_run(w, 10 * RESOLVE_MS);
    assert_int_equal(w->asked - before, 10);
}

static void who_is_known_is_not_dialled_and_who_is_gone_neither(void **state) {
    world *w = *state;
    w->answer = 3;
    world_start(w, 0, "a", 0);
    world_start(w, 2, "c", 0);
    assert_int_equal(seed(w, 2, "service:7946"), 0);
    world_run(w, 100);
    uint64_t before = dials(w, 2);
    int asked = w->asked;
    world_run(w, 60000);
    assert_true(dials(w, 2) - before > (uint64_t)(w->asked - asked)); /* m1 is in the answer, and refuses */
    w->answer = 1;
    world_run(w, RESOLVE_MS + 100);
    before = dials(w, 2);
    asked = w->asked;
    world_run(w, 60000);
    assert_int_equal(dials(w, 2) - before, w->asked - asked); /* look-ups alone */
}

/* Answers that fail are asked for again, and take nothing away. */
static void no_answer(void **state) {
    world *w = *state;
    world_start(w, 0, "a", 0);
    world_start(w, 1, "b", 0);
    assert_int_equal(seed(w, 1, "service:7946"), 0);
    world_run(w, 60000);
    assert_in_range(w->asked, 10, 40);
    w->answer = 1;
    world_run(w, 2 * RESOLVE_MS);
    assert_true(up(w, 1, "a"));
    w->answer = 0;
    world_run(w, 2 * RESOLVE_MS);
    world_kill(w, 0, true);
    world_run(w, 3000);
    assert_false(up(w, 1, "a"));
    world_start(w, 0, "another", 0);
    world_run(w, 30000);
    assert_true(up(w, 1, "another")); /* at the address of the last answer */
}

static void a_name_delays_synced_until_its_addresses_are_tried(void **state) {
    world *w = *state;
    w->answer = 2;
    world_start(w, 1, "b", 0);
    presence_owner owner = world_owner(w, 1);
    assert_int_equal(world_track(w, 1, owner, "t", "k", "{}"), 0);
    world_start(w, 0, "a", 0);
    assert_int_equal(w->nodes[0].synced, 2);
    world_kill(w, 0, true);
    presence_str names[] = {pr_cstr("service:7946")};
    w->nodes[0].options.seeds = names;
    pr_engine_options o = w->nodes[0].options;
    o.name = pr_cstr("a");
    o.inst = 77;
    o.seed = 5;
    o.seeds_size = 1;
    w->nodes[0].options.seeds = NULL;
    assert_int_equal(pr_engine_new(&w->nodes[0].alloc, &o, world_time(w), &w->nodes[0].engine), 0);
    w->nodes[0].synced = 0;
    world_run(w, 100);
    assert_int_equal(w->nodes[0].synced, 1);
    assert_int_equal(world_shown(w, 0, "t"), 1);
}

static void seeds_come_and_go_at_run_time(void **state) {
    world *w = *state;
    world_start(w, 0, "a", 0);
    world_start(w, 1, "b", 0);
    world_run(w, 100);
    assert_false(unseed(w, 1, "m0"));
    assert_int_equal(seed(w, 1, "m0"), 0);
    assert_int_equal(seed(w, 1, "m0"), 0);
    world_run(w, 100);
    assert_true(up(w, 1, "a"));
    assert_true(unseed(w, 1, "m0"));
    assert_false(unseed(w, 1, "m0"));
    world_run(w, 1000);
    assert_true(up(w, 1, "a")); /* its link stays */
    assert_int_equal(seed(w, 1, "m3"), 0);
    world_run(w, 30000);
    uint64_t before = dials(w, 1);
    assert_true(unseed(w, 1, "m3"));
    world_run(w, 60000);
    assert_int_equal(dials(w, 1), before);
    char text[16];
    for (int i = 0; i < 1024; i++) {
        snprintf(text, sizeof text, "m3%d", i);
        w->nodes[3].refuse = true;
        assert_int_equal(pr_engine_seed_add(w->nodes[1].engine, pr_cstr(text), world_time(w)), 0);
    }
    assert_int_equal(pr_engine_seed_add(w->nodes[1].engine, pr_cstr("one more"), world_time(w)), PRESENCE_ELIMIT);
}

static void seeds_that_are_all_gone_are_tried_for_ever(void **state) {
    world *w = *state;
    world_start(w, 1, "b", 1u << 0 | 1u << 2);
    world_run(w, 1000);
    assert_int_equal(w->nodes[1].synced, 2);
    uint64_t before = dials(w, 1);
    world_run(w, 600000);
    assert_in_range(dials(w, 1) - before, 60, 300); /* two seeds, about 10 s apart, at least 5 s */
    world_start(w, 2, "c", 0);
    world_run(w, 15000);
    assert_true(up(w, 1, "c"));
}

static bool life_without(size_t n) {
    void *state;
    setup(&state);
    world *w = state;
    world_start(w, 0, "a", 0);
    world_start(w, 1, "b", 0);
    world_start(w, 2, "c", 0);
    w->answer = 3;
    heap_fail(&w->nodes[2].heap, n);
    int rc = seed(w, 2, "service:7946");
    if (rc) assert_int_equal(rc, PRESENCE_ENOMEM);
    if (rc) assert_int_equal(seed(w, 2, "service:7946"), 0);
    world_run(w, 4 * RESOLVE_MS);
    bool failed = w->nodes[2].heap.failed;
    w->nodes[2].heap.fail_in = 0;
    assert_true(up(w, 2, "a") && up(w, 2, "b"));
    world_free(w);
    return failed;
}

static void without_memory(void **state) {
    (void)state;
    size_t n = 1;
    while (life_without(n)) n++;
    assert_true(n > 10);
}

int main(void) {
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_WORLD(all_addresses_of_a_name_are_dialled),
        IN_WORLD(a_name_is_looked_up_again_and_again),
        IN_WORLD(who_is_known_is_not_dialled_and_who_is_gone_neither),
        IN_WORLD(no_answer),
        IN_WORLD(a_name_delays_synced_until_its_addresses_are_tried),
        cmocka_unit_test_setup_teardown(seeds_come_and_go_at_run_time, setup_plain, teardown),
        cmocka_unit_test_setup_teardown(seeds_that_are_all_gone_are_tried_for_ever, setup_plain, teardown),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

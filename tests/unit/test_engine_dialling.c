/* Who is dialled, when, and which link stays: seeds, the mesh, newcomers, observers, other clusters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine_world.h"

static int setup(void **state) {
    *state = world_new();
    return 0;
}

static int teardown(void **state) {
    world_free(*state);
    return 0;
}

static uint64_t dials_of(world *w, int i) {
    presence_statistics stats = {.size = sizeof stats};
    pr_engine_stats(w->nodes[i].engine, &stats);
    return stats.dials;
}

static void one_seed_gives_the_mesh(void **state) {
    world *w = *state;
    world_pair(w);
    world_start(w, 2, "c", 1u << 0);
    world_run(w, 4000);
    pr_member_info info;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            const char name[2] = {(char)('a' + k), 0};
            assert_int_equal(world_status(w, i, name, &info), PRESENCE_MEMBER_UP);
            assert_true(info.is_self || (info.linked && info.synced));
        }
}

/* However the instances are ordered, everybody has linked a newcomer long before the next heartbeat. */
static void a_newcomer_is_known_at_once(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        world *w = world_new();
        w->now += (uint64_t)round * 7717; /* other instances */
        world_pair(w);
        world_start(w, 2, "c", 1u << 0);
        world_run(w, 2500);
        world_start(w, 3, "d", 1u << 0);
        world_run(w, 10);
        pr_member_info info;
        for (int i = 0; i < 3; i++) {
            assert_int_equal(world_status(w, i, "d", &info), PRESENCE_MEMBER_UP);
            assert_true(info.linked);
        }
        world_free(w);
    }
}

static void simultaneous_dials_keep_one_link(void **state) {
    world *w = *state;
    world_start(w, 0, "a", 1u << 1);
    world_run(w, 20); /* refused: dialled again 100 ms later */
    w->nodes[0].deaf = w->nodes[1].deaf = true;
    world_start(w, 1, "b", 1u << 0);
    w->nodes[1].deaf = true;
    world_run(w, 300);
    assert_true(w->wires[0].used && w->wires[1].used && w->wires[0].ends[0].node != w->wires[1].ends[0].node);
    w->nodes[0].deaf = w->nodes[1].deaf = false;
    world_run(w, 3000);
    presence_statistics stats = {.size = sizeof stats};
    for (int i = 0; i < 2; i++) {
        pr_engine_stats(w->nodes[i].engine, &stats);
        assert_int_equal(stats.links, 1);
        assert_in_range(stats.dials, 1, 2); /* neither lost the link that stays */
        assert_int_equal(w->nodes[i].errors + w->nodes[i].suspects, 0);
    }
}

static void a_seed_that_is_oneself_is_tried_once(void **state) {
    world *w = *state;
    w->leads_to[1] = 0 + 1; /* m1 is another address of m0 */
    world_start(w, 0, "a", 1u << 1);
    world_run(w, 100);
    assert_int_equal(w->nodes[0].synced, 2);
    world_run(w, 60000);
    assert_int_equal(dials_of(w, 0), 1);
    assert_int_equal(w->nodes[0].errors, 0);
}

static void a_seed_that_refuses_is_tried_again(void **state) {
    world *w = *state;
    world_start(w, 0, "a", 1u << 1); /* m1 is nobody: refused */
    world_run(w, 100);
    assert_int_equal(w->nodes[0].synced, 2);
    presence_statistics stats = {.size = sizeof stats};
    world_run(w, 60000);
    pr_engine_stats(w->nodes[0].engine, &stats);
    assert_in_range(stats.dials, 6, 20); /* back-off up to 10 s */
}

static void another_cluster_is_refused(void **state) {
    world *w = *state;
    world_start(w, 0, "a", 0);
    w->nodes[1].options = pr_engine_options_default();
    w->nodes[1].options.cluster = pr_cstr("elsewhere");
    world_start(w, 1, "b", 1u << 0);
    world_run(w, 30000);
    assert_int_equal(world_status(w, 0, "b", NULL), 0);
    assert_int_equal(w->nodes[0].last_error, PRESENCE_ECLUSTER);
    assert_int_equal(w->nodes[1].last_error, PRESENCE_ECLUSTER);
    assert_int_equal(w->nodes[1].errors, 1); /* a minute of back-off */
}

/* A peer that breaks the protocol again and again is dialled less and less. */
static void a_protocol_error_is_a_reason_to_wait(void **state) {
    world *w = *state;
    world_pair(w);
    world_run(w, 3000);
    uint64_t before = dials_of(w, 0) + dials_of(w, 1);
    for (int second = 0; second < 60; second++) {
        for (int l = 0; l < LINKS; l++) { /* noise into whatever link there is */
            end *to = &w->wires[l].ends[0];
            if (!w->wires[l].used || to->closed) continue;
            size_t used;
            if (w->wires[l].ends[0].size == 0)
                pr_engine_bytes(w->nodes[to->node].engine, to->id, (const uint8_t *)"\xff\xff\xff\xff", 4, &used,
                                world_time(w));
            world_act(w, to->node);
        }
        world_run(w, 1100);
    }
    assert_true(dials_of(w, 0) + dials_of(w, 1) - before < 40);
    world_run(w, 12000);
    assert_int_equal(world_status(w, 0, "b", NULL), PRESENCE_MEMBER_UP);
}

/* A predecessor died without a word; its successor of another name listens at the same address. */
static void an_address_that_is_mine_is_not_dialled(void **state) {
    world *w = *state;
    world_pair(w);
    world_run(w, 3000);
    world_kill(w, 1, true);
    world_start(w, 1, "b2", 1u << 0);
    world_run(w, 100);
    assert_int_not_equal(world_status(w, 1, "b", NULL), 0);
    uint64_t before = dials_of(w, 1);
    world_run(w, 60000);
    assert_int_equal(dials_of(w, 1), before);
}

/* Somebody died just before we came: we do not wait until its silence has run out. */
static void a_newcomer_does_not_wait_for_the_dead(void **state) {
    world *w = *state;
    world_pair(w);
    world_start(w, 2, "c", 1u << 0);
    world_run(w, 4000);
    world_kill(w, 1, true);
    world_run(w, 1000);
    world_start(w, 3, "d", 1u << 0);
    world_run(w, 300);
    assert_int_equal(w->nodes[3].synced, 1);
}

static void an_observer_never_displaces_a_member(void **state) {
    world *w = *state;
    world_pair(w);
    w->nodes[2].options = pr_engine_options_default();
    w->nodes[2].options.observer = true;
    for (int at = 0; at < 2; at++) { /* at the member itself, and at another one */
        world_start(w, 2, "b", 1u << at);
        world_run(w, 5000);
        assert_int_equal(w->nodes[2].yields, 1);
        assert_int_equal(w->nodes[0].yields + w->nodes[1].yields + w->nodes[1].conflicts, 0);
        assert_int_equal(world_status(w, 0, "b", NULL), PRESENCE_MEMBER_UP);
        assert_int_equal(w->nodes[0].lefts + w->nodes[0].downs, 0);
        world_kill(w, 2, true);
        world_run(w, 100);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_seed_gives_the_mesh, setup, teardown),
        cmocka_unit_test(a_newcomer_is_known_at_once),
        cmocka_unit_test_setup_teardown(simultaneous_dials_keep_one_link, setup, teardown),
        cmocka_unit_test_setup_teardown(a_seed_that_is_oneself_is_tried_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_seed_that_refuses_is_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(another_cluster_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_protocol_error_is_a_reason_to_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(an_address_that_is_mine_is_not_dialled, setup, teardown),
        cmocka_unit_test_setup_teardown(a_newcomer_does_not_wait_for_the_dead, setup, teardown),
        cmocka_unit_test_setup_teardown(an_observer_never_displaces_a_member, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

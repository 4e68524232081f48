/* A few members over links: sync, states, graves, twins, relays, dialling. */
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

static void two_members_see_each_other(void **state) {
    world *w = *state;
    world_pair(w);
    assert_int_equal(world_status(w, 0, "b", NULL), PRESENCE_MEMBER_UP);
    assert_int_equal(world_status(w, 1, "a", NULL), PRESENCE_MEMBER_UP);
    assert_int_equal(w->nodes[1].synced, 1);
    presence_owner o = world_owner(w, 0);
    assert_int_equal(world_track(w, 0, o, "t", "k", "{\"a\":1}"), 0);
    world_run(w, 5);
    assert_int_equal(world_shown(w, 1, "t"), 1);
    assert_int_equal(world_update(w, 0, o, "t", "k", "{\"a\":2}"), 0);
    world_run(w, 5);
    assert_int_equal(w->nodes[1].updates, 1);
    assert_int_equal(world_untrack(w, 0, o, "t", "k"), 1);
    world_run(w, 5);
    assert_int_equal(w->nodes[1].leaves, 1);
    assert_int_equal(w->nodes[1].last_reason, PRESENCE_REASON_UNTRACK);
    assert_int_equal(w->nodes[0].errors + w->nodes[1].errors, 0);
}

/* Everything at once, then quiet: ten heartbeats of each, one ping each and its answer, and no request. */
static void a_quiet_cluster_only_beats(void **state) {
    world *w = *state;
    world_pair(w);
    world_run(w, 5000);
    uint64_t before = w->frames;
    world_run(w, 10000);
    assert_int_equal(w->frames - before, 20 + 4);
    presence_statistics stats = {.size = sizeof stats};
    pr_engine_stats(w->nodes[1].engine, &stats);
    assert_int_equal(stats.gaps + stats.frames_stale + stats.frames_dropped, 0);
}

static void a_new_member_gets_all(void **state) {
    world *w = *state;
    w->nodes[0].options = pr_engine_options_default();
    w->nodes[0].options.own_log.chunk_target = 300;
    world_start(w, 0, "a", 0);
    presence_owner o = world_owner(w, 0);
    world_track_some(w, 0, o, 0, 500);
    world_start(w, 1, "b", 1u << 0);
    world_run(w, 20);
    assert_int_equal(world_shown(w, 1, "t"), 500);
    assert_int_equal(w->nodes[1].synced, 1);
}

static void a_killed_member_is_down_at_once(void **state) {
    world *w = *state;
    world_pair(w);
    world_run(w, 3000);
    presence_owner o = world_owner(w, 1);
    world_track_some(w, 1, o, 0, 10);
    world_run(w, 5);
    assert_int_equal(world_shown(w, 0, "t"), 10);
    world_kill(w, 1, true);
    world_run(w, 5);
    assert_int_equal(world_status(w, 0, "b", NULL), PRESENCE_MEMBER_DOWN);
    assert_string_equal(w->nodes[0].last_why, "refused");
    assert_int_equal(world_shown(w, 0, "t"), 0);
    assert_int_equal(w->nodes[0].last_reason, PRESENCE_REASON_MEMBER_DOWN);
    /* its successor of the same name replaces it */
    world_start(w, 1, "b", 1u << 0);
    world_run(w, 50);
    assert_int_equal(world_status(w, 0, "b", NULL), PRESENCE_MEMBER_UP);
    assert_int_equal(world_shown(w, 0, "t"), 0);
}

static void a_closed_link_is_suspicion_with_a_grace(void **state) {
    world *w = *state;
    world_pair(w);
    world_run(w, 3000);
    w->severed[0][1] = w->severed[1][0] = true;
    for (int s = 0; s < 2; s++) w->wires[0].ends[s].closed = false;
    pr_engine_link_down(w->nodes[0].engine, w->wires[0].ends[0].node ? w->wires[0].ends[1].id : w->wires[0].ends[0].id,
                        PR_END_RESET, world_time(w));
    world_act(w, 0);
    assert_int_equal(world_status(w, 0, "b", NULL), PRESENCE_MEMBER_SUSPECT);
    w->wires[0].cut = true;
    world_run(w, 590);
    assert_int_equal(world_status(w, 0, "b", NULL), PRESENCE_MEMBER_SUSPECT);
    world_run(w, 20);
    assert_int_equal(world_status(w, 0, "b", NULL), PRESENCE_MEMBER_DOWN);
    assert_string_equal(w->nodes[0].last_why, "closed");
    world_run(w, 3000);
    assert_int_equal(world_status(w, 0, "b", NULL), PRESENCE_MEMBER_DOWN);
}

/* The network is back: links that hung are reset, dials work again. */
static void world_reset(world *w) {
    memset(w->severed, 0, sizeof w->severed);
    for (int l = 0; l < LINKS; l++) {
        wire *hung = &w->wires[l];
        if (!hung->used || !hung->cut) continue;
        hung->cut = false;
        for (int s = 0; s < 2; s++) {
            hung->ends[s].size = 0;
            if (hung->ends[s].closed) continue;
            hung->ends[s].closed = true;
            pr_engine_link_down(w->nodes[hung->ends[s].node].engine, hung->ends[s].id, PR_END_RESET, world_time(w));
        }
    }
}

static void silence_is_down_and_heals(void **state) {
    world *w = *state;
    world_pair(w);
    world_run(w, 3000);
    presence_owner o = world_owner(w, 1);
    world_track_some(w, 1, o, 0, 10);
    world_run(w, 5);
    w->wires[0].cut = w->severed[0][1] = w->severed[1][0] = true;
    world_run(w, 1400);
    assert_int_equal(world_shown(w, 0, "t"), 10);
    world_run(w, 1300);
    assert_int_equal(world_status(w, 0, "b", NULL), PRESENCE_MEMBER_DOWN);
    assert_string_equal(w->nodes[0].last_why, "silence");
    assert_int_equal(world_shown(w, 0, "t"), 0);
    /* while it is away five leave: they are never shown again */
    for (int k = 0; k < 5; k++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", k);
        assert_int_equal(world_untrack(w, 1, o, "t", key), 1);
    }
    w->nodes[0].joins = 0;
    world_reset(w);
    w->nodes[1].deaf = true; /* its HELLO comes, but it does not read our REQ yet */
    world_run(w, 200);
    assert_int_equal(world_status(w, 0, "b", NULL), PRESENCE_MEMBER_UP);
    assert_int_equal(world_shown(w, 0, "t"), 0); /* RETURNING */
    w->nodes[1].deaf = false;
    world_run(w, 100);
    assert_int_equal(world_shown(w, 0, "t"), 5);
    assert_int_equal(w->nodes[0].joins, 5);
}

static void leave_is_final(void **state) {
    world *w = *state;
    world_pair(w);
    presence_owner o = world_owner(w, 1);
    world_track_some(w, 1, o, 0, 3);
    world_run(w, 5);
    pr_engine_leave(w->nodes[1].engine, world_time(w));
    world_run(w, 5);
    assert_int_equal(world_status(w, 0, "b", NULL), 0);
    assert_int_equal(w->nodes[0].lefts, 1);
    assert_int_equal(world_shown(w, 0, "t"), 0);
    assert_int_equal(w->nodes[0].last_reason, PRESENCE_REASON_MEMBER_LEFT);
    world_kill(w, 1, true);
    world_run(w, 3000);
    assert_int_equal(w->nodes[0].suspects + w->nodes[0].downs, 0);
}

static void permdown_and_the_grave(void **state) {
    world *w = *state;
    w->nodes[0].options = pr_engine_options_default();
    w->nodes[0].options.permdown_ms = 5000;
    world_pair(w);
    world_kill(w, 1, true);
    world_run(w, 4000);
    assert_int_equal(world_status(w, 0, "b", NULL), PRESENCE_MEMBER_DOWN);
    world_run(w, 2000);
    assert_int_equal(world_status(w, 0, "b", NULL), 0);
    assert_int_equal(w->nodes[0].permdowns, 1);
    world_run(w, 10000); /* forgotten */
    world_start(w, 1, "b", 1u << 0);
    world_run(w, 50);
    assert_int_equal(world_status(w, 0, "b", NULL), PRESENCE_MEMBER_UP);
}

static void the_older_twin_yields(void **state) {
    world *w = *state;
    world_start(w, 0, "a", 0);
    world_run(w, 100);
    world_start(w, 1, "b", 1u << 0);
    world_run(w, 100);
    world_start(w, 2, "b", 1u << 0);
    world_run(w, 8000);
    assert_int_equal(w->nodes[1].yields, 1);
    assert_int_equal(w->nodes[2].yields, 0);
    assert_int_equal(w->nodes[2].conflicts, 1);
    assert_int_equal(world_status(w, 0, "b", NULL), PRESENCE_MEMBER_UP);
}

static void a_restart_with_a_clock_gone_back_refutes(void **state) {
    world *w = *state;
    world_pair(w);
    world_run(w, 2000);
    world_kill(w, 1, true);
    world_run(w, 10);
    uint64_t now = w->now;
    w->now = 500; /* inc of the next start */
    node *n = &w->nodes[1];
    n->options = pr_engine_options_default();
    pr_engine_options o = n->options;
    presence_str seed = pr_cstr("m0");
    o.name = pr_cstr("b");
    o.inst = 3;
    o.inc = 500;
    o.seeds = &seed;
    o.seeds_size = 1;
    o.addresses[0] = pr_cstr("m1");
    o.addresses_size = 1;
    w->now = now;
    assert_int_equal(pr_engine_new(&n->alloc, &o, world_time(w), &n->engine), 0);
    world_run(w, 50);
    presence_owner owner = world_owner(w, 1);
    world_track_some(w, 1, owner, 0, 3);
    world_run(w, 1100);
    pr_member_info info;
    assert_int_equal(world_status(w, 0, "b", &info), PRESENCE_MEMBER_UP);
    assert_int_equal(info.inst, 3);
    assert_int_equal(world_shown(w, 0, "t"), 3);
    assert_int_equal(n->yields, 0);
}

static void a_relay_feeds_what_cannot_be_linked(void **state) {
    world *w = *state;
    w->severed[1][2] = w->severed[2][1] = true;
    world_pair(w);
    world_start(w, 2, "c", 1u << 0);
    presence_owner o = world_owner(w, 1);
    world_track_some(w, 1, o, 0, 20);
    world_run(w, 5000);
    assert_int_equal(world_status(w, 2, "b", NULL), PRESENCE_MEMBER_UP);
    assert_int_equal(world_shown(w, 2, "t"), 20);
    world_track_some(w, 1, o, 20, 30); /* the subscription carries on at once */
    world_run(w, 5);
    assert_int_equal(world_shown(w, 2, "t"), 30);
    int downs = w->nodes[2].downs;
    world_run(w, 20000);
    assert_int_equal(w->nodes[2].downs, downs);
    /* the direct link comes: the relay is not needed */
    w->severed[1][2] = w->severed[2][1] = false;
    world_run(w, 15000);
    world_track_some(w, 1, o, 30, 31);
    world_run(w, 5);
    assert_int_equal(world_shown(w, 2, "t"), 31);
    presence_statistics stats = {.size = sizeof stats};
    pr_engine_stats(w->nodes[2].engine, &stats);
    uint64_t before = stats.frames_stale;
    world_track_some(w, 1, o, 31, 41);
    world_run(w, 50);
    pr_engine_stats(w->nodes[2].engine, &stats);
    assert_int_equal(stats.frames_stale, before);
}

/* The relay beats four times slower than those it tells of: nobody goes down for that. */
static void a_slow_relay_is_no_silence(void **state) {
    world *w = *state;
    w->severed[1][2] = w->severed[2][1] = true;
    for (int i = 1; i < 3; i++) {
        w->nodes[i].options = pr_engine_options_default();
        w->nodes[i].options.heartbeat_ms = 250;
    }
    world_pair(w);
    world_start(w, 2, "c", 1u << 0);
    world_run(w, 10000);
    int downs = w->nodes[1].downs + w->nodes[2].downs;
    world_run(w, 30000);
    assert_int_equal(w->nodes[1].downs + w->nodes[2].downs, downs);
    assert_int_equal(world_status(w, 1, "c", NULL), PRESENCE_MEMBER_UP);
}

/* c cannot be linked by d; whichever of the two relays dies, the other one feeds on without a period of waiting. */
static void a_lost_relay_is_replaced_at_once(void **state) {
    (void)state;
    for (int lost = 0; lost < 2; lost++) {
        world *w = world_new();
        w->severed[2][3] = w->severed[3][2] = true;
        world_start(w, 0, "a", 0);
        world_start(w, 1, "b", 1u << 0);
        world_start(w, 2, "c", 1u << 0);
        world_start(w, 3, "d", 1u << 0);
        presence_owner o = world_owner(w, 2);
        world_track_some(w, 2, o, 0, 5);
        world_run(w, 15000);
        assert_int_equal(world_shown(w, 3, "t"), 5);
        world_kill(w, lost, true);
        world_track_some(w, 2, o, 5, 10);
        world_run(w, 20);
        assert_int_equal(world_shown(w, 3, "t"), 10);
        assert_int_equal(world_status(w, 3, "c", NULL), PRESENCE_MEMBER_UP);
        world_free(w);
    }
}

static void hidden_in_slices(void **state) {
    world *w = *state;
    w->nodes[0].options = pr_engine_options_default();
    w->nodes[0].options.sweep_slice = 7;
    world_pair(w);
    world_run(w, 3000);
    presence_owner o = world_owner(w, 1);
    world_track_some(w, 1, o, 0, 100);
    world_run(w, 5);
    w->nodes[0].diffs = 0;
    world_kill(w, 1, true);
    world_deliver(w);
    for (size_t left = 100; left > 7; left -= 7) { /* a slice per turn, whatever else goes on */
        for (int turn = 0; turn < 9 && world_shown(w, 0, "t") == left; turn++) {
            pr_engine_tick(w->nodes[0].engine, world_time(w));
            world_act(w, 0);
        }
        assert_int_equal(world_shown(w, 0, "t"), left - 7);
    }
    world_run(w, 5);
    assert_int_equal(world_shown(w, 0, "t"), 0);
    assert_int_equal(w->nodes[0].diffs, 15);
}

/* The other process stands still for 10 s: nobody is accused by the one that slept. */
static void a_stall_accuses_nobody(void **state) {
    world *w = *state;
    world_pair(w);
    world_run(w, 3000);
    pr_engine *asleep = w->nodes[0].engine;
    w->nodes[0].engine = NULL;
    world_run(w, 8000);
    w->nodes[0].engine = asleep;
    int downs = w->nodes[0].downs;
    world_run(w, 5000);
    assert_int_equal(w->nodes[0].downs, downs);
    assert_int_equal(world_status(w, 0, "b", NULL), PRESENCE_MEMBER_UP);
    assert_int_equal(world_status(w, 1, "a", NULL), PRESENCE_MEMBER_UP);
}

/* The loop of one stands still while other threads of its program go on tracking: still nobody is accused. */
static void local_calls_do_not_hide_a_stall(void **state) {
    world *w = *state;
    world_pair(w);
    world_run(w, 3000);
    presence_owner o = world_owner(w, 0);
    pr_engine *asleep = w->nodes[0].engine;
    for (int step = 0; step < 80; step++) {
        w->nodes[0].engine = NULL;
        world_run(w, 50);
        w->nodes[0].engine = asleep;
        world_track_some(w, 0, o, step, step + 1);
    }
    int downs = w->nodes[0].downs;
    pr_engine_tick(asleep, world_time(w)); /* the timers come before the bytes that wait */
    world_act(w, 0);
    world_run(w, 5000);
    assert_int_equal(w->nodes[0].downs, downs);
}

/* What an instance said before it vanished waits in the kernel while we sleep: read later, it proves no life. */
static void bytes_that_waited_prove_nothing(void **state) {
    world *w = *state;
    w->nodes[0].options = pr_engine_options_default();
    w->nodes[0].options.permdown_ms = 5000;
    world_pair(w);
    world_run(w, 3000);
    pr_engine *asleep = w->nodes[0].engine;
    w->nodes[0].engine = NULL;
    world_run(w, 2000); /* its heartbeats pile up */
    pr_engine_free(w->nodes[1].engine);
    w->nodes[1].engine = NULL;
    world_run(w, 6000);
    w->nodes[0].engine = asleep;
    int ups = w->nodes[0].ups;
    pr_engine_tick(asleep, world_time(w));
    world_run(w, 100);
    assert_int_equal(w->nodes[0].ups, ups);
    assert_int_equal(world_status(w, 0, "b", NULL), 0);
}

/* A frame that touches an entry of a hidden log takes it away, as it was last shown, before the sweep comes to it. */
static void a_touched_entry_of_a_hidden_log_leaves(void **state) {
    world *w = *state;
    world_pair(w);
    world_run(w, 3000);
    presence_owner o = world_owner(w, 1);
    world_track_some(w, 1, o, 0, 3);
    world_run(w, 5);
    pr_engine_hold_sweeps(w->nodes[0].engine, true);
    w->wires[0].cut = w->severed[0][1] = w->severed[1][0] = true;
    assert_int_equal(world_update(w, 1, o, "t", "k0", "{\"new\":1}"), 0); /* the first frame to come later */
    world_run(w, 2700);
    assert_int_equal(world_status(w, 0, "b", NULL), PRESENCE_MEMBER_DOWN);
    assert_int_equal(world_shown(w, 0, "t"), 3); /* the sweep is held */
    w->wires[0].cut = false;
    world_run(w, 1);
    assert_int_equal(w->nodes[0].leaves, 1);
    assert_int_equal(w->nodes[0].updates, 0);
    assert_int_equal(w->nodes[0].last_reason, PRESENCE_REASON_MEMBER_DOWN);
    pr_engine_hold_sweeps(w->nodes[0].engine, false);
    world_run(w, 5);
    assert_int_equal(world_shown(w, 0, "t"), 3);
    assert_int_equal(w->nodes[0].joins, 4);
}

static void a_held_sweep_waits(void **state) {
    world *w = *state;
    world_pair(w);
    world_run(w, 3000);
    presence_owner o = world_owner(w, 1);
    world_track_some(w, 1, o, 0, 10);
    world_run(w, 5);
    pr_engine_hold_sweeps(w->nodes[0].engine, true);
    world_kill(w, 1, true);
    world_run(w, 2000);
    assert_int_equal(world_shown(w, 0, "t"), 10);
    pr_engine_hold_sweeps(w->nodes[0].engine, false);
    world_run(w, 1);
    assert_int_equal(world_shown(w, 0, "t"), 0);
}

static void a_slow_reader_gets_one_difference(void **state) {
    world *w = *state;
    world_pair(w);
    presence_owner o = world_owner(w, 0);
    world_track_some(w, 0, o, 0, 1);
    world_run(w, 100);
    w->nodes[1].deaf = true;
    size_t before = w->nodes[0].heap.bytes;
    char meta[64];
    for (int i = 0; i < 20000; i++) {
        snprintf(meta, sizeof meta, "{\"i\":%d,\"pad\":\"%040d\"}", i, i);
        assert_int_equal(world_update(w, 0, o, "t", "k0", meta), 0);
        if (i % 4 == 0) w->now++;
    }
    world_act(w, 0);
    assert_true(w->nodes[0].heap.bytes < before + 100000);
    w->nodes[1].deaf = false;
    world_run(w, 100);
    pr_rows *rows;
    assert_int_equal(pr_store_list(pr_engine_store(w->nodes[1].engine), pr_cstr("t"), &rows), 0);
    assert_true(pr_str_equal(rows->rows[0].meta, pr_cstr(meta)));
    pr_rows_free(rows);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(two_members_see_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(a_quiet_cluster_only_beats, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_member_gets_all, setup, teardown),
        cmocka_unit_test_setup_teardown(a_killed_member_is_down_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_closed_link_is_suspicion_with_a_grace, setup, teardown),
        cmocka_unit_test_setup_teardown(silence_is_down_and_heals, setup, teardown),
        cmocka_unit_test_setup_teardown(leave_is_final, setup, teardown),
        cmocka_unit_test_setup_teardown(permdown_and_the_grave, setup, teardown),
        cmocka_unit_test_setup_teardown(the_older_twin_yields, setup, teardown),
        cmocka_unit_test_setup_teardown(a_restart_with_a_clock_gone_back_refutes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_relay_feeds_what_cannot_be_linked, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_relay_is_no_silence, setup, teardown),
        cmocka_unit_test(a_lost_relay_is_replaced_at_once),
        cmocka_unit_test_setup_teardown(hidden_in_slices, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stall_accuses_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(local_calls_do_not_hide_a_stall, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_that_waited_prove_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_touched_entry_of_a_hidden_log_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(a_held_sweep_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_reader_gets_one_difference, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

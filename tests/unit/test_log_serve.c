/* serve, one frame at a time: patches, hints, cuts, LIVE, stops and ring positions, and no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log_pair.h"

static pr_log_options options(uint32_t target) {
    pr_log_options o = pr_log_options_default(true);
    o.chunk_target = target;
    return o;
}

static pr_cursor cursor_at(uint64_t version) {
    pr_state s = {.have = version, .asof = version, .floor = version};
    return pr_cursor_from_state(&s);
}

static void test_a_current_receiver_gets_nothing(void **unused) {
    (void)unused;
    pr_log_options o = options(65536);
    log_side origin;
    side_open(&origin, true, &o, 0);
    pr_served_frame f;
    pr_cursor c = cursor_at(0);
    assert_int_equal(pr_log_serve(origin.log, &c, true, &f), PR_SERVED_NONE);
    side_track(&origin, "t", "a");
    assert_int_equal(pr_log_serve(origin.log, &c, true, &f), PR_SERVED_SEGMENT);
    assert_int_equal(c.base, 1);
    assert_int_equal(pr_log_serve(origin.log, &c, true, &f), PR_SERVED_NONE);
    assert_true(pr_log_can_serve(origin.log, &c.state) && !pr_log_has_more(origin.log, &c.state));
    side_close(&origin);
}

static void test_whom_a_log_refuses(void **unused) {
    (void)unused;
    pr_log_options o = options(65536);
    log_side origin, behind;
    side_open(&origin, true, &o, 0);
    side_open(&behind, false, &o, 9);
    side_write(&origin, 10);
    const pr_state refused[] = {
        {.have = 11, .asof = 11, .floor = 11},                                /* ahead */
        {.have = 5, .asof = 5, .floor = 11},                                  /* knows more */
        {.have = 5, .asof = 4, .floor = 5},                                   /* have <= asof */
        {.have = 1, .asof = 6, .floor = 5},                                   /* asof <= floor */
        {.have = 6, .floor = 5, .live = true, .live_from = 6},                /* have <= floor */
        {.have = 5, .floor = 8, .live = true, .live_from = 9},                /* live_from <= floor */
        {.have = 5, .floor = 8, .live = true, .live_from = 4},                /* have <= live_from */
        {.have = 5, .floor = 8, .live = true, .live_from = 8, .live_pos = 6}, /* live_pos <= have */
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        pr_cursor c = pr_cursor_from_state(&refused[i]);
        pr_served_frame f;
        assert_false(pr_log_can_serve(origin.log, &refused[i]));
        assert_false(pr_log_has_more(origin.log, &refused[i]));
        assert_int_equal(pr_log_serve(origin.log, &c, true, &f), PR_SERVED_NONE);
    }
    pr_state zero = {0};
    assert_true(pr_log_can_serve(origin.log, &zero));
    assert_false(pr_log_can_serve(behind.log, &zero)); /* its floor is remembered: not complete */
    side_close(&origin);
    side_close(&behind);
}

static void test_patches_up_to_base(void **unused) {
    (void)unused;
    pr_log_options o = options(65536);
    log_side origin;
    side_open(&origin, true, &o, 0);
    pr_served_frame f;
    pr_cursor c = cursor_at(0);
    side_track(&origin, "t", "a");
    assert_int_equal(pr_log_serve(origin.log, &c, true, &f), PR_SERVED_SEGMENT);
    side_track(&origin, "t", "b");
    side_update(&origin, 1, "{\"n\":1}");
    side_update(&origin, 2, "{\"n\":2}");
    pr_cursor full = c, bare = c;
    bare.base = 0;
    assert_int_equal(pr_log_serve(origin.log, &c, true, &f), PR_SERVED_SEGMENT);
    assert_int_equal(f.segment.ups_size, 2);
    assert_true(f.segment.ups[0].patch && f.segment.ups[0].key.size == 0 && !f.segment.ups[1].patch);
    assert_int_equal(pr_log_serve(origin.log, &full, false, &f), PR_SERVED_SEGMENT);
    assert_false(f.segment.ups[0].patch);
    assert_int_equal(full.base, 4);
    assert_int_equal(pr_log_serve(origin.log, &bare, true, &f), PR_SERVED_SEGMENT);
    assert_false(f.segment.ups[0].patch);
    side_close(&origin);
}

static void test_chunks_of_one(void **unused) {
    (void)unused;
    pr_log_options o = options(1);
    log_side origin, replica;
    side_open(&origin, true, &o, 0);
    side_open(&replica, false, &o, 0);
    for (int i = 0; i < 5; i++) side_track(&origin, "t", "k");
    side_update(&origin, 1, "{\"n\":1}");
    pr_served_frame f;
    pr_cursor c = cursor_at(0);
    for (uint32_t left = 5; left-- > 0;) {
        bool first = c.state.have == 0;
        assert_int_equal(pr_log_serve(origin.log, &c, true, &f), PR_SERVED_SEGMENT);
        assert_int_equal(f.segment.ups_size, 1);
        assert_int_equal(f.segment.count_hint, first ? left : 0);
        assert_int_equal(side_segment(&replica, &f.segment), PR_APPLIED);
    }
    side_untrack(&origin, 2);
    side_untrack(&origin, 4);
    assert_int_equal(pr_log_serve(origin.log, &c, true, &f), PR_SERVED_SEGMENT);
    assert_true(f.segment.removed_size == 1 && f.segment.removed[0].eid == 2 && f.segment.T2 == 7);
    assert_int_equal(side_segment(&replica, &f.segment), PR_APPLIED);
    assert_int_equal(pr_log_serve(origin.log, &c, true, &f), PR_SERVED_SEGMENT);
    assert_true(f.segment.removed_size == 1 && f.segment.removed[0].eid == 4 && f.segment.T2 == 8);
    assert_int_equal(side_segment(&replica, &f.segment), PR_APPLIED);
    assert_same_logs(&origin, &replica);
    side_close(&origin);
    side_close(&replica);
}

/* A full frame of removals is about as long as the target, and the next begins where it ended. */
static void test_removals_are_cut_in_version_order(void **unused) {
    (void)unused;
    pr_log_options o = options(64);
    log_side origin, replica;
    side_open(&origin, true, &o, 0);
    side_open(&replica, false, &o, 0);
    for (int i = 0; i < 200; i++) side_track(&origin, "t", "k");
    side_catch_up(&origin, &replica);
    for (uint64_t eid = 200; eid > 50; eid--) side_untrack(&origin, eid);
    pr_state s = pr_log_state(replica.log);
    pr_cursor c = pr_cursor_from_state(&s);
    pr_served_frame f;
    size_t removed = 0, frames = 0;
    for (; pr_log_serve(origin.log, &c, true, &f) > 0; frames++) {
        removed += f.segment.removed_size;
        assert_int_equal(f.segment.T2, 200 + removed);
        assert_int_equal(f.segment.removed[0].eid, 201 - removed);
        assert_int_equal(side_segment(&replica, &f.segment), PR_APPLIED);
    }
    assert_true(removed == 150 && frames >= 4 && frames <= 6);
    assert_same_logs(&origin, &replica);
    side_close(&origin);
    side_close(&replica);
}

static void test_live_in_parts(void **unused) {
    (void)unused;
    pr_log_options o = options(65536);
    o.ring_min = o.ring_share = 0;
    o.live_eids_max = 3;
    log_side origin, replica;
    side_open(&origin, true, &o, 0);
    side_open(&replica, false, &o, 0);
    for (int i = 0; i < 10; i++) side_track(&origin, "t", "k");
    side_catch_up(&origin, &replica);
    side_untrack(&origin, 2);
    side_untrack(&origin, 9);
    pr_cursor c = cursor_at(10);
    pr_served_frame f;
    const uint64_t his[] = {4, 7, 10};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pr_log_serve(origin.log, &c, true, &f), PR_SERVED_LIVE);
        assert_true(f.live.w == 12 && f.live.lo == (i ? his[i - 1] : 0) && f.live.hi == his[i]);
        assert_int_equal(f.live.eids_size, i < 2 ? 3 : 2);
        assert_int_equal(side_live(&replica, &f.live), PR_APPLIED);
    }
    assert_true(!c.state.live && c.state.asof == 12 && c.state.have == 10);
    assert_int_equal(pr_log_serve(origin.log, &c, true, &f), PR_SERVED_SEGMENT);
    assert_int_equal(side_segment(&replica, &f.segment), PR_APPLIED);
    assert_same_logs(&origin, &replica);
    side_close(&origin);
    side_close(&replica);
}

static void test_live_is_bounded_by_the_target(void **unused) {
    (void)unused;
    pr_log_options o = options(10);
    o.ring_min = o.ring_share = 0;
    log_side origin;
    side_open(&origin, true, &o, 0);
    for (int i = 0; i < 100; i++) side_track(&origin, "t", "k");
    side_untrack(&origin, 1);
    pr_cursor c = cursor_at(100);
    pr_served_frame f;
    assert_int_equal(pr_log_serve(origin.log, &c, true, &f), PR_SERVED_LIVE);
    assert_int_equal(f.live.eids_size, 10);
    side_close(&origin);
}

static void test_the_ring_grows_with_the_log(void **unused) {
    (void)unused;
    pr_log_options o = options(65536);
    o.ring_min = 2;
    o.ring_share = 4;
    log_side origin;
    side_open(&origin, true, &o, 0);
    for (int i = 0; i < 48; i++) side_track(&origin, "t", "k");
    for (uint64_t eid = 1; eid <= 8; eid++) side_untrack(&origin, eid); /* 40 live: 10 removals are held */
    pr_served_frame f;
    pr_cursor c = cursor_at(48);
    assert_int_equal(pr_log_serve(origin.log, &c, true, &f), PR_SERVED_SEGMENT);
    for (uint64_t eid = 9; eid <= 44; eid++) side_untrack(&origin, eid); /* 4 live: 2 */
    pr_cursor late = cursor_at(89), two = cursor_at(90);
    assert_int_equal(pr_log_serve(origin.log, &late, true, &f), PR_SERVED_LIVE);
    assert_int_equal(pr_log_serve(origin.log, &two, true, &f), PR_SERVED_SEGMENT);
    side_close(&origin);
}

/* ---- relays ---- */

typedef struct chain {
    log_side origin, relay, replica;
} chain;

static void open_chain(chain *t, const pr_log_options *at_relay) {
    pr_log_options o = options(65536);
    side_open(&t->origin, true, &o, 0);
    side_open(&t->relay, false, at_relay, 0);
    side_open(&t->replica, false, &o, 0);
    for (int i = 0; i < 10; i++) side_track(&t->origin, "t", "k");
    side_catch_up(&t->origin, &t->relay);
    pr_log_keep_removals(t->relay.log);
    side_catch_up(&t->relay, &t->replica);
}

static void close_chain(chain *t) {
    side_close(&t->origin);
    side_close(&t->relay);
    side_close(&t->replica);
}

static void remove_and_relay(chain *t, uint64_t eid) {
    side_untrack(&t->origin, eid);
    side_catch_up(&t->origin, &t->relay);
}

static void test_a_bare_state_needs_a_stop(void **unused) {
    (void)unused;
    pr_log_options o = options(65536);
    chain t;
    open_chain(&t, &o);
    side_untrack(&t.origin, 1); /* version 11: the relay sees only 12 */
    remove_and_relay(&t, 2);
    pr_served_frame f;
    pr_cursor stop = cursor_at(10), between = cursor_at(11);
    assert_int_equal(pr_log_serve(t.relay.log, &stop, true, &f), PR_SERVED_SEGMENT);
    assert_int_equal(f.segment.removed_size, 2);
    assert_int_equal(pr_log_serve(t.relay.log, &between, true, &f), PR_SERVED_LIVE);
    close_chain(&t);
}

static void test_a_cursor_knows_its_position(void **unused) {
    (void)unused;
    pr_log_options o = options(65536);
    o.stops_max = 1;
    chain t;
    open_chain(&t, &o);
    pr_cursor c = cursor_at(10), bare = cursor_at(10);
    remove_and_relay(&t, 1);
    pr_served_frame f;
    assert_int_equal(pr_log_serve(t.relay.log, &bare, true, &f), PR_SERVED_LIVE); /* the stop at 10 is gone */
    c.ring_pos_known = true;
    c.ring_pos = 0;
    remove_and_relay(&t, 2);
    remove_and_relay(&t, 3);
    assert_int_equal(pr_log_serve(t.relay.log, &c, true, &f), PR_SERVED_SEGMENT);
    assert_true(f.segment.removed_size == 3 && c.ring_pos_known && c.ring_pos == 3);
    c.ring_pos = 99; /* of another copy: cannot be */
    remove_and_relay(&t, 4);
    assert_int_equal(pr_log_serve(t.relay.log, &c, true, &f), PR_SERVED_LIVE);
    close_chain(&t);
}

static void test_a_relay_cuts_at_stops(void **unused) {
    (void)unused;
    pr_log_options o = options(5);
    chain t;
    open_chain(&t, &o);
    for (uint64_t eid = 1; eid <= 3; eid++) remove_and_relay(&t, eid); /* stops 11, 12, 13 */
    pr_cursor c = cursor_at(10);
    pr_served_frame f;
    assert_int_equal(pr_log_serve(t.relay.log, &c, true, &f), PR_SERVED_SEGMENT);
    assert_true(f.segment.removed_size == 5 / 2 + 1 || f.segment.T2 < 13);
    assert_int_equal(f.segment.T2, 10 + f.segment.removed_size);
    for (uint64_t eid = 4; eid < 10; eid++) side_untrack(&t.origin, eid);
    side_catch_up(&t.origin, &t.relay); /* one step of six: does not fit */
    pr_cursor at = cursor_at(13);
    assert_int_equal(pr_log_serve(t.relay.log, &at, true, &f), PR_SERVED_LIVE);
    close_chain(&t);
}

static void test_without_a_ring_a_relay_says_live(void **unused) {
    (void)unused;
    pr_log_options o = options(65536);
    log_side origin, relay;
    side_open(&origin, true, &o, 0);
    side_open(&relay, false, &o, 0);
    for (int i = 0; i < 10; i++) side_track(&origin, "t", "k");
    side_catch_up(&origin, &relay);
    side_untrack(&origin, 1);
    side_catch_up(&origin, &relay);
    pr_cursor c = cursor_at(10);
    pr_served_frame f;
    assert_int_equal(pr_log_serve(relay.log, &c, true, &f), PR_SERVED_LIVE);
    assert_false(c.ring_pos_known);
    side_close(&origin);
    side_close(&relay);
}

/* An origin that lies may have an eid die twice; the relay's frames stay valid. */
static void test_a_removal_is_named_once(void **unused) {
    (void)unused;
    pr_log_options o = options(65536);
    chain t;
    open_chain(&t, &o);
    pr_removed one = {1, PR_REMOVED_LEASE};
    pr_up back = {.eid = 1, .dot = 12, .topic = pr_cstr("t"), .key = pr_cstr("k"), .meta = pr_cstr("{}")};
    pr_segment frames[] = {
        {.x = 10, .T = 10, .x2 = 11, .T2 = 11, .removed = &one, .removed_size = 1},
        {.x = 11, .T = 11, .x2 = 12, .T2 = 12, .ups = &back, .ups_size = 1},
        {.x = 12, .T = 12, .x2 = 13, .T2 = 13, .removed = &one, .removed_size = 1},
    };
    for (int i = 0; i < 3; i++) assert_int_equal(side_segment(&t.relay, &frames[i]), PR_APPLIED);
    pr_cursor c = cursor_at(10);
    assert_int_equal(side_feed(&t.relay, &c, &t.replica, true), PR_SERVED_SEGMENT);
    assert_same_logs(&t.relay, &t.replica);
    close_chain(&t);
}

/* ---- no memory ---- */

static void test_no_memory_leaves_the_cursor(void **unused) {
    (void)unused;
    pr_log_options o = options(65536);
    log_side origin;
    side_open(&origin, true, &o, 0);
    side_write(&origin, 400);
    for (uint64_t eid = 100; eid < 300; eid++)
        if (pr_log_find(origin.log, eid)) side_untrack(&origin, eid);
    size_t failures = 0;
    for (int step = 0; step < 2; step++) {
        uint64_t from = step ? 300 : 0;
        for (size_t n = 1;; n++) {
            pr_served_frame f;
            pr_cursor c = cursor_at(from);
            heap_fail(&origin.heap, n);
            int served = pr_log_serve(origin.log, &c, true, &f);
            heap_fail(&origin.heap, 0);
            if (served == PR_SERVED_SEGMENT) break;
            failures++;
            assert_int_equal(served, PRESENCE_ENOMEM);
            assert_true(c.state.have == from && c.state.asof == from && c.base == from);
        }
    }
    assert_true(failures > 3);
    side_close(&origin);
}

static void test_no_memory_for_the_writer(void **unused) {
    (void)unused;
    pr_log_options o = options(65536);
    log_side s;
    side_open(&s, true, &o, 0);
    size_t failures = 0;
    for (size_t i = 0; i < 3000; i++) {
        uint64_t version = pr_log_version(s.log), sum = pr_log_sum(s.log);
        size_t size = pr_log_size(s.log);
        pr_meta_hold old;
        pr_id id;
        bool update = size > 0 && i % 3 == 1;
        heap_fail(&s.heap, 1 + i % 2);
        int error = update ? pr_log_update(s.log, pr_log_find(s.log, version), pr_cstr("{\"n\":1}"), &old)
                           : pr_log_track(s.log, 0, pr_cstr("t"), pr_cstr("k"), pr_cstr("{}"), &id);
        heap_fail(&s.heap, 0);
        if (error) {
            failures++;
            assert_int_equal(error, PRESENCE_ENOMEM);
            assert_true(pr_log_version(s.log) == version && pr_log_sum(s.log) == sum && pr_log_size(s.log) == size);
            assert_int_equal(pr_store_size(s.store), size);
        } else if (update) {
            pr_store_meta_release(s.store, &old);
            side_track(&s, "t", "k2");
        }
    }
    assert_true(failures > 3);
    side_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_current_receiver_gets_nothing),
        cmocka_unit_test(test_whom_a_log_refuses),
        cmocka_unit_test(test_patches_up_to_base),
        cmocka_unit_test(test_chunks_of_one),
        cmocka_unit_test(test_removals_are_cut_in_version_order),
        cmocka_unit_test(test_live_in_parts),
        cmocka_unit_test(test_live_is_bounded_by_the_target),
        cmocka_unit_test(test_the_ring_grows_with_the_log),
        cmocka_unit_test(test_a_bare_state_needs_a_stop),
        cmocka_unit_test(test_a_cursor_knows_its_position),
        cmocka_unit_test(test_a_relay_cuts_at_stops),
        cmocka_unit_test(test_without_a_ring_a_relay_says_live),
        cmocka_unit_test(test_a_removal_is_named_once),
        cmocka_unit_test(test_no_memory_leaves_the_cursor),
        cmocka_unit_test(test_no_memory_for_the_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Applying single frames: all or nothing when memory ends or the frame lies, order and bytes of the changes, far
 * versions. What is true of true frames is in the log law test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "diff.h"
#include "log_pair.h"

#define FAR ((uint64_t)1 << 40)

static pr_log_options options(void) {
    pr_log_options o = pr_log_options_default(false);
    o.chunk_target = 100000;
    return o;
}

static pr_up up(uint64_t eid, uint64_t dot, const char *key, const char *meta) {
    return (pr_up){.eid = eid, .dot = dot, .topic = pr_cstr("t"), .key = pr_cstr(key), .meta = pr_cstr(meta)};
}

static pr_up patch(uint64_t eid, uint64_t dot, const char *meta) {
    return (pr_up){.eid = eid, .dot = dot, .meta = pr_cstr(meta), .patch = true};
}

/* Everything that can be seen of a log, as one number. */
static uint64_t picture(const log_side *s) {
    static pr_id ids[4096];
    pr_state state = pr_log_state(s->log);
    uint64_t h = pr_log_sum(s->log) * 31 + state.have * 3 + state.asof * 5 + state.floor * 7 + state.live_pos;
    size_t n = pr_log_walk(s->log, 0, ids, 4096);
    assert_int_equal(n, pr_log_size(s->log));
    assert_int_equal(n, pr_store_size(s->store));
    for (size_t i = 0; i < n; i++) {
        pr_view v;
        pr_store_view(s->store, ids[i], &v);
        assert_int_equal(pr_log_find(s->log, v.eid), ids[i]);
        h = (h ^ v.eid) * 1099511628211u + v.dot + v.meta.size;
        for (size_t k = 0; k < v.meta.size; k++) h = (h ^ (uint8_t)v.meta.data[k]) * 1099511628211u;
    }
    return h;
}

/* ---- memory ends at every request in turn ---- */

/* What was applied is told at once: there is memory for its diff, even if there is none else. */
static void assert_can_be_told(log_side *s) {
    heap_fail(&s->heap, 1);
    s->heap.fail_on = true;
    assert_int_equal(pr_diff_begin(s->store, s->changes.size, s->changes.bytes), 0);
    assert_null(pr_diff_finish(s->store));
    heap_fail(&s->heap, 0);
    s->heap.fail_on = false;
}

static size_t apply_with_failures(log_side *s, const pr_served_frame *f, bool live) {
    uint64_t before = picture(s);
    pr_changes_free(&s->changes); /* so that the list has to grow anew */
    pr_store_watch_all(s->store, true);
    for (size_t n = 1;; n++) {
        heap_fail(&s->heap, n);
        s->heap.fail_on = n % 2; /* once, or from then on */
        int result = live ? pr_log_apply_live(s->log, &f->live, &s->changes)
                          : pr_log_apply_segment(s->log, &f->segment, &s->changes);
        heap_fail(&s->heap, 0);
        s->heap.fail_on = false;
        if (result == PR_APPLIED) {
            assert_can_be_told(s);
            side_settle(s);
            return n - 1;
        }
        assert_int_equal(result, PRESENCE_ENOMEM);
        assert_int_equal(s->changes.size, 0);
        assert_int_equal(s->changes.bytes, 0);
        assert_true(picture(s) == before);
    }
}

static void test_no_memory_changes_nothing(void **unused) {
    (void)unused;
    pr_log_options o = options();
    log_side origin, replica;
    side_open(&origin, true, &o, 0);
    side_open(&replica, false, &o, 0);
    pr_cursor c = {.base = 0};
    size_t failures = 0;
    for (uint64_t round = 0; round < 8; round++) {
        pr_served_frame f;
        side_write(&origin, 30 + 150 * (round % 3));
        if (round == 4) assert_int_equal(pr_log_keep_removals(replica.log), 0);
        int served;
        while ((served = pr_log_serve(origin.log, &c, true, &f)) > 0)
            failures += apply_with_failures(&replica, &f, served == PR_SERVED_LIVE);
        assert_same_logs(&origin, &replica);
    }
    assert_true(failures > 20);
    side_close(&origin);
    side_close(&replica);
}

static void test_no_memory_for_live(void **unused) {
    (void)unused;
    pr_log_options o = options();
    o.ring_min = o.ring_share = 0;
    log_side origin, replica;
    side_open(&origin, true, &o, 0);
    side_open(&replica, false, &o, 0);
    pr_cursor c = {.base = 0};
    pr_served_frame f;
    side_write(&origin, 300);
    while (side_feed(&origin, &c, &replica, true) > 0) continue;
    for (uint64_t eid = 30; eid < 400; eid++)
        if (pr_log_find(origin.log, eid)) side_untrack(&origin, eid);
    assert_int_equal(pr_log_serve(origin.log, &c, true, &f), PR_SERVED_LIVE);
    assert_true(apply_with_failures(&replica, &f, true) > 0);
    while (side_feed(&origin, &c, &replica, true) > 0) continue;
    assert_same_logs(&origin, &replica);
    side_close(&origin);
    side_close(&replica);
}

/* Patches with dots so far from their eid that the store needs its side table; taken back again and again. */
static void test_no_memory_with_far_dots(void **unused) {
    (void)unused;
    pr_log_options o = options();
    log_side s;
    side_open(&s, false, &o, 0);
    pr_up first[40], second[40];
    char keys[40][8];
    for (uint64_t i = 0; i < 40; i++) {
        snprintf(keys[i], sizeof keys[i], "k%u", (unsigned)i);
        first[i] = up(i + 1, i + 1, keys[i], "{}");
        second[i] = patch(i + 1, FAR * (i + 1), "{\"far\":true}");
    }
    pr_segment one = {.x2 = 40, .T2 = 40, .ups = first, .ups_size = 40};
    assert_int_equal(side_segment(&s, &one), PR_APPLIED);
    pr_served_frame f = {.segment = {.x = 40, .T = 40, .x2 = 50 * FAR, .T2 = 50 * FAR, .ups = second, .ups_size = 40}};
    assert_true(apply_with_failures(&s, &f, false) > 5);
    for (uint64_t i = 0; i < 40; i++) assert_int_equal(pr_store_dot(s.store, pr_log_find(s.log, i + 1)), FAR * (i + 1));
    side_close(&s);
}

/* ---- frames that lie ---- */

static void start(log_side *s) {
    pr_log_options o = options();
    side_open(s, false, &o, 0);
    pr_up ups[] = {up(3, 3, "c", "{}"), up(1, 4, "a", "{}"), up(6, 6, "f", "{}")};
    pr_segment f = {.x2 = 10, .T2 = 10, .ups = ups, .ups_size = 3};
    assert_int_equal(side_segment(s, &f), PR_APPLIED);
}

static void expect(log_side *s, const pr_segment *f, int result) {
    uint64_t before = picture(s);
    assert_int_equal(pr_log_apply_segment(s->log, f, &s->changes), result);
    assert_int_equal(s->changes.size, 0);
    assert_true(picture(s) == before);
}

static void test_broken_order_and_ranges(void **unused) {
    (void)unused;
    log_side s;
    start(&s);
    const uint64_t bad[][4] = {{11, 10, 12, 12}, {10, 10, 13, 12}, {10, 10, 9, 12}, {10, 12, 11, 11}};
    for (size_t i = 0; i < 4; i++) {
        pr_segment f = {.x = bad[i][0], .T = bad[i][1], .x2 = bad[i][2], .T2 = bad[i][3]};
        expect(&s, &f, PRESENCE_EPROTOCOL);
    }
    pr_removed lists[][2] = {{{3, 0}, {1, 0}}, {{3, 0}, {3, 0}}, {{3, 0}, {11, 0}}, {{3, 4}, {6, 0}}, {{0, 0}, {1, 0}}};
    for (size_t i = 0; i < 5; i++) {
        pr_segment f = {.x = 10, .T = 10, .x2 = 12, .T2 = 12, .removed = lists[i], .removed_size = 2};
        expect(&s, &f, PRESENCE_EPROTOCOL);
    }
    const pr_up pairs[][2] = {
        {up(12, 12, "x", "{}"), up(11, 11, "y", "{}")}, /* not ascending */
        {up(11, 11, "x", "{}"), up(12, 11, "y", "{}")}, /* one dot twice, eid above dot */
        {up(10, 10, "x", "{}"), up(11, 11, "y", "{}")}, /* dot not above x */
        {up(11, 11, "x", "{}"), up(13, 13, "y", "{}")}, /* dot above x' */
        {up(0, 11, "x", "{}"), up(12, 12, "y", "{}")},  {patch(11, 11, "{}"), up(12, 12, "y", "{}")},
    };
    for (size_t i = 0; i < 6; i++) {
        pr_segment f = {.x = 10, .T = 10, .x2 = 12, .T2 = 12, .ups = (pr_up *)pairs[i], .ups_size = 2};
        expect(&s, &f, PRESENCE_EPROTOCOL);
    }
    side_close(&s);
}

static void test_contradictions(void **unused) {
    (void)unused;
    log_side s;
    start(&s);
    pr_removed three = {3, 0};
    const pr_up cases[][2] = {
        {up(3, 11, "c", "{}"), up(3, 12, "c", "{}")},   /* one entity twice */
        {up(20, 21, "n", "{}"), up(20, 22, "n", "{}")}, /* also a new one */
        {up(6, 11, "g", "{}"), up(12, 12, "y", "{}")},  /* another key than held */
    };
    for (size_t i = 0; i < 3; i++) {
        pr_segment f = {.x = 10, .T = 10, .x2 = 30, .T2 = 30, .ups = (pr_up *)cases[i], .ups_size = 2};
        expect(&s, &f, PRESENCE_EPROTOCOL);
    }
    pr_up again = up(3, 11, "c", "{}"); /* removed and alive */
    pr_segment both = {.x = 10, .T = 10, .x2 = 30, .T2 = 30, .ups = &again, .ups_size = 1};
    both.removed = &three;
    both.removed_size = 1;
    expect(&s, &both, PRESENCE_EPROTOCOL);
    const pr_up over[] = {up(1, 3, "a", "{}"), up(2, 4, "b", "{}")}; /* older than held; the dot of another */
    for (size_t i = 0; i < 2; i++) {
        pr_segment f = {.x = 2, .T = 10, .x2 = 30, .T2 = 30, .ups = (pr_up *)&over[i], .ups_size = 1};
        expect(&s, &f, PRESENCE_EPROTOCOL);
    }
    pr_up unknown = patch(5, 11, "{}");
    pr_segment gap = {.x = 10, .T = 10, .x2 = 30, .T2 = 30, .ups = &unknown, .ups_size = 1};
    expect(&s, &gap, PR_GAP);
    side_close(&s);
}

static void test_live_that_lies(void **unused) {
    (void)unused;
    log_side s;
    start(&s);
    uint64_t lists[][2] = {{3, 1}, {3, 3}, {3, 11}};
    uint64_t before = picture(&s);
    for (size_t i = 0; i < 3; i++) {
        pr_live f = {.w = 20, .hi = 10, .eids = lists[i], .eids_size = 2};
        assert_int_equal(pr_log_apply_live(s.log, &f, &s.changes), PRESENCE_EPROTOCOL);
    }
    pr_live ranges[] = {{.w = 20, .lo = 5, .hi = 4}, {.w = 20, .hi = 21}};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pr_log_apply_live(s.log, &ranges[i], &s.changes), PRESENCE_EPROTOCOL);
    pr_live gap = {.w = 20, .lo = 5, .hi = 10}, old = {.w = 10, .hi = 10};
    assert_int_equal(pr_log_apply_live(s.log, &gap, &s.changes), PR_GAP);
    assert_int_equal(pr_log_apply_live(s.log, &old, &s.changes), PR_STALE);
    assert_true(picture(&s) == before);
    /* an older LIVE in the middle of a pass would leave have above asof */
    uint64_t alive[] = {1, 3};
    pr_live part = {.w = 20, .hi = 5, .eids = alive, .eids_size = 2}, older = {.w = 15, .hi = 10};
    assert_int_equal(side_live(&s, &part), PR_APPLIED);
    before = picture(&s);
    assert_int_equal(pr_log_apply_live(s.log, &older, &s.changes), PR_STALE);
    assert_true(picture(&s) == before);
    side_close(&s);
}

/* Who holds nothing learns nothing of who is alive: its state stays what it asked with. */
static void test_live_of_nothing(void **unused) {
    (void)unused;
    pr_log_options o = options();
    log_side s;
    side_open(&s, false, &o, 0);
    uint64_t alive[] = {1, 3}, before = picture(&s);
    pr_live f = {.w = 20, .hi = 20, .eids = alive, .eids_size = 2};
    assert_int_equal(pr_log_apply_live(s.log, &f, &s.changes), PR_STALE);
    assert_true(picture(&s) == before);
    assert_int_equal(pr_log_state(s.log).asof, 0);
    side_close(&s);
}

static void test_the_own_log_takes_nothing(void **unused) {
    (void)unused;
    pr_log_options o = options();
    log_side s;
    side_open(&s, true, &o, 0);
    pr_segment f = {.x2 = 1, .T2 = 1};
    pr_live l = {.w = 1, .hi = 1};
    assert_int_equal(pr_log_apply_segment(s.log, &f, &s.changes), PRESENCE_EPROTOCOL);
    assert_int_equal(pr_log_apply_live(s.log, &l, &s.changes), PRESENCE_EPROTOCOL);
    side_close(&s);
}

/* ---- what a frame did ---- */

static void expect_change(log_side *s, size_t i, uint8_t kind, uint64_t eid, uint64_t dot, uint64_t old,
                          uint8_t reason) {
    const pr_change *c = &s->changes.items[i];
    assert_int_equal(c->kind, kind);
    assert_int_equal(pr_store_eid(s->store, c->entry), eid);
    assert_int_equal(pr_store_dot(s->store, c->entry), dot);
    assert_int_equal(c->old_dot, old);
    if (kind == PR_CHANGE_LEAVE) assert_int_equal(c->reason, reason);
}

static void test_changes_in_order(void **unused) {
    (void)unused;
    log_side s;
    start(&s);
    pr_removed removed = {1, PR_REMOVED_LEASE};
    pr_up ups[] = {up(9, 12, "late", "{}"), up(6, 13, "f", "{\"n\":1}"), up(14, 14, "new", "{}")};
    /* from 2: entity 3 is in no list, so it is dead; 6 was updated */
    pr_segment f = {.x = 2, .T = 10, .x2 = 14, .T2 = 14, .removed = &removed, .removed_size = 1};
    f.ups = ups;
    f.ups_size = 3;
    assert_int_equal(pr_log_apply_segment(s.log, &f, &s.changes), PR_APPLIED);
    assert_int_equal(s.changes.size, 5);
    expect_change(&s, 0, PR_CHANGE_JOIN, 9, 12, 0, 0);
    expect_change(&s, 1, PR_CHANGE_JOIN, 14, 14, 0, 0);
    expect_change(&s, 2, PR_CHANGE_UPDATE, 6, 13, 6, 0);
    expect_change(&s, 3, PR_CHANGE_LEAVE, 3, 3, 3, PR_REMOVED_UNKNOWN);
    expect_change(&s, 4, PR_CHANGE_LEAVE, 1, 4, 4, PR_REMOVED_LEASE);
    assert_true(pr_str_equal(s.changes.items[2].old.meta, pr_cstr("{}")));
    /* topic + key + meta of each, and the old meta */
    assert_int_equal(s.changes.bytes, (1 + 4 + 2) + (1 + 3 + 2) + (1 + 1 + 7 + 2) + 2 * (1 + 1 + 2));
    assert_int_equal(pr_log_size(s.log), 3);
    side_settle(&s);
    side_close(&s);
}

static void test_walk_in_slices(void **unused) {
    (void)unused;
    pr_log_options o = options();
    log_side s;
    side_open(&s, true, &o, 0);
    side_write(&s, 700);
    pr_id ids[64];
    uint64_t after = 0;
    size_t seen = 0, n;
    while ((n = pr_log_walk(s.log, after, ids, 64)) > 0) {
        for (size_t i = 0; i < n; i++) {
            uint64_t dot = pr_store_dot(s.store, ids[i]);
            assert_true(dot > after);
            after = dot;
        }
        seen += n;
    }
    assert_int_equal(seen, pr_log_size(s.log));
    /* a sweep of a detached log drops what it walks over */
    after = 0;
    while ((n = pr_log_walk(s.log, after, ids, 64)) > 0)
        for (size_t i = 0; i < n; i++) {
            after = pr_store_dot(s.store, ids[i]);
            pr_log_drop(s.log, ids[i]);
            pr_store_remove(s.store, ids[i]);
        }
    assert_true(pr_log_size(s.log) == 0 && pr_log_sum(s.log) == 0);
    side_close(&s);
}

/* ---- versions further apart than u32 ---- */

static void test_far_versions_through_a_relay(void **unused) {
    (void)unused;
    pr_log_options o = options();
    log_side relay, replica;
    side_open(&relay, false, &o, 0);
    side_open(&replica, false, &o, 0);
    pr_up ups[] = {up(2, 2, "a", "{}"), up(1, FAR, "b", "{}"), up(FAR + 5, FAR + 5, "c", "{}"),
                   up(7, 3 * FAR, "d", "{}")};
    pr_segment f = {.x2 = 4 * FAR, .T2 = 4 * FAR, .ups = ups, .ups_size = 4};
    assert_int_equal(side_segment(&relay, &f), PR_APPLIED);
    pr_log_keep_removals(relay.log);
    assert_int_equal(side_catch_up(&relay, &replica), 1);
    assert_same_logs(&relay, &replica);

    /* its delta does not fit: the ring forgets, the stop goes, LIVE says it */
    pr_removed far = {2, 0}, near = {FAR + 5, 0};
    pr_segment g = {.x = 4 * FAR, .T = 4 * FAR, .x2 = 5 * FAR, .T2 = 5 * FAR, .removed = &far, .removed_size = 1};
    assert_int_equal(side_segment(&relay, &g), PR_APPLIED);
    pr_state s = pr_log_state(replica.log);
    pr_cursor c = pr_cursor_from_state(&s);
    assert_int_equal(side_feed(&relay, &c, &replica, true), PR_SERVED_LIVE);
    assert_int_equal(side_feed(&relay, &c, &replica, true), PR_SERVED_SEGMENT);
    assert_same_logs(&relay, &replica);

    pr_segment h = {.x = 5 * FAR, .T = 5 * FAR, .x2 = 5 * FAR, .T2 = 5 * FAR, .removed = &near, .removed_size = 1};
    expect(&relay, &h, PR_STALE);
    side_close(&relay);
    side_close(&replica);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_memory_changes_nothing),
        cmocka_unit_test(test_no_memory_for_live),
        cmocka_unit_test(test_no_memory_with_far_dots),
        cmocka_unit_test(test_broken_order_and_ranges),
        cmocka_unit_test(test_contradictions),
        cmocka_unit_test(test_live_that_lies),
        cmocka_unit_test(test_live_of_nothing),
        cmocka_unit_test(test_the_own_log_takes_nothing),
        cmocka_unit_test(test_changes_in_order),
        cmocka_unit_test(test_walk_in_slices),
        cmocka_unit_test(test_far_versions_through_a_relay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

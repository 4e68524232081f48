/* PROBE: the way to a peer, and what waits for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine_peer.h"

static pr_member_info evil_of(fixture *f) {
    pr_member_info info;
    world_status(f->w, 0, "evil", &info);
    return info;
}

static void answer(fixture *f, uint32_t id) {
    pr_message message = empty(PR_PROBE_ACK);
    message.as.probe_ack.inst = EVIL;
    message.as.probe_ack.id = id;
    say(f, &message);
}

static void beat(fixture *f, uint64_t hb, uint64_t version) {
    pr_message message = empty(PR_HEARTBEAT);
    message.as.heartbeat.inc = 5;
    message.as.heartbeat.hb = hb;
    message.as.heartbeat.version = message.as.heartbeat.at = version;
    message.as.heartbeat.has_at = true;
    say(f, &message);
}

static void a_link_is_measured_at_once(void **state) {
    fixture *f = *state;
    link_evil(f);
    assert_int_equal(f->frames[PR_PROBE], 1);
    assert_int_equal(f->probe.inst, EVIL);
    assert_int_equal(evil_of(f).rtt_ms, -1);
    f->w->now += 40;
    answer(f, f->probe.id);
    assert_int_equal(evil_of(f).rtt_ms, 40);
}

static void rtt_is_smoothed(void **state) {
    fixture *f = *state;
    link_evil(f);
    f->w->now += 40;
    answer(f, f->probe.id);
    for (uint64_t hb = 2; hb < 5; hb++) { /* behind each of the first three heartbeats */
        while (f->frames[PR_PROBE] < (int)hb) pass(f, 1);
        beat(f, hb, 0);
        f->w->now += 120;
        answer(f, f->probe.id);
    }
    assert_in_range(evil_of(f).rtt_ms, 60, 70); /* 50, 58.75, 66.4 */
    for (uint64_t hb = 5; hb < 25; hb++) {      /* then behind every tenth, though the last one was not answered */
        pass(f, 1000);
        beat(f, hb, 0);
    }
    assert_int_equal(f->frames[PR_PROBE], 6);
    assert_false(f->closed);
}

static void only_the_answer_to_the_last_ping_counts(void **state) {
    fixture *f = *state;
    link_evil(f);
    uint32_t id = f->probe.id;
    f->w->now += 40;
    answer(f, id + 1);
    assert_int_equal(evil_of(f).rtt_ms, -1);
    answer(f, id);
    f->w->now += 5000;
    answer(f, id); /* again */
    answer(f, 0);
    assert_int_equal(evil_of(f).rtt_ms, 40);
    assert_false(f->closed);
}

/* The process stood still between ping and answer: that says nothing of the way. */
static void a_stall_is_no_measure(void **state) {
    fixture *f = *state;
    link_evil(f);
    f->w->now += 8000;
    pr_engine_tick(f->e, world_time(f->w));
    act(f);
    answer(f, f->probe.id);
    assert_int_equal(evil_of(f).rtt_ms, -1);
}

/* A REQ that is not answered is repeated after 4 RTT, not before (3.13). */
static uint64_t time_between_requests(fixture *f, uint64_t rtt) {
    link_evil(f);
    f->w->now += rtt;
    answer(f, f->probe.id);
    uint64_t hb = 2;
    for (; hb < 10; beat(f, hb++, 0)) pass(f, 1000); /* the REQ of the beginning is forgotten */
    int first = f->frames[PR_REQUEST];
    uint64_t start = f->w->now;
    beat(f, hb++, 7);
    assert_int_equal(f->frames[PR_REQUEST], first + 1);
    for (int asked = f->frames[PR_REQUEST]; f->frames[PR_REQUEST] == asked && hb < 200; beat(f, hb++, 7)) pass(f, 50);
    return f->w->now - start;
}

static void a_request_waits_half_a_second(void **state) { assert_in_range(time_between_requests(*state, 5), 375, 700); }

/* The next one to the same peer comes after 4 RTT, +-25 %, and no earlier (3.13). */
static void a_request_waits_four_times_the_way(void **state) {
    assert_in_range(time_between_requests(*state, 500), 1500, 2600);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_link_is_measured_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(rtt_is_smoothed, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_answer_to_the_last_ping_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stall_is_no_measure, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_waits_half_a_second, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_waits_four_times_the_way, setup, teardown),
    };
    cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}

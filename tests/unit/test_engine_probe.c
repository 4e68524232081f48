/* PROBE: the way to a peer, what waits for it, and who vouches for the silent (protocol.md 3.13, 6). */
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

/* ---- who is silent ---- */
#define VICTIM 99ull

/* evil tells of a member that only evil is linked with; then evil alone goes on beating. */
static void tell_of_victim(fixture *f, uint64_t hb) {
    pr_record record;
    memset(&record, 0, sizeof record);
    record.inst = VICTIM;
    record.inc = 1;
    record.hb = hb;
    record.period_ms = 1000;
    record.fixed = true;
    strcpy(record.name, "victim");
    pr_message message = empty(PR_HEARTBEAT);
    message.as.heartbeat.inc = 5;
    message.as.heartbeat.hb = hb;
    message.as.heartbeat.digest = (pr_records){&record, 1};
    say(f, &message);
}

/* Until the engine asks evil about the victim; the virtual ms it took. */
static uint64_t until_asked(fixture *f) {
    uint64_t start = f->w->now, hb = 100;
    while (f->probe.inst != VICTIM && f->w->now < start + 60000) {
        if ((f->w->now - start) % 1000 == 0) beat(f, hb++, 0);
        f->w->now++;
        pr_engine_tick(f->e, world_time(f->w));
        act(f);
        if (f->probe.inst == EVIL && f->frames[PR_PROBE] == 1 && f->probe.id) answer(f, f->probe.id);
    }
    assert_int_equal(f->probe.inst, VICTIM);
    return f->w->now - start;
}

static void vouch(fixture *f, uint32_t id, bool direct, uint32_t silence_ms) {
    pr_message message = empty(PR_PROBE_ACK);
    message.as.probe_ack.inst = VICTIM;
    message.as.probe_ack.id = id;
    message.as.probe_ack.direct = direct;
    message.as.probe_ack.silence_ms = silence_ms;
    say(f, &message);
    pass(f, 1);
}

static int victim(fixture *f) { return world_status(f->w, 0, "victim", NULL); }

/* 2.5 P, and one P for the hop its record came over; then SUSPECT, and DOWN only after the answer. */
static void others_are_asked_about_the_silent(void **state) {
    fixture *f = *state;
    link_evil(f);
    tell_of_victim(f, 2);
    uint64_t took = until_asked(f);
    assert_in_range(took, 3490, 3520);
    assert_int_equal(victim(f), PRESENCE_MEMBER_SUSPECT);
    assert_string_equal(f->w->nodes[0].last_why, "silence");
    int requests = f->frames[PR_REQUEST];
    vouch(f, f->probe.id, true, 400);
    assert_int_equal(victim(f), PRESENCE_MEMBER_UP);
    assert_string_equal(f->w->nodes[0].last_why, "relayed");
    assert_int_equal(f->frames[PR_REQUEST], requests + 1); /* subscribed at who vouched */
    assert_int_equal(f->request.inst, VICTIM);
    assert_true(f->request.subscribe);
    assert_int_equal(f->w->nodes[0].downs, 0);
    /* nothing more is heard: asked again one patience after what evil had heard */
    f->probe.inst = 0;
    took = until_asked(f);
    assert_in_range(took, 3500 - 400 - 20, 3500 - 400 + 20);
    pass(f, 150); /* nobody answers within clamp(2 RTT, 100 ms, 1 s) */
    assert_int_equal(victim(f), PRESENCE_MEMBER_DOWN);
    vouch(f, f->probe.id, true, 0); /* too late */
    assert_int_equal(victim(f), PRESENCE_MEMBER_DOWN);
    tell_of_victim(f, 300); /* an advance brings it back */
    assert_int_equal(victim(f), PRESENCE_MEMBER_UP);
}

static void only_who_is_linked_and_heard_lately_can_vouch(void **state) {
    fixture *f = *state;
    link_evil(f);
    tell_of_victim(f, 2);
    until_asked(f);
    uint32_t id = f->probe.id;
    vouch(f, id + 1, true, 0); /* of another question */
    assert_int_equal(victim(f), PRESENCE_MEMBER_SUSPECT);
    vouch(f, id, true, 1250); /* half the patience or more: it may be as dead there */
    assert_int_equal(victim(f), PRESENCE_MEMBER_DOWN);
    tell_of_victim(f, 300);
    f->probe.inst = 0;
    until_asked(f);
    vouch(f, f->probe.id, false, 0); /* hearsay */
    assert_int_equal(victim(f), PRESENCE_MEMBER_DOWN);
    assert_false(f->closed);
}

/* Jitter of the heartbeats lengthens the patience, up to 10 P; steady ones shorten it again. */
static uint64_t patience_after(fixture *f, const uint32_t *gaps, size_t size, int rounds) {
    uint64_t hb = 2;
    link_evil(f);
    answer(f, f->probe.id);
    for (int round = 0; round < rounds; round++)
        for (size_t i = 0; i < size; i++) {
            beat(f, hb++, 0);
            pass(f, gaps[i]);
        }
    beat(f, hb++, 0);
    uint64_t start = f->w->now;
    while (world_status(f->w, 0, "evil", NULL) == PRESENCE_MEMBER_UP && f->w->now < start + 30000) pass(f, 5);
    assert_int_equal(world_status(f->w, 0, "evil", NULL), PRESENCE_MEMBER_DOWN); /* nobody else to ask */
    return f->w->now - start;
}

static void steady_heartbeats_are_missed_soon(void **state) {
    const uint32_t gaps[] = {1000};
    assert_in_range(patience_after(*state, gaps, 1, 20), 2500, 2515);
}

static void irregular_ones_are_waited_for(void **state) {
    const uint32_t gaps[] = {1400, 600};
    assert_in_range(patience_after(*state, gaps, 2, 20), 2400 + 1500, 2400 + 1700); /* P + 4 x 400 + 1400 */
}

static void jitter_that_ended_is_forgotten(void **state) {
    const uint32_t gaps[] = {1900, 100,  1900, 100,  1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000,
                             1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000};
    assert_in_range(patience_after(*state, gaps, 24, 1), 2500, 2530);
}

/* A loop that comes late bears silence longer: by 1.5 P and more four times as long, and less with every beat. */
static void who_comes_late_bears_more(void **state) {
    fixture *f = *state;
    pr_engine_free(f->e);
    f->w->nodes[0].engine = NULL;
    f->w->nodes[0].options.suspect_ms = 2500; /* whatever the jitter */
    world_start(f->w, 0, "a", 0);
    f->e = f->w->nodes[0].engine;
    link_evil(f);
    answer(f, f->probe.id);
    uint64_t hb = 2;
    for (; hb < 12; beat(f, hb++, 0)) pass(f, 1000);
    uint64_t due = pr_engine_deadline(f->e);
    f->w->now = due + 1000; /* no stall yet: less than half a patience */
    pr_engine_tick(f->e, world_time(f->w));
    act(f);
    pass(f, 300);
    beat(f, hb++, 0);
    uint64_t start = f->w->now;
    while (world_status(f->w, 0, "evil", NULL) == PRESENCE_MEMBER_UP && f->w->now < start + 30000) pass(f, 5);
    assert_in_range(f->w->now - start, 2700, 4500);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_link_is_measured_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(rtt_is_smoothed, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_answer_to_the_last_ping_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stall_is_no_measure, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_waits_half_a_second, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_waits_four_times_the_way, setup, teardown),
        cmocka_unit_test_setup_teardown(others_are_asked_about_the_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(only_who_is_linked_and_heard_lately_can_vouch, setup, teardown),
        cmocka_unit_test_setup_teardown(steady_heartbeats_are_missed_soon, setup, teardown),
        cmocka_unit_test_setup_teardown(irregular_ones_are_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(jitter_that_ended_is_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(who_comes_late_bears_more, setup, teardown),
    };
    cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}

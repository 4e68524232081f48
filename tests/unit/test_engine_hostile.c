/* Peers that lie, babble or say nothing, and members without memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "crc32c.h"
#include "engine_peer.h"

static void expect_protocol_error(fixture *f) {
    assert_true(f->closed);
    assert_int_equal(f->last_error, PR_ERROR_PROTOCOL);
    assert_int_equal(f->w->nodes[0].last_error, PRESENCE_EPROTOCOL);
}

static void garbage_closes(void **state) {
    fixture *f = *state;
    connect_raw(f);
    say_bytes(f, "GET / HTTP/1.1\r\n\r\n", 18);
    assert_true(f->closed);
    connect_raw(f);
    say_preamble(f);
    say_bytes(f, "\xff\xff\xff\xff\xff", 5);
    expect_protocol_error(f);
}

static void another_version_closes(void **state) {
    fixture *f = *state;
    connect_raw(f);
    say_bytes(f, "LPRE\x09\x00\x09\x00", 8);
    assert_true(f->closed);
    assert_int_equal(f->last_error, PR_ERROR_VERSION);
    assert_int_equal(f->w->nodes[0].last_error, PRESENCE_EVERSION);
}

static void only_hello_comes_first(void **state) {
    fixture *f = *state;
    connect_raw(f);
    say_preamble(f);
    pr_message message = empty(PR_HEARTBEAT);
    say(f, &message);
    expect_protocol_error(f);
}

static void a_second_hello_closes(void **state) {
    fixture *f = *state;
    link_evil(f);
    pr_message message = hello_of("evil", EVIL);
    say(f, &message);
    expect_protocol_error(f);
}

static void frames_of_my_own_log_close(void **state) {
    fixture *f = *state;
    link_evil(f);
    pr_message message = empty(PR_LOGDEF);
    message.as.logdef.log = 7;
    message.as.logdef.inst = f->w->nodes[0].options.inst;
    pr_member_info self;
    pr_engine_members(f->e, &self, 1);
    message.as.logdef.inst = self.inst;
    strcpy(message.as.logdef.name, "a");
    say(f, &message);
    assert_false(f->closed);
    message = empty(PR_SEGMENT);
    message.as.segment.log = 7;
    message.as.segment.T2 = message.as.segment.x2 = 1;
    say(f, &message);
    expect_protocol_error(f);
}

static void an_undefined_index_closes(void **state) {
    fixture *f = *state;
    link_evil(f);
    pr_message message = empty(PR_SEGMENT);
    message.as.segment.log = 9;
    message.as.segment.T2 = message.as.segment.x2 = 1;
    say(f, &message);
    expect_protocol_error(f);
}

static void logs_not_asked_for_are_dropped(void **state) {
    fixture *f = *state;
    link_evil(f);
    /* it makes a member known, then sends its log unasked */
    pr_message message = empty(PR_HEARTBEAT);
    pr_record record;
    memset(&record, 0, sizeof record);
    record.inst = 99;
    record.inc = 1;
    record.hb = 5;
    record.fixed = true;
    strcpy(record.name, "victim");
    message.as.heartbeat.inc = 5;
    message.as.heartbeat.hb = 2;
    message.as.heartbeat.digest = (pr_records){&record, 1};
    say(f, &message);
    assert_int_equal(world_status(f->w, 0, "victim", NULL), PRESENCE_MEMBER_UP);
    message = empty(PR_LOGDEF);
    message.as.logdef.log = 3;
    message.as.logdef.inst = 99;
    strcpy(message.as.logdef.name, "victim");
    say(f, &message);
    pr_up up = {.eid = 1, .dot = 1, .topic = pr_cstr("t"), .key = pr_cstr("k"), .meta = pr_cstr("{}"), .topic_id = 1};
    message = empty(PR_SEGMENT);
    message.as.segment.log = 3;
    message.as.segment.x2 = message.as.segment.T2 = 1;
    message.as.segment.ups = &up;
    message.as.segment.ups_size = 1;
    say(f, &message);
    assert_false(f->closed);
    assert_int_equal(world_shown(f->w, 0, "t"), 0);
    presence_statistics stats = {.size = sizeof stats};
    pr_engine_stats(f->e, &stats);
    assert_int_equal(stats.frames_dropped, 1);
    /* its own log is welcome */
    message.as.segment.log = 0;
    say(f, &message);
    assert_int_equal(world_shown(f->w, 0, "t"), 1);
}

/* The state hash differs at the same version: the copy goes, and is asked for again from its floor on (P11). */
static void a_copy_that_differs_is_fetched_anew(void **state) {
    fixture *f = *state;
    link_evil(f);
    pr_up up = {.eid = 1, .dot = 1, .topic = pr_cstr("t"), .key = pr_cstr("k"), .meta = pr_cstr("{}"), .topic_id = 1};
    pr_message message = empty(PR_SEGMENT);
    message.as.segment.x2 = message.as.segment.T2 = 1;
    message.as.segment.ups = &up;
    message.as.segment.ups_size = 1;
    say(f, &message);
    assert_int_equal(world_shown(f->w, 0, "t"), 1);
    message = empty(PR_HEARTBEAT);
    message.as.heartbeat.inc = 5;
    message.as.heartbeat.hb = 2;
    message.as.heartbeat.version = message.as.heartbeat.at = 1;
    message.as.heartbeat.has_at = message.as.heartbeat.has_sum = true;
    uint64_t meant = pr_fmix64(pr_fmix64(pr_fmix64(1) ^ 1) ^ pr_hash_entry(up.topic, up.key, up.meta));
    message.as.heartbeat.sum = meant;
    say(f, &message);
    assert_int_equal(f->frames[PR_REQUEST], 1);
    message.as.heartbeat.hb = 3;
    message.as.heartbeat.sum = meant + 1;
    say(f, &message);
    assert_int_equal(f->frames[PR_REQUEST], 2);
    assert_int_equal(f->frames[PR_UNSUB], 1);
    for (int turn = 0; turn < 3; turn++) {
        pr_engine_tick(f->e, world_time(f->w));
        act(f);
    }
    assert_int_equal(world_shown(f->w, 0, "t"), 0);
    assert_false(f->closed);
}

/* evil's log at version 1 holds one entry; at 2 it is gone. */
static pr_message segment_of(uint64_t from, pr_up *up, pr_removed *removed) {
    pr_message message = empty(PR_SEGMENT);
    message.as.segment.x = message.as.segment.T = from;
    message.as.segment.x2 = message.as.segment.T2 = from + 1;
    message.as.segment.ups = up;
    message.as.segment.ups_size = up != NULL;
    message.as.segment.removed = removed;
    message.as.segment.removed_size = removed != NULL;
    return message;
}

/* Another instance takes evil's name, by a greater inc. */
static void replaced_by(fixture *f, uint64_t inst, uint64_t inc) {
    pr_record record;
    memset(&record, 0, sizeof record);
    record.inst = inst;
    record.inc = inc;
    record.hb = 1;
    record.fixed = true;
    strcpy(record.name, "evil");
    pr_message message = empty(PR_HEARTBEAT);
    message.as.heartbeat.inc = 5;
    message.as.heartbeat.hb = 2;
    message.as.heartbeat.digest = (pr_records){&record, 1};
    say(f, &message);
    pr_member_info info;
    world_status(f->w, 0, "evil", &info);
    assert_int_equal(info.inst, inst);
}

/* Evil takes its name back by a greater inc: its log is fresh here. */
static void back_again(fixture *f, uint64_t inc) {
    pr_message message = empty(PR_HEARTBEAT);
    message.as.heartbeat.inc = inc;
    message.as.heartbeat.hb = 3;
    message.as.heartbeat.version = 2;
    say(f, &message);
}

static void replaced_and_back(fixture *f) {
    replaced_by(f, 777, 9);
    back_again(f, 10);
}

static void a_floor_outlives_a_replacement(void **state) {
    fixture *f = *state;
    link_evil(f);
    pr_up up = {.eid = 1, .dot = 1, .topic = pr_cstr("t"), .key = pr_cstr("k"), .meta = pr_cstr("{}"), .topic_id = 1};
    pr_removed gone = {.eid = 1};
    pr_message born = segment_of(0, &up, NULL), dead = segment_of(1, NULL, &gone);
    say(f, &born);
    say(f, &dead);
    assert_int_equal(f->w->nodes[0].leaves, 1);
    replaced_and_back(f);
    assert_int_equal(f->request.inst, EVIL);
    assert_int_equal(f->request.state.floor, 2);
    assert_int_equal(f->request.state.have, 0);
    say(f, &born); /* old news: the entry does not come back */
    assert_int_equal(world_shown(f->w, 0, "t"), 0);
    assert_int_equal(f->w->nodes[0].joins, 1);
}

/* Four others had the name meanwhile, as many as are remembered: the one that gives it back must not push evil's floor
 * out (3.9.1; presence-sim --seed 753250882 --events 162). */
static void a_floor_outlives_as_many_others_as_are_remembered(void **state) {
    fixture *f = *state;
    link_evil(f);
    pr_up up = {.eid = 1, .dot = 1, .topic = pr_cstr("t"), .key = pr_cstr("k"), .meta = pr_cstr("{}"), .topic_id = 1};
    pr_removed gone = {.eid = 1};
    pr_message born = segment_of(0, &up, NULL), dead = segment_of(1, NULL, &gone);
    say(f, &born);
    say(f, &dead);
    for (uint64_t i = 0; i < 4; i++) replaced_by(f, 777 + i, 9 + i);
    back_again(f, 20);
    assert_int_equal(f->request.inst, EVIL);
    assert_int_equal(f->request.state.floor, 2);
    say(f, &born);
    assert_int_equal(world_shown(f->w, 0, "t"), 0);
    assert_int_equal(f->w->nodes[0].joins, 1);
    for (uint64_t i = 0; i < 5; i++) replaced_by(f, 787 + i, 29 + i); /* one more is one too many: it is bounded */
    back_again(f, 40);
    assert_int_equal(f->request.state.floor, 0);
}

static void a_detached_sweep_ends_before_the_log_is_fresh(void **state) {
    fixture *f = *state;
    link_evil(f);
    pr_up up = {.eid = 1, .dot = 1, .topic = pr_cstr("t"), .key = pr_cstr("k"), .meta = pr_cstr("{}"), .topic_id = 1};
    pr_message born = segment_of(0, &up, NULL);
    say(f, &born);
    replaced_and_back(f);
    assert_int_equal(f->w->nodes[0].last_reason, PRESENCE_REASON_REPLACED);
    say(f, &born);
    assert_int_equal(world_shown(f->w, 0, "t"), 1);
    assert_int_equal(f->w->nodes[0].joins, 2);
    assert_int_equal(f->w->nodes[0].leaves, 1);
}

static void an_observer_is_gone_with_its_link(void **state) {
    fixture *f = *state;
    connect_raw(f);
    say_preamble(f);
    pr_message message = hello_of("looker", 4711);
    message.as.hello.self.observer = true;
    say(f, &message);
    pr_member_info info;
    assert_int_equal(world_status(f->w, 0, "looker", &info), PRESENCE_MEMBER_UP);
    assert_true(info.observer);
    pr_engine_link_down(f->e, f->link, PR_END_CLOSED, world_time(f->w));
    act(f);
    assert_int_equal(world_status(f->w, 0, "looker", NULL), 0);
}

static void a_closed_link_is_ignored(void **state) {
    fixture *f = *state;
    link_evil(f);
    pr_message message = hello_of("evil", EVIL);
    say(f, &message);
    assert_true(f->closed);
    size_t used = 0;
    assert_int_equal(pr_engine_bytes(f->e, f->link, (const uint8_t *)"abc", 3, &used, world_time(f->w)), 0);
    assert_int_equal(used, 3);
    pr_engine_written(f->e, f->link, 100, world_time(f->w));
    pr_engine_link_down(f->e, f->link, PR_END_RESET, world_time(f->w));
    act(f);
}

static void an_unknown_log_gets_nak(void **state) {
    fixture *f = *state;
    link_evil(f);
    pr_message message = empty(PR_REQUEST);
    message.as.request.inst = 4242;
    say(f, &message);
    assert_int_equal(f->frames[PR_NAK], 1);
    assert_int_equal(f->nak.reason, PR_NAK_GONE);
    pr_member_info self;
    pr_engine_members(f->e, &self, 1);
    message.as.request.inst = self.inst;
    message.as.request.state = (pr_state){.have = 7, .asof = 7, .floor = 7};
    say(f, &message);
    assert_int_equal(f->nak.reason, PR_NAK_BEHIND);
    assert_false(f->closed);
}

static void leave_of_somebody_else_closes(void **state) {
    fixture *f = *state;
    link_evil(f);
    pr_message message = empty(PR_LEAVE);
    message.as.leave.inst = 4242;
    message.as.leave.inc = 1;
    strcpy(message.as.leave.name, "evil");
    say(f, &message);
    expect_protocol_error(f);
}

static void my_own_name_closed_makes_me_yield(void **state) {
    fixture *f = *state;
    link_evil(f);
    pr_member_info self;
    pr_engine_members(f->e, &self, 1);
    pr_record record;
    memset(&record, 0, sizeof record);
    record.inst = self.inst;
    record.inc = self.inc;
    record.left = record.fixed = true;
    strcpy(record.name, "a");
    pr_message message = empty(PR_HEARTBEAT);
    message.as.heartbeat.inc = 5;
    message.as.heartbeat.hb = 2;
    message.as.heartbeat.digest = (pr_records){&record, 1};
    say(f, &message);
    assert_int_equal(f->w->nodes[0].yields, 1);
    assert_true(f->closed);
}

static void say_of_my_name(fixture *f, uint64_t inc, uint64_t hb, uint64_t age_ms) {
    pr_record record;
    memset(&record, 0, sizeof record);
    record.inst = 777;
    record.inc = inc;
    record.hb = hb;
    record.age_ms = age_ms;
    record.fixed = true;
    strcpy(record.name, "a");
    pr_message message = empty(PR_HEARTBEAT);
    message.as.heartbeat.inc = 5;
    message.as.heartbeat.hb = 2 + hb;
    message.as.heartbeat.digest = (pr_records){&record, 1};
    say(f, &message);
}

/* A record is older than it says by the time it was on its way: within a period that proves nothing (3.9.5). */
static void a_dead_instance_whose_record_was_on_its_way_does_not_make_me_yield(void **state) {
    fixture *f = *state;
    link_evil(f);
    say_of_my_name(f, UINT64_C(1) << 50, 7, 3);
    pass(f, 900);
    say_of_my_name(f, UINT64_C(2) << 50, 8, 5); /* the same instance, as another member heard it */
    assert_int_equal(f->w->nodes[0].yields, 0);
    assert_false(f->closed);
    pass(f, 200);
    say_of_my_name(f, UINT64_C(3) << 50, 9, 5); /* it beats on: it lives */
    assert_int_equal(f->w->nodes[0].yields, 1);
}

static void a_twin_that_answers_my_refute_makes_me_yield_at_once(void **state) {
    fixture *f = *state;
    link_evil(f);
    say_of_my_name(f, UINT64_C(1) << 50, 7, 3);
    pass(f, 10);
    pr_member_info self;
    pr_engine_members(f->e, &self, 1);
    say_of_my_name(f, self.inc + 1, 8, 5);
    assert_int_equal(f->w->nodes[0].yields, 1);
}

static void unknown_frame_types_are_skipped(void **state) {
    fixture *f = *state;
    link_evil(f);
    uint8_t frame[8] = {0, 0, 0, 0x40 | 20};
    uint32_t crc = pr_crc32c(frame, 4);
    for (int i = 0; i < 4; i++) frame[4 + i] = (uint8_t)(crc >> 8 * i);
    say_bytes(f, frame, sizeof frame);
    assert_false(f->closed);
}

static void at_most_64_wait_for_their_hello(void **state) {
    fixture *f = *state;
    presence_statistics stats = {.size = sizeof stats};
    for (int i = 0; i < 300; i++) {
        connect_raw(f);
        assert_false(f->closed);
        pr_engine_stats(f->e, &stats);
        assert_true(stats.links <= 64);
    }
    assert_int_equal(f->w->nodes[0].last_error, PRESENCE_ELIMIT);
    link_evil(f); /* a newcomer comes in, and stays when others crowd */
    pr_link member = f->link;
    for (int i = 0; i < 300; i++) connect_raw(f);
    f->w->now += 5001;
    pr_engine_tick(f->e, world_time(f->w));
    act(f);
    pr_engine_stats(f->e, &stats);
    assert_int_equal(stats.links, 1);
    f->link = member;
    f->closed = false;
    pr_message message = empty(PR_HEARTBEAT);
    say(f, &message);
    assert_false(f->closed);
}

static void at_most_4096_members(void **state) {
    fixture *f = *state;
    link_evil(f);
    static pr_record records[512];
    uint64_t inst = 1000000;
    for (int round = 0; round < 10; round++) {
        memset(records, 0, sizeof records);
        for (int i = 0; i < 512; i++) {
            records[i].inst = ++inst;
            records[i].inc = 1;
            records[i].hb = 1;
            records[i].fixed = true;
            snprintf(records[i].name, sizeof records[i].name, "m%llu", (unsigned long long)inst);
        }
        pr_message message = empty(PR_HEARTBEAT);
        message.as.heartbeat.inc = 5;
        message.as.heartbeat.hb = 2 + (uint64_t)round;
        message.as.heartbeat.digest = (pr_records){records, 512};
        say(f, &message);
    }
    assert_false(f->closed);
    assert_int_equal(pr_engine_members(f->e, NULL, 0), 1 + PR_MEMBERS_MAX);
}

/* Random bytes after a good start: whatever happens, nothing crashes, nothing is shown. */
static void noise(void **state) {
    fixture *f = *state;
    uint64_t seed = 4711;
    uint8_t bytes[300];
    for (int round = 0; round < 2000; round++) {
        link_evil(f);
        size_t size = pr_random_next(&seed) % sizeof bytes;
        for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)pr_random_next(&seed);
        if (size > 4) { /* a proper header, so that the payload is decoded */
            bytes[0] = (uint8_t)(size - 4);
            bytes[1] = (uint8_t)((size - 4) >> 8);
            bytes[2] = 0;
            bytes[3] = (uint8_t)(1 + pr_random_next(&seed) % 12);
        }
        say_bytes(f, bytes, size);
        if (!f->closed) pr_engine_link_down(f->e, f->link, PR_END_RESET, world_time(f->w));
        act(f);
        f->w->now += 2000;
        pr_engine_tick(f->e, world_time(f->w));
        act(f);
    }
    assert_int_equal(pr_store_size(pr_engine_store(f->e)), 0);
}

/* Every request of memory of the receiver fails once: in the end it shows what the other one has. */
static void a_receiver_without_memory_catches_up(void **state) {
    (void)state;
    for (size_t at = 1; at < 400; at++) {
        world *w = world_new();
        world_start(w, 0, "a", 0);
        presence_owner o = world_owner(w, 0);
        char key[16];
        for (int k = 0; k < 40; k++) {
            snprintf(key, sizeof key, "k%d", k);
            assert_int_equal(world_track(w, 0, o, "t", key, "{}"), 0);
        }
        world_start(w, 1, "b", 1u << 0);
        w->nodes[1].heap.fail_in = at;
        world_run(w, 20);
        for (int k = 0; k < 10; k++) {
            snprintf(key, sizeof key, "k%d", k);
            assert_int_equal(world_update(w, 0, o, "t", key, "{\"a\":1}"), 0);
            snprintf(key, sizeof key, "k%d", k + 10);
            assert_int_equal(world_untrack(w, 0, o, "t", key), 1);
        }
        world_run(w, 8000);
        bool failed = w->nodes[1].heap.fail_in == 0;
        w->nodes[1].heap.fail_in = 0;
        world_run(w, 4000);
        if (world_shown(w, 1, "t") != 30) fail_msg("allocation %zu: %zu shown", at, world_shown(w, 1, "t"));
        assert_int_equal(w->nodes[1].joins - w->nodes[1].leaves, 30);
        world_free(w);
        if (!failed) return;
    }
}

/* No memory at all for some seconds, at both. */
static void a_famine_passes(void **state) {
    (void)state;
    world *w = world_new();
    world_start(w, 0, "a", 0);
    world_start(w, 1, "b", 1u << 0);
    world_run(w, 3000);
    presence_owner o = world_owner(w, 0);
    for (int i = 0; i < 20; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        for (int n = 0; n < 2; n++) {
            w->nodes[n].heap.fail_in = 1;
            w->nodes[n].heap.fail_on = i % 2;
            if (i % 2 == 0) w->nodes[n].heap.fail_in = 0;
        }
        int rc = world_track(w, 0, o, "t", key, "{\"a\":1}");
        assert_true(rc == 0 || rc == PRESENCE_ENOMEM);
        world_run(w, 700);
    }
    for (int n = 0; n < 2; n++) w->nodes[n].heap.fail_in = w->nodes[n].heap.fail_on = 0;
    world_run(w, 10000);
    assert_int_equal(world_shown(w, 0, "t"), world_shown(w, 1, "t"));
    assert_true(world_shown(w, 1, "t") >= 10);
    world_free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(garbage_closes, setup, teardown),
        cmocka_unit_test_setup_teardown(another_version_closes, setup, teardown),
        cmocka_unit_test_setup_teardown(only_hello_comes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_hello_closes, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_of_my_own_log_close, setup, teardown),
        cmocka_unit_test_setup_teardown(an_undefined_index_closes, setup, teardown),
        cmocka_unit_test_setup_teardown(logs_not_asked_for_are_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_copy_that_differs_is_fetched_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(a_floor_outlives_a_replacement, setup, teardown),
        cmocka_unit_test_setup_teardown(a_floor_outlives_as_many_others_as_are_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(a_detached_sweep_ends_before_the_log_is_fresh, setup, teardown),
        cmocka_unit_test_setup_teardown(an_observer_is_gone_with_its_link, setup, teardown),
        cmocka_unit_test_setup_teardown(a_closed_link_is_ignored, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unknown_log_gets_nak, setup, teardown),
        cmocka_unit_test_setup_teardown(leave_of_somebody_else_closes, setup, teardown),
        cmocka_unit_test_setup_teardown(my_own_name_closed_makes_me_yield, setup, teardown),
        cmocka_unit_test_setup_teardown(a_twin_that_answers_my_refute_makes_me_yield_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dead_instance_whose_record_was_on_its_way_does_not_make_me_yield, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(unknown_frame_types_are_skipped, setup, teardown),
        cmocka_unit_test_setup_teardown(at_most_64_wait_for_their_hello, setup, teardown),
        cmocka_unit_test_setup_teardown(at_most_4096_members, setup, teardown),
        cmocka_unit_test_setup_teardown(noise, setup, teardown),
        cmocka_unit_test(a_receiver_without_memory_catches_up),
        cmocka_unit_test(a_famine_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

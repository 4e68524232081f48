/* Who and what is refused, and how it is told: strangers, late ones, logs, requests, observers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine_peer.h"

/* What answers a dial in another protocol is named with the address that was dialled, however little it says. */
static void strangers_are_named(void **state) {
    world *w = ((fixture *)*state)->w;
    static const struct {
        const char *bytes;
        size_t size;
        const char *text;
    } said[] = {{"\x15\x03\x01\x00\x02\x02\x46", 7, "m1 does not speak the protocol (TLS?)"},
                {"HTTP/1.1 400 Bad Request\r\n", 26, "m1 does not speak the protocol (HTTP?)"},
                {"SSH-2.0", 7, "m1 does not speak the protocol"}};
    for (int i = 0; i < 3; i++) {
        world_start(w, 1, "b", 0);
        world_start(w, 2, "c", 1u << 1);
        node *c = &w->nodes[2];
        pr_engine_tick(c->engine, world_time(w));
        world_act(w, 2);
        end *at = &w->wires[0].ends[0];
        assert_int_equal(at->node, 2);
        size_t used;
        pr_engine_bytes(c->engine, at->id, (const uint8_t *)said[i].bytes, said[i].size, &used, world_time(w));
        world_act(w, 2);
        assert_int_equal(c->last_error, PRESENCE_EPROTOCOL);
        assert_string_equal(c->last_text, said[i].text);
        world_kill(w, 1, true);
        world_kill(w, 2, true);
        world_run(w, 10);
    }
}

/* TCP and HELLO share one time-out; who does not say HELLO in time is named (3.13). */
static void no_hello_in_time(void **state) {
    fixture *f = *state;
    world *w = f->w;
    world_start(w, 1, "b", 0);
    w->nodes[1].deaf = true;
    pr_engine_options o = pr_engine_options_default();
    presence_str seed = pr_cstr("m1");
    pr_action action;
    pr_engine *e;
    o.name = pr_cstr("c");
    o.inst = 5;
    o.seeds = &seed;
    o.seeds_size = 1;
    pr_alloc alloc = pr_alloc_default();
    assert_int_equal(pr_engine_new(&alloc, &o, world_time(w), &e), 0);
    pr_engine_tick(e, world_time(w));
    assert_true(pr_engine_next_action(e, &action));
    assert_int_equal(action.kind, PR_ACTION_DIAL);
    w->now += 900; /* the connection took its time */
    pr_engine_link_up(e, 77, action.as.dial.id, world_time(w));
    bool closed = false, told = false;
    for (int turn = 0; turn < 2; turn++) {
        w->now += turn ? 20 : 90;
        pr_engine_tick(e, world_time(w));
        while (pr_engine_next_action(e, &action)) {
            if (action.kind == PR_ACTION_SEND) pr_bytes_release(action.as.send.bytes);
            closed |= action.kind == PR_ACTION_CLOSE;
            if (action.kind != PR_ACTION_ERROR) continue;
            told = true;
            assert_int_equal(action.as.error.code, PRESENCE_ETIMEDOUT);
            assert_string_equal(action.as.error.text, "m1: no HELLO within 1000 ms of the dial");
        }
        assert_int_equal(closed, turn);
        assert_int_equal(told, turn);
    }
    pr_engine_free(e);
    connect_raw(f); /* who connects has 5 s */
    pass(f, 4900);
    assert_false(f->closed);
    pass(f, 200);
    assert_true(f->closed);
    assert_int_equal(w->nodes[0].last_error, PRESENCE_ETIMEDOUT);
}

/* Four entries of evil do not fit: its log is refused as a whole, told incomplete, and waited for by nobody (5.4). */
static void a_log_that_does_not_fit_is_refused(void **state) {
    fixture *f = *state;
    pr_engine_free(f->e);
    f->w->nodes[0].engine = NULL;
    f->w->nodes[0].options.entries_max = 3;
    world_start(f->w, 0, "a", 1u << 1);
    f->e = f->w->nodes[0].engine;
    connect_raw(f);
    say_preamble(f);
    pr_message message = hello_of("evil", EVIL);
    message.as.hello.version = 4;
    say(f, &message);
    pass(f, 10); /* nobody at the seed */
    assert_int_equal(pr_engine_synced(f->e), 0);
    pr_up ups[4];
    for (int i = 0; i < 4; i++)
        ups[i] = (pr_up){.eid = (uint64_t)i + 1,
                         .dot = (uint64_t)i + 1,
                         .topic = pr_cstr("t"),
                         .key = pr_cstr("k"),
                         .meta = pr_cstr("{}"),
                         .topic_id = 1};
    message = empty(PR_SEGMENT);
    message.as.segment.x2 = message.as.segment.T2 = 4;
    message.as.segment.ups = ups;
    message.as.segment.ups_size = 4;
    say(f, &message);
    assert_int_equal(f->nak.inst, EVIL);
    assert_int_equal(f->nak.reason, PR_NAK_LIMIT);
    assert_int_equal(f->w->nodes[0].last_error, PRESENCE_ELIMIT);
    assert_int_equal(world_shown(f->w, 0, "t"), 0);
    assert_false(f->closed);
    assert_int_equal(pr_engine_synced(f->e), 1);
    int asked = f->frames[PR_REQUEST];
    for (uint64_t hb = 2; hb < 62; hb++) { /* a minute without a REQ, then one more try */
        message = empty(PR_HEARTBEAT);
        message.as.heartbeat.inc = 5;
        message.as.heartbeat.hb = hb;
        message.as.heartbeat.version = 4;
        say(f, &message);
        assert_int_equal(f->frames[PR_REQUEST], asked);
        pass(f, 1000);
    }
    message.as.heartbeat.hb = 62;
    say(f, &message);
    assert_int_equal(f->frames[PR_REQUEST], asked + 1);
}

/* NAK(limit) is the answer to a REQ of ours as long as one may be answered; what we send goes on (3.7.2, 3.7.8). */
static void a_refused_request_does_not_end_what_we_send(void **state) {
    fixture *f = *state;
    link_evil(f);
    pr_message message = empty(PR_REQUEST);
    pr_member_info self;
    pr_engine_members(f->e, &self, 1);
    message.as.request.inst = self.inst;
    message.as.request.subscribe = true;
    say(f, &message);
    message = empty(PR_NAK);
    message.as.nak.inst = EVIL;
    message.as.nak.reason = PR_NAK_LIMIT;
    say(f, &message);
    presence_owner o = world_owner(f->w, 0);
    presence_item item = {pr_cstr("t"), pr_cstr("k"), pr_cstr("{}")};
    pr_engine_track_many(f->e, o, &item, 1, world_time(f->w), NULL, NULL, NULL);
    pass(f, 60);
    assert_int_equal(f->frames[PR_SEGMENT], 1);
    message.as.nak.inst = self.inst; /* our own log is what it refuses */
    say(f, &message);
    item.key = pr_cstr("k2");
    pr_engine_track_many(f->e, o, &item, 1, world_time(f->w), NULL, NULL, NULL);
    pass(f, 60);
    assert_int_equal(f->frames[PR_SEGMENT], 1);
}

/* A peer that just refused is not asked again for a gap before a request time-out has passed (3.7.8). */
static void a_gap_does_not_ask_who_refused(void **state) {
    fixture *f = *state;
    link_evil(f);
    pr_message message = empty(PR_NAK);
    message.as.nak.inst = EVIL;
    message.as.nak.reason = PR_NAK_NOT_COMPLETE;
    say(f, &message);
    int asked = f->frames[PR_REQUEST];
    pr_message gap = empty(PR_SEGMENT);
    gap.as.segment.x = gap.as.segment.T = 5;
    gap.as.segment.x2 = gap.as.segment.T2 = 6;
    say(f, &gap);
    assert_int_equal(f->frames[PR_REQUEST], asked);
    pass(f, 600);
    say(f, &gap);
    assert_int_equal(f->frames[PR_REQUEST], asked + 1);
}

/* The end of an observer is told as that, never as DOWN: by its link, or by 10 P without a frame (3.9.8). */
static void the_end_of_an_observer_is_no_down(void **state) {
    fixture *f = *state;
    node *n = &f->w->nodes[0];
    for (int silent = 0; silent < 2; silent++) {
        connect_raw(f);
        say_preamble(f);
        pr_message message = hello_of("looker", 4711 + (uint64_t)silent);
        message.as.hello.self.observer = true;
        say(f, &message);
        assert_int_equal(world_status(f->w, 0, "looker", NULL), PRESENCE_MEMBER_UP);
        if (silent)
            pass(f, 12000);
        else
            pr_engine_link_down(f->e, f->link, PR_END_CLOSED, world_time(f->w));
        act(f);
        assert_int_equal(world_status(f->w, 0, "looker", NULL), 0);
        assert_int_equal(f->closed, silent);
        assert_int_equal(n->lefts, 1 + silent);
        assert_int_equal(n->downs, 0);
        assert_string_equal(n->last_why, "closed");
    }
}

/* After a stall a HELLO that waited proves nothing: its observer is held DOWN, and gone when that link is the second
 * one. Else its name would be lost to a run with a lesser pair, since nobody is told of an observer. */
static void an_observer_that_never_was_up_is_gone_with_its_link(void **state) {
    fixture *f = *state;
    f->w->now += 20000; /* the loop stood still */
    pr_engine_tick(f->e, world_time(f->w));
    act(f);
    connect_raw(f);
    say_preamble(f);
    pr_message message = hello_of("evil", EVIL);
    message.as.hello.self.observer = true;
    message.as.hello.self.inc = 1000;
    say(f, &message);
    assert_int_equal(world_status(f->w, 0, "evil", NULL), PRESENCE_MEMBER_DOWN);
    pr_message error = empty(PR_ERROR);
    error.as.error.code = PR_ERROR_DUPLICATE;
    say(f, &error);
    assert_true(f->closed);
    assert_int_equal(world_status(f->w, 0, "evil", NULL), 0);
    pass(f, 10000);
    connect_raw(f);
    say_preamble(f);
    message.as.hello.self.inst++;
    message.as.hello.self.inc = 5;
    say(f, &message);
    assert_int_equal(world_status(f->w, 0, "evil", NULL), PRESENCE_MEMBER_UP);
}

/* A grave is a name as well: an observer gets it no more than that of a member that lives. */
static void an_observer_gets_no_name_of_a_grave(void **state) {
    fixture *f = *state;
    link_evil(f);
    pr_message message = empty(PR_LEAVE);
    message.as.leave.inc = 5;
    message.as.leave.inst = EVIL;
    strcpy(message.as.leave.name, "evil");
    say(f, &message);
    connect_raw(f);
    say_preamble(f);
    message = hello_of("evil", 4711);
    message.as.hello.self.observer = true;
    say(f, &message);
    assert_true(f->closed);
    assert_int_equal(f->last_error, PR_ERROR_NAME);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(strangers_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(no_hello_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_that_does_not_fit_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_request_does_not_end_what_we_send, setup, teardown),
        cmocka_unit_test_setup_teardown(a_gap_does_not_ask_who_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_end_of_an_observer_is_no_down, setup, teardown),
        cmocka_unit_test_setup_teardown(an_observer_that_never_was_up_is_gone_with_its_link, setup, teardown),
        cmocka_unit_test_setup_teardown(an_observer_gets_no_name_of_a_grave, setup, teardown),
    };
    cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}

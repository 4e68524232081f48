/* One scenario for each rule of the engine that random histories do not reach: limits, negotiation, timing, and peers
 * that keep to the syntax and lie (protocol.md 3, 5.4, 5.5; docs/mutants.md). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine_voices.h"

static pr_member_info info_of(const voices *all, const char *name) {
    pr_member_info info;
    world_status(all->w, 0, name, &info);
    return info;
}

/* ---- who may send what ---- */
static void a_log_index_is_defined_once(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *v = voice_link(all, 0, ALL_SPOKEN, 0, 0);
    pr_message message = message_of(PR_LOGDEF);
    message.as.logdef.log = 3;
    message.as.logdef.inst = 99;
    strcpy(message.as.logdef.name, "x");
    voice_say(all, v, &message);
    voice_say(all, v, &message); /* the same again */
    assert_false(v->closed);
    message.as.logdef.inst = 98;
    voice_say(all, v, &message);
    assert_true(v->closed);
    assert_int_equal(v->last_error, PR_ERROR_PROTOCOL);
    voices_free(all);
}

/* Voice 0 relays the log 99 of "x", which is complete there at `version`. */
static void offer(voices *all, voice *v, uint64_t version) {
    pr_record record = record_of("x", 99, 1, ++v->hb);
    record.has_version = true;
    record.version = version;
    voice_beat(all, v, 0, &record, 1);
}

static void a_log_of_another_lane_is_ignored(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *v = voice_link(all, 0, ALL_SPOKEN, 0, 0);
    offer(all, v, 1);
    assert_int_equal(v->request.inst, 99);
    pr_up up = {.eid = 1, .dot = 1, .topic = pr_cstr("t"), .key = pr_cstr("k"), .meta = pr_cstr("{}"), .topic_id = 1};
    for (uint32_t lane = 2; lane-- > 0;) { /* lane 0 last: that one is welcome */
        pr_message message = message_of(PR_LOGDEF);
        message.as.logdef = (pr_logdef){.log = 3 + lane, .lane = lane, .inst = 99, .name = "x"};
        voice_say(all, v, &message);
        message = message_of(PR_SEGMENT);
        message.as.segment = (pr_segment){.log = 3 + lane, .x2 = 1, .T2 = 1, .ups = &up, .ups_size = 1};
        voice_say(all, v, &message);
        assert_false(v->closed);
        assert_int_equal(world_shown(all->w, 0, "t"), 1 - lane);
    }
    voices_free(all);
}

static void a_greatest_inc_is_not_refuted(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *v = voice_link(all, 0, ALL_SPOKEN, 0, 0);
    uint64_t inc = info_of(all, "a").inc;
    pr_record twin = record_of("a", 77, UINT64_MAX, 1);
    voice_beat(all, v, 0, &twin, 1);
    assert_int_equal(info_of(all, "a").inc, inc);
    voices_free(all);
}

/* ---- logs and cursors ---- */
static void the_floor_does_not_fall(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *v = voice_link(all, 0, ALL_SPOKEN, 0, 0);
    uint64_t eids[3] = {1, 2, 3};
    for (uint64_t eid = 1; eid <= 3; eid++) {
        pr_up up = {.eid = eid, .dot = eid, .topic = pr_cstr("t"), .key = pr_cstr("k"), .meta = pr_cstr("{}")};
        pr_message message = message_of(PR_SEGMENT);
        message.as.segment = (pr_segment){.x = eid - 1, .T = eid - 1, .x2 = eid, .T2 = eid, .ups = &up, .ups_size = 1};
        voice_say(all, v, &message);
    }
    voice_live(all, v, 5, 0, 2, eids, 2);
    voice_live(all, v, 9, 2, 3, eids + 2, 1); /* asof 5, floor 9 */
    voice_segment(all, v, 3, 5, 3, 7, 0);     /* removals up to 7: there were none */
    pr_engine_log_probe probes[4];
    size_t size = pr_engine_probe_logs(all->e, probes, 4);
    assert_int_equal(size, 2);
    pr_state now = pr_log_state(probes[1].log);
    assert_int_equal(now.asof, 7);
    assert_int_equal(now.floor, 9);
    voices_free(all);
}

static void a_cursor_ends_with_its_copy(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *origin = voice_link(all, 0, ALL_SPOKEN, 1, 0), *reader = voice_link(all, 1, ALL_SPOKEN, 0, 0);
    voice_segment(all, origin, 0, 0, 1, 1, 1);
    pr_message message = message_of(PR_REQUEST);
    message.as.request = (pr_request){.inst = origin->inst, .subscribe = true};
    voice_say(all, reader, &message);
    assert_int_equal(reader->frames[PR_SEGMENT], 1);
    message = message_of(PR_HEARTBEAT); /* a sum that does not fit: the copy is dropped and made anew */
    message.as.heartbeat = (pr_heartbeat){.inc = 5, .hb = ++origin->hb, .version = 1, .at = 1, .sum = 1};
    message.as.heartbeat.has_at = message.as.heartbeat.has_sum = true;
    voice_say(all, origin, &message);
    assert_int_equal(reader->frames[PR_NAK], 1);
    assert_int_equal(reader->nak.reason, PR_NAK_GONE);
    voice_segment(all, origin, 0, 0, 2, 2, 2);
    assert_int_equal(reader->frames[PR_SEGMENT], 1);
    voices_free(all);
}

static void a_log_that_is_not_up_is_not_served(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *origin = voice_link(all, 0, ALL_SPOKEN, 1, 0);
    voice_segment(all, origin, 0, 0, 1, 1, 1);
    voices_pass(all, 4500); /* silence */
    assert_int_equal(info_of(all, "v0").status, PRESENCE_MEMBER_DOWN);
    voice *reader = voice_link(all, 1, ALL_SPOKEN, 0, 0);
    pr_message message = message_of(PR_REQUEST);
    message.as.request = (pr_request){.inst = origin->inst, .subscribe = true};
    voice_say(all, reader, &message);
    assert_int_equal(reader->frames[PR_SEGMENT], 0);
    assert_int_equal(reader->nak.reason, PR_NAK_NOT_UP);
    voices_free(all);
}

/* ---- requests ---- */
static void one_request_is_outstanding(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *v = voice_link(all, 0, ALL_SPOKEN, 0, 0);
    assert_int_equal(v->frames[PR_REQUEST], 1);
    for (int i = 0; i < 3; i++) {
        pr_message message = message_of(PR_HEARTBEAT);
        message.as.heartbeat = (pr_heartbeat){.inc = 5, .hb = ++v->hb, .version = 9, .at = 9, .has_at = true};
        voice_say(all, v, &message);
        voice_segment(all, v, 5, 5, 9, 9, 0); /* a gap */
    }
    assert_int_equal(v->frames[PR_REQUEST], 1);
    voices_pass(all, 1500); /* nobody answers: asked again, once, by the next sign */
    voice_segment(all, v, 5, 5, 9, 9, 0);
    assert_int_equal(v->frames[PR_REQUEST], 2);
    voices_free(all);
}

static void a_relayed_log_is_subscribed_while_it_is_current(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *v = voice_link(all, 0, ALL_SPOKEN, 0, 0);
    offer(all, v, 0);
    assert_int_equal(v->frames[PR_REQUEST], 2);
    assert_int_equal(v->request.inst, 99);
    assert_true(v->request.subscribe);
    voices_free(all);
}

/* ---- links ---- */
static void one_heartbeat_waits_on_a_full_link(void **state) {
    (void)state;
    pr_engine_options options = pr_engine_options_default();
    options.high_water = options.low_water = 1;
    voices *all = voices_new(&options);
    all->v[0].deaf = true;
    voice *v = voice_link(all, 0, ALL_SPOKEN, 0, 0);
    for (int i = 0; i < 6; i++) {
        voices_pass(all, 1000);
        voice_beat(all, v, 0, NULL, 0);
    }
    assert_false(v->closed);
    assert_int_equal(v->frames[PR_HEARTBEAT], 1);
    voices_free(all);
}

static void who_does_not_read_its_answers_is_not_read(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    all->v[0].deaf = true;
    voice *v = voice_link(all, 0, ALL_SPOKEN, 0, 0);
    pr_message message = message_of(PR_REQUEST);
    message.as.request.inst = 4242;
    int taken = 0;
    while (taken < 100000 && voice_say(all, v, &message)) taken++;
    assert_in_range(taken, 1000, 60000);
    voices_free(all);
}

/* Its own dial and ours cross: both ends keep the link that the smaller instance dialled. */
static void of_two_links_the_smaller_dialler_stays(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *teller = voice_link(all, 1, ALL_SPOKEN, 0, 0), *v = &all->v[0];
    v->inst = UINT64_MAX;
    pr_record record = record_of(v->name, v->inst, 5, 1);
    record.addresses_size = 1;
    strcpy(record.addresses[0], "v:1");
    voice_beat(all, teller, 0, &record, 1);
    voices_pass(all, 5);
    assert_int_not_equal(all->dial, 0);
    voice_link(all, 0, ALL_SPOKEN, 0, 0); /* its dial */
    assert_false(v->closed);
    pr_link old = v->link;
    all->v[2] = *v; /* watches the end of the old one */
    voice_link(all, 0, ALL_SPOKEN, 0, all->dial);
    assert_int_equal(all->v[2].link, old);
    assert_true(all->v[2].closed);
    assert_false(v->closed);
    voices_free(all);
}

static presence_owner track_and_update(voices *all) {
    presence_owner owner = world_owner(all->w, 0);
    presence_item item = {pr_cstr("mine"), pr_cstr("k"), pr_cstr("{}")};
    assert_int_equal(pr_engine_track_many(all->e, owner, &item, 1, world_time(all->w), NULL, NULL, NULL), 0);
    voices_act(all);
    voices_pass(all, 100);
    assert_int_equal(pr_engine_update(all->e, owner, item.topic, item.key, NULL, pr_cstr("{\"n\":1}"),
                                      world_time(all->w), NULL, NULL),
                     0);
    voices_act(all);
    voices_pass(all, 100);
    return owner;
}

static void subscribe_own(voices *all, voice *v) {
    pr_message message = message_of(PR_REQUEST);
    message.as.request = (pr_request){.inst = all->inst, .subscribe = true};
    voice_say(all, v, &message);
}

static void patches_go_only_to_who_has_the_feature(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *old = voice_link(all, 0, ALL_SPOKEN & ~(uint64_t)PR_FEATURE_PATCH, 0, 0);
    subscribe_own(all, old);
    track_and_update(all);
    assert_int_equal(old->frames[PR_SEGMENT], 2);
    assert_false(old->patch);
    voices_free(all);
}

static void a_frame_is_shared_only_with_the_like(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *old = voice_link(all, 0, ALL_SPOKEN & ~(uint64_t)PR_FEATURE_PATCH, 0, 0);
    voice *new = voice_link(all, 1, ALL_SPOKEN, 0, 0);
    subscribe_own(all, new);
    subscribe_own(all, old);
    track_and_update(all);
    assert_int_equal(old->frames[PR_SEGMENT], 2);
    assert_int_equal(new->frames[PR_SEGMENT], 2);
    assert_true(new->patch);
    assert_false(old->patch);
    voices_free(all);
}

/* ---- members ---- */
static void a_lower_pair_replaces_nobody(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice_link(all, 0, ALL_SPOKEN, 0, 0);
    voice *teller = voice_link(all, 1, ALL_SPOKEN, 0, 0);
    pr_record record = record_of("v0", 77, 4, 9);
    voice_beat(all, teller, 0, &record, 1);
    assert_int_equal(info_of(all, "v0").inst, VOICE_INST);
    voices_free(all);
}

static void who_is_long_dead_is_not_taken_in(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *teller = voice_link(all, 1, ALL_SPOKEN, 0, 0);
    pr_record record = record_of("x", 99, 4, 9);
    record.age_ms = all->w->nodes[0].options.permdown_ms;
    voice_beat(all, teller, 0, &record, 1);
    assert_false(pr_engine_probe_remembers(all->e, 99));
    voices_free(all);
}

static void leave(voices *all, voice *v) {
    pr_message message = message_of(PR_LEAVE);
    message.as.leave = (pr_leave){.inc = 5, .inst = v->inst};
    strcpy(message.as.leave.name, v->name);
    voice_say(all, v, &message);
}

static void no_heartbeat_opens_what_left(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *v = voice_link(all, 0, ALL_SPOKEN, 0, 0), *teller = voice_link(all, 1, ALL_SPOKEN, 0, 0);
    leave(all, v);
    assert_int_equal(info_of(all, "v0").status, 0);
    pr_record record = record_of("v0", v->inst, 5, 50);
    voice_beat(all, teller, 0, &record, 1);
    assert_int_equal(info_of(all, "v0").status, 0);
    assert_int_equal(all->w->nodes[0].ups, 2); /* v0 and v1, once each */
    voices_free(all);
}

static voices *short_lives(void) {
    pr_engine_options options = pr_engine_options_default();
    options.permdown_ms = 4000;
    return voices_new(&options);
}

/* Two permdown times, counted from the last advance. */
static void what_left_keeps_a_grave(void **state) {
    (void)state;
    voices *all = short_lives();
    voice *v = voice_link(all, 0, ALL_SPOKEN, 0, 0);
    leave(all, v);
    voices_pass(all, 7900);
    assert_true(pr_engine_probe_remembers(all->e, v->inst));
    voices_pass(all, 200);
    assert_false(pr_engine_probe_remembers(all->e, v->inst));
    voices_free(all);
}

static void who_is_forgotten_keeps_a_grave(void **state) {
    (void)state;
    voices *all = short_lives();
    voice *v = voice_link(all, 0, ALL_SPOKEN, 0, 0);
    voices_pass(all, 4100);
    assert_int_equal(all->w->nodes[0].permdowns, 1);
    voices_pass(all, 3800);
    assert_true(pr_engine_probe_remembers(all->e, v->inst));
    voices_pass(all, 200);
    assert_false(pr_engine_probe_remembers(all->e, v->inst));
    voices_free(all);
}

static void only_an_advance_ends_permdown(void **state) {
    (void)state;
    voices *all = short_lives();
    voice *v = voice_link(all, 0, ALL_SPOKEN, 0, 0);
    voices_pass(all, 4100);
    assert_int_equal(all->w->nodes[0].permdowns, 1);
    pr_message message = message_of(PR_PROBE);
    message.as.probe.inst = v->inst;
    voice_say(all, v, &message);
    assert_int_equal(all->w->nodes[0].ups, 1);
    voice_beat(all, v, 0, NULL, 0);
    assert_int_equal(all->w->nodes[0].ups, 2);
    voices_free(all);
}

/* What lay in the kernel while we stood still says nothing of now. */
static void what_waited_during_a_stall_proves_no_life(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *v = voice_link(all, 0, ALL_SPOKEN, 0, 0), *reader = voice_link(all, 1, ALL_SPOKEN, 0, 0);
    reader->watched = v->inst;
    uint64_t missing[] = {v->inst};
    pr_message message = message_of(PR_HEARTBEAT);
    message.as.heartbeat = (pr_heartbeat){.inc = 5, .hb = ++reader->hb, .unlinked = missing, .unlinked_size = 1};
    voice_say(all, reader, &message);
    all->w->now += BEFORE_LONG;
    message = message_of(PR_PROBE);
    message.as.probe.inst = v->inst;
    voice_say(all, v, &message);
    voices_pass(all, 1000);
    assert_int_equal(reader->about.inst, v->inst);
    assert_true(reader->about.age_ms >= BEFORE_LONG);
    voices_free(all);
}

/* ---- a log that returns (3.9.2), and one that is not there yet (3.3) ---- */
static voices *returning(voice **v) {
    voices *all = voices_new(NULL);
    *v = voice_link(all, 0, ALL_SPOKEN, 1, 0);
    voice_segment(all, *v, 0, 0, 1, 1, 1);
    assert_int_equal(world_shown(all->w, 0, "t"), 1);
    voices_pass(all, 4500);
    assert_int_equal(world_shown(all->w, 0, "t"), 0);
    return all;
}

static void a_version_in_a_heartbeat_ends_the_return(void **state) {
    (void)state;
    voice *v;
    voices *all = returning(&v);
    voice_beat(all, v, 5, NULL, 0); /* under load there is no `at` */
    voice_segment(all, v, 1, 1, 4, 4, 0);
    voices_pass(all, 10);
    assert_int_equal(world_shown(all->w, 0, "t"), 0);
    voice_segment(all, v, 4, 4, 5, 5, 0);
    voices_pass(all, 10);
    assert_int_equal(world_shown(all->w, 0, "t"), 1);
    voices_free(all);
}

static void the_first_version_ends_the_return(void **state) {
    (void)state;
    voice *v;
    voices *all = returning(&v);
    voice_beat(all, v, 5, NULL, 0);
    voice_beat(all, v, 9, NULL, 0); /* it goes on writing */
    voice_segment(all, v, 1, 1, 5, 5, 0);
    voices_pass(all, 10);
    assert_int_equal(world_shown(all->w, 0, "t"), 1);
    voices_free(all);
}

static void synced_means_that_the_entities_are_there(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *v = voice_link(all, 0, ALL_SPOKEN, 10, 0);
    voice_segment(all, v, 0, 0, 1, 10, 1);
    assert_false(info_of(all, "v0").synced);
    voice_segment(all, v, 1, 10, 10, 10, 10);
    assert_true(info_of(all, "v0").synced);
    voices_free(all);
}

/* ---- what is told and believed of the silent ---- */

/* Voice 1 lives on: a heartbeat every half second, which asks about voice 0, until voice 0 is what `status` says. */
static void until_the_other_is(voices *all, voice *alive, int status) {
    uint64_t asked = all->v[0].inst, until = all->w->now + 20000;
    pr_message message = message_of(PR_HEARTBEAT);
    while (info_of(all, "v0").status != status && all->w->now < until) {
        message.as.heartbeat = (pr_heartbeat){.inc = 5, .hb = ++alive->hb, .unlinked = &asked, .unlinked_size = 1};
        voice_say(all, alive, &message);
        for (int i = 0; i < 50 && info_of(all, "v0").status != status; i++) voices_pass(all, 10);
    }
    assert_int_equal(info_of(all, "v0").status, status);
}

/* Who is asked for its log by hearsay of a version must have it from a living origin (3.8.2). */
static void a_copy_is_advertised_only_while_its_origin_is_heard(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *silent = voice_link(all, 0, ALL_SPOKEN, 1, 0), *alive = voice_link(all, 1, ALL_SPOKEN, 0, 0);
    voice_segment(all, silent, 0, 0, 1, 1, 1);
    alive->watched = silent->inst;
    voice_beat(all, silent, 1, NULL, 0);
    uint64_t asked = silent->inst;
    pr_message message = message_of(PR_HEARTBEAT);
    message.as.heartbeat = (pr_heartbeat){.inc = 5, .hb = ++alive->hb, .unlinked = &asked, .unlinked_size = 1};
    voice_say(all, alive, &message);
    voices_pass(all, 1100);
    assert_true(alive->about.has_version);
    assert_int_equal(alive->about.version, 1);
    until_the_other_is(all, alive, PRESENCE_MEMBER_SUSPECT);
    int beats = alive->frames[PR_HEARTBEAT];
    while (alive->frames[PR_HEARTBEAT] == beats) voices_pass(all, 10);
    assert_int_equal(info_of(all, "v0").status, PRESENCE_MEMBER_SUSPECT);
    assert_int_equal(alive->about.inst, silent->inst);
    assert_false(alive->about.has_version);
    voices_free(all);
}

/* Where it listens is hearsay: that nobody is there says nothing of it, only its silence does (6.2). */
static void a_refusal_counts_only_at_an_address_of_its_own(void **state) {
    (void)state;
    for (int own = 0; own < 2; own++) {
        voices *all = voices_new(NULL);
        voice *alive = voice_link(all, 1, ALL_SPOKEN, 0, 0);
        pr_record record = record_of("v0", all->v[0].inst, 5, ++all->v[0].hb);
        strcpy(record.addresses[0], "m3");
        record.addresses_size = 1;
        if (own)
            voice_link_as(all, 0, &record, 0, 0);
        else
            voice_beat(all, alive, 0, &record, 1);
        if (own) pr_engine_link_down(all->e, all->v[0].link, PR_END_CLOSED, world_time(all->w));
        voices_act(all);
        until_the_other_is(all, alive, PRESENCE_MEMBER_SUSPECT);
        for (int i = 0; i < 30 && all->dial == 0; i++) voices_pass(all, 10);
        assert_int_not_equal(all->dial, 0);
        pr_engine_dial_failed(all->e, all->dial, PR_DIAL_REFUSED, world_time(all->w));
        voices_act(all);
        assert_int_equal(info_of(all, "v0").status, own ? PRESENCE_MEMBER_DOWN : PRESENCE_MEMBER_SUSPECT);
        assert_string_equal(all->w->nodes[0].last_why, own ? "refused" : "silence");
        voices_free(all);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_index_is_defined_once),
        cmocka_unit_test(a_log_of_another_lane_is_ignored),
        cmocka_unit_test(a_greatest_inc_is_not_refuted),
        cmocka_unit_test(the_floor_does_not_fall),
        cmocka_unit_test(a_cursor_ends_with_its_copy),
        cmocka_unit_test(a_log_that_is_not_up_is_not_served),
        cmocka_unit_test(one_request_is_outstanding),
        cmocka_unit_test(a_relayed_log_is_subscribed_while_it_is_current),
        cmocka_unit_test(one_heartbeat_waits_on_a_full_link),
        cmocka_unit_test(who_does_not_read_its_answers_is_not_read),
        cmocka_unit_test(of_two_links_the_smaller_dialler_stays),
        cmocka_unit_test(patches_go_only_to_who_has_the_feature),
        cmocka_unit_test(a_frame_is_shared_only_with_the_like),
        cmocka_unit_test(a_lower_pair_replaces_nobody),
        cmocka_unit_test(who_is_long_dead_is_not_taken_in),
        cmocka_unit_test(no_heartbeat_opens_what_left),
        cmocka_unit_test(what_left_keeps_a_grave),
        cmocka_unit_test(who_is_forgotten_keeps_a_grave),
        cmocka_unit_test(only_an_advance_ends_permdown),
        cmocka_unit_test(what_waited_during_a_stall_proves_no_life),
        cmocka_unit_test(a_version_in_a_heartbeat_ends_the_return),
        cmocka_unit_test(the_first_version_ends_the_return),
        cmocka_unit_test(synced_means_that_the_entities_are_there),
        cmocka_unit_test(a_copy_is_advertised_only_while_its_origin_is_heard),
        cmocka_unit_test(a_refusal_counts_only_at_an_address_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

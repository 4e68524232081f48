/* An engine at a broker: what it publishes, what it takes, and what it asks for (protocol.md 3.7, 5.7, 6.5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine_broker.h"

static presence_owner tracked(lone *l, int count) {
    presence_owner owner;
    assert_int_equal(pr_engine_owner_open(l->engine, 0, lone_time(l), &owner), 0);
    for (int i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        presence_item item = {pr_cstr("t"), pr_cstr(key), pr_cstr("{\"n\":1}")};
        assert_int_equal(pr_engine_track_many(l->engine, owner, &item, 1, lone_time(l), NULL, NULL, NULL), 0);
    }
    lone_act(l);
    return owner;
}

static void update(lone *l, presence_owner owner) {
    assert_int_equal(pr_engine_update(l->engine, owner, pr_cstr("t"), pr_cstr("k0"), NULL, pr_cstr("{\"n\":2}"),
                                      lone_time(l), NULL, NULL),
                     0);
    lone_act(l);
}

/* ---- what is published ---- */
static void changes_are_published_from_the_last_version(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    lone_forget(l);
    tracked(l, 2);
    lone_run(l, 10);
    assert_int_equal(frames_of(l, PR_SEGMENT, PR_SUBJECT_LOG, OWN_INST), (int)l->size);
    uint64_t at = 0;
    for (size_t i = 0; i < l->size; i++) {
        assert_int_equal(l->frames[i].x, at);
        assert_int_equal(l->frames[i].T, at);
        assert_int_equal(l->frames[i].x2, l->frames[i].T2);
        assert_int_equal(l->frames[i].inst, OWN_INST);
        at = l->frames[i].T2;
    }
    assert_int_equal(at, 2);
    lone_run(l, 1000);
    assert_true(l->beat.has_at && l->beat.at == 2 && l->beat.version == 2);
    assert_true(l->beat.has_self && l->beat.self.fixed && l->beat.self.inst == OWN_INST);
    lone_free(l);
}

static void while_the_broker_is_down_nothing_is_published(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    pr_engine_broker_down(l->engine, lone_time(l));
    lone_forget(l);
    tracked(l, 3);
    lone_run(l, 3000);
    assert_int_equal(l->size, 0);
    pr_engine_broker_up(l->engine, lone_time(l));
    lone_act(l);
    assert_int_equal(frames_of(l, PR_SEGMENT, PR_SUBJECT_LOG, OWN_INST), 1);
    assert_true(l->frames[0].x == 0 && l->frames[0].T2 == 3);
    assert_int_equal(l->beat.at, 3);
    lone_free(l);
}

static void without_memory_it_is_published_a_second_later(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    pr_engine_broker_down(l->engine, lone_time(l));
    tracked(l, 3);
    lone_forget(l);
    l->heap.fail_in = 1;
    l->heap.fail_on = true;
    pr_engine_broker_up(l->engine, lone_time(l));
    l->heap.fail_in = 0;
    lone_act(l);
    assert_int_equal(l->size, 0);
    assert_int_equal(l->last_error, PRESENCE_ENOMEM);
    lone_run(l, 1000);
    assert_int_equal(frames_of(l, PR_SEGMENT, PR_SUBJECT_LOG, OWN_INST), 1);
    assert_true(l->frames[0].x == 0 && l->frames[0].T2 == 3);
    lone_free(l);
}

/* Removals that the ring does not hold would go as LIVE, which means nothing to who is elsewhere. */
static void what_the_ring_has_lost_is_pulled(void **state) {
    (void)state;
    pr_engine_options o = pr_engine_options_default();
    o.own_log.ring_min = o.own_log.ring_share = 0;
    lone *l = lone_new(&o);
    presence_owner owner = tracked(l, 2);
    lone_run(l, 10);
    lone_forget(l);
    assert_int_equal(pr_engine_untrack(l->engine, owner, pr_cstr("t"), pr_cstr("k0"), lone_time(l), NULL), 0);
    lone_run(l, 1000);
    assert_int_equal(frames_of(l, PR_LIVE, PR_SUBJECT_LOG, OWN_INST), 0);
    assert_int_equal(l->beat.at, 3);
    lone_free(l);
}

static bool patched(uint64_t features) {
    lone *l = lone_new(NULL);
    presence_owner owner = tracked(l, 1);
    pr_message message = beat_of(0, 1, 0);
    message.as.heartbeat.self.features = features;
    lone_hear(l, beats(), &message);
    lone_run(l, 10);
    lone_forget(l);
    update(l, owner);
    lone_run(l, 10);
    assert_int_equal(frames_of(l, PR_SEGMENT, PR_SUBJECT_LOG, OWN_INST), 1);
    bool patch = l->frames[0].patch;
    lone_free(l);
    return patch;
}

static void what_is_published_all_members_can_read(void **state) {
    (void)state;
    assert_true(patched(ALL_SPOKEN));
    assert_false(patched(ALL_SPOKEN & ~PR_FEATURE_PATCH));
}

/* ---- who is there ---- */
static void who_is_heard_first_is_greeted(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    lone_forget(l);
    other_beats(l, 0, 0);
    other_beats(l, 0, 0);
    assert_int_equal(lone_info(l, "o0").status, PRESENCE_MEMBER_UP);
    assert_int_equal(frames_of(l, PR_HEARTBEAT, PR_SUBJECT_INBOX, OTHER), 1);
    lone_free(l);
}

static void only_an_advance_is_a_sign_of_life(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    pr_message message = beat_of(0, 1, 0);
    for (int i = 0; i < 40; i++) {
        lone_hear(l, beats(), &message); /* doubled, again and again */
        lone_run(l, 250);
    }
    assert_int_equal(lone_info(l, "o0").status, PRESENCE_MEMBER_DOWN);
    other_beats(l, 0, 0); /* 1: old */
    assert_int_equal(lone_info(l, "o0").status, PRESENCE_MEMBER_DOWN);
    other_beats(l, 0, 0);
    assert_int_equal(lone_info(l, "o0").status, PRESENCE_MEMBER_UP);
    lone_free(l);
}

/* Its last heartbeat waited while we stood still and proves nothing: held DOWN, it would keep its next run, of a lesser
 * pair, out for the time of a grave, since nobody is told of an observer. */
static void an_observer_that_never_was_up_is_soon_gone(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    l->now += 20000;
    pr_engine_tick(l->engine, lone_time(l));
    lone_act(l);
    pr_message message = beat_of(0, 1, 0);
    message.as.heartbeat.self.observer = true;
    message.as.heartbeat.self.inc = message.as.heartbeat.inc = 6;
    lone_hear(l, beats(), &message);
    assert_int_equal(lone_info(l, "o0").status, PRESENCE_MEMBER_DOWN);
    lone_run(l, 20000);
    assert_int_equal(lone_info(l, "o0").status, 0);
    message.as.heartbeat.self.inst++;
    message.as.heartbeat.self.inc = message.as.heartbeat.inc = 5;
    lone_hear(l, beats(), &message);
    assert_int_equal(lone_info(l, "o0").status, PRESENCE_MEMBER_UP);
    lone_free(l);
}

static void leave_ends_a_member_at_once(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    other_beats(l, 0, 1);
    other_says(l, log_of(OTHER), 0, 0, 1, false);
    assert_int_equal(l->joins, 1);
    pr_message message;
    memset(&message, 0, sizeof message);
    message.type = PR_LEAVE;
    message.as.leave = (pr_leave){.inc = 5, .inst = OTHER, .name = "o0"};
    lone_hear(l, beats(), &message);
    lone_run(l, 0);
    assert_int_equal(l->lefts, 1);
    assert_int_equal(l->leaves, 1);
    other_beats(l, 0, 1); /* it was on its way */
    assert_int_equal(l->ups, 1);
    lone_forget(l);
    pr_engine_leave(l->engine, lone_time(l));
    lone_act(l);
    assert_int_equal(frames_of(l, PR_LEAVE, PR_SUBJECT_BEATS, 0), 1);
    lone_free(l);
}

static void an_unknown_version_is_told_once(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    for (uint64_t hb = 1; hb < 4; hb++) {
        pr_message message = beat_of(0, hb, 0);
        message.as.heartbeat.self.proto = 2;
        lone_hear(l, beats(), &message);
    }
    assert_int_equal(lone_info(l, "o0").status, 0);
    assert_int_equal(l->errors, 1);
    assert_int_equal(l->last_error, PRESENCE_EVERSION);
    lone_free(l);
}

/* Who lists an instance as not heard is told of it until its next heartbeat is surely there. */
static void who_is_not_heard_elsewhere_is_told(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    other_beats(l, 0, 0);
    other_beats(l, 1, 0);
    lone_run(l, 2500);
    lone_forget(l);
    uint64_t unlinked = OTHER;
    pr_message message = beat_of(1, ++l->hb, 0);
    message.as.heartbeat.unlinked = &unlinked;
    message.as.heartbeat.unlinked_size = 1;
    l->watched = OTHER;
    lone_hear(l, beats(), &message);
    for (int i = 0; i < 2; i++) {
        l->told = false;
        lone_run(l, 1000);
        assert_true(l->told);
    }
    lone_free(l);
}

/* Who was DOWN and is heard of elsewhere rises once. */
static void a_rise_by_hearsay_is_told_once(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    other_beats(l, 0, 0);
    lone_run(l, 20000);
    assert_int_equal(l->downs, 1);
    pr_message message = beat_of(1, 1, 0);
    pr_record record = message.as.heartbeat.self;
    record.inst = OTHER;
    record.hb = 9;
    strcpy(record.name, "o0");
    message.as.heartbeat.digest = (pr_records){&record, 1};
    l->ups = 0;
    lone_hear(l, beats(), &message);
    assert_int_equal(lone_info(l, "o0").status, PRESENCE_MEMBER_UP);
    assert_int_equal(l->ups, 2); /* and o1, which told */
    lone_free(l);
}

/* ---- frames of logs ---- */
static void a_gap_is_asked_for(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    other_beats(l, 0, 0);
    other_says(l, log_of(OTHER), 0, 0, 1, false);
    lone_forget(l);
    other_says(l, log_of(OTHER), 0, 2, 3, false); /* 1 to 2 is lost */
    assert_int_equal(frames_of(l, PR_REQUEST, PR_SUBJECT_INBOX, OTHER), 1);
    assert_int_equal(l->request.inst, OTHER);
    assert_int_equal(l->request.from, OWN_INST);
    assert_true(l->request.state.have == 1 && l->request.state.asof == 1 && !l->request.subscribe);
    other_says(l, log_of(OTHER), 0, 3, 4, false); /* one request is outstanding */
    assert_int_equal(frames_of(l, PR_REQUEST, PR_SUBJECT_INBOX, OTHER), 1);
    other_says(l, inbox(OWN_INST), 0, 1, 2, true); /* the answer, with more to come */
    assert_int_equal(frames_of(l, PR_REQUEST, PR_SUBJECT_INBOX, OTHER), 2);
    assert_int_equal(l->request.state.have, 2);
    other_says(l, inbox(OWN_INST), 0, 2, 4, false);
    assert_int_equal(l->joins, 3);
    other_says(l, log_of(OTHER), 0, 2, 3, false); /* late: stale */
    other_says(l, log_of(OTHER), 0, 3, 4, false);
    assert_int_equal(l->joins, 3);
    assert_int_equal(l->leaves, 0);
    lone_free(l);
}

static void answers_are_taken_while_they_are_waited_for(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    other_beats(l, 0, 0);
    other_says(l, inbox(OWN_INST), 0, 0, 1, false); /* nobody asked */
    assert_int_equal(l->joins, 0);
    other_beats(l, 0, 1);
    other_says(l, inbox(OWN_INST), 0, 0, 1, false);
    assert_int_equal(l->joins, 1);
    lone_free(l);
}

static void a_log_stands_under_its_own_subject(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    other_beats(l, 0, 0);
    other_beats(l, 1, 0);
    other_says(l, log_of(OTHER), 1, 0, 1, false);
    assert_int_equal(l->joins, 0);
    other_says(l, log_of(OTHER + 1), 1, 0, 1, false);
    assert_int_equal(l->joins, 1);
    lone_free(l);
}

static void eight_requests_are_outstanding(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    int asked = 0;
    for (int i = 0; i < 10; i++) {
        other_beats(l, i, 1);
        asked += frames_of(l, PR_REQUEST, PR_SUBJECT_INBOX, OTHER + (uint64_t)i);
    }
    assert_int_equal(asked, 8);
    lone_forget(l);
    other_says(l, inbox(OWN_INST), 0, 0, 1, false); /* one is answered */
    other_beats(l, 9, 1);
    assert_int_equal(frames_of(l, PR_REQUEST, PR_SUBJECT_INBOX, OTHER + 9), 1);
    lone_free(l);
}

/* ---- answers ---- */
static void ask(lone *l, uint64_t inst, uint64_t version) {
    pr_message message;
    memset(&message, 0, sizeof message);
    message.type = PR_REQUEST;
    message.as.request = (pr_request){.inst = inst, .from = OTHER};
    message.as.request.state = (pr_state){.have = version, .asof = version, .floor = version};
    lone_forget(l);
    lone_hear(l, inbox(OWN_INST), &message);
}

static void an_answer_is_eight_frames_and_says_whether_there_is_more(void **state) {
    (void)state;
    pr_engine_options o = pr_engine_options_default();
    o.own_log.chunk_target = 1; /* one entity a frame */
    lone *l = lone_new(&o);
    tracked(l, 20);
    ask(l, OWN_INST, 0);
    assert_int_equal(l->size, ANSWER);
    for (size_t i = 0; i < l->size; i++) assert_int_equal(l->frames[i].more, i == l->size - 1);
    ask(l, OWN_INST, 20 - ANSWER);
    assert_int_equal(l->size, ANSWER);
    assert_false(l->frames[l->size - 1].more);
    assert_int_equal(frames_of(l, PR_SEGMENT, PR_SUBJECT_INBOX, OTHER), ANSWER);
    ask(l, OWN_INST, 20);
    assert_int_equal(l->size, 0);
    lone_free(l);
}

static void what_cannot_be_served_is_refused(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    ask(l, 4711, 0);
    assert_int_equal(frames_of(l, PR_NAK, PR_SUBJECT_INBOX, OTHER), 1);
    assert_int_equal(l->frames[0].inst, 4711);
    ask(l, OWN_INST, 5); /* beyond what there is */
    assert_int_equal(frames_of(l, PR_NAK, PR_SUBJECT_INBOX, OTHER), 1);
    ask(l, OTHER, 0); /* its own log */
    assert_int_equal(frames_of(l, PR_NAK, PR_SUBJECT_INBOX, OTHER), 1);
    lone_free(l);
}

/* ---- what is no message ---- */
static void what_is_no_frame_is_dropped_and_told_once(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    pr_message message = beat_of(0, 1, 0);
    pr_buffer buffer;
    pr_buffer_init(&buffer, &l->alloc, PR_FRAME_MAX);
    assert_int_equal(pr_encode(&buffer, &message, PR_FRAME_MAX), 0);
    for (size_t size = 0; size < buffer.size; size++) lone_hear_bytes(l, beats(), buffer.data, size);
    buffer.data[buffer.size / 2] ^= 1;
    lone_hear_bytes(l, beats(), buffer.data, buffer.size);
    pr_buffer_append(&buffer, "", 1);
    buffer.data[buffer.size / 2] ^= 1;
    lone_hear_bytes(l, beats(), buffer.data, buffer.size);
    pr_buffer_free(&buffer);
    assert_int_equal(lone_info(l, "o0").status, 0);
    assert_int_equal(l->errors, 1);
    assert_int_equal(l->last_error, PRESENCE_EPROTOCOL);
    lone_free(l);
}

static void a_message_without_crc_is_dropped(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    pr_message message = beat_of(0, 1, 0);
    pr_buffer buffer;
    pr_buffer_init(&buffer, &l->alloc, PR_FRAME_MAX);
    assert_int_equal(pr_encode(&buffer, &message, PR_FRAME_MAX), 0);
    buffer.data[3] &= 0xbf; /* bit 30 */
    lone_hear_bytes(l, beats(), buffer.data, buffer.size - PR_CRC_SIZE);
    pr_buffer_free(&buffer);
    assert_int_equal(lone_info(l, "o0").status, 0);
    lone_free(l);
}

/* Who does not know us may pack what we cannot open: lost, and no broken protocol. */
static void what_is_packed_otherwise_is_lost(void **state) {
    (void)state;
    pr_engine_options o = pr_engine_options_default();
    o.features &= ~(uint64_t)PR_FEATURE_LZ4;
    lone *l = lone_new(&o);
    other_beats(l, 0, 0);
    char meta[400];
    snprintf(meta, sizeof meta, "{\"pad\":\"%0300d\"}", 0);
    pr_up up = {.eid = 1, .dot = 1, .topic = pr_cstr("t"), .key = pr_cstr("k"), .meta = pr_cstr(meta), .topic_id = 1};
    pr_message message = {.type = PR_SEGMENT};
    message.as.segment = (pr_segment){.x2 = 1, .T2 = 1, .ups = &up, .ups_size = 1, .inst = OTHER};
    for (enum pr_codec codec = PR_CODEC_LZ4; codec <= PR_CODEC_ZSTD; codec++) {
        pr_buffer buffer;
        pr_compressor compressor;
        pr_buffer_init(&buffer, &l->alloc, PR_FRAME_MAX);
        pr_compressor_init(&compressor, &l->alloc, 0);
        assert_int_equal(pr_encode_compressed(&compressor, codec, &buffer, &message, PR_FRAME_MAX), 0);
        assert_true(compressor.saved > 0);
        lone_hear_bytes(l, log_of(OTHER), buffer.data, buffer.size);
        pr_buffer_free(&buffer);
        pr_compressor_free(&compressor);
        assert_int_equal(l->joins, codec == PR_CODEC_ZSTD); /* that one it knows */
    }
    assert_int_equal(l->errors, 0);
    lone_free(l);
}

/* HELLO, LOGDEF, PROBE and the like are of links; a SEG is no heartbeat, a heartbeat no log. */
static void what_stands_elsewhere_is_dropped(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    pr_message message = beat_of(0, 1, 0);
    lone_hear(l, log_of(OTHER), &message);
    lone_hear(l, inbox(OTHER), &message); /* somebody else's */
    assert_int_equal(lone_info(l, "o0").status, 0);
    lone_hear(l, inbox(OWN_INST), &message); /* a greeting */
    assert_int_equal(lone_info(l, "o0").status, PRESENCE_MEMBER_UP);
    other_says(l, beats(), 0, 0, 1, false);
    memset(&message, 0, sizeof message);
    message.type = PR_PROBE;
    message.as.probe = (pr_probe){.inst = OWN_INST, .id = 3};
    lone_forget(l);
    lone_hear(l, inbox(OWN_INST), &message);
    lone_hear(l, beats(), &message);
    assert_int_equal(l->joins + l->errors + (int)l->size, 0);
    presence_statistics stats = {.size = sizeof stats};
    pr_engine_stats(l->engine, &stats);
    assert_int_equal(stats.frames_dropped, 5);
    lone_free(l);
}

/* Greater than we are, and perhaps dead: we rise above it. */
static void another_of_my_name_is_refuted(void **state) {
    (void)state;
    lone *l = lone_new(NULL);
    pr_message message = beat_of(0, 1, 0);
    message.as.heartbeat.inc = message.as.heartbeat.self.inc = 9;
    strcpy(message.as.heartbeat.self.name, "a");
    lone_hear(l, beats(), &message);
    lone_run(l, 1000);
    assert_int_equal(l->beat.inc, 10);
    lone_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_published_from_the_last_version),
        cmocka_unit_test(while_the_broker_is_down_nothing_is_published),
        cmocka_unit_test(without_memory_it_is_published_a_second_later),
        cmocka_unit_test(what_the_ring_has_lost_is_pulled),
        cmocka_unit_test(what_is_published_all_members_can_read),
        cmocka_unit_test(who_is_heard_first_is_greeted),
        cmocka_unit_test(only_an_advance_is_a_sign_of_life),
        cmocka_unit_test(an_observer_that_never_was_up_is_soon_gone),
        cmocka_unit_test(leave_ends_a_member_at_once),
        cmocka_unit_test(an_unknown_version_is_told_once),
        cmocka_unit_test(who_is_not_heard_elsewhere_is_told),
        cmocka_unit_test(a_rise_by_hearsay_is_told_once),
        cmocka_unit_test(a_gap_is_asked_for),
        cmocka_unit_test(answers_are_taken_while_they_are_waited_for),
        cmocka_unit_test(a_log_stands_under_its_own_subject),
        cmocka_unit_test(eight_requests_are_outstanding),
        cmocka_unit_test(an_answer_is_eight_frames_and_says_whether_there_is_more),
        cmocka_unit_test(what_cannot_be_served_is_refused),
        cmocka_unit_test(what_is_no_frame_is_dropped_and_told_once),
        cmocka_unit_test(a_message_without_crc_is_dropped),
        cmocka_unit_test(what_is_packed_otherwise_is_lost),
        cmocka_unit_test(what_stands_elsewhere_is_dropped),
        cmocka_unit_test(another_of_my_name_is_refuted),
    };
    cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}

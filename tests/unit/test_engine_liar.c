/* What a member that has proven itself can and cannot do with lies: docs/security.md, line by line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine_liar.h"

/* a and b are linked and each has a presence; the liar is linked with a. */
typedef struct stage {
    world *w;
    liar liar;
    uint64_t a, b; /* inst */
} stage;

static uint64_t inst_of(stage *s, int at, const char *name, uint64_t *inc) {
    pr_member_info info;
    assert_int_not_equal(world_status(s->w, at, name, &info), 0);
    if (inc) *inc = info.inc;
    return info.inst;
}

static int setup(void **state) {
    stage *s = calloc(1, sizeof *s);
    s->w = world_new();
    world_pair(s->w);
    assert_int_equal(world_track(s->w, 0, world_owner(s->w, 0), "room", "of a", "{}"), 0);
    assert_int_equal(world_track(s->w, 1, world_owner(s->w, 1), "room", "of b", "{}"), 0);
    world_run(s->w, 200);
    s->a = inst_of(s, 0, "a", NULL);
    s->b = inst_of(s, 1, "b", NULL);
    liar_link(&s->liar, s->w, 0, "liar");
    assert_true(liar_linked(&s->liar));
    *state = s;
    return 0;
}

static int teardown(void **state) {
    stage *s = *state;
    liar_free(&s->liar);
    world_free(s->w);
    free(s);
    return 0;
}

static bool shows(stage *s, int at, const char *key) {
    pr_rows *rows;
    bool found = false;
    assert_int_equal(pr_store_list(pr_engine_store(s->w->nodes[at].engine), pr_cstr("room"), &rows), 0);
    for (size_t i = 0; i < rows->size; i++) found |= pr_str_equal(rows->rows[i].key, pr_cstr(key));
    pr_rows_free(rows);
    return found;
}

static void expect_both_shown(stage *s) {
    for (int at = 0; at < 2; at++) {
        assert_true(shows(s, at, "of a"));
        assert_true(shows(s, at, "of b"));
        assert_false(shows(s, at, "forged"));
        assert_int_equal(s->w->nodes[at].yields, 0);
        assert_int_equal(s->w->nodes[at].leaves, 0);
    }
}

static void expect_thrown_out(stage *s) {
    assert_false(liar_linked(&s->liar));
    assert_int_equal(s->liar.error, PR_ERROR_PROTOCOL);
    world_run(s->w, 3000);
    expect_both_shown(s);
}

/* Time passes, and the liar beats as members do. */
static void live(stage *s, int seconds) {
    for (int i = 0; i < seconds * 2; i++) {
        world_run(s->w, 500);
        liar_hear(&s->liar);
        liar_beat(&s->liar, 100 + s->w->now, NULL);
    }
}

/* ---- what it cannot do ---- */
static void write_the_log_of_its_receiver(void **state) {
    stage *s = *state;
    liar_forge(&s->liar, s->a, "a", "forged");
    expect_thrown_out(s);
}

static void say_the_leave_of_another(void **state) {
    stage *s = *state;
    pr_message message = liar_message(PR_LEAVE);
    message.as.leave.inst = s->b;
    inst_of(s, 0, "b", &message.as.leave.inc);
    strcpy(message.as.leave.name, "b");
    liar_say(&s->liar, &message);
    expect_thrown_out(s);
}

static void write_a_log_it_was_not_asked_for(void **state) {
    stage *s = *state;
    liar_forge(&s->liar, s->b, "b", "forged");
    live(s, 3);
    assert_true(liar_linked(&s->liar)); /* it may have been asked a moment ago */
    expect_both_shown(s);
}

/* A newer version of b's log is said to be here; b itself is linked, so nobody else is asked for it. */
static void be_asked_for_a_log_whose_origin_is_linked(void **state) {
    stage *s = *state;
    uint64_t inc;
    inst_of(s, 0, "b", &inc);
    for (uint64_t i = 0; i < 10; i++) {
        pr_record record = liar_record("b", s->b, inc, 1000 + i);
        record.has_version = true;
        record.version = 1000 + i;
        liar_beat(&s->liar, 10 + i, &record);
        world_run(s->w, 700);
        liar_forge(&s->liar, s->b, "b", "forged");
    }
    assert_int_equal(s->liar.asked, 0);
    expect_both_shown(s);
}

/* By rumours: records that are old or say that it beats a thousand times a second, lists of those whom the liar cannot
 * reach, answers that were not asked for. */
static void rumour(stage *s, uint64_t i, uint64_t age_ms, uint32_t period_ms) {
    uint64_t inc;
    inst_of(s, 0, "b", &inc);
    pr_record record = liar_record("b", s->b, inc, 1000 + i);
    record.age_ms = age_ms;
    record.period_ms = period_ms;
    pr_message message = liar_message(PR_HEARTBEAT);
    message.as.heartbeat.inc = 5;
    message.as.heartbeat.hb = 10 + i;
    message.as.heartbeat.unlinked = &s->b;
    message.as.heartbeat.unlinked_size = 1;
    message.as.heartbeat.digest = (pr_records){&record, 1};
    liar_say(&s->liar, &message);
    message = liar_message(PR_PROBE_ACK);
    message.as.probe_ack = (pr_probe_ack){.inst = s->b, .id = (uint32_t)i, .silence_ms = 600000};
    liar_say(&s->liar, &message);
}

static void have_one_judged_dead_whose_link_lives(void **state) {
    stage *s = *state;
    for (uint64_t i = 0; i < 20; i++) {
        rumour(s, i, i % 2 ? 600000 : 0, i < 10 ? 1000 : 1);
        world_run(s->w, 700);
        liar_hear(&s->liar);
    }
    assert_int_equal(s->w->nodes[0].downs + s->w->nodes[0].suspects, 0);
    assert_true(liar_linked(&s->liar));
    expect_both_shown(s);
}

/* ---- what it can do ---- */
static void lie_about_itself(void **state) {
    stage *s = *state;
    liar_forge(&s->liar, LIAR_INST, "liar", "anything");
    assert_true(shows(s, 0, "anything"));
    liar_hang_up(&s->liar);
    world_run(s->w, 10000);
    assert_false(shows(s, 0, "anything"));
    assert_false(shows(s, 1, "anything")); /* a relayed it, as was asked */
    assert_int_equal(s->w->nodes[0].leaves, 1);
    s->w->nodes[0].leaves = s->w->nodes[1].leaves = 0;
    expect_both_shown(s);
}

/* c is known to a through the liar alone: what the liar says of it is believed, until c is reached. */
static void invent_presences_of_one_who_cannot_be_reached(void **state) {
    stage *s = *state;
    uint64_t c = 0xC0FFEE;
    pr_record record = liar_record("c", c, 1, 1);
    record.has_version = true;
    record.version = 1000;
    for (uint64_t i = 0; i < 6 && s->liar.asked != c; i++) {
        record.hb++;
        liar_beat(&s->liar, 10 + i, &record);
        world_run(s->w, 500);
        liar_hear(&s->liar);
    }
    assert_int_equal(s->liar.asked, c);
    liar_forge(&s->liar, c, "c", "forged");
    assert_true(shows(s, 0, "forged"));
    assert_true(shows(s, 0, "of b"));
    liar_hang_up(&s->liar); /* nobody else hears of c: it is gone with the liar */
    world_run(s->w, 15000);
    assert_false(shows(s, 0, "forged"));
    assert_true(shows(s, 0, "of b"));
}

/* As long as it says that it hears it; who is linked with nobody but the liar is gone with the liar. */
static void keep_one_shown_who_is_dead(void **state) {
    stage *s = *state;
    uint64_t inc;
    s->w->nodes[0].options.trust_refused = false;
    inst_of(s, 0, "b", &inc);
    world_kill(s->w, 1, false);
    for (uint64_t i = 0; i < 30; i++) {
        pr_record record = liar_record("b", s->b, inc, 1000 + i);
        liar_beat(&s->liar, 10 + i, &record);
        world_run(s->w, 500);
        liar_hear(&s->liar);
    }
    assert_true(shows(s, 0, "of b"));
    liar_hang_up(&s->liar);
    world_run(s->w, 20000);
    assert_false(shows(s, 0, "of b"));
}

/* For as long as it takes b to hear of it: b refutes, and is shown again. */
static void hide_another_by_a_claim_of_its_name(void **state) {
    stage *s = *state;
    uint64_t inc;
    inst_of(s, 0, "b", &inc);
    pr_record record = liar_record("b", 0xBAD, inc + 10, 1);
    liar_beat(&s->liar, 10, &record);
    world_run(s->w, 5);
    assert_false(shows(s, 0, "of b"));
    live(s, 4);
    assert_true(shows(s, 0, "of b"));
    assert_true(shows(s, 1, "of b"));
    assert_int_equal(s->w->nodes[1].yields, 0);
}

/* A claim that beats on is a twin, and of twins one stops. */
static void stop_another_by_living_under_its_name(void **state) {
    stage *s = *state;
    uint64_t inc;
    liar second = {0};
    liar_link(&second, s->w, 1, "other");
    for (uint64_t i = 0; i < 6 && s->w->nodes[1].yields == 0; i++) {
        if (i < 5) inst_of(s, 1, "b", &inc);
        pr_record record = liar_record("b", 0xBAD, inc + 1, 10 + i);
        liar_beat(&second, 10 + i, &record);
        world_run(s->w, 600);
    }
    assert_int_equal(s->w->nodes[1].yields, 1);
    liar_free(&second);
}

/* LEFT is final for an instance: who hears it of itself stops. */
static void stop_another_by_saying_that_it_has_left(void **state) {
    stage *s = *state;
    uint64_t inc;
    inst_of(s, 0, "b", &inc);
    pr_record record = liar_record("b", s->b, inc, 1000);
    record.left = true;
    liar_beat(&s->liar, 10, &record);
    live(s, 3);
    assert_false(shows(s, 0, "of b"));
    assert_int_equal(s->w->nodes[1].yields, 1);
    assert_int_equal(s->w->nodes[0].yields, 0);
}

/* Any address that it names is dialled; who answers there has to prove itself like all others. */
static void make_others_dial(void **state) {
    stage *s = *state;
    world_start(s->w, 2, "c", 0);
    pr_record record = liar_record("nobody", 0xD1A1, 1, 1);
    strcpy(record.addresses[0], "m2");
    record.addresses_size = 1;
    liar_beat(&s->liar, 10, &record);
    live(s, 2);
    assert_int_equal(world_status(s->w, 0, "c", NULL), PRESENCE_MEMBER_UP);
    expect_both_shown(s);
}

int main(void) {
#define LIE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        LIE(write_the_log_of_its_receiver),
        LIE(say_the_leave_of_another),
        LIE(write_a_log_it_was_not_asked_for),
        LIE(be_asked_for_a_log_whose_origin_is_linked),
        LIE(have_one_judged_dead_whose_link_lives),
        LIE(lie_about_itself),
        LIE(invent_presences_of_one_who_cannot_be_reached),
        LIE(keep_one_shown_who_is_dead),
        LIE(hide_another_by_a_claim_of_its_name),
        LIE(stop_another_by_living_under_its_name),
        LIE(stop_another_by_saying_that_it_has_left),
        LIE(make_others_dial),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

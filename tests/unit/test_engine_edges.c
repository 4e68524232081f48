/* What only a strange program or a strange peer brings: options that cannot be, limits of its own, HELLOs that say
 * nothing, a mirror, errors by their codes, a member of several addresses, definitions without end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine_voices.h"

/* ---- options ---- */
static int tried(const pr_engine_options *o) {
    pr_alloc alloc = pr_alloc_default();
    pr_engine *e = NULL;
    int rc = pr_engine_new(&alloc, o, (pr_time){1, 1}, &e);
    if (rc == 0) pr_engine_free(e);
    return rc;
}

static pr_engine_options plain(void) {
    pr_engine_options o = pr_engine_options_default();
    o.name = pr_cstr("a");
    o.inst = 7;
    return o;
}

#define IMPOSSIBLE(field, bad)                                                                                         \
    do {                                                                                                               \
        pr_engine_options o = plain();                                                                                 \
        o.field = bad;                                                                                                 \
        assert_int_equal(tried(&o), PRESENCE_EINVAL);                                                                  \
    } while (0)

static void options_that_cannot_be_are_refused(void **state) {
    (void)state;
    static char long_text[PR_ADDRESS_MAX + 2];
    memset(long_text, 'x', sizeof long_text - 1);
    pr_engine_options good = plain();
    assert_int_equal(tried(&good), 0);
    IMPOSSIBLE(name, pr_cstr(""));
    IMPOSSIBLE(name, pr_cstr(long_text));
    IMPOSSIBLE(name, pr_cstr("\xff"));
    IMPOSSIBLE(cluster, pr_cstr(""));
    IMPOSSIBLE(cluster, pr_cstr(long_text));
    IMPOSSIBLE(inst, 0);
    IMPOSSIBLE(addresses_size, PR_ADDRESSES_MAX + 1);
    IMPOSSIBLE(heartbeat_ms, 0);
    IMPOSSIBLE(max_frame, PR_FRAME_MIN - 1);
    IMPOSSIBLE(max_frame, PR_FRAME_MAX + 1);
    IMPOSSIBLE(sweep_slice, 0);
    IMPOSSIBLE(low_water, good.high_water + 1);
    IMPOSSIBLE(meta_bytes, PR_META_MAX + 1);
    IMPOSSIBLE(key_bytes, PR_KEY_MAX + 1);
    IMPOSSIBLE(topic_bytes, PR_TOPIC_MAX + 1);
    good.addresses[0] = pr_cstr(long_text);
    good.addresses_size = 1;
    assert_int_equal(tried(&good), PRESENCE_EINVAL);
}

static void limits_of_its_own(void **state) {
    (void)state;
    world *w = world_new();
    w->nodes[0].options = pr_engine_options_default();
    w->nodes[0].options.topic_bytes = w->nodes[0].options.key_bytes = 4;
    w->nodes[0].options.entries_max = 2;
    world_start(w, 0, "a", 0);
    presence_owner o = world_owner(w, 0);
    assert_int_equal(world_track(w, 0, o, "topic", "k", "{}"), PRESENCE_ELIMIT);
    assert_int_equal(world_track(w, 0, o, "t", "a key", "{}"), PRESENCE_ELIMIT);
    assert_int_equal(world_track(w, 0, o, "four", "four", "{}"), 0);
    const presence_item two[] = {{pr_cstr("t"), pr_cstr("k1"), pr_cstr("{}")},
                                 {pr_cstr("t"), pr_cstr("k2"), pr_cstr("{}")}};
    assert_int_equal(pr_engine_track_many(w->nodes[0].engine, o, two, 2, world_time(w), NULL, NULL, NULL),
                     PRESENCE_ELIMIT);
    assert_int_equal(world_shown(w, 0, "t"), 0);
    assert_int_equal(pr_engine_track_many(w->nodes[0].engine, o, two, 1, world_time(w), NULL, NULL, NULL), 0);
    assert_int_equal(pr_engine_track_many(w->nodes[0].engine, o, two, 0, world_time(w), NULL, NULL, NULL), 0);
    assert_int_equal(pr_engine_untrack(w->nodes[0].engine, o, pr_cstr("t"), pr_cstr("k1"), world_time(w), NULL), 0);
    assert_int_equal(pr_engine_untrack_owner(w->nodes[0].engine, o, world_time(w), NULL), 0);
    assert_int_equal(world_shown(w, 0, "four"), 0);
    world_act(w, 0);
    world_free(w);
}

static void one_place_once_in_many(void **state) {
    (void)state;
    world *w = world_new();
    world_start(w, 0, "a", 0);
    presence_owner o = world_owner(w, 0);
    enum { MANY = 200 };
    static char keys[MANY][8];
    presence_item items[MANY];
    size_t bad = MANY;
    for (size_t i = 0; i < MANY; i++) { /* places that share a slot are told apart by their text */
        snprintf(keys[i], sizeof keys[i], "k%zu", i / 2);
        items[i] = (presence_item){pr_cstr(i % 2 ? "odd" : "even"), pr_cstr(keys[i]), pr_cstr("{}")};
    }
    items[MANY - 1] = items[3];
    assert_int_equal(pr_engine_track_many(w->nodes[0].engine, o, items, MANY, world_time(w), NULL, &bad, NULL),
                     PRESENCE_ETRACKED);
    assert_int_equal(bad, MANY - 1);
    assert_int_equal(world_shown(w, 0, "odd"), 0);
    assert_int_equal(pr_engine_track_many(w->nodes[0].engine, o, items, MANY - 1, world_time(w), NULL, &bad, NULL), 0);
    assert_int_equal(world_shown(w, 0, "odd"), MANY / 2 - 1);
    world_act(w, 0);
    world_free(w);
}

/* ---- after the end ---- */
static void assert_over(voices *all) {
    presence_owner o = 1;
    pr_time now = world_time(all->w);
    presence_item item = {pr_cstr("t"), pr_cstr("k"), pr_cstr("{}")};
    assert_int_equal(pr_engine_owner_open(all->e, 0, now, &o), PRESENCE_ECLOSED);
    assert_int_equal(pr_engine_owner_open(all->e, 500, now, &o), PRESENCE_ECLOSED);
    assert_int_equal(pr_engine_owner_touch(all->e, o, now), PRESENCE_ECLOSED);
    assert_int_equal(pr_engine_owner_close(all->e, o, now), PRESENCE_ECLOSED);
    assert_int_equal(pr_engine_track_many(all->e, o, &item, 1, now, NULL, NULL, NULL), PRESENCE_ECLOSED);
    assert_int_equal(pr_engine_update(all->e, o, item.topic, item.key, NULL, item.meta, now, NULL, NULL),
                     PRESENCE_ECLOSED);
    assert_int_equal(pr_engine_untrack(all->e, o, item.topic, item.key, now, NULL), PRESENCE_ECLOSED);
    assert_int_equal(pr_engine_untrack_owner(all->e, o, now, NULL), PRESENCE_ECLOSED);
    voice *late = &all->v[2];
    late->link = ++all->w->ids;
    late->closed = false;
    pr_engine_link_up(all->e, late->link, 0, now);
    voices_act(all);
    assert_true(late->closed);
    voice_bytes(all, late, "whatever", 8);
    voices_pass(all, 3000);
    assert_int_equal(all->dial, 0);
}

static void who_left_is_closed(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *v = voice_link(all, 0, ALL_SPOKEN, 0, 0);
    pr_engine_leave(all->e, world_time(all->w));
    pr_engine_leave(all->e, world_time(all->w)); /* again */
    voices_act(all);
    assert_int_equal(v->frames[PR_LEAVE], 1);
    voice_beat(all, v, 1, NULL, 0); /* on its way when we left */
    assert_over(all);
    voices_free(all);
}

static void who_yielded_is_closed(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *v = voice_link(all, 0, ALL_SPOKEN, 0, 0);
    pr_record record = record_of("a", all->inst, 1, 1); /* somebody closed our own instance for ever */
    record.left = true;
    voice_beat(all, v, 0, &record, 1);
    assert_int_equal(all->w->nodes[0].yields, 1);
    voice_beat(all, v, 0, &record, 1);
    assert_int_equal(all->w->nodes[0].yields, 1);
    assert_over(all);
    voices_free(all);
}

/* ---- HELLO ---- */
static void a_hello_without_a_proper_self_closes(void **state) {
    (void)state;
    for (int what = 0; what < 2; what++) {
        voices *all = voices_new(NULL);
        pr_record self = record_of("v0", all->v[0].inst, 5, 1);
        if (what == 0) self.left = true;
        if (what == 1) self.name[0] = 0;
        voice *v = voice_link_as(all, 0, &self, 0, 0);
        assert_true(v->closed);
        assert_int_equal(v->last_error, PR_ERROR_PROTOCOL);
        assert_int_equal(world_status(all->w, 0, "v0", NULL), 0);
        voices_free(all);
    }
}

static void a_mirror_is_told_that_it_is_one(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    pr_record self = record_of("a", all->inst, 5, 1);
    voice *v = voice_link_as(all, 0, &self, 0, 0);
    assert_true(v->closed);
    assert_int_equal(v->last_error, PR_ERROR_SELF);
    assert_int_equal(all->w->nodes[0].yields, 0);
    voices_free(all);
}

/* Who says in its HELLO that it holds more of our log than there is (3.7.8). */
static void a_claim_that_is_ahead_gets_nak(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *v = &all->v[0];
    uint8_t preamble[PR_PREAMBLE_SIZE];
    v->link = ++all->w->ids;
    pr_engine_link_up(all->e, v->link, 0, world_time(all->w));
    voices_act(all);
    pr_preamble_write(preamble);
    voice_bytes(all, v, preamble, sizeof preamble);
    pr_message message = message_of(PR_HELLO);
    strcpy(message.as.hello.cluster, "default");
    message.as.hello.self = record_of("v0", v->inst, 5, ++v->hb);
    message.as.hello.max_frame = PR_FRAME_MAX;
    message.as.hello.to = all->inst;
    message.as.hello.has_state = true;
    message.as.hello.state = (pr_state){.have = 9, .asof = 9, .floor = 9};
    voice_say(all, v, &message);
    assert_false(v->closed);
    assert_int_equal(v->frames[PR_NAK], 1);
    assert_int_equal(v->nak.inst, all->inst);
    assert_int_equal(v->nak.reason, PR_NAK_BEHIND);
    voices_free(all);
}

/* However great the pair of an observer is: it holds no name (3.9.8). */
static void a_member_takes_the_name_of_an_observer(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    pr_record looker = record_of("x", all->v[0].inst, 500, 1), member = record_of("x", all->v[1].inst, 1, 1);
    looker.observer = true;
    pr_member_info info;
    voice_link_as(all, 0, &looker, 0, 0);
    assert_int_equal(world_status(all->w, 0, "x", &info), PRESENCE_MEMBER_UP);
    assert_true(info.observer);
    voice *v = voice_link_as(all, 1, &member, 0, 0);
    assert_false(v->closed);
    assert_int_equal(world_status(all->w, 0, "x", &info), PRESENCE_MEMBER_UP);
    assert_false(info.observer);
    assert_int_equal(info.inst, v->inst);
    voices_free(all);
}

/* ---- ERROR ---- */
static void a_peers_error_is_told_by_its_code(void **state) {
    (void)state;
    static const struct {
        uint32_t code;
        int told;
    } all_codes[] = {{PR_ERROR_VERSION, PRESENCE_EVERSION},
                     {PR_ERROR_CLUSTER, PRESENCE_ECLUSTER},
                     {PR_ERROR_LIMIT, PRESENCE_ELIMIT},
                     {PR_ERROR_NAME, PRESENCE_ENAME},
                     {PR_ERROR_PROTOCOL, PRESENCE_EPROTOCOL},
                     {99, PRESENCE_EPROTOCOL},
                     {PR_ERROR_DUPLICATE, 0},
                     {PR_ERROR_SELF, 0},
                     {PR_ERROR_STOPPING, 0}};
    for (size_t i = 0; i < sizeof all_codes / sizeof *all_codes; i++) {
        voices *all = voices_new(NULL);
        voice *v = voice_link(all, 0, ALL_SPOKEN, 0, 0);
        pr_message message = message_of(PR_ERROR);
        message.as.error.code = all_codes[i].code;
        strcpy(message.as.error.text, "because");
        voice_say(all, v, &message);
        assert_true(v->closed);
        assert_int_equal(all->w->nodes[0].last_error, all_codes[i].told);
        voices_free(all);
    }
}

/* ---- several addresses ---- */
static void the_next_address_is_dialled_at_once(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *v = voice_link(all, 0, ALL_SPOKEN, 0, 0);
    pr_record record = record_of("x", 99, 1, 1);
    strcpy(record.addresses[0], "m2");
    strcpy(record.addresses[1], "m3");
    record.addresses_size = 2;
    voice_beat(all, v, 0, &record, 1);
    for (int i = 0; i < 100 && all->dial == 0; i++) { /* the greater instance leaves the lesser some time to dial */
        record.hb++;
        voice_beat(all, v, 0, &record, 1);
        voices_pass(all, 100);
    }
    uint64_t first = all->dial, at = all->w->now;
    assert_int_not_equal(first, 0);
    pr_engine_dial_failed(all->e, first, PR_DIAL_REFUSED, world_time(all->w));
    voices_act(all);
    voices_pass(all, 1);
    uint64_t second = all->dial;
    assert_int_not_equal(second, first);
    assert_true(all->w->now - at <= 1);
    pr_engine_dial_failed(all->e, second, PR_DIAL_TIMEOUT, world_time(all->w));
    voices_act(all);
    voices_pass(all, 10); /* the round is over: it waits now */
    assert_int_equal(all->dial, second);
    assert_int_equal(world_status(all->w, 0, "x", NULL), PRESENCE_MEMBER_UP);
    voices_free(all);
}

/* ---- definitions ---- */
/* Of logs nobody knows: they are dropped in time, and the link stays. */
static void definitions_without_end_are_forgotten(void **state) {
    (void)state;
    voices *all = voices_new(NULL);
    voice *v = voice_link(all, 0, ALL_SPOKEN, 0, 0);
    pr_message message = message_of(PR_LOGDEF);
    strcpy(message.as.logdef.name, "x");
    for (uint32_t i = 1; i <= 4 * PR_MEMBERS_MAX; i++) {
        message.as.logdef.log = i;
        message.as.logdef.inst = 100000 + i;
        voice_say(all, v, &message);
    }
    assert_false(v->closed);
    voices_free(all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_that_cannot_be_are_refused),
        cmocka_unit_test(limits_of_its_own),
        cmocka_unit_test(one_place_once_in_many),
        cmocka_unit_test(who_left_is_closed),
        cmocka_unit_test(who_yielded_is_closed),
        cmocka_unit_test(a_hello_without_a_proper_self_closes),
        cmocka_unit_test(a_mirror_is_told_that_it_is_one),
        cmocka_unit_test(a_claim_that_is_ahead_gets_nak),
        cmocka_unit_test(a_member_takes_the_name_of_an_observer),
        cmocka_unit_test(a_peers_error_is_told_by_its_code),
        cmocka_unit_test(the_next_address_is_dialled_at_once),
        cmocka_unit_test(definitions_without_end_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

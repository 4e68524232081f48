/* What a peer must not say in the other messages: invariants of a State, limits of records, names that are none. */
#include "wire_raw.h"

/* ---- State, in a REQ ---- */
static struct raw *request(uint64_t floor, uint64_t d_have, uint64_t d_asof, bool is_live, uint64_t pos,
                           uint64_t d_from) {
    struct raw *r = raw_new(), *s = raw_new();
    raw_number(s, 1, floor);
    raw_number(s, 2, d_have);
    raw_number(s, 3, d_asof);
    raw_number(s, 4, is_live);
    raw_number(s, 5, pos);
    raw_number(s, 6, d_from);
    raw_fixed64(r, 1, 7);
    raw_bytes(r, 2, s->data, s->size);
    free(s);
    return r;
}

static void states_hold_their_invariants(void **state) {
    (void)state;
    pr_message out;
    GOOD(PR_REQUEST, request(100, 100, 100, false, 0, 0));
    BAD(PR_REQUEST, request(100, 101, 0, false, 0, 0));
    BAD(PR_REQUEST, request(100, 50, 51, false, 0, 0)); /* asof < have */
    GOOD(PR_REQUEST, request(100, 50, 51, true, 0, 0)); /* not read */
    BAD(PR_REQUEST, request(100, 50, 0, true, 0, 101));
    GOOD(PR_REQUEST, request(100, 50, 0, true, 50, 100));
    BAD(PR_REQUEST, request(100, 50, 0, true, 51, 0));
    assert_int_equal(raw_decode(PR_REQUEST, request(100, 50, 20, false, 7, 7), &out), 0);
    assert_int_equal(out.as.request.state.asof, 80);
    assert_int_equal(out.as.request.state.live_pos, 0);
    assert_int_equal(out.as.request.state.live_from, 0);
    struct raw *r = raw_new();
    raw_fixed64(r, 1, 7);
    assert_int_equal(raw_decode(PR_REQUEST, r, &out), 0); /* no state: nothing is known */
    assert_true(pr_state_complete(&out.as.request.state) && out.as.request.state.floor == 0);
}

/* ---- records, in HELLO and HB ---- */
static void record_into(struct raw *r, unsigned field, struct raw *record) {
    raw_bytes(r, field, record->data, record->size);
    free(record);
}

static struct raw *record(uint64_t inst, const char *name, size_t name_size) {
    struct raw *r = raw_new();
    raw_fixed64(r, 1, inst);
    if (name) raw_bytes(r, 9, name, name_size);
    return r;
}

static struct raw *hello(const char *cluster, size_t cluster_size, uint64_t max_frame, struct raw *self) {
    struct raw *r = raw_new();
    raw_bytes(r, 1, cluster, cluster_size);
    if (self) record_into(r, 2, self);
    raw_number(r, 3, max_frame);
    return r;
}

static void hello_says_who_it_is(void **state) {
    (void)state;
    char a[80];
    memset(a, 'a', sizeof a);
    GOOD(PR_HELLO, hello("c", 1, PR_FRAME_MIN, record(1, "n", 1)));
    BAD(PR_HELLO, hello("c", 1, PR_FRAME_MIN - 1, record(1, "n", 1)));
    BAD(PR_HELLO, hello("c", 1, 1ull << 32 | PR_FRAME_MIN, record(1, "n", 1)));
    BAD(PR_HELLO, hello("", 0, PR_FRAME_MIN, record(1, "n", 1)));
    GOOD(PR_HELLO, hello(a, 64, PR_FRAME_MIN, record(1, a, 64)));
    BAD(PR_HELLO, hello(a, 65, PR_FRAME_MIN, record(1, "n", 1)));
    BAD(PR_HELLO, hello("c\xff", 2, PR_FRAME_MIN, record(1, "n", 1)));
    BAD(PR_HELLO, hello("c\0d", 3, PR_FRAME_MIN, record(1, "n", 1)));
    BAD(PR_HELLO, hello("c", 1, PR_FRAME_MIN, NULL));
    BAD(PR_HELLO, hello("c", 1, PR_FRAME_MIN, record(0, "n", 1)));
    BAD(PR_HELLO, hello("c", 1, PR_FRAME_MIN, record(1, NULL, 0)));
    BAD(PR_HELLO, hello("c", 1, PR_FRAME_MIN, record(1, "", 0)));
    BAD(PR_HELLO, hello("c", 1, PR_FRAME_MIN, record(1, a, 65)));
    BAD(PR_HELLO, hello("c", 1, PR_FRAME_MIN, record(1, "n\0m", 3)));
}

static struct raw *hello_with_state(uint64_t to, uint64_t d_have) {
    struct raw *r = hello("c", 1, PR_FRAME_MIN, record(1, "n", 1)), *s = raw_new();
    raw_number(s, 1, 10);
    raw_number(s, 2, d_have);
    raw_fixed64(r, 5, to);
    record_into(r, 6, s);
    return r;
}

static void hello_states_are_checked(void **state) {
    (void)state;
    pr_message out;
    assert_int_equal(raw_decode(PR_HELLO, hello_with_state(5, 10), &out), 0);
    assert_true(out.as.hello.has_state);
    BAD(PR_HELLO, hello_with_state(5, 11));
    assert_int_equal(raw_decode(PR_HELLO, hello_with_state(0, 11), &out), 0); /* a state of nobody's log is not read */
    assert_false(out.as.hello.has_state);
}

static struct raw *digest(struct raw *one) {
    struct raw *r = raw_new();
    record_into(r, 8, one);
    return r;
}

static struct raw *with_addresses(size_t count, size_t size) {
    struct raw *r = record(1, "n", 1);
    char a[80];
    memset(a, '1', sizeof a);
    for (size_t i = 0; i < count; i++) raw_bytes(r, 10, a, size);
    return r;
}

static void records_are_within_their_limits(void **state) {
    (void)state;
    GOOD(PR_HEARTBEAT, digest(record(1, NULL, 0)));
    BAD(PR_HEARTBEAT, digest(record(0, NULL, 0)));
    BAD(PR_HEARTBEAT, digest(record(1, "\xff", 1)));
    GOOD(PR_HEARTBEAT, digest(with_addresses(8, 71)));
    BAD(PR_HEARTBEAT, digest(with_addresses(9, 71)));
    BAD(PR_HEARTBEAT, digest(with_addresses(1, 72)));
    BAD(PR_HEARTBEAT, digest(with_addresses(1, 0)));
    struct raw *hops = record(1, NULL, 0);
    raw_number(hops, 6, 1ull << 32);
    BAD(PR_HEARTBEAT, digest(hops));
    BAD(PR_HELLO, digest(record(1, "n", 1))); /* field 8 is none of HELLO's; it lacks what it needs */
}

static void a_record_without_name_says_nothing_fixed(void **state) {
    (void)state;
    struct raw *one = with_addresses(3, 10);
    one->size = 0;
    raw_fixed64(one, 1, 1);
    raw_text(one, 10, "a:1");
    raw_number(one, 11, 63);
    raw_number(one, 12, 2);
    raw_number(one, 13, 1);
    wire_pair pair;
    wire_pair_open(&pair);
    struct raw *r = digest(one);
    pr_frame_in frame = {.type = PR_HEARTBEAT, .payload = r->data, .size = r->size};
    assert_int_equal(pr_decode(pair.decoder, &frame, &pair.out), 0);
    assert_record(&pair.out.as.heartbeat.digest.items[0],
                  &(pr_record){.inst = 1, .addresses = {"a:1"}}); /* addresses_size is 0 */
    free(r);
    wire_pair_close(&pair);
}

static void a_digest_ends_at_64_kib(void **state) {
    (void)state;
    for (size_t extra = 0; extra < 2; extra++) {
        struct raw *r = raw_new();
        size_t left = 65536 + extra;
        while (left) {
            struct raw *one = with_addresses(8, 71);
            if (left < 2 * one->size) { /* the rest in one: an unknown field fills it */
                size_t fill = left - one->size;
                if (fill) raw_bytes(one, 15, r->data, fill - (fill > 129 ? 3 : 2));
            }
            left -= one->size;
            record_into(r, 8, one);
        }
        assert_int_equal(raw_decode(PR_HEARTBEAT, r, NULL), extra ? PRESENCE_EPROTOCOL : 0);
    }
}

static void unlinked_comes_packed_or_not(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    struct raw *r = raw_new();
    uint8_t two[16] = {1, 0, 0, 0, 0, 0, 0, 0, 2};
    raw_bytes(r, 7, NULL, 0);
    raw_bytes(r, 7, two, 16);
    raw_fixed64(r, 7, 3);
    pr_frame_in frame = {.type = PR_HEARTBEAT, .payload = r->data, .size = r->size};
    assert_int_equal(pr_decode(pair.decoder, &frame, &pair.out), 0);
    assert_int_equal(pair.out.as.heartbeat.unlinked_size, 3);
    for (uint64_t i = 0; i < 3; i++) assert_int_equal(pair.out.as.heartbeat.unlinked[i], i + 1);
    raw_bytes(r, 7, two, 15);
    wire_pair_close(&pair);
    BAD(PR_HEARTBEAT, r);
}

/* ---- the small ones ---- */
static struct raw *logdef(uint64_t log, uint64_t inst, const char *name) {
    struct raw *r = raw_new();
    raw_number(r, 1, log);
    raw_fixed64(r, 2, inst);
    raw_text(r, 3, name);
    return r;
}

static struct raw *only_inst(uint64_t inst) {
    struct raw *r = raw_new();
    raw_fixed64(r, 1, inst);
    return r;
}

static struct raw *nak(uint64_t reason) {
    struct raw *r = only_inst(1);
    raw_number(r, 2, reason);
    return r;
}

static struct raw *leave(uint64_t inst, const char *name) {
    struct raw *r = raw_new();
    raw_fixed64(r, 2, inst);
    raw_text(r, 3, name);
    return r;
}

static struct raw *error(size_t size) {
    struct raw *r = raw_new();
    char text[300];
    memset(text, 'e', sizeof text);
    raw_number(r, 1, 99);
    raw_bytes(r, 2, text, size);
    return r;
}

static void small_messages_are_within_their_limits(void **state) {
    (void)state;
    GOOD(PR_LOGDEF, logdef(1, 1, "n"));
    BAD(PR_LOGDEF, logdef(0, 1, "n")); /* index 0 is the sender's own log */
    BAD(PR_LOGDEF, logdef(1, 0, "n"));
    BAD(PR_LOGDEF, logdef(1, 1, ""));
    BAD(PR_LOGDEF, logdef(1ull << 32, 1, "n"));
    for (uint64_t reason = 0; reason < 8; reason++)
        assert_int_equal(raw_decode(PR_NAK, nak(reason), NULL), reason >= 1 && reason <= 5 ? 0 : PRESENCE_EPROTOCOL);
    GOOD(PR_LEAVE, leave(1, "n"));
    BAD(PR_LEAVE, leave(0, "n"));
    BAD(PR_LEAVE, leave(1, ""));
    GOOD(PR_ERROR, error(256));
    BAD(PR_ERROR, error(257));
    const uint8_t types[] = {PR_REQUEST, PR_UNSUB, PR_PROBE, PR_PROBE_ACK};
    for (size_t i = 0; i < sizeof types; i++) {
        GOOD(types[i], only_inst(1));
        BAD(types[i], only_inst(0));
        BAD(types[i], raw_new());
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_hold_their_invariants),
        cmocka_unit_test(hello_says_who_it_is),
        cmocka_unit_test(hello_states_are_checked),
        cmocka_unit_test(records_are_within_their_limits),
        cmocka_unit_test(a_record_without_name_says_nothing_fixed),
        cmocka_unit_test(a_digest_ends_at_64_kib),
        cmocka_unit_test(unlinked_comes_packed_or_not),
        cmocka_unit_test(small_messages_are_within_their_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

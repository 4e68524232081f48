/* What is encoded is what is decoded, for random messages of every type; and how many bytes they take. */
#include "wire_samples.h"

static void round_trips(uint8_t type, int count) {
    wire_pair pair;
    wire_pair_open(&pair);
    sample *s = sample_new(1000 + type);
    for (int i = 0; i < count; i++) {
        const pr_message *in = sample_next(s, type);
        wire_encode(&pair, in);
        int failed = wire_decode(&pair, pair.buffer.data, pair.buffer.size);
        if (failed) fail_msg("type %d, message %d: %d", type, i, failed);
        assert_messages(in, &pair.out);
    }
    free(s);
    wire_pair_close(&pair);
}

static void hello_round_trips(void **state) { (void)state, round_trips(PR_HELLO, 2000); }
static void heartbeat_round_trips(void **state) { (void)state, round_trips(PR_HEARTBEAT, 2000); }
static void segment_round_trips(void **state) { (void)state, round_trips(PR_SEGMENT, 2000); }
static void live_round_trips(void **state) { (void)state, round_trips(PR_LIVE, 4000); }
static void small_round_trips(void **state) {
    (void)state;
    for (uint8_t type = PR_REQUEST; type <= PR_NAK; type++) round_trips(type, 2000);
}

static void topics_keep_their_identity(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    sample *s = sample_new(5);
    for (int i = 0; i < 200; i++) {
        const pr_segment *in = &sample_next(s, PR_SEGMENT)->as.segment, *out = &pair.out.as.segment;
        wire_encode(&pair, &s->message);
        assert_int_equal(wire_decode(&pair, pair.buffer.data, pair.buffer.size), 0);
        for (size_t a = 0; a < in->ups_size; a++)
            for (size_t b = 0; b < a; b++)
                assert_int_equal(in->ups[a].topic_id == in->ups[b].topic_id,
                                 out->ups[a].topic_id == out->ups[b].topic_id);
    }
    free(s);
    wire_pair_close(&pair);
}

static void a_state_goes_only_to_somebody(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    sample *s = sample_new(8);
    sample_next(s, PR_HELLO);
    pr_hello *hello = &s->message.as.hello;
    hello->to = 0;
    hello->has_state = true;
    hello->state = (pr_state){.have = 1, .asof = 1, .floor = 1};
    wire_encode(&pair, &s->message);
    assert_int_equal(wire_decode(&pair, pair.buffer.data, pair.buffer.size), 0);
    size_t size = pair.buffer.size;
    hello->has_state = false;
    assert_int_equal(wire_encode(&pair, &s->message), size);
    free(s);
    wire_pair_close(&pair);
}

static void record_bytes_is_what_a_record_takes(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    sample *s = sample_new(6);
    for (int i = 0; i < 500; i++) {
        pr_record record;
        pr_message hb = {.type = PR_HEARTBEAT};
        size_t without = wire_encode(&pair, &hb);
        sample_record(s, i & 1, &record);
        hb.as.heartbeat.digest = (pr_records){&record, 1};
        assert_int_equal(wire_encode(&pair, &hb) - without, pr_record_bytes(&record));
    }
    free(s);
    wire_pair_close(&pair);
}

/* ---- sizes (protocol.md 5.3): payload = topic, key and meta; header and crc included ---- */
static pr_up a_join(uint64_t dot, pr_id topic, const char *name) {
    return (pr_up){.eid = dot,
                   .dot = dot,
                   .topic = pr_cstr(name),
                   .key = pr_cstr("user:123456"),
                   .meta = pr_cstr("{\"online_at\":1700000000,\"status\":\"away\"}"),
                   .topic_id = topic};
}

static size_t one_up(wire_pair *pair, uint64_t version, pr_up up) {
    pr_message m = {.type = PR_SEGMENT};
    m.as.segment = (pr_segment){.x = version, .T = version, .x2 = version + 1, .T2 = version + 1};
    m.as.segment.ups = &up;
    m.as.segment.ups_size = 1;
    return wire_encode(pair, &m);
}

static void a_join_takes_84_to_88_bytes(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    pr_up up = a_join(1001, 1, "room:1234567");
    assert_int_equal(up.topic.size + up.key.size + up.meta.size, 63);
    assert_int_equal(one_up(&pair, 1000, up), 84);
    up = a_join(1000000000001, 1, "room:1234567");
    assert_int_equal(one_up(&pair, 1000000000000, up), 88);
    wire_pair_close(&pair);
}

static void an_update_takes_61_to_69_bytes(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    pr_up up = {.dot = 1001, .eid = 900, .meta = a_join(1, 1, "").meta, .patch = true};
    assert_in_range(one_up(&pair, 1000, up), 58, 61);
    up.dot = 1000000000001;
    assert_in_range(one_up(&pair, 1000000000000, up), 65, 69);
    wire_pair_close(&pair);
}

static size_t hundred_joins(wire_pair *pair, bool one_topic) {
    static char names[100][24];
    pr_up ups[100];
    pr_message m = {.type = PR_SEGMENT};
    m.as.segment = (pr_segment){.x = 1000, .T = 1000, .x2 = 1100, .T2 = 1100, .ups = ups, .ups_size = 100};
    for (int i = 0; i < 100; i++) {
        snprintf(names[i], sizeof names[i], "room:%07d", one_topic ? 0 : i);
        ups[i] = a_join(1001 + (uint64_t)i, one_topic ? 1 : (pr_id)i + 1, names[i]);
    }
    return wire_encode(pair, &m);
}

static void joins_in_a_batch_take_71_or_59_bytes(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    assert_in_range(hundred_joins(&pair, false), 7000, 7150);
    assert_in_range(hundred_joins(&pair, true), 5600, 5950);
    wire_pair_close(&pair);
}

static void a_leave_takes_17_to_25_bytes(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    pr_removed removed = {900, PR_REMOVED_OWNER_CLOSED};
    pr_message m = {.type = PR_SEGMENT};
    m.as.segment = (pr_segment){.x = 1000, .T = 1000, .x2 = 1001, .T2 = 1001, .removed = &removed, .removed_size = 1};
    assert_int_equal(wire_encode(&pair, &m), 17);
    removed.eid = 999999999999;
    m.as.segment.x = m.as.segment.T = 1000000000000;
    m.as.segment.x2 = m.as.segment.T2 = 1000000000001;
    assert_int_equal(wire_encode(&pair, &m), 25);
    wire_pair_close(&pair);
}

static void a_heartbeat_takes_27_to_31_bytes(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    pr_message m = {.type = PR_HEARTBEAT};
    m.as.heartbeat =
        (pr_heartbeat){.inc = 1700000000000, .hb = 100, .version = 1000, .has_at = true, .at = 1000, .members = 7};
    size_t small = wire_encode(&pair, &m);
    assert_in_range(small, 27, 31);
    m.as.heartbeat.has_sum = true;
    m.as.heartbeat.sum = 1;
    assert_int_equal(wire_encode(&pair, &m) - small, 9);
    wire_pair_close(&pair);
}

static void live_takes_the_shorter_form(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    uint64_t eids[256];
    pr_message m = {.type = PR_LIVE};
    m.as.live = (pr_live){.w = 256, .hi = 256, .eids = eids, .eids_size = 256};
    for (uint64_t i = 0; i < 256; i++) eids[i] = i + 1;
    size_t dense = wire_encode(&pair, &m); /* 32 bytes of bits, not 256 of gaps */
    assert_in_range(dense, 32, 52);
    m.as.live.eids_size = 2; /* two gaps, not 32 bytes of bits */
    eids[1] = 256;
    size_t sparse = wire_encode(&pair, &m);
    assert_in_range(sparse, 1, 22);
    m.as.live.eids_size = 0;
    assert_int_equal(wire_encode(&pair, &m), sparse - 2 - 3);
    wire_pair_close(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_round_trips),
        cmocka_unit_test(heartbeat_round_trips),
        cmocka_unit_test(segment_round_trips),
        cmocka_unit_test(live_round_trips),
        cmocka_unit_test(small_round_trips),
        cmocka_unit_test(topics_keep_their_identity),
        cmocka_unit_test(a_state_goes_only_to_somebody),
        cmocka_unit_test(record_bytes_is_what_a_record_takes),
        cmocka_unit_test(a_join_takes_84_to_88_bytes),
        cmocka_unit_test(an_update_takes_61_to_69_bytes),
        cmocka_unit_test(joins_in_a_batch_take_71_or_59_bytes),
        cmocka_unit_test(a_leave_takes_17_to_25_bytes),
        cmocka_unit_test(a_heartbeat_takes_27_to_31_bytes),
        cmocka_unit_test(live_takes_the_shorter_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

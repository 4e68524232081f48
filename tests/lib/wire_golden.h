/* The messages whose bytes are kept in tests/data/wire-1/<name>.hex: they must never change while protocol 1 lives. */
#ifndef WIRE_GOLDEN_H
#define WIRE_GOLDEN_H

#include "wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct golden {
    const char *name;
    pr_message message;
} golden;

#define GOLDEN_SIZE 22

static inline pr_record golden_record(void) {
    return (pr_record){.inst = 0x1122334455667788,
                       .inc = 1700000000000,
                       .hb = 4711,
                       .age_ms = 250,
                       .hops = 1,
                       .period_ms = 1000,
                       .has_version = true,
                       .version = 300,
                       .fixed = true,
                       .name = "node-b",
                       .addresses_size = 2,
                       .addresses = {"10.0.0.2:4820", "[::1]:4820"},
                       .features = PR_FEATURE_PATCH | PR_FEATURE_CRC | PR_FEATURE_SUM,
                       .proto = 1};
}

static inline pr_message golden_hello(bool full) {
    static pr_record others[2];
    pr_message m = {.type = PR_HELLO};
    pr_hello *hello = &m.as.hello;
    strcpy(hello->cluster, "default");
    hello->self = (pr_record){.inst = 0x0102030405060708, .inc = 1700000000001, .hb = 1, .period_ms = 1000};
    hello->self.fixed = true;
    hello->self.proto = 1;
    hello->self.features = PR_FEATURE_PATCH | PR_FEATURE_CRC;
    strcpy(hello->self.name, "node-a");
    hello->max_frame = PR_FRAME_MAX;
    hello->version = 1000;
    if (!full) return m;
    others[0] = golden_record();
    others[1] =
        (pr_record){.inst = 9, .inc = 8, .left = true, .fixed = true, .name = "\xc3\xa9t\xc3\xa9", .observer = true};
    hello->to = others[0].inst;
    hello->has_state = true;
    hello->state = (pr_state){.have = 290, .asof = 295, .floor = 300};
    hello->records = (pr_records){others, 2};
    return m;
}

static inline pr_message golden_heartbeat(bool full) {
    static pr_record digest[2];
    static const uint64_t unlinked[] = {0x8877665544332211, 1};
    pr_message m = {.type = PR_HEARTBEAT};
    pr_heartbeat *hb = &m.as.heartbeat;
    *hb = (pr_heartbeat){.inc = 1700000000001, .hb = 2, .version = 1000, .has_at = true, .at = 1000};
    hb->members = 0xdeadbeef;
    if (!full) return m;
    digest[0] = golden_record();
    digest[0].fixed = false;
    digest[0].name[0] = 0;
    digest[0].addresses_size = 0;
    digest[0].features = 0;
    digest[0].proto = 0;
    digest[1] = (pr_record){.inst = 10, .inc = 1, .hb = 1, .has_version = true, .version = 0};
    hb->at = 0;
    hb->has_sum = true;
    hb->period_ms = 2000;
    hb->unlinked = unlinked;
    hb->unlinked_size = 2;
    hb->digest = (pr_records){digest, 2};
    return m;
}

static inline pr_up golden_up(uint64_t eid, uint64_t dot, pr_id topic, const char *name, const char *key) {
    pr_up up = {.eid = eid, .dot = dot, .meta = pr_cstr("{\"n\":1}"), .patch = !name};
    if (!name) return up;
    up.topic_id = topic;
    up.topic = pr_cstr(name);
    up.key = pr_cstr(key);
    return up;
}

static inline pr_message golden_join(void) {
    static pr_up up[1];
    pr_message m = {.type = PR_SEGMENT};
    up[0] = golden_up(1001, 1001, 1, "room:1", "user:1");
    m.as.segment = (pr_segment){.x = 1000, .T = 1000, .x2 = 1001, .T2 = 1001, .ups = up, .ups_size = 1};
    return m;
}

static inline pr_message golden_leave(void) {
    static pr_removed removed[] = {{900, PR_REMOVED_UNTRACK}};
    pr_message m = {.type = PR_SEGMENT};
    m.as.segment = (pr_segment){.x = 1000, .T = 1000, .x2 = 1001, .T2 = 1001, .removed = removed, .removed_size = 1};
    return m;
}

/* new topics, the same again, a return to an earlier one, patches, gaps, all reasons, a chunk of a relayed log */
static inline pr_message golden_chunk(void) {
    static pr_up ups[6];
    static pr_removed removed[] = {
        {1, PR_REMOVED_UNTRACK}, {2, PR_REMOVED_OWNER_CLOSED}, {100, PR_REMOVED_LEASE}, {1000, PR_REMOVED_UNKNOWN}};
    pr_message m = {.type = PR_SEGMENT};
    ups[0] = golden_up(1001, 1001, 5, "room:1", "user:1");
    ups[1] = golden_up(1002, 1002, 5, "room:1", "user:2");
    ups[2] = golden_up(900, 1005, 0, NULL, NULL);
    ups[3] = golden_up(1000, 1006, 7, "room:\xe2\x82\xac", "user:1");
    ups[4] = golden_up(1300, 1300, 5, "room:1", "\xf0\x9f\x98\x80");
    ups[5] = golden_up(1, 1301, 5, "room:1", "user:3");
    m.as.segment = (pr_segment){.log = 3, .x = 1000, .T = 1200, .x2 = 1301, .T2 = 2000, .more = true, .count_hint = 77};
    m.as.segment.ups = ups;
    m.as.segment.ups_size = 6;
    m.as.segment.removed = removed;
    m.as.segment.removed_size = 4;
    return m;
}

static inline pr_message golden_live(uint64_t step, size_t size) {
    static uint64_t eids[3][16];
    uint64_t *list = eids[step % 3];
    pr_message m = {.type = PR_LIVE};
    for (size_t i = 0; i < size; i++) list[i] = 100 + step * (i + 1);
    m.as.live = (pr_live){.w = 500000, .lo = 100, .hi = 400000, .eids = list, .eids_size = size};
    if (step == 1) m.as.live.log = 300, m.as.live.more = true;
    return m;
}

static inline pr_message golden_request(bool live) {
    pr_message m = {.type = PR_REQUEST};
    m.as.request = (pr_request){.inst = 0x1122334455667788, .subscribe = !live};
    m.as.request.state = (pr_state){.have = 100, .asof = 200, .floor = 1000};
    if (!live) return m;
    m.as.request.from = 7;
    m.as.request.state = (pr_state){.have = 100, .floor = 1000, .live = true, .live_pos = 50, .live_from = 900};
    return m;
}

static inline pr_message golden_leave_member(void) {
    return (pr_message){PR_LEAVE, {.leave = {.inc = 1700000000001, .inst = 0x0102030405060708, .name = "node-a"}}};
}

static inline pr_message golden_logdef(void) {
    return (pr_message){PR_LOGDEF, {.logdef = {.log = 3, .lane = 0, .inst = 0x1122334455667788, .name = "node-b"}}};
}

/* the list; entries point to static data */
static inline void golden_fill(golden out[GOLDEN_SIZE]) {
    golden all[GOLDEN_SIZE] = {
        {"hello", golden_hello(false)},
        {"hello_full", golden_hello(true)},
        {"heartbeat", golden_heartbeat(false)},
        {"heartbeat_full", golden_heartbeat(true)},
        {"segment_empty", {PR_SEGMENT, {.segment = {0}}}},
        {"segment_join", golden_join()},
        {"segment_leave", golden_leave()},
        {"segment_chunk", golden_chunk()},
        {"live_none", golden_live(0, 0)},
        {"live_bits", golden_live(1, 16)},
        {"live_gaps", golden_live(20000, 5)},
        {"request", golden_request(false)},
        {"request_live", golden_request(true)},
        {"unsub", {PR_UNSUB, {.unsub = 0x1122334455667788}}},
        {"leave", golden_leave_member()},
        {"probe", {PR_PROBE, {.probe = {.inst = 0x1122334455667788, .id = 400}}}},
        {"probe_ack", {PR_PROBE_ACK, {.probe_ack = {.inst = 1, .id = 400, .silence_ms = 1200, .direct = true}}}},
        {"probe_ack_no", {PR_PROBE_ACK, {.probe_ack = {.inst = 1, .id = 400}}}},
        {"error", {PR_ERROR, {.error = {.code = PR_ERROR_CLUSTER, .text = "another cluster"}}}},
        {"logdef", golden_logdef()},
        {"nak", {PR_NAK, {.nak = {.inst = 1, .reason = PR_NAK_NOT_UP}}}},
        {"nak_behind", {PR_NAK, {.nak = {.inst = 1, .reason = PR_NAK_BEHIND, .version = 12345}}}},
    };
    memcpy(out, all, sizeof all);
}

/* Bytes of a hex file: digits in pairs, white space between; '#' begins a comment. 0: no such file. */
static inline size_t golden_read(const char *name, uint8_t *out, size_t room) {
    char path[512], digits[3] = {0};
    snprintf(path, sizeof path, "%s/wire-1/%s.hex", PRESENCE_TEST_DATA, name);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    size_t size = 0, have = 0;
    for (int c; (c = fgetc(file)) != EOF && size < room;) {
        if (c == '#')
            while (c != EOF && c != '\n') c = fgetc(file);
        if (!strchr("0123456789abcdef", c)) continue;
        digits[have++] = (char)c;
        if (have == 2) out[size++] = (uint8_t)strtoul(digits, NULL, 16), have = 0;
    }
    fclose(file);
    return size;
}

#endif

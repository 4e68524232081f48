/* Bytes pick the events of one engine at a broker: local calls, messages of every kind under every subject, well-formed
 * lies and plain noise, the broker gone and back, time, failing memory. It never crashes or leaks, publishes only
 * frames that decode, and its diffs fold to its list at every moment. */
#include "fuzz_member.h"
#include "fuzz_peer.h"

typedef struct run {
    fuzz_input in;
    fuzz_member m;
    fuzz_said said;
    pr_buffer frame;
    presence_owner owner;
} run;

/* ---- local calls ---- */
static void call(run *r, uint8_t how) {
    static const char *const keys[] = {"k", "l", "m", "n"};
    presence_str topic = pr_cstr(how & 4 ? "t" : "u"), key = pr_cstr(keys[how & 3]);
    presence_item item = {topic, key, pr_cstr("{}")};
    presence_ref ref;
    size_t count = 0;
    const char *why = NULL;
    int rc = 0;
    switch (how >> 3 & 3) {
    case 0: rc = pr_engine_track_many(r->m.engine, r->owner, &item, 1, r->m.now, &ref, &count, &why); break;
    case 1: rc = pr_engine_untrack(r->m.engine, r->owner, topic, key, r->m.now, &count); break;
    case 2:
        rc = pr_engine_update(r->m.engine, r->owner, topic, key, NULL, pr_cstr(how & 32 ? "{\"n\":1}" : "{\"n\":2}"),
                              r->m.now, &ref, &why);
        break;
    default: rc = pr_engine_untrack_owner(r->m.engine, r->owner, r->m.now, &count); break;
    }
    REQUIRE(rc <= 0 && rc != PRESENCE_EPROTOCOL && rc != PRESENCE_EINVAL);
}

/* ---- messages ---- */
static pr_subject subject_of(run *r, uint8_t b) {
    switch (b & 3) {
    case 0: return (pr_subject){PR_SUBJECT_LOG, fuzz_inst(&r->in)};
    case 1: return (pr_subject){PR_SUBJECT_BEATS, 0};
    case 2: return (pr_subject){PR_SUBJECT_INBOX, FUZZ_SELF};
    default: return (pr_subject){b >> 2 & 3, fuzz_inst(&r->in)};
    }
}

static void hear(run *r, pr_subject subject, const void *data, size_t size) {
    uint8_t *exact = malloc(size + !size); /* a read past the end is seen */
    REQUIRE(exact != NULL);
    if (size) memcpy(exact, data, size);
    pr_engine_message(r->m.engine, subject, exact, size, r->m.now);
    free(exact);
}

/* What only a broker's messages carry. */
static void address(run *r, pr_message *message) {
    uint8_t b = fuzz_byte(&r->in);
    switch (message->type) {
    case PR_HEARTBEAT:
        message->as.heartbeat.has_self = b != 255;
        fuzz_record(&r->in, &message->as.heartbeat.self);
        if (b & 1) {
            message->as.heartbeat.self.left = false;
            message->as.heartbeat.self.fixed = true;
            if (!message->as.heartbeat.self.name[0]) strcpy(message->as.heartbeat.self.name, "a");
        }
        if (b & 2) message->as.heartbeat.self.hb = message->as.heartbeat.hb;
        break;
    case PR_SEGMENT: message->as.segment.inst = fuzz_inst(&r->in); break;
    case PR_LIVE: message->as.live.inst = fuzz_inst(&r->in); break;
    case PR_REQUEST: message->as.request.from = b == 255 ? 0 : fuzz_inst(&r->in); break;
    default: break;
    }
}

/* Mostly under the subject where it belongs. */
static void say(run *r, uint8_t type) {
    uint8_t b = fuzz_byte(&r->in);
    fuzz_say(&r->in, &r->said, type);
    pr_message *message = &r->said.message;
    address(r, message);
    pr_subject subject = {PR_SUBJECT_INBOX, FUZZ_SELF};
    if (type == PR_HEARTBEAT || type == PR_LEAVE) subject = (pr_subject){PR_SUBJECT_BEATS, 0};
    if (type == PR_SEGMENT && b & 1) subject = (pr_subject){PR_SUBJECT_LOG, message->as.segment.inst};
    if (b >= 240) subject = subject_of(r, b);
    pr_buffer_clear(&r->frame);
    if (pr_encode(&r->frame, message, PR_FRAME_MAX) == 0) hear(r, subject, r->frame.data, r->frame.size);
}

/* ---- time and the rest ---- */
static void pass(run *r, uint8_t how) {
    static const uint32_t steps[] = {1, 10, 100, 500, 1000, 3000, 20000, 100000};
    r->m.now.mono_ms += steps[how & 7];
    r->m.now.boot_ms += steps[how & 7] + (how >= 250 ? 10000u : 0);
    fuzz_tick(&r->m);
}

static void event(run *r) {
    uint8_t code = fuzz_byte(&r->in), how = fuzz_byte(&r->in);
    switch (code % 24) {
    case 0:
    case 1: pass(r, how); break;
    case 2:
    case 3: call(r, how); break;
    case 4: pr_engine_broker_up(r->m.engine, r->m.now); break;
    case 5:
        if (how & 1) pr_engine_broker_down(r->m.engine, r->m.now);
        break;
    case 6:
        r->m.heap.fail_in = how & 1 ? 0 : 1 + how / 8;
        r->m.heap.fail_on = how & 2;
        break;
    case 7: {
        presence_str noise = fuzz_bytes(&r->in, how);
        hear(r, subject_of(r, how), noise.data, noise.size);
        break;
    }
    case 8:
        if (how == 77) pr_engine_leave(r->m.engine, r->m.now);
        break;
    case 9:
    case 10:
    case 11:
    case 12: say(r, PR_HEARTBEAT); break;
    case 13:
    case 14:
    case 15: say(r, PR_SEGMENT); break;
    case 16: say(r, PR_LIVE); break;
    case 17:
    case 18: say(r, PR_REQUEST); break;
    case 19: say(r, PR_NAK); break;
    case 20: say(r, PR_LEAVE); break;
    default: say(r, 1 + how % 12); break;
    }
    fuzz_act(&r->m);
}

static pr_engine_options options(fuzz_input *in) {
    pr_engine_options o = pr_engine_options_default();
    uint8_t a = fuzz_byte(in);
    o.broker = true;
    o.name = pr_cstr("s");
    o.inst = FUZZ_SELF;
    o.inc = 100;
    o.seed = 1;
    o.observer = (a & 3) == 3;
    o.permdown_ms = a & 4 ? 12000 : 1200000;
    o.heartbeat_ms = a & 8 ? 1000 : 200;
    o.own_log.ring_min = o.replica_log.ring_min = a & 16 ? 2 : 4096;
    o.own_log.ring_share = o.replica_log.ring_share = a & 16 ? 0 : 4;
    o.own_log.chunk_target = o.replica_log.chunk_target = a & 32 ? 1 : 65536;
    o.flush_ms = a & 64 ? 0 : -1;
    o.sweep_slice = a & 128 ? 1 : 4096;
    return o;
}

static void begin(run *r) {
    pr_engine_options o = options(&r->in);
    r->m.plain = pr_alloc_default();
    r->m.alloc = heap_allocator(&r->m.heap);
    r->m.now = (pr_time){1000, 5000};
    pr_buffer_init(&r->frame, &r->m.plain, (size_t)1 << 22);
    REQUIRE(pr_decoder_new(&r->m.plain, &r->m.decoder) == 0);
    REQUIRE(pr_engine_new(&r->m.alloc, &o, r->m.now, &r->m.engine) == 0);
    pr_store_watch_all(pr_engine_store_for_watch(r->m.engine), true);
    REQUIRE(pr_engine_owner_open(r->m.engine, 0, r->m.now, &r->owner) == 0);
    pr_engine_broker_up(r->m.engine, r->m.now);
    fuzz_act(&r->m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 4096) return 0;
    run *r = calloc(1, sizeof *r);
    REQUIRE(r != NULL);
    r->in = (fuzz_input){data, size};
    begin(r);
    for (unsigned events = 0; r->in.size && events < 400; events++) {
        event(r);
        if (events % 4 == 3) fuzz_check_list(&r->m);
    }
    pr_engine_broker_down(r->m.engine, r->m.now); /* quick: no heartbeats to nobody */
    fuzz_act(&r->m);
    fuzz_calm_down(&r->m);
    fuzz_check_list(&r->m);
    pr_engine_free(r->m.engine);
    REQUIRE(r->m.heap.blocks == 0 && r->m.heap.bytes == 0);
    pr_decoder_free(r->m.decoder);
    pr_buffer_free(&r->frame);
    free(r);
    return 0;
}

/* Bytes pick the events of one engine: local calls, links, well-formed lies and plain noise of peers, time, failing
 * memory. It never crashes or leaks, sends only frames that decode, and its diffs fold to its list at every moment. */
#include "fuzz_member.h"
#include "fuzz_peer.h"

enum { OWNERS = 3 };

typedef struct run {
    fuzz_input in;
    fuzz_member m;
    fuzz_said said;
    pr_buffer frame;
    presence_owner owners[OWNERS];
} run;

static const char *const topics[] = {"t", "u", "", "\xff"};
static const char *const keys[] = {"k", "l", "m", ""};
static const char *const metas[] = {"{}", "{\"n\":1}", "{]}", ""};

static void check_rc(const run *r, int rc) {
    (void)r;
    REQUIRE(rc <= 0 && rc != PRESENCE_EPROTOCOL && rc != PRESENCE_EINVAL);
}

/* ---- local calls ---- */

static presence_owner *owner_of(run *r, uint8_t b) { return &r->owners[b % OWNERS]; }

static void track(run *r) {
    presence_item items[3];
    presence_ref refs[3];
    size_t failed = 0, count = 1 + fuzz_below(&r->in, 3);
    const char *why = NULL;
    presence_owner owner = *owner_of(r, fuzz_byte(&r->in));
    for (size_t i = 0; i < count; i++) {
        uint8_t b = fuzz_byte(&r->in);
        items[i] =
            (presence_item){pr_cstr(topics[b & 1 ? b >> 6 : 0]), pr_cstr(keys[b >> 2 & 3]), pr_cstr(metas[b >> 4 & 3])};
    }
    int rc = pr_engine_track_many(r->m.engine, owner, items, count, r->m.now, refs, &failed, &why);
    check_rc(r, rc);
    REQUIRE(failed < count);
}

static void update(run *r) {
    uint8_t b = fuzz_byte(&r->in);
    presence_owner owner = *owner_of(r, fuzz_byte(&r->in));
    presence_str ref = pr_cstr("AAAAAAAAAAAAAAAAAAAAAA");
    const char *why = NULL;
    presence_ref out;
    check_rc(r, pr_engine_update(r->m.engine, owner, pr_cstr(topics[b & 1]), pr_cstr(keys[b >> 2 & 3]),
                                 b & 2 ? &ref : NULL, pr_cstr(metas[b >> 4 & 3]), r->m.now, &out, &why));
}

static void untrack(run *r) {
    uint8_t b = fuzz_byte(&r->in);
    presence_owner owner = *owner_of(r, fuzz_byte(&r->in));
    size_t removed = 0;
    if (b & 2)
        check_rc(r, pr_engine_untrack_owner(r->m.engine, owner, r->m.now, &removed));
    else
        check_rc(r, pr_engine_untrack(r->m.engine, owner, pr_cstr(topics[b & 1]), pr_cstr(keys[b >> 2 & 3]), r->m.now,
                                      &removed));
}

static void owner(run *r) {
    uint8_t b = fuzz_byte(&r->in);
    presence_owner *o = owner_of(r, b >> 2);
    if ((b & 3) == 0) check_rc(r, pr_engine_owner_close(r->m.engine, *o, r->m.now));
    if ((b & 3) == 1) check_rc(r, pr_engine_owner_touch(r->m.engine, *o, r->m.now));
    if ((b & 3) >= 2) check_rc(r, pr_engine_owner_open(r->m.engine, b & 1 ? 300u : 0, r->m.now, o));
}

/* ---- links ---- */

static void read_all(run *r, link_end *l) {
    for (pr_link id = l->id; l->id == id && l->unread;) {
        size_t used = 0, had = l->unread;
        int rc = pr_engine_bytes(r->m.engine, id, l->data, had, &used, r->m.now);
        REQUIRE((rc == 0 || rc == 1) && used <= had && (rc == 0 || used > 0));
        memmove(l->data, l->data + used, had - used);
        l->unread -= used;
        fuzz_act(&r->m);
        if (rc != 1) break;
    }
}

static void say_bytes(run *r, link_end *l, const void *data, size_t size) {
    if (size > UNREAD - l->unread) return;
    if (size) memcpy(l->data + l->unread, data, size);
    l->unread += size;
    read_all(r, l);
}

static void say(run *r, link_end *l, uint8_t type) {
    pr_buffer_clear(&r->frame);
    const pr_message *message = fuzz_say(&r->in, &r->said, type);
    if (l->id && pr_encode(&r->frame, message, PR_FRAME_MAX) == 0) say_bytes(r, l, r->frame.data, r->frame.size);
}

static void say_preamble(run *r, link_end *l) {
    uint8_t preamble[PR_PREAMBLE_SIZE];
    pr_preamble_write(preamble);
    say_bytes(r, l, preamble, sizeof preamble);
}

static void link_up(run *r, link_end *l, bool dialled) {
    uint64_t dial = 0;
    if (l->id) return;
    if (dialled && r->m.dials_size) dial = r->m.dials[--r->m.dials_size];
    l->id = ++r->m.ids;
    l->preamble = false;
    l->unwritten = l->unread = 0;
    pr_engine_link_up(r->m.engine, l->id, dial, r->m.now);
    fuzz_act(&r->m);
}

/* A link with preamble and HELLO of a peer that seems good. */
static void link_up_good(run *r, link_end *l, bool dialled) {
    link_up(r, l, dialled);
    if (!l->id) return;
    say_preamble(r, l);
    memset(&r->said, 0, sizeof r->said);
    r->said.message.type = PR_HELLO;
    pr_hello *hello = &r->said.message.as.hello;
    uint64_t inst = 0xA + fuzz_below(&r->in, 5);
    hello->self = (pr_record){.inst = inst,
                              .inc = 5,
                              .hb = 1,
                              .fixed = true,
                              .proto = 1,
                              .features = 0x33,
                              .period_ms = 1000,
                              .name = {(char)('a' + inst % 5)}};
    snprintf(hello->cluster, sizeof hello->cluster, "default");
    hello->max_frame = PR_FRAME_MAX;
    hello->version = fuzz_number(&r->in);
    pr_buffer_clear(&r->frame);
    if (l->id && pr_encode(&r->frame, &r->said.message, PR_FRAME_MAX) == 0)
        say_bytes(r, l, r->frame.data, r->frame.size);
}

static void link_down(run *r, link_end *l, uint8_t how) {
    if (!l->id) return;
    pr_engine_link_down(r->m.engine, l->id, PR_END_CLOSED + how % 3, r->m.now);
    l->id = 0;
}

static void written(run *r, link_end *l, uint8_t part) {
    if (!l->id) return;
    uint64_t bytes = part & 1 ? l->unwritten : l->unwritten * part / 256;
    l->unwritten -= bytes;
    pr_engine_written(r->m.engine, l->id, (size_t)bytes, r->m.now);
    fuzz_act(&r->m);
    read_all(r, l); /* it may have been deaf while its answers waited */
}

static void dial_failed(run *r, uint8_t how) {
    if (r->m.dials_size)
        pr_engine_dial_failed(r->m.engine, r->m.dials[--r->m.dials_size], PR_DIAL_REFUSED + how % 4, r->m.now);
}

/* ---- time and the rest ---- */

static void pass(run *r, uint8_t how) {
    static const uint32_t steps[] = {1, 10, 100, 500, 1000, 3000, 20000, 100000};
    uint64_t due = pr_engine_deadline(r->m.engine), ms = steps[how & 7];
    if (how & 8 && due != UINT64_MAX) ms = due > r->m.now.mono_ms ? due - r->m.now.mono_ms : 0;
    r->m.now.mono_ms += ms;
    r->m.now.boot_ms += ms + (how >= 250 ? 10000u : 0); /* the machine slept */
    fuzz_tick(&r->m);
    for (size_t i = 0; i < LINKS; i++)
        if (r->m.links[i].id) read_all(r, &r->m.links[i]);
}

static void fail_memory(run *r, uint8_t when) {
    r->m.heap.fail_in = when & 1 ? 0 : 1 + when / 8;
    r->m.heap.fail_on = when & 2;
}

static void check_counters(run *r) {
    presence_statistics stats = {.size = sizeof stats};
    pr_member_info members[8];
    pr_engine_stats(r->m.engine, &stats);
    size_t links = 0, count = pr_engine_members(r->m.engine, members, 8);
    for (size_t i = 0; i < LINKS; i++) links += r->m.links[i].id != 0;
    REQUIRE(r->m.yielded || stats.links == links);
    REQUIRE(stats.members == count && stats.entries >= r->m.shown_size && members[0].is_self);
    for (size_t i = 0; i < count && i < 8; i++) fuzz_check_info(&members[i]);
}

static void event(run *r) {
    uint8_t code = fuzz_byte(&r->in), how = fuzz_byte(&r->in);
    link_end *l = &r->m.links[how % LINKS];
    switch (code % 32) {
    case 0: pass(r, how); break;
    case 1: track(r); break;
    case 2: update(r); break;
    case 3: untrack(r); break;
    case 4: owner(r); break;
    case 5: link_up(r, l, how & 64); break;
    case 6: link_up_good(r, l, how & 64); break;
    case 7: link_down(r, l, how / LINKS); break;
    case 8: written(r, l, fuzz_byte(&r->in)); break;
    case 9: dial_failed(r, how); break;
    case 10: fail_memory(r, how); break;
    case 11: pr_engine_hold_sweeps(r->m.engine, how & 1); break;
    case 12:
        if (how == 77) pr_engine_leave(r->m.engine, r->m.now);
        break;
    case 13:
        if (l->id) say_preamble(r, l);
        break;
    case 14: {
        presence_str noise = fuzz_bytes(&r->in, fuzz_byte(&r->in));
        if (l->id) say_bytes(r, l, noise.data, noise.size);
        break;
    }
    default: say(r, l, 1 + code % 12); break;
    }
    fuzz_act(&r->m);
}

static pr_engine_options options(fuzz_input *in, const presence_str *seeds) {
    static const uint32_t small[] = {1, 80, 400, 65536};
    pr_engine_options o = pr_engine_options_default();
    uint8_t a = fuzz_byte(in), b = fuzz_byte(in);
    o.name = pr_cstr("s");
    o.inst = FUZZ_SELF;
    o.inc = 100;
    o.seed = 1 + b;
    o.addresses[0] = pr_cstr("x:9");
    o.addresses_size = a & 1;
    o.seeds = seeds;
    o.seeds_size = a >> 1 & 1;
    o.observer = (a & 0x0c) == 0x0c;
    o.trust_refused = a & 0x10;
    o.suspect_ms = a & 0x20 ? 500 : 0;
    o.flush_ms = a & 0x40 ? 50 : 0;
    o.permdown_ms = a & 0x80 ? 12000 : 1200000;
    o.heartbeat_ms = b & 1 ? 1000 : 200;
    o.high_water = b & 2 ? 600 : 262144;
    o.low_water = b & 2 ? 300 : 65536;
    o.own_log.ring_min = o.replica_log.ring_min = b & 4 ? 2 : 4096;
    o.own_log.ring_share = o.replica_log.ring_share = b & 4 ? 0 : 4;
    o.own_log.chunk_target = o.replica_log.chunk_target = small[b >> 4 & 3];
    o.replica_log.stops_max = b & 8 ? 2 : 4096;
    o.sweep_slice = b & 64 ? 1 : 4096;
    return o;
}

static void begin(run *r) {
    presence_str seed = pr_cstr("x:1");
    pr_engine_options o = options(&r->in, &seed);
    r->m.plain = pr_alloc_default();
    r->m.alloc = heap_allocator(&r->m.heap);
    r->m.now = (pr_time){1000, 5000};
    pr_buffer_init(&r->frame, &r->m.plain, (size_t)1 << 22);
    REQUIRE(pr_decoder_new(&r->m.plain, &r->m.decoder) == 0);
    REQUIRE(pr_engine_new(&r->m.alloc, &o, r->m.now, &r->m.engine) == 0);
    pr_store_watch_all(pr_engine_store_for_watch(r->m.engine), true);
    for (size_t i = 0; i < OWNERS; i++)
        REQUIRE(pr_engine_owner_open(r->m.engine, i == 2 ? 700 : 0, r->m.now, &r->owners[i]) == 0);
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
    check_counters(r);
    fuzz_calm_down(&r->m);
    fuzz_check_list(&r->m);
    pr_engine_free(r->m.engine);
    REQUIRE(r->m.heap.blocks == 0 && r->m.heap.bytes == 0);
    pr_decoder_free(r->m.decoder);
    pr_buffer_free(&r->frame);
    free(r);
    return 0;
}

/* Frames of a member that lies: random, often nearly right. A replica may believe them, but it stays in order, never
 * crashes, and what it serves to others is well formed. `test_log_hostile SEED [COUNT]` replays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hash.h"
#include "log_pair.h"

enum { LIST = 8, WALK = 512 };

static uint64_t random_state, seed;
static unsigned long taken, refused;

static uint32_t rnd(uint32_t n) { return (uint32_t)(pr_random_next(&random_state) % n); }

#define LAW(condition)                                                                                                 \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail_msg("line %d: %s; replay: test_log_hostile %llu 1", __LINE__, #condition, (unsigned long long)seed);  \
    } while (0)

/* Mostly small, near what is held; sometimes far off. */
static uint64_t number(uint64_t near) {
    static const uint64_t far[] = {0, 1, UINT32_MAX, (uint64_t)1 << 32, (uint64_t)1 << 40, UINT64_MAX - 1, UINT64_MAX};
    if (rnd(900) == 0) return far[rnd(7)];
    if (rnd(150) == 0) return near + ((uint64_t)1 << 33);
    return rnd(3) ? near + rnd(6) : rnd(2) && near > 4 ? near - rnd(4) : rnd(20);
}

static pr_up any_up(uint64_t dot) {
    static const char *const texts[] = {"a", "b", "c"};
    pr_up u = {.eid = rnd(3) ? dot : number(dot / 2), .dot = dot, .meta = pr_cstr("{\"n\":1}")};
    u.patch = rnd(8) == 0;
    if (u.patch) return u;
    u.topic = pr_cstr(texts[rnd(40) ? u.eid / 3 % 3 : 1]);
    u.key = pr_cstr(texts[rnd(40) ? u.eid % 3 : 1]);
    return u;
}

static int segment(log_side *s) {
    pr_state state = pr_log_state(s->log);
    uint64_t overlap = rnd(3) && state.have > 8 ? 0 : state.have ? rnd(state.have < 8 ? (uint32_t)state.have : 8) : 0;
    pr_removed removed[LIST];
    pr_up ups[LIST];
    pr_segment f = {.x = rnd(20) ? state.have - overlap : number(state.have), .removed = removed, .ups = ups};
    f.T = rnd(20) ? (state.asof > f.x ? state.asof : f.x) : number(f.x);
    f.x2 = rnd(20) ? state.have + rnd(12) : number(f.x);
    f.T2 = rnd(20) ? (f.T > f.x2 ? f.T : f.x2) : number(f.T);
    if (f.T2 < state.floor && rnd(2)) f.T2 = state.floor;
    if (overlap || rnd(2)) f.x2 = f.T2;
    for (uint64_t eid = 1 + rnd(3); rnd(3) && f.removed_size < LIST; eid += rnd(40) ? 1 + rnd(6) : 0)
        removed[f.removed_size++] = (pr_removed){eid, (uint8_t)(rnd(50) ? rnd(4) : 9)};
    for (uint64_t dot = f.x + 1; dot <= f.x2 + !rnd(40) && rnd(9) && f.ups_size < LIST;
         dot = rnd(60) ? dot + 1 + rnd(2) : number(dot))
        ups[f.ups_size++] = any_up(dot);
    return side_segment(s, &f);
}

static int live(log_side *s) {
    pr_state state = pr_log_state(s->log);
    uint64_t eids[LIST];
    pr_live f = {.w = rnd(4) ? state.floor + rnd(3) : number(state.floor), .eids = eids};
    f.lo = rnd(2) ? 0 : rnd(2) ? state.live_pos : number(2);
    f.hi = rnd(2) ? state.have : number(f.lo);
    for (uint64_t eid = f.lo + 1; rnd(9) && f.eids_size < LIST; eid += 1 + rnd(3)) eids[f.eids_size++] = eid - !rnd(40);
    return side_live(s, &f);
}

/* Walk, find, sum, counts and state agree, whatever was believed. */
static void check(const log_side *s) {
    pr_id ids[WALK];
    size_t n = pr_log_walk(s->log, 0, ids, WALK);
    uint64_t sum = 0, last = 0;
    pr_state state = pr_log_state(s->log);
    LAW(n == pr_log_size(s->log) && n == pr_store_size(s->store) && n < WALK);
    for (size_t i = 0; i < n; i++) {
        pr_view v;
        pr_store_view(s->store, ids[i], &v);
        LAW(v.dot > last && v.eid <= v.dot && pr_log_find(s->log, v.eid) == ids[i]);
        last = v.dot;
        sum += pr_fmix64(pr_fmix64(pr_fmix64(v.eid) ^ v.dot) ^ pr_hash_entry(v.topic, v.key, v.meta));
    }
    LAW(sum == pr_log_sum(s->log));
    LAW(state.have <= state.floor &&
        (state.live ? state.have <= state.live_from && state.live_from <= state.floor && state.live_pos <= state.have
                    : state.have <= state.asof && state.asof <= state.floor));
}

static void check_order(const pr_segment *f) {
    uint64_t last = 0;
    LAW(f->x <= f->T && f->x2 <= f->T2 && f->x <= f->x2 && f->T <= f->T2);
    for (size_t i = 0; i < f->removed_size; last = f->removed[i++].eid)
        LAW(f->removed[i].eid > last && f->removed[i].eid <= f->x);
    last = f->x;
    for (size_t i = 0; i < f->ups_size; last = f->ups[i++].dot)
        LAW(f->ups[i].dot > last && f->ups[i].dot <= f->x2 && f->ups[i].eid <= f->ups[i].dot);
}

/* Whoever asks the relay gets frames in order, and comes to an end. */
static void serve_all(log_side *relay, log_side *replica, pr_cursor c) {
    pr_served_frame f;
    pr_log_keep_removals(relay->log);
    for (unsigned frames = 0;; frames++) {
        int served = pr_log_serve(relay->log, &c, true, &f);
        if (served <= 0) break;
        LAW(frames < 2 * WALK);
        if (served == PR_SERVED_SEGMENT) {
            check_order(&f.segment);
            side_segment(replica, &f.segment);
        } else {
            side_live(replica, &f.live);
        }
        check(replica);
    }
}

static pr_cursor any_cursor(const log_side *relay, const log_side *replica) {
    pr_state s = pr_log_state((rnd(3) ? replica : relay)->log);
    if (rnd(3) == 0) s.have = number(s.have);
    if (rnd(3) == 0) s.live = true, s.live_pos = number(2), s.live_from = number(s.floor);
    pr_cursor c = pr_cursor_from_state(&s);
    if (rnd(3) == 0) c.ring_pos_known = true, c.ring_pos = rnd(20);
    return c;
}

static void history(void) {
    pr_log_options o = pr_log_options_default(false);
    o.ring_min = rnd(2) ? rnd(5) : 4096;
    o.ring_share = 0;
    o.stops_max = 1 + rnd(5);
    o.chunk_target = rnd(2) ? 1 + rnd(80) : 65536;
    log_side relay, replica;
    side_open(&relay, false, &o, rnd(3) ? 0 : rnd(20));
    side_open(&replica, false, &o, 0);
    for (int i = 0; i < 120; i++) {
        int result = rnd(8) ? segment(&relay) : live(&relay);
        LAW(result == PR_APPLIED || result == PR_STALE || result == PR_GAP || result == PRESENCE_EPROTOCOL);
        taken += result == PR_APPLIED;
        refused += result != PR_APPLIED;
        check(&relay);
        if (rnd(5) == 0) serve_all(&relay, &replica, any_cursor(&relay, &replica));
    }
    side_close(&relay);
    side_close(&replica);
}

static uint64_t runs = 3000;

static void test_lies(void **unused) {
    (void)unused;
    uint64_t first = seed;
    for (; seed < first + runs; seed++) {
        random_state = seed * 0x9e3779b97f4a7c15u;
        history();
    }
    printf("%lu frames believed, %lu not\n", taken, refused);
    assert_true(runs < 1000 || (taken > runs && refused > runs));
}

int main(int argc, char **argv) {
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    if (argc > 2) runs = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What apply and serve are to each other, as laws over random frames of a true log (protocol.md 3.3 to 3.6):
 *
 *   idempotent   a frame that was taken changes nothing when it comes again
 *   order        where two frames are taken in either order, both orders give the same copy
 *   progress     whoever can be served at all, in whatever state, gets ever nearer and ends complete
 *   difference   a copy and what it is sent = the whole state: as sent to a fresh replica, and as the truth says
 *
 * A history is a function of its seed. At failure the seed is printed:  test_log_algebra SEED [COUNT]  replays from it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log_pair.h"
#include "log_truth.h"

enum { POOL = 48, PATH = 24, WRITES = 60 };

typedef struct packet {
    bool live;
    pr_segment segment;
    pr_live range;
    pr_up ups[TRUTH_LIVE];
    pr_removed removed[WRITES];
    uint64_t eids[TRUTH_LIVE];
} packet;

/* A replica is known by the frames it took, so that a twin of it can be made. */
typedef struct path {
    const packet *taken[PATH];
    size_t size;
} path;

static truth t;
static log_side writer;
static packet pool[POOL];
static size_t pooled;
static uint64_t seed = 1, random_state, runs = 700;
static unsigned long again, orders, complete_orders, served, passes;

static uint32_t rnd(uint32_t n) { return n ? (uint32_t)(pr_random_next(&random_state) % n) : 0; }

#define LAW(condition, what)                                                                                           \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail_msg("%s (line %d); replay: test_log_algebra %llu 1", what, __LINE__, (unsigned long long)seed);       \
    } while (0)

/* ---- the writer ---- */

static void write_once(void) {
    const truth_moment *now = &t.at[t.version];
    size_t i = rnd((uint32_t)now->size);
    uint64_t eid = now->cells[i].eid;
    if (now->size == 0 || (now->size < 12 && rnd(100) < 45)) {
        truth_track(&t);
        pr_id id;
        LAW(pr_log_track(writer.log, 0, truth_topic(t.version), truth_key(t.version), truth_meta(t.version), &id) == 0,
            "track");
    } else if (rnd(2)) {
        pr_meta_hold old;
        truth_update(&t, i);
        LAW(pr_log_update(writer.log, pr_log_find(writer.log, eid), truth_meta(t.version), &old) == 0, "update");
        pr_store_meta_release(writer.store, &old);
    } else {
        truth_untrack(&t, i, PR_REMOVED_UNTRACK);
        side_untrack(&writer, eid);
    }
}

/* ---- frames ---- */

static packet pack(int kind, const pr_served_frame *f) {
    packet p = {.live = kind == PR_SERVED_LIVE, .segment = f->segment, .range = f->live};
    if (p.live) {
        for (size_t i = 0; i < f->live.eids_size; i++) p.eids[i] = f->live.eids[i];
        return p;
    }
    for (size_t i = 0; i < f->segment.removed_size; i++) p.removed[i] = f->segment.removed[i];
    for (size_t i = 0; i < f->segment.ups_size; i++) { /* the store's strings do not outlive the frame */
        p.ups[i] = f->segment.ups[i];
        p.ups[i].meta = truth_meta(p.ups[i].dot);
        if (p.ups[i].patch) continue;
        p.ups[i].topic = truth_topic(p.ups[i].eid);
        p.ups[i].key = truth_key(p.ups[i].eid);
    }
    return p;
}

static int apply(log_side *to, const packet *p) {
    pr_segment s = p->segment;
    pr_live l = p->range;
    s.ups = (pr_up *)p->ups, s.removed = (pr_removed *)p->removed, l.eids = (uint64_t *)p->eids;
    int result =
        p->live ? pr_log_apply_live(to->log, &l, &to->changes) : pr_log_apply_segment(to->log, &s, &to->changes);
    LAW(result >= 0, "a true frame is no protocol error");
    LAW(result == PR_APPLIED || to->changes.size == 0, "what is not taken changes nothing");
    return result;
}

static int take(log_side *to, const packet *p) {
    int result = apply(to, p);
    side_settle(to);
    return result;
}

static bool same_state(const pr_state *a, const pr_state *b) {
    return a->have == b->have && a->asof == b->asof && a->floor == b->floor && a->live == b->live &&
           a->live_from == b->live_from && a->live_pos == b->live_pos;
}

static bool nearer(const pr_state *a, const pr_state *b) {
    if (b->floor != a->floor) return b->floor > a->floor;
    if (a->live && b->live) return b->live_pos > a->live_pos;
    if (a->live != b->live) return true;
    return b->asof != a->asof ? b->asof > a->asof : b->have > a->have;
}

/* Serves to the end and keeps some of the frames; the receiver is any state that can be served. */
static void serve_all(pr_state state) {
    pr_cursor c = pr_cursor_from_state(&state);
    for (unsigned frames = 0;; frames++) {
        pr_cursor before = c;
        pr_served_frame f;
        bool more = pr_log_has_more(writer.log, &c.state);
        int kind = pr_log_serve(writer.log, &c, rnd(2), &f);
        LAW(kind >= 0 && more == (kind > 0), "serve as has_more says");
        if (kind == 0) break;
        LAW(nearer(&before.state, &c.state), "every frame is progress");
        LAW(frames < 4 * WRITES, "serving ends");
        served++, passes += kind == PR_SERVED_LIVE;
        if (pooled < POOL || rnd(4) == 0) pool[pooled < POOL ? pooled++ : rnd(POOL)] = pack(kind, &f);
        if (rnd(12) == 0) return; /* the link ends; what it brought stays under way */
    }
    LAW(pr_state_complete(&c.state) && c.state.asof == t.version, "served to the end is complete");
}

/* Any numbers that may stand in a State (3.3), also such as no replica ever was in. */
static pr_state any_state(void) {
    uint32_t v = (uint32_t)t.version + 1;
    pr_state s = {.floor = rnd(v)};
    s.have = rnd((uint32_t)s.floor + 1);
    s.live = rnd(3) == 0 && s.have > 0;
    if (s.live)
        s.live_from = s.have + rnd((uint32_t)(s.floor - s.have) + 1), s.live_pos = rnd((uint32_t)s.have);
    else
        s.asof = s.have + rnd((uint32_t)(s.floor - s.have) + 1);
    return s;
}

/* ---- copies ---- */

static void twin(log_side *out, const path *p, const pr_log_options *o) {
    side_open(out, false, o, 0);
    for (size_t i = 0; i < p->size; i++) LAW(take(out, p->taken[i]) == PR_APPLIED, "the same frames, the same copy");
}

static uint64_t held(const log_side *s, uint64_t eid) {
    pr_id id = pr_log_find(s->log, eid);
    return id ? pr_store_dot(s->store, id) : 0;
}

static void check_truth(const log_side *s) {
    pr_state at = pr_log_state(s->log);
    const truth_moment *m = &t.at[at.asof];
    LAW(pr_log_complete(s->log) && pr_log_size(s->log) == m->size && pr_log_sum(s->log) == truth_sum(m),
        "complete is History(asof)");
    for (size_t i = 0; i < m->size; i++) LAW(held(s, m->cells[i].eid) == m->cells[i].dot, "complete is History(asof)");
}

/* A copy holds all that its State says: values up to have, deaths up to asof. The rest is still under way. */
static void check_facts(const log_side *side) {
    pr_state s = pr_log_state(side->log);
    if (pr_log_complete(side->log)) check_truth(side);
    for (uint64_t e = 1; !s.live && e <= t.version; e++) {
        const truth_cell *c = truth_find(&t.at[s.asof], e);
        LAW(c != NULL || held(side, e) == 0, "the dead are gone");
        if (c != NULL && c->dot <= s.have && truth_find(&t.at[s.floor], e) != NULL)
            LAW(held(side, e) == c->dot, "what is settled has one value");
    }
}

/* Parts of two LIVE passes lead to the same facts; how far a pass is depends on which came last. */
static void check_alike(const log_side *a, const log_side *b, bool two_passes) {
    pr_state s = pr_log_state(a->log), other = pr_log_state(b->log);
    s.live_pos = other.live_pos = s.live ? 0 : s.live_pos;
    LAW(same_state(&s, &other) || two_passes, "both orders lead to one state");
    check_facts(a);
    check_facts(b);
}

/* ---- the laws ---- */

/* A frame of the pool that this copy takes, and takes here; NULL: none was found. What is not taken changes nothing. */
static const packet *take_any(log_side *to) {
    for (int tries = 0; tries < 2 * POOL; tries++) {
        const packet *frame = &pool[rnd((uint32_t)pooled)];
        if (take(to, frame) == PR_APPLIED) return frame;
    }
    return NULL;
}

static void law_idempotent(const path *p, const pr_log_options *o) {
    log_side s;
    twin(&s, p, o);
    const packet *frame = take_any(&s);
    if (frame != NULL) {
        pr_state before = pr_log_state(s.log), after;
        uint64_t sum = pr_log_sum(s.log), size = pr_log_size(s.log);
        apply(&s, frame);
        after = pr_log_state(s.log);
        LAW(s.changes.size == 0 && same_state(&before, &after), "taken twice is taken once");
        LAW(pr_log_sum(s.log) == sum && pr_log_size(s.log) == size, "taken twice is taken once");
        again++;
    }
    side_close(&s);
}

/* f before g, and g before f; the second may bring nothing new. */
static void law_order(const path *p, const pr_log_options *o) {
    log_side a, b;
    twin(&a, p, o);
    twin(&b, p, o);
    const packet *f = take_any(&a), *g = f ? take_any(&b) : NULL;
    if (g != NULL && take(&a, g) != PR_GAP && take(&b, f) != PR_GAP) {
        check_alike(&a, &b, f->live && g->live);
        orders += f != g, complete_orders += f != g && pr_log_complete(a.log);
    }
    side_close(&a);
    side_close(&b);
}

static void law_difference(const path *p, const pr_log_options *o) {
    log_side some, all;
    twin(&some, p, o);
    side_open(&all, false, o, 0);
    side_catch_up(&writer, &some);
    side_catch_up(&writer, &all);
    assert_same_logs(&some, &all);
    check_truth(&some);
    check_truth(&all);
    side_close(&some);
    side_close(&all);
}

/* ---- a history ---- */

static pr_log_options choose_options(void) {
    pr_log_options o = pr_log_options_default(false);
    o.ring_min = (uint32_t[]){0, 2, 8, 4096}[rnd(4)];
    o.ring_share = 0;
    o.chunk_target = rnd(3) ? 1 + rnd(200) : 65536;
    o.live_eids_max = rnd(4);
    return o;
}

/* A random path: frames of the pool, each where it is taken. */
static path walk(const pr_log_options *o) {
    path p = {.size = 0};
    log_side s;
    side_open(&s, false, o, 0);
    for (uint32_t n = rnd(3 * PATH); n && p.size < PATH && pooled; n--) {
        const packet *frame = &pool[rnd((uint32_t)pooled)];
        if (take(&s, frame) == PR_APPLIED) p.taken[p.size++] = frame;
    }
    side_close(&s);
    return p;
}

static void history(void) {
    pr_log_options o = choose_options();
    t.version = pooled = 0;
    memset(t.death, 0, sizeof t.death);
    side_open(&writer, true, &o, 0);
    for (int round = 0; round < 6; round++) {
        for (uint32_t n = 1 + rnd(WRITES / 6); n; n--) write_once();
        serve_all((pr_state){.have = 0});
        for (int i = 0; i < 4; i++) {
            pr_state s = any_state();
            LAW(pr_log_can_serve(writer.log, &s), "the writer can serve every lawful state");
            serve_all(s);
        }
    }
    for (int i = 0; i < 4; i++) {
        path p = walk(&o);
        for (int k = 0; k < 4; k++) law_idempotent(&p, &o), law_order(&p, &o);
        law_difference(&p, &o);
    }
    side_close(&writer);
}

static void laws_of_apply_and_serve(void **unused) {
    (void)unused;
    printf("from seed %llu, %llu histories\n", (unsigned long long)seed, (unsigned long long)runs);
    for (uint64_t end = seed + runs; seed < end; seed++) {
        random_state = seed * 0x9e3779b97f4a7c15u + 1;
        history();
    }
    printf("%lu frames served, %lu of them LIVE; %lu taken again; %lu pairs in both orders, %lu of them to the end\n",
           served, passes, again, orders, complete_orders);
    assert_true(runs < 500 || (passes > runs && again > runs && orders > runs && complete_orders > runs / 4));
}

int main(int argc, char **argv) {
    if (argc > 1) seed = strtoull(argv[1], NULL, 10);
    if (argc > 2) runs = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {cmocka_unit_test(laws_of_apply_and_serve)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

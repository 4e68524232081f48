/* The world of the log law test: members, links between them, and what must hold of every copy and every frame
 * (protocol.md 3.14). Include after cmocka.h; one world per program. */
#ifndef LOG_WORLD_H
#define LOG_WORLD_H

#include "log_truth.h"

enum { NODES = 5, QUEUE = 12, WALK = 64 };

typedef struct packet {
    struct packet *next;
    bool live, more;
    pr_state before, after; /* of the cursor it was made for */
    int from;
    pr_segment segment;
    pr_live range;
    char space[];
} packet;

typedef struct node {
    pr_log *log;
    uint64_t held[TRUTH_VERSIONS + 1]; /* fold of the changes: eid -> dot, 0 = none */
    pr_log_options options;
    uint64_t floor;
    bool gone[TRUTH_VERSIONS + 1]; /* seen to leave; until the floor is forgotten */
    size_t removals;               /* applied by this copy */
    bool anew;                     /* made anew since its links were up: P12 does not hold */
} node;

typedef struct link {
    bool exists, up, has_cursor, has_request;
    pr_cursor cursor;
    pr_state request;
    packet *queue[QUEUE];
    size_t size;
} link;

typedef struct world {
    uint64_t seed, random;
    unsigned step;
    pr_alloc alloc;
    pr_store *store;
    truth truth;
    int nodes;
    bool broker, direct, patches;
    uint64_t published;
    size_t live_max;
    node node[NODES];
    link link[NODES][NODES];
    pr_changes changes;
    unsigned long applied, lives, gaps, stales, relayed, patched, inferred, positioned;
} world;

static world w; /* one at a time; reset by each history */

static uint32_t rnd(uint32_t n) { return n ? (uint32_t)(pr_random_next(&w.random) % n) : 0; }
static bool chance(uint32_t percent) { return rnd(100) < percent; }

static void broken(const char *what, int line) {
    fail_msg("%s (line %d): seed %llu, step %u; replay: test_log_law %llu 1", what, line, (unsigned long long)w.seed,
             w.step, (unsigned long long)w.seed);
}
#define LAW(condition, what)                                                                                           \
    do {                                                                                                               \
        if (!(condition)) broken(what, __LINE__);                                                                      \
    } while (0)

static const truth_moment *now(void) { return &w.truth.at[w.truth.version]; }

static bool same_state(const pr_state *a, const pr_state *b) {
    return a->have == b->have && a->asof == b->asof && a->floor == b->floor && a->live == b->live &&
           a->live_from == b->live_from && a->live_pos == b->live_pos;
}

static bool same_but_floor(const pr_state *a, const pr_state *b) {
    pr_state c = *b;
    c.floor = a->floor;
    return same_state(a, &c);
}

/* ---- the writer ---- */

static void untrack_one(size_t i) {
    uint8_t reason = (uint8_t)rnd(3);
    pr_id id = pr_log_find(w.node[0].log, now()->cells[i].eid);
    truth_untrack(&w.truth, i, reason);
    LAW(pr_log_untrack(w.node[0].log, id, reason) == 0, "untrack");
}

static void update_one(size_t i) {
    pr_meta_hold old;
    pr_id id = pr_log_find(w.node[0].log, now()->cells[i].eid);
    presence_str before = truth_meta(now()->cells[i].dot);
    truth_update(&w.truth, i);
    LAW(pr_log_update(w.node[0].log, id, truth_meta(w.truth.version), &old) == 0, "update");
    LAW(pr_str_equal(old.meta, before), "update gives the old meta out");
    pr_store_meta_release(w.store, &old);
}

static void track_one(void) {
    pr_id id;
    uint64_t v = w.truth.version + 1;
    truth_track(&w.truth);
    LAW(pr_log_track(w.node[0].log, 0, truth_topic(v), truth_key(v), truth_meta(v), &id) == 0, "track");
}

static void write_once(void) {
    size_t n = now()->size;
    if (w.truth.version == TRUTH_VERSIONS) return;
    if (n == 0 || (n < w.live_max && chance(45)))
        track_one();
    else if (chance(45))
        update_one(rnd((uint32_t)n));
    else
        untrack_one(rnd((uint32_t)n));
    LAW(pr_log_version(w.node[0].log) == w.truth.version, "every operation is one version");
}

/* ---- checks of a replica ---- */

static void check_entries(const node *n) {
    pr_id ids[WALK];
    size_t size = pr_log_walk(n->log, 0, ids, WALK), folded = 0;
    uint64_t last = 0;
    LAW(size == pr_log_size(n->log) && size < WALK, "the walk gives every entry");
    for (size_t i = 0; i < size; i++) {
        pr_view v;
        pr_store_view(w.store, ids[i], &v);
        LAW(v.dot > last, "the walk is in dot order");
        last = v.dot;
        LAW(pr_log_find(n->log, v.eid) == ids[i], "found by eid");
        LAW(n->held[v.eid] == v.dot, "P5 the changes fold to the entries");
        LAW(pr_str_equal(v.topic, truth_topic(v.eid)) && pr_str_equal(v.key, truth_key(v.eid)) &&
                pr_str_equal(v.meta, truth_meta(v.dot)),
            "the value of an entity");
    }
    for (uint64_t e = 1; e <= w.truth.version; e++) folded += n->held[e] != 0;
    LAW(folded == size, "P5 the changes fold to the entries");
}

static void check_complete(const node *n, const pr_state *s) {
    const truth_moment *m = &w.truth.at[s->asof];
    LAW(pr_log_size(n->log) == m->size, "P1 complete is History(asof)");
    for (size_t i = 0; i < m->size; i++)
        LAW(n->held[m->cells[i].eid] == m->cells[i].dot, "P1 complete is History(asof)");
    LAW(pr_log_sum(n->log) == truth_sum(m), "P11 sum");
}

static void check_partial(const node *n, const pr_state *s) {
    const truth_moment *known = &w.truth.at[s->floor], *m = s->live ? known : &w.truth.at[s->asof];
    for (uint64_t e = 1; !s->live && e <= w.truth.version; e++) {
        const truth_cell *c = truth_find(m, e);
        if (n->held[e] == 0) continue;
        LAW(c != NULL, "P2 a dead entity is held");
        LAW(c->dot > s->have || c->dot == n->held[e], "P2 an old value below have");
        LAW(n->held[e] <= s->have, "P2 a dot above have");
    }
    for (size_t i = 0; i < m->size; i++)
        if (m->cells[i].dot <= s->have && truth_find(known, m->cells[i].eid))
            LAW(n->held[m->cells[i].eid] != 0, "P2 P3 a living entity is lacking");
}

static void check_replica(node *n) {
    pr_state s = pr_log_state(n->log);
    LAW(s.have <= s.floor &&
            (s.live ? s.have <= s.live_from && s.live_from <= s.floor : s.have <= s.asof && s.asof <= s.floor),
        "state order");
    LAW(s.live || (s.live_from == 0 && s.live_pos == 0), "P20 no live_pos outside a pass");
    LAW(s.floor >= n->floor && s.floor <= w.truth.version, "P7 floor");
    n->floor = s.floor;
    check_entries(n);
    if (pr_log_complete(n->log))
        check_complete(n, &s);
    else
        check_partial(n, &s);
}

/* ---- checks of a frame that was served ---- */

static void check_removed(int from, const pr_segment *f) {
    size_t deaths = 0;
    for (size_t i = 0; i < f->removed_size; i++) {
        uint64_t eid = f->removed[i].eid, death = w.truth.death[eid];
        uint8_t reason = f->removed[i].reason;
        LAW(eid <= f->x && (i == 0 || eid > f->removed[i - 1].eid), "removed is ascending, up to x");
        LAW(death != 0 && death <= pr_log_version(w.node[from].log), "removed is dead");
        LAW(reason == w.truth.reason[eid] || (from != 0 && reason == PR_REMOVED_UNKNOWN), "P17 reason");
    }
    for (uint64_t e = 1; e <= f->x; e++) deaths += w.truth.death[e] > f->T && w.truth.death[e] <= f->T2;
    LAW(from != 0 || f->x == 0 || deaths == f->removed_size, "the origin names every death of (T, T'], no other");
}

static void check_segment(int from, const pr_cursor *before, const pr_segment *f) {
    const truth_moment *m = &w.truth.at[pr_log_version(w.node[from].log)];
    size_t bytes = truth_removed_size(f) + truth_ups_size(f), due = 0, beyond = 0;
    LAW(f->x == before->state.have && f->T == before->state.asof, "a frame starts at the cursor");
    LAW(bytes <= w.node[from].options.chunk_target || f->ups_size + f->removed_size == 1, "P18 chunk target");
    check_removed(from, f);
    for (size_t i = 0; i < m->size; i++) {
        due += m->cells[i].dot > f->x && m->cells[i].dot <= f->x2;
        beyond += m->cells[i].dot > f->x2;
    }
    LAW(due == f->ups_size, "ups are the entities of (x, x']");
    LAW(f->count_hint == (f->x == 0 ? beyond : 0) && !f->more, "count_hint");
    for (size_t i = 0; i < f->ups_size; i++) {
        const pr_up *u = &f->ups[i];
        const truth_cell *c = truth_find(m, u->eid);
        LAW(c && c->dot == u->dot && pr_str_equal(u->meta, truth_meta(u->dot)), "ups are as of T'");
        LAW(u->patch == (w.patches && u->dot > u->eid && u->eid <= before->base), "patch iff eid <= base");
        LAW(u->patch || (pr_str_equal(u->topic, truth_topic(u->eid)) && pr_str_equal(u->key, truth_key(u->eid))),
            "text");
        w.patched += u->patch;
    }
}

static void check_live(int from, const pr_live *f) {
    const truth_moment *m = &w.truth.at[pr_log_version(w.node[from].log)];
    size_t n = 0;
    LAW(f->w == pr_log_version(w.node[from].log), "LIVE speaks of w");
    LAW(f->eids_size <= 1 || w.node[from].options.live_eids_max == 0 ||
            f->eids_size <= w.node[from].options.live_eids_max,
        "LIVE limit");
    LAW(f->eids_size <= 1 || truth_eids_size(f) <= w.node[from].options.chunk_target, "P18 chunk target");
    for (size_t i = 0; i < m->size; i++)
        if (m->cells[i].eid > f->lo && m->cells[i].eid <= f->hi)
            LAW(n < f->eids_size && f->eids[n++] == m->cells[i].eid, "LIVE names all that live in (lo, hi]");
    LAW(n == f->eids_size, "LIVE names nobody else");
}

/* LIVE only if it must be: the origin's ring holds the last removals; a relay's cursor needs no stop (3.8.3). */
static void check_live_was_needed(int from, const pr_cursor *before) {
    const node *n = &w.node[from];
    size_t missed = 0;
    if (before->state.live) return;
    for (uint64_t e = 1; e <= w.truth.version; e++) missed += w.truth.death[e] > before->state.asof;
    LAW(from != 0 || missed > w.node[from].options.ring_min, "the ring of the origin reaches back");
    bool holds_all = before->ring_pos_known && n->removals <= w.node[from].options.ring_min;
    LAW(from == 0 || !holds_all || w.node[from].options.chunk_target < 65536,
        "a cursor that knows its ring position needs no stop");
}

static bool moved_on(const pr_state *a, const pr_state *b) {
    if (b->floor != a->floor) return b->floor > a->floor;
    if (a->live && b->live) return b->live_pos > a->live_pos;
    if (a->live != b->live) return true;
    return b->asof != a->asof ? b->asof > a->asof : b->have > a->have;
}

#endif

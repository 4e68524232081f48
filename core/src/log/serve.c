/* The next frame for a receiver in a given state (protocol.md 3.5, 3.8.3).
 *
 * Happy path: the removals after the receiver's asof, then entities in dot order within what they left of the chunk
 * target: SEG. Removals that fill a frame go alone. Removals that are no longer known (ring overrun, a state that is
 * no stop): LIVE, in parts, until the receiver's asof is known again. Nothing: no complete copy, a receiver that knows
 * more than this copy, or one that is current. ENOMEM: the cursor is as it was.
 */
#include "frame_cost.h"
#include <stdlib.h>

pr_cursor pr_cursor_from_state(const pr_state *s) {
    return (pr_cursor){.state = *s, .base = pr_state_complete(s) || !pr_rule(PR_RULE_patch_base) ? s->have : 0};
}

static bool consistent(const pr_state *s) {
    if (!pr_rule(PR_RULE_state_consistent)) return true;
    if (s->have > s->floor) return false;
    /* a pass starts at what its source knows, which is no less than have: another would end at an asof below have */
    if (s->live) return s->have <= s->live_from && s->live_from <= s->floor && s->live_pos <= s->have;
    return s->have <= s->asof && s->asof <= s->floor;
}

bool pr_log_can_serve(const pr_log *log, const pr_state *s) {
    uint64_t w = log->state.asof;
    bool known = w >= s->floor || !pr_rule(PR_RULE_floor_requests);
    return pr_log_servable(log) && consistent(s) && known && w >= s->have && (s->live || s->asof <= w);
}

bool pr_log_has_more(const pr_log *log, const pr_state *s) {
    uint64_t w = log->state.asof;
    bool current = !s->live && s->have == w && s->asof == w && s->floor <= w;
    return pr_log_can_serve(log, s) && !current;
}

/* ---- removals(log, asof, have) ---- */

typedef struct removal_list {
    size_t size, bytes;
    uint64_t reached, position; /* version, ring position after the last one */
    bool known;                 /* false: LIVE must say it */
} removal_list;

static bool removals_fit(const pr_log *log, const removal_list *list) {
    return list->size <= 1 || list->bytes <= log->options.chunk_target;
}

static int list_removal(pr_log *log, removal_list *list, const pr_removed *r) {
    if (pr_scratch_reserve(log, &log->removed, (list->size + 1) * sizeof *r) != 0) return PRESENCE_ENOMEM;
    ((pr_removed *)log->removed.data)[list->size++] = *r;
    list->bytes += pr_cost_removed(r->eid);
    return 0;
}

/* The origin may cut at any version. */
static int removals_of_origin(pr_log *log, const pr_state *s, removal_list *list) {
    pr_removed r;
    if (s->asof < log->ring.floor) return 0;
    list->known = true;
    pr_ring_reader reader = pr_ring_read_after_version(&log->ring, s->asof);
    for (uint64_t last = s->asof; pr_ring_next(&reader, &r); last = reader.version) {
        if (r.eid > s->have) continue;
        if (list_removal(log, list, &r) != 0) return PRESENCE_ENOMEM;
        if (removals_fit(log, list)) continue;
        list->size--;
        list->bytes -= pr_cost_removed(r.eid);
        list->reached = last;
        return 0;
    }
    return 0;
}

/* A state between two stops may know of entities that were born and died here unseen. */
static bool stop_of(const pr_log *log, uint64_t version, uint64_t *position) {
    uint64_t held = 0;
    if (pr_rule(PR_RULE_relay_stops)) return pr_stops_find(&log->stops, version, position);
    uint32_t above = pr_stops_above(&log->stops, version);
    if (above > 0) pr_stops_at(&log->stops, above - 1, &held, position);
    return above > 0;
}

/* The ring position of the receiver's asof: the cursor's, or that of a stop. */
static bool position_of(const pr_log *log, const pr_cursor *c, uint64_t *position) {
    *position = c->ring_pos;
    bool known = c->ring_pos_known && pr_rule(PR_RULE_ring_position);
    if (!known && !stop_of(log, c->state.asof, position)) return false;
    return *position >= log->ring.begin && *position <= log->ring.end;
}

/* Takes removals up to `position`; *fits is false and nothing is taken if they are too many. */
static int list_upto(pr_log *log, removal_list *list, pr_ring_reader *reader, uint64_t position, uint64_t have,
                     bool *fits) {
    removal_list more = *list;
    pr_removed r;
    for (; more.position < position && pr_ring_next(reader, &r); more.position++) {
        if (r.eid > have) continue;
        if (list_removal(log, &more, &r) != 0) return PRESENCE_ENOMEM;
        if (removals_fit(log, &more)) continue;
        *fits = false;
        return 0;
    }
    more.position = position;
    *list = more;
    *fits = true;
    return 0;
}

/* A relay learned removals frame by frame: it may cut only where it was complete. */
static int removals_of_relay(pr_log *log, const pr_cursor *c, removal_list *list) {
    uint64_t position, w = log->state.asof;
    if (!log->keeps_removals || !position_of(log, c, &position)) return 0;
    pr_ring_reader reader = pr_ring_read(&log->ring, position);
    list->position = position;
    bool fits = true;
    for (uint32_t i = pr_stops_above(&log->stops, c->state.asof); fits && list->reached != w; i++) {
        uint64_t version = w, at = log->ring.end;
        if (i < log->stops.size) pr_stops_at(&log->stops, i, &version, &at);
        if (version >= w) version = w, at = log->ring.end;
        if (at < position) continue;
        if (list_upto(log, list, &reader, at, c->state.have, &fits) != 0) return PRESENCE_ENOMEM;
        if (fits) list->reached = version, list->known = true;
    }
    return 0;
}

static int by_eid(const void *a, const void *b) {
    uint64_t x = ((const pr_removed *)a)->eid, y = ((const pr_removed *)b)->eid;
    return (x > y) - (x < y);
}

/* A member that lies about its log may have an eid removed twice; nobody gets that from us. */
static size_t sort_removals(pr_log *log, size_t size) {
    pr_removed *r = log->removed.data;
    if (size < 2) return size;
    qsort(r, size, sizeof *r, by_eid);
    size_t n = 1;
    for (size_t i = 1; i < size; i++)
        if (r[i].eid != r[n - 1].eid || !pr_rule(PR_RULE_removed_once)) r[n++] = r[i];
    return n;
}

/* have 0: the receiver holds nothing that could be dead. */
static int removals(pr_log *log, const pr_cursor *c, removal_list *list) {
    int error = 0;
    *list = (removal_list){.reached = log->state.asof, .position = log->ring.end};
    if (c->state.have == 0 || c->state.asof == log->state.asof)
        list->known = true;
    else if (log->own)
        error = removals_of_origin(log, &c->state, list);
    else {
        list->reached = c->state.asof;
        error = removals_of_relay(log, c, list);
    }
    if (!error && list->known) list->size = sort_removals(log, list->size);
    return error;
}

/* ---- LIVE ---- */

static bool live_fits(const pr_log *log, size_t size, size_t bytes) {
    uint32_t max = log->options.live_eids_max;
    return size <= 1 || ((max == 0 || size <= max) && bytes <= log->options.chunk_target);
}

/* Live eids in (lo, have] as far as they fit: *hi is the last one, or have. */
static int list_live(pr_log *log, uint64_t lo, uint64_t have, size_t *size, uint64_t *hi) {
    size_t n = 0, bytes = 0;
    uint64_t previous = lo;
    *hi = have;
    for (pr_index_walk w = pr_index_after(&log->births, lo); w.entry != 0 && w.key <= have; pr_index_next(&w)) {
        bytes += pr_cost_varint(w.key - previous - 1);
        if (!live_fits(log, n + 1, bytes)) {
            *hi = previous;
            break;
        }
        if (pr_scratch_reserve(log, &log->eids, (n + 1) * sizeof(uint64_t)) != 0) return PRESENCE_ENOMEM;
        ((uint64_t *)log->eids.data)[n++] = previous = w.key;
    }
    *size = n;
    return 0;
}

static int serve_live(pr_log *log, pr_cursor *c, pr_live *out) {
    pr_state *s = &c->state;
    uint64_t w = log->state.asof, lo = s->live || !pr_rule(PR_RULE_live_pos_ends) ? s->live_pos : 0, hi;
    size_t size;
    if (list_live(log, lo, s->have, &size, &hi) != 0) return PRESENCE_ENOMEM;
    *out = (pr_live){.w = w, .lo = lo, .hi = hi, .eids = log->eids.data, .eids_size = size};
    if (lo == 0) {
        s->live_from = w;
        c->ring_pos = log->ring.end;
        c->ring_pos_known = log->keeps_removals;
    }
    if (w > s->floor) s->floor = w;
    s->live = hi < s->have;
    s->asof = s->live ? 0 : s->live_from;
    s->live_pos = s->live || !pr_rule(PR_RULE_live_pos_ends) ? hi : 0;
    if (!s->live) s->live_from = 0;
    return PR_SERVED_LIVE;
}

/* ---- SEG ---- */

static void fill_up(const pr_log *log, const pr_dot_walk *w, uint64_t base, pr_up *u) {
    pr_view v;
    pr_store_view(log->store, w->entry, &v);
    *u = (pr_up){.eid = v.eid, .dot = v.dot, .meta = v.meta, .patch = v.dot > v.eid && v.eid <= base};
    if (u->patch) return;
    u->topic = v.topic;
    u->key = v.key;
    u->topic_id = v.topic_id;
}

/* Entities with dot > have within `bytes`; x2 as 3.5 says. */
static int list_ups(pr_log *log, const pr_cursor *c, uint64_t base, bool one_at_least, size_t room, pr_segment *out) {
    pr_up_cost cost;
    if (pr_up_cost_begin(&cost, log, c->state.have) != 0) return PRESENCE_ENOMEM;
    pr_dot_walk w = pr_dots_after(&log->births, &log->moves, c->state.have);
    for (; w.entry != 0; pr_dots_next(&w)) {
        if (pr_scratch_reserve(log, &log->ups, (out->ups_size + 1) * sizeof(pr_up)) != 0) return PRESENCE_ENOMEM;
        out->ups = log->ups.data;
        pr_up *u = &out->ups[out->ups_size];
        fill_up(log, &w, base, u);
        size_t bytes;
        if (pr_up_cost_add(&cost, u, &bytes) != 0) return PRESENCE_ENOMEM;
        if (bytes > room && !(one_at_least && out->ups_size == 0)) break;
        room -= bytes < room ? bytes : room;
        out->ups_size++;
    }
    out->x2 = w.entry == 0 ? out->T2 : out->ups_size ? out->ups[out->ups_size - 1].dot : c->state.have;
    return 0;
}

static uint32_t still_to_come(const pr_log *log, const pr_segment *f) {
    size_t n = f->x == 0 ? pr_log_size(log) - f->ups_size : 0;
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static int serve_segment(pr_log *log, pr_cursor *c, bool patches, const removal_list *list, pr_segment *out) {
    pr_state *s = &c->state;
    *out = (pr_segment){.x = s->have, .T = s->asof, .x2 = s->have, .T2 = list->reached};
    out->removed = log->removed.data;
    out->removed_size = list->size;
    if (list->reached == log->state.asof) {
        size_t target = log->options.chunk_target;
        size_t room = list->bytes < target ? target - list->bytes : 0;
        if (!pr_rule(PR_RULE_shared_budget)) room = target;
        if (list_ups(log, c, patches ? c->base : 0, list->size == 0, room, out) != 0) return PRESENCE_ENOMEM;
        out->count_hint = still_to_come(log, out);
    }
    s->have = out->x2;
    s->asof = out->T2;
    if (s->asof > s->floor) s->floor = s->asof;
    c->ring_pos = list->position;
    c->ring_pos_known = log->keeps_removals;
    return PR_SERVED_SEGMENT;
}

int pr_log_serve(pr_log *log, pr_cursor *c, bool patches, pr_served_frame *out) {
    removal_list list = {.known = false};
    if (!pr_log_has_more(log, &c->state)) return PR_SERVED_NONE;
    if (!c->state.live && removals(log, c, &list) != 0) return PRESENCE_ENOMEM;
    int served = list.known ? serve_segment(log, c, patches, &list, &out->segment) : serve_live(log, c, &out->live);
    if (served > 0 && pr_state_complete(&c->state)) c->base = c->state.have;
    return served;
}

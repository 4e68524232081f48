/* Applying SEG (x, T) -> (x', T'): the accept rule and the merge (protocol.md 3.6).
 *
 * Happy path: the frame fits the state; its entities are looked up; what will leave is listed; memory for the diff is
 * reserved, so that nothing is listed before it can be told; new entities and values are put into the store and the
 * indexes; then, with nothing left that can fail, old moves and the dead are taken out, removals are remembered and the
 * state moves to (x', T').
 * Not taken: stale (nothing new), gap (does not fit, or a patch of an entity not held): nothing is touched.
 * Broken: order, ranges, one entity twice, an entity older than held or with another topic or key: EPROTOCOL.
 * No memory on the way: what was put in is taken back in reverse order, ENOMEM.
 */
#include "diff.h"
#include "log_state.h"
#include <stdlib.h>

/* ---- may it be taken ---- */

static bool removed_well_formed(const pr_segment *f) {
    uint64_t previous = 0;
    for (size_t i = 0; i < f->removed_size; previous = f->removed[i++].eid) {
        const pr_removed *r = &f->removed[i];
        if (r->eid <= previous || r->eid > f->x || r->reason > PR_REMOVED_UNKNOWN) return false;
    }
    return true;
}

static bool ups_well_formed(const pr_segment *f) {
    uint64_t previous = f->x;
    for (size_t i = 0; i < f->ups_size; previous = f->ups[i++].dot) {
        const pr_up *u = &f->ups[i];
        if (u->dot <= previous || u->dot > f->x2 || u->eid == 0 || u->eid > u->dot) return false;
        if (u->patch && u->eid == u->dot) return false;
    }
    return true;
}

static bool well_formed(const pr_segment *f) {
    if (!pr_rule(PR_RULE_frame_order)) return true;
    return f->x <= f->T && f->x2 <= f->T2 && f->x <= f->x2 && f->T <= f->T2 && removed_well_formed(f) &&
           ups_well_formed(f);
}

static bool stale(const pr_state *s, const pr_segment *f) { return !s->live && f->T2 <= s->asof && f->x2 <= s->have; }

static bool acceptable(const pr_state *s, const pr_segment *f) {
    bool from = f->x <= s->have || !pr_rule(PR_RULE_seg_from_have),
         no_gap = f->T <= s->asof || !pr_rule(PR_RULE_no_gap);
    bool known = !s->live || !pr_rule(PR_RULE_seg_in_live);
    bool overlaps = known && from && s->have <= f->x2 && no_gap && s->asof <= f->T2;
    /* evidence only in a final frame */
    bool absence_counts = f->x == s->have || f->x2 == f->T2 || !pr_rule(PR_RULE_absence_final);
    /* than what is known to be dead */
    bool not_older = f->x2 == f->x || f->T2 >= s->floor || !pr_rule(PR_RULE_floor_entries);
    return overlaps && absence_counts && not_older;
}

/* ---- looking up what the frame speaks of ---- */

static pr_id *held_of(pr_log *log) { return log->held.data; }

static bool same_entity(const pr_view *v, const pr_up *u) {
    return u->patch || (pr_str_equal(v->topic, u->topic) && pr_str_equal(v->key, u->key));
}

/* The dot of another entity. (Not the birth of one: a frame that reaches below it has it in ups, or says it is dead.)
 */
static bool dot_is_taken(const pr_log *log, const pr_up *u, pr_id held) {
    pr_id moved = pr_index_find(&log->moves, u->dot);
    return moved != 0 && moved != held;
}

/* Fills held[i] with the entry of ups[i], 0 for a join; counts joins and updates and their text. */
static int look_up(pr_log *log, const pr_segment *f, pr_changes *out, size_t *joins, size_t *updates) {
    if (pr_scratch_reserve(log, &log->held, f->ups_size * sizeof(pr_id)) != 0) return PRESENCE_ENOMEM;
    for (size_t i = 0; i < f->ups_size; i++) {
        const pr_up *u = &f->ups[i];
        pr_id id = held_of(log)[i] = pr_index_find(&log->births, u->eid);
        if (id == 0 && u->patch && pr_rule(PR_RULE_patch_held)) return PR_GAP;
        if (dot_is_taken(log, u, id) && pr_rule(PR_RULE_dot_once)) return PRESENCE_EPROTOCOL;
        if (id == 0) {
            ++*joins;
            out->bytes += u->topic.size + u->key.size + u->meta.size;
            continue;
        }
        pr_view v;
        pr_store_view(log->store, id, &v);
        if (v.dot > u->dot && pr_rule(PR_RULE_older_entity)) return PRESENCE_EPROTOCOL;
        if (!same_entity(&v, u) && pr_rule(PR_RULE_same_entity)) return PRESENCE_EPROTOCOL;
        if (v.dot >= u->dot) continue;
        ++*updates;
        out->bytes += v.topic.size + v.key.size + v.meta.size + u->meta.size;
    }
    return PR_APPLIED;
}

static int by_eid(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The eids of ups, ascending; EPROTOCOL: one twice, or one that the frame also removes. */
static int sort_eids(pr_log *log, const pr_segment *f) {
    if (pr_scratch_reserve(log, &log->sorted, f->ups_size * sizeof(uint64_t)) != 0) return PRESENCE_ENOMEM;
    uint64_t *eids = log->sorted.data;
    bool ascending = true;
    for (size_t i = 0; i < f->ups_size; i++) {
        eids[i] = f->ups[i].eid;
        if (i > 0 && eids[i] <= eids[i - 1]) ascending = false;
    }
    if (!ascending) qsort(eids, f->ups_size, sizeof *eids, by_eid);
    for (size_t i = 0, r = 0; i < f->ups_size && pr_rule(PR_RULE_eid_once); i++) {
        if (i > 0 && eids[i] == eids[i - 1]) return PRESENCE_EPROTOCOL;
        while (r < f->removed_size && f->removed[r].eid < eids[i]) r++;
        if (r < f->removed_size && f->removed[r].eid == eids[i]) return PRESENCE_EPROTOCOL;
    }
    return 0;
}

/* Entities born in (x, have] and dead at T' are in nobody's list: absence from a final frame says it. */
static int collect_absent(pr_log *log, const pr_segment *f, pr_changes *out) {
    const uint64_t *eids = log->sorted.data;
    size_t i = 0;
    for (pr_index_walk w = pr_index_after(&log->births, f->x); w.entry != 0; pr_index_next(&w)) {
        while (i < f->ups_size && eids[i] < w.key) i++;
        if (i < f->ups_size && eids[i] == w.key) continue;
        if (pr_changes_leave(out, log, w.entry, PR_REMOVED_UNKNOWN) != 0) return PRESENCE_ENOMEM;
    }
    return 0;
}

/* Leaves go behind the room for joins and updates. */
static int collect_dead(pr_log *log, const pr_segment *f, pr_changes *out, size_t from) {
    if (pr_changes_reserve(out, from) != 0) return PRESENCE_ENOMEM;
    out->size = from;
    for (size_t i = 0; i < f->removed_size; i++) {
        pr_id id = pr_index_find(&log->births, f->removed[i].eid);
        if (id != 0 && pr_changes_leave(out, log, id, f->removed[i].reason) != 0) return PRESENCE_ENOMEM;
    }
    if (f->x < log->state.have && pr_rule(PR_RULE_inference) && collect_absent(log, f, out) != 0)
        return PRESENCE_ENOMEM;
    pr_changes_sort_leaves(out, from);
    return 0;
}

/* ---- putting in, with a way back ---- */

static int put_join(pr_log *log, const pr_up *u, pr_change *change) {
    pr_id id;
    int error = pr_store_insert(log->store, log->index, u->eid, u->dot, u->topic, u->key, u->meta, 0, &id);
    if (error) return error;
    error = pr_index_insert(&log->births, u->eid, id);
    if (error) goto no_birth;
    if (u->dot > u->eid) {
        error = pr_index_insert(&log->moves, u->dot, id);
        if (error) goto no_move;
        pr_index_mark(&log->births, u->eid);
    }
    *change = (pr_change){.entry = id, .kind = PR_CHANGE_JOIN};
    return 0;
no_move:
    pr_index_remove(&log->births, u->eid);
no_birth:
    pr_store_remove(log->store, id);
    return error;
}

static int put_update(pr_log *log, const pr_up *u, pr_id id, pr_change *change) {
    *change = (pr_change){.entry = id, .kind = PR_CHANGE_UPDATE, .old_dot = pr_store_dot(log->store, id)};
    int error = pr_index_insert(&log->moves, u->dot, id);
    if (error) return error;
    error = pr_store_set(log->store, id, u->dot, u->meta, &change->old);
    if (error) pr_index_remove(&log->moves, u->dot);
    return error;
}

static void take_back(pr_log *log, pr_change *change) {
    pr_view v;
    pr_store_view(log->store, change->entry, &v);
    if (v.dot > v.eid) pr_index_remove(&log->moves, v.dot);
    if (change->kind == PR_CHANGE_JOIN) {
        pr_index_remove(&log->births, v.eid);
        pr_store_remove(log->store, change->entry);
    } else {
        pr_store_unset(log->store, change->entry, change->old_dot, &change->old);
    }
}

/* Joins to items[0 ..), updates to items[joins ..). */
static int put_ups(pr_log *log, const pr_segment *f, pr_changes *out, size_t joins) {
    size_t join = 0, update = joins;
    int error = 0;
    for (size_t i = 0; i < f->ups_size && !error; i++) {
        const pr_up *u = &f->ups[i];
        pr_id id = held_of(log)[i];
        if (id == 0)
            error = put_join(log, u, &out->items[join]), join += !error;
        else if (pr_store_dot(log->store, id) < u->dot)
            error = put_update(log, u, id, &out->items[update]), update += !error;
    }
    if (!error) return 0;
    while (update > joins) take_back(log, &out->items[--update]);
    while (join > 0) take_back(log, &out->items[--join]);
    return error;
}

/* ---- nothing fails from here on ---- */

static void settle_up(pr_log *log, const pr_change *change) {
    pr_view v;
    pr_store_view(log->store, change->entry, &v);
    log->sum += pr_log_hash_view(&v);
    if (change->kind == PR_CHANGE_JOIN) return;
    if (change->old_dot > v.eid)
        pr_index_remove(&log->moves, change->old_dot);
    else
        pr_index_mark(&log->births, v.eid);
    v.dot = change->old_dot;
    v.meta = change->old.meta;
    log->sum -= pr_log_hash_view(&v);
}

static void commit(pr_log *log, const pr_segment *f, const pr_changes *out, size_t leaves_from) {
    pr_state *s = &log->state;
    for (size_t i = 0; i < leaves_from; i++) settle_up(log, &out->items[i]);
    s->have = f->x2;
    s->asof = f->T2;
    if (f->T2 > s->floor || !pr_rule(PR_RULE_floor_rises)) s->floor = f->T2;
    pr_log_remove_leaves(log, out, leaves_from, f->T2);
    pr_log_removed_all(log);
}

static int take(pr_log *log, const pr_segment *f, pr_changes *out) {
    size_t joins = 0, updates = 0;
    int result = look_up(log, f, out, &joins, &updates);
    if (result != PR_APPLIED) return result;
    result = sort_eids(log, f);
    if (result) return result;
    result = collect_dead(log, f, out, joins + updates);
    if (!result) result = pr_diff_reserve(log->store, out->size, out->bytes);
    if (result) return result;
    result = put_ups(log, f, out, joins);
    if (result) return result;
    commit(log, f, out, joins + updates);
    return PR_APPLIED;
}

int pr_log_apply_segment(pr_log *log, const pr_segment *f, pr_changes *out) {
    out->size = out->bytes = 0;
    if (log->own || !well_formed(f)) return PRESENCE_EPROTOCOL;
    if (stale(&log->state, f)) return PR_STALE;
    if (!acceptable(&log->state, f)) return PR_GAP;
    int result = take(log, f, out);
    if (result != PR_APPLIED) out->size = out->bytes = 0;
    return result;
}

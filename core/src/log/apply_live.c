/* Applying LIVE: who is alive in a range of eids (protocol.md 3.6).
 *
 * Happy path: the frame starts a pass (lo == 0) or continues ours (lo == live_pos); held entities of (lo, hi] that are
 * not named leave; floor rises; the pass goes on at hi, or ends and asof is the version it started at.
 * Not taken: nothing held, older than what is known, or asof is already there: stale. Another part of a pass: gap.
 * Broken: lo, hi, w or the eids are out of order: EPROTOCOL. No memory for the list of leaves or their diff:
 * ENOMEM, nothing changed.
 */
#include "diff.h"
#include "log_state.h"

static bool well_formed(const pr_live *f) {
    if (!pr_rule(PR_RULE_frame_order)) return true;
    if (f->lo > f->hi || f->hi > f->w) return false;
    uint64_t previous = f->lo;
    for (size_t i = 0; i < f->eids_size; previous = f->eids[i++])
        if (f->eids[i] <= previous || f->eids[i] > f->hi) return false;
    return true;
}

static int collect_dead(pr_log *log, const pr_live *f, pr_changes *out) {
    size_t i = 0;
    pr_index_walk w = pr_index_after(&log->births, f->lo);
    for (; w.entry != 0 && w.key <= f->hi; pr_index_next(&w)) {
        while (i < f->eids_size && f->eids[i] < w.key) i++;
        if (i < f->eids_size && f->eids[i] == w.key) continue;
        if (pr_changes_leave(out, log, w.entry, PR_REMOVED_UNKNOWN) != 0) return PRESENCE_ENOMEM;
    }
    pr_changes_sort_leaves(out, 0);
    return 0;
}

static void advance(pr_state *s, const pr_live *f) {
    uint64_t live_from = f->lo == 0 ? f->w : s->live_from;
    if (f->w > s->floor) s->floor = f->w;
    s->live = f->hi < s->have && pr_rule(PR_RULE_live_unknown);
    s->live_from = s->live ? live_from : 0;
    s->live_pos = s->live ? f->hi : 0;
    s->asof = s->live ? 0 : live_from;
}

int pr_log_apply_live(pr_log *log, const pr_live *f, pr_changes *out) {
    pr_state *s = &log->state;
    out->size = out->bytes = 0;
    if (log->own || !well_formed(f)) return PRESENCE_EPROTOCOL;
    if (s->have == 0 || (f->w < s->floor && pr_rule(PR_RULE_live_floor)) || (!s->live && s->asof >= f->w))
        return PR_STALE;
    if (f->lo != 0 && (!s->live || f->lo != s->live_pos) && pr_rule(PR_RULE_live_continues)) return PR_GAP;
    if (collect_dead(log, f, out) != 0 || pr_diff_reserve(log->store, out->size, out->bytes) != 0) {
        out->size = out->bytes = 0;
        return PRESENCE_ENOMEM;
    }
    advance(s, f);
    pr_log_remove_leaves(log, out, 0, f->w);
    pr_log_removed_all(log);
    return PR_APPLIED;
}

/* The grace of leaves: a key whose last meta has left stays shown for leave_grace_ms (api.md).
 *
 * Happy path: the last shown entry of a key leaves with its owner or its member; it lingers. The key comes back: the
 * join and the leave that waited are in one diff, and the key was never away. It does not: its leave is shown when the
 * time is over, with the reason it had.
 * What leaves by untrack, by a lease or unseen is not held back. An entry that lingers and is shown again, as its
 * member returned, has never left. Untracked meanwhile, or its member forgotten: it leaves at once. No memory for the
 * wait: it leaves at once; none for the diff of waits that ended: tried again each second.
 */
#include "engine_state.h"

static bool has_grace(const pr_engine *e, uint8_t reason) {
    return e->options.leave_grace_ms &&
           (reason == PRESENCE_REASON_OWNER_CLOSED || reason == PRESENCE_REASON_MEMBER_LEFT ||
            reason == PRESENCE_REASON_MEMBER_DOWN);
}

/* A log of a copy that is no more, as entries of it lingered: its index is free with the last of them. */
static void remove_gone(pr_engine *e, pr_id id) {
    pr_view view;
    pr_store_view(e->store, id, &view);
    pr_store_remove(e->store, id);
    if (pr_store_log_over(e->store, view.log)) pr_copy_index_free(e, view.log);
}

static void hide(pr_engine *e, pr_id id, uint8_t reason) {
    pr_diff_hide(e->store, id, reason);
    e->stats.leaves++;
}

static void end(pr_engine *e, pr_id id, uint8_t reason) {
    bool gone = pr_store_linger_end(e->store, id);
    hide(e, id, reason);
    if (gone) remove_gone(e, id);
}

static bool adopted(pr_engine *e, pr_id other, pr_id id) {
    pr_view view;
    pr_store_view(e->store, other, &view);
    if (!pr_store_linger_adopt(e->store, other, id)) return false;
    if (pr_store_log_over(e->store, view.log)) pr_copy_index_free(e, view.log);
    return true;
}

void pr_show(pr_engine *e, pr_id id) {
    if (pr_store_lingers(e->store, id)) {
        pr_store_linger_end(e->store, id);
        return;
    }
    pr_id other = pr_store_linger_of_key(e->store, id);
    if (other && adopted(e, other, id)) return;
    pr_diff_show(e->store, id);
    e->stats.joins++;
    if (other) end(e, other, pr_store_linger_reason(e->store, other));
}

void pr_hide(pr_engine *e, pr_id id, uint8_t reason) {
    if (pr_store_lingers(e->store, id)) {
        if (reason == PRESENCE_REASON_UNTRACK) end(e, id, reason);
        return;
    }
    if (has_grace(e, reason) && pr_store_linger(e->store, id, e->now.mono_ms + e->options.leave_grace_ms, reason))
        return;
    hide(e, id, reason);
}

void pr_hide_at_once(pr_engine *e, pr_id id, uint8_t reason) {
    if (pr_store_lingers(e->store, id))
        end(e, id, pr_store_linger_reason(e->store, id));
    else
        hide(e, id, reason);
}

static size_t text_of(const pr_engine *e, const pr_id *ids, size_t size) {
    size_t bytes = 0;
    pr_view view;
    for (size_t i = 0; i < size; i++) {
        pr_store_view(e->store, ids[i], &view);
        bytes += view.topic.size + view.key.size + view.meta.size;
    }
    return bytes;
}

/* Not while a sweep runs: it may show again what lingers. */
bool pr_grace_slice(pr_engine *e) {
    if (pr_node_linked(&e->sweeps) || pr_store_linger_deadline(e->store) > e->now.mono_ms) return true;
    int rc = pr_engine_room(e, (void **)&e->ids, &e->ids_room, e->options.sweep_slice, sizeof *e->ids);
    size_t size = rc ? 0 : pr_store_linger_due(e->store, e->now.mono_ms, e->ids, e->options.sweep_slice);
    if (rc || pr_diff_begin(e->store, size, text_of(e, e->ids, size))) {
        e->memory_failed = true;
        return false;
    }
    for (size_t i = 0; i < size; i++) end(e, e->ids[i], pr_store_linger_reason(e->store, e->ids[i]));
    pr_action_diffs(e, pr_diff_finish(e->store));
    return true;
}

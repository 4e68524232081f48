/* Frames of logs: who may send what, apply, and the diff of it (protocol.md 3.6, 4.6).
 *
 * Happy path: the frame is of a log held here and asked for on this link; it is applied, what it changed is shown, the
 * request is answered, and feeds of the same log go on.
 * Failures: not asked for: dropped and counted. Our own log, an index without LOGDEF, an entity older than held: the
 * link closes. A gap: one REQ. Over a limit: the log is refused for a minute. No memory, not even for its
 * diff: nothing was changed, and the link is read again after a second.
 */
#include "engine_state.h"

static uint8_t reason_of(uint8_t removal) {
    switch (removal) {
    case PR_REMOVED_UNTRACK: return PRESENCE_REASON_UNTRACK;
    case PR_REMOVED_OWNER_CLOSED: return PRESENCE_REASON_OWNER_CLOSED;
    case PR_REMOVED_LEASE: return PRESENCE_REASON_LEASE;
    default: return PRESENCE_REASON_UNKNOWN;
    }
}

static void show_update(pr_engine *e, const pr_copy *copy, pr_change *change) {
    bool visible = pr_store_visible(e->store, change->entry);
    if (visible && !copy->target && !pr_rule(PR_RULE_touched_target)) return;
    if (visible) {
        pr_diff_update(e->store, change->entry, change->old_dot, change->old.meta);
        if (!copy->target)
            pr_hide(e, change->entry, copy->hide_reason);
        else if (pr_store_lingers(e->store, change->entry))
            pr_show(e, change->entry);
        e->stats.updates += copy->target;
    } else if (copy->target) {
        pr_show(e, change->entry);
    }
}

/* What a frame touched is brought to the target of its log (protocol.md 4.6). */
static void show_change(pr_engine *e, const pr_copy *copy, pr_change *change) {
    switch (change->kind) {
    case PR_CHANGE_JOIN:
        if (copy->target) pr_show(e, change->entry);
        break;
    case PR_CHANGE_UPDATE: show_update(e, copy, change); break;
    case PR_CHANGE_LEAVE:
        if (pr_store_visible(e->store, change->entry)) pr_hide(e, change->entry, reason_of(change->reason));
        pr_store_remove(e->store, change->entry);
        break;
    }
}

/* The diff of e->changes; memory for it was reserved before the frame was applied. */
static void show_changes(pr_engine *e, const pr_copy *copy) {
    pr_changes *changes = &e->changes;
    if (pr_diff_begin(e->store, changes->size, changes->bytes)) e->memory_failed = true;
    for (size_t i = 0; i < changes->size; i++) show_change(e, copy, &changes->items[i]);
    pr_action_diffs(e, pr_diff_finish(e->store));
    for (size_t i = 0; i < changes->size; i++)
        if (changes->items[i].kind == PR_CHANGE_UPDATE) pr_store_meta_release(e->store, &changes->items[i].old);
}

/* ---- who may send what ---- */
static pr_member *wanted(pr_engine *e, pr_peer *peer, uint32_t wire, int *rc) {
    *rc = 0;
    uint64_t inst = wire ? pr_map_get(&peer->defined, wire) : peer->inst;
    if (!inst) {
        e->broken_text = "a log index that was not defined";
        *rc = PRESENCE_EPROTOCOL;
        return NULL;
    }
    if (inst == e->inst && pr_rule(PR_RULE_own_log)) {
        e->broken_text = "a frame of my own log";
        *rc = PRESENCE_EPROTOCOL;
        return NULL;
    }
    pr_member *m = pr_member_of(e, inst);
    bool asked = !wire || !pr_rule(PR_RULE_asked_only);
    if (m && m->copy && (asked || pr_source_welcome(e, pr_source_of(m->copy, peer)))) return m;
    e->stats.frames_dropped++;
    return NULL;
}

/* A log that would not fit is refused as a whole; the link stays (5.4). */
static int refuse(pr_engine *e, pr_member *m, pr_peer *peer) {
    pr_action_error(e, PRESENCE_ELIMIT, "the entries of %s do not fit: 2^32 - 2 entries of all logs", m->name);
    pr_nak_send(e, peer, m->inst, PR_NAK_LIMIT, 0);
    m->refused_until = e->now.mono_ms + PR_REFUSE_MS;
    pr_copy_detach(e, m, PRESENCE_REASON_UNKNOWN);
    pr_member_check_complete(e, m);
    e->synced_check = true; /* it is waited for no longer */
    return 0;
}

static int applied(pr_engine *e, pr_member *m, pr_peer *peer, bool segment, bool more) {
    show_changes(e, m->copy);
    pr_member_maybe(e, m);
    pr_request_progress(e, m, segment);
    if (more) {
        pr_request_clear(e, m);
        pr_request_send(e, m, peer);
    }
    pr_member_check_complete(e, m);
    pr_unsub_relays(e, m);
    pr_copy_wake(e, m->copy);
    return 0;
}

static int outcome(pr_engine *e, pr_member *m, pr_peer *peer, int rc, uint64_t version) {
    if (rc == PR_STALE) {
        e->stats.frames_stale++;
        return 0;
    }
    if (rc == PR_GAP) {
        pr_request_gap(e, m, peer, version);
        return 0;
    }
    if (rc == PRESENCE_EPROTOCOL) e->broken_text = "an entity older than the one held";
    return rc;
}

int pr_segment_merge(pr_engine *e, pr_member *m, pr_peer *peer, const pr_segment *segment) {
    if (pr_store_size(e->store) + segment->ups_size > e->options.entries_max) return refuse(e, m, peer);
    if (segment->count_hint) pr_store_presize(e->store, segment->count_hint < 1048576 ? segment->count_hint : 1048576);
    int rc = pr_log_apply_segment(m->copy->log, segment, &e->changes);
    if (rc != PR_APPLIED) return outcome(e, m, peer, rc, segment->T2);
    e->stats.segments_applied++;
    return applied(e, m, peer, true, segment->more);
}

int pr_segment_take(pr_engine *e, pr_peer *peer, const pr_segment *segment) {
    int rc;
    pr_member *m = wanted(e, peer, segment->log, &rc);
    return m ? pr_segment_merge(e, m, peer, segment) : rc;
}

int pr_live_merge(pr_engine *e, pr_member *m, pr_peer *peer, const pr_live *live) {
    int rc = pr_log_apply_live(m->copy->log, live, &e->changes);
    if (rc != PR_APPLIED) return outcome(e, m, peer, rc, live->w);
    e->stats.lives_applied++;
    return applied(e, m, peer, false, live->more);
}

int pr_live_take(pr_engine *e, pr_peer *peer, const pr_live *live) {
    int rc;
    pr_member *m = wanted(e, peer, live->log, &rc);
    return m ? pr_live_merge(e, m, peer, live) : rc;
}

/* Definitions of instances nobody holds a record of any more make room for new ones. */
static void drop_definitions(pr_engine *e, pr_peer *peer) {
    for (size_t i = 0; i < peer->defined.room;) {
        pr_map_slot slot = peer->defined.slots[i];
        if (slot.key && !pr_member_of(e, slot.value))
            pr_map_take(&peer->defined, slot.key);
        else
            i++;
    }
}

int pr_logdef_take(pr_engine *e, pr_peer *peer, const pr_logdef *definition) {
    uint64_t inst = definition->lane && pr_rule(PR_RULE_lane_zero) ? PR_IGNORED : definition->inst,
             held = pr_map_get(&peer->defined, definition->log);
    if (held && held != inst && pr_rule(PR_RULE_logdef_once)) {
        e->broken_text = "a log index defined twice";
        return PRESENCE_EPROTOCOL;
    }
    if (peer->defined.size >= 2 * PR_MEMBERS_MAX) drop_definitions(e, peer);
    if (peer->defined.size >= 4 * PR_MEMBERS_MAX) {
        e->broken_text = "too many logs defined";
        return PRESENCE_EPROTOCOL;
    }
    return pr_map_put(&peer->defined, definition->log, inst);
}

/* Our own name: refuting records of dead instances, and yielding to a living twin (protocol.md 3.9.4, 3.9.5).
 *
 * A greater pair of our name is refuted: inc rises above it, the log stays the same. If that instance is heard above us
 * again and its heartbeat advanced after the refute, it lives: this one yields. A record that closes our own instance
 * makes us yield too. Failure: a record ages on its way without being told so, and a dead instance looks younger than
 * our refute; hence one period of doubt, in which it is only refuted again, unless its inc answers ours.
 */
#include "engine_state.h"

static pr_twin *twin_of(pr_engine *e, uint64_t inst) {
    for (size_t i = 0; i < e->twins_size; i++)
        if (e->twins[i].inst == inst) return &e->twins[i];
    if (e->twins_size == PR_TWINS_MAX) { /* the oldest goes */
        memmove(e->twins, e->twins + 1, (PR_TWINS_MAX - 1) * sizeof *e->twins);
        e->twins_size--;
    }
    pr_twin *twin = &e->twins[e->twins_size++];
    memset(twin, 0, sizeof *twin);
    twin->inst = inst;
    twin->first_at = e->now.boot_ms;
    return twin;
}

static void tell(pr_engine *e, pr_twin *twin, const pr_record *record) {
    if (twin->told) return;
    twin->told = true;
    pr_action_conflict(e, record);
}

static void yield(pr_engine *e, const pr_record *record) {
    if (e->yielded) return;
    e->yielded = e->stopping = e->yield_wanted = true;
    if (record->addresses_size) memcpy(e->yield_address, record->addresses[0], sizeof e->yield_address);
}

/* Whether a heartbeat that is age_ms old was sent after that time of ours, up to way_ms on its way. */
static bool beat_after(const pr_engine *e, uint64_t age_ms, uint64_t way_ms, uint64_t at) {
    return age_ms + way_ms < e->now.boot_ms - at;
}

/* It beat on after we refuted it. Who answers our refute takes our inc plus one; any other inc may be an old one. */
static bool lives(const pr_engine *e, const pr_twin *twin, const pr_record *record, uint64_t age_ms) {
    if (!pr_rule(PR_RULE_yield_alive)) return true;
    uint64_t way_ms = record->inc == e->inc + 1 ? 0 : e->options.heartbeat_ms;
    return !record->left && beat_after(e, age_ms, way_ms, twin->refuted_at - 1);
}

void pr_identity_heard(pr_engine *e, const pr_record *record, uint64_t age_ms, bool direct) {
    if (record->observer && !e->options.observer) return; /* no member: it holds no name */
    if (record->inst == e->inst) {
        if (record->left && pr_rule(PR_RULE_own_left)) yield(e, record); /* somebody closed this log */
        return;
    }
    pr_twin *twin = twin_of(e, record->inst);
    /* it advanced after it was first heard of */
    bool advanced = record->hb > twin->hb && !record->left && beat_after(e, age_ms, 0, twin->first_at);
    if (direct || advanced) tell(e, twin, record);
    if (record->hb > twin->hb) twin->hb = record->hb;
    bool above = record->inc != e->inc ? record->inc > e->inc : record->inst > e->inst;
    if (!above || !pr_rule(PR_RULE_refute)) return;
    if (record->inc == UINT64_MAX && pr_rule(PR_RULE_inc_bound)) return;
    if (twin->refuted_at && lives(e, twin, record, age_ms) && pr_rule(PR_RULE_yield)) {
        yield(e, record); /* the caller tells the conflict */
        return;
    }
    if (!twin->refuted_at) twin->refuted_at = e->now.boot_ms + 1;
    e->inc = record->inc + 1;
    pr_own_rehash(e);
}

/* An observer whose name a member has. */
void pr_identity_refused(pr_engine *e, const pr_peer *peer) { yield(e, &peer->self); }

/* Without LEAVE: the name stays with the twin. */
void pr_identity_stop(pr_engine *e) {
    e->stopping = false;
    pr_peer *peer;
    while ((peer = pr_node_first(&e->all_peers))) {
        bool twin = peer->phase == PR_PHASE_OPEN && strcmp(peer->name, e->name) == 0;
        pr_peer_close(e, peer, twin ? PR_ERROR_NAME : 0, "a member of my name lives: I stop");
    }
}

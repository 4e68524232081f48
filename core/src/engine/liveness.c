/* Life of members: UP, SUSPECT, DOWN, RETURNING, PERMDOWN, LEFT (protocol.md 3.9.2, 6.1, 6.2).
 *
 * Happy path: heartbeats advance, directly or through others; the member is UP and its log is shown.
 * The end of its last link, or silence over its patience: SUSPECT, DOWN unless others hear it (suspicion.c); DOWN at
 * once when all its addresses refuse after a closed link. DOWN hides its entries, keeps them, and ends with the next
 * sign of life: the log is RETURNING until it has caught up with the first version heard. No advance for permdown:
 * PERMDOWN, a grave. LEAVE: LEFT, a grave. An observer is forgotten at once.
 */
#include "engine_state.h"

uint64_t pr_member_age(const pr_engine *e, const pr_member *m) {
    int64_t age = (int64_t)e->now.boot_ms - m->heard_boot;
    return age > 0 ? (uint64_t)age : 0;
}

uint64_t pr_member_silence(const pr_engine *e, const pr_member *m) {
    int64_t silence = (int64_t)e->ticks - m->heard_ticks;
    return silence > 0 ? (uint64_t)silence : 0;
}

/* ---- telling ---- */
void pr_member_check_complete(pr_engine *e, pr_member *m) {
    bool complete = m->copy && pr_member_up(m) && pr_log_servable(m->copy->log);
    if (complete == m->complete) return;
    m->complete = complete;
    pr_member_changed(e, m);
}

static void enter(pr_engine *e, pr_member *m, uint8_t state) {
    pr_member_count(e, m, state);
    if (state != PR_DOWN) pr_suspicion_clear(m);
    pr_member_rehash(e, m);
    e->synced_check = true;
}

/* ---- transitions ---- */
static int rise(pr_engine *e, pr_member *m) {
    if (!m->copy) {
        int rc = pr_copy_new(e, m);
        if (rc) return rc;
    }
    enter(e, m, PR_UP);
    m->has_version = m->synced = false;
    m->returning = pr_log_size(m->copy->log) > 0 && pr_rule(PR_RULE_returning);
    if (!m->returning) pr_copy_target(e, m->copy, true);
    pr_member_check_complete(e, m);
    pr_copy_wake(e, m->copy);
    m->announced = true;
    pr_action_member(e, m, PRESENCE_MEMBER_UP, "heard");
    pr_dial_member(e, m, false);
    return 0;
}

static void fall(pr_engine *e, pr_member *m, const char *reason) {
    enter(e, m, PR_DOWN);
    if (!m->suspect) m->suspect = PR_SUSPECT_SILENT; /* down until the next sign of life */
    m->probe = 0;
    m->has_version = m->synced = m->returning = false;
    pr_request_clear(e, m);
    if (m->copy) {
        m->copy->hide_reason = PRESENCE_REASON_MEMBER_DOWN;
        pr_copy_target(e, m->copy, false);
    }
    pr_member_check_complete(e, m);
    pr_action_member(e, m, PRESENCE_MEMBER_DOWN, reason);
}

static void bury(pr_engine *e, pr_member *m, uint8_t state) {
    bool left = state == PR_LEFT;
    uint8_t reason = left ? PRESENCE_REASON_MEMBER_LEFT : PRESENCE_REASON_MEMBER_DOWN;
    enter(e, m, state);
    pr_copy_detach(e, m, reason);
    pr_dial_drop(e, &m->dial);
    pr_member_check_complete(e, m);
    if (m->announced)
        pr_action_member(e, m, left ? PRESENCE_MEMBER_LEFT : PRESENCE_MEMBER_PERMDOWN, left ? "leave" : "silence");
    m->announced = false;
}

/* How long after its last advance a grave is kept (3.9.3). */
static uint64_t grave_ms(const pr_engine *e, const pr_member *m) {
    if (!(m->left ? pr_rule(PR_RULE_left_grave) : pr_rule(PR_RULE_grave))) return 0;
    return 2ull * e->options.permdown_ms;
}

static void arm(pr_engine *e, pr_member *m) {
    bool judged = pr_member_up(m) || m->observer; /* one never proven alive is not kept for its successor to meet */
    uint64_t wait = judged ? pr_suspicion_wait(e, m) : PR_NO_TIME;
    uint64_t limit = pr_member_grave(m) ? grave_ms(e, m) : e->options.permdown_ms, age = pr_member_age(e, m);
    uint64_t end = age <= limit ? limit - age + 1 : 1;
    if (end < wait) wait = end;
    pr_timer_set(&e->timers, &m->liveness, e->now.mono_ms + wait);
}

/* Brings the state to what the record says (Node.refresh of the model). */
int pr_member_refresh(pr_engine *e, pr_member *m) {
    int rc = 0;
    if (m->left) {
        if (m->state != PR_LEFT) bury(e, m, PR_LEFT);
    } else if (pr_member_age(e, m) > e->options.permdown_ms) {
        if (m->state != PR_PERMDOWN) bury(e, m, PR_PERMDOWN);
    } else if (pr_member_up(m)) {
        const char *dead = pr_suspicion_judge(e, m);
        if (dead)
            fall(e, m, dead);
        else if (!m->copy && m->refused_until <= e->now.mono_ms)
            rc = rise(e, m);
    } else if (pr_member_fresh(e, m)) {
        rc = rise(e, m);
    } else if (pr_member_grave(m)) {
        enter(e, m, PR_DOWN);
    }
    arm(e, m);
    return rc;
}

/* The member is gone at once: an observer leaves no grave. */
static void vanish(pr_engine *e, pr_member *m) {
    if (m->announced) pr_action_member(e, m, PRESENCE_MEMBER_LEFT, "closed"); /* never DOWN: it leaves no trace */
    pr_member_forget(e, m);
}

void pr_member_timer(pr_engine *e, pr_member *m) {
    uint64_t age = pr_member_age(e, m);
    if (age > 2ull * e->options.permdown_ms || (pr_member_grave(m) && age > grave_ms(e, m))) {
        pr_member_forget(e, m);
        return;
    }
    if (m->observer && !pr_link_of(m) && pr_member_silent(e, m)) {
        vanish(e, m);
        return;
    }
    if (pr_member_refresh(e, m)) e->memory_failed = true;
}

/* A complete frame on a link of this very instance. After a stall, what waited in the kernel proves nothing. */
int pr_member_evidence(pr_engine *e, pr_member *m) {
    if (e->stale_until > e->now.mono_ms && pr_rule(PR_RULE_stall_evidence)) return 0;
    if (m->left) return 0;
    if (m->state == PR_PERMDOWN && pr_rule(PR_RULE_permdown_evidence)) return 0;
    bool suspect = m->suspect;
    m->heard_boot = (int64_t)e->now.boot_ms;
    m->heard_ticks = (int64_t)e->ticks;
    m->hops = 0;
    pr_suspicion_clear(m);
    if (!pr_member_up(m) || !m->copy) return pr_member_refresh(e, m);
    if (suspect) pr_action_member(e, m, PRESENCE_MEMBER_UP, "heard");
    return 0;
}

void pr_member_answered(pr_engine *e, pr_peer *peer, const pr_probe_ack *ack) {
    pr_member *m = pr_member_of(e, ack->inst);
    if (m && pr_suspicion_answered(e, m, peer, ack) && pr_member_refresh(e, m)) e->memory_failed = true;
}

void pr_member_link_lost(pr_engine *e, pr_member *m, bool suspicion) {
    bool gone =
        suspicion || pr_member_grave(m) || !pr_member_up(m); /* one not proven alive has no other way to be heard */
    if (m->observer && gone) {
        vanish(e, m);
        return;
    }
    if (suspicion && pr_member_up(m) && !m->suspect) pr_suspect_closed(e, m);
    arm(e, m);
    pr_dial_member(e, m, true);
}

/* All its addresses refuse: the process is dead (6.2). */
void pr_member_refused(pr_engine *e, pr_member *m) {
    m->refused = true;
    e->synced_check = true;
    bool own = m->own_addresses || !pr_rule(PR_RULE_refused_own);
    if (!e->options.trust_refused || !m->suspect || !pr_member_up(m) || !own || pr_judgement_waits(e, m)) return;
    fall(e, m, "refused");
    arm(e, m);
}

/* ---- what the log has to reach (3.3, 3.9.2) ---- */
void pr_member_heard(pr_engine *e, pr_member *m, uint64_t inst, uint64_t version) {
    if (m->inst != inst || !pr_member_up(m) || !m->copy) return;
    if (!m->has_version || !pr_rule(PR_RULE_first_version)) {
        m->has_version = true;
        m->version = version;
    }
    pr_member_maybe(e, m);
}

void pr_member_maybe(pr_engine *e, pr_member *m) {
    if (!pr_member_up(m) || !m->copy || !m->has_version) return;
    pr_state state = pr_log_state(m->copy->log);
    if (state.live || state.asof < m->version) return;
    if (m->returning) {
        m->returning = false;
        pr_copy_target(e, m->copy, true);
    }
    if (m->synced || (state.have < m->version && pr_rule(PR_RULE_synced_have)))
        return; /* removals come first: asof may be far ahead of the entries */
    m->synced = true;
    e->synced_check = true;
}

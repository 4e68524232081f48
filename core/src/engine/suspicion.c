/* Suspicion: how long silence is borne, who is asked about a silent member, and what decides (protocol.md 3.13, 6.2).
 *
 * Happy path: heartbeats come in time, and their jitter sets how long the next one may be missing.
 * Silence over the patience: SUSPECT, and up to three others are asked. Who is linked with the member and heard it
 * lately says so: it stays UP, and its log is subscribed there. A closed link: SUSPECT for the grace; shortly before
 * the grace is over the same question. No such answer, or nobody to ask: dead.
 * Failures: an answer that is late, not asked for, of a peer without a link of its own, or that heard nothing for half
 * the patience either, is none. After a stall of our own nobody is judged for one patience; as long as our own loop
 * comes late, all silence is borne longer.
 */
#include "engine_state.h"

#define RTO_MS       1400 /* three retransmissions of TCP in a row */
#define PROBE_MIN_MS 100
#define PROBE_MAX_MS 1000

/* ---- patience ---- */
static uint64_t period_of(const pr_member *m) {
    uint64_t period = m->period_ms ? m->period_ms : 1000;
    return period < PR_PERIOD_MAX_MS ? period : PR_PERIOD_MAX_MS;
}

static uint64_t between(uint64_t least, uint64_t value, uint64_t most) {
    return value < least ? least : value > most ? most : value;
}

/* T_susp as it is while our own loop is in time, of a member that is linked. */
static uint64_t calm_patience(const pr_engine *e, const pr_member *m) {
    uint64_t period = period_of(m), least = period * 5 / 2;
    if (e->options.suspect_ms) return e->options.suspect_ms > 2 * period ? e->options.suspect_ms : 2 * period;
    if (!m->beats.known) return least;
    return between(least, period + (uint64_t)m->beats.deviation + RTO_MS, 10 * period);
}

/* For every hop the record comes over one period more, of the member or of who told: who beats slower tells later. */
static uint64_t hops_ms(const pr_member *m) {
    uint64_t period = period_of(m), relay = m->relay_ms > period ? m->relay_ms : period;
    uint64_t hops = m->hops < 64 ? m->hops : 64;
    return hops * (relay < PR_PERIOD_MAX_MS ? relay : PR_PERIOD_MAX_MS);
}

/* A loop that comes late by 1.5 periods hears its bytes that much later: four times the patience. */
uint64_t pr_member_patience(const pr_engine *e, const pr_member *m) {
    uint64_t calm = calm_patience(e, m), own = pr_period(e), late = 2 * e->lateness;
    if (!pr_rule(PR_RULE_local_health)) late = 0;
    return calm + calm * (late < 3 * own ? late : 3 * own) / own + hops_ms(m);
}

void pr_lateness_note(pr_engine *e, uint64_t ms) {
    uint64_t most = 3ull * pr_period(e) / 2;
    if (ms > most) ms = most;
    if (ms > e->lateness) e->lateness = ms;
}

/* How far the gaps between heartbeats of a link are from the period. */
void pr_member_beat(pr_engine *e, pr_member *m, const pr_peer *peer) {
    uint64_t gap = e->ticks - m->beat_ticks, period = period_of(m);
    bool known = m->beat_link == peer->id && e->stale_until <= e->now.mono_ms;
    m->beat_link = peer->id;
    m->beat_ticks = e->ticks;
    if (!known) return;
    uint64_t error = gap > period ? gap - period : period - gap;
    if (error > 2 * period) error = 2 * period;
    if (m->beats.known)
        m->beats.deviation += (int32_t)error - m->beats.deviation / 4;
    else
        m->beats = (pr_rtt){.known = true, .deviation = (int32_t)(2 * error)};
}

/* After a stall of ours nobody is accused for one patience (3.9.6). */
bool pr_judgement_waits(const pr_engine *e, const pr_member *m) {
    return e->stall_end && e->now.mono_ms < e->stall_end + calm_patience(e, m) && pr_rule(PR_RULE_stall_hold);
}

bool pr_member_silent(const pr_engine *e, const pr_member *m) {
    return pr_member_silence(e, m) > pr_member_patience(e, m);
}

/* Whether what is known of one that is not UP makes it so: our own lateness brings nobody back. */
bool pr_member_fresh(const pr_engine *e, const pr_member *m) {
    return !m->suspect && pr_member_silence(e, m) <= calm_patience(e, m) + hops_ms(m);
}

pr_peer *pr_direct(const pr_engine *e, const pr_member *m) {
    pr_peer *peer = pr_peer_of(m);
    return peer && e->ticks - peer->read_ticks <= calm_patience(e, m) ? peer : NULL;
}

/* ---- asking others ---- */
static bool may_tell(const pr_engine *e, const pr_peer *peer, const pr_member *m) {
    if (peer->phase != PR_PHASE_OPEN || peer->inst == m->inst || peer->observer) return false;
    const pr_member *other = pr_member_of(e, peer->inst);
    return other && pr_member_up(other) && !other->suspect && pr_direct(e, other) == peer;
}

/* clamp(2 RTT, 100 ms, 1 s) of the farthest of those who could be asked. */
static uint64_t probe_wait(const pr_engine *e, const pr_member *m) {
    uint64_t most = PROBE_MIN_MS;
    for (const pr_node *n = e->all_peers.next; n != &e->all_peers; n = n->next) {
        const pr_peer *peer = n->owner;
        if (!may_tell(e, peer, m)) continue;
        int64_t rtt = pr_rtt_ms(&peer->rtt);
        uint64_t wait = rtt < 0 ? PROBE_MAX_MS : 2 * (uint64_t)rtt;
        if (wait > most) most = wait;
    }
    return most < PROBE_MAX_MS ? most : PROBE_MAX_MS;
}

/* Up to three of those who could know, each as likely. */
static size_t choose(pr_engine *e, const pr_member *m, pr_peer **chosen) {
    size_t seen = 0;
    for (pr_node *n = e->all_peers.next; n != &e->all_peers; n = n->next) {
        if (!may_tell(e, n->owner, m)) continue;
        size_t at = seen < PR_PROBES ? seen : pr_engine_random(e, seen + 1);
        if (at < PR_PROBES) chosen[at] = n->owner;
        seen++;
    }
    return seen < PR_PROBES ? seen : PR_PROBES;
}

/* false: there is nobody to ask. */
static bool ask(pr_engine *e, pr_member *m) {
    pr_peer *chosen[PR_PROBES];
    size_t size = pr_rule(PR_RULE_indirect_probe) ? choose(e, m, chosen) : 0;
    m->asked_others = true;
    m->probes = 0;
    m->probe = size ? pr_probe_id(e) : 0;
    for (size_t i = 0; i < size; i++)
        if (pr_probe_send(e, chosen[i], m->inst, m->probe) == 0) m->probed[m->probes++] = chosen[i]->id;
    return m->probes > 0;
}

void pr_suspicion_clear(pr_member *m) {
    m->suspect = PR_TRUSTED;
    m->probe = 0;
    m->asked_others = false;
}

/* The end of its last link. Those who are asked at once might not have read the same end yet: they are asked so late
 * that their answers still come within the grace. */
void pr_suspect_closed(pr_engine *e, pr_member *m) {
    uint64_t grace = pr_rule(PR_RULE_grace) ? e->options.grace_ms : 0, wait = probe_wait(e, m);
    pr_suspicion_clear(m);
    m->suspect = PR_SUSPECT_CLOSED;
    m->suspect_until = e->now.mono_ms + grace;
    m->probe_at = m->suspect_until - (wait < grace ? wait : grace);
    pr_action_member(e, m, PRESENCE_MEMBER_SUSPECT, "closed");
}

static const char *judge_closed(pr_engine *e, pr_member *m) {
    bool overdue = m->suspect_until < e->now.mono_ms; /* we were away when they should have been asked */
    if (!m->asked_others && m->probe_at <= e->now.mono_ms && ask(e, m) && overdue)
        m->suspect_until = e->now.mono_ms + probe_wait(e, m);
    return m->suspect_until <= e->now.mono_ms ? "closed" : NULL;
}

static const char *judge_silent(pr_engine *e, pr_member *m) {
    bool told = m->suspect != PR_TRUSTED;
    if (!ask(e, m)) return "silence";
    m->suspect = PR_SUSPECT_SILENT;
    m->suspect_until = e->now.mono_ms + probe_wait(e, m);
    if (!told) pr_action_member(e, m, PRESENCE_MEMBER_SUSPECT, "silence");
    return NULL;
}

const char *pr_suspicion_judge(pr_engine *e, pr_member *m) {
    if (pr_judgement_waits(e, m)) return NULL;
    if (m->observer && pr_link_of(m)) return NULL; /* it ends with its link (3.9.8) */
    if (m->suspect == PR_SUSPECT_SILENT) return m->suspect_until <= e->now.mono_ms ? "silence" : NULL;
    if (pr_member_silent(e, m)) return judge_silent(e, m);
    return m->suspect == PR_SUSPECT_CLOSED ? judge_closed(e, m) : NULL;
}

/* ms until the judgement may change. */
uint64_t pr_suspicion_wait(const pr_engine *e, const pr_member *m) {
    if (m->observer && pr_link_of(m)) return pr_member_patience(e, m);
    uint64_t now = e->now.mono_ms, silence = pr_member_silence(e, m), patience = pr_member_patience(e, m);
    uint64_t at = now + (silence <= patience ? patience - silence + 1 : 1);
    if (e->lateness && at > now + pr_period(e)) at = now + pr_period(e); /* the patience will shrink again */
    if (m->suspect == PR_SUSPECT_SILENT) at = m->suspect_until;
    if (m->suspect == PR_SUSPECT_CLOSED && m->suspect_until < at) at = m->suspect_until;
    if (m->suspect == PR_SUSPECT_CLOSED && !m->asked_others && m->probe_at < at) at = m->probe_at;
    uint64_t held = e->stall_end + calm_patience(e, m);
    if (pr_judgement_waits(e, m) && at < held) at = held;
    return at > now ? at - now : 1;
}

/* ---- answers ---- */
static bool was_asked(pr_member *m, const pr_peer *peer, uint32_t id) {
    if (!m->probe || m->probe != id) return false;
    for (size_t i = 0; i < m->probes; i++) {
        if (m->probed[i] != peer->id) continue;
        m->probed[i] = m->probed[--m->probes];
        return true;
    }
    return false;
}

/* It lives, there: its silence is that of the link which told, and its log comes from there. */
static void relayed(pr_engine *e, pr_member *m, pr_peer *peer, uint32_t silence_ms) {
    int64_t heard = (int64_t)e->ticks - (int64_t)silence_ms;
    if (heard > m->heard_ticks) m->heard_ticks = heard;
    m->hops = 1;
    m->relay_ms = peer->self.period_ms;
    pr_suspicion_clear(m);
    pr_action_member(e, m, PRESENCE_MEMBER_UP, "relayed");
    pr_request_relay(e, m, peer);
}

/* Of a suspect member; true: its state is to be looked at again. */
bool pr_suspicion_answered(pr_engine *e, pr_member *m, pr_peer *peer, const pr_probe_ack *ack) {
    if (!pr_member_up(m) || !m->suspect || !was_asked(m, peer, ack->id)) return false;
    bool direct = ack->direct || !pr_rule(PR_RULE_probe_direct);
    if (direct && ack->silence_ms < calm_patience(e, m) / 2) {
        relayed(e, m, peer, ack->silence_ms);
        return true;
    }
    if (m->probes || m->suspect != PR_SUSPECT_SILENT) return false;
    m->suspect_until = e->now.mono_ms; /* all have answered */
    return true;
}

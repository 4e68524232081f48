/* Heartbeats: sent every period on every link, and what one brings (protocol.md 3.4, 3.7.5, 3.7.6, 3.8.1).
 *
 * Happy path: hb rises by one, each link gets its cursor position, the members hash, unlinked instances and a digest.
 * A link that neither reads nor writes for 10 periods is closed. A link that is full and has a heartbeat under way gets
 * none. A state hash that differs at the same version: the copy is dropped and fetched anew.
 */
#include "engine_state.h"

uint32_t pr_period(const pr_engine *e) {
    uint64_t members = e->members_up + 1, least = members > 128 ? members * 1000 / 128 : 0;
    return (uint32_t)(least > e->options.heartbeat_ms ? least : e->options.heartbeat_ms);
}

/* A link that has gone silent counts as none: others may hear its end. */
static bool hears(const pr_engine *e, const pr_member *m) {
    const pr_peer *peer = pr_peer_of(m);
    if (peer && peer->voice) return pr_direct(e, m) == peer;
    return peer && e->ticks - peer->read_ticks <= 3 * (uint64_t)(m->period_ms ? m->period_ms : 1000) / 2;
}

static void gather_unlinked(pr_engine *e, size_t *count) {
    *count = 0;
    if (pr_engine_room(e, (void **)&e->insts, &e->insts_room, e->members_size + 1, sizeof *e->insts)) return;
    for (pr_node *n = e->members.next; n != &e->members; n = n->next) {
        pr_member *m = n->owner;
        if (!pr_member_grave(m) && !m->observer && !hears(e, m)) e->insts[(*count)++] = m->inst;
    }
}

/* What every heartbeat says of its sender, in e->message. */
pr_heartbeat *pr_heartbeat_own(pr_engine *e) {
    pr_message *message = &e->message;
    memset(message, 0, sizeof *message);
    message->type = PR_HEARTBEAT;
    pr_heartbeat *heartbeat = &message->as.heartbeat;
    heartbeat->inc = e->inc;
    heartbeat->hb = e->hb;
    heartbeat->version = pr_log_version(e->own.log);
    heartbeat->members = e->members_hash;
    return heartbeat;
}

/* Every tenth has the sum of the log, if it is told as a whole and who hears it knows sums. */
void pr_heartbeat_add_sum(pr_engine *e, pr_heartbeat *heartbeat, uint64_t features) {
    bool same = heartbeat->at == heartbeat->version || !pr_rule(PR_RULE_sum_at_version);
    if (e->hb % 10 || !same || !(features & PR_FEATURE_SUM)) return;
    heartbeat->has_sum = true;
    heartbeat->sum = pr_log_sum(e->own.log);
}

static void fill_cursor(pr_engine *e, pr_peer *peer, pr_heartbeat *heartbeat) {
    if (!peer->own) return;
    if (!pr_state_complete(&peer->own->cursor.state) && pr_rule(PR_RULE_at_cursor)) return;
    heartbeat->has_at = true;
    heartbeat->at = pr_rule(PR_RULE_at_cursor) ? peer->own->cursor.state.asof : heartbeat->version;
    pr_heartbeat_add_sum(e, heartbeat, peer->features);
}

static void send_heartbeat(pr_engine *e, pr_peer *peer, size_t unlinked) {
    pr_heartbeat *heartbeat = pr_heartbeat_own(e);
    fill_cursor(e, peer, heartbeat);
    uint32_t period = pr_period(e);
    if (period != peer->period_sent) heartbeat->period_ms = period;
    heartbeat->unlinked = e->insts;
    heartbeat->unlinked_size = unlinked;
    size_t count = 0;
    int rc = pr_digest_fill(e, peer, &count);
    if (!rc) {
        heartbeat->digest = (pr_records){e->records, count};
        rc = pr_peer_send(e, peer, &e->message);
    }
    if (rc) {
        peer->digest_clock = 0; /* told again */
        peer->fixed_again = true;
        return;
    }
    peer->period_sent = period;
    peer->heartbeat_end = peer->sent;
}

static bool dead(const pr_engine *e, const pr_peer *peer) {
    if (!pr_rule(PR_RULE_dead_link)) return false;
    uint64_t period = pr_period(e);
    pr_member *m = pr_member_of(e, peer->inst);
    if (m && m->period_ms > period && m->period_ms <= PR_PERIOD_MAX_MS) period = m->period_ms;
    /* whole frames: bytes behind a damaged length would keep the link, and nothing would ever be understood again */
    if (e->ticks - peer->read_ticks > 10 * period) return true;
    return peer->sent > peer->written && e->ticks - peer->progress_ticks > 10 * period;
}

static void beat(pr_engine *e, pr_peer *peer, size_t unlinked) {
    send_heartbeat(e, peer, unlinked);
    pr_ping_beat(e, peer);
}

void pr_heartbeat_tick(pr_engine *e) {
    pr_timer_set(&e->timers, &e->heartbeat, e->now.mono_ms + pr_period(e));
    if (e->left || e->yielded) return;
    e->hb++;
    e->lateness /= 2;
    size_t unlinked;
    gather_unlinked(e, &unlinked);
    for (pr_node *n = e->all_peers.next, *next; n != &e->all_peers; n = next) {
        pr_peer *peer = n->owner;
        next = n->next;
        if (peer->phase != PR_PHASE_OPEN) continue;
        if ((peer->dead = dead(e, peer)))
            pr_peer_close(e, peer, 0, NULL);
        else if (!pr_peer_full(e, peer) || peer->heartbeat_end <= peer->written || !pr_rule(PR_RULE_one_heartbeat))
            beat(e, peer, unlinked);
    }
    if (e->options.broker) pr_broker_tick(e, unlinked);
}

/* Between two heartbeats the others are told of a newcomer, so that they can dial it: a digest with the same hb, at
 * most one per max(50 ms, P / 10) and link. Who learns of it in a digest does not pass it on at once (3.8.1). */
void pr_heartbeat_news(pr_engine *e) {
    e->news_clock = e->record_clock;
    if (!e->news.slot) pr_timer_set(&e->timers, &e->news, e->now.mono_ms);
}

void pr_heartbeat_extra(pr_engine *e) {
    if (e->left || e->yielded) return;
    uint64_t gap = pr_period(e) / 10 > 50 ? pr_period(e) / 10 : 50, next = PR_NO_TIME;
    size_t unlinked;
    gather_unlinked(e, &unlinked);
    for (pr_node *n = e->all_peers.next; n != &e->all_peers; n = n->next) {
        pr_peer *peer = n->owner;
        bool told = peer->digest_clock >= e->news_clock;
        if (told || peer->phase != PR_PHASE_OPEN || pr_peer_full(e, peer)) continue;
        if (peer->news_at <= e->now.mono_ms) {
            peer->news_at = e->now.mono_ms + gap;
            send_heartbeat(e, peer, unlinked);
        } else if (peer->news_at < next) {
            next = peer->news_at;
        }
    }
    pr_timer_set(&e->timers, &e->news, next);
}

/* ---- taking ---- */
static int learn(pr_engine *e, pr_peer *peer, const pr_heartbeat *heartbeat) {
    uint64_t age = e->stale_until > e->now.mono_ms ? e->stalled : 0;
    pr_member *m = pr_member_of(e, peer->inst);
    if (m && heartbeat->hb > peer->self.hb) pr_member_beat(e, m, peer);
    peer->self.inc = heartbeat->inc;
    peer->self.hb = heartbeat->hb;
    if (heartbeat->period_ms) peer->self.period_ms = heartbeat->period_ms;
    if (strcmp(peer->name, e->name) == 0) {
        pr_identity_heard(e, &peer->self, age, true);
        return 0;
    }
    return pr_member_learn(e, &peer->self, 0, age, true);
}

/* A copy that is not what its origin holds at the same version (P11): dropped, and fetched from its floor on. */
void pr_heartbeat_sum(pr_engine *e, pr_member *m, pr_peer *peer, const pr_heartbeat *heartbeat) {
    if (!pr_rule(PR_RULE_sum_check)) return;
    if (!heartbeat->has_sum || !heartbeat->has_at || !m->copy || !pr_log_complete(m->copy->log)) return;
    if (pr_log_version(m->copy->log) != heartbeat->at || pr_log_sum(m->copy->log) == heartbeat->sum) return;
    e->stats.protocol_errors++;
    pr_action_error(e, PRESENCE_EPROTOCOL, "the copy of %s differs from what it holds: fetched anew", m->name);
    pr_copy_detach(e, m, PRESENCE_REASON_UNKNOWN);
    if (pr_copy_new(e, m)) {
        e->memory_failed = true; /* the next frame tries again */
        pr_member_check_complete(e, m);
        return;
    }
    pr_copy_target(e, m->copy, true);
    pr_member_check_complete(e, m);
    pr_request_send(e, m, peer);
}

static int note_unlinked(pr_engine *e, pr_peer *peer, const pr_heartbeat *heartbeat) {
    size_t size = heartbeat->unlinked_size < PR_MEMBERS_MAX ? heartbeat->unlinked_size : PR_MEMBERS_MAX;
    int rc = pr_engine_room(e, (void **)&peer->unlinked, &peer->unlinked_room, size, sizeof *peer->unlinked);
    if (rc) return rc;
    if (size) memcpy(peer->unlinked, heartbeat->unlinked, size * sizeof *peer->unlinked);
    peer->unlinked_size = size;
    return 0;
}

void pr_heartbeat_members(pr_engine *e, pr_peer *peer, uint32_t members) {
    if (members == e->members_hash || e->ticks < peer->mismatch_at || !pr_rule(PR_RULE_members_hash)) return;
    peer->mismatch_at = e->ticks + PR_FULL_DIGEST_MS;
    peer->digest_clock = 0;
    peer->fixed_again = true;
}

int pr_heartbeat_take(pr_engine *e, pr_peer *peer, const pr_heartbeat *heartbeat) {
    int rc = learn(e, peer, heartbeat);
    if (rc || e->yielded) return rc;
    pr_member *m = pr_member_of(e, peer->inst);
    if (m && !m->left) {
        if (pr_rule(PR_RULE_hb_version))
            pr_member_heard(e, m, peer->inst, heartbeat->version);
        else if (heartbeat->has_at)
            pr_member_heard(e, m, peer->inst, heartbeat->at);
        if (heartbeat->has_at) pr_request_consider(e, m, peer, heartbeat->at);
        pr_heartbeat_sum(e, m, peer, heartbeat);
    }
    rc = note_unlinked(e, peer, heartbeat);
    if (!rc) rc = pr_digest_take(e, peer, &heartbeat->digest);
    if (rc || e->yielded) return rc;
    pr_heartbeat_members(e, peer, heartbeat->members);
    pr_request_subscribe(e, peer);
    return 0;
}

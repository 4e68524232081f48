/* Requests: who is asked for a log, and when (protocol.md 3.7.1, 3.7.7, 3.7.8, 3.8.2).
 *
 * Happy path: the origin's link is up, one REQ subscribes there, frames come for ever. Without a direct link the first
 * relay that says it is complete is subscribed, others are remembered as spare.
 * Failures: NAK, a lost link, a detached log or the timer end the outstanding request; the next HB, digest or gap, or
 * the spare, is asked again. While one is outstanding, gaps and digests cause none.
 */
#include "engine_state.h"

pr_source *pr_source_of(const pr_copy *copy, const pr_peer *peer) {
    for (pr_node *n = copy->sources.next; n != &copy->sources; n = n->next) {
        pr_source *source = n->owner;
        if (source->peer == peer) return source;
    }
    return NULL;
}

static pr_source *source_need(pr_engine *e, pr_copy *copy, pr_peer *peer) {
    pr_source *source = pr_source_of(copy, peer);
    if (source) return source;
    source = pr_new(e->alloc, sizeof *source);
    if (!source) return NULL;
    source->copy = copy;
    source->peer = peer;
    pr_node_init(&source->by_peer, source);
    pr_node_init(&source->by_copy, source);
    pr_node_append(&peer->sources, &source->by_peer);
    pr_node_append(&copy->sources, &source->by_copy);
    return source;
}

static void unsubscribe(pr_engine *e, pr_source *source) {
    pr_message message;
    memset(&message, 0, sizeof message);
    message.type = PR_UNSUB;
    message.as.unsub = source->copy->inst;
    source->subscribed = false;
    pr_peer_send(e, source->peer, &message);
}

void pr_source_free(pr_engine *e, pr_source *source, bool unsub) {
    if (unsub && source->subscribed) unsubscribe(e, source);
    pr_member *m = source->copy->member;
    if (m && m->asked == source) pr_request_clear(e, m);
    pr_node_remove(&source->by_peer);
    pr_node_remove(&source->by_copy);
    pr_delete(e->alloc, source, sizeof *source);
}

bool pr_source_welcome(const pr_engine *e, const pr_source *source) {
    if (!source) return false;
    const pr_member *m = source->copy->member;
    return source->subscribed || (m && m->asked == source) || source->welcome_until > e->now.mono_ms;
}

/* ---- asking ---- */
/* max(500 ms, 4 RTT) of the link that is asked (3.13). */
static uint64_t answer_ms(const pr_peer *peer) {
    int64_t rtt = pr_rtt_ms(&peer->rtt);
    uint64_t ms = rtt > 0 ? 4 * (uint64_t)rtt : 0;
    return ms < PR_REQUEST_MS ? PR_REQUEST_MS : ms < PR_REQUEST_MAX_MS ? ms : PR_REQUEST_MAX_MS;
}

static uint64_t request_ms(const pr_member *m) {
    uint64_t ms = m->asked ? answer_ms(m->asked->peer) : PR_REQUEST_MS;
    for (uint32_t i = 0; i < m->attempts && ms < PR_REQUEST_MAX_MS; i++) ms *= 2;
    return ms < PR_REQUEST_MAX_MS ? ms : PR_REQUEST_MAX_MS;
}

static void arm(pr_engine *e, pr_member *m) {
    uint64_t ms = request_ms(m);
    ms = ms - ms / 4 + pr_engine_random(e, ms / 2 + 1);
    pr_timer_set(&e->timers, &m->request, e->now.mono_ms + ms);
}

void pr_request_clear(pr_engine *e, pr_member *m) {
    if (m->asked && m->asked->peer->voice) e->broker.asked--;
    if (m->asked && !m->asked->subscribed) m->asked->welcome_until = e->now.mono_ms + 2 * request_ms(m);
    m->asked = NULL;
    pr_timer_clear(&e->timers, &m->request);
}

/* A subscription on a link that has fallen silent feeds nobody. */
static bool subscribed_somewhere(const pr_engine *e, const pr_copy *copy) {
    for (pr_node *n = copy->sources.next; n != &copy->sources; n = n->next) {
        const pr_source *source = n->owner;
        const pr_member *m = copy->member;
        bool silent = m && source->peer->inst == m->inst && !pr_direct(e, m);
        if (source->subscribed && !silent) return true;
    }
    return false;
}

/* At most so many REQs are outstanding over a broker: each may bring half a megabyte (3.7). */
static bool crowded(const pr_engine *e, const pr_member *m, const pr_peer *peer) {
    if (!peer->voice || !pr_rule(PR_RULE_broker_window)) return false;
    return !m->asked && e->broker.asked >= PR_ANSWERS_WAITED;
}

static void note_asked(pr_engine *e, pr_peer *voice) {
    e->broker.asked++;
    voice->ping = 1; /* its answer measures the way */
    voice->ping_at = e->now.mono_ms;
}

void pr_request_send(pr_engine *e, pr_member *m, pr_peer *peer) {
    if (!pr_member_up(m) || !m->copy || m->refused_until > e->now.mono_ms || crowded(e, m, peer)) return;
    pr_source *source = source_need(e, m->copy, peer);
    if (!source) return;
    bool subscribe = peer->inst == m->inst || source->subscribed ||
                     (!pr_direct(e, m) && !subscribed_somewhere(e, m->copy) && (peer->features & PR_FEATURE_SUBSCRIBE));
    pr_message message;
    memset(&message, 0, sizeof message);
    message.type = PR_REQUEST;
    message.as.request.inst = m->inst;
    message.as.request.state = pr_log_state(m->copy->log);
    message.as.request.subscribe = subscribe && !peer->voice;
    if (peer->voice) message.as.request.from = e->inst;
    if (pr_peer_send(e, peer, &message)) return;
    pr_request_clear(e, m);
    if (peer->claimed == m->inst) peer->claimed = 0; /* what HELLO asked for is replaced by this */
    source->subscribed = message.as.request.subscribe;
    m->asked = source;
    if (peer->voice) note_asked(e, peer);
    arm(e, m);
}

/* HELLO carried our state of its log, which the peer has taken as a REQ. */
void pr_request_claimed(pr_engine *e, pr_peer *peer) {
    pr_member *m = peer->claimed == peer->inst ? pr_member_of(e, peer->inst) : NULL;
    peer->claimed = 0;
    if (!m || !m->copy || !pr_member_up(m)) return;
    pr_source *source = source_need(e, m->copy, peer);
    if (source) source->subscribed = true;
}

/* One REQ per link for the log of its other end, as soon as that instance holds its name (3.7.1). */
void pr_request_subscribe(pr_engine *e, pr_peer *peer) {
    pr_member *m = pr_member_of(e, peer->inst);
    if (!m || !m->copy || !pr_member_up(m)) return;
    pr_source *source = pr_source_of(m->copy, peer);
    if (source && source->subscribed) return;
    if (source && source->refused_until > e->now.mono_ms) return;
    pr_request_send(e, m, peer);
}

static bool refused(const pr_engine *e, const pr_source *source, uint64_t version) {
    return source && source->refused_until > e->now.mono_ms && version <= source->refused_version;
}

/* One outstanding request per log (3.7.7). */
static bool waits(const pr_member *m) { return m->asked && pr_rule(PR_RULE_one_request); }

/* A link offers the log at this version, complete. */
void pr_request_consider(pr_engine *e, pr_member *m, pr_peer *peer, uint64_t version) {
    if (!pr_member_up(m) || !m->copy) return;
    pr_state state = pr_log_state(m->copy->log);
    bool origin = peer->inst == m->inst;
    pr_source *source = pr_source_of(m->copy, peer);
    if (!origin && !source && !pr_direct(e, m)) source = source_need(e, m->copy, peer);
    if (source && version > source->version) source->version = version;
    bool complete = pr_state_complete(&state);
    bool knows = version >= state.floor || !pr_rule(PR_RULE_floor_requests);
    bool need = (!complete && knows) || (!state.live && version > state.asof);
    /* a relayed log nobody feeds here is subscribed even while it is current */
    bool adopt =
        complete && !need && !origin && !pr_direct(e, m) && version >= state.floor && !subscribed_somewhere(e, m->copy);
    if (!pr_rule(PR_RULE_adopt_current) || peer->voice) adopt = false; /* a broker knows no subscription */
    if ((!need && !adopt) || waits(m) || refused(e, source, version)) return;
    bool deaf = peer->voice && m->attempts > 1;      /* it is heard over the broker, and does not answer */
    if (!origin && pr_direct(e, m) && !deaf) return; /* the direct stream will do it */
    pr_request_send(e, m, peer);
}

void pr_request_gap(pr_engine *e, pr_member *m, pr_peer *peer, uint64_t version) {
    e->stats.gaps++;
    if (waits(m) || !pr_member_up(m)) return;
    if (version < pr_log_state(m->copy->log).floor && pr_rule(PR_RULE_floor_requests)) return;
    pr_source *source = pr_source_of(m->copy, peer);
    if (source && source->refused_until > e->now.mono_ms) return; /* 3.7.8 */
    pr_request_send(e, m, peer);
}

/* An accepted frame: the answer is coming, or has come. */
void pr_request_progress(pr_engine *e, pr_member *m, bool segment) {
    m->attempts = 0;
    if (!m->asked) return;
    if (segment && pr_log_complete(m->copy->log))
        pr_request_clear(e, m);
    else
        arm(e, m);
}

/* Another source at once: the origin, else the highest version heard, except those that refused. */
void pr_request_elsewhere(pr_engine *e, pr_member *m) {
    if (!m->copy || !pr_member_up(m) || m->asked) return;
    pr_source *best = NULL;
    pr_state state = pr_log_state(m->copy->log);
    for (pr_node *n = m->copy->sources.next; n != &m->copy->sources; n = n->next) {
        pr_source *source = n->owner;
        if (source->refused_until > e->now.mono_ms || source->peer->inst == m->inst) continue;
        if (source->version >= state.floor && source->version && (!best || source->version > best->version))
            best = source;
    }
    pr_peer *direct = pr_direct(e, m);
    if (direct) {
        pr_source *source = pr_source_of(m->copy, direct);
        if (!source || source->refused_until <= e->now.mono_ms) {
            if (!source || !source->subscribed || !pr_log_complete(m->copy->log)) pr_request_send(e, m, direct);
            return;
        }
    }
    if (best) pr_request_send(e, m, best->peer);
}

void pr_request_relay(pr_engine *e, pr_member *m, pr_peer *peer) {
    if (!m->copy || subscribed_somewhere(e, m->copy)) return;
    pr_request_clear(e, m); /* what the silent link was asked */
    pr_request_send(e, m, peer);
}

void pr_request_timeout(pr_engine *e, pr_member *m) {
    if (m->attempts < 16 && m->copy && !pr_log_complete(m->copy->log)) m->attempts++;
    pr_request_clear(e, m);
}

/* The direct link is up and the log complete: no relay is needed (3.8.2). */
void pr_unsub_relays(pr_engine *e, pr_member *m) {
    pr_peer *direct = pr_direct(e, m);
    if (!direct || !pr_log_complete(m->copy->log)) return;
    pr_source *own = pr_source_of(m->copy, direct);
    if (!own || !own->subscribed || !pr_rule(PR_RULE_unsub_relay)) return;
    for (pr_node *n = m->copy->sources.next; n != &m->copy->sources; n = n->next) {
        pr_source *source = n->owner;
        if (!source->subscribed || source->peer->inst == m->inst) continue;
        unsubscribe(e, source);
        source->welcome_until = e->now.mono_ms + 2 * answer_ms(source->peer);
    }
}

/* ---- being asked ---- */
void pr_nak_send(pr_engine *e, pr_peer *peer, uint64_t inst, uint32_t reason, uint64_t version) {
    pr_message message;
    memset(&message, 0, sizeof message);
    message.type = PR_NAK;
    message.as.nak.inst = inst;
    message.as.nak.reason = reason;
    message.as.nak.version = version;
    pr_peer_send(e, peer, &message);
}

static uint32_t refusal(const pr_copy *copy, const pr_state *state, uint64_t *version) {
    if (!pr_copy_up(copy)) return PR_NAK_NOT_UP;
    if (!pr_log_servable(copy->log)) return PR_NAK_NOT_COMPLETE;
    *version = pr_log_version(copy->log);
    return pr_log_can_serve(copy->log, state) ? 0 : PR_NAK_BEHIND;
}

uint32_t pr_request_refusal(pr_engine *e, const pr_request *request, pr_copy **copy, uint64_t *version) {
    pr_member *m = request->inst == e->inst ? NULL : pr_member_of(e, request->inst);
    *copy = request->inst == e->inst ? &e->own : m ? m->copy : NULL;
    *version = 0;
    if (!*copy || (m && m->observer && pr_rule(PR_RULE_observer_private))) return PR_NAK_GONE;
    return refusal(*copy, &request->state, version);
}

int pr_request_take(pr_engine *e, pr_peer *peer, const pr_request *request) {
    pr_copy *copy;
    uint64_t version;
    uint32_t reason = pr_request_refusal(e, request, &copy, &version);
    pr_feed *old = copy ? pr_feed_of(peer, copy) : NULL;
    bool many = peer->feeds_size >= 4 * (e->members_size + 1);
    if (!reason && !old && many) reason = PR_NAK_LIMIT;
    if (reason) {
        if (old) pr_feed_free(e, old);
        pr_nak_send(e, peer, request->inst, reason, version);
        return 0;
    }
    if (copy->wire) {
        int rc = pr_log_keep_removals(copy->log);
        if (rc) return rc;
    }
    return pr_feed_make(e, peer, copy, &request->state, request->subscribe || !copy->wire);
}

void pr_nak_take(pr_engine *e, pr_peer *peer, const pr_nak *nak) {
    pr_member *m = pr_member_of(e, nak->inst);
    bool asked = m && m->copy && pr_source_welcome(e, pr_source_of(m->copy, peer));
    if (nak->reason == PR_NAK_LIMIT && !asked) { /* the peer refuses what we send */
        pr_copy *copy = nak->inst == e->inst ? &e->own : m ? m->copy : NULL;
        pr_feed *feed = copy ? pr_feed_of(peer, copy) : NULL;
        if (feed) pr_feed_free(e, feed);
    }
    if (!m || !m->copy) return;
    pr_source *source = pr_source_of(m->copy, peer);
    if (!source) return;
    bool needed = source->subscribed || m->asked == source;
    source->subscribed = false;
    source->welcome_until = e->now.mono_ms + 2 * answer_ms(peer);
    source->refused_until = pr_rule(PR_RULE_nak_waits) ? e->now.mono_ms + answer_ms(peer) : 0;
    source->refused_version = source->version;
    if (m->asked == source) pr_request_clear(e, m);
    if (needed) pr_request_elsewhere(e, m);
}

void pr_unsub_take(pr_engine *e, pr_peer *peer, uint64_t inst) {
    pr_member *m = pr_member_of(e, inst);
    pr_copy *copy = inst == e->inst ? &e->own : m ? m->copy : NULL;
    pr_feed *feed = copy ? pr_feed_of(peer, copy) : NULL;
    if (feed) pr_feed_free(e, feed);
}

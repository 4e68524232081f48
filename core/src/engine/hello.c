/* HELLO: who is at the other end, and whether this link is kept (protocol.md 3.7.1, 3.7.9, 5.1).
 *
 * Happy path: same cluster, another instance, no link yet: its record is learned, the link is open, its log is
 * subscribed.
 * Failures: another cluster, ourselves, a second HELLO, or a pair that is linked already: one of the two links closes,
 * at both ends the same one.
 */
#include "engine_state.h"

static void claim(pr_engine *e, pr_peer *peer, pr_hello *hello) {
    pr_member *m = peer->expected ? pr_member_of(e, peer->expected) : NULL;
    if (!m || !m->copy || !pr_member_up(m) || m->refused_until > e->now.mono_ms) return;
    hello->to = m->inst;
    hello->has_state = true;
    hello->state = pr_log_state(m->copy->log);
    peer->claimed = m->inst;
}

static int send_preamble(pr_engine *e, pr_peer *peer) {
    uint8_t preamble[PR_PREAMBLE_SIZE];
    pr_preamble_write(preamble);
    pr_bytes *bytes = pr_bytes_new(e->alloc, preamble, sizeof preamble);
    if (!bytes) return PRESENCE_ENOMEM;
    int rc = pr_peer_send_bytes(e, peer, bytes);
    pr_bytes_release(bytes);
    return rc;
}

void pr_hello_send(pr_engine *e, pr_peer *peer) {
    pr_message *message = &e->message;
    memset(message, 0, sizeof *message);
    message->type = PR_HELLO;
    pr_hello *hello = &message->as.hello;
    memcpy(hello->cluster, e->cluster, sizeof e->cluster);
    pr_record_own(e, &hello->self);
    hello->max_frame = e->options.max_frame;
    hello->version = pr_log_version(e->own.log);
    claim(e, peer, hello);
    peer->period_sent = hello->self.period_ms;
    size_t count = 0, taken = pr_record_bytes(&hello->self) + 256;
    if (pr_digest_hello(e, peer, taken, &count) == 0) hello->records = (pr_records){e->records, count};
    if (send_preamble(e, peer) || pr_peer_send(e, peer, message)) pr_peer_close(e, peer, 0, NULL);
}

static pr_peer *other_link(pr_engine *e, const pr_peer *peer, uint64_t inst) {
    for (pr_node *n = e->all_peers.next; n != &e->all_peers; n = n->next) {
        pr_peer *other = n->owner;
        if (other != peer && other->phase == PR_PHASE_OPEN && other->inst == inst) return other;
    }
    return NULL;
}

/* Both ends judge alike: the link of the smaller dialler stays, of one dialler the older (3.7.9). */
static bool old_stays(const pr_engine *e, const pr_peer *old, const pr_peer *fresh, uint64_t inst) {
    if (e->ticks - old->read_ticks > pr_period(e) && pr_rule(PR_RULE_silent_link)) return false;
    if (!pr_rule(PR_RULE_pair_link)) return true;
    if (old->dialled == fresh->dialled) return true;
    return old->dialled ? e->inst < inst : inst < e->inst;
}

static int turn_down(pr_engine *e, pr_peer **peer, uint32_t error, const char *text) {
    pr_peer_close(e, *peer, error, text);
    *peer = NULL;
    return 0;
}

/* An observer is no member: it never takes the name of one (3.9.8). */
static bool name_held(const pr_engine *e, const pr_record *self) {
    if (strcmp(self->name, e->name) == 0) return true;
    const pr_member *m = pr_member_named(e, self->name);
    return m && m->inst != self->inst && !m->observer; /* nor that of one that was: its grave stays (3.9.3) */
}

static void take_self(pr_engine *e, pr_peer *peer, const pr_hello *hello) {
    peer->self = hello->self;
    peer->inst = hello->self.inst;
    peer->features = hello->self.features & e->options.features;
    peer->observer = hello->self.observer;
    peer->max_frame = hello->max_frame < e->options.max_frame ? hello->max_frame : e->options.max_frame;
    memcpy(peer->name, hello->self.name, sizeof peer->name);
    if (hello->self.addresses_size) memcpy(peer->address, hello->self.addresses[0], sizeof peer->address);
}

static int learn_self(pr_engine *e, const pr_record *self) {
    uint64_t age = e->stale_until > e->now.mono_ms ? e->stalled : 0;
    if (strcmp(self->name, e->name) == 0) {
        pr_identity_heard(e, self, age, true);
        return 0;
    }
    return pr_member_learn(e, self, 0, age, true);
}

static int take_claim(pr_engine *e, pr_peer *peer, const pr_hello *hello) {
    if (hello->to != e->inst || !hello->has_state) return 0;
    if (!pr_log_can_serve(e->own.log, &hello->state)) {
        pr_nak_send(e, peer, e->inst, PR_NAK_BEHIND, pr_log_version(e->own.log));
        return 0;
    }
    return pr_feed_make(e, peer, &e->own, &hello->state, true);
}

static void open_link(pr_engine *e, pr_peer *peer) {
    if (!peer->dialled) e->handshakes--;
    peer->phase = PR_PHASE_OPEN;
    peer->opened = e->now.mono_ms;
    peer->full_at = e->ticks + PR_FULL_DIGEST_MS;
    pr_timer_clear(&e->timers, &peer->handshake);
    pr_member *m = pr_member_of(e, peer->inst);
    if (m) pr_node_append(&m->links, &peer->by_inst);
    pr_dial_linked(e, peer);
}

/* What it says of the others is a hint: without memory it comes again. */
static void take_rest(pr_engine *e, pr_peer *peer, const pr_hello *hello) {
    pr_member *m = pr_member_of(e, peer->inst);
    if (m) {
        if (pr_member_evidence(e, m)) e->memory_failed = true;
        pr_request_claimed(e, peer);
        pr_member_heard(e, m, peer->inst, hello->version);
    }
    if (pr_digest_take(e, peer, &hello->records)) e->memory_failed = true;
    if (e->yielded) return;
    pr_request_subscribe(e, peer);
    pr_ping_open(e, peer);
}

int pr_hello_take(pr_engine *e, pr_peer **at, const pr_hello *hello) {
    pr_peer *peer = *at;
    const pr_record *self = &hello->self;
    if (peer->phase != PR_PHASE_HELLO && pr_rule(PR_RULE_one_hello)) {
        e->broken_text = "a second HELLO";
        return PRESENCE_EPROTOCOL;
    }
    if (strcmp(hello->cluster, e->cluster) != 0 && pr_rule(PR_RULE_same_cluster)) {
        const char *where = peer->address[0] ? peer->address : self->addresses_size ? self->addresses[0] : "dial-only";
        pr_action_error(e, PRESENCE_ECLUSTER, "peer %s (%s) belongs to cluster %s, not %s", self->name, where,
                        hello->cluster, e->cluster);
        return turn_down(e, at, PR_ERROR_CLUSTER, "another cluster");
    }
    if (self->inst == e->inst) return turn_down(e, at, PR_ERROR_SELF, "this is you");
    if (!self->fixed || !self->name[0] || self->left || hello->max_frame < PR_FRAME_MIN) {
        e->broken_text = "a HELLO without a proper self";
        return PRESENCE_EPROTOCOL;
    }
    if (self->observer && name_held(e, self) && pr_rule(PR_RULE_observer_name))
        return turn_down(e, at, PR_ERROR_NAME, "a member has this name");
    pr_peer *old = other_link(e, peer, self->inst);
    if (old && old_stays(e, old, peer, self->inst)) {
        peer->duplicate = true;
        return turn_down(e, at, PR_ERROR_DUPLICATE, "linked already");
    }
    take_self(e, peer, hello);
    int rc = learn_self(e, self);
    if (!rc) rc = take_claim(e, peer, hello);
    if (rc) return rc;
    open_link(e, peer);
    if (old) {
        old->duplicate = true;
        pr_peer_close(e, old, PR_ERROR_DUPLICATE, "linked again");
    }
    take_rest(e, peer, hello);
    return 0;
}

/* PROBE and its answer: how far a peer is away (protocol.md 3.4, 3.13).
 *
 * Happy path: a link that opened is asked about its own other end, a ping; so is it behind its first three heartbeats
 * and then behind each tenth. The time until the answer is smoothed with its deviation.
 * Failures: a link that is full is not asked; an answer to an older ping says nothing; one that came after a stall of
 * ours is no measure. A ping that is not answered is replaced after ten periods.
 */
#include "engine_state.h"

#define PINGS_AT_ONCE 3
#define PING_EVERY    10

int pr_probe_send(pr_engine *e, pr_peer *peer, uint64_t inst, uint32_t id) {
    pr_message message;
    memset(&message, 0, sizeof message);
    message.type = PR_PROBE;
    message.as.probe.inst = inst;
    message.as.probe.id = id;
    return pr_peer_send(e, peer, &message);
}

uint32_t pr_probe_id(pr_engine *e) {
    if (++e->probe_ids == 0) e->probe_ids = 1;
    return e->probe_ids;
}

/* ---- the way to a peer ---- */
static void ping(pr_engine *e, pr_peer *peer) {
    if (pr_peer_full(e, peer)) return;
    if (peer->ping && e->now.mono_ms - peer->ping_at < 10ull * pr_period(e)) return;
    peer->ping = pr_probe_id(e);
    peer->ping_at = e->now.mono_ms;
    if (pr_probe_send(e, peer, peer->inst, peer->ping)) peer->ping = 0;
}

void pr_ping_open(pr_engine *e, pr_peer *peer) { ping(e, peer); }

void pr_ping_beat(pr_engine *e, pr_peer *peer) {
    peer->beats++;
    if (peer->beats <= PINGS_AT_ONCE || peer->beats % PING_EVERY == 0) ping(e, peer);
}

/* As for the retransmission timer of TCP: an eighth of the news, a quarter for the deviation. In 1/8 and 1/4 ms. */
void pr_rtt_sample(pr_rtt *rtt, uint64_t ms) {
    int64_t sample = ms < PR_RTT_MAX_MS ? (int64_t)ms : PR_RTT_MAX_MS;
    if (!rtt->known) {
        *rtt = (pr_rtt){.known = true, .mean = (int32_t)(8 * sample), .deviation = (int32_t)(2 * sample)};
        return;
    }
    int64_t error = sample - rtt->mean / 8, size = error < 0 ? -error : error;
    rtt->mean += (int32_t)error;
    if (rtt->mean < 0) rtt->mean = 0;
    rtt->deviation += (int32_t)(size - rtt->deviation / 4);
}

int64_t pr_rtt_ms(const pr_rtt *rtt) { return rtt->known ? (rtt->mean + 4) / 8 : -1; }

static void ping_answered(pr_engine *e, pr_peer *peer) {
    peer->ping = 0;
    if (e->stall_end && e->stall_end >= peer->ping_at) return; /* we were away */
    pr_rtt_sample(&peer->rtt, e->now.mono_ms - peer->ping_at);
}

/* ---- frames ---- */
void pr_probe_take(pr_engine *e, pr_peer *peer, const pr_probe *probe) {
    if (pr_peer_full(e, peer)) return;
    pr_member *m = pr_member_of(e, probe->inst);
    pr_peer *direct = m ? pr_peer_of(m) : NULL;
    pr_message message;
    memset(&message, 0, sizeof message);
    message.type = PR_PROBE_ACK;
    message.as.probe_ack.inst = probe->inst;
    message.as.probe_ack.id = probe->id;
    message.as.probe_ack.direct = direct != NULL;
    if (direct) message.as.probe_ack.silence_ms = (uint32_t)(e->ticks - direct->read_ticks);
    pr_peer_send(e, peer, &message);
}

void pr_probe_ack_take(pr_engine *e, pr_peer *peer, const pr_probe_ack *ack) {
    if (ack->inst != peer->inst)
        pr_member_answered(e, peer, ack);
    else if (peer->ping && ack->id == peer->ping)
        ping_answered(e, peer);
}

/* The life of a link: up, bytes, written, down, close (protocol.md 3.7, 5.1).
 *
 * Happy path: link_up sends preamble and HELLO; bytes bring the peer's preamble, its HELLO (hello.c), then frames;
 * every frame of the instance that holds the name is evidence of its life; the end of the last link of an instance is
 * suspicion.
 * Failures, all of which end in one close: a preamble that is not ours or of another version; a frame over its limit,
 * with a bad crc, compressed otherwise than agreed, or that does not decode; HELLO late, twice, of another cluster, or
 * of ourselves; a second link of the pair; ERROR from the peer; nothing read or written for 10 periods. No memory: the
 * frame stays with the caller and is tried again a second later.
 */
#include "engine_state.h"

#define MAGIC_SIZE 4 /* what every preamble begins with */

void pr_peer_init(pr_engine *e, pr_peer *peer, pr_link id, uint64_t dial) {
    peer->id = id;
    peer->dial = dial;
    peer->dialled = dial != 0;
    peer->opened = e->now.mono_ms;
    peer->read_ticks = peer->progress_ticks = e->ticks;
    peer->max_frame = PR_FRAME_MIN;
    pr_map_init(&peer->defined, e->alloc, e->options.seed);
    pr_node_init(&peer->feeds, NULL);
    pr_node_init(&peer->ready, NULL);
    pr_node_init(&peer->sources, NULL);
    pr_node_init(&peer->all, peer);
    pr_node_init(&peer->pump, peer);
    pr_node_init(&peer->by_inst, peer);
    pr_timer_init(&peer->handshake, PR_TIMER_HANDSHAKE, peer);
}

/* Room for the timer of every link and for its CLOSE, whatever happens later; one more for a link that cannot be kept.
 */
static pr_peer *peer_new(pr_engine *e, pr_link id, uint64_t dial) {
    size_t closes = e->closing_size + e->peers.size + 2;
    if (pr_engine_room(e, (void **)&e->closing, &e->closing_room, closes, sizeof *e->closing)) return NULL;
    pr_peer *peer = pr_new(e->alloc, sizeof *peer);
    if (!peer) return NULL;
    if (pr_timers_reserve(&e->timers, 1)) {
        pr_delete(e->alloc, peer, sizeof *peer);
        return NULL;
    }
    pr_peer_init(e, peer, id, dial);
    if (pr_map_put(&e->peers, id, (uintptr_t)peer)) {
        pr_timers_give_back(&e->timers, 1);
        pr_delete(e->alloc, peer, sizeof *peer);
        return NULL;
    }
    pr_node_append(&e->all_peers, &peer->all);
    e->stats.links++;
    return peer;
}

/* A link that cannot be kept is closed before it is one. */
static void turn_away(pr_engine *e, pr_link id, uint64_t dial) {
    if (dial) pr_dial_ended(e, dial, false, 0);
    size_t closes = e->closing_size + e->peers.size + 1;
    if (pr_engine_room(e, (void **)&e->closing, &e->closing_room, closes, sizeof *e->closing))
        e->memory_failed = true;
    else
        pr_action_close(e, id);
}

/* Silent ones keep no newcomer out: who has waited longest goes (protocol.md 3.13). */
static void close_oldest_silent(pr_engine *e) {
    for (pr_node *n = e->all_peers.next; n != &e->all_peers; n = n->next) {
        pr_peer *peer = n->owner;
        if (peer->dialled || peer->phase == PR_PHASE_OPEN) continue;
        pr_action_error(e, PRESENCE_ELIMIT, "over %d peers have connected and said no HELLO", PR_HANDSHAKES_MAX);
        pr_peer_close(e, peer, 0, NULL);
        return;
    }
}

void pr_engine_link_up(pr_engine *e, pr_link id, uint64_t dial, pr_time now) {
    pr_engine_note_time(e, now);
    if (!dial && e->handshakes >= PR_HANDSHAKES_MAX && pr_rule(PR_RULE_handshake_limit)) close_oldest_silent(e);
    pr_peer *peer = e->left || e->yielded ? NULL : peer_new(e, id, dial);
    if (!peer) {
        turn_away(e, id, dial);
        return;
    }
    if (!dial) e->handshakes++;
    pr_dial *target = pr_map_find(&e->dials, dial);
    if (target && target->member) peer->expected = target->member->inst;
    if (target) strncpy(peer->address, pr_dial_address(target), sizeof peer->address - 1);
    uint64_t since = target ? target->started : e->now.mono_ms; /* connecting and HELLO share one time-out (3.13) */
    uint64_t until = since + (dial ? e->options.connect_timeout_ms : PR_HANDSHAKE_MS);
    pr_timer_set(&e->timers, &peer->handshake, until > e->now.mono_ms ? until : e->now.mono_ms);
    pr_hello_send(e, peer);
    pr_engine_settle_event(e);
}

int pr_peer_send_bytes(pr_engine *e, pr_peer *peer, pr_bytes *bytes) {
    if (peer->voice) return pr_broker_send_bytes(e, peer, bytes);
    bytes->references++;
    if (pr_action_send(e, peer->id, bytes)) {
        bytes->references--;
        return PRESENCE_ENOMEM;
    }
    if (peer->sent == peer->written) peer->progress_ticks = e->ticks;
    peer->sent += bytes->size;
    if (pr_peer_full(e, peer)) peer->blocked = true;
    e->stats.frames_out++;
    e->stats.bytes_out += bytes->size;
    e->stats.bytes_saved += bytes->saved;
    return 0;
}

int pr_peer_send(pr_engine *e, pr_peer *peer, const pr_message *message) {
    pr_buffer_clear(&e->scratch);
    int rc = pr_encode(&e->scratch, message, peer->max_frame);
    if (rc) return rc;
    pr_bytes *bytes = pr_bytes_new(e->alloc, e->scratch.data, e->scratch.size);
    if (!bytes) {
        e->memory_failed = true;
        return PRESENCE_ENOMEM;
    }
    rc = pr_peer_send_bytes(e, peer, bytes);
    pr_bytes_release(bytes);
    return rc;
}

/* Takes the link out of everything; what its end means is judged by the caller. */
static void peer_free(pr_engine *e, pr_peer *peer) {
    while (pr_node_linked(&peer->feeds)) pr_feed_free(e, pr_node_first(&peer->feeds));
    while (pr_node_linked(&peer->sources)) pr_source_free(e, pr_node_first(&peer->sources), false);
    if (peer->phase != PR_PHASE_OPEN && !peer->dialled) e->handshakes--;
    pr_timer_clear(&e->timers, &peer->handshake);
    pr_timers_give_back(&e->timers, 1);
    pr_node_remove(&peer->all);
    pr_node_remove(&peer->pump);
    pr_node_remove(&peer->by_inst);
    pr_map_take(&e->peers, peer->id);
    pr_map_free(&peer->defined);
    pr_delete(e->alloc, peer->unlinked, peer->unlinked_room * sizeof *peer->unlinked);
    pr_delete(e->alloc, peer, sizeof *peer);
    e->stats.links--;
}

/* Sources that this link fed are asked elsewhere (3.8.2: the spare). */
static void note_orphans(const pr_peer *peer) {
    for (pr_node *n = peer->sources.next; n != &peer->sources; n = n->next) {
        pr_source *source = n->owner;
        pr_member *m = source->copy->member;
        if (m && (source->subscribed || m->asked == source)) m->orphaned = true;
    }
}

static void ask_orphans(pr_engine *e) {
    for (pr_node *n = e->members.next; n != &e->members; n = n->next) {
        pr_member *m = n->owner;
        if (!m->orphaned) continue;
        m->orphaned = false;
        if (!e->left && pr_rule(PR_RULE_spare_relay)) pr_request_elsewhere(e, m);
    }
}

/* error: what the ERROR frame that ended the link said, of either side; 0 = none. */
static void peer_end(pr_engine *e, pr_peer *peer, uint32_t error) {
    bool open = peer->phase == PR_PHASE_OPEN, suspicion = !peer->leaving && !peer->duplicate;
    if (peer->dead && !peer->observer) suspicion = false; /* its silence is judged by itself */
    bool young = e->now.mono_ms - peer->opened < 1000;
    uint64_t inst = peer->inst, dial = peer->dial;
    note_orphans(peer);
    peer_free(e, peer);
    if (e->left || e->yielded) return;
    pr_member *m = open ? pr_member_of(e, inst) : NULL;
    if (m && !pr_link_of(m)) {
        pr_dial_count(&m->dial, young, error);
        pr_member_link_lost(e, m, suspicion);
    }
    if (!open && dial) pr_dial_ended(e, dial, false, error);
    if (open) pr_dial_seeds_again(e, inst, young, error);
    ask_orphans(e);
}

void pr_peer_close(pr_engine *e, pr_peer *peer, uint32_t error, const char *text) {
    if (error) {
        pr_message message;
        memset(&message, 0, sizeof message);
        message.type = PR_ERROR;
        message.as.error.code = error;
        strncpy(message.as.error.text, text, sizeof message.as.error.text - 1);
        pr_peer_send(e, peer, &message);
    }
    pr_action_close(e, peer->id);
    peer_end(e, peer, error);
}

void pr_peer_late(pr_engine *e, pr_peer *peer) {
    if (peer->dialled)
        pr_action_error(e, PRESENCE_ETIMEDOUT, "%s: no HELLO within %u ms of the dial", peer->address,
                        e->options.connect_timeout_ms);
    else
        pr_action_error(e, PRESENCE_ETIMEDOUT, "a peer that connected said no HELLO within %d ms", PR_HANDSHAKE_MS);
    pr_peer_close(e, peer, 0, NULL);
}

void pr_engine_link_down(pr_engine *e, pr_link id, enum pr_link_end end, pr_time now) {
    pr_engine_note_time(e, now);
    (void)end;
    pr_peer *peer = pr_map_find(&e->peers, id);
    if (!peer) return;
    peer_end(e, peer, 0);
    pr_engine_settle_event(e);
}

void pr_engine_written(pr_engine *e, pr_link id, size_t bytes, pr_time now) {
    pr_engine_note_time(e, now);
    pr_peer *peer = pr_map_find(&e->peers, id);
    if (!peer) return;
    peer->written += bytes;
    if (peer->written > peer->sent) peer->written = peer->sent;
    peer->progress_ticks = e->ticks;
    if (!peer->blocked || peer->sent - peer->written > e->options.low_water) return;
    peer->blocked = false;
    pr_peer_wake(e, peer);
    pr_engine_settle_event(e);
}

pr_peer *pr_peer_of(const pr_member *m) {
    return pr_node_linked(&m->links) ? m->links.prev->owner : NULL; /* the newest */
}

pr_peer *pr_link_of(const pr_member *m) {
    for (pr_node *n = m->links.prev; n != &m->links; n = n->prev) {
        pr_peer *peer = n->owner;
        if (!peer->voice) return peer;
    }
    return NULL;
}

/* ---- what the peer says ---- */
static int leave_take(pr_engine *e, pr_peer *peer, const pr_leave *leave) {
    bool own = leave->inst == peer->inst && strcmp(leave->name, peer->name) == 0;
    if (!own && pr_rule(PR_RULE_leave_own)) return PRESENCE_EPROTOCOL;
    pr_record record;
    memset(&record, 0, sizeof record);
    record.inst = leave->inst;
    record.inc = leave->inc;
    record.left = record.fixed = true;
    memcpy(record.name, leave->name, sizeof record.name);
    peer->leaving = true;
    if (peer->observer && !pr_member_of(e, leave->inst)) return 0; /* forgotten before: it leaves no grave (3.9.8) */
    return pr_member_learn(e, &record, 0, 0, true);
}

/* The name it gave itself, or the address that was dialled. */
static const char *called(const pr_peer *peer) {
    if (peer->name[0]) return peer->name;
    return peer->address[0] ? peer->address : "a peer that connected";
}

static int code_of_error(uint32_t error) {
    switch (error) {
    case PR_ERROR_VERSION: return PRESENCE_EVERSION;
    case PR_ERROR_CLUSTER: return PRESENCE_ECLUSTER;
    case PR_ERROR_LIMIT: return PRESENCE_ELIMIT;
    case PR_ERROR_NAME: return PRESENCE_ENAME;
    default: return PRESENCE_EPROTOCOL;
    }
}

/* The peer closes: no answer. Our own address and second links are no errors. */
static void error_take(pr_engine *e, pr_peer *peer, const pr_error *error) {
    if (error->code == PR_ERROR_DUPLICATE) peer->duplicate = true;
    if (error->code == PR_ERROR_NAME && e->options.observer) pr_identity_refused(e, peer);
    bool quiet = error->code == PR_ERROR_DUPLICATE || error->code == PR_ERROR_SELF || error->code == PR_ERROR_STOPPING;
    if (!quiet) pr_action_error(e, code_of_error(error->code), "%s said: %.200s", called(peer), error->text);
    pr_action_close(e, peer->id);
    peer_end(e, peer, error->code);
}

static int dispatch(pr_engine *e, pr_peer **peer, const pr_message *message) {
    pr_peer *p = *peer;
    if (message->type == PR_ERROR) {
        error_take(e, p, &message->as.error);
        *peer = NULL;
        return 0;
    }
    if (message->type == PR_HELLO) return pr_hello_take(e, peer, &message->as.hello);
    if (p->phase != PR_PHASE_OPEN) return PRESENCE_EPROTOCOL;
    switch (message->type) {
    case PR_HEARTBEAT: return pr_heartbeat_take(e, p, &message->as.heartbeat);
    case PR_SEGMENT: return pr_segment_take(e, p, &message->as.segment);
    case PR_LIVE: return pr_live_take(e, p, &message->as.live);
    case PR_REQUEST: return pr_request_take(e, p, &message->as.request);
    case PR_LEAVE: return leave_take(e, p, &message->as.leave);
    case PR_LOGDEF: return pr_logdef_take(e, p, &message->as.logdef);
    case PR_UNSUB: pr_unsub_take(e, p, message->as.unsub); return 0;
    case PR_NAK: pr_nak_take(e, p, &message->as.nak); return 0;
    case PR_PROBE: pr_probe_take(e, p, &message->as.probe); return 0;
    default: pr_probe_ack_take(e, p, &message->as.probe_ack); return 0;
    }
}

/* Any complete frame on a link of the very instance proves that it lives (protocol.md 3.9.1). */
static int evidence(pr_engine *e, pr_peer *peer) {
    peer->read_ticks = e->ticks;
    if (peer->phase != PR_PHASE_OPEN) return 0;
    pr_member *m = pr_member_of(e, peer->inst);
    return m ? pr_member_evidence(e, m) : 0;
}

static int frame_take(pr_engine *e, pr_peer **peer, pr_frame_in *frame, uint32_t limit) {
    pr_message *message = &e->message;
    if ((*peer)->features & PR_FEATURE_CRC && !frame->checked) { /* a flipped bit may have said that there is none */
        e->broken_text = "a frame without crc";
        return PRESENCE_EPROTOCOL;
    }
    int rc = pr_frame_open(e->decoder, frame, (*peer)->features, limit);
    if (rc == PRESENCE_EPROTOCOL) e->broken_text = "bad compressed frame";
    if (!rc) rc = pr_decode(e->decoder, frame, message);
    if (rc == PRESENCE_EUNSUPPORTED) {
        if ((*peer)->phase != PR_PHASE_OPEN) return PRESENCE_EPROTOCOL;
        e->stats.frames_dropped++;
        return 0;
    }
    if (!rc) rc = evidence(e, *peer);
    if (!rc) rc = dispatch(e, peer, message);
    return rc;
}

/* A record of TLS (a handshake, or the alert that answers ours), or a line of HTTP. */
static const char *likely(uint8_t first) {
    if (first == 0x16 || first == 0x15) return " (TLS?)";
    return first == 'H' || first == 'G' || first == 'P' ? " (HTTP?)" : "";
}

static void preamble_failed(pr_engine *e, pr_peer *peer, int rc, uint8_t first) {
    if (rc == PRESENCE_EVERSION)
        pr_action_error(e, rc, "%s speaks no version of the protocol known here", called(peer));
    else
        pr_action_error(e, PRESENCE_EPROTOCOL, "%s does not speak the protocol%s", called(peer), likely(first));
    e->stats.protocol_errors++;
    if (rc == PRESENCE_EVERSION)
        pr_peer_close(e, peer, PR_ERROR_VERSION, "no version in common");
    else
        pr_peer_close(e, peer, 0, NULL);
}

static int broken(pr_engine *e, pr_peer *peer, const char *what) {
    e->stats.protocol_errors++;
    pr_action_error(e, PRESENCE_EPROTOCOL, "%s broke the protocol: %s", called(peer), what);
    pr_peer_close(e, peer, PR_ERROR_PROTOCOL, what);
    return 0;
}

static int take_preamble(pr_engine *e, pr_peer *peer, const uint8_t *data, size_t size, size_t *consumed) {
    uint8_t ours[PR_PREAMBLE_SIZE];
    uint32_t proto;
    pr_preamble_write(ours);
    /* what a stranger says may be shorter than a preamble: an alert of TLS */
    bool strange = size && memcmp(data, ours, size < MAGIC_SIZE ? size : MAGIC_SIZE) != 0;
    if (size < PR_PREAMBLE_SIZE && !strange) return 0;
    int rc = strange ? PRESENCE_EPROTOCOL : pr_preamble_read(data, &proto);
    if (rc) {
        *consumed = size;
        preamble_failed(e, peer, rc, data[0]);
        return 0;
    }
    *consumed = PR_PREAMBLE_SIZE;
    peer->phase = PR_PHASE_HELLO;
    return 1;
}

static int take_frame(pr_engine *e, pr_peer *peer, const uint8_t *data, size_t size, size_t *consumed) {
    pr_frame_in frame;
    size_t used = 0, wanted = 0;
    uint32_t limit = peer->phase == PR_PHASE_OPEN ? peer->max_frame : PR_FRAME_MIN;
    int rc = pr_frame_read(data, size, limit, &frame, &used, &wanted);
    if (rc == 0) return 0;
    if (rc < 0) {
        *consumed = size;
        return broken(e, peer, "bad frame");
    }
    rc = frame_take(e, &peer, &frame, limit);
    if (rc == PRESENCE_ENOMEM) {
        e->memory_failed = true;
        peer->retry_at = e->now.mono_ms + PR_MEMORY_MS;
        return 0;
    }
    e->stats.frames_in++;
    e->stats.bytes_in += used;
    *consumed = used;
    if (rc == 0) return peer != NULL;
    return broken(e, peer, e->broken_text ? e->broken_text : "bad message");
}

/* A peer that asks and does not read what it is answered is not read either (P14). */
static bool answers_wait(const pr_engine *e, const pr_peer *peer) {
    if (!pr_rule(PR_RULE_answers_wait)) return false;
    return peer->sent - peer->written >= (uint64_t)e->options.high_water + PR_FRAME_MIN;
}

int pr_engine_bytes(pr_engine *e, pr_link id, const uint8_t *data, size_t size, size_t *consumed, pr_time now) {
    pr_engine_note_time(e, now);
    *consumed = 0;
    pr_peer *peer = pr_map_find(&e->peers, id);
    if (!peer || e->left || e->yielded) {
        *consumed = size;
        return 0;
    }
    if (peer->retry_at > e->now.mono_ms || answers_wait(e, peer)) return 0;
    e->broken_text = NULL;
    int rc;
    if (peer->phase == PR_PHASE_PREAMBLE)
        rc = take_preamble(e, peer, data, size, consumed);
    else
        rc = take_frame(e, peer, data, size, consumed);
    pr_engine_settle_event(e);
    if (pr_map_find(&e->peers, id)) return rc;
    *consumed = size;
    return 0;
}

/* A broker in place of links: every message stands for itself (protocol.md 3.7, 5.7).
 *
 * Happy path: the broker is up; heartbeats tell who is there and where each log stands, changes are published, and who
 * sees that something is missing asks for it with its state. Messages go out as PUBLISH actions, those of others come
 * in by pr_engine_message, one frame each.
 * Failures: a message that is lost, late, doubled or out of order is stale, or leaves a gap that the next one shows.
 * One that has no crc, does not decode, or stands under the wrong subject is dropped and counted, as is one for which
 * there is no memory. The broker goes down: nothing is heard, silence does the rest; when it is up again, what was not
 * published goes out, and a heartbeat, and nobody is accused for one patience.
 */
#include "engine_state.h"

int pr_broker_init(pr_engine *e) {
    e->broker.all = pr_voice_new(e, 0);
    e->broker.listen_until = e->now.mono_ms + pr_period(e);
    return e->broker.all ? 0 : PRESENCE_ENOMEM;
}

void pr_broker_free(pr_engine *e) {
    pr_peer *voice;
    while ((voice = pr_node_first(&e->broker.voices))) pr_voice_free(e, voice);
    if (e->broker.all) pr_voice_free(e, e->broker.all);
    pr_map_free(&e->broker.by_inst);
    pr_map_free(&e->broker.wanted);
}

void pr_engine_broker_up(pr_engine *e, pr_time now) {
    pr_engine_note_time(e, now);
    if (!e->options.broker || e->broker.up || e->left || e->yielded) return;
    e->broker.up = true;
    e->broker.all->digest_clock = 0;                                 /* as in HELLO: all records (3.8.1) */
    if (pr_rule(PR_RULE_broker_hold)) e->stall_end = e->now.mono_ms; /* it was we who heard nothing (3.9.6) */
    if (!e->broker.listened) e->broker.listen_until = e->now.mono_ms + pr_period(e);
    e->hb++;
    pr_flush(e);
    pr_broker_beat(e, 0);
    pr_engine_settle_event(e);
}

void pr_engine_broker_down(pr_engine *e, pr_time now) {
    pr_engine_note_time(e, now);
    e->broker.up = false;
    pr_engine_settle_event(e);
}

/* ---- out ---- */
static int publish(pr_engine *e, pr_subject subject, pr_bytes *bytes) {
    if (!e->broker.up) return 0; /* lost, as on its way */
    bytes->references++;
    if (pr_action_publish(e, subject, bytes)) {
        bytes->references--;
        return PRESENCE_ENOMEM;
    }
    e->stats.frames_out++;
    e->stats.bytes_out += bytes->size;
    e->stats.bytes_saved += bytes->saved;
    return 0;
}

int pr_broker_send_bytes(pr_engine *e, const pr_peer *voice, pr_bytes *bytes) {
    return publish(e, (pr_subject){voice->inst ? PR_SUBJECT_INBOX : PR_SUBJECT_BEATS, voice->inst}, bytes);
}

int pr_broker_send(pr_engine *e, pr_subject subject, const pr_message *message, enum pr_codec codec) {
    pr_buffer_clear(&e->scratch);
    int rc = pr_encode_compressed(&e->compressor, codec, &e->scratch, message, PR_FRAME_MIN);
    if (rc) return rc;
    pr_bytes *bytes = pr_bytes_new(e->alloc, e->scratch.data, e->scratch.size);
    if (!bytes) return PRESENCE_ENOMEM;
    bytes->saved = e->compressor.saved;
    rc = publish(e, subject, bytes);
    pr_bytes_release(bytes);
    return rc;
}

/* An observer is gone with its silence: LEAVE would leave a grave at who never heard of it (3.9.8). */
void pr_broker_leave(pr_engine *e) {
    if (e->options.observer) return;
    pr_message message;
    memset(&message, 0, sizeof message);
    message.type = PR_LEAVE;
    message.as.leave.inc = e->inc;
    message.as.leave.inst = e->inst;
    memcpy(message.as.leave.name, e->name, sizeof e->name);
    pr_peer_send(e, e->broker.all, &message);
}

/* ---- in ---- */
static int dropped(pr_engine *e) {
    e->stats.frames_dropped++;
    return 0;
}

static int dispatch_inbox(pr_engine *e, pr_subject subject, const pr_message *message) {
    if (subject.inst != e->inst) return dropped(e);
    switch (message->type) {
    case PR_HEARTBEAT: return pr_broker_beat_take(e, &message->as.heartbeat);
    case PR_REQUEST: return pr_broker_answer(e, &message->as.request);
    case PR_SEGMENT: return pr_broker_segment(e, subject, &message->as.segment);
    case PR_LIVE: return pr_broker_live(e, &message->as.live);
    case PR_NAK: pr_broker_nak(e, &message->as.nak); return 0;
    default: return dropped(e);
    }
}

/* What stands under which subject; everything else is of a link, or of nobody. */
static int dispatch(pr_engine *e, pr_subject subject, const pr_message *message) {
    if (subject.kind == PR_SUBJECT_INBOX) return dispatch_inbox(e, subject, message);
    if (subject.kind == PR_SUBJECT_LOG && message->type == PR_SEGMENT)
        return pr_broker_segment(e, subject, &message->as.segment);
    if (subject.kind != PR_SUBJECT_BEATS) return dropped(e);
    if (message->type == PR_HEARTBEAT) return pr_broker_beat_take(e, &message->as.heartbeat);
    return message->type == PR_LEAVE ? pr_broker_leave_take(e, &message->as.leave) : dropped(e);
}

/* By one that does not know us, or thinks us DOWN: as lost as any other; an answer to us comes plain. */
static bool packed_for_others(const pr_engine *e, const pr_frame_in *frame) {
    if (!frame->compressed || !frame->size) return false;
    uint64_t needs = frame->payload[0] == PR_CODEC_LZ4 ? PR_FEATURE_LZ4 : PR_FEATURE_ZSTD;
    return !(e->options.features & needs);
}

static int take(pr_engine *e, pr_subject subject, const uint8_t *data, size_t size) {
    pr_frame_in frame;
    size_t used = 0, wanted = 0;
    int rc = pr_frame_read(data, size, PR_FRAME_MIN, &frame, &used, &wanted);
    if (rc < 0) return rc;
    if (rc == 0 || used != size) return PRESENCE_EPROTOCOL; /* one message, one frame */
    if (!frame.checked && pr_rule(PR_RULE_broker_crc)) return PRESENCE_EPROTOCOL;
    if (packed_for_others(e, &frame)) return dropped(e);
    rc = pr_frame_open(e->decoder, &frame, e->options.features, PR_FRAME_MIN);
    if (!rc) rc = pr_decode(e->decoder, &frame, &e->message);
    if (rc == PRESENCE_EUNSUPPORTED) return dropped(e);
    if (!rc) rc = dispatch(e, subject, &e->message);
    return rc;
}

/* There is no link to close, and nobody to name: counted, and told once a minute. */
static void unreadable(pr_engine *e) {
    e->stats.protocol_errors++;
    if (e->broker.told_at > e->now.mono_ms) return;
    e->broker.told_at = e->now.mono_ms + PR_REFUSE_MS;
    pr_action_error(e, PRESENCE_EPROTOCOL, "a message of the broker is dropped: %s",
                    e->broken_text ? e->broken_text : "it is no frame of this protocol");
}

void pr_engine_message(pr_engine *e, pr_subject subject, const uint8_t *data, size_t size, pr_time now) {
    pr_engine_note_time(e, now);
    if (e->left || e->yielded || !e->options.broker) return;
    e->broken_text = NULL;
    int rc = take(e, subject, data, size); /* without memory the message is lost */
    if (rc == PRESENCE_ENOMEM)
        e->memory_failed = true;
    else if (rc)
        unreadable(e);
    e->stats.frames_in++;
    e->stats.bytes_in += size;
    pr_engine_settle_event(e);
}

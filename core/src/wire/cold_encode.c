/* The messages that are not hot, to bytes, through nanopb. */
#include "cold.h"
#include "encoder.h"

static bool write_buffer(pb_ostream_t *stream, const pb_byte_t *data, size_t size) {
    pr_buffer *buffer = stream->state;
    pr_buffer_append(buffer, data, size);
    return !buffer->failed;
}

static pr_pb_State state_of(const pr_state *s) {
    pr_pb_State pb = {.floor = s->floor, .d_have = s->floor - s->have, .live = s->live};
    if (s->live) {
        pb.live_pos = s->live_pos;
        pb.d_live_from = s->floor - s->live_from;
    } else
        pb.d_asof = s->floor - s->asof;
    return pb;
}

/* ---- lists ---- */
static bool write_records(pb_ostream_t *stream, const pb_field_iter_t *field, void *const *arg) {
    const pr_records *records = *arg;
    for (size_t i = 0; i < records->size; i++) {
        pr_pb_Record pb;
        pr_record_write(&pb, &records->items[i]);
        if (!pb_encode_tag_for_field(stream, field)) return false;
        if (!pb_encode_submessage(stream, pr_pb_Record_fields, &pb)) return false;
    }
    return true;
}

static void records_write(pb_callback_t *callback, const pr_records *records) {
    callback->funcs.encode = write_records;
    callback->arg = (void *)records;
}

static bool write_unlinked(pb_ostream_t *stream, const pb_field_iter_t *field, void *const *arg) {
    const pr_heartbeat *hb = *arg;
    if (!hb->unlinked_size) return true;
    if (!pb_encode_tag(stream, PB_WT_STRING, field->tag)) return false;
    if (!pb_encode_varint(stream, hb->unlinked_size * sizeof *hb->unlinked)) return false;
    for (size_t i = 0; i < hb->unlinked_size; i++)
        if (!pb_encode_fixed64(stream, &hb->unlinked[i])) return false;
    return true;
}

/* ---- messages ---- */
static bool encode_hello(pb_ostream_t *stream, const pr_hello *m) {
    pr_pb_Hello pb = {.has_self = true, .max_frame = m->max_frame, .version = m->version, .to = m->to};
    pr_text_write(&pb.cluster, m->cluster);
    pr_record_write(&pb.self, &m->self);
    pb.has_state = m->has_state && m->to;
    if (pb.has_state) pb.state = state_of(&m->state);
    records_write(&pb.records, &m->records);
    return pb_encode(stream, pr_pb_Hello_fields, &pb);
}

static bool encode_heartbeat(pb_ostream_t *stream, const pr_heartbeat *m) {
    pr_pb_Heartbeat pb = {.inc = m->inc, .hb = m->hb, .has_at = m->has_at, .at = m->at, .has_sum = m->has_sum};
    pb.sum = m->sum;
    pb.members = m->members;
    pb.period_ms = m->period_ms;
    pb.version = m->version;
    pb.has_self = m->has_self;
    if (m->has_self) pr_record_write(&pb.self, &m->self);
    pb.unlinked.funcs.encode = write_unlinked;
    pb.unlinked.arg = (void *)m;
    records_write(&pb.digest, &m->digest);
    return pb_encode(stream, pr_pb_Heartbeat_fields, &pb);
}

static bool encode_request(pb_ostream_t *stream, const pr_request *m) {
    pr_pb_Request pb = {.inst = m->inst, .has_state = true, .subscribe = m->subscribe, .from = m->from};
    pb.state = state_of(&m->state);
    return pb_encode(stream, pr_pb_Request_fields, &pb);
}

static bool encode_leave(pb_ostream_t *stream, const pr_leave *m) {
    pr_pb_Leave pb = {.inc = m->inc, .inst = m->inst};
    pr_text_write(&pb.name, m->name);
    return pb_encode(stream, pr_pb_Leave_fields, &pb);
}

static bool encode_probe_ack(pb_ostream_t *stream, const pr_probe_ack *m) {
    pr_pb_ProbeAck pb = {.inst = m->inst, .id = m->id, .direct = m->direct, .silence_ms = m->silence_ms};
    return pb_encode(stream, pr_pb_ProbeAck_fields, &pb);
}

static bool encode_error(pb_ostream_t *stream, const pr_error *m) {
    pr_pb_Error pb = {.code = m->code};
    pr_text_write(&pb.text, m->text);
    return pb_encode(stream, pr_pb_Error_fields, &pb);
}

static bool encode_logdef(pb_ostream_t *stream, const pr_logdef *m) {
    pr_pb_LogDef pb = {.log = m->log, .inst = m->inst, .lane = m->lane};
    pr_text_write(&pb.name, m->name);
    return pb_encode(stream, pr_pb_LogDef_fields, &pb);
}

static bool encode_unsub(pb_ostream_t *stream, uint64_t inst) {
    pr_pb_Unsub pb = {.inst = inst};
    return pb_encode(stream, pr_pb_Unsub_fields, &pb);
}

static bool encode_probe(pb_ostream_t *stream, const pr_probe *m) {
    pr_pb_Probe pb = {.inst = m->inst, .id = m->id};
    return pb_encode(stream, pr_pb_Probe_fields, &pb);
}

static bool encode_nak(pb_ostream_t *stream, const pr_nak *m) {
    pr_pb_Nak pb = {.inst = m->inst, .reason = m->reason, .version = m->version};
    return pb_encode(stream, pr_pb_Nak_fields, &pb);
}

static bool encode_message(pb_ostream_t *stream, const pr_message *m) {
    switch (m->type) {
    case PR_HELLO: return encode_hello(stream, &m->as.hello);
    case PR_HEARTBEAT: return encode_heartbeat(stream, &m->as.heartbeat);
    case PR_REQUEST: return encode_request(stream, &m->as.request);
    case PR_UNSUB: return encode_unsub(stream, m->as.unsub);
    case PR_LEAVE: return encode_leave(stream, &m->as.leave);
    case PR_PROBE: return encode_probe(stream, &m->as.probe);
    case PR_PROBE_ACK: return encode_probe_ack(stream, &m->as.probe_ack);
    case PR_ERROR: return encode_error(stream, &m->as.error);
    case PR_LOGDEF: return encode_logdef(stream, &m->as.logdef);
    case PR_NAK: return encode_nak(stream, &m->as.nak);
    default: return false;
    }
}

int pr_encode_cold(pr_buffer *buffer, const pr_message *message, size_t size_max) {
    if (message->type < PR_HELLO || message->type > PR_NAK) return PRESENCE_EUNSUPPORTED;
    pb_ostream_t stream = {.callback = write_buffer, .state = buffer, .max_size = size_max};
    if (encode_message(&stream, message)) return 0;
    return buffer->failed ? buffer->failed : PRESENCE_ELIMIT;
}

/* The messages that are not hot, from bytes, through nanopb; the limits of presence.proto are checked here. */
#include "cold.h"
#include "decoder.h"
#include <string.h>

#define DIGEST_BYTES_MAX 65536

static pb_istream_t stream_of(const pr_frame_in *frame) { return pb_istream_from_buffer(frame->payload, frame->size); }

/* ---- State ---- */
/* have <= asof <= floor and live_from <= floor (3.3); the cursor of a pass does not go beyond what is held */
static bool take_state(const pr_pb_State *pb, pr_state *out) {
    *out = (pr_state){.floor = pb->floor, .live = pb->live};
    if (pb->d_have > pb->floor) return false;
    out->have = pb->floor - pb->d_have;
    if (!pb->live) {
        if (pb->d_asof > pb->d_have) return false;
        out->asof = pb->floor - pb->d_asof;
        return true;
    }
    if (pb->d_live_from > pb->floor || pb->live_pos > out->have) return false;
    out->live_from = pb->floor - pb->d_live_from;
    out->live_pos = pb->live_pos;
    return true;
}

/* ---- lists ---- */
struct record_list {
    pr_decoder *decoder;
    pr_records *out;
    size_t bytes_left; /* of the limit of the list */
};

static bool read_record(pb_istream_t *stream, const pb_field_iter_t *field, void **arg) {
    (void)field;
    struct record_list *list = *arg;
    pr_decoder *d = list->decoder;
    if (stream->bytes_left > list->bytes_left) return false;
    list->bytes_left -= stream->bytes_left;
    list->out->items = pr_scratch_fit(d, &d->records, list->out->size + 1, sizeof(pr_record));
    if (!list->out->items) {
        d->failed = PRESENCE_ENOMEM;
        return false;
    }
    pr_record *record = &list->out->items[list->out->size++];
    memset(record, 0, sizeof *record);
    pr_pb_Record pb;
    pr_text_field name;
    pr_record_read(&pb, &name, record);
    return pb_decode(stream, pr_pb_Record_fields, &pb) && pr_record_take(&pb, record);
}

static void records_read(pb_callback_t *callback, struct record_list *list) {
    callback->funcs.decode = read_record;
    callback->arg = list;
}

struct unlinked_list {
    pr_decoder *decoder;
    pr_heartbeat *out;
};

/* called once for each value of a packed list, and once for an empty one */
static bool read_unlinked(pb_istream_t *stream, const pb_field_iter_t *field, void **arg) {
    (void)field;
    struct unlinked_list *list = *arg;
    pr_decoder *d = list->decoder;
    if (!stream->bytes_left) return true;
    uint64_t *items = pr_scratch_fit(d, &d->unlinked, list->out->unlinked_size + 1, sizeof *items);
    if (!items) {
        d->failed = PRESENCE_ENOMEM;
        return false;
    }
    list->out->unlinked = items;
    return pb_decode_fixed64(stream, &items[list->out->unlinked_size++]);
}

static int decoded(const pr_decoder *d, bool well) { return well ? 0 : d->failed ? d->failed : PRESENCE_EPROTOCOL; }

/* ---- HELLO and HB ---- */
static bool take_hello(const pr_pb_Hello *pb, pr_hello *out) {
    out->max_frame = pb->max_frame;
    out->version = pb->version;
    out->to = pb->to;
    out->has_state = pb->has_state && pb->to;
    if (!out->cluster[0] || pb->max_frame < PR_FRAME_MIN || !pb->has_self) return false;
    if (!pr_record_take(&pb->self, &out->self) || !out->self.fixed) return false;
    return !out->has_state || take_state(&pb->state, &out->state);
}

int pr_decode_hello(pr_decoder *d, const pr_frame_in *frame, pr_hello *out) {
    memset(out, 0, sizeof *out);
    pr_pb_Hello pb = pr_pb_Hello_init_zero;
    pr_text_field cluster = {out->cluster, PR_CLUSTER_MAX}, name;
    struct record_list records = {d, &out->records, SIZE_MAX};
    pr_text_read(&pb.cluster, &cluster);
    pr_record_read(&pb.self, &name, &out->self);
    records_read(&pb.records, &records);
    pb_istream_t stream = stream_of(frame);
    return decoded(d, pb_decode(&stream, pr_pb_Hello_fields, &pb) && take_hello(&pb, out));
}

int pr_decode_heartbeat(pr_decoder *d, const pr_frame_in *frame, pr_heartbeat *out) {
    memset(out, 0, sizeof *out);
    pr_pb_Heartbeat pb = pr_pb_Heartbeat_init_zero;
    pr_text_field name;
    pr_record_read(&pb.self, &name, &out->self);
    struct record_list digest = {d, &out->digest, DIGEST_BYTES_MAX};
    struct unlinked_list unlinked = {d, out};
    records_read(&pb.digest, &digest);
    pb.unlinked.funcs.decode = read_unlinked;
    pb.unlinked.arg = &unlinked;
    pb_istream_t stream = stream_of(frame);
    bool well = pb_decode(&stream, pr_pb_Heartbeat_fields, &pb);
    out->has_self = pb.has_self;
    if (well && pb.has_self) well = pr_record_take(&pb.self, &out->self);
    out->inc = pb.inc;
    out->hb = pb.hb;
    out->version = pb.version;
    out->has_at = pb.has_at;
    out->at = pb.has_at ? pb.at : 0;
    out->has_sum = pb.has_sum;
    out->sum = pb.has_sum ? pb.sum : 0;
    out->members = pb.members;
    out->period_ms = pb.period_ms;
    return decoded(d, well);
}

/* ---- the small ones ---- */
static bool decode_request(pb_istream_t *stream, pr_request *out) {
    pr_pb_Request pb = pr_pb_Request_init_zero;
    if (!pb_decode(stream, pr_pb_Request_fields, &pb)) return false;
    *out = (pr_request){.inst = pb.inst, .from = pb.from, .subscribe = pb.subscribe};
    return pb.inst && take_state(&pb.state, &out->state);
}

static bool decode_unsub(pb_istream_t *stream, uint64_t *out) {
    pr_pb_Unsub pb = pr_pb_Unsub_init_zero;
    if (!pb_decode(stream, pr_pb_Unsub_fields, &pb)) return false;
    *out = pb.inst;
    return pb.inst != 0;
}

static bool decode_leave(pb_istream_t *stream, pr_leave *out) {
    pr_pb_Leave pb = pr_pb_Leave_init_zero;
    pr_text_field name = {out->name, PR_MEMBER_NAME_MAX};
    out->name[0] = 0;
    pr_text_read(&pb.name, &name);
    if (!pb_decode(stream, pr_pb_Leave_fields, &pb)) return false;
    out->inc = pb.inc;
    out->inst = pb.inst;
    return pb.inst && out->name[0];
}

static bool decode_probe(pb_istream_t *stream, pr_probe *out) {
    pr_pb_Probe pb = pr_pb_Probe_init_zero;
    if (!pb_decode(stream, pr_pb_Probe_fields, &pb)) return false;
    *out = (pr_probe){.inst = pb.inst, .id = pb.id};
    return pb.inst != 0;
}

static bool decode_probe_ack(pb_istream_t *stream, pr_probe_ack *out) {
    pr_pb_ProbeAck pb = pr_pb_ProbeAck_init_zero;
    if (!pb_decode(stream, pr_pb_ProbeAck_fields, &pb)) return false;
    *out = (pr_probe_ack){.inst = pb.inst, .id = pb.id, .silence_ms = pb.silence_ms, .direct = pb.direct};
    return pb.inst != 0;
}

/* any code: the link ends with it, and a newer peer may know more of them */
static bool decode_error(pb_istream_t *stream, pr_error *out) {
    pr_pb_Error pb = pr_pb_Error_init_zero;
    pr_text_field text = {out->text, sizeof out->text - 1};
    out->text[0] = 0;
    pr_text_read(&pb.text, &text);
    if (!pb_decode(stream, pr_pb_Error_fields, &pb)) return false;
    out->code = pb.code;
    return true;
}

static bool decode_logdef(pb_istream_t *stream, pr_logdef *out) {
    pr_pb_LogDef pb = pr_pb_LogDef_init_zero;
    pr_text_field name = {out->name, PR_MEMBER_NAME_MAX};
    out->name[0] = 0;
    pr_text_read(&pb.name, &name);
    if (!pb_decode(stream, pr_pb_LogDef_fields, &pb)) return false;
    out->log = pb.log;
    out->lane = pb.lane;
    out->inst = pb.inst;
    return pb.log && pb.inst && out->name[0];
}

static bool decode_nak(pb_istream_t *stream, pr_nak *out) {
    pr_pb_Nak pb = pr_pb_Nak_init_zero;
    if (!pb_decode(stream, pr_pb_Nak_fields, &pb)) return false;
    *out = (pr_nak){.inst = pb.inst, .version = pb.version, .reason = pb.reason};
    return pb.inst && pb.reason >= PR_NAK_NOT_COMPLETE && pb.reason <= PR_NAK_LIMIT;
}

int pr_decode_small(const pr_frame_in *frame, pr_message *out) {
    pb_istream_t stream = stream_of(frame);
    bool well = false;
    switch (frame->type) {
    case PR_REQUEST: well = decode_request(&stream, &out->as.request); break;
    case PR_UNSUB: well = decode_unsub(&stream, &out->as.unsub); break;
    case PR_LEAVE: well = decode_leave(&stream, &out->as.leave); break;
    case PR_PROBE: well = decode_probe(&stream, &out->as.probe); break;
    case PR_PROBE_ACK: well = decode_probe_ack(&stream, &out->as.probe_ack); break;
    case PR_ERROR: well = decode_error(&stream, &out->as.error); break;
    case PR_LOGDEF: well = decode_logdef(&stream, &out->as.logdef); break;
    case PR_NAK: well = decode_nak(&stream, &out->as.nak); break;
    default: return PRESENCE_EUNSUPPORTED;
    }
    return well ? 0 : PRESENCE_EPROTOCOL;
}

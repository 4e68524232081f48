/* What goes out of logs over a broker: the changes of the own log to everybody, and answers to requests
 * (protocol.md 3.5, 3.7).
 *
 * Happy path: a flush publishes the frames from the version published last to the present one; who holds that version
 * takes them, who does not sees a gap and asks. A REQ is answered with up to eight frames; the last one says whether
 * there is more, and the receiver asks again with the state it has then. Nothing is remembered of who asked. Failures:
 * the ring does not reach back: nothing is published, receivers pull. A log that cannot be served: NAK. No memory: what
 * was not published goes out a second later, the rest of an answer is lost.
 */
#include "engine_state.h"

/* The next frame of a log from the cursor on, in e->message: 1; 0: there is none. */
static int next_frame(pr_engine *e, const pr_copy *copy, pr_cursor *cursor, uint64_t features) {
    pr_message *message = &e->message;
    pr_served_frame frame;
    memset(&frame, 0, sizeof frame);
    int kind = pr_log_serve(copy->log, cursor, (features & PR_FEATURE_PATCH) != 0, &frame);
    if (kind <= 0) return kind;
    message->type = kind == PR_SERVED_SEGMENT ? PR_SEGMENT : PR_LIVE;
    if (kind == PR_SERVED_SEGMENT) {
        message->as.segment = frame.segment;
        message->as.segment.inst = copy->inst;
    } else {
        message->as.live = frame.live;
        message->as.live.inst = copy->inst;
    }
    return 1;
}

static int publish_all(pr_engine *e) {
    uint64_t at = e->broker.published, features = pr_broker_features(e);
    enum pr_codec codec = pr_codec_choose(e->options.compression, features);
    pr_state state = {.have = at, .asof = at, .floor = at};
    pr_cursor cursor = pr_cursor_from_state(&state);
    int rc;
    while ((rc = next_frame(e, &e->own, &cursor, features)) == 1) {
        if (e->message.type == PR_LIVE) return 0; /* it says nothing of who holds more, or less */
        rc = pr_broker_send(e, (pr_subject){PR_SUBJECT_LOG, e->inst}, &e->message, codec);
        if (rc) return rc;
    }
    return rc;
}

void pr_broker_publish(pr_engine *e) {
    uint64_t version = pr_log_version(e->own.log);
    if (e->broker.published == version) return;
    if (publish_all(e) == 0) {
        e->broker.published = version;
        return;
    }
    e->memory_failed = e->flush_wanted = true;
    pr_timer_set(&e->timers, &e->flush, e->now.mono_ms + PR_MEMORY_MS);
}

/* ---- answers ---- */
static int answer_nak(pr_engine *e, pr_subject to, uint64_t inst, uint32_t reason, uint64_t version) {
    pr_message message;
    memset(&message, 0, sizeof message);
    message.type = PR_NAK;
    message.as.nak.inst = inst;
    message.as.nak.reason = reason;
    message.as.nak.version = version;
    return pr_broker_send(e, to, &message, PR_CODEC_NONE);
}

static int answer_frames(pr_engine *e, pr_subject to, const pr_copy *copy, pr_cursor *cursor) {
    const pr_member *m = pr_member_of(e, to.inst);
    uint64_t features = m && pr_member_up(m) ? pr_broker_features(e) : 0; /* a stranger may have none */
    enum pr_codec codec = pr_codec_choose(e->options.compression, features);
    int rc = 1;
    for (int left = PR_ANSWER_FRAMES; left && rc == 1; left--) {
        rc = next_frame(e, copy, cursor, features);
        if (rc != 1) break;
        bool more = left == 1 && pr_log_has_more(copy->log, &cursor->state) && pr_rule(PR_RULE_broker_more);
        if (e->message.type == PR_SEGMENT)
            e->message.as.segment.more = more;
        else
            e->message.as.live.more = more;
        rc = pr_broker_send(e, to, &e->message, codec);
        if (!rc) rc = 1;
    }
    return rc < 0 ? rc : 0;
}

int pr_broker_answer(pr_engine *e, const pr_request *asked) {
    pr_request request = *asked; /* what was read makes room for what is sent */
    pr_subject to = {PR_SUBJECT_INBOX, request.from};
    pr_copy *copy;
    uint64_t version;
    if (!request.from) return PRESENCE_EPROTOCOL;
    if (request.from == e->inst) return 0;
    uint32_t reason = request.inst == request.from ? PR_NAK_GONE : pr_request_refusal(e, &request, &copy, &version);
    if (request.inst == request.from) version = 0; /* nobody is sent its own log */
    if (reason) return answer_nak(e, to, request.inst, reason, version);
    int rc = copy->wire ? pr_log_keep_removals(copy->log) : 0;
    pr_cursor cursor = pr_cursor_from_state(&request.state);
    return rc ? rc : answer_frames(e, to, copy, &cursor);
}

/* One line per frame that is sent, for the eyes of whoever replays a seed. */
#include "sim_state.h"
#include <inttypes.h>

static void print_state(FILE *out, const pr_state *s) {
    fprintf(out, "(%" PRIu64 ",", s->have);
    if (s->live)
        fprintf(out, "?,%" PRIu64 " live %" PRIu64 "@%" PRIu64 ")", s->floor, s->live_from, s->live_pos);
    else
        fprintf(out, "%" PRIu64 ",%" PRIu64 ")", s->asof, s->floor);
}

static void print_records(FILE *out, const pr_records *records) {
    for (size_t i = 0; i < records->size; i++) {
        const pr_record *r = &records->items[i];
        fprintf(out, " [%s %04x inc %" PRIu64 " hb %" PRIu64 "%s age %" PRIu64 " hops %u", r->fixed ? r->name : "",
                (unsigned)(r->inst & 0xffff), r->inc, r->hb, r->left ? " LEFT" : "", r->age_ms, r->hops);
        if (r->has_version) fprintf(out, " v%" PRIu64, r->version);
        fprintf(out, "]");
    }
}

static void print_segment(FILE *out, const pr_segment *s) {
    fprintf(out, "SEG log %u (%" PRIu64 ",%" PRIu64 ")->(%" PRIu64 ",%" PRIu64 ")%s ups", s->log, s->x, s->T, s->x2,
            s->T2, s->more ? " more" : "");
    for (size_t i = 0; i < s->ups_size; i++)
        fprintf(out, " %" PRIu64 ":%" PRIu64 "%s", s->ups[i].eid, s->ups[i].dot, s->ups[i].patch ? "p" : "");
    fprintf(out, " removed");
    for (size_t i = 0; i < s->removed_size; i++)
        fprintf(out, " %" PRIu64 "/%d", s->removed[i].eid, s->removed[i].reason);
}

static void print_message(FILE *out, const pr_message *m) {
    switch (m->type) {
    case PR_HELLO:
        fprintf(out, "HELLO %s inc %" PRIu64 " hb %" PRIu64 " version %" PRIu64, m->as.hello.self.name,
                m->as.hello.self.inc, m->as.hello.self.hb, m->as.hello.version);
        if (m->as.hello.has_state) {
            fprintf(out, " to %04x ", (unsigned)(m->as.hello.to & 0xffff));
            print_state(out, &m->as.hello.state);
        }
        print_records(out, &m->as.hello.records);
        break;
    case PR_HEARTBEAT:
        fprintf(out, "HB inc %" PRIu64 " hb %" PRIu64 " version %" PRIu64 " at %" PRId64 " unlinked %zu",
                m->as.heartbeat.inc, m->as.heartbeat.hb, m->as.heartbeat.version,
                m->as.heartbeat.has_at ? (int64_t)m->as.heartbeat.at : -1, m->as.heartbeat.unlinked_size);
        for (size_t i = 0; i < m->as.heartbeat.unlinked_size; i++)
            fprintf(out, " %04x", (unsigned)(m->as.heartbeat.unlinked[i] & 0xffff));
        print_records(out, &m->as.heartbeat.digest);
        break;
    case PR_SEGMENT: print_segment(out, &m->as.segment); break;
    case PR_LIVE:
        fprintf(out, "LIVE log %u w %" PRIu64 " (%" PRIu64 ",%" PRIu64 "] %zu eids%s", m->as.live.log, m->as.live.w,
                m->as.live.lo, m->as.live.hi, m->as.live.eids_size, m->as.live.more ? " more" : "");
        break;
    case PR_REQUEST:
        fprintf(out, "REQ %04x ", (unsigned)(m->as.request.inst & 0xffff));
        print_state(out, &m->as.request.state);
        fprintf(out, "%s", m->as.request.subscribe ? " subscribe" : "");
        break;
    case PR_NAK:
        fprintf(out, "NAK %04x reason %u version %" PRIu64, (unsigned)(m->as.nak.inst & 0xffff), m->as.nak.reason,
                m->as.nak.version);
        break;
    case PR_UNSUB: fprintf(out, "UNSUB %04x", (unsigned)(m->as.unsub & 0xffff)); break;
    case PR_LOGDEF:
        fprintf(out, "LOGDEF %u = %04x %s", m->as.logdef.log, (unsigned)(m->as.logdef.inst & 0xffff),
                m->as.logdef.name);
        break;
    case PR_ERROR: fprintf(out, "ERROR %u %s", m->as.error.code, m->as.error.text); break;
    default: fprintf(out, "type %d", m->type);
    }
}

void sim_trace_bytes(pr_sim *sim, const sim_process *process, pr_link link, const uint8_t *data, size_t size) {
    if (size == PR_PREAMBLE_SIZE && data[0] == 'L') return;
    while (size > 0) {
        pr_frame_in frame;
        size_t consumed = 0, wanted = 0;
        pr_message message;
        if (size >= PR_PREAMBLE_SIZE && data[0] == 'L' && data[1] == 'P') {
            data += PR_PREAMBLE_SIZE;
            size -= PR_PREAMBLE_SIZE;
            continue;
        }
        if (pr_frame_read(data, size, PR_FRAME_MAX, &frame, &consumed, &wanted) != 1) break;
        fprintf(sim->trace, "%7" PRIu64 " %d:%s/%04x -> link %" PRIu64 ": ", sim->now, process->host, process->name,
                (unsigned)(process->inst & 0xffff), link);
        const char *packed = frame.compressed ? "compressed " : "";
        fputs(packed, sim->trace);
        if (pr_frame_open(sim->decoder, &frame, UINT64_MAX, PR_FRAME_MAX) == 0 &&
            pr_decode(sim->decoder, &frame, &message) == 0)
            print_message(sim->trace, &message);
        else
            fprintf(sim->trace, "type %d, which does not decode", frame.type);
        fputc('\n', sim->trace);
        data += consumed;
        size -= consumed;
    }
    if (size > 0) fprintf(sim->trace, "        %zu bytes that are no frame\n", size);
}

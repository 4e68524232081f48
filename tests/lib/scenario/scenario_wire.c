/* Frames as lines: who sent whom what of whose log. Heartbeats, and the words of a new link, are left out.
 *
 *     a>b seg a +2 -1        two presences and one removal of the log of a
 *     b>c seg a +1 more      b relays; more frames of this log follow
 *     a>b live a             which presences live, because the ring does not reach back
 *     b>a req a              b asks for the log of a
 *     b>a nak c, b>a unsub c, a>b leave, a>b error
 */
#include "scenario_engine.h"
#include <stdlib.h>
#include <string.h>

/* The host an instance ran on; one that ended is marked: "a'" */
static const char *log_name(scn_engine *world, uint64_t inst, char *out, size_t room) {
    snprintf(out, room, "?");
    for (int host = 0; host < PR_SIM_HOSTS; host++)
        for (size_t i = 0; i < world->starts[host] && i < 2048; i++)
            if (world->insts[host][i] == inst)
                snprintf(out, room, "%s%s", world->hosts[host],
                         pr_sim_alive(world->sim, host) && pr_sim_inst(world->sim, host) == inst ? "" : "'");
    return out;
}

static void define(scn_engine *world, int from, int to, pr_link link, const pr_logdef *logdef) {
    size_t i = 0;
    while (i < world->logs_size &&
           (world->logs[i].from != from || world->logs[i].link != link || world->logs[i].number != logdef->log))
        i++;
    if (i == 256) i = 0;
    if (i == world->logs_size) world->logs_size++;
    world->logs[i] = (scn_logdef){from, to, link, logdef->log, logdef->inst};
}

static uint64_t inst_of(scn_engine *world, int from, pr_link link, uint32_t number) {
    for (size_t i = 0; i < world->logs_size; i++)
        if (world->logs[i].from == from && world->logs[i].link == link && world->logs[i].number == number)
            return world->logs[i].inst;
    return pr_sim_inst(world->sim, from);
}

static void describe(scn_engine *world, int from, pr_link link, const pr_message *m, char *out, size_t room) {
    char log[32];
    *out = 0;
    switch (m->type) {
    case PR_SEGMENT: {
        int used = snprintf(out, room, "seg %s",
                            log_name(world, inst_of(world, from, link, m->as.segment.log), log, sizeof log));
        if (m->as.segment.ups_size > 0)
            used += snprintf(out + used, room - (size_t)used, " +%zu", m->as.segment.ups_size);
        if (m->as.segment.removed_size > 0)
            used += snprintf(out + used, room - (size_t)used, " -%zu", m->as.segment.removed_size);
        if (m->as.segment.more) snprintf(out + used, room - (size_t)used, " more");
        return;
    }
    case PR_LIVE:
        snprintf(out, room, "live %s", log_name(world, inst_of(world, from, link, m->as.live.log), log, sizeof log));
        return;
    case PR_REQUEST: snprintf(out, room, "req %s", log_name(world, m->as.request.inst, log, sizeof log)); return;
    case PR_NAK: snprintf(out, room, "nak %s", log_name(world, m->as.nak.inst, log, sizeof log)); return;
    case PR_UNSUB: snprintf(out, room, "unsub %s", log_name(world, m->as.unsub, log, sizeof log)); return;
    case PR_LEAVE: snprintf(out, room, "leave"); return;
    case PR_ERROR: snprintf(out, room, "error"); return;
    default: return;
    }
}

void scn_wire_sent(scn_run *run, int host, pr_link link, const uint8_t *data, size_t size) {
    scn_engine *world = scn_engine_of(run);
    int to = pr_sim_peer(world->sim, host, link);
    if (size >= PR_PREAMBLE_SIZE && memcmp(data, "LPRE", 4) == 0) data += PR_PREAMBLE_SIZE, size -= PR_PREAMBLE_SIZE;
    for (size_t consumed = 0, wanted = 0; size > 0; data += consumed, size -= consumed) {
        pr_frame_in frame;
        pr_message message;
        char head[64], text[96];
        if (pr_frame_read(data, size, PR_FRAME_MAX, &frame, &consumed, &wanted) != 1) return;
        if (to < 0 || pr_decode(world->decoder, &frame, &message) != 0) continue;
        if (message.type == PR_LOGDEF) define(world, host, to, link, &message.as.logdef);
        describe(world, host, link, &message, text, sizeof text);
        snprintf(head, sizeof head, "%s>%s", world->hosts[host], world->hosts[to]);
        if (text[0] != 0) scn_transcript_add(&world->wire, head, text);
    }
}

/* ---- frames that nobody sent ---- */
static void forge(scn_run *run, int from, int to, const pr_message *message) {
    pr_buffer buffer;
    pr_alloc alloc = pr_alloc_default();
    pr_buffer_init(&buffer, &alloc, 1 << 20);
    if (pr_encode(&buffer, message, PR_FRAME_MIN) != 0 ||
        !pr_sim_forge(scn_engine_of(run)->sim, from, to, buffer.data, buffer.size))
        scn_fail(run, "cannot forge this frame, or there is no link");
    pr_buffer_free(&buffer);
}

/* 4:4:room:1:alice={"v":0}: eid, dot, topic, key, meta. The topic has one colon. */
static bool read_up(char *text, pr_up *up) {
    char *end, *topic, *key, *meta;
    up->eid = strtoull(text, &end, 10);
    if (*end != ':') return false;
    up->dot = strtoull(end + 1, &topic, 10);
    if (*topic++ != ':' || (key = strchr(topic, ':')) == NULL || (key = strchr(key + 1, ':')) == NULL) return false;
    *key++ = 0;
    if ((meta = strchr(key, '=')) == NULL) return false;
    *meta++ = 0;
    up->topic = pr_cstr(topic);
    up->key = pr_cstr(key);
    up->meta = pr_cstr(meta);
    return true;
}

/* forge b > c a 1,1->2,2 [+eid:dot:topic:key=meta …] [-eid …]: b sends c a segment of the log of a */
void scn_wire_forge(scn_run *run, scn_call *call) {
    enum { NUMBER = 900 };
    scn_engine *world = scn_engine_of(run);
    int from = scn_host(run, call->words[1]), to = scn_host(run, call->words[3]), log = scn_host(run, call->words[4]);
    pr_message logdef = {.type = PR_LOGDEF}, segment = {.type = PR_SEGMENT};
    pr_up ups[SCN_WORDS];
    pr_removed removed[SCN_WORDS];
    unsigned long long n[4];
    if (from < 0 || to < 0 || log < 0) return;
    if (sscanf(call->words[5], "%llu,%llu->%llu,%llu", &n[0], &n[1], &n[2], &n[3]) != 4) {
        scn_fail(run, "from which state to which?");
        return;
    }
    logdef.as.logdef = (pr_logdef){.log = NUMBER + (uint32_t)log, .inst = pr_sim_inst(world->sim, log)};
    snprintf(logdef.as.logdef.name, sizeof logdef.as.logdef.name, "%s", world->hosts[log]);
    segment.as.segment = (pr_segment){.log = NUMBER + (uint32_t)log, .x = n[0], .T = n[1], .x2 = n[2], .T2 = n[3]};
    for (int i = 6; i < call->size; i++) {
        if (call->words[i][0] == '-') {
            removed[segment.as.segment.removed_size++] = (pr_removed){.eid = strtoull(call->words[i] + 1, NULL, 10)};
        } else if (memset(&ups[segment.as.segment.ups_size], 0, sizeof *ups),
                   call->words[i][0] != '+' || !read_up(call->words[i] + 1, &ups[segment.as.segment.ups_size++])) {
            scn_fail(run, "cannot read \"%s\"", call->words[i]);
            return;
        }
    }
    segment.as.segment.ups = ups;
    segment.as.segment.removed = removed;
    forge(run, from, to, &logdef);
    forge(run, from, to, &segment);
}

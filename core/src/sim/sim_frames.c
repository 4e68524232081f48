/* The invariants of frames of data (protocol.md 3.14), looked at when each is sent and when it was read.
 *
 * Sent: from a copy that is complete (P13), within the chunk target unless it carries one thing alone (P18), and to
 * nobody whose log it is (P20). Read: a frame that was made for exactly the state of its reader leads to the state of
 * the sender's cursor (P20). What was sent is remembered in the order of its pipe; a pipe with bytes that no engine
 * wrote (forged, flipped, of a raw peer) is not followed.
 */
#include "engine_probe.h"
#include "sim_state.h"
#include <string.h>

#define LOGS_MAX 64
/* Tags and lengths of the lists of a frame, which its target does not count. */
#define LISTS_BYTES 32

static bool find_log(const sim_process *process, uint64_t inst, pr_engine_log_probe *out) {
    pr_engine_log_probe probes[LOGS_MAX];
    size_t size = pr_engine_probe_logs(process->engine, probes, LOGS_MAX);
    for (size_t i = 0; i < size && i < LOGS_MAX; i++)
        if (probes[i].inst == inst && probes[i].log != NULL && !probes[i].detached) {
            *out = probes[i];
            return true;
        }
    return false;
}

/* ---- when it is sent ---- */
static void define(pr_sim *sim, sim_pipe *pipe, const pr_logdef *def) {
    if (def->log >= pipe->logs_room) {
        size_t room = def->log + 8u;
        pipe->logs = sim_resize(sim, pipe->logs, pipe->logs_room * sizeof *pipe->logs, room * sizeof *pipe->logs);
        pipe->logs_room = room;
    }
    pipe->logs[def->log] = def->inst;
}

/* Bytes of the frame without what its lists hold. */
static size_t empty_size(pr_sim *sim, const pr_message *message) {
    pr_message empty = *message;
    pr_buffer buffer;
    pr_buffer_init(&buffer, &sim->alloc, PR_FRAME_MAX);
    if (empty.type == PR_SEGMENT)
        empty.as.segment.ups_size = empty.as.segment.removed_size = 0;
    else
        empty.as.live.eids_size = 0;
    size_t size = pr_encode(&buffer, &empty, PR_FRAME_MAX) == 0 ? buffer.size : 0;
    pr_buffer_free(&buffer);
    return size;
}

static void check_size(pr_sim *sim, const sim_process *process, const pr_message *m, size_t payload) {
    bool segment = m->type == PR_SEGMENT, own = (segment ? m->as.segment.log : m->as.live.log) == 0;
    size_t things = segment ? m->as.segment.ups_size + m->as.segment.removed_size : m->as.live.eids_size;
    size_t target = process->chunk_target[own ? 0 : 1];
    if (things < 2) return;
    bool fits = things <= target;
    if (fits && payload > target) fits = payload <= target + LISTS_BYTES + empty_size(sim, m);
    if (!fits)
        pr_sim_fail(sim, "P18 %s sends %zu things in %zu bytes, its target is %zu", process->name, things, payload,
                    target);
}

static void check_data(pr_sim *sim, const sim_process *process, const sim_fact *fact) {
    pr_engine_log_probe probe;
    if (fact->inst == fact->reader) pr_sim_fail(sim, "P20 %s is sent its own log by %s", fact->to, process->name);
    if (!find_log(process, fact->inst, &probe)) return; /* it was detached by the same turn */
    pr_state state = pr_log_state(probe.log);
    if (!pr_log_complete(probe.log) || state.asof < fact->T2 || state.asof < fact->x2)
        pr_sim_fail(sim, "P13 %s serves %016llx to (%llu,%llu), it holds (%llu,%llu) floor %llu live %d", process->name,
                    (unsigned long long)fact->inst, (unsigned long long)fact->x2, (unsigned long long)fact->T2,
                    (unsigned long long)state.have, (unsigned long long)state.asof, (unsigned long long)state.floor,
                    state.live);
}

static void take_data(pr_sim *sim, const sim_process *process, sim_pipe *pipe, const pr_message *m, size_t payload,
                      sim_fact *fact) {
    uint32_t log = m->type == PR_SEGMENT ? m->as.segment.log : m->as.live.log;
    fact->relayed = log != 0;
    fact->inst = log == 0 ? process->inst : log < pipe->logs_room ? pipe->logs[log] : 0;
    if (m->type == PR_SEGMENT) {
        const pr_segment *s = &m->as.segment;
        fact->segment = true;
        fact->x = s->x, fact->T = s->T, fact->x2 = s->x2, fact->T2 = s->T2;
    } else {
        fact->T2 = m->as.live.w;
    }
    check_data(sim, process, fact);
    check_size(sim, process, m, payload);
}

static void remember(pr_sim *sim, sim_pipe *pipe, const sim_fact *fact) {
    if (pipe->facts_head > 0 && pipe->facts_head + pipe->facts_size == pipe->facts_room) {
        memmove(pipe->facts, pipe->facts + pipe->facts_head, pipe->facts_size * sizeof *pipe->facts);
        pipe->facts_head = 0;
    }
    if (pipe->facts_size == pipe->facts_room) {
        size_t room = pipe->facts_room * 2 + 16;
        pipe->facts = sim_resize(sim, pipe->facts, pipe->facts_room * sizeof *fact, room * sizeof *fact);
        pipe->facts_room = room;
    }
    pipe->facts[pipe->facts_head + pipe->facts_size++] = *fact;
}

static bool is_data(const uint8_t *data, size_t size) {
    unsigned type = size >= 4 ? data[3] & 0x1f : 0;
    return type == PR_SEGMENT || type == PR_LIVE || type == PR_LOGDEF;
}

void sim_frame_sent(pr_sim *sim, const sim_process *process, sim_conn *conn, int side, const uint8_t *data,
                    size_t size) {
    const sim_end *to = &conn->end[1 - side];
    sim_pipe *pipe = &conn->pipe[1 - side];
    if (sim->hostile || to->process < 0 || pipe->unfollowed) return;
    const sim_process *reader = sim->processes[to->process];
    sim_fact fact = {.size = size, .reader = reader->inst, .to = reader->name};
    pr_frame_in frame;
    pr_message message;
    size_t consumed = 0, wanted = 0;
    if (is_data(data, size) && pr_frame_read(data, size, PR_FRAME_MAX, &frame, &consumed, &wanted) == 1 &&
        consumed == size && pr_frame_open(sim->decoder, &frame, UINT64_MAX, PR_FRAME_MAX) == 0 &&
        pr_decode(sim->decoder, &frame, &message) == 0) {
        if (message.type == PR_LOGDEF)
            define(sim, pipe, &message.as.logdef);
        else
            take_data(sim, process, pipe, &message, frame.size, &fact);
    }
    remember(sim, pipe, &fact);
}

/* ---- when it was read ---- */
bool sim_frame_expect(const pr_sim *sim, const sim_process *process, const sim_pipe *pipe, sim_expected *out) {
    pr_engine_log_probe probe;
    *out = (sim_expected){.fact = NULL};
    if (sim->hostile || pipe->unfollowed || pipe->facts_size == 0 || process->starved || process->leaving) return false;
    const sim_fact *fact = &pipe->facts[pipe->facts_head];
    if (!fact->segment || pipe->user.size < fact->size || !find_log(process, fact->inst, &probe) || !probe.up)
        return false;
    out->fact = fact;
    out->before = pr_log_state(probe.log);
    return true;
}

void sim_frame_taken(pr_sim *sim, const sim_process *process, const sim_expected *e) {
    pr_engine_log_probe probe;
    const sim_fact *fact = e->fact;
    bool meant =
        !e->before.live && e->before.have == fact->x && e->before.asof == fact->T && fact->T2 >= e->before.floor;
    if (!find_log(process, fact->inst, &probe)) return;
    pr_state after = pr_log_state(probe.log);
    if (meant && !fact->relayed && (after.live || after.have != fact->x2 || after.asof != fact->T2))
        pr_sim_fail(sim, "P20 %s at (%llu,%llu) got a frame to (%llu,%llu) and is at (%llu,%llu)", process->name,
                    (unsigned long long)fact->x, (unsigned long long)fact->T, (unsigned long long)fact->x2,
                    (unsigned long long)fact->T2, (unsigned long long)after.have, (unsigned long long)after.asof);
}

void sim_frame_consumed(sim_pipe *pipe, size_t size) {
    while (size > 0 && pipe->facts_size > 0) {
        sim_fact *fact = &pipe->facts[pipe->facts_head];
        size_t part = size < fact->size ? size : fact->size;
        fact->size -= part;
        size -= part;
        if (fact->size > 0) return;
        pipe->facts_head++;
        pipe->facts_size--;
    }
    if (pipe->facts_size == 0) pipe->facts_head = 0;
}

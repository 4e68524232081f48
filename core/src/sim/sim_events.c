/* What can happen next: the earliest of all possible events, one of them at random where several are due at once. */
#include "sim_state.h"
#include <string.h>

enum event_kind {
    EVENT_NONE,
    EVENT_TICK,
    EVENT_EXIT,
    EVENT_DIAL,
    EVENT_BROKER,
    EVENT_UP,
    EVENT_DRAIN,
    EVENT_ARRIVE,
    EVENT_READ,
    EVENT_END,
    EVENT_CLOSED
};

typedef struct event {
    int kind;
    uint64_t at;
    size_t index; /* process, dial or connection */
    int side;
    uint64_t ties;
} event;

static void consider(pr_sim *sim, event *best, int kind, uint64_t at, size_t index, int side) {
    if (at < sim->now) at = sim->now;
    if (at == SIM_NEVER || (best->kind != EVENT_NONE && at > best->at)) return;
    if (best->kind != EVENT_NONE && at == best->at) {
        best->ties++;
        if (pr_sim_random(sim, best->ties) != 0) return;
    } else {
        best->ties = 1;
    }
    best->kind = kind;
    best->at = at;
    best->index = index;
    best->side = side;
}

static bool runs(const pr_sim *sim, int process) {
    return process < 0 || (sim->processes[process]->alive && !sim->processes[process]->paused);
}

static void consider_process(pr_sim *sim, event *best, size_t index) {
    const sim_process *process = sim->processes[index];
    if (!process->alive || process->paused) return;
    if (process->leaving)
        consider(sim, best, EVENT_EXIT, sim_network_flushed(sim, (int)index) ? sim->now : process->leave_by, index, 0);
    if (sim->broker.used) consider(sim, best, EVENT_BROKER, sim_client_next(sim, process), index, 0);
    uint64_t deadline = pr_engine_deadline(process->engine);
    if (deadline == UINT64_MAX) return;
    uint64_t now = sim_time(sim, process).mono_ms;
    uint64_t due = deadline <= now ? sim->now : sim->now + (deadline - now);
    consider(sim, best, EVENT_TICK, due < process->turn_at ? process->turn_at : due, index, 0);
}

static void consider_dial(pr_sim *sim, event *best, size_t index) {
    const sim_dial *dial = &sim->dials[index];
    if (!dial->used || (dial->end != 0 && !runs(sim, dial->process))) return;
    consider(sim, best, EVENT_DIAL, dial->at, index, 0);
}

static bool held_up(const pr_sim *sim, const sim_conn *conn, int side) {
    return conn->end[1 - side].process >= 0 && sim->blocked[conn->end[1 - side].host][conn->end[side].host];
}

/* Everything that can happen at end `side`, and to the pipe that leads to it. */
static void consider_end(pr_sim *sim, event *best, size_t index, int side) {
    const sim_conn *conn = sim->conns[index];
    const sim_end *end = &conn->end[side], *other = &conn->end[1 - side];
    const sim_pipe *in = &conn->pipe[side], *out = &conn->pipe[1 - side];
    bool idle = (in->queue.size | in->flight.size | in->inbox.size | in->user.size) == 0 && in->end == 0;
    if (idle && (end->state == SIM_END_OPEN || end->state == SIM_END_DONE)) return;
    bool awake = runs(sim, end->process);
    bool deaf = end->process >= 0 && sim->hosts[end->host].deaf;
    if (end->state == SIM_END_WAITING && awake) consider(sim, best, EVENT_UP, end->up_at, index, side);
    if (end->state == SIM_END_CLOSING)
        consider(sim, best, EVENT_CLOSED, out->queue.size == 0 ? sim->now : end->close_by, index, side);
    if (in->queue.size > 0 && runs(sim, other->process) && in->flight.size + in->inbox.size < sim->network.pipe_bytes &&
        (other->state == SIM_END_OPEN || other->state == SIM_END_CLOSING))
        consider(sim, best, EVENT_DRAIN, sim->now, index, side);
    if (in->flight.size > 0 && !in->lost && !held_up(sim, conn, side))
        consider(sim, best, EVENT_ARRIVE, in->pieces[in->pieces_head].at, index, side);
    if (end->state != SIM_END_OPEN || !awake || deaf) return;
    if (in->inbox.size > 0 && end->process >= 0) consider(sim, best, EVENT_READ, in->read_at, index, side);
    /* what was not taken for want of memory is offered again */
    if (in->user.size > 0 && in->retry_at != 0) consider(sim, best, EVENT_READ, in->retry_at, index, side);
    if (in->end == 0 || (!in->end_local && held_up(sim, conn, side))) return;
    if (in->end == PR_END_CLOSED && ((in->flight.size > 0 && !in->lost) || (in->inbox.size > 0 && end->process >= 0)))
        return;
    consider(sim, best, EVENT_END, in->end_at, index, side);
}

/* ---- what they do ---- */
static void drain(pr_sim *sim, sim_conn *conn, int side) {
    sim_pipe *pipe = &conn->pipe[side];
    sim_end *sender = &conn->end[1 - side];
    size_t room = sim->network.pipe_bytes - pipe->flight.size - pipe->inbox.size;
    size_t size = pipe->queue.size < room ? pipe->queue.size : room;
    if (sim->network.pieces && pr_sim_random(sim, 3) == 0) size = 1 + pr_sim_random(sim, size);
    sim_bytes_append(sim, &pipe->flight, pipe->queue.data + pipe->queue.head, size);
    sim_bytes_drop(&pipe->queue, size);
    for (size_t left = size; left > 0;) {
        size_t piece = sim->network.pieces && pr_sim_random(sim, 2) == 0 ? 1 + pr_sim_random(sim, left) : left;
        if (pipe->pieces_head + pipe->pieces_size == pipe->pieces_room) {
            if (pipe->pieces_size > 0)
                memmove(pipe->pieces, pipe->pieces + pipe->pieces_head, pipe->pieces_size * sizeof *pipe->pieces);
            if (pipe->pieces_head == 0) {
                size_t more = pipe->pieces_room * 2 + 8;
                pipe->pieces = sim_resize(sim, pipe->pieces, pipe->pieces_room * sizeof *pipe->pieces,
                                          more * sizeof *pipe->pieces);
                pipe->pieces_room = more;
            }
            pipe->pieces_head = 0;
        }
        uint64_t at = sim->now + sim_latency(sim);
        pipe->last_at = at > pipe->last_at ? at : pipe->last_at;
        pipe->pieces[pipe->pieces_head + pipe->pieces_size++] = (sim_piece){pipe->last_at, piece};
        left -= piece;
    }
    size_t forged = pipe->forged < size ? pipe->forged : size;
    pipe->forged -= forged;
    if (sender->process >= 0 && sender->state == SIM_END_OPEN && size > forged) {
        sim_process *process = sim->processes[sender->process];
        pr_engine_written(process->engine, sender->link, size - forged, sim_time(sim, process));
        sim_after(sim, process);
    }
}

static void arrive(pr_sim *sim, sim_conn *conn, int side) {
    sim_pipe *pipe = &conn->pipe[side];
    sim_piece piece = pipe->pieces[pipe->pieces_head++];
    pipe->pieces_size--;
    if (pipe->pieces_size == 0) pipe->pieces_head = 0;
    if (conn->end[side].state == SIM_END_OPEN || conn->end[side].state == SIM_END_WAITING)
        sim_bytes_append(sim, &pipe->inbox, pipe->flight.data + pipe->flight.head, piece.size);
    sim_bytes_drop(&pipe->flight, piece.size);
}

static void read_bytes(pr_sim *sim, sim_conn *conn, int side) {
    sim_pipe *pipe = &conn->pipe[side];
    sim_end *end = &conn->end[side];
    sim_process *process = sim->processes[end->process];
    uint32_t rate = sim->hosts[end->host].read_rate;
    size_t size = pipe->inbox.size;
    if (rate > 0 && size > rate) size = rate;
    pipe->read_at = rate > 0 ? sim->now + 1 : 0;
    sim_bytes_append(sim, &pipe->user, pipe->inbox.data + pipe->inbox.head, size);
    sim_bytes_drop(&pipe->inbox, size);
    int more = 1;
    pr_link link = end->link;
    while (more == 1 && sim->failure[0] == 0 && process->alive && end->state == SIM_END_OPEN && end->link == link) {
        size_t consumed = 0;
        /* an exact copy: a read past the end of what has arrived is seen by the address sanitizer */
        size_t given = pipe->user.size;
        uint8_t *data = sim_resize(sim, NULL, 0, given + (given == 0));
        if (given > 0) memcpy(data, pipe->user.data + pipe->user.head, given);
        sim_expected expected;
        bool segment = sim_frame_expect(sim, process, pipe, &expected);
        more = pr_engine_bytes(process->engine, link, data, given, &consumed, sim_time(sim, process));
        pr_delete(&sim->alloc, data, given + (given == 0));
        if (consumed > given)
            pr_sim_fail(sim, "%s consumed %zu of %zu bytes", process->name, consumed, given);
        else
            sim_bytes_drop(&pipe->user, consumed);
        if (more == 1 && consumed == 0) pr_sim_fail(sim, "%s wants to be called again but took nothing", process->name);
        bool taken = segment && consumed == expected.fact->size;
        sim_fact fact = taken ? *expected.fact : (sim_fact){.size = 0};
        expected.fact = &fact;
        sim_frame_consumed(pipe, consumed);
        sim_after(sim, process);
        bool open = process->alive && end->state == SIM_END_OPEN && end->link == link;
        if (taken && open && sim->failure[0] == 0) sim_frame_taken(sim, process, &expected);
    }
    pipe->retry_at = pipe->user.size > 0 ? sim->now + 1000 : 0;
}

static void dial_result(pr_sim *sim, sim_dial *dial) {
    if (dial->end == 0) {
        sim_dial_arrives(sim, dial);
        return;
    }
    sim_process *process = sim->processes[dial->process];
    dial->used = false;
    sim_say(sim, process, "dial %llu fails (%d)", (unsigned long long)dial->id, dial->end);
    pr_engine_dial_failed(process->engine, dial->id, (enum pr_dial_end)dial->end, sim_time(sim, process));
    sim_after(sim, process);
}

static void link_up(pr_sim *sim, sim_end *end) {
    sim_process *process = sim->processes[end->process];
    end->state = SIM_END_OPEN;
    sim_say(sim, process, "link %llu up, dial %llu", (unsigned long long)end->link, (unsigned long long)end->dial);
    pr_engine_link_up(process->engine, end->link, end->dial, sim_time(sim, process));
    sim_after(sim, process);
}

static void link_end(pr_sim *sim, sim_conn *conn, int side) {
    sim_end *end = &conn->end[side];
    sim_pipe *out = &conn->pipe[1 - side];
    int why = conn->pipe[side].end;
    end->state = SIM_END_DONE;
    sim_bytes_drop(&out->queue, out->queue.size);
    conn->pipe[side].lost = true;
    if (out->end == 0 && !out->lost) { /* our kernel closes too */
        out->end = PR_END_CLOSED;
        out->end_at = sim->now + sim_latency(sim);
    }
    if (end->process < 0) return;
    sim_process *process = sim->processes[end->process];
    sim_say(sim, process, "link %llu down (%d)", (unsigned long long)end->link, why);
    pr_engine_link_down(process->engine, end->link, (enum pr_link_end)why, sim_time(sim, process));
    sim_after(sim, process);
}

static void closed(pr_sim *sim, sim_conn *conn, int side) {
    sim_pipe *out = &conn->pipe[1 - side];
    conn->end[side].state = SIM_END_DONE;
    sim_bytes_drop(&out->queue, out->queue.size);
    if (out->end == 0) {
        out->end = PR_END_CLOSED;
        out->end_at = out->last_at > sim->now ? out->last_at : sim->now + sim_latency(sim);
    }
}

static void tick(pr_sim *sim, sim_process *process) {
    process->turn_at = sim->now + pr_sim_random(sim, sim->network.turn_ms + 1);
    pr_engine_tick(process->engine, sim_time(sim, process));
    sim_after(sim, process);
}

static void happen(pr_sim *sim, const event *next) {
    sim_conn *conn = next->kind >= EVENT_UP ? sim->conns[next->index] : NULL;
    switch (next->kind) {
    case EVENT_TICK: tick(sim, sim->processes[next->index]); return;
    case EVENT_EXIT:
        sim_say(sim, sim->processes[next->index], "exits");
        sim_end_process(sim, sim->processes[next->index], false);
        return;
    case EVENT_DIAL: dial_result(sim, &sim->dials[next->index]); return;
    case EVENT_BROKER: sim_client_step(sim, sim->processes[next->index]); return;
    case EVENT_UP: link_up(sim, &conn->end[next->side]); return;
    case EVENT_DRAIN: drain(sim, conn, next->side); return;
    case EVENT_ARRIVE: arrive(sim, conn, next->side); return;
    case EVENT_READ: read_bytes(sim, conn, next->side); return;
    case EVENT_END: link_end(sim, conn, next->side); return;
    default: closed(sim, conn, next->side);
    }
}

bool sim_step(pr_sim *sim, uint64_t until) {
    event best = {.kind = EVENT_NONE};
    for (int host = 0; host < PR_SIM_HOSTS; host++)
        if (sim->hosts[host].process >= 0) consider_process(sim, &best, (size_t)sim->hosts[host].process);
    while (sim->dials_end > 0 && !sim->dials[sim->dials_end - 1].used) sim->dials_end--;
    while (sim->conns_end > 0 && sim_conn_done(sim->conns[sim->conns_end - 1])) sim->conns_end--;
    for (size_t i = 0; i < sim->dials_end; i++) consider_dial(sim, &best, i);
    for (size_t i = 0; i < sim->conns_end; i++) {
        if (sim_conn_done(sim->conns[i])) continue;
        for (int side = 0; side < 2; side++) consider_end(sim, &best, i, side);
    }
    if (best.kind == EVENT_NONE || best.at > until) return false;
    sim->steps_now = best.at > sim->now ? 0 : sim->steps_now + 1;
    sim->now = best.at;
    sim->steps++;
    if (sim->steps_now > 200000) { /* a deadline in the past that a tick does not move, or a storm */
        pr_sim_fail(sim, "time stands still: event kind %d again and again", best.kind);
        return false;
    }
    happen(sim, &best);
    return true;
}

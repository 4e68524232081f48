/* The network: dials, connections, ordered pipes, and every way they fail.
 *
 * Happy path: a dial reaches its host after one latency and makes a connection; the acceptor is told at once, the
 * dialler one latency later. A SEND waits in the queue of its pipe until the kernel has room, is on the way for one
 * latency, then waits to be read. Failures: nobody listens (refused), the host is gone or packets are blocked
 * (time-out), the dial is forbidden (as told), an end is killed (FIN after its last bytes, or RST), a cut (both told,
 * one told later, or nobody), a block (bytes wait until it is lifted), a process that stands still (its kernel goes on
 * accepting).
 */
#include "sim_state.h"
#include <stdlib.h>
#include <string.h>

/* ---- bytes ---- */
void sim_bytes_append(pr_sim *sim, sim_bytes *bytes, const void *data, size_t size) {
    if (size == 0) return;
    if (bytes->head > 0 && bytes->head + bytes->size + size > bytes->room) {
        memmove(bytes->data, bytes->data + bytes->head, bytes->size);
        bytes->head = 0;
    }
    if (bytes->head + bytes->size + size > bytes->room) {
        size_t room = (bytes->size + size) * 2;
        bytes->data = sim_resize(sim, bytes->data, bytes->room, room);
        bytes->room = room;
    }
    memcpy(bytes->data + bytes->head + bytes->size, data, size);
    bytes->size += size;
}

void sim_bytes_drop(sim_bytes *bytes, size_t size) {
    bytes->head += size;
    bytes->size -= size;
    if (bytes->size == 0) bytes->head = 0;
}

static void bytes_free(pr_sim *sim, sim_bytes *bytes) { pr_delete(&sim->alloc, bytes->data, bytes->room); }

static void pipe_free(pr_sim *sim, sim_pipe *pipe) {
    bytes_free(sim, &pipe->queue);
    bytes_free(sim, &pipe->flight);
    bytes_free(sim, &pipe->inbox);
    bytes_free(sim, &pipe->user);
    pr_delete(&sim->alloc, pipe->pieces, pipe->pieces_room * sizeof *pipe->pieces);
    pr_delete(&sim->alloc, pipe->facts, pipe->facts_room * sizeof *pipe->facts);
    pr_delete(&sim->alloc, pipe->logs, pipe->logs_room * sizeof *pipe->logs);
    memset(pipe, 0, sizeof *pipe);
}

void sim_network_free(pr_sim *sim) {
    for (size_t i = 0; i < sim->conns_size; i++) {
        pipe_free(sim, &sim->conns[i]->pipe[0]);
        pipe_free(sim, &sim->conns[i]->pipe[1]);
        pr_delete(&sim->alloc, sim->conns[i], sizeof *sim->conns[i]);
    }
    pr_delete(&sim->alloc, sim->conns, sim->conns_size * sizeof *sim->conns);
    pr_delete(&sim->alloc, sim->dials, sim->dials_size * sizeof *sim->dials);
}

/* ---- connections ---- */
static sim_conn *conn_new(pr_sim *sim) {
    for (size_t i = 0; i < sim->conns_size; i++) {
        sim_conn *conn = sim->conns[i];
        if (!sim_conn_done(conn)) continue;
        pipe_free(sim, &conn->pipe[0]);
        pipe_free(sim, &conn->pipe[1]);
        memset(conn, 0, sizeof *conn);
        if (sim->conns_end <= i) sim->conns_end = i + 1;
        return conn;
    }
    size_t size = sim->conns_size;
    sim->conns = sim_resize(sim, sim->conns, size * sizeof *sim->conns, (size + 1) * sizeof *sim->conns);
    sim->conns[size] = sim_resize(sim, NULL, 0, sizeof **sim->conns);
    sim->conns_size = sim->conns_end = size + 1;
    return sim->conns[size];
}

sim_end *sim_find_link(pr_sim *sim, const sim_process *process, pr_link link, sim_conn **conn, int *side) {
    for (size_t i = 0; i < sim->conns_size; i++)
        for (int s = 0; s < 2; s++) {
            sim_end *end = &sim->conns[i]->end[s];
            if (sim->conns[i]->used && end->process >= 0 && end->link == link &&
                sim->processes[end->process] == process) {
                *conn = sim->conns[i];
                *side = s;
                return end;
            }
        }
    return NULL;
}

int pr_sim_peer(pr_sim *sim, int host, pr_link link) {
    const sim_process *process = sim_running(sim, host);
    sim_conn *conn;
    int side;
    if (process == NULL || sim_find_link(sim, process, link, &conn, &side) == NULL) return -1;
    return conn->end[1 - side].process < 0 ? -1 : conn->end[1 - side].host;
}

void sim_send(pr_sim *sim, sim_process *process, pr_link link, const uint8_t *data, size_t size) {
    sim_conn *conn;
    int side;
    sim_end *end = sim_find_link(sim, process, link, &conn, &side);
    if (end == NULL || end->state != SIM_END_OPEN) {
        pr_sim_fail(sim, "%s sends on link %llu, which is not open", process->name, (unsigned long long)link);
        return;
    }
    sim->frames++;
    sim->frame_bytes += size;
    if (sim->trace != NULL) sim_trace_bytes(sim, process, link, data, size);
    sim_frame_sent(sim, process, conn, side, data, size);
    sim_bytes_append(sim, &conn->pipe[1 - side].queue, data, size);
}

/* The other end reads what is on the way, then FIN; nothing more is read here. */
void sim_close(pr_sim *sim, sim_process *process, pr_link link) {
    sim_conn *conn;
    int side;
    sim_end *end = sim_find_link(sim, process, link, &conn, &side);
    if (end == NULL || end->state != SIM_END_OPEN) {
        pr_sim_fail(sim, "%s closes link %llu, which is not open", process->name, (unsigned long long)link);
        return;
    }
    sim_say(sim, process, "closes link %llu", (unsigned long long)link);
    end->state = SIM_END_CLOSING;
    end->close_by = sim->now + 1000;
    conn->pipe[side].lost = true;
}

/* ---- dials ---- */
static void dial_decide(pr_sim *sim, sim_dial *dial, int from) {
    int to = dial->to;
    dial->at = sim->now + sim_latency(sim);
    if (to < 0) {
        dial->end = PR_DIAL_UNRESOLVED;
    } else if (sim->forbidden[from][to] != 0) {
        dial->end = sim->forbidden[from][to];
        if (dial->end == PR_DIAL_TIMEOUT) dial->at = dial->give_up_at;
    } else if (sim->blocked[from][to] || sim->blocked[to][from]) {
        dial->end = PR_DIAL_TIMEOUT;
        dial->at = dial->give_up_at;
    }
}

void sim_dial_start(pr_sim *sim, sim_process *process, const pr_action *action) {
    size_t i = 0;
    while (i < sim->dials_size && sim->dials[i].used) i++;
    if (i == sim->dials_size) {
        sim->dials = sim_resize(sim, sim->dials, i * sizeof *sim->dials, (i + 1) * sizeof *sim->dials);
        sim->dials_size++;
    }
    if (sim->dials_end <= i) sim->dials_end = i + 1;
    sim_dial *dial = &sim->dials[i];
    memset(dial, 0, sizeof *dial);
    dial->used = true;
    dial->id = action->as.dial.id;
    dial->process = sim->hosts[process->host].process;
    dial->to = -1;
    if (strncmp(action->as.dial.address, "sim:", 4) == 0) dial->to = (int)strtol(action->as.dial.address + 4, NULL, 10);
    if (dial->to >= PR_SIM_HOSTS) dial->to = -1;
    dial->give_up_at = sim->now + action->as.dial.timeout_ms;
    sim->dial_count++;
    dial_decide(sim, dial, process->host);
    sim_say(sim, process, "dials %s (%llu)", action->as.dial.address, (unsigned long long)dial->id);
}

/* ---- ends of processes and hosts ---- */
static void end_dies(pr_sim *sim, sim_conn *conn, int side, bool vanish, bool orderly) {
    sim_pipe *out = &conn->pipe[1 - side], *in = &conn->pipe[side];
    bool unread = in->inbox.size + in->user.size > 0;
    conn->end[side].state = SIM_END_DONE;
    sim_bytes_drop(&out->queue, out->queue.size);
    in->lost = true;
    if (vanish) {
        out->lost = true;
        return;
    }
    if (out->end == 0) { /* a kernel with unread bytes sends RST instead of FIN */
        out->end = !orderly && (unread || pr_sim_random(sim, 4) == 0) ? PR_END_RESET : PR_END_CLOSED;
        out->end_at = sim->now + sim_latency(sim);
    }
}

void sim_network_process_ended(pr_sim *sim, int process, bool vanish) {
    for (size_t i = 0; i < sim->conns_size; i++)
        for (int side = 0; side < 2; side++) {
            sim_conn *conn = sim->conns[i];
            if (conn->used && conn->end[side].process == process && conn->end[side].state != SIM_END_DONE)
                end_dies(sim, conn, side, vanish, sim->processes[process]->leaving);
        }
    for (size_t i = 0; i < sim->dials_size; i++)
        if (sim->dials[i].used && sim->dials[i].process == process) sim->dials[i].used = false;
}

/* What is left of connections to the host of old meets a kernel that knows nothing of them: RST. */
void sim_network_host_back(pr_sim *sim, int host) {
    for (size_t i = 0; i < sim->conns_size; i++)
        for (int side = 0; side < 2; side++) {
            sim_conn *conn = sim->conns[i];
            if (!conn->used || conn->end[side].host != host || conn->end[side].state != SIM_END_DONE ||
                conn->end[side].process < 0)
                continue;
            sim_pipe *out = &conn->pipe[1 - side];
            if (conn->end[1 - side].state != SIM_END_DONE && out->end == 0) {
                out->end = PR_END_RESET;
                out->end_at = sim->now + sim_latency(sim) + pr_sim_random(sim, 200);
            }
        }
}

bool sim_network_flushed(const pr_sim *sim, int process) {
    for (size_t i = 0; i < sim->conns_size; i++)
        for (int side = 0; side < 2; side++) {
            const sim_conn *conn = sim->conns[i];
            if (conn->used && conn->end[side].process == process && conn->end[side].state != SIM_END_DONE &&
                conn->end[side].state != SIM_END_WAITING && conn->pipe[1 - side].queue.size > 0)
                return false;
        }
    return true;
}

/* ---- faults ---- */
static bool between(const sim_conn *conn, int a, int b, int *side_a) {
    if (!conn->used || conn->end[0].process < 0) return false;
    if (conn->end[0].host == a && conn->end[1].host == b)
        *side_a = 0;
    else if (conn->end[0].host == b && conn->end[1].host == a)
        *side_a = 1;
    else
        return false;
    return true;
}

void pr_sim_cut(pr_sim *sim, int a, int b, enum pr_sim_cut cut, uint64_t later_ms) {
    sim_say(sim, NULL, "cut %d-%d (%d)", a, b, (int)cut);
    sim_count_fault(sim, PR_SIM_FAULT_CUT);
    for (size_t i = 0; i < sim->conns_size; i++) {
        sim_conn *conn = sim->conns[i];
        int side;
        if (!between(conn, a, b, &side)) continue;
        conn->pipe[0].lost = conn->pipe[1].lost = true;
        for (int s = 0; s < 2 && cut != PR_SIM_CUT_SILENT; s++) {
            sim_pipe *in = &conn->pipe[s];
            uint64_t at = sim->now + (cut == PR_SIM_CUT_LATER && s != side ? later_ms : 0);
            if (in->end == 0 || in->end_at > at) {
                in->end = pr_sim_random(sim, 2) == 0 ? PR_END_RESET : PR_END_TIMEOUT;
                in->end_at = at;
                in->end_local = true;
            }
        }
    }
}

void pr_sim_block(pr_sim *sim, int from, int to, bool blocked) {
    if (sim->blocked[from][to] == blocked) return;
    sim_say(sim, NULL, "%s %d->%d", blocked ? "block" : "unblock", from, to);
    if (blocked) sim_count_fault(sim, PR_SIM_FAULT_BLOCK);
    sim->blocked[from][to] = blocked;
}

void pr_sim_forbid(pr_sim *sim, int from, int to, int dial_end) {
    if (sim->forbidden[from][to] == dial_end) return;
    sim_say(sim, NULL, "dials %d->%d %s (%d)", from, to, dial_end != 0 ? "forbidden" : "allowed", dial_end);
    if (dial_end != 0) sim_count_fault(sim, PR_SIM_FAULT_FORBID);
    sim->forbidden[from][to] = dial_end;
}

void pr_sim_slow_reader(pr_sim *sim, int host, uint32_t bytes_ms) {
    if (sim->hosts[host].read_rate == bytes_ms) return;
    sim_say(sim, NULL, "host %d reads %u bytes a ms at most (0: any)", host, bytes_ms);
    if (bytes_ms != 0) sim_count_fault(sim, PR_SIM_FAULT_SLOW);
    sim->hosts[host].read_rate = bytes_ms;
}

void pr_sim_stop_reading(pr_sim *sim, int host, bool deaf) {
    if (sim->hosts[host].deaf == deaf) return;
    sim_say(sim, NULL, "host %d %s", host, deaf ? "stops reading" : "reads again");
    if (deaf) sim_count_fault(sim, PR_SIM_FAULT_DEAF);
    sim->hosts[host].deaf = deaf;
}

bool pr_sim_corrupt(pr_sim *sim, int from, int to) {
    for (size_t i = 0; i < sim->conns_size; i++) {
        sim_conn *conn = sim->conns[i];
        int side;
        if (!between(conn, from, to, &side)) continue;
        sim_bytes *flight = &conn->pipe[1 - side].flight;
        if (flight->size == 0) continue;
        conn->pipe[1 - side].unfollowed = true;
        flight->data[flight->head + pr_sim_random(sim, flight->size)] ^= (uint8_t)(1u << pr_sim_random(sim, 8));
        sim_say(sim, NULL, "corrupt %d->%d", from, to);
        sim_count_fault(sim, PR_SIM_FAULT_CORRUPT);
        return true;
    }
    return false;
}

size_t pr_sim_links(const pr_sim *sim, int a, int b) {
    size_t links = 0;
    for (size_t i = 0; i < sim->conns_size; i++) {
        const sim_conn *conn = sim->conns[i];
        int side;
        if (between(conn, a, b, &side) && conn->end[0].state == SIM_END_OPEN && conn->end[1].state == SIM_END_OPEN)
            links++;
    }
    return links;
}

uint64_t pr_sim_frames(const pr_sim *sim) { return sim->frames; }

uint64_t pr_sim_frame_bytes(const pr_sim *sim) { return sim->frame_bytes; }

uint64_t pr_sim_dials(const pr_sim *sim) { return sim->dial_count; }

/* ---- peers that are no engine ---- */
int pr_sim_raw_connect(pr_sim *sim, int host) {
    sim_process *process = sim_running(sim, host);
    if (process == NULL) return -1;
    sim_conn *conn = conn_new(sim);
    conn->used = true;
    conn->end[0] = (sim_end){.host = host, .process = -1, .state = SIM_END_OPEN};
    conn->end[1] = (sim_end){.host = host,
                             .process = sim->hosts[host].process,
                             .link = sim->next_link++,
                             .up_at = sim->now,
                             .state = SIM_END_WAITING};
    for (size_t i = 0; i < sim->conns_size; i++)
        if (sim->conns[i] == conn) return (int)i;
    return -1;
}

void pr_sim_raw_write(pr_sim *sim, int raw, const void *data, size_t size) {
    sim_conn *conn = sim->conns[raw];
    if (conn->end[0].state == SIM_END_OPEN) sim_bytes_append(sim, &conn->pipe[1].queue, data, size);
}

size_t pr_sim_raw_read(pr_sim *sim, int raw, uint8_t *data, size_t room) {
    sim_bytes *inbox = &sim->conns[raw]->pipe[0].inbox;
    size_t size = inbox->size < room ? inbox->size : room;
    if (size > 0) memcpy(data, inbox->data + inbox->head, size);
    sim_bytes_drop(inbox, size);
    return size;
}

bool pr_sim_raw_closed(const pr_sim *sim, int raw) {
    const sim_conn *conn = sim->conns[raw];
    return conn->end[0].state == SIM_END_DONE;
}

bool pr_sim_forge(pr_sim *sim, int from, int to, const void *data, size_t size) {
    for (size_t i = 0; i < sim->conns_size; i++) {
        sim_conn *conn = sim->conns[i];
        int side;
        if (between(conn, from, to, &side) && conn->end[0].state == SIM_END_OPEN &&
            conn->end[1].state == SIM_END_OPEN) {
            sim_bytes_append(sim, &conn->pipe[1 - side].queue, data, size);
            conn->pipe[1 - side].forged += size;
            conn->pipe[1 - side].unfollowed = true;
            return true;
        }
    }
    return false;
}

/* Called when a SYN has arrived: the kernel of a living host accepts, also for a process that stands still. */
void sim_dial_arrives(pr_sim *sim, sim_dial *dial) {
    const sim_process *dialler = sim->processes[dial->process];
    sim_process *acceptor = sim_running(sim, dial->to);
    if (acceptor == NULL || acceptor->dial_only || acceptor->leaving) {
        bool silent = acceptor == NULL && sim->hosts[dial->to].vanished;
        dial->end = silent ? PR_DIAL_TIMEOUT : PR_DIAL_REFUSED;
        dial->at = silent ? dial->give_up_at : sim->now + sim_latency(sim);
        return;
    }
    sim_conn *conn = conn_new(sim);
    conn->used = true;
    conn->end[0] = (sim_end){.host = dialler->host,
                             .process = dial->process,
                             .link = sim->next_link++,
                             .dial = dial->id,
                             .up_at = sim->now + sim_latency(sim),
                             .state = SIM_END_WAITING};
    conn->end[1] = (sim_end){.host = dial->to,
                             .process = sim->hosts[dial->to].process,
                             .link = sim->next_link++,
                             .up_at = sim->now,
                             .state = SIM_END_WAITING};
    dial->used = false;
}

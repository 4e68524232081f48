/* Dials, connections, and the pieces under way between their ends.
 *
 * Happy path: DIAL -> one latency -> the host accepts: a connection with two ends, told of at once and one latency
 * later. SEND -> a piece under way -> one latency -> read. CLOSE -> the other end reads what is under way, then hears
 * of the end.
 * Failure paths: nobody has the address (refused), its host vanished or is blocked (time-out); a member that ends
 * (FIN after its last piece), or vanishes (nothing is heard); a block (pieces wait until it is lifted); a member that
 * stands still (its kernel goes on accepting); no memory for a piece (the connection is reset).
 */
#include "virtual_state.h"
#include <string.h>

pr_virtual_end *pr_virtual_other(pr_virtual_conn *conn, const pr_virtual_end *end) {
    return end == &conn->end[0] ? &conn->end[1] : &conn->end[0];
}

static pr_virtual_conn *conn_of(pr_virtual *network, const pr_virtual_end *end) {
    pr_virtual_conn *conn = network->conns;
    while (end != &conn->end[0] && end != &conn->end[1]) conn = conn->next;
    return conn;
}

static pr_virtual_end *find_link(const pr_virtual_member *member, pr_link link) {
    for (pr_virtual_conn *conn = member->network->conns; conn; conn = conn->next) {
        for (int i = 0; i < 2; i++) {
            pr_virtual_end *end = &conn->end[i];
            if (end->member == member && end->link == link && end->state == PR_VIRTUAL_OPEN) return end;
        }
    }
    return NULL;
}

/* ---- pieces ---- */
void pr_virtual_piece_drop(pr_virtual *network, pr_virtual_end *end) {
    pr_virtual_piece *piece = end->first;
    end->first = piece->next;
    if (!end->first) end->last = &end->first;
    pr_delete(&network->alloc, piece, sizeof *piece + piece->size);
}

static void drop_pieces(pr_virtual *network, pr_virtual_end *end) {
    while (end->first) pr_virtual_piece_drop(network, end);
}

static void tell_end(pr_virtual *network, pr_virtual_end *end, int why) {
    if (end->state == PR_VIRTUAL_DONE || end->fin) return;
    uint64_t at = pr_virtual_arrival(network);
    end->fin = why;
    end->fin_at = at > end->last_at ? at : end->last_at;
}

void pr_virtual_finish(pr_virtual *network, pr_virtual_end *end, bool told) {
    if (end->state == PR_VIRTUAL_DONE) return;
    if (end->state == PR_VIRTUAL_OPEN) atomic_fetch_sub(&end->member->links, 1);
    end->state = PR_VIRTUAL_DONE;
    end->member = NULL;
    drop_pieces(network, end);
    pr_buffer_free(&end->rest);
    if (told) tell_end(network, pr_virtual_other(conn_of(network, end), end), PR_END_CLOSED);
}

static void send_piece(pr_virtual *network, pr_virtual_end *from, const pr_bytes *bytes) {
    pr_virtual_end *to = pr_virtual_other(conn_of(network, from), from);
    if (to->state == PR_VIRTUAL_DONE) return; /* a kernel that drops what nobody reads */
    pr_virtual_piece *piece = pr_new(&network->alloc, sizeof *piece + bytes->size);
    if (!piece) {
        tell_end(network, to, PR_END_RESET);
        tell_end(network, from, PR_END_RESET);
        return;
    }
    uint64_t at = pr_virtual_arrival(network);
    if (at < to->last_at) at = to->last_at;
    piece->at = to->last_at = at;
    piece->size = bytes->size;
    memcpy(piece->data, bytes->data, bytes->size);
    *to->last = piece;
    to->last = &piece->next;
    atomic_fetch_add(&from->member->bytes_out, bytes->size);
}

/* ---- dials ---- */
static void dial(pr_virtual_member *member, const pr_action *action) {
    pr_virtual *network = member->network;
    pr_virtual_dial *made = pr_new(&network->alloc, sizeof *made), **at = &network->dials;
    atomic_fetch_add(&member->dials, 1);
    if (!made) { /* the engine is told in this very hold: it is locked, and takes it as any other failure */
        pr_engine_dial_failed(member->engine, action->as.dial.id, PR_DIAL_UNREACHABLE, pr_virtual_time(network));
        return;
    }
    made->member = member;
    made->id = action->as.dial.id;
    made->to = pr_virtual_host_at(network, action->as.dial.address);
    made->at = pr_virtual_arrival(network);
    made->give_up_at = pr_virtual_now(network) + action->as.dial.timeout_ms;
    while (*at) at = &(*at)->next;
    *at = made;
}

void pr_virtual_dial_drop(pr_virtual *network, pr_virtual_dial *gone) {
    pr_virtual_dial **at = &network->dials;
    while (*at != gone) at = &(*at)->next;
    *at = gone->next;
    pr_delete(&network->alloc, gone, sizeof *gone);
}

static void end_dial(pr_virtual *network, pr_virtual_dial *it, int why) {
    it->end = why;
    it->at = why == PR_DIAL_TIMEOUT ? it->give_up_at : pr_virtual_arrival(network);
}

static void make_end(pr_virtual *network, pr_virtual_end *end, pr_virtual_member *member, uint64_t id, uint64_t up_at) {
    end->host = member->host;
    end->member = member;
    end->state = PR_VIRTUAL_WAITING;
    end->link = network->next_link++;
    end->dial = id;
    end->up_at = up_at;
    end->last = &end->first;
    pr_buffer_init(&end->rest, &network->alloc, SIZE_MAX / 2);
}

void pr_virtual_dial_arrives(pr_virtual *network, pr_virtual_dial *it) {
    pr_virtual_host *from = it->member->host, *to = it->to;
    pr_virtual_member *acceptor = to ? to->member : NULL;
    bool blocked = to && (pr_virtual_blocked(network, from, to) || pr_virtual_blocked(network, to, from));
    if (blocked || (to && !acceptor && to->vanished)) {
        end_dial(network, it, PR_DIAL_TIMEOUT);
        return;
    }
    pr_virtual_conn *conn = NULL;
    if (acceptor && acceptor != it->member && acceptor->state == PR_VIRTUAL_RUNNING) {
        conn = pr_new(&network->alloc, sizeof *conn);
    }
    if (!conn) {
        end_dial(network, it, PR_DIAL_REFUSED);
        return;
    }
    make_end(network, &conn->end[0], it->member, it->id, pr_virtual_arrival(network));
    make_end(network, &conn->end[1], acceptor, 0, pr_virtual_now(network));
    conn->next = network->conns;
    network->conns = conn;
    pr_virtual_dial_drop(network, it);
}

/* ---- what an engine asked for ---- */
void pr_virtual_take_outbox(pr_virtual_member *member) {
    pr_virtual *network = member->network;
    atomic_store(&member->dirty, false);
    for (size_t i = 0; i < member->outbox.size; i++) {
        const pr_action *action = &member->outbox.actions[i];
        pr_virtual_end *end;
        switch (action->kind) {
        case PR_ACTION_SEND:
            end = find_link(member, action->as.send.link);
            if (end) send_piece(network, end, action->as.send.bytes);
            pr_bytes_release(action->as.send.bytes);
            break;
        case PR_ACTION_DIAL: dial(member, action); break;
        case PR_ACTION_CLOSE:
            end = find_link(member, action->as.close.link);
            if (end) pr_virtual_finish(network, end, true);
            break;
        default: break;
        }
    }
    member->outbox.size = 0;
}

/* ---- ends ---- */
void pr_virtual_links_end(pr_virtual_member *member, bool vanish) {
    pr_virtual *network = member->network;
    for (pr_virtual_conn *conn = network->conns; conn; conn = conn->next) {
        for (int i = 0; i < 2; i++) {
            if (conn->end[i].member != member) continue;
            pr_virtual_finish(network, &conn->end[i], !vanish);
            if (vanish) drop_pieces(network, &conn->end[1 - i]);
        }
    }
    for (pr_virtual_dial *it = network->dials, *next; it; it = next) {
        next = it->next;
        if (it->member == member) pr_virtual_dial_drop(network, it);
    }
}

void pr_virtual_host_back(pr_virtual *network, const pr_virtual_host *host) {
    for (pr_virtual_conn *conn = network->conns; conn; conn = conn->next) {
        for (int i = 0; i < 2; i++) {
            if (conn->end[i].host != host || conn->end[i].state != PR_VIRTUAL_DONE) continue;
            tell_end(network, &conn->end[1 - i], PR_END_RESET);
        }
    }
}

void pr_virtual_sweep(pr_virtual *network) {
    for (pr_virtual_conn **at = &network->conns; *at;) {
        pr_virtual_conn *conn = *at;
        if (conn->end[0].state != PR_VIRTUAL_DONE || conn->end[1].state != PR_VIRTUAL_DONE) {
            at = &conn->next;
            continue;
        }
        *at = conn->next;
        pr_delete(&network->alloc, conn, sizeof *conn);
    }
}

void pr_virtual_links_free(pr_virtual *network) {
    for (pr_virtual_conn *conn = network->conns; conn; conn = conn->next) {
        for (int i = 0; i < 2; i++) pr_virtual_finish(network, &conn->end[i], false);
    }
    pr_virtual_sweep(network);
    while (network->dials) pr_virtual_dial_drop(network, network->dials);
}

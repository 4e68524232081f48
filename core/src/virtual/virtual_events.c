/* What happens next: the earliest of all that can, one of them by the seed where several are due at once. */
#include "virtual_state.h"
#include <string.h>

#define RETRY_MS 1000

enum kind { NOTHING, TICK, DIAL, UP, ARRIVE, RETRY, FIN };

typedef struct event {
    int kind;
    uint64_t at, ties;
    pr_virtual_member *member;
    pr_virtual_dial *dial;
    pr_virtual_conn *conn;
    int side;
} event;

static void consider(pr_virtual *network, event *best, event next) {
    uint64_t now = pr_virtual_now(network);
    if (next.at < now) next.at = now;
    if (next.at == PR_VIRTUAL_NEVER || (best->kind != NOTHING && next.at > best->at)) return;
    next.ties = 1;
    if (best->kind != NOTHING && next.at == best->at) {
        best->ties++;
        if (pr_virtual_draw(network) % best->ties != 0) return;
        next.ties = best->ties;
    }
    *best = next;
}

static uint64_t due_of(pr_virtual_member *member) {
    if (atomic_load(&member->dirty)) return 0;
    if (member->deadline == PR_VIRTUAL_NEVER) return PR_VIRTUAL_NEVER;
    return member->deadline > member->ticked_at ? member->deadline : member->ticked_at + 1;
}

/* Everything that can happen at one end. */
static void consider_end(pr_virtual *network, event *best, pr_virtual_conn *conn, int side) {
    pr_virtual_end *end = &conn->end[side];
    event next = {.conn = conn, .side = side};
    if (end->state == PR_VIRTUAL_DONE || !pr_virtual_lives(end->member)) return;
    if (end->state == PR_VIRTUAL_WAITING) {
        next.kind = UP, next.at = end->up_at;
        consider(network, best, next);
        return;
    }
    if (end->retry_at) {
        next.kind = RETRY, next.at = end->retry_at;
        consider(network, best, next);
        return;
    }
    if (pr_virtual_blocked(network, conn->end[1 - side].host, end->host)) return;
    if (end->first) {
        next.kind = ARRIVE, next.at = end->first->at;
        consider(network, best, next);
    } else if (end->fin) {
        next.kind = FIN, next.at = end->fin_at;
        consider(network, best, next);
    }
}

static event choose(pr_virtual *network) {
    event best = {.kind = NOTHING};
    for (pr_virtual_member *member = network->members; member; member = member->next) {
        if (!pr_virtual_lives(member)) continue;
        consider(network, &best, (event){.kind = TICK, .at = due_of(member), .member = member});
    }
    for (pr_virtual_dial *dial = network->dials; dial; dial = dial->next) {
        if (dial->end && !pr_virtual_lives(dial->member)) continue;
        consider(network, &best, (event){.kind = DIAL, .at = dial->at, .dial = dial});
    }
    for (pr_virtual_conn *conn = network->conns; conn; conn = conn->next) {
        consider_end(network, &best, conn, 0);
        consider_end(network, &best, conn, 1);
    }
    return best;
}

/* ---- what they do ---- */
static void tick(pr_virtual *network, pr_virtual_member *member) {
    uint64_t now = pr_virtual_now(network);
    pr_virtual_begin(member);
    if (pr_engine_deadline(member->engine) <= now) {
        member->ticked_at = now;
        pr_engine_tick(member->engine, pr_virtual_time(network));
    }
    pr_virtual_end_hold(member);
}

static void dial_result(pr_virtual *network, pr_virtual_dial *dial) {
    pr_virtual_member *member = dial->member;
    uint64_t id = dial->id;
    int end = dial->end;
    if (end == 0) {
        pr_virtual_dial_arrives(network, dial);
        return;
    }
    pr_virtual_dial_drop(network, dial);
    atomic_fetch_add(&member->dial_failures, 1);
    pr_virtual_begin(member);
    pr_engine_dial_failed(member->engine, id, (enum pr_dial_end)end, pr_virtual_time(network));
    pr_virtual_end_hold(member);
}

static void link_up(pr_virtual *network, pr_virtual_end *end) {
    pr_virtual_member *member = end->member;
    end->state = PR_VIRTUAL_OPEN;
    atomic_fetch_add(&member->links, 1);
    pr_virtual_begin(member);
    pr_engine_link_up(member->engine, end->link, end->dial, pr_virtual_time(network));
    pr_virtual_end_hold(member);
}

/* Pieces are whole frames: what was not taken, the engine has no memory for, and gets it again (protocol.md 5.4). */
static void feed(pr_virtual *network, pr_virtual_end *end) {
    pr_virtual_member *member = end->member;
    int more = 1;
    end->retry_at = 0;
    while (more == 1 && end->state == PR_VIRTUAL_OPEN && end->rest.size > 0) {
        size_t consumed = 0;
        pr_virtual_begin(member);
        more = pr_engine_bytes(member->engine, end->link, end->rest.data, end->rest.size, &consumed,
                               pr_virtual_time(network));
        if (consumed > 0) {
            end->rest.size -= consumed;
            memmove(end->rest.data, end->rest.data + consumed, end->rest.size);
        }
        pr_virtual_end_hold(member);
    }
    if (end->state == PR_VIRTUAL_OPEN && more == 0 && end->rest.size > 0) {
        end->retry_at = pr_virtual_now(network) + RETRY_MS;
    }
}

/* The kernel of the sender has room again. */
static void tell_written(pr_virtual *network, pr_virtual_end *sender, size_t size) {
    pr_virtual_member *member = sender->member;
    if (sender->state != PR_VIRTUAL_OPEN || !pr_virtual_lives(member)) return;
    pr_virtual_begin(member);
    pr_engine_written(member->engine, sender->link, size, pr_virtual_time(network));
    pr_virtual_end_hold(member);
}

static void arrive(pr_virtual *network, pr_virtual_conn *conn, int side) {
    pr_virtual_end *end = &conn->end[side];
    pr_virtual_piece *piece = end->first;
    size_t size = piece->size;
    pr_buffer_append(&end->rest, piece->data, size);
    pr_virtual_piece_drop(network, end);
    atomic_fetch_add(&end->member->bytes_in, size);
    if (end->rest.failed) {
        end->fin = PR_END_RESET;
        end->fin_at = 0;
    } else {
        feed(network, end);
    }
    tell_written(network, &conn->end[1 - side], size);
}

static void link_end(pr_virtual *network, pr_virtual_end *end) {
    pr_virtual_member *member = end->member;
    pr_link link = end->link;
    int why = end->fin;
    pr_virtual_finish(network, end, true);
    pr_virtual_begin(member);
    pr_engine_link_down(member->engine, link, (enum pr_link_end)why, pr_virtual_time(network));
    pr_virtual_end_hold(member);
}

static void happen(pr_virtual *network, const event *next) {
    switch (next->kind) {
    case TICK: tick(network, next->member); break;
    case DIAL: dial_result(network, next->dial); break;
    case UP: link_up(network, &next->conn->end[next->side]); break;
    case ARRIVE: arrive(network, next->conn, next->side); break;
    case RETRY: feed(network, &next->conn->end[next->side]); break;
    default: link_end(network, &next->conn->end[next->side]); break;
    }
    pr_virtual_sweep(network);
}

bool pr_virtual_advance(pr_virtual *network, uint64_t until_ms) {
    pr_virtual_lock(network);
    event next = choose(network);
    bool any = next.kind != NOTHING && next.at <= until_ms;
    uint64_t to = any ? next.at : until_ms;
    if (to > pr_virtual_now(network)) atomic_store(&network->now, to);
    if (any) happen(network, &next);
    pr_virtual_unlock(network);
    return any;
}

static bool end_is_quiet(const pr_virtual *network, const pr_virtual_conn *conn, int side) {
    const pr_virtual_end *end = &conn->end[side];
    if (end->state == PR_VIRTUAL_DONE || !pr_virtual_lives(end->member)) return true;
    if (end->state == PR_VIRTUAL_WAITING) return false;
    if (pr_virtual_blocked(network, conn->end[1 - side].host, end->host)) return true;
    return !end->first && !end->fin && !end->retry_at;
}

bool pr_virtual_quiet(pr_virtual *network) {
    uint64_t now = pr_virtual_now(network);
    for (pr_virtual_member *member = network->members; member; member = member->next) {
        if (pr_virtual_lives(member) && due_of(member) <= now) return false;
    }
    for (const pr_virtual_dial *dial = network->dials; dial; dial = dial->next) {
        if (dial->end == 0) return false;
    }
    for (const pr_virtual_conn *conn = network->conns; conn; conn = conn->next) {
        if (!end_is_quiet(network, conn, 0) || !end_is_quiet(network, conn, 1)) return false;
    }
    return true;
}

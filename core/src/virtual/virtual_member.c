/* One member: the transport its tracker sees, and its life.
 *
 * Happy path: join -> start -> holds, while the network advances -> stop -> ended -> free.
 * A call of the tracker that leaves something to do marks the member dirty; what waits is taken when the network
 * advances. Its own consumers are woken at once, by the calling thread.
 * stop needs no virtual time: what was sent goes on its way, as from a process that has exited, then every connection
 * ends. A crash sends nothing more; one that vanishes is not even missed by its kernel.
 */
#include "virtual_state.h"
#include <stdio.h>

static pr_virtual_member *of(pr_transport *transport) { return (pr_virtual_member *)transport; }

static const pr_virtual_member *seen(const pr_transport *transport) { return (const pr_virtual_member *)transport; }

pr_time pr_virtual_time(const pr_virtual *network) {
    uint64_t now = pr_virtual_now(network);
    return (pr_time){now, now};
}

/* ---- holds ---- */
static void end(pr_virtual_member *member, bool vanish) {
    member->state = PR_VIRTUAL_ENDED;
    pr_virtual_links_end(member, vanish);
    if (member->host->member == member) {
        member->host->member = NULL;
        member->host->vanished = vanish;
    }
    member->hooks.ended(member->hooks.owner);
}

void pr_virtual_begin(pr_virtual_member *member) { member->hooks.lock(member->hooks.owner); }

void pr_virtual_end_hold(pr_virtual_member *member) {
    member->hooks.settle(member->hooks.owner);
    pr_virtual_take_outbox(member);
    member->deadline = pr_engine_deadline(member->engine);
    member->hooks.unlock(member->hooks.owner);
    member->hooks.turn(member->hooks.owner);
    if (atomic_load(&member->stop_wanted) && member->state == PR_VIRTUAL_RUNNING) end(member, false);
}

/* ---- the transport ---- */
static void address(const pr_transport *transport, char *out, size_t room) {
    snprintf(out, room, "%s", seen(transport)->address);
}

static int start(pr_transport *transport, pr_engine *engine) {
    pr_virtual_member *member = of(transport);
    pr_virtual_lock(member->network);
    member->engine = engine;
    member->state = PR_VIRTUAL_RUNNING;
    atomic_store(&member->dirty, true);
    pr_virtual_unlock(member->network);
    return 0;
}

static bool is_thread(const pr_transport *transport) {
    (void)transport;
    return false;
}

/* Whoever called `ended` has let go of everything once the network can be locked. */
static void join(pr_transport *transport) {
    pr_virtual_lock(of(transport)->network);
    pr_virtual_unlock(of(transport)->network);
}

static void free_member(pr_transport *transport) {
    pr_virtual_member *member = of(transport);
    pr_virtual *network = member->network;
    pr_virtual_lock(network);
    pr_virtual_member **at = &network->members;
    while (*at != member) at = &(*at)->next;
    *at = member->next;
    if (member->host->member == member) member->host->member = NULL; /* never started */
    pr_virtual_unlock(network);
    pr_outbox_free(&member->outbox, member->alloc, 0);
    pr_delete(member->alloc, member, sizeof *member);
    pr_virtual_release(network);
}

/* Another thread of the parent may have been changing all this: the child lets it lie. */
static void forget(pr_transport *transport) { (void)transport; }

static pr_time now_of(const pr_transport *transport) { return pr_virtual_time(seen(transport)->network); }

#define EPOCH_MS 1700000000000u

static uint64_t wall_ms(const pr_transport *transport) { return EPOCH_MS + pr_virtual_now(seen(transport)->network); }

static bool draw(pr_transport *transport, void *out, size_t size) {
    pr_virtual *network = of(transport)->network;
    uint8_t *to = out;
    pr_virtual_lock(network);
    for (size_t i = 0; i < size; i++) to[i] = (uint8_t)(pr_virtual_draw(network) >> 32);
    pr_virtual_unlock(network);
    return true;
}

static bool advance(pr_transport *transport, uint64_t until_ms) {
    return pr_virtual_advance(of(transport)->network, until_ms);
}

static int reserve(pr_transport *transport) { return pr_outbox_reserve(&of(transport)->outbox, of(transport)->alloc); }

static void post(pr_transport *transport, const pr_action *action) { pr_outbox_add(&of(transport)->outbox, action); }

static bool needs_wake(pr_transport *transport, bool anyway) {
    pr_virtual_member *member = of(transport);
    return anyway || member->outbox.size > 0 || pr_engine_deadline(member->engine) < member->deadline;
}

static void stop(pr_transport *transport, uint32_t flush_ms) {
    (void)flush_ms;
    atomic_store(&of(transport)->stop_wanted, true);
}

static void wake(pr_transport *transport) {
    pr_virtual_member *member = of(transport);
    atomic_store(&member->dirty, true);
    if (!atomic_load(&member->stop_wanted)) {
        member->hooks.turn(member->hooks.owner);
        return;
    }
    pr_virtual_lock(member->network);
    if (member->state == PR_VIRTUAL_RUNNING) {
        pr_virtual_begin(member);
        pr_virtual_end_hold(member);
        pr_virtual_sweep(member->network);
    }
    pr_virtual_unlock(member->network);
}

static void count(const pr_transport *transport, pr_transport_counts *out) {
    const pr_virtual_member *member = seen(transport);
    out->links = atomic_load(&member->links);
    out->bytes_in = atomic_load(&member->bytes_in);
    out->bytes_out = atomic_load(&member->bytes_out);
    out->dials = atomic_load(&member->dials);
    out->dial_failures = atomic_load(&member->dial_failures);
}

static const pr_transport_calls calls = {address, start,   is_thread, join, free_member, forget, now_of, wall_ms,
                                         draw,    advance, reserve,   post, needs_wake,  stop,   wake,   count};

pr_virtual_member *pr_virtual_member_new(pr_virtual *network, pr_virtual_host *host, const pr_alloc *alloc,
                                         const pr_transport_hooks *hooks) {
    pr_virtual_member *member = pr_new(alloc, sizeof *member), **at = &network->members;
    if (!member) return NULL;
    member->base.calls = &calls;
    member->alloc = alloc;
    member->network = pr_virtual_hold(network);
    member->host = host;
    member->hooks = *hooks;
    member->state = PR_VIRTUAL_NEW;
    member->deadline = PR_VIRTUAL_NEVER;
    host->member = member;
    while (*at) at = &(*at)->next;
    *at = member;
    return member;
}

/* ---- what a test does with it ---- */
bool pr_virtual_is(const pr_transport *transport) { return transport->calls == &calls; }

pr_virtual_member *pr_virtual_member_of(pr_virtual *network, pr_transport *transport) {
    if (!pr_virtual_is(transport) || of(transport)->network != network) return NULL;
    return of(transport);
}

void pr_virtual_crash(pr_virtual *network, pr_virtual_member *member, bool vanish) {
    pr_virtual_lock(network);
    if (member->state == PR_VIRTUAL_RUNNING) end(member, vanish);
    pr_virtual_sweep(network);
    pr_virtual_unlock(network);
}

bool pr_virtual_pause(pr_virtual *network, pr_virtual_member *member, bool pause) {
    pr_virtual_lock(network);
    bool changed = member->paused != pause;
    member->paused = pause;
    pr_virtual_unlock(network);
    return changed;
}

pr_virtual_member *pr_virtual_next(pr_virtual *network, const pr_virtual_member *after) {
    return after ? after->next : network->members;
}

void *pr_virtual_owner(const pr_virtual_member *member) { return member->hooks.owner; }

bool pr_virtual_lives(const pr_virtual_member *member) {
    return member->state == PR_VIRTUAL_RUNNING && !member->paused;
}

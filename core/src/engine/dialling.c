/* Dialling: seeds and members, until they are linked (protocol.md 3.9.7, 3.13).
 *
 * Happy path: DIAL, link_up, HELLO: the target is linked. The smaller instance dials at once, the larger waits a
 * second; after a lost link both dial at once. Failures: each address of a target is tried in order; after a round the
 * next waits 100 ms x 2^n up to 10 s, +-50 %. All refused: the member may be dead (liveness.c). Ourselves: never again.
 * Another cluster: a minute.
 */
#include "engine_state.h"

#define BACKOFF_MS     100u
#define BACKOFF_MAX_MS 10000u

void pr_dial_init(pr_engine *e, pr_dial *dial, pr_member *member, pr_seed *seed) {
    (void)e;
    memset(dial, 0, sizeof *dial);
    dial->member = member;
    dial->seed = seed;
    pr_timer_init(&dial->timer, PR_TIMER_DIAL, dial);
}

static uint64_t backoff(pr_engine *e, uint32_t failures) {
    uint64_t ms = BACKOFF_MS;
    for (uint32_t i = 1; i < failures && ms < BACKOFF_MAX_MS; i++) ms *= 2;
    if (ms > BACKOFF_MAX_MS) ms = BACKOFF_MAX_MS;
    return ms / 2 + pr_engine_random(e, ms + 1);
}

static pr_peer *open_to(const pr_engine *e, uint64_t inst) {
    for (pr_node *n = e->all_peers.next; n != &e->all_peers; n = n->next) {
        pr_peer *peer = n->owner;
        if (peer->phase == PR_PHASE_OPEN && peer->inst == inst) return peer;
    }
    return NULL;
}

static bool has_address(const pr_member *m, const char *address) {
    for (size_t i = 0; i < m->addresses_size; i++)
        if (strcmp(m->addresses[i], address) == 0) return true;
    return false;
}

/* Known: its record is UP and is dialled by its own addresses. */
static bool seed_known(const pr_engine *e, const pr_seed *seed) {
    if (!seed->tried) return false;
    if (seed->inst && open_to(e, seed->inst)) return true;
    for (pr_node *n = e->members.next; n != &e->members; n = n->next) {
        pr_member *m = n->owner;
        if (pr_member_up(m) && !m->suspect && (m->inst == seed->inst || has_address(m, seed->address))) return true;
    }
    return false;
}

/* The first address from `at` on that does not lead to ourselves; addresses_size: none. */
static uint8_t usable(const pr_engine *e, const pr_dial *dial, uint8_t at) {
    const pr_member *m = dial->member;
    for (; at < m->addresses_size; at++) {
        bool own = dial->own >> at & 1;
        for (size_t i = 0; i < e->options.addresses_size && !own; i++)
            own = strcmp(m->addresses[at], e->addresses[i]) == 0;
        if (!own) break;
    }
    return at;
}

static bool needed(const pr_engine *e, const pr_dial *dial) {
    if (e->left || e->yielded || e->options.broker) return false;
    if (dial->seed) return dial->seed->resolves || (!dial->seed->self && !seed_known(e, dial->seed));
    const pr_member *m = dial->member;
    return !pr_member_grave(m) && !m->observer && !pr_peer_of(m) && usable(e, dial, dial->next) < m->addresses_size;
}

static void schedule(pr_engine *e, pr_dial *dial, uint64_t delay) {
    if (!dial->id) pr_timer_set(&e->timers, &dial->timer, e->now.mono_ms + delay);
}

void pr_dial_seed(pr_engine *e, pr_seed *seed, uint64_t delay) {
    if (!seed->self) schedule(e, &seed->dial, delay);
}

void pr_dial_start(pr_engine *e) {
    for (size_t i = 0; i < e->seeds_size; i++) pr_dial_seed(e, e->seeds[i], 0);
}

void pr_dial_member(pr_engine *e, pr_member *m, bool at_once) {
    pr_dial *dial = &m->dial;
    if (dial->id || !needed(e, dial)) return;
    if (at_once) {
        /* a link that was young when it ended counts, but one such end is no reason to wait */
        schedule(e, dial, dial->failures > 1 ? backoff(e, dial->failures - 1) : 0);
        return;
    }
    if (dial->timer.slot) return;
    bool first = e->inst < m->inst || !e->options.addresses_size;
    schedule(e, dial, first ? 0 : 1000 + pr_engine_random(e, 1000));
}

const char *pr_dial_address(const pr_dial *dial) {
    return dial->seed ? dial->seed->address : dial->member->addresses[dial->next];
}

static void idle(pr_engine *e, pr_dial *dial) {
    if (dial->id) pr_map_take(&e->dials, dial->id);
    dial->id = 0;
}

void pr_dial_drop(pr_engine *e, pr_dial *dial) {
    idle(e, dial);
    dial->failures = 0;
    dial->next = dial->refused = dial->own = 0;
    pr_timer_clear(&e->timers, &dial->timer);
}

void pr_dial_fire(pr_engine *e, pr_dial *dial) {
    if (dial->id || e->left || e->yielded) return;
    if (!needed(e, dial)) {
        if (dial->seed && !dial->seed->self) schedule(e, dial, BACKOFF_MAX_MS);
        return;
    }
    if (dial->member) dial->next = usable(e, dial, dial->next);
    uint64_t id = ++e->dial_ids;
    if (pr_map_put(&e->dials, id, (uintptr_t)dial) == 0) {
        if (pr_action_dial(e, id, dial) == 0) {
            dial->id = id;
            dial->started = e->now.mono_ms;
            e->stats.dials++;
            return;
        }
        pr_map_take(&e->dials, id);
    }
    e->memory_failed = true;
    schedule(e, dial, PR_MEMORY_MS);
}

static void seed_ended(pr_engine *e, pr_seed *seed, uint32_t error) {
    seed->tried = true;
    e->synced_check = true;
    if (error == PR_ERROR_SELF) {
        seed->self = true;
        return;
    }
    if (error == PR_ERROR_DUPLICATE) seed->reached = true;
    seed->dial.failures++;
    uint64_t delay = backoff(e, seed->dial.failures);
    if (seed->resolves && delay > e->options.resolve_ms) delay = e->options.resolve_ms;
    if (error == PR_ERROR_CLUSTER) delay = PR_REFUSE_MS;
    schedule(e, &seed->dial, delay);
}

static uint8_t reachable(const pr_engine *e, const pr_dial *dial) {
    uint8_t count = 0;
    for (uint8_t at = 0; (at = usable(e, dial, at)) < dial->member->addresses_size; at++) count++;
    return count;
}

/* One address of the round is done with; after the last the round counts. */
static void member_ended(pr_engine *e, pr_dial *dial, bool refused, uint32_t error) {
    pr_member *m = dial->member;
    if (refused) dial->refused++;
    if (error == PR_ERROR_SELF) dial->own |= (uint8_t)(1u << dial->next);
    dial->next = usable(e, dial, dial->next + 1);
    if (dial->next < m->addresses_size && error != PR_ERROR_CLUSTER) {
        schedule(e, dial, 0);
        return;
    }
    bool all = dial->refused && dial->refused >= reachable(e, dial);
    dial->next = dial->refused = 0;
    dial->failures++;
    schedule(e, dial, error == PR_ERROR_CLUSTER ? PR_REFUSE_MS : backoff(e, dial->failures));
    if (all) pr_member_refused(e, m);
}

void pr_dial_ended(pr_engine *e, uint64_t id, bool refused, uint32_t error) {
    e->stats.dial_failures++;
    pr_dial *dial = pr_map_find(&e->dials, id);
    if (!dial) return;
    idle(e, dial);
    if (dial->seed)
        seed_ended(e, dial->seed, error);
    else
        member_ended(e, dial, refused, error);
}

void pr_engine_dial_failed(pr_engine *e, uint64_t id, enum pr_dial_end end, pr_time now) {
    pr_engine_note_time(e, now);
    pr_dial_ended(e, id, end == PR_DIAL_REFUSED, 0);
    pr_engine_settle_event(e);
}

/* HELLO was accepted. Another instance than expected: the address is somebody else's now. */
void pr_dial_linked(pr_engine *e, pr_peer *peer) {
    pr_dial *dial = pr_map_find(&e->dials, peer->dial);
    if (!dial) return;
    if (dial->member && dial->member->inst != peer->inst) {
        idle(e, dial);
        member_ended(e, dial, false, 0);
        return;
    }
    idle(e, dial);
    dial->next = dial->refused = 0;
    if (!dial->seed) return;
    dial->seed->inst = peer->inst;
    dial->seed->tried = dial->seed->reached = true;
    e->synced_check = true;
    schedule(e, dial, BACKOFF_MAX_MS);
}

void pr_dial_count(pr_dial *dial, bool young, uint32_t error) {
    bool wrong = error && error != PR_ERROR_DUPLICATE && error != PR_ERROR_STOPPING;
    if (wrong)
        dial->failures += dial->failures ? 1 : 2; /* waits already now */
    else
        dial->failures = young ? dial->failures + 1 : 0;
}

void pr_dial_seeds_again(pr_engine *e, uint64_t inst, bool young, uint32_t error) {
    for (size_t i = 0; i < e->seeds_size; i++) {
        pr_seed *seed = e->seeds[i];
        if (seed->self || seed->inst != inst || seed->dial.id) continue;
        pr_dial_count(&seed->dial, young, error);
        schedule(e, &seed->dial, backoff(e, seed->dial.failures));
    }
}

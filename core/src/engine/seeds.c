/* Seeds: addresses to begin with, given at the start or while it runs; and names, which stand for all their addresses.
 *
 * Happy path: an address is dialled until it is linked or known (dialling.c). A name is looked up, at once and every
 * resolve_ms: each of its addresses becomes a seed of its own, and goes when an answer lacks it. Links of what goes
 * stay. Failures: no answer: asked again by the back-off, and the addresses of the last answer stay. No memory for an
 * address: the next answer brings it again. More than 1024 seeds: the rest of a name is left out.
 */
#include "engine_state.h"

#define ADDRESSES_MAX 256 /* of one name */

/* Not digits and dots, not in brackets, not localhost: somebody must be asked. */
static bool is_name(presence_str address) {
    static const char local[] = "localhost:";
    if (address.size >= sizeof local - 1 && memcmp(address.data, local, sizeof local - 1) == 0) return false;
    if (!address.size || *address.data == '[') return false;
    for (size_t i = 0; i < address.size && address.data[i] != ':'; i++)
        if (address.data[i] != '.' && (address.data[i] < '0' || address.data[i] > '9')) return true;
    return false;
}

static bool is_own(const pr_engine *e, presence_str address) {
    for (size_t i = 0; i < e->options.addresses_size; i++)
        if (pr_str_equal(address, e->options.addresses[i])) return true;
    return false;
}

static void seed_free(pr_engine *e, pr_seed *seed) {
    if (seed->address) pr_delete(e->alloc, seed->address, strlen(seed->address) + 1);
    pr_delete(e->alloc, seed, sizeof *seed);
}

static pr_seed *seed_make(pr_engine *e, presence_str address, pr_seed *name) {
    pr_seed *seed = pr_new(e->alloc, sizeof *seed);
    if (!seed) return NULL;
    pr_dial_init(e, &seed->dial, NULL, seed);
    seed->address = pr_new(e->alloc, address.size + 1);
    if (!seed->address) {
        seed_free(e, seed);
        return NULL;
    }
    memcpy(seed->address, address.data, address.size);
    seed->name = name;
    seed->found = true;
    seed->resolves = e->options.resolve_ms && !name && is_name(address);
    seed->self = seed->tried = is_own(e, address);
    return seed;
}

int pr_seed_new(pr_engine *e, presence_str address, pr_seed *name) {
    int rc = pr_engine_room(e, (void **)&e->seeds, &e->seeds_room, e->seeds_size + 1, sizeof *e->seeds);
    if (!rc) rc = pr_timers_reserve(&e->timers, 1);
    if (rc) return rc;
    pr_seed *seed = seed_make(e, address, name);
    if (!seed) {
        pr_timers_give_back(&e->timers, 1);
        return PRESENCE_ENOMEM;
    }
    e->seeds[e->seeds_size++] = seed;
    return 0;
}

static void drop_at(pr_engine *e, size_t at) {
    pr_seed *seed = e->seeds[at];
    pr_dial_drop(e, &seed->dial);
    pr_timers_give_back(&e->timers, 1);
    seed_free(e, seed);
    memmove(&e->seeds[at], &e->seeds[at + 1], (--e->seeds_size - at) * sizeof(pr_seed *));
    e->synced_check = true;
}

void pr_seeds_free(pr_engine *e) {
    for (size_t i = 0; i < e->seeds_size; i++) seed_free(e, e->seeds[i]);
    pr_delete(e->alloc, e->seeds, e->seeds_room * sizeof *e->seeds);
}

/* A given address and the same one of a name are two seeds: either may go. */
static pr_seed *find(const pr_engine *e, presence_str address, const pr_seed *name) {
    for (size_t i = 0; i < e->seeds_size; i++)
        if (e->seeds[i]->name == name && pr_str_equal(pr_cstr(e->seeds[i]->address), address)) return e->seeds[i];
    return NULL;
}

static int add(pr_engine *e, presence_str address, pr_seed *name) {
    if (e->seeds_size >= PR_SEEDS_MAX) return PRESENCE_ELIMIT;
    int rc = pr_seed_new(e, address, name);
    if (!rc) pr_dial_seed(e, e->seeds[e->seeds_size - 1], 0);
    return rc;
}

int pr_engine_seed_add(pr_engine *e, presence_str address, pr_time now) {
    pr_engine_note_local(e, now);
    if (e->left || e->yielded) return PRESENCE_ECLOSED;
    int rc = find(e, address, NULL) ? 0 : add(e, address, NULL);
    pr_engine_settle_event(e);
    return rc;
}

bool pr_engine_seed_remove(pr_engine *e, presence_str address, pr_time now) {
    pr_engine_note_local(e, now);
    pr_seed *seed = find(e, address, NULL);
    for (size_t i = e->seeds_size; seed && i--;)
        if (e->seeds[i] == seed || e->seeds[i]->name == seed) drop_at(e, i);
    pr_engine_settle_event(e);
    return seed != NULL;
}

static void take_addresses(pr_engine *e, pr_seed *name, const presence_str *addresses, size_t size) {
    for (size_t i = 0; i < e->seeds_size; i++)
        if (e->seeds[i]->name == name) e->seeds[i]->found = false;
    for (size_t i = 0; i < size && i < ADDRESSES_MAX; i++) {
        pr_seed *seed = find(e, addresses[i], name);
        if (seed)
            seed->found = true;
        else if (add(e, addresses[i], name) == PRESENCE_ENOMEM)
            e->memory_failed = true;
    }
    for (size_t i = e->seeds_size; i--;)
        if (e->seeds[i]->name == name && !e->seeds[i]->found) drop_at(e, i);
}

void pr_engine_resolved(pr_engine *e, uint64_t id, const presence_str *addresses, size_t size, pr_time now) {
    pr_engine_note_time(e, now);
    pr_dial *dial = pr_map_find(&e->dials, id);
    if (dial && dial->seed && dial->seed->resolves && !e->left) {
        pr_seed *name = dial->seed;
        pr_map_take(&e->dials, id);
        dial->id = 0;
        dial->failures = 0;
        name->tried = true;
        e->synced_check = true;
        take_addresses(e, name, addresses, size);
        pr_dial_seed(e, name, e->options.resolve_ms);
    }
    pr_engine_settle_event(e);
}

/* Owners of local entries: ids, the chain of entries of each, the table (owner, topic, key), and leases.
 *
 * Most keys have one entry, and the table of keys leads to it. Only entries of shared keys are in the table of owned
 * ones, so that one of many under one key is found at once too. An entry whose key is no longer shared may stay there.
 */
#include "records.h"

/* An id is generation and index of its record: a record counts its owners, so an id is never given out twice and a
 * stale one is known as such. 24 bits of index keep ids below 2^53 for 2^29 owners of one record. */
#define INDEX_BITS 24
#define INDEX_MASK ((1u << INDEX_BITS) - 1)

static pr_owned *owned_at(const pr_store *s, uint32_t index) { return pr_slab_at(&s->owners, index); }

static uint32_t index_of(presence_owner owner) { return (uint32_t)(owner & INDEX_MASK); }

static presence_owner id_of(const pr_store *s, uint32_t index) {
    return owned_at(s, index)->generation << INDEX_BITS | index;
}

int pr_store_owner_check(const pr_store *s, presence_owner owner) {
    uint32_t index = index_of(owner);
    uint64_t generation = owner >> INDEX_BITS;
    if (!index || !generation || index >= s->owners.used) return PRESENCE_EOWNER;
    const pr_owned *o = owned_at(s, index);
    if (generation > o->generation) return PRESENCE_EOWNER;
    return generation == o->generation && o->open ? 0 : PRESENCE_EOWNERCLOSED;
}

static pr_owned *open_owner(const pr_store *s, presence_owner owner) {
    return pr_store_owner_check(s, owner) ? NULL : owned_at(s, index_of(owner));
}

/* ---- leases: a binary heap by deadline ---- */

static uint64_t deadline_at(const pr_store *s, size_t pos) { return owned_at(s, s->leases[pos])->deadline; }

static void place(pr_store *s, size_t pos, uint32_t index) {
    s->leases[pos] = index;
    owned_at(s, index)->lease_pos = (uint32_t)pos + 1;
}

static void sift(pr_store *s, size_t pos) {
    uint32_t index = s->leases[pos];
    uint64_t deadline = owned_at(s, index)->deadline;
    while (pos && deadline < deadline_at(s, (pos - 1) / 2)) {
        place(s, pos, s->leases[(pos - 1) / 2]);
        pos = (pos - 1) / 2;
    }
    for (size_t child; (child = 2 * pos + 1) < s->leases_size; pos = child) {
        if (child + 1 < s->leases_size && deadline_at(s, child + 1) < deadline_at(s, child)) child++;
        if (deadline <= deadline_at(s, child)) break;
        place(s, pos, s->leases[child]);
    }
    place(s, pos, index);
}

static bool reserve_lease(pr_store *s) {
    if (s->leases_size < s->leases_room) return true;
    size_t room = s->leases_room ? s->leases_room * 2 : 16;
    uint32_t *leases = pr_resize(&s->memory, s->leases, s->leases_room * sizeof *leases, room * sizeof *leases);
    if (!leases) return false;
    s->leases = leases;
    s->leases_room = room;
    return true;
}

static void end_lease(pr_store *s, pr_owned *o) {
    if (!o->lease_pos) return;
    size_t pos = o->lease_pos - 1;
    o->lease_pos = 0;
    o->deadline = 0;
    if (pos == --s->leases_size) return;
    place(s, pos, s->leases[s->leases_size]);
    sift(s, pos);
}

static int set_lease(pr_store *s, uint32_t index, uint64_t deadline) {
    pr_owned *o = owned_at(s, index);
    if (!deadline) {
        end_lease(s, o);
        return 0;
    }
    if (!o->lease_pos) {
        if (!reserve_lease(s)) return PRESENCE_ENOMEM;
        o->deadline = deadline;
        place(s, s->leases_size++, index);
    }
    o->deadline = deadline;
    sift(s, o->lease_pos - 1);
    return 0;
}

int pr_store_owner_lease(pr_store *s, presence_owner owner, uint64_t deadline_ms) {
    int error = pr_store_owner_check(s, owner);
    return error ? error : set_lease(s, index_of(owner), deadline_ms);
}

presence_owner pr_store_owner_first_lease(const pr_store *s, uint64_t *deadline_ms) {
    *deadline_ms = s->leases_size ? deadline_at(s, 0) : 0;
    return s->leases_size ? id_of(s, s->leases[0]) : 0;
}

/* ---- life ---- */

int pr_store_owner_open(pr_store *s, uint64_t deadline_ms, presence_owner *out) {
    *out = 0;
    if (s->owners.count == INDEX_MASK) return PRESENCE_ELIMIT;
    if (deadline_ms && !reserve_lease(s)) return PRESENCE_ENOMEM;
    uint32_t index = pr_slab_take(&s->owners);
    if (!index) return PRESENCE_ENOMEM;
    pr_owned *o = owned_at(s, index);
    *o = (pr_owned){.generation = o->generation + 1, .open = true};
    set_lease(s, index, deadline_ms);
    *out = id_of(s, index);
    return 0;
}

void pr_store_owner_close(pr_store *s, presence_owner owner) {
    pr_owned *o = open_owner(s, owner);
    if (!o || o->first) return;
    end_lease(s, o);
    o->open = false;
    pr_slab_return(&s->owners, index_of(owner));
}

/* ---- entries ---- */

static pr_local *local_at(const pr_store *s, uint32_t index) { return pr_slab_at(&s->locals, index); }

static pr_local *local_of(const pr_store *s, pr_id id) { return local_at(s, pr_entry_at(s, id)->local); }

static uint32_t owned_hash(presence_owner owner, uint32_t key_hash) {
    return (uint32_t)pr_fmix64(owner ^ (uint64_t)key_hash << 32);
}

uint32_t pr_owned_hash_of(const void *store, uint32_t entry) {
    return owned_hash(local_of(store, entry)->owner, pr_entry_at(store, entry)->hash);
}

bool pr_owned_reserve(pr_store *s, pr_id head) { return !head || pr_table_reserve(&s->owned_table, 2); }

void pr_owned_share(pr_store *s, pr_id id) {
    pr_entry *e = pr_entry_at(s, id);
    if (!e->local || e->flags & PR_OWNED) return;
    e->flags |= PR_OWNED;
    pr_table_add(&s->owned_table, pr_owned_hash_of(s, id), id);
}

void pr_owner_add(pr_store *s, pr_id id, uint32_t local, presence_owner owner) {
    pr_owned *o = owned_at(s, index_of(owner));
    pr_entry_at(s, id)->local = local;
    *local_at(s, local) = (pr_local){.owner = owner, .owner_prev = o->last};
    if (o->last)
        local_of(s, o->last)->owner_next = id;
    else
        o->first = id;
    o->last = id;
}

void pr_owner_take_out(pr_store *s, pr_id id) {
    pr_local l = *local_of(s, id);
    pr_owned *o = owned_at(s, index_of(l.owner));
    if (pr_entry_at(s, id)->flags & PR_OWNED)
        pr_table_erase(&s->owned_table, pr_table_slot_of(&s->owned_table, pr_owned_hash_of(s, id), id));
    if (l.owner_prev)
        local_of(s, l.owner_prev)->owner_next = l.owner_next;
    else
        o->first = l.owner_next;
    if (l.owner_next)
        local_of(s, l.owner_next)->owner_prev = l.owner_prev;
    else
        o->last = l.owner_prev;
    pr_slab_return(&s->locals, pr_entry_at(s, id)->local);
    pr_entry_at(s, id)->local = 0;
}

/* Of entries with this (topic, key). */
static pr_id find_shared(const pr_store *s, presence_owner owner, const pr_entry *alike, presence_str key) {
    uint32_t hash = owned_hash(owner, alike->hash);
    for (pr_probe p = pr_probe_start(&s->owned_table, hash); pr_probe_next(&s->owned_table, &p);) {
        const pr_entry *e = pr_entry_at(s, p.value);
        if (e->hash == alike->hash && e->topic == alike->topic && pr_entry_owner(s, e) == owner &&
            pr_str_equal(pr_entry_key(s, e), key))
            return p.value;
    }
    return 0;
}

pr_id pr_store_find_owned(const pr_store *s, presence_owner owner, presence_str topic, presence_str key) {
    pr_id topic_id = pr_topic_find(s, topic);
    pr_id head = topic_id && owner ? pr_key_head(s, topic_id, pr_key_hash(topic_id, key), key) : 0;
    if (!head) return 0;
    const pr_entry *e = pr_entry_at(s, head);
    if (e->flags & PR_CHAINED) return find_shared(s, owner, e, key);
    return pr_entry_owner(s, e) == owner ? head : 0;
}

pr_id pr_store_first_owned(const pr_store *s, presence_owner owner) {
    const pr_owned *o = open_owner(s, owner);
    return o ? o->first : 0;
}

pr_id pr_store_next_owned(const pr_store *s, pr_id id) {
    return pr_entry_at(s, id)->local ? local_of(s, id)->owner_next : 0;
}

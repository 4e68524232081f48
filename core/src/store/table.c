/* The table of 32-bit values: growing, adding, erasing. A group with an empty slot ends every probe, so a slot of such
 * a group becomes empty again when erased; other slots become deleted until the next rehash. */
#include "table.h"

void pr_table_init(pr_table *t, const pr_alloc *alloc, pr_table_hash hash, const void *context) {
    memset(t, 0, sizeof *t);
    t->alloc = alloc;
    t->hash = hash;
    t->context = context;
}

void pr_table_free(pr_table *t) {
    pr_delete(t->alloc, t->values, t->room * 5);
    pr_table_init(t, t->alloc, t->hash, t->context);
}

static size_t first_free(const pr_table *t, uint32_t hash) {
    size_t group = hash & (t->room / 8 - 1);
    for (size_t step = 1;; step++) {
        uint64_t free_slots = pr_table_word(t, group) & PR_TABLE_TOPS;
        if (free_slots) return group * 8 + (size_t)(__builtin_ctzll(free_slots) >> 3);
        group = (group + step) & (t->room / 8 - 1);
    }
}

static void put(pr_table *t, size_t slot, uint32_t hash, uint32_t value) {
    if (t->control[slot] == PR_TABLE_EMPTY) t->left--;
    t->control[slot] = (uint8_t)(hash >> 25);
    t->values[slot] = value;
    t->size++;
}

static bool rehash(pr_table *t, size_t room) {
    pr_table next = *t;
    next.values = pr_resize(t->alloc, NULL, 0, room * 5);
    if (!next.values) return false;
    next.control = (uint8_t *)(next.values + room);
    memset(next.control, PR_TABLE_EMPTY, room);
    next.room = room;
    next.size = 0;
    next.left = room / 8 * 7;
    for (size_t slot = 0; slot < t->room; slot++) {
        if (t->control[slot] & 0x80) continue;
        uint32_t hash = t->hash(t->context, t->values[slot]);
        put(&next, first_free(&next, hash), hash, t->values[slot]);
    }
    pr_delete(t->alloc, t->values, t->room * 5);
    *t = next;
    return true;
}

bool pr_table_reserve(pr_table *t, size_t more) {
    if (more <= t->left) return true;
    size_t need = t->size + more, room = 8;
    if (need > SIZE_MAX / 64) return false;
    while (room / 8 * 7 < need) room *= 2;
    /* nearly full of values as well as of deleted slots: the same size again would soon be full again */
    if (room == t->room && need > room / 4 * 3) room *= 2;
    return rehash(t, room);
}

void pr_table_add(pr_table *t, uint32_t hash, uint32_t value) { put(t, first_free(t, hash), hash, value); }

void pr_table_erase(pr_table *t, size_t slot) {
    bool ends_probes = pr_table_empties(pr_table_word(t, slot / 8)) != 0;
    t->control[slot] = ends_probes ? PR_TABLE_EMPTY : PR_TABLE_DELETED;
    t->left += ends_probes;
    t->size--;
}

size_t pr_table_slot_of(const pr_table *t, uint32_t hash, uint32_t value) {
    pr_probe p = pr_probe_start(t, hash);
    while (pr_probe_next(t, &p))
        if (p.value == value) break;
    return p.slot;
}

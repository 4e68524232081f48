/* The table of 32-bit values: growing, adding, erasing. A group with an empty slot ends every probe, so a slot of such
 * a group becomes empty again when erased; other slots become deleted until the table grows or is made anew. Slots that
 * values have moved out of become deleted, as probes for those that still wait go on over them. */
#include "table.h"

void pr_table_init(pr_table *t, const pr_alloc *alloc, pr_table_hash hash, const void *context) {
    memset(t, 0, sizeof *t);
    t->alloc = alloc;
    t->hash = hash;
    t->context = context;
}

static void free_slots(const pr_table *t, pr_slots *slots) {
    pr_delete(t->alloc, slots->values, slots->room * 5);
    *slots = (pr_slots){0};
}

void pr_table_free(pr_table *t) {
    free_slots(t, &t->slots);
    free_slots(t, &t->old);
    pr_table_init(t, t->alloc, t->hash, t->context);
}

static size_t first_free(const pr_slots *slots, uint32_t hash) {
    size_t group = hash & (slots->room / 8 - 1);
    for (size_t step = 1;; step++) {
        uint64_t free_slots = pr_table_word(slots, group) & PR_TABLE_TOPS;
        if (free_slots) return group * 8 + (size_t)(__builtin_ctzll(free_slots) >> 3);
        group = (group + step) & (slots->room / 8 - 1);
    }
}

static void put(pr_table *t, uint32_t hash, uint32_t value) {
    size_t slot = first_free(&t->slots, hash);
    if (t->slots.control[slot] == PR_TABLE_EMPTY) t->left--;
    t->slots.control[slot] = (uint8_t)(hash >> 25);
    t->slots.values[slot] = value;
}

static void move_group(pr_table *t, size_t group) {
    for (size_t slot = group * 8; slot < group * 8 + 8; slot++) {
        if (t->old.control[slot] & 0x80) continue;
        t->old.control[slot] = PR_TABLE_DELETED;
        put(t, t->hash(t->context, t->old.values[slot]), t->old.values[slot]);
        t->waiting--;
    }
}

static void move(pr_table *t, size_t groups) {
    size_t end = t->old.room / 8;
    while (groups-- && t->moved < end) move_group(t, t->moved++);
    if (t->moved == end) free_slots(t, &t->old);
}

/* 2: when as many are added as need the table made anew in its size, all have moved before they need it again. */
#define MOVE_GROUPS  2
#define MOVE_AT_ONCE 128 /* groups: a small table is not worth the time that looking twice takes */

/* From here on values go into slots of their own; nothing is in `old` before. */
static bool renew(pr_table *t, size_t room) {
    pr_slots next = {.values = pr_resize(t->alloc, NULL, 0, room * 5), .room = room};
    if (!next.values) return false;
    next.control = (uint8_t *)(next.values + room);
    memset(next.control, PR_TABLE_EMPTY, room);
    t->old = t->slots;
    t->slots = next;
    t->left = room / 8 * 7;
    t->waiting = t->size;
    t->moved = 0;
    move(t, t->old.room / 8 <= MOVE_AT_ONCE ? MOVE_AT_ONCE : 0);
    return true;
}

bool pr_table_reserve(pr_table *t, size_t more) {
    if (t->old.room) move(t, MOVE_GROUPS);
    if (t->waiting <= t->left && more <= t->left - t->waiting) return true;
    if (t->old.room) move(t, SIZE_MAX);
    if (more <= t->left) return true;
    size_t need = t->size + more, room = 8;
    if (need > SIZE_MAX / 64) return false;
    while (room / 8 * 7 < need) room *= 2;
    /* nearly full of values as well as of deleted slots: the same size again would soon be full again */
    if (room == t->slots.room && need > room / 4 * 3) room *= 2;
    return renew(t, room);
}

void pr_table_add(pr_table *t, uint32_t hash, uint32_t value) {
    put(t, hash, value);
    t->size++;
}

static void erase_old(pr_table *t, size_t slot) {
    t->old.control[slot] = PR_TABLE_DELETED;
    t->waiting--;
}

void pr_table_erase(pr_table *t, size_t slot) {
    t->size--;
    if (slot >= t->slots.room) {
        erase_old(t, slot - t->slots.room);
        return;
    }
    bool ends_probes = pr_table_empties(pr_table_word(&t->slots, slot / 8)) != 0;
    t->slots.control[slot] = ends_probes ? PR_TABLE_EMPTY : PR_TABLE_DELETED;
    t->left += ends_probes;
}

void pr_table_replace(pr_table *t, size_t slot, uint32_t value) {
    if (slot < t->slots.room)
        t->slots.values[slot] = value;
    else
        t->old.values[slot - t->slots.room] = value;
}

size_t pr_table_slot_of(const pr_table *t, uint32_t hash, uint32_t value) {
    pr_probe p = pr_probe_start(t, hash);
    while (pr_probe_next(t, &p))
        if (p.value == value) break;
    return p.slot;
}

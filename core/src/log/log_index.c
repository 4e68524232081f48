/* Births and moves: an ordered index in blocks, with holes, splits and merges (protocol.md 4.1). */
#include "log_index.h"
#include <presence.h>
#include <string.h>

#define ROOM_MIN 32u
#define FULL_ENOUGH                                                                                                    \
    (PR_BLOCK_MAX / 4 * 3) /* a merged or compacted block keeps room, so that it does not split at once */

static uint32_t *offsets(const pr_block *b) { return b->slots; }
static uint32_t *entries(const pr_block *b) { return b->slots + b->room; }
static uint32_t *marks(const pr_block *b) { return b->slots + 2 * (size_t)b->room; }
static size_t slots_bytes(uint32_t room) { return (2 * (size_t)room + room / 32) * sizeof(uint32_t); }

static bool marked(const pr_block *b, uint32_t slot) { return marks(b)[slot / 32] >> (slot % 32) & 1; }

static void set_mark(pr_block *b, uint32_t slot, bool on) {
    uint32_t bit = 1u << (slot % 32);
    if (on)
        marks(b)[slot / 32] |= bit;
    else
        marks(b)[slot / 32] &= ~bit;
}

static void put(pr_block *b, uint32_t slot, uint32_t offset, pr_id entry, bool mark) {
    offsets(b)[slot] = offset;
    entries(b)[slot] = entry;
    set_mark(b, slot, mark);
}

static void copy_slot(pr_block *to, uint32_t slot, const pr_block *from, uint32_t from_slot, uint32_t shift) {
    put(to, slot, offsets(from)[from_slot] + shift, entries(from)[from_slot], marked(from, from_slot));
}

void pr_index_init(pr_index *x, const pr_alloc *alloc) {
    memset(x, 0, sizeof *x);
    x->alloc = alloc;
}

void pr_index_free(pr_index *x) {
    for (uint32_t i = 0; i < x->size; i++) pr_delete(x->alloc, x->blocks[i].slots, slots_bytes(x->blocks[i].room));
    pr_delete(x->alloc, x->blocks, x->room * sizeof *x->blocks);
    pr_index_init(x, x->alloc);
}

/* ---- finding ---- */

/* Number of blocks whose base is <= key. */
static uint32_t blocks_upto(const pr_index *x, uint64_t key) {
    uint32_t low = 0, high = x->size;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (x->blocks[middle].base <= key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* First slot whose key is >= key; size if there is none. base <= key. */
static uint32_t slot_from(const pr_block *b, uint64_t key) {
    if (key - b->base > UINT32_MAX) return b->size;
    uint32_t offset = (uint32_t)(key - b->base), low = 0, high = b->size;
    const uint32_t *off = offsets(b);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (off[middle] < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool holds(const pr_block *b, uint32_t slot, uint64_t key) {
    return slot < b->size && b->base + offsets(b)[slot] == key;
}

static bool find(const pr_index *x, uint64_t key, uint32_t *block, uint32_t *slot) {
    uint32_t n = blocks_upto(x, key);
    if (n == 0) return false;
    *block = n - 1;
    *slot = slot_from(&x->blocks[n - 1], key);
    return holds(&x->blocks[n - 1], *slot, key) && entries(&x->blocks[n - 1])[*slot] != 0;
}

pr_id pr_index_find(const pr_index *x, uint64_t key) {
    uint32_t block, slot;
    return find(x, key, &block, &slot) ? entries(&x->blocks[block])[slot] : 0;
}

void pr_index_mark(pr_index *x, uint64_t key) {
    uint32_t block, slot;
    if (find(x, key, &block, &slot)) set_mark(&x->blocks[block], slot, true);
}

/* ---- blocks ---- */

static int resize_block(const pr_index *x, pr_block *b, uint32_t room) {
    pr_block wider = *b;
    wider.room = room;
    wider.slots = pr_new(x->alloc, slots_bytes(room));
    if (wider.slots == NULL) return PRESENCE_ENOMEM;
    memcpy(offsets(&wider), offsets(b), b->size * sizeof(uint32_t));
    memcpy(entries(&wider), entries(b), b->size * sizeof(uint32_t));
    memcpy(marks(&wider), marks(b), b->room / 32 * sizeof(uint32_t));
    pr_delete(x->alloc, b->slots, slots_bytes(b->room));
    *b = wider;
    return 0;
}

/* A new empty block at `at`; it must get an entry at once. */
static int open_block(pr_index *x, uint32_t at, uint64_t base, uint32_t room) {
    if (x->size == x->room) {
        uint32_t more = x->room ? x->room * 2 : 4;
        pr_block *blocks = pr_resize(x->alloc, x->blocks, x->room * sizeof *blocks, more * sizeof *blocks);
        if (blocks == NULL) return PRESENCE_ENOMEM;
        x->blocks = blocks;
        x->room = more;
    }
    pr_block b = {.base = base, .room = room, .slots = pr_new(x->alloc, slots_bytes(room))};
    if (b.slots == NULL) return PRESENCE_ENOMEM;
    memmove(x->blocks + at + 1, x->blocks + at, (x->size - at) * sizeof b);
    x->blocks[at] = b;
    x->size++;
    return 0;
}

static void close_block(pr_index *x, uint32_t at) {
    pr_delete(x->alloc, x->blocks[at].slots, slots_bytes(x->blocks[at].room));
    x->size--;
    memmove(x->blocks + at, x->blocks + at + 1, (x->size - at) * sizeof *x->blocks);
}

/* Takes the holes out. */
static void compact(pr_block *b) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->size; i++)
        if (entries(b)[i] != 0) copy_slot(b, n++, b, i, 0);
    b->size = n;
}

/* ---- inserting ---- */

static void fill(pr_index *x, pr_block *b, uint32_t slot, uint64_t key, pr_id entry) {
    put(b, slot, (uint32_t)(key - b->base), entry, false);
    b->live++;
    x->live++;
}

/* Makes an unused slot at `slot`; there is room. */
static void shift_up(pr_block *b, uint32_t slot) {
    for (uint32_t i = b->size; i > slot; i--) copy_slot(b, i, b, i - 1, 0);
    b->size++;
}

/* The upper half of a full block moves to a new one behind it. */
static int split(pr_index *x, uint32_t at) {
    pr_block *b = &x->blocks[at];
    uint32_t half = b->size / 2;
    int error = open_block(x, at + 1, b->base + offsets(b)[half], PR_BLOCK_MAX);
    if (error) return error;
    b = &x->blocks[at];
    pr_block *upper = &x->blocks[at + 1];
    uint32_t shift = (uint32_t)(b->base - upper->base); /* wraps: offsets shrink */
    for (uint32_t i = half; i < b->size; i++) copy_slot(upper, upper->size++, b, i, shift);
    b->size = b->live = half;
    upper->live = upper->size;
    return 0;
}

/* A key below the first block goes into it if the offsets still fit. */
static bool lower_base(pr_block *b, uint64_t base) {
    uint64_t shift = b->base - base;
    if (shift > UINT32_MAX || offsets(b)[b->size - 1] > UINT32_MAX - (uint32_t)shift) return false;
    for (uint32_t i = 0; i < b->size; i++) offsets(b)[i] += (uint32_t)shift;
    b->base = base;
    return true;
}

static int insert_alone(pr_index *x, uint32_t at, uint64_t key, pr_id entry, uint32_t room) {
    int error = open_block(x, at, key, room);
    if (error) return error;
    x->blocks[at].size = 1;
    fill(x, &x->blocks[at], 0, key, entry);
    return 0;
}

/* Into block `at` whose base is <= key and reaches it. *again: the block was changed to make room, look anew. */
static int insert_into(pr_index *x, uint32_t at, uint64_t key, pr_id entry, bool *again) {
    pr_block *b = &x->blocks[at];
    uint32_t slot = slot_from(b, key);
    if (holds(b, slot, key) && entries(b)[slot] != 0) return PRESENCE_EINVAL;
    if (slot < b->size && entries(b)[slot] == 0) return fill(x, b, slot, key, entry), 0;
    if (slot > 0 && entries(b)[slot - 1] == 0) return fill(x, b, slot - 1, key, entry), 0;
    if (b->size < b->room) {
        shift_up(b, slot);
        return fill(x, b, slot, key, entry), 0;
    }
    if (b->room == PR_BLOCK_MAX && b->live > FULL_ENOUGH && slot == b->size)
        return insert_alone(x, at + 1, key, entry, PR_BLOCK_MAX);
    *again = true;
    if (b->live <= b->room / 4 * 3) return compact(b), 0;
    if (b->room < PR_BLOCK_MAX) return resize_block(x, b, b->room * 2);
    compact(b);
    return b->size < b->room ? 0 : split(x, at);
}

int pr_index_insert(pr_index *x, uint64_t key, pr_id entry) {
    for (;;) {
        uint32_t n = blocks_upto(x, key);
        if (n == 0) {
            if (x->size == 0 || !lower_base(&x->blocks[0], key)) return insert_alone(x, 0, key, entry, ROOM_MIN);
            n = 1;
        }
        if (key - x->blocks[n - 1].base > UINT32_MAX) return insert_alone(x, n, key, entry, ROOM_MIN);
        bool again = false;
        int error = insert_into(x, n - 1, key, entry, &again);
        if (error || !again) return error;
    }
}

/* ---- removing ---- */

/* Block at + 1 goes into block `at`, if it fits and without need; no memory is no reason to fail. */
static bool merge(pr_index *x, uint32_t at) {
    pr_block *a = &x->blocks[at], *b = &x->blocks[at + 1];
    uint32_t live = a->live + b->live;
    if (live > FULL_ENOUGH) return false;
    if (b->base + offsets(b)[b->size - 1] - a->base > UINT32_MAX) return false;
    uint32_t room = a->room;
    while (room < live) room *= 2;
    if (room > a->room && resize_block(x, a, room) != 0) return false;
    compact(a);
    uint32_t shift = (uint32_t)(b->base - a->base);
    for (uint32_t i = 0; i < b->size; i++)
        if (entries(b)[i] != 0) copy_slot(a, a->size++, b, i, shift);
    a->live = live;
    close_block(x, at + 1);
    return true;
}

void pr_index_remove(pr_index *x, uint64_t key) {
    uint32_t at, slot;
    if (!find(x, key, &at, &slot)) return;
    pr_block *b = &x->blocks[at];
    entries(b)[slot] = 0;
    set_mark(b, slot, false);
    b->live--;
    x->live--;
    while (b->size > 0 && entries(b)[b->size - 1] == 0) b->size--;
    if (b->live == 0) {
        close_block(x, at);
    } else if (b->live < PR_BLOCK_MAX / 4) {
        if (at > 0 && merge(x, at - 1)) return;
        if (at + 1 < x->size) merge(x, at);
    }
}

/* ---- walking ---- */

static void settle(pr_index_walk *w) {
    const pr_index *x = w->index;
    for (; w->block < x->size; w->block++, w->slot = 0) {
        const pr_block *b = &x->blocks[w->block];
        for (; w->slot < b->size; w->slot++) {
            w->entry = entries(b)[w->slot];
            if (w->entry == 0) continue;
            w->key = b->base + offsets(b)[w->slot];
            w->marked = marked(b, w->slot);
            return;
        }
    }
    w->entry = 0;
    w->key = UINT64_MAX;
}

pr_index_walk pr_index_after(const pr_index *x, uint64_t key) {
    pr_index_walk w = {.index = x};
    uint32_t n = blocks_upto(x, key);
    if (n > 0) {
        w.block = n - 1;
        w.slot = slot_from(&x->blocks[n - 1], key);
        if (holds(&x->blocks[n - 1], w.slot, key)) w.slot++;
    }
    settle(&w);
    return w;
}

void pr_index_next(pr_index_walk *w) {
    w->slot++;
    settle(w);
}

static void choose(pr_dot_walk *w) {
    while (w->births.entry != 0 && w->births.marked) pr_index_next(&w->births);
    w->moved = w->moves.entry != 0 && (w->births.entry == 0 || w->moves.key < w->births.key);
    const pr_index_walk *first = w->moved ? &w->moves : &w->births;
    w->dot = first->key;
    w->entry = first->entry;
}

pr_dot_walk pr_dots_after(const pr_index *births, const pr_index *moves, uint64_t dot) {
    pr_dot_walk w = {.births = pr_index_after(births, dot), .moves = pr_index_after(moves, dot)};
    choose(&w);
    return w;
}

void pr_dots_next(pr_dot_walk *w) {
    pr_index_next(w->moved ? &w->moves : &w->births);
    choose(w);
}

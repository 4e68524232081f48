/* An open-addressing table of 32-bit values: 1 control byte and 4 bytes per slot, groups of 8, load up to 7/8
 * (protocol.md 4.1). The table knows hashes only; whoever looks up compares the values it meets.
 *
 * A table that grows moves its values a few at a time, with every reservation, so that no call takes long: until all
 * have moved there are two sets of slots, and look-ups go through both. A slot of the old set is told by the number of
 * slots of the new one added to it. */
#ifndef PR_TABLE_H
#define PR_TABLE_H

#include "alloc.h"
#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef uint32_t (*pr_table_hash)(const void *context, uint32_t value);

typedef struct pr_slots {
    uint32_t *values;
    uint8_t *control; /* behind the values: empty, deleted, or 7 bits of the hash */
    size_t room;      /* slots: 0 or a power of two, at least 8 */
} pr_slots;

typedef struct pr_table {
    const pr_alloc *alloc;
    pr_table_hash hash;
    const void *context;
    pr_slots slots, old; /* old: room 0 unless values are still to move */
    size_t size;
    size_t left;    /* empty slots of `slots` that may still be filled */
    size_t waiting; /* values in `old` */
    size_t moved;   /* groups of `old` that have none any more */
} pr_table;

void pr_table_init(pr_table *, const pr_alloc *, pr_table_hash, const void *context);
void pr_table_free(pr_table *);
bool pr_table_reserve(pr_table *, size_t more);               /* false: no memory, nothing changed */
void pr_table_add(pr_table *, uint32_t hash, uint32_t value); /* after reserve; the value is not in the table */
void pr_table_erase(pr_table *, size_t slot);
void pr_table_replace(pr_table *, size_t slot, uint32_t value); /* by one of the same hash */
/* The slot that holds exactly this value, which must be there. */
size_t pr_table_slot_of(const pr_table *, uint32_t hash, uint32_t value);

#define PR_TABLE_EMPTY   0x80
#define PR_TABLE_DELETED 0xFE
#define PR_TABLE_EACH    0x0101010101010101ull
#define PR_TABLE_TOPS    0x8080808080808080ull

/* Walks the values whose hash may be the given one: for (p = start; next(&p);) look at p.value. */
typedef struct pr_probe {
    const pr_slots *slots;
    size_t group, step, slot;
    uint64_t word, matches, pattern;
    uint32_t hash, value;
} pr_probe;

static inline uint64_t pr_table_word(const pr_slots *slots, size_t group) {
    uint64_t word;
    memcpy(&word, slots->control + group * 8, sizeof word);
    return le64toh(word);
}

/* May also match tag ^ 1 above a true match: those are full slots, which the caller compares anyway. */
static inline uint64_t pr_table_match(uint64_t word, uint64_t pattern) {
    uint64_t x = word ^ pattern;
    return (x - PR_TABLE_EACH) & ~x & PR_TABLE_TOPS;
}

static inline uint64_t pr_table_empties(uint64_t word) { return word & ~(word << 6) & PR_TABLE_TOPS; }

static inline void pr_probe_look(pr_probe *p) {
    p->word = pr_table_word(p->slots, p->group);
    p->matches = pr_table_match(p->word, p->pattern);
}

static inline void pr_probe_enter(pr_probe *p, const pr_slots *slots) {
    p->slots = slots;
    p->step = 0;
    p->group = p->hash & (slots->room / 8 - 1);
    __builtin_prefetch(slots->values + p->group * 8); /* both misses at once: these, and the control bytes */
    pr_probe_look(p);
}

static inline pr_probe pr_probe_start(const pr_table *t, uint32_t hash) {
    pr_probe p = {.hash = hash, .pattern = PR_TABLE_EACH * (hash >> 25)};
    if (t->slots.room)
        pr_probe_enter(&p, &t->slots);
    else
        p.word = PR_TABLE_EACH * PR_TABLE_EMPTY;
    return p;
}

static inline bool pr_probe_next(const pr_table *t, pr_probe *p) {
    while (!p->matches) {
        if (!pr_table_empties(p->word)) {
            p->group = (p->group + ++p->step) & (p->slots->room / 8 - 1);
            pr_probe_look(p);
        } else if (t->old.room && p->slots != &t->old) {
            pr_probe_enter(p, &t->old);
        } else {
            return false;
        }
    }
    p->slot = p->group * 8 + (size_t)(__builtin_ctzll(p->matches) >> 3);
    p->matches &= p->matches - 1;
    p->value = p->slots->values[p->slot];
    if (p->slots == &t->old) p->slot += t->slots.room;
    return true;
}

#endif

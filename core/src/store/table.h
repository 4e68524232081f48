/* An open-addressing table of 32-bit values: 1 control byte and 4 bytes per slot, groups of 8, load up to 7/8
 * (protocol.md 4.1). The table knows hashes only; whoever looks up compares the values it meets. */
#ifndef PR_TABLE_H
#define PR_TABLE_H

#include "alloc.h"
#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef uint32_t (*pr_table_hash)(const void *context, uint32_t value);

typedef struct pr_table {
    const pr_alloc *alloc;
    pr_table_hash hash;
    const void *context;
    uint32_t *values;
    uint8_t *control; /* behind the values: empty, deleted, or 7 bits of the hash */
    size_t room;      /* slots: 0 or a power of two, at least 8 */
    size_t size;
    size_t left; /* empty slots that may still be filled */
} pr_table;

void pr_table_init(pr_table *, const pr_alloc *, pr_table_hash, const void *context);
void pr_table_free(pr_table *);
bool pr_table_reserve(pr_table *, size_t more);               /* false: no memory, nothing changed */
void pr_table_add(pr_table *, uint32_t hash, uint32_t value); /* after reserve; the value is not in the table */
void pr_table_erase(pr_table *, size_t slot);
/* The slot that holds exactly this value, which must be there. */
size_t pr_table_slot_of(const pr_table *, uint32_t hash, uint32_t value);

#define PR_TABLE_EMPTY   0x80
#define PR_TABLE_DELETED 0xFE
#define PR_TABLE_EACH    0x0101010101010101ull
#define PR_TABLE_TOPS    0x8080808080808080ull

/* Walks the values whose hash may be the given one: for (p = start; next(&p);) look at p.value. */
typedef struct pr_probe {
    size_t group, step, slot;
    uint64_t word, matches, pattern;
    uint32_t value;
} pr_probe;

static inline uint64_t pr_table_word(const pr_table *t, size_t group) {
    uint64_t word;
    memcpy(&word, t->control + group * 8, sizeof word);
    return le64toh(word);
}

/* May also match tag ^ 1 above a true match: those are full slots, which the caller compares anyway. */
static inline uint64_t pr_table_match(uint64_t word, uint64_t pattern) {
    uint64_t x = word ^ pattern;
    return (x - PR_TABLE_EACH) & ~x & PR_TABLE_TOPS;
}

static inline uint64_t pr_table_empties(uint64_t word) { return word & ~(word << 6) & PR_TABLE_TOPS; }

static inline pr_probe pr_probe_start(const pr_table *t, uint32_t hash) {
    pr_probe p = {0};
    p.pattern = PR_TABLE_EACH * (hash >> 25);
    if (!t->room) {
        p.word = PR_TABLE_EACH * PR_TABLE_EMPTY;
        return p;
    }
    p.group = hash & (t->room / 8 - 1);
    p.word = pr_table_word(t, p.group);
    p.matches = pr_table_match(p.word, p.pattern);
    return p;
}

static inline bool pr_probe_next(const pr_table *t, pr_probe *p) {
    while (!p->matches) {
        if (pr_table_empties(p->word)) return false;
        p->group = (p->group + ++p->step) & (t->room / 8 - 1);
        p->word = pr_table_word(t, p->group);
        p->matches = pr_table_match(p->word, p->pattern);
    }
    p->slot = p->group * 8 + (size_t)(__builtin_ctzll(p->matches) >> 3);
    p->matches &= p->matches - 1;
    p->value = t->values[p->slot];
    return true;
}

#endif

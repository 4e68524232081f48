/* An ordered index u64 -> entry in blocks of 512: births (eid -> entry) and moves (dot -> entry) of a log
 * (protocol.md 4.1).
 *
 * A block holds u32 offsets from its base, so 8 bytes and a bit per key. Removing leaves a hole (entry 0); a block
 * without entries is freed, a sparse one is merged with its neighbour. Keys that do not fit u32 begin a new block.
 */
#ifndef PR_LOG_INDEX_H
#define PR_LOG_INDEX_H

#include "store.h"

#define PR_BLOCK_MAX 512u

typedef struct pr_block {
    uint64_t base;
    uint32_t size, live, room; /* slots used, slots that are no hole, slots allocated (a multiple of 32) */
    uint32_t *slots;           /* room offsets, room entries, room mark bits */
} pr_block;

typedef struct pr_index {
    const pr_alloc *alloc;
    pr_block *blocks; /* ascending base; ranges do not overlap; none is empty */
    uint32_t size, room;
    size_t live;
} pr_index;

void pr_index_init(pr_index *, const pr_alloc *);
void pr_index_free(pr_index *);
/* PRESENCE_ENOMEM; PRESENCE_EINVAL: the key is held. */
int pr_index_insert(pr_index *, uint64_t key, pr_id entry);
pr_id pr_index_find(const pr_index *, uint64_t key); /* 0 = none */
void pr_index_remove(pr_index *, uint64_t key);      /* never fails; nothing happens if the key is not held */
/* A mark means, in births: the entity has been updated, its dot is in moves. */
void pr_index_mark(pr_index *, uint64_t key);

/* Ascending walk over what is held. The index must not change meanwhile. entry 0 = end. */
typedef struct pr_index_walk {
    const pr_index *index;
    uint32_t block, slot;
    uint64_t key;
    pr_id entry;
    bool marked;
} pr_index_walk;
pr_index_walk pr_index_after(const pr_index *, uint64_t key); /* at the first key greater than `key` */
void pr_index_next(pr_index_walk *);

/* Ascending walk over entities by dot: births without the mark, merged with moves. entry 0 = end. */
typedef struct pr_dot_walk {
    pr_index_walk births, moves;
    uint64_t dot;
    pr_id entry;
    bool moved; /* dot > eid */
} pr_dot_walk;
pr_dot_walk pr_dots_after(const pr_index *births, const pr_index *moves, uint64_t dot);
void pr_dots_next(pr_dot_walk *);

#endif

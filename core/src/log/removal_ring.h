/* The last removals of a log, each at an absolute position (protocol.md 3.2, 3.8.3, 4.1).
 *
 * What does not fit (no memory, version - eid over u32) is handled by forgetting everything up to it: serve() then
 * answers with LIVE.
 */
#ifndef PR_REMOVAL_RING_H
#define PR_REMOVAL_RING_H

#include "frame.h"

#define PR_RING_BLOCK 512u

typedef struct pr_ring_block {
    uint64_t base, start; /* version of the first removal; its position */
    uint32_t size;
    uint32_t version[PR_RING_BLOCK]; /* - base */
    uint32_t back[PR_RING_BLOCK];    /* version - eid */
    uint8_t reasons[PR_RING_BLOCK / 4];
} pr_ring_block;

typedef struct pr_ring {
    const pr_alloc *alloc;
    pr_ring_block **blocks;
    size_t first, size, room; /* blocks[first .. size) are in use */
    uint64_t begin, end;      /* positions held: [begin, end) */
    uint64_t floor;           /* at the origin: every removal with a version above is held */
} pr_ring;

void pr_ring_init(pr_ring *, const pr_alloc *);
void pr_ring_free(pr_ring *);
void pr_ring_push(pr_ring *, uint64_t version, uint64_t eid, uint8_t reason);
void pr_ring_trim(pr_ring *, size_t max); /* the oldest go */

/* entry by entry from a position on; false at the end */
typedef struct pr_ring_reader {
    const pr_ring *ring;
    size_t block;
    uint32_t slot;
    uint64_t position, version; /* of the removal last given */
} pr_ring_reader;
pr_ring_reader pr_ring_read(const pr_ring *, uint64_t position);              /* begin <= position <= end */
pr_ring_reader pr_ring_read_after_version(const pr_ring *, uint64_t version); /* at the origin: versions ascend */
bool pr_ring_next(pr_ring_reader *, pr_removed *out);

#endif

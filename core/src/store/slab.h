/* Records of one size under 32-bit indexes: they never move, index 0 is never given out, returned ones are reused. */
#ifndef PR_SLAB_H
#define PR_SLAB_H

#include "alloc.h"
#include <stdbool.h>
#include <stdint.h>

/* Segments are smaller than the 64 Ki records of protocol.md 4.1: a process may hold many small trackers. */
#define PR_SLAB_SHIFT   10
#define PR_SLAB_SEGMENT (1u << PR_SLAB_SHIFT)

typedef struct pr_slab {
    const pr_alloc *alloc;
    uint8_t **segments;
    uint32_t record; /* bytes, at least 4: a returned record begins with the index of the next one */
    uint32_t segment_count, segment_room;
    uint32_t used; /* indexes given out so far are below this */
    uint32_t returned;
    uint32_t count;
} pr_slab;

void pr_slab_init(pr_slab *, const pr_alloc *, uint32_t record);
void pr_slab_free(pr_slab *);
uint32_t pr_slab_take(pr_slab *); /* 0: no memory; zeroed at first use, afterwards as it was returned */
void pr_slab_return(pr_slab *, uint32_t index);

static inline void *pr_slab_at(const pr_slab *s, uint32_t index) {
    return s->segments[index >> PR_SLAB_SHIFT] + (size_t)(index & (PR_SLAB_SEGMENT - 1)) * s->record;
}

#endif

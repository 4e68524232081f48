/* Stops of a replica: versions at which it was complete, each with its position in the ring (protocol.md 3.8.3).
 * Forgetting one is always safe: a state that needs it is answered with LIVE. */
#ifndef PR_STOPS_H
#define PR_STOPS_H

#include "alloc.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct pr_stop {
    uint32_t version, position; /* relative to the bases */
} pr_stop;

typedef struct pr_stops {
    const pr_alloc *alloc;
    pr_stop *items; /* a circle */
    uint32_t first, size, room, max;
    uint64_t version_base, position_base;
} pr_stops;

void pr_stops_init(pr_stops *, const pr_alloc *, uint32_t max);
void pr_stops_free(pr_stops *);
void pr_stops_add(pr_stops *, uint64_t version, uint64_t position); /* nothing happens unless above all held */
void pr_stops_drop_below(pr_stops *, uint64_t position);
bool pr_stops_find(const pr_stops *, uint64_t version, uint64_t *position);
uint32_t pr_stops_above(const pr_stops *, uint64_t version); /* index of the first above; size: none */
void pr_stops_at(const pr_stops *, uint32_t index, uint64_t *version, uint64_t *position);

#endif

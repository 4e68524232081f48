/* Encoded bytes, never less than wire will need: what keeps frames within the chunk target (protocol.md 3.5, 5.2). */
#ifndef PR_FRAME_COST_H
#define PR_FRAME_COST_H

#include "log_state.h"

size_t pr_cost_varint(uint64_t);
/* gap << 2 | reason with the largest gap there can be: the list is cut in version order and sorted afterwards */
size_t pr_cost_removed(uint64_t eid);

/* Cost of entities of one frame in order; remembers which topics the frame has named. */
typedef struct pr_up_cost {
    pr_log *log;
    uint64_t previous; /* dot */
    uint32_t topics;   /* named so far */
} pr_up_cost;
int pr_up_cost_begin(pr_up_cost *, pr_log *, uint64_t x); /* 0 or PRESENCE_ENOMEM */
/* of one more entity; *bytes is set; PRESENCE_ENOMEM */
int pr_up_cost_add(pr_up_cost *, const pr_up *, size_t *bytes);

#endif

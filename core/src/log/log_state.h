/* What a log is made of; only for the files of this layer. */
#ifndef PR_LOG_STATE_H
#define PR_LOG_STATE_H

#include "log.h"
#include "log_index.h"
#include "mutant.h"
#include "removal_ring.h"
#include "stops.h"

/* Scratch that grows and stays. */
typedef struct pr_scratch {
    void *data;
    size_t bytes;
} pr_scratch;

/* Topics named so far in the frame that is being made: a set that is emptied by a new round. */
typedef struct pr_topic_seen {
    pr_id topic;
    uint32_t round;
} pr_topic_seen;

struct pr_log {
    pr_alloc memory;
    const pr_alloc *alloc; /* = &memory */
    pr_store *store;
    pr_log_options options;
    uint64_t inst;
    uint16_t index;
    bool own, keeps_removals;
    pr_state state; /* own: have == asof == floor == version */
    uint64_t sum;
    pr_index births, moves;
    pr_ring ring;
    pr_stops stops;

    pr_scratch removed, ups, eids; /* of the frame last served */
    pr_scratch topics;             /* pr_topic_seen, a power of two */
    uint32_t topics_round;
    pr_scratch held, sorted; /* of the frame being applied */
};

int pr_scratch_reserve(pr_log *, pr_scratch *, size_t bytes); /* keeps the content; 0 or PRESENCE_ENOMEM */

uint64_t pr_log_hash_view(const pr_view *);          /* the summand of an entity (P11) */
void pr_log_forget_entry(pr_log *, const pr_view *); /* out of births, moves and sum */
size_t pr_log_ring_max(const pr_log *);
void pr_log_removed_all(pr_log *); /* after the removals of a frame: a stop if complete, then what is too much goes */

int pr_changes_reserve(pr_changes *, size_t room);
/* LEAVE of a held entry; its text is counted */
int pr_changes_leave(pr_changes *, pr_log *, pr_id, uint8_t reason);
void pr_changes_sort_leaves(pr_changes *, size_t from);
/* The leaves from item `from` on happen: removal facts of `version`. Cannot fail. */
void pr_log_remove_leaves(pr_log *, const pr_changes *, size_t from, uint64_t version);

#endif

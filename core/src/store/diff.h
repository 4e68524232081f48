/* Visible state changes and the diffs of them (protocol.md 3.10).
 *
 * All changes of one event (one local call, one frame, one sweep slice) go between begin and finish; finish
 * gives one self-contained diff per touched and watched topic. Counters and flags change at once, also for
 * topics nobody watches. Key edges are computed over the net effect of the whole diff.
 */
#ifndef PR_DIFF_H
#define PR_DIFF_H

#include "store.h"

typedef struct pr_diff_item {
    presence_str key, meta, prev_meta, member; /* join, update: meta new; leave: meta last shown */
    uint64_t inst, eid, dot, prev_dot;         /* dot: of meta; prev_dot: update: last shown dot, else 0 */
    presence_owner owner;
    uint8_t kind, reason; /* enum presence_change_kind, enum presence_reason */
    bool first, last;
} pr_diff_item;

/* Immutable, one block of memory, strings point into it. */
typedef struct pr_diff {
    struct pr_diff *next;
    const pr_alloc *alloc;
    size_t bytes; /* of the block */
    uint64_t seq; /* one counter per store, raised once per diff (4.7) */
    presence_str topic;
    size_t size;
    pr_diff_item items[]; /* joins, then updates, then leaves, each in dot order */
} pr_diff;

/* Memory for the diff of up to `changes` changes holding `bytes` of text is reserved first, so that finish cannot
 * fail half way: ENOMEM here means nothing has been changed. */
int pr_diff_begin(pr_store *, size_t changes, size_t bytes);
/* The same memory, for a begin of the same numbers before any other diff: that one cannot fail. */
int pr_diff_reserve(pr_store *, size_t changes, size_t bytes);
void pr_diff_show(pr_store *, pr_id); /* join: flag set */
void pr_diff_update(pr_store *, pr_id, uint64_t old_dot,
                    presence_str old_meta);           /* a visible entry, after pr_store_set */
void pr_diff_hide(pr_store *, pr_id, uint8_t reason); /* leave: flag cleared; the entry may then be removed at once */
pr_diff *pr_diff_finish(pr_store *);                  /* a list, oldest first; NULL when nothing watched changed */
void pr_diff_free(pr_diff *);                         /* one; from any thread */
uint64_t pr_store_seq(const pr_store *);

#endif

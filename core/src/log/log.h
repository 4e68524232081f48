/* One log: the history of one member, as its writer keeps it or as a replica holds it (protocol.md 3.2 to 3.6, 4.1).
 *
 * serve() and apply() are the only ways state is sent or taken. Both are pure: no clock, no socket, no callback.
 * A log holds births (eid -> entry), moves (dot -> entry), a ring of removals and, at a replica, stops.
 */
#ifndef PR_LOG_H
#define PR_LOG_H

#include "frame.h"

typedef struct pr_log pr_log;

typedef struct pr_log_options {
    uint32_t ring_min;      /* own 65536, replica 4096: ring holds max(ring_min, live / ring_share) removals */
    uint32_t ring_share;    /* own 4, replica 16; 0: ring_min alone (tests: ring 0) */
    uint32_t stops_max;     /* 4096 */
    uint32_t chunk_target;  /* encoded bytes of removed and ups of one frame, 65536; tests: 1 */
    uint32_t live_eids_max; /* 0 = by chunk_target; tests: 1 */
} pr_log_options;
pr_log_options pr_log_options_default(bool own);

/* own: complete at version 0. replica: state 0 with `floor` (3.3). index: the u16 of its entries in the store. */
int pr_log_new(const pr_alloc *, pr_store *, const pr_log_options *, uint16_t index, uint64_t inst, bool own,
               uint64_t floor, pr_log **out);
void pr_log_free(pr_log *); /* the entries must be gone, or the store is freed next */

uint64_t pr_log_inst(const pr_log *);
uint16_t pr_log_index(const pr_log *);
uint64_t pr_log_version(const pr_log *); /* own: ver; replica: asof (0 while unknown) */
pr_state pr_log_state(const pr_log *);
bool pr_log_complete(const pr_log *);
bool pr_log_servable(const pr_log *);            /* may be served and advertised: complete copies only */
size_t pr_log_size(const pr_log *);              /* entities */
uint64_t pr_log_sum(const pr_log *);             /* P11, kept at O(1) per change */
pr_id pr_log_find(const pr_log *, uint64_t eid); /* 0 = none */

/* ---- the writer (own log). The caller has checked arguments and shows or hides the entry. ---- */
int pr_log_track(pr_log *, presence_owner, presence_str topic, presence_str key, presence_str meta, pr_id *out);
int pr_log_update(pr_log *, pr_id, presence_str meta, pr_meta_hold *old); /* the caller has compared texts */
int pr_log_untrack(pr_log *, pr_id, uint8_t removal_reason); /* the caller has hidden it; removes it from the store */

/* ---- serve (3.5) ---- */
typedef struct pr_cursor {
    pr_state state;
    uint64_t base;     /* patches may refer to eids <= base */
    uint64_t ring_pos; /* relayed log: ring position of asof (of live_from in a LIVE pass) */
    bool ring_pos_known;
} pr_cursor;
pr_cursor pr_cursor_from_state(const pr_state *); /* base = have if complete, else 0; position unknown */

enum pr_served { PR_SERVED_NONE = 0, PR_SERVED_SEGMENT = 1, PR_SERVED_LIVE = 2 /* negative: PRESENCE_ENOMEM */ };
typedef struct pr_served_frame {
    pr_segment segment; /* strings point into the store: encode before anything changes */
    pr_live live;
} pr_served_frame;
/* The next frame for a receiver at *cursor, which is moved on; with patches false base counts as 0. The arrays in *out
 * belong to the log and live until its next serve. Frame `log` fields are 0: the caller sets them. */
int pr_log_serve(pr_log *, pr_cursor *cursor, bool patches, pr_served_frame *out);
bool pr_log_can_serve(const pr_log *, const pr_state *); /* false: a REQ with it gets NAK */
bool pr_log_has_more(const pr_log *, const pr_state *);  /* false: the receiver is current */
/* First subscription or REQ for a remote log: ring and stops are allocated and begin here (3.8.3). */
int pr_log_keep_removals(pr_log *);

/* ---- apply (3.6): validated completely before anything is changed ---- */
enum pr_applied {
    PR_APPLIED = 0,
    PR_STALE = 1,
    PR_GAP = 2 /* PRESENCE_EPROTOCOL: an entity older than held; ENOMEM: nothing changed */
};
/* What a frame did, in the order it must be shown; memory for the diff of it is reserved (pr_diff_reserve). The entries
 * of LEAVE are out of the log but still in the store: the caller hides them if visible and calls pr_store_remove. `old`
 * of UPDATE is released by the caller. */
enum pr_change_kind { PR_CHANGE_JOIN = 1, PR_CHANGE_UPDATE = 2, PR_CHANGE_LEAVE = 3 };
typedef struct pr_change {
    pr_id entry;
    uint8_t kind, reason; /* reason: enum pr_removal_reason */
    uint64_t old_dot;
    pr_meta_hold old;
} pr_change;
typedef struct pr_changes {
    const pr_alloc *alloc;
    pr_change *items;
    size_t size, room;
    size_t bytes; /* of text, for pr_diff_begin */
} pr_changes;
void pr_changes_init(pr_changes *, const pr_alloc *);
void pr_changes_free(pr_changes *);
int pr_log_apply_segment(pr_log *, const pr_segment *, pr_changes *out);
int pr_log_apply_live(pr_log *, const pr_live *, pr_changes *out);

/* ---- walking (sweeps, 4.6): entries in dot order from after `dot` on ---- */
/* Fills ids with up to max entries whose dot > after, ascending; returns how many. */
size_t pr_log_walk(const pr_log *, uint64_t after, pr_id *ids, size_t max);
/* Detached log: takes the entry out of births and moves without a removal fact; the caller hides and removes it from
 * the store. */
void pr_log_drop(pr_log *, pr_id);

#endif

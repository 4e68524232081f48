/* What logs exchange, decoded (protocol.md 3.3, 3.4). wire turns these into bytes and back. */
#ifndef PR_FRAME_H
#define PR_FRAME_H

#include "store.h"

/* State of one log at a replica. live: asof is UNKNOWN and live_from, live_pos are read; else both are 0. */
typedef struct pr_state {
    uint64_t have, asof, floor, live_from, live_pos;
    bool live;
} pr_state;

static inline bool pr_state_complete(const pr_state *s) {
    return !s->live && s->have == s->asof && s->asof >= s->floor;
}

enum pr_removal_reason {
    PR_REMOVED_UNTRACK = 0,
    PR_REMOVED_OWNER_CLOSED = 1,
    PR_REMOVED_LEASE = 2,
    PR_REMOVED_UNKNOWN = 3
};

typedef struct pr_removed {
    uint64_t eid;
    uint8_t reason;
} pr_removed;

typedef struct pr_up {
    uint64_t eid, dot;
    presence_str topic, key, meta; /* patch: topic and key are empty */
    pr_id topic_id; /* sender: equal ids = equal topics, for the dictionary; receiver: index in the frame */
    bool patch;
} pr_up;

/* SEG (x, T) -> (x2, T2) */
typedef struct pr_segment {
    uint32_t log; /* log index on the wire; 0 = the sender's own */
    uint64_t x, T, x2, T2;
    pr_removed *removed;
    size_t removed_size; /* ascending eid, all <= x */
    pr_up *ups;
    size_t ups_size; /* ascending dot, in (x, x2] */
    bool more;
    uint32_t count_hint;
    uint64_t inst; /* on a broker: whose log; else 0 */
} pr_segment;

/* LIVE: all eids in (lo, hi] that are live at w */
typedef struct pr_live {
    uint32_t log;
    uint64_t w, lo, hi;
    uint64_t *eids;
    size_t eids_size; /* ascending */
    bool more;
    uint64_t inst; /* as in pr_segment */
} pr_live;

#endif

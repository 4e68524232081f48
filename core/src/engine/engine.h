/* The engine: one member of a cluster as a function of (state, event, now) -> actions (protocol.md 3).
 *
 * It reads no clock, socket or random source, takes no lock and makes no callback. The caller holds the tracker's lock,
 * feeds events, then takes the actions one by one. Bytes go in raw and come out raw, so the simulator and the real
 * network drive the same object with real encoding between members.
 *
 * Happy path of a link: pr_engine_link_up -> preamble and HELLO out; bytes in: preamble, HELLO -> REQ out, SEGs in,
 * HB every period. Every failure of a link ends in one PR_ACTION_CLOSE or is told by pr_engine_link_down.
 */
#ifndef PR_ENGINE_H
#define PR_ENGINE_H

#include "diff.h"
#include "snapshot.h"
#include "wire.h"

typedef struct pr_engine pr_engine;

typedef struct pr_time {
    uint64_t mono_ms; /* monotonic: timers and silence */
    uint64_t boot_ms; /* includes sleep: ages (3.9.6) */
} pr_time;

typedef struct pr_engine_options {
    presence_str name, cluster;
    uint64_t inst, inc, seed; /* drawn by api: random, wall clock ms, random */
    presence_str addresses[PR_ADDRESSES_MAX];
    size_t addresses_size; /* advertised; none: dial-only */
    const presence_str *seeds;
    size_t seeds_size;   /* host:port, dialled until linked or known */
    uint32_t resolve_ms; /* seeds that are names are looked up so often, and all their addresses dialled; 0: as any */
    bool observer;
    bool broker;        /* messages of a broker instead of links: nothing is dialled (3.7) */
    bool trust_refused; /* a refused dial proves death (3.13) */
    uint32_t heartbeat_ms, suspect_ms /* 0: 2.5 periods */, grace_ms, permdown_ms, connect_timeout_ms;
    uint32_t leave_grace_ms; /* the last meta of a key that left without untrack stays shown; 0: not */
    int32_t flush_ms;        /* -1: automatic (tau of 3.7.4) */
    uint32_t max_frame, high_water, low_water;
    enum pr_codec compression;                         /* of what is sent, where the other end has the feature (5.5) */
    uint32_t compress_least;                           /* frames up to so many bytes go plain: PR_COMPRESS_LEAST */
    uint64_t features;                                 /* announced: all; tests of mixed clusters leave some out */
    uint32_t meta_bytes, key_bytes, topic_bytes;       /* limits of local track and update alone */
    uint32_t member_entries, topic_entries, key_metas; /* quotas of local track alone; 0: none */
    pr_log_options own_log, replica_log;
    uint32_t sweep_slice; /* 4096 */
    uint64_t entries_max; /* of all logs together: a constant of the protocol (5.4), less in tests alone */
} pr_engine_options;
pr_engine_options pr_engine_options_default(void);

int pr_engine_new(const pr_alloc *, const pr_engine_options *, pr_time now, pr_engine **out); /* copies strings */
void pr_engine_free(pr_engine *);

/* ---- local calls (any order, under the lock); diffs come out as actions ---- */
int pr_engine_owner_open(pr_engine *, uint32_t lease_ms /* 0: none */, pr_time now, presence_owner *out);
int pr_engine_owner_touch(pr_engine *, presence_owner, pr_time now);
int pr_engine_owner_close(pr_engine *, presence_owner, pr_time now);
int pr_engine_track_many(pr_engine *, presence_owner, const presence_item *, size_t count, pr_time now,
                         presence_ref *refs, size_t *failed_index, const char **why);
/* What track_many would give, but for a lack of memory; *why names what ELIMIT is about, else "". */
int pr_engine_track_check(pr_engine *, presence_owner, const presence_item *, size_t count, pr_time now,
                          size_t *failed_index, const char **why);
/* expected_ref: NULL, or the ref the entry must have (ESTALE) */
int pr_engine_update(pr_engine *, presence_owner, presence_str topic, presence_str key,
                     const presence_str *expected_ref, presence_str meta, pr_time now, presence_ref *ref,
                     const char **why);
int pr_engine_untrack(pr_engine *, presence_owner, presence_str topic, presence_str key, pr_time now, size_t *removed);
int pr_engine_untrack_owner(pr_engine *, presence_owner, pr_time now, size_t *removed);

/* ---- reading (under a shared lock) ---- */
const pr_store *pr_engine_store(const pr_engine *);
pr_store *pr_engine_store_for_watch(pr_engine *); /* watch and unwatch alone */
typedef struct pr_member_info {
    char name[PR_MEMBER_NAME_MAX + 1];
    char address[PR_ADDRESS_MAX + 1];
    const char *reason;               /* static text */
    uint64_t inst, inc, entries, lag; /* lag: changes known of that are not here yet */
    int64_t rtt_ms;
    int status; /* enum presence_member_status */
    bool synced, is_self, observer, linked;
} pr_member_info;
size_t pr_engine_members(const pr_engine *, pr_member_info *out,
                         size_t room); /* oneself first, graves left out; returns how many there are */
/* 0 not yet, 1 synced, 2 alone */
int pr_engine_synced(const pr_engine *);
void pr_engine_stats(const pr_engine *, presence_statistics *); /* fills what it knows */

/* ---- events ---- */
typedef uint64_t pr_link; /* chosen by the caller, never reused, never 0 */
void pr_engine_link_up(pr_engine *, pr_link, uint64_t dial /* id of the DIAL action, 0 = accepted */, pr_time now);
/* At most one frame is taken, *consumed bytes may be dropped; 1: call again with the rest, 0: more bytes are needed. */
int pr_engine_bytes(pr_engine *, pr_link, const uint8_t *data, size_t size, size_t *consumed, pr_time now);
void pr_engine_written(pr_engine *, pr_link, size_t bytes,
                       pr_time now); /* so many bytes of SENDs left for the kernel */
enum pr_link_end { PR_END_CLOSED = 1, PR_END_RESET, PR_END_TIMEOUT };
void pr_engine_link_down(pr_engine *, pr_link, enum pr_link_end, pr_time now); /* not after a CLOSE action */
enum pr_dial_end { PR_DIAL_REFUSED = 1, PR_DIAL_TIMEOUT, PR_DIAL_UNREACHABLE, PR_DIAL_UNRESOLVED };
void pr_engine_dial_failed(pr_engine *, uint64_t dial, enum pr_dial_end, pr_time now);
/* The addresses of the name that a DIAL with resolve asked for, as host:port without names; at most 256 are taken. */
void pr_engine_resolved(pr_engine *, uint64_t dial, const presence_str *addresses, size_t size, pr_time now);
/* Seeds come and go at run time. Adding one that is there: 0. Removing does not end links. ELIMIT: 1024, ENOMEM. */
int pr_engine_seed_add(pr_engine *, presence_str address, pr_time now);
bool pr_engine_seed_remove(pr_engine *, presence_str address, pr_time now); /* false: it was none */
/* A broker: messages without a link, each for itself; any may be lost, doubled, late or out of order. A member that is
 * up hears all logs, all beats and its own inbox. */
enum pr_subject_kind {
    PR_SUBJECT_LOG = 1, /* what inst publishes of its own log */
    PR_SUBJECT_BEATS,   /* heartbeats and LEAVE of everybody; inst is 0 */
    PR_SUBJECT_INBOX    /* requests to inst, and answers to what it asked */
};
typedef struct pr_subject {
    int kind;
    uint64_t inst;
} pr_subject;
void pr_engine_broker_up(pr_engine *, pr_time now); /* connected, and subscribed to the three */
void pr_engine_broker_down(pr_engine *, pr_time now);
void pr_engine_message(pr_engine *, pr_subject, const uint8_t *data, size_t size, pr_time now);
void pr_engine_tick(pr_engine *, pr_time now);  /* at or after the deadline */
uint64_t pr_engine_deadline(const pr_engine *); /* mono ms; UINT64_MAX: none; may be in the past */
/* While held, ticks go on without slices of sweeps, and the deadline does not count them (4.6). */
void pr_engine_hold_sweeps(pr_engine *, bool hold);
void pr_engine_leave(pr_engine *, pr_time now); /* LEAVE on every link; afterwards only flushing */

/* ---- actions ---- */
enum pr_action_kind {
    PR_ACTION_NONE = 0,
    PR_ACTION_SEND,    /* bytes to a link; the caller releases them when written or dropped */
    PR_ACTION_PUBLISH, /* bytes of one message to a subject; released as those of SEND */
    PR_ACTION_DIAL,    /* connect, within timeout_ms, then link_up with this id or dial_failed */
    PR_ACTION_CLOSE,   /* after what was sent is written (at most 1 s); no link_down follows */
    PR_ACTION_DIFF,    /* owned by the caller */
    PR_ACTION_MEMBER,
    PR_ACTION_SYNCED,
    PR_ACTION_ERROR, /* code, text: for the ERROR event and the log */
    PR_ACTION_YIELD  /* a live twin holds the name: the tracker must stop (ENAME) */
};
typedef struct pr_bytes {
    uint32_t references;
    const pr_alloc *alloc;
    size_t room, size;
    size_t saved; /* bytes less than without compression */
    uint8_t data[];
} pr_bytes;
void pr_bytes_release(pr_bytes *); /* under the lock */
typedef struct pr_action {
    int kind;
    union {
        struct {
            pr_link link;
            pr_bytes *bytes;
        } send;
        struct {
            pr_subject subject;
            pr_bytes *bytes;
        } publish;
        struct {
            uint64_t id;
            char address[PR_ADDRESS_MAX + 1 + 192]; /* host:port; or address:port, a blank, the name it is one of */
            uint32_t timeout_ms;
            bool resolve; /* do not connect: pr_engine_resolved with its addresses, or dial_failed */
        } dial;
        struct {
            pr_link link;
        } close;
        pr_diff *diff;
        pr_member_info member;
        int synced;
        struct {
            int code;
            char text[320];
        } error;
        struct {
            char address[PR_ADDRESS_MAX + 1];
        } yield;
    } as;
} pr_action;
bool pr_engine_next_action(pr_engine *, pr_action *out); /* false: none left */

#endif

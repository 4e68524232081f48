/* presence.h: know who is online, in a brokerless cluster of C, Python and Node processes.
 *
 * A program makes a config, opens a tracker (one member of the cluster), opens an owner for
 * everything that can end (a connection, a task), and tracks presences that belong to owners:
 *
 *     presence_config *config = presence_config_new();
 *     presence_config_set(config, "join", "127.0.0.1:7946");
 *     presence_tracker *tracker;
 *     if (presence_tracker_open(config, &tracker) != 0) puts(presence_config_message(config));
 *     presence_owner owner;
 *     presence_owner_open(tracker, &owner);
 *     presence_track(tracker, owner, topic, key, meta, &ref);
 *     ...
 *     presence_owner_close(tracker, owner);     // everything it owned leaves
 *     presence_tracker_close(tracker);
 *
 * Rules that hold for every function:
 *   - Returns 0 or a negative PRESENCE_E… code whose number never changes.
 *   - Inputs are copied before the call returns. Outputs belong to the caller as each text says.
 *   - No function blocks on the network, a lock held over I/O, or a callback, but those with a timeout.
 *   - After a fork every call in the child returns PRESENCE_EFORKED; close only frees memory.
 *
 * Threads:
 *   presence_config_*                         one thread at a time per config
 *   presence_tracker_open                     any thread
 *   presence_tracker_stop, _close             any thread but those of callbacks; close: last user
 *   presence_seed_*                           any thread, also inside event callbacks
 *   presence_owner_*, presence_track*,        any thread, also inside event callbacks
 *     presence_u*, presence_list*, _get_by_key,
 *     _count, _topics, _members, _stats, _subscribe*
 *   presence_drain                            one thread at a time (PRESENCE_ESTATE otherwise)
 *   presence_snapshot_*                       any thread for reading; free once
 *   wake callback                             a thread of the library or of the caller of drain or
 *                                             set_wake_callback; must not block, must not call the library
 *   event callback of drain / diff callback   thread that drains / a dispatch thread; no lock is held;
 *                                             may call everything but drain, stop, close
 *   log callback                              any thread of the library; must not call the library
 *   in a signal handler                       nothing
 *
 * Since 0.1.0 unless a function says otherwise.
 */
#ifndef PRESENCE_H
#define PRESENCE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PRESENCE_VERSION_MAJOR 0
#define PRESENCE_VERSION_MINOR 1
#define PRESENCE_VERSION_PATCH 0
#define PRESENCE_ABI           1 /* the soname; apart from the version */
#define PRESENCE_WIRE_MIN      1 /* versions of the replication protocol this library speaks */
#define PRESENCE_WIRE_MAX      1

#if defined(PRESENCE_BUILD_SHARED)
#define PRESENCE_API __attribute__((visibility("default")))
#else
#define PRESENCE_API
#endif

/* ---- Errors: numbers are pinned for ever; the table with texts and class names is errors.def ---- */
enum presence_error {
    PRESENCE_OK = 0,
    PRESENCE_EINVAL = -1,       /* a NULL or impossible argument */
    PRESENCE_EOPTION = -2,      /* unknown option, bad value or combination; see presence_config_message */
    PRESENCE_ETOPIC = -3,       /* topic: not 1 to 255 bytes of UTF-8 without NUL */
    PRESENCE_EKEY = -4,         /* key: not 1 to 255 bytes of UTF-8 without NUL */
    PRESENCE_EMETA = -5,        /* meta: not a JSON object, too deep, duplicate or reserved names */
    PRESENCE_EOWNER = -6,       /* no such owner */
    PRESENCE_EOWNERCLOSED = -7, /* the owner was closed, or its lease ran out */
    PRESENCE_ETRACKED = -8,     /* this owner already tracks this topic and key */
    PRESENCE_ENOTTRACKED = -9,  /* this owner does not track this topic and key */
    PRESENCE_ESTALE = -10,      /* update_if: the ref is not the current one */
    PRESENCE_ELIMIT = -11,      /* over a named limit */
    PRESENCE_ETIMEDOUT = -12,
    PRESENCE_EADDRESS = -13, /* an address that cannot be parsed, resolved or bound */
    PRESENCE_EADDRINUSE = -14,
    PRESENCE_ECLUSTER = -15,     /* asynchronous: a peer of another cluster */
    PRESENCE_EVERSION = -16,     /* asynchronous: a peer of another protocol version */
    PRESENCE_EAUTH = -17,        /* asynchronous: a peer that could not prove it belongs */
    PRESENCE_EPROTOCOL = -18,    /* asynchronous: a peer that broke the protocol */
    PRESENCE_ENAME = -19,        /* a live member has the same name and is younger: this one yielded */
    PRESENCE_ECLOSED = -20,      /* the tracker was stopped */
    PRESENCE_EFORKED = -21,      /* the process forked since the tracker was opened */
    PRESENCE_ETHREAD = -22,      /* not from this thread, or not inside a callback */
    PRESENCE_ESTATE = -23,       /* not now: drain inside drain, both wake and diff callback, … */
    PRESENCE_EUNSUPPORTED = -24, /* a feature this build does not have */
    PRESENCE_ENOMEM = -25,
    PRESENCE_EINTERNAL = -26
};

/* ---- Types ---- */
typedef struct presence_config presence_config;
typedef struct presence_tracker presence_tracker;
typedef struct presence_snapshot presence_snapshot;
typedef struct presence_event presence_event;
typedef uint64_t presence_owner; /* 0 is never valid; a stale one is an error, never a crash */

typedef struct {
    const char *data;
    size_t size; /* bytes; data is not terminated */
} presence_str;

typedef struct {
    char text[32]; /* terminated */
} presence_ref;

typedef struct {
    presence_str topic, key, meta; /* meta of size 0 means {} */
} presence_item;

enum presence_change_kind { PRESENCE_JOIN = 1, PRESENCE_UPDATE = 2, PRESENCE_LEAVE = 3 };

enum presence_reason {
    PRESENCE_REASON_NONE = 0,
    PRESENCE_REASON_UNTRACK = 1,
    PRESENCE_REASON_OWNER_CLOSED = 2,
    PRESENCE_REASON_LEASE = 3,
    PRESENCE_REASON_MEMBER_LEFT = 4,
    PRESENCE_REASON_MEMBER_DOWN = 5,
    PRESENCE_REASON_REPLACED = 6,
    PRESENCE_REASON_UNKNOWN = 7 /* learned by catch-up */
};

/* One presence of a snapshot, or one change of an event. Set `size` to sizeof before the call: the
 * library fills what fits, new fields are added at the end. Text lives as long as its container. */
typedef struct {
    size_t size;
    presence_str topic, key, meta, ref;
    presence_str prev_ref;  /* empty unless this member has shown the previous version */
    presence_str prev_meta; /* update: the meta before */
    presence_str member;    /* name of the member it belongs to */
    presence_owner owner;   /* 0: of another member */
    int kind;               /* enum presence_change_kind; 0 in a snapshot */
    int reason;             /* enum presence_reason, of a leave */
    int first, last;        /* this join put the key online / this leave took it offline */
} presence_entry;

enum presence_member_status {
    PRESENCE_MEMBER_UP = 1,
    PRESENCE_MEMBER_SUSPECT = 2,
    PRESENCE_MEMBER_DOWN = 3,
    PRESENCE_MEMBER_PERMDOWN = 4,
    PRESENCE_MEMBER_LEFT = 5,
    PRESENCE_MEMBER_CONFLICT = 6
};

/* One member. Set `size` first, as for presence_entry. */
typedef struct {
    size_t size;
    presence_str name, address; /* address: first advertised host:port; empty: dial-only */
    presence_str reason;        /* of an event: closed, refused, silence, leave, replaced, heard, … */
    uint64_t id;                /* random, new at each start */
    uint64_t incarnation;
    uint64_t entries;
    int64_t rtt_ms; /* -1: not measured */
    int status;     /* enum presence_member_status */
    int synced, is_self, observer, linked;
    uint64_t lag; /* changes of it that are known of and not here yet */
} presence_member;

/* Counters since open. Set `size` first. */
typedef struct {
    size_t size;
    uint64_t entries, topics, members, links;
    uint64_t joins, updates, leaves; /* shown here, of all members */
    uint64_t frames_in, frames_out, bytes_in, bytes_out;
    uint64_t segments_applied, lives_applied, gaps, frames_stale, frames_dropped, protocol_errors;
    uint64_t dials, dial_failures;
    uint64_t queue_bytes, queue_events, resyncs; /* queue_*: now */
    uint64_t bytes_saved;                        /* of what was sent, by compression */
} presence_statistics;

/* ---- Configuration ---- */
PRESENCE_API presence_config *presence_config_new(void); /* NULL: no memory */
/* Sets one option by name from text. EOPTION: unknown or bad; EUNSUPPORTED: not built yet. */
PRESENCE_API int presence_config_set(presence_config *, const char *option, const char *value);
/* Reads LIBPRESENCE_<OPTION> of the environment; the library never does so by itself. */
PRESENCE_API int presence_config_load_env(presence_config *);
/* Do the options fit together? 0, EOPTION or EUNSUPPORTED. Opens and reads nothing; open asks the same. */
PRESENCE_API int presence_config_check(presence_config *);
/* Why the last set / load_env / check / open failed; "" if it did not. Lives until the next call on config. */
PRESENCE_API const char *presence_config_message(const presence_config *);
PRESENCE_API void presence_config_free(presence_config *); /* NULL ok; allowed after open */
/* Memory of trackers opened with this config. resize gets the old size; all may be called from any thread. */
PRESENCE_API int presence_config_set_allocator(presence_config *, void *(*alloc)(size_t size, void *user),
                                               void *(*resize)(void *block, size_t old_size, size_t size, void *user),
                                               void (*release)(void *block, size_t size, void *user), void *user);
enum presence_log_level {
    PRESENCE_LOG_ERROR = 1,
    PRESENCE_LOG_WARNING = 2,
    PRESENCE_LOG_INFO = 3,
    PRESENCE_LOG_DEBUG = 4
};
/* `line` is one line of "event key=value …" text, terminated, valid during the call. Without a callback
 * nothing is printed. */
PRESENCE_API int presence_config_set_log(presence_config *, void (*log)(int level, const char *line, void *user),
                                         void *user);

/* ---- Life ---- */
/* Binds, starts the loop thread, begins to dial; never waits for DNS or a peer. The config may be used
 * again or freed. On failure *out is NULL and presence_config_message says why. */
PRESENCE_API int presence_tracker_open(presence_config *, presence_tracker **out);
/* Tells the other members, flushes for at most timeout_ms, joins the threads. Idempotent. Afterwards calls
 * return ECLOSED, but the STOPPED event can still be drained. ETHREAD inside a callback. ETIMEDOUT, at most 3 s
 * after timeout_ms: a callback of yours does not return; stop may be called again. */
PRESENCE_API int presence_tracker_stop(presence_tracker *, int timeout_ms);
/* Stops if needed, with 1 s to flush, and frees. Waits for callbacks that run to return. NULL ok. */
PRESENCE_API void presence_tracker_close(presence_tracker *);
/* The advertised or bound host:port; "" when dial-only. ELIMIT: size is too small. */
PRESENCE_API int presence_tracker_address(presence_tracker *, char *buf, size_t size);
/* Waits until synced (0) or alone (1: no seed could be reached). ETIMEDOUT, ECLOSED. timeout_ms < 0: for ever. */
PRESENCE_API int presence_wait_synced(presence_tracker *, int timeout_ms);

/* ---- Seeds: members to begin with, besides the option join ---- */
/* addresses: host:port between commas, as in join: ranges are allowed, oneself is skipped, one that is there stays.
 * They are dialled from now on until linked or known, for ever, at most about 10 s apart; a name stands for all its
 * addresses, looked up again every resolve_ms. EADDRESS: one of them is none, or there is none. EUNSUPPORTED: beyond
 * loopback without security. ELIMIT: more than 1024 seeds. */
PRESENCE_API int presence_seed_add(presence_tracker *, const char *addresses);
/* They are dialled no longer; links that exist stay. removed (NULL ok): how many were seeds. */
PRESENCE_API int presence_seed_remove(presence_tracker *, const char *addresses, size_t *removed);

/* ---- Owners ---- */
PRESENCE_API int presence_owner_open(presence_tracker *, presence_owner *out);
/* An owner that closes by itself (reason lease) unless touched within lease_ms (1 to 86 400 000). */
PRESENCE_API int presence_owner_open_lease(presence_tracker *, int lease_ms, presence_owner *out);
PRESENCE_API int presence_owner_touch(presence_tracker *, presence_owner);
/* All it owned leaves, in one diff per topic. Closing twice: EOWNERCLOSED. */
PRESENCE_API int presence_owner_close(presence_tracker *, presence_owner);

/* ---- Changing: visible to the caller's next read when the call returns ---- */
PRESENCE_API int presence_track(presence_tracker *, presence_owner, presence_str topic, presence_str key,
                                presence_str meta, presence_ref *out_or_null);
/* All or nothing; failed_index (may be NULL) names the first bad item. */
PRESENCE_API int presence_track_many(presence_tracker *, presence_owner, const presence_item *, size_t count,
                                     presence_ref *out_or_null, size_t *failed_index);
/* What presence_track_many would give now, but for a lack of memory; nothing changes. *option (may be NULL): the name
 * of the option, or limit, that an ELIMIT is about, else "". */
PRESENCE_API int presence_track_check(presence_tracker *, presence_owner, const presence_item *, size_t count,
                                      size_t *failed_index, const char **option);
/* The same text as held changes nothing: same ref, no diff. */
PRESENCE_API int presence_update(presence_tracker *, presence_owner, presence_str topic, presence_str key,
                                 presence_str meta, presence_ref *out_or_null);
PRESENCE_API int presence_update_if(presence_tracker *, presence_owner, presence_str topic, presence_str key,
                                    presence_str expected_ref, presence_str meta, presence_ref *out_or_null);
/* *removed (may be NULL) is 1, or 0 when the owner did not track it. */
PRESENCE_API int presence_untrack(presence_tracker *, presence_owner, presence_str topic, presence_str key,
                                  size_t *removed);
PRESENCE_API int presence_untrack_owner(presence_tracker *, presence_owner, size_t *removed); /* the owner stays open */

/* ---- Reading: snapshots belong to the caller and stay valid after close ---- */
PRESENCE_API int presence_list(presence_tracker *, presence_str topic, presence_snapshot **out);
PRESENCE_API int presence_get_by_key(presence_tracker *, presence_str topic, presence_str key, presence_snapshot **out);
/* json: {"key":{"metas":[…]}} as presence_state carries it; lives as long as *out. */
PRESENCE_API int presence_list_json(presence_tracker *, presence_str topic, presence_snapshot **out,
                                    presence_str *json);
/* Entries of one key are adjacent, ordered by (member id, order of tracking). */
PRESENCE_API size_t presence_snapshot_size(const presence_snapshot *);
PRESENCE_API int presence_snapshot_at(const presence_snapshot *, size_t index, presence_entry *out);
PRESENCE_API int presence_snapshot_member_at(const presence_snapshot *, size_t index, presence_member *out);
/* Order among events: a subscriber ignores a DIFF whose seq is not greater than that of its snapshot. */
PRESENCE_API uint64_t presence_snapshot_seq(const presence_snapshot *);
PRESENCE_API void presence_snapshot_free(presence_snapshot *); /* NULL ok */
PRESENCE_API int presence_count(presence_tracker *, presence_str topic, size_t *keys,
                                size_t *metas);                                 /* O(1); either may be NULL */
PRESENCE_API int presence_topics(presence_tracker *, presence_snapshot **out);  /* entries with only `topic` */
PRESENCE_API int presence_members(presence_tracker *, presence_snapshot **out); /* member_at; oneself first */
PRESENCE_API int presence_stats(presence_tracker *, presence_statistics *out);
/* The counters and the members of several trackers of this process in Prometheus' text format 0.0.4, each series with
 * the labels cluster and member. Trackers that have stopped are left out; of none the text is empty. It lives as long
 * as *out. */
PRESENCE_API int presence_metrics(presence_tracker *const *, size_t count, presence_snapshot **out, presence_str *text);

/* ---- Events ---- */
enum presence_event_type {
    PRESENCE_EVENT_DIFF = 1,   /* one topic changed */
    PRESENCE_EVENT_RESYNC = 2, /* diffs of this topic were dropped; entries are its whole state now */
    PRESENCE_EVENT_MEMBER = 3,
    PRESENCE_EVENT_SYNCED = 4,
    PRESENCE_EVENT_ERROR = 5,
    PRESENCE_EVENT_STOPPED = 6 /* always the last */
};
typedef void (*presence_event_fn)(const presence_event *, void *user);

/* *out (may be NULL to want no state): the state; every later diff of the topic is queued, no gap, no overlap. Calling
 * it again for a subscribed topic gives a fresh state. Nothing is queued for topics nobody subscribed to. */
PRESENCE_API int presence_subscribe(presence_tracker *, presence_str topic, presence_snapshot **out);
PRESENCE_API int presence_subscribe_all(presence_tracker *); /* every topic, from now on */
PRESENCE_API int presence_unsubscribe(presence_tracker *, presence_str topic);
/* wake is called when the queue becomes non-empty, again whenever drain returns with events left, and at
 * once if events wait. NULL removes it: when the call returns no wake is running or will run. */
PRESENCE_API int presence_set_wake_callback(presence_tracker *, void (*wake)(void *user), void *user);
/* Delivers at most max events (0: all now) on this thread. */
PRESENCE_API int presence_drain(presence_tracker *, size_t max, presence_event_fn, void *user, size_t *delivered);
/* Delivers on a thread of its own instead; excludes wake and drain (ESTATE). NULL ends it. */
PRESENCE_API int presence_set_diff_callback(presence_tracker *, presence_event_fn, void *user);

/* Everything an event gives lives until its callback returns. */
PRESENCE_API int presence_event_kind(const presence_event *); /* enum presence_event_type */
PRESENCE_API presence_str presence_event_topic(const presence_event *);
PRESENCE_API uint64_t presence_event_seq(const presence_event *);
PRESENCE_API size_t presence_event_size(const presence_event *); /* changes of a DIFF, entries of a RESYNC */
PRESENCE_API int presence_event_at(const presence_event *, size_t index, presence_entry *out);
PRESENCE_API int presence_event_member(const presence_event *, presence_member *out);
PRESENCE_API int presence_event_error(const presence_event *); /* ERROR: the code; STOPPED: why, 0 = stop was called */
PRESENCE_API presence_str presence_event_message(const presence_event *); /* ERROR, STOPPED: one line */
/* DIFF: {"joins":…,"leaves":…}; RESYNC: the state as presence_list_json. Built once per event. */
PRESENCE_API int presence_diff_json(const presence_event *, presence_str *json);

/* ---- Static facts ---- */
PRESENCE_API const char *presence_version(void);
PRESENCE_API const char *presence_strerror(int error);
PRESENCE_API const char *presence_error_name(int error); /* "PRESENCE_EINVAL", … */
/* Option i of the table, or NULL past the end: name, default value as text, one line of help. */
PRESENCE_API const char *presence_option_at(size_t index, const char **default_value, const char **help);
/* Field i of presence_statistics, or NULL past the end: name, "counter" or "gauge", one line of help; either may be
 * NULL. And its value: 0 past the end, or beyond the size of the struct. */
PRESENCE_API const char *presence_statistic_at(size_t index, const char **kind, const char **help);
PRESENCE_API uint64_t presence_statistic_value(const presence_statistics *, size_t index);

#ifdef __cplusplus
}
#endif
#endif

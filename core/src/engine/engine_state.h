/* What the engine's files share: members, copies of logs, peers (links), and what lies between them.
 *
 *   pr_member  a name and the instance that holds it (protocol.md 3.9.1)
 *   pr_copy    a log held here: the own one, or the replica of a member; goes on without member while it is swept away
 *   pr_peer    a link and its other end
 *   pr_feed    a cursor: what this link is sent of a copy (3.7.2)
 *   pr_source  a link that was asked for a log: its frames are welcome (3.6)
 *   pr_dial    an address book entry that is dialled until it is linked (3.9.7)
 */
#ifndef PR_ENGINE_STATE_H
#define PR_ENGINE_STATE_H

#include "engine.h"
#include "engine_map.h"
#include "hash.h"
#include "mutant.h"
#include <string.h>

#define PR_FLOORS_MAX     4
#define PR_NO_TIME        UINT64_MAX
#define PR_HANDSHAKES_MAX 64
#define PR_HANDSHAKE_MS   5000
#define PR_DIGEST_MAX     65536
#define PR_HELLO_MAX      262144
#define PR_FULL_DIGEST_MS 10000
#define PR_REFUSE_MS      60000
#define PR_MEMORY_MS      1000
#define PR_REQUEST_MS     500
#define PR_REQUEST_MAX_MS 10000
#define PR_RTT_MAX_MS     600000
#define PR_ENTRIES_MAX    4294967294u
#define PR_FEATURES_OURS                                                                                               \
    (PR_FEATURE_PATCH | PR_FEATURE_CRC | PR_FEATURE_LZ4 | PR_FEATURE_ZSTD | PR_FEATURE_SUBSCRIBE | PR_FEATURE_SUM)
#define PR_PERIOD_MAX_MS  3600000u
#define PR_TWINS_MAX      8
#define PR_ANSWER_FRAMES  8          /* to one REQ over a broker: F of 3.7 */
#define PR_ANSWERS_WAITED 8          /* REQs outstanding over a broker */
#define PR_IGNORED        UINT64_MAX /* a lane of a later protocol */
#define PR_MAX_AGE        (1ull << 60)
#define PR_SEEDS_MAX      1024

typedef struct pr_member pr_member;
typedef struct pr_copy pr_copy;
typedef struct pr_peer pr_peer;
typedef struct pr_feed pr_feed;
typedef struct pr_source pr_source;

enum pr_timer_kind {
    PR_TIMER_HEARTBEAT,
    PR_TIMER_NEWS, /* a newcomer is told of before the next heartbeat */
    PR_TIMER_FLUSH,
    PR_TIMER_RETRY, /* memory was short: sweeps and pumps again */
    PR_TIMER_LIVENESS,
    PR_TIMER_REQUEST,
    PR_TIMER_DIAL,
    PR_TIMER_HANDSHAKE
};

/* One target of dialling: a seed, or the addresses of a member. */
typedef struct pr_dial {
    uint64_t id;      /* of the DIAL action under way, or of its link until HELLO; 0 = none */
    uint64_t started; /* mono: when that DIAL was asked for */
    uint32_t failures;
    uint8_t next, refused; /* address of this round; how many of the round were refused */
    uint8_t own;           /* bit per address that leads to ourselves */
    bool taken;            /* the last round met another instance */
    pr_timer timer;
    pr_member *member; /* NULL: a seed */
    struct pr_seed *seed;
} pr_dial;

typedef struct pr_seed {
    char *address;
    struct pr_seed *name; /* whose address this is, NULL: it was given */
    uint64_t inst;        /* last met there */
    bool self, tried, reached;
    bool resolves; /* a name: not dialled itself, but its addresses, as they are now */
    bool found;    /* among those of the last answer */
    pr_dial dial;
} pr_seed;

struct pr_copy {
    pr_log *log;
    uint64_t inst;
    uint16_t index; /* of the store */
    uint32_t wire;  /* log index on links; 0 = own */
    char name[PR_MEMBER_NAME_MAX + 1];
    pr_member *member; /* NULL: own, or detached */
    bool target;       /* what sweeps bring the flags to */
    uint8_t hide_reason;
    uint64_t swept; /* dot up to which the sweep has come */
    pr_node sweep;  /* in pr_engine.sweeps */
    pr_node feeds, sources;
};

struct pr_feed {
    pr_peer *peer;
    pr_copy *copy;
    pr_cursor cursor;
    bool subscribed, defined /* LOGDEF was sent */, hinted /* count_hint only in the first frame */;
    pr_node by_peer, by_copy, ready;
};

struct pr_source {
    pr_peer *peer;
    pr_copy *copy;
    bool subscribed;
    uint64_t welcome_until; /* frames of an unsubscribed request are taken so long */
    uint64_t version;       /* highest complete_version this peer gave for the log */
    uint64_t refused_until, refused_version;
    pr_node by_peer, by_copy;
};

/* Smoothed time and its mean deviation, in 1/8 and 1/4 ms. */
typedef struct pr_rtt {
    bool known;
    int32_t mean, deviation;
} pr_rtt;

enum pr_phase { PR_PHASE_PREAMBLE, PR_PHASE_HELLO, PR_PHASE_OPEN };

struct pr_peer {
    pr_link id;
    uint8_t phase;
    bool dialled, leaving /* LEAVE was read: its end is no suspicion */, blocked, duplicate;
    bool voice;              /* no link: somebody heard over the broker, or everybody who hears it (broker_voice.c) */
    bool dead;               /* closed because nothing moves on it: says nothing new of its other end */
    uint64_t dial, expected; /* id of the DIAL; inst it was meant for, 0 = unknown */
    char address[PR_ADDRESS_MAX + 1];
    char name[PR_MEMBER_NAME_MAX + 1];
    pr_record self;                   /* of its HELLO */
    uint64_t inst, features, claimed; /* claimed: inst our HELLO carried a state for */
    uint32_t max_frame;
    bool observer;
    uint64_t opened, read_ticks, progress_ticks; /* responsive ms; read: whole frames */
    uint64_t retry_at;                           /* no memory: nothing is read before */
    uint64_t sent, written, heartbeat_end;       /* bytes of the stream */
    uint32_t period_sent, beats /* heartbeats sent */;
    uint32_t ping; /* id of the PROBE about itself that is not answered yet, 0 = none */
    uint64_t ping_at;
    pr_rtt rtt;
    uint64_t news_at; /* mono: the next extra heartbeat may go then */
    uint64_t digest_clock, fixed_clock, full_at, mismatch_at;
    bool fixed_again; /* the next full digest carries fixed fields */
    uint64_t *unlinked;
    size_t unlinked_size, unlinked_room, unlinked_next;
    pr_map defined; /* log index -> inst, or PR_IGNORED */
    pr_node feeds, ready, sources;
    size_t feeds_size;
    pr_feed *own;               /* what it is sent of the own log */
    pr_node all, pump, by_inst; /* by_inst: open links of one inst, newest last */
    pr_timer handshake;
};

#define PR_PROBES 3
enum pr_suspicion { PR_TRUSTED, PR_SUSPECT_CLOSED, PR_SUSPECT_SILENT };
enum pr_member_state { PR_UP = 1, PR_DOWN, PR_PERMDOWN, PR_LEFT };

typedef struct pr_floor {
    uint64_t inst, floor;
} pr_floor;

struct pr_member {
    char name[PR_MEMBER_NAME_MAX + 1];
    pr_member *same_hash;
    pr_node all;      /* in pr_engine.members, ordered by changed */
    pr_node grave;    /* in pr_engine.graves, oldest first */
    uint64_t changed; /* record clock (3.8.1) */
    uint64_t fixed_at;
    uint64_t inst, inc, hb;
    bool left, observer, own_addresses /* given by the member itself */, complete, orphaned, announced /* told as up */,
        counted /* in members_up */, refused /* all its addresses were, since it was heard last */;
    uint8_t state;
    int64_t heard_boot, heard_ticks; /* age = boot - heard_boot, silence = responsive - heard_ticks */
    uint8_t suspect;                 /* enum pr_suspicion; while DOWN: kept until the next sign of life */
    uint64_t suspect_until, probe_at /* mono: when others are asked about a closed link */;
    uint32_t probe; /* id of the question to others, 0 = none */
    bool asked_others;
    uint8_t probes;
    pr_link probed[PR_PROBES]; /* links that have not answered */
    pr_link beat_link;         /* link of the last heartbeat, and when it came */
    uint64_t beat_ticks;
    pr_rtt beats; /* deviation alone: of the gaps between heartbeats from the period */
    uint32_t hops, period_ms, proto, hash;
    uint32_t relay_ms; /* period of the peer that told of its last advance */
    uint64_t features;
    uint8_t addresses_size, floors_size;
    char addresses[PR_ADDRESSES_MAX][PR_ADDRESS_MAX + 1];
    pr_floor floors[PR_FLOORS_MAX]; /* oldest first */
    pr_copy *copy;
    bool returning, has_version, synced, awaited;
    uint64_t version;       /* V (3.3, 3.9.2) */
    pr_source *asked;       /* the outstanding request */
    uint32_t attempts;      /* requests without an answer */
    uint64_t refused_until; /* the log is over a limit */
    pr_node links;          /* open links whose inst is this one's: pr_peer.by_inst */
    pr_timer request, liveness;
    pr_dial dial;
};

/* An instance other than ours that holds our name (3.9.4, 3.9.5). */
typedef struct pr_twin {
    uint64_t inst, hb, first_at, refuted_at; /* boot ms; refuted_at: boot ms + 1, 0 = never */
    bool told;
} pr_twin;

/* What lies between the engine and a broker (3.7, 5.7). */
typedef struct pr_broker {
    bool up, listened /* who is there has had the time to be heard */;
    uint64_t listen_until; /* mono */
    uint64_t published;    /* version of the own log */
    uint64_t told_at;      /* mono: of a message that cannot be read */
    pr_peer *all;          /* everybody: what the heartbeats have told so far */
    pr_map by_inst;
    pr_map wanted; /* instance -> ticks + 1 until which our heartbeats tell its record */
    pr_node voices;
    size_t asked; /* REQs outstanding */
} pr_broker;

struct pr_engine {
    const pr_alloc *alloc;     /* of the caller; outlives diffs and bytes */
    pr_engine_options options; /* strings point into text */
    char name[PR_MEMBER_NAME_MAX + 1], cluster[PR_CLUSTER_MAX + 1];
    char addresses[PR_ADDRESSES_MAX][PR_ADDRESS_MAX + 1];
    uint64_t inst, inc, hb, random;
    pr_time now;
    pr_time turn;                /* of the last turn of the loop: local calls of other threads are none */
    uint64_t ticks;              /* responsive ms (3.9.6) */
    uint64_t stale_until;        /* after a stall: until then frames prove nothing */
    uint64_t lateness;           /* how late this loop comes, halved with every heartbeat */
    uint64_t stalled, stall_end; /* how long it was; mono: when it ended, 0 = never */
    uint32_t probe_ids;
    bool left, yielded, stopping /* yielded: links are still to be closed */;
    bool sweeps_held;  /* a consumer works off its queue */
    bool synced_check; /* something happened that may make the node synced */
    pr_store *store;
    pr_decoder *decoder;
    pr_compressor compressor;
    pr_buffer scratch;
    pr_copy own;
    pr_broker broker;
    pr_map by_name, by_inst, peers, dials, leases;
    size_t members_size, graves_size, members_up /* without observers */, handshakes;
    uint64_t limit_told_at; /* mono: too many members */
    pr_node members, graves, all_peers, pumps, sweeps;
    uint32_t members_hash, own_hash;
    uint64_t record_clock, dial_ids;
    uint32_t wire_ids;
    uint64_t index_used[1024]; /* a bit per log index */
    uint32_t index_next;
    pr_timers timers;
    pr_timer heartbeat, news, flush, retry;
    uint64_t news_clock; /* record clock of the last newcomer */
    uint64_t flushed_at; /* mono */
    bool flush_wanted;
    pr_seed **seeds;
    size_t seeds_size, seeds_room;
    bool seeds_tried;
    int synced;
    pr_twin twins[PR_TWINS_MAX];
    size_t twins_size;
    /* scratch */
    pr_changes changes; /* of the frame that is being taken */
    pr_record *records;
    size_t records_room;
    uint64_t *insts;
    size_t insts_room;
    pr_id *ids;
    size_t ids_room;
    /* actions */
    pr_action *actions;
    size_t actions_head, actions_size, actions_room;
    pr_diff *diffs, *diffs_last;
    pr_link *closing;
    size_t closing_size, closing_room;
    pr_message message;
    const char *broken_text; /* why the last frame was refused; static */
    bool memory_failed, yield_wanted, synced_wanted;
    char yield_address[PR_ADDRESS_MAX + 1];
    presence_statistics stats;
};

/* ---- engine.c ---- */
void pr_engine_note_time(pr_engine *, pr_time now);  /* a turn of the loop */
void pr_engine_note_local(pr_engine *, pr_time now); /* a call of any thread: says nothing of the loop */
void pr_engine_settle_event(pr_engine *);            /* end of every event: pumps, synced */
uint64_t pr_engine_random(pr_engine *, uint64_t below);
int pr_engine_room(pr_engine *, void **array, size_t *room, size_t need, size_t item);

/* ---- local.c ---- */
void pr_local_expire(pr_engine *); /* leases that ran out */

/* ---- action_queue.c ---- */
int pr_action_send(pr_engine *, pr_link, pr_bytes *); /* takes over the reference when 0 */
int pr_action_publish(pr_engine *, pr_subject, pr_bytes *);
int pr_action_dial(pr_engine *, uint64_t id, const pr_dial *);
void pr_action_close(pr_engine *, pr_link);
void pr_action_diffs(pr_engine *, pr_diff *list);
void pr_action_member(pr_engine *, const pr_member *, int status, const char *reason);
void pr_action_conflict(pr_engine *, const pr_record *);
void pr_action_error(pr_engine *, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
pr_bytes *pr_bytes_new(const pr_alloc *, const void *data, size_t size);
void pr_actions_free(pr_engine *);
void pr_member_describe(const pr_engine *, const pr_member *, pr_member_info *);

/* ---- link.c ---- */
void pr_peer_init(pr_engine *, pr_peer *, pr_link, uint64_t dial);
int pr_peer_send(pr_engine *, pr_peer *, const pr_message *);
int pr_peer_send_bytes(pr_engine *, pr_peer *, pr_bytes *); /* one more reference is taken */
/* error: enum pr_error_code, 0 = no ERROR frame. The peer is gone afterwards. */
void pr_peer_close(pr_engine *, pr_peer *, uint32_t error, const char *text);
void pr_peer_late(pr_engine *, pr_peer *); /* no HELLO in time */
pr_peer *pr_peer_of(const pr_member *);    /* an open link to this instance, or its voice; NULL = none */
pr_peer *pr_link_of(const pr_member *);    /* an open link to this instance; NULL = none */
static inline bool pr_peer_full(const pr_engine *e, const pr_peer *p) {
    return p->sent - p->written >= e->options.high_water;
}

/* ---- hello.c ---- */
void pr_hello_send(pr_engine *, pr_peer *);
int pr_hello_take(pr_engine *, pr_peer **, const pr_hello *); /* *peer becomes NULL when it is closed */

/* ---- heartbeat.c ---- */
void pr_heartbeat_tick(pr_engine *);
pr_heartbeat *pr_heartbeat_own(pr_engine *);
void pr_heartbeat_add_sum(pr_engine *, pr_heartbeat *, uint64_t features /* of who hears it */);
void pr_heartbeat_news(pr_engine *); /* a member has linked itself that others do not know */
void pr_heartbeat_extra(pr_engine *);
int pr_heartbeat_take(pr_engine *, pr_peer *, const pr_heartbeat *);
void pr_heartbeat_sum(pr_engine *, pr_member *, pr_peer *, const pr_heartbeat *); /* P11 */
void pr_heartbeat_members(pr_engine *, pr_peer *, uint32_t members);              /* the hash it told */
uint32_t pr_period(const pr_engine *);

/* ---- probe.c ---- */
void pr_ping_open(pr_engine *, pr_peer *);
void pr_ping_beat(pr_engine *, pr_peer *); /* a heartbeat was sent to it */
void pr_rtt_sample(pr_rtt *, uint64_t ms);
int64_t pr_rtt_ms(const pr_rtt *); /* -1: not measured */
void pr_probe_take(pr_engine *, pr_peer *, const pr_probe *);
void pr_probe_ack_take(pr_engine *, pr_peer *, const pr_probe_ack *);
uint32_t pr_probe_id(pr_engine *); /* a fresh one, never 0 */
int pr_probe_send(pr_engine *, pr_peer *, uint64_t inst, uint32_t id);

/* ---- suspicion.c ---- */
uint64_t pr_member_patience(const pr_engine *, const pr_member *); /* T_susp */
void pr_lateness_note(pr_engine *, uint64_t ms);                   /* of a turn of the loop */
void pr_member_beat(pr_engine *, pr_member *, const pr_peer *);    /* a heartbeat came on its link */
bool pr_judgement_waits(const pr_engine *, const pr_member *);
bool pr_member_silent(const pr_engine *, const pr_member *);
bool pr_member_fresh(const pr_engine *, const pr_member *);
pr_peer *pr_direct(const pr_engine *, const pr_member *); /* its link, if it is not silent; else NULL */
void pr_suspect_closed(pr_engine *, pr_member *);
void pr_suspicion_clear(pr_member *);
/* Of one that is UP. NULL: it stays so; else why it is dead. */
const char *pr_suspicion_judge(pr_engine *, pr_member *);
uint64_t pr_suspicion_wait(const pr_engine *, const pr_member *);
bool pr_suspicion_answered(pr_engine *, pr_member *, pr_peer *, const pr_probe_ack *);

/* ---- request.c ---- */
pr_source *pr_source_of(const pr_copy *, const pr_peer *);
void pr_source_free(pr_engine *, pr_source *, bool unsubscribe);
bool pr_source_welcome(const pr_engine *, const pr_source *);
void pr_request_send(pr_engine *, pr_member *, pr_peer *);
void pr_request_subscribe(pr_engine *, pr_peer *); /* 3.7.1 */
void pr_request_claimed(pr_engine *, pr_peer *);
void pr_request_consider(pr_engine *, pr_member *, pr_peer *, uint64_t version);
void pr_request_gap(pr_engine *, pr_member *, pr_peer *, uint64_t version);
void pr_request_progress(pr_engine *, pr_member *, bool segment);
void pr_request_clear(pr_engine *, pr_member *);
void pr_request_elsewhere(pr_engine *, pr_member *);
void pr_request_relay(pr_engine *, pr_member *, pr_peer *); /* its own link is silent, this peer hears it */
void pr_request_timeout(pr_engine *, pr_member *);
int pr_request_take(pr_engine *, pr_peer *, const pr_request *);
/* Whose log is asked for, and why it is not served: enum pr_nak_reason, 0 = it is. ENOMEM: nothing is known. */
uint32_t pr_request_refusal(pr_engine *, const pr_request *, pr_copy **, uint64_t *version);
void pr_nak_take(pr_engine *, pr_peer *, const pr_nak *);
void pr_nak_send(pr_engine *, pr_peer *, uint64_t inst, uint32_t reason, uint64_t version);
void pr_unsub_take(pr_engine *, pr_peer *, uint64_t inst);
void pr_unsub_relays(pr_engine *, pr_member *);

/* ---- pump.c ---- */
int pr_feed_make(pr_engine *, pr_peer *, pr_copy *, const pr_state *, bool subscribed);
pr_feed *pr_feed_of(const pr_peer *, const pr_copy *);
void pr_feed_free(pr_engine *, pr_feed *);
void pr_copy_wake(pr_engine *, pr_copy *); /* something changed: its feeds may have a frame to send */
void pr_peer_wake(pr_engine *, pr_peer *);
void pr_pump_all(pr_engine *);
void pr_local_changed(pr_engine *);
void pr_flush(pr_engine *);

/* ---- segment.c ---- */
int pr_segment_take(pr_engine *, pr_peer *, const pr_segment *);
int pr_live_take(pr_engine *, pr_peer *, const pr_live *);
int pr_segment_merge(pr_engine *, pr_member *, pr_peer *, const pr_segment *); /* it may come from there */
int pr_live_merge(pr_engine *, pr_member *, pr_peer *, const pr_live *);
int pr_logdef_take(pr_engine *, pr_peer *, const pr_logdef *);

/* ---- leave_grace.c ---- */
void pr_show(pr_engine *, pr_id);
void pr_hide(pr_engine *, pr_id, uint8_t reason); /* it may linger */
void pr_hide_at_once(pr_engine *, pr_id, uint8_t reason);
bool pr_grace_slice(pr_engine *); /* false: no memory, try later */

/* ---- copy.c ---- */
int pr_copy_new(pr_engine *, pr_member *); /* fresh, with the floor remembered */
void pr_copy_detach(pr_engine *, pr_member *, uint8_t reason);
void pr_copy_free(pr_engine *, pr_copy *);
void pr_floor_keep(pr_member *, uint64_t inst);
bool pr_copy_up(const pr_copy *); /* own, or of a member that is UP */
void pr_copy_target(pr_engine *, pr_copy *, bool shown);
void pr_copy_index_free(pr_engine *, uint16_t index);
bool pr_sweep_slice(pr_engine *); /* false: no memory, try later */

/* ---- member.c ---- */
pr_member *pr_member_named(const pr_engine *, const char *name);
pr_member *pr_member_of(const pr_engine *, uint64_t inst);
/* hops and age as they hold here; direct: told by the instance itself. ENOMEM: nothing was learned. */
int pr_member_learn(pr_engine *, const pr_record *, uint32_t hops, uint64_t age_ms, bool direct);
void pr_member_forget(pr_engine *, pr_member *);
void pr_member_changed(pr_engine *, pr_member *); /* its record is to be told to everybody */
void pr_member_rehash(pr_engine *, pr_member *);
void pr_member_count(pr_engine *, pr_member *, uint8_t state); /* enters the state: members_up, graves */
void pr_own_rehash(pr_engine *);
static inline bool pr_member_up(const pr_member *m) { return m->state == PR_UP; }
static inline bool pr_member_grave(const pr_member *m) { return m->state == PR_PERMDOWN || m->state == PR_LEFT; }

/* ---- liveness.c ---- */
int pr_member_refresh(pr_engine *, pr_member *);
int pr_member_evidence(pr_engine *, pr_member *); /* a frame on a link of this very instance */
void pr_member_link_lost(pr_engine *, pr_member *, bool suspicion);
void pr_member_answered(pr_engine *, pr_peer *, const pr_probe_ack *);
void pr_member_refused(pr_engine *, pr_member *);
void pr_member_heard(pr_engine *, pr_member *, uint64_t inst, uint64_t version);
void pr_member_maybe(pr_engine *, pr_member *);
void pr_member_check_complete(pr_engine *, pr_member *);
void pr_member_timer(pr_engine *, pr_member *);
uint64_t pr_member_age(const pr_engine *, const pr_member *);
uint64_t pr_member_silence(const pr_engine *, const pr_member *);

/* ---- digest.c ---- */
void pr_record_own(const pr_engine *, pr_record *);
void pr_record_fill(const pr_engine *, const pr_member *, bool fixed, pr_record *);
int pr_digest_fill(pr_engine *, pr_peer *, size_t *count); /* into e->records */
int pr_digest_hello(pr_engine *, pr_peer *, size_t taken, size_t *count);
int pr_digest_take(pr_engine *, pr_peer *, const pr_records *);

/* ---- identity.c ---- */
/* A record of the own name. direct: from the instance itself. */
void pr_identity_heard(pr_engine *, const pr_record *, uint64_t age_ms, bool direct);
void pr_identity_refused(pr_engine *, const pr_peer *);
void pr_identity_stop(pr_engine *); /* closes the links of one that yielded */

/* ---- dialling.c ---- */
void pr_dial_init(pr_engine *, pr_dial *, pr_member *, pr_seed *);
void pr_dial_start(pr_engine *); /* seeds */
void pr_dial_seed(pr_engine *, pr_seed *, uint64_t delay);
void pr_dial_member(pr_engine *, pr_member *, bool at_once);
void pr_dial_drop(pr_engine *, pr_dial *); /* its member is forgotten */
void pr_dial_fire(pr_engine *, pr_dial *);
void pr_dial_linked(pr_engine *, pr_peer *); /* HELLO was accepted */
/* Before HELLO was accepted. error: enum pr_error_code of either side, 0 = none */
void pr_dial_ended(pr_engine *, uint64_t id, bool refused, uint32_t error);
const char *pr_dial_address(const pr_dial *);
/* How an open link to the target ended: counts as a failure when it was young, or ended by an error. */
void pr_dial_count(pr_dial *, bool young, uint32_t error);
void pr_dial_seeds_again(pr_engine *, uint64_t inst, bool young, uint32_t error); /* a link to inst ended */

/* ---- seeds.c ---- */
int pr_seed_new(pr_engine *, presence_str address,
                pr_seed *name /* NULL: given */); /* dialled by pr_dial_start, or its timer */
void pr_seeds_free(pr_engine *);

/* ---- broker.c ---- */
int pr_broker_init(pr_engine *);
void pr_broker_free(pr_engine *);
int pr_broker_send(pr_engine *, pr_subject, const pr_message *, enum pr_codec);
int pr_broker_send_bytes(pr_engine *, const pr_peer *voice, pr_bytes *); /* one more reference is taken */
void pr_broker_leave(pr_engine *);

/* ---- broker_voice.c ---- */
pr_peer *pr_voice_new(pr_engine *, uint64_t inst); /* inst 0: everybody; NULL: no memory, or too many */
pr_peer *pr_voice_of(const pr_engine *, uint64_t inst);
void pr_voice_free(pr_engine *, pr_peer *);
void pr_voices_reap(pr_engine *);
uint64_t pr_broker_features(const pr_engine *); /* what every member that is UP has */

/* ---- broker_beat.c ---- */
void pr_broker_tick(pr_engine *, size_t unlinked); /* e->insts holds them */
void pr_broker_beat(pr_engine *, size_t unlinked);
int pr_broker_beat_take(pr_engine *, const pr_heartbeat *);
int pr_broker_leave_take(pr_engine *, const pr_leave *);

/* ---- broker_publish.c ---- */
void pr_broker_publish(pr_engine *);
int pr_broker_answer(pr_engine *, const pr_request *);

/* ---- broker_pull.c ---- */
int pr_broker_segment(pr_engine *, pr_subject, const pr_segment *);
int pr_broker_live(pr_engine *, const pr_live *);
void pr_broker_nak(pr_engine *, const pr_nak *);

/* ---- synced.c ---- */
void pr_synced_check(pr_engine *);

#endif

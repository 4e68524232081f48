/* The simulator: a whole cluster of real engines in one thread and virtual time (protocol.md 3.14).
 *
 * Hosts are numbered; a host runs at most one member (process) at a time and is dialled as "sim:<host>". Between
 * members real bytes travel through ordered pipes with latency, pieces and back-pressure. Every fault is a call. An
 * oracle follows each local operation and every diff and checks the invariants after each event; the first violation is
 * kept as text and stops the world. Everything random comes from one seed.
 */
#ifndef PR_SIM_H
#define PR_SIM_H

#include "engine.h"
#include <stdio.h>

#define PR_SIM_HOSTS 8

typedef struct pr_sim pr_sim;

typedef struct pr_sim_network {
    uint32_t latency_min_ms, latency_max_ms;
    size_t pipe_bytes; /* what the kernels hold of one direction of a link */
    uint32_t turn_ms;  /* a member's loop comes back so much later at most: sweeps take time */
    bool pieces;       /* bytes arrive in random pieces, cut anywhere */
} pr_sim_network;

pr_sim *pr_sim_new(uint64_t seed);
void pr_sim_free(pr_sim *);
void pr_sim_trace(pr_sim *, FILE *); /* every event as a line; NULL: none */
uint64_t pr_sim_now(const pr_sim *); /* virtual ms since the start */
uint64_t pr_sim_random(pr_sim *, uint64_t below);
const char *pr_sim_failure(const pr_sim *); /* NULL: every check held so far */
void pr_sim_fail(pr_sim *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Settings of what happens from now on. */
pr_sim_network *pr_sim_net(pr_sim *);
pr_engine_options *pr_sim_options(pr_sim *); /* of members started later; name, inst, inc, seed, addresses are set */
void pr_sim_hostile(pr_sim *, bool);         /* protocol errors are expected */

/* Told every action of every member before it is carried out. */
typedef void (*pr_sim_listener)(void *user, pr_sim *, int host, const pr_action *);
void pr_sim_listen(pr_sim *, pr_sim_listener, void *user);
int pr_sim_peer(pr_sim *, int host, pr_link); /* the host at the other end of a link of this one; -1: none */

/* ---- time ---- */
bool pr_sim_run(pr_sim *, uint64_t ms); /* false: a check failed */
/* Until condition holds, at most ms; true: it holds. */
typedef bool (*pr_sim_condition)(pr_sim *, void *);
bool pr_sim_until(pr_sim *, pr_sim_condition, void *, uint64_t ms);

/* ---- members ---- */
#define PR_SIM_DIAL_ONLY 1u /* no advertised address */
#define PR_SIM_OBSERVER  2u
/* seeds: bit h = host h. inc is the wall clock of the host. */
bool pr_sim_start(pr_sim *, int host, const char *name, uint32_t seeds, uint32_t flags);
void pr_sim_shift_clock(pr_sim *, int host, int64_t ms); /* wall clock of later starts */
enum pr_sim_death {
    PR_SIM_KILL = 1, /* the kernel closes its links; dials are refused */
    PR_SIM_VANISH    /* power or cable: nothing is heard any more, dials time out */
};
void pr_sim_crash(pr_sim *, int host, enum pr_sim_death);
void pr_sim_leave(pr_sim *, int host, bool flush);  /* flush false: dies before a byte of LEAVE is written */
void pr_sim_pause(pr_sim *, int host);              /* SIGSTOP */
void pr_sim_resume(pr_sim *, int host, bool slept); /* slept: the machine slept, only its boot clock went on */
bool pr_sim_alive(const pr_sim *, int host);
bool pr_sim_paused(const pr_sim *, int host);
bool pr_sim_yielded(const pr_sim *, int host); /* the last member of this host stopped for a twin */
pr_engine *pr_sim_engine(pr_sim *, int host);  /* NULL: none */
uint64_t pr_sim_inst(const pr_sim *, int host);
pr_time pr_sim_clock(const pr_sim *, int host);
size_t pr_sim_memory(const pr_sim *, int host, bool peak); /* bytes allocated by its engine */
void pr_sim_reset_peak(pr_sim *, int host);
void pr_sim_starve(pr_sim *, int host, uint32_t one_in); /* so many allocations of its engine fail; 0: none */

/* ---- network faults ---- */
enum pr_sim_cut { PR_SIM_CUT_BOTH = 1, PR_SIM_CUT_LATER, PR_SIM_CUT_SILENT };
/* BOTH: both ends are told at once; LATER: a now, b within later_ms; SILENT: bytes are lost, nobody is told. */
void pr_sim_cut(pr_sim *, int a, int b, enum pr_sim_cut, uint64_t later_ms);
void pr_sim_block(pr_sim *, int from, int to, bool blocked);    /* packets of this direction wait */
void pr_sim_forbid(pr_sim *, int from, int to, int dial_end);   /* enum pr_dial_end, 0: allowed */
void pr_sim_slow_reader(pr_sim *, int host, uint32_t bytes_ms); /* 0: as fast as bytes arrive */
void pr_sim_stop_reading(pr_sim *, int host, bool);             /* reads nothing, but its timers run */
bool pr_sim_corrupt(pr_sim *, int from, int to);   /* flips a bit on the way; false: nothing is under way */
size_t pr_sim_links(const pr_sim *, int a, int b); /* open at both ends */
/* A peer that speaks raw bytes: connects to host, writes, and is closed by it or not. Returns its id. */
int pr_sim_raw_connect(pr_sim *, int host);
void pr_sim_raw_write(pr_sim *, int raw, const void *data, size_t size);
size_t pr_sim_raw_read(pr_sim *, int raw, uint8_t *data, size_t room); /* takes what has arrived */
bool pr_sim_raw_closed(const pr_sim *, int raw);
/* Bytes slipped into the stream from one member to another, as if it had sent them; false: no link. */
bool pr_sim_forge(pr_sim *, int from, int to, const void *data, size_t size);

/* ---- a broker instead of links ---- */
/* What befalls messages from now on: of 100 so many, each towards each client by itself. */
typedef struct pr_sim_broker {
    uint32_t lost, doubled, damaged, late;
    uint32_t late_ms; /* the late ones, at most so much more */
    bool reorders;    /* else messages of one sender overtake nothing */
} pr_sim_broker;
void pr_sim_use_broker(pr_sim *, uint64_t seed); /* before the first start; the network's latency counts twice */
pr_sim_broker *pr_sim_broker_settings(pr_sim *);
void pr_sim_broker_cut(pr_sim *, int host, uint64_t ms, bool told); /* its client is off for so long */
void pr_sim_broker_restart(pr_sim *, uint64_t ms);                  /* all clients are, up to twice as long */
/* A message slipped in to a running member, as if the broker brought it now. */
void pr_sim_inject(pr_sim *, int host, pr_subject, const void *data, size_t size);

/* ---- local calls, followed by the oracle ---- */
presence_owner pr_sim_owner(pr_sim *, int host, uint32_t lease_ms);
int pr_sim_track(pr_sim *, int host, presence_owner, const char *topic, const char *key, const char *meta);
int pr_sim_track_many(pr_sim *, int host, presence_owner, const presence_item *, size_t count);
int pr_sim_update(pr_sim *, int host, presence_owner, const char *topic, const char *key, const char *meta);
int pr_sim_untrack(pr_sim *, int host, presence_owner, const char *topic, const char *key);
int pr_sim_untrack_owner(pr_sim *, int host, presence_owner);
int pr_sim_owner_close(pr_sim *, int host, presence_owner);
/* A random one of the above; small numbers of topics, keys and owners, so that everything meets. */
void pr_sim_random_operation(pr_sim *, int host);

/* ---- what a member shows, from its diffs (the fold equals its store after every event) ---- */
size_t pr_sim_shown(pr_sim *, int host, const char *topic); /* entries; topic NULL: of all */
size_t pr_sim_shown_of(pr_sim *, int host, int origin);     /* of the running member of host origin */
bool pr_sim_shows(pr_sim *, int host, const char *topic, const char *key);
const char *pr_sim_meta(pr_sim *, int host, const char *topic, const char *key); /* one of the key; NULL: none */
bool pr_sim_agreed(pr_sim *); /* every live member shows the union of the live members' own sets */
int pr_sim_status(pr_sim *, int host, const char *name, pr_member_info *out /* or NULL */); /* 0: not known */
typedef struct pr_sim_counts {
    uint64_t diffs, joins, updates, leaves, member_events, errors, downs;
    uint64_t leaves_by_reason[8];
    uint64_t synced; /* virtual ms of SYNCED + 1, 0: not yet */
    int last_error;
    size_t largest_diff;
} pr_sim_counts;
const pr_sim_counts *pr_sim_count(const pr_sim *, int host);
uint64_t pr_sim_frames(const pr_sim *); /* sent by all since the start */
uint64_t pr_sim_frame_bytes(const pr_sim *);
uint64_t pr_sim_dials(const pr_sim *);

/* ---- random histories ---- */
/* Faults, as they are counted: by call, or once per history whose shape has them. */
enum pr_sim_fault {
    PR_SIM_FAULT_CUT,
    PR_SIM_FAULT_BLOCK,
    PR_SIM_FAULT_FORBID,
    PR_SIM_FAULT_KILL,
    PR_SIM_FAULT_VANISH,
    PR_SIM_FAULT_LEAVE,
    PR_SIM_FAULT_RESTART,
    PR_SIM_FAULT_PAUSE,
    PR_SIM_FAULT_SLEEP,
    PR_SIM_FAULT_SLOW,
    PR_SIM_FAULT_DEAF,
    PR_SIM_FAULT_STARVE,
    PR_SIM_FAULT_CORRUPT,
    PR_SIM_FAULT_CLOCK,
    PR_SIM_FAULT_TWIN,
    PR_SIM_FAULT_NEVER,
    PR_SIM_FAULTS
};
const char *pr_sim_fault_name(int fault);

/* What happened in all members of a history: whether the interesting things do occur. */
typedef struct pr_sim_totals {
    uint64_t segments, lives, gaps, stale, dropped, frames, downs, permdowns, lefts, replaced, yields, errors;
    uint64_t faults[PR_SIM_FAULTS];
} pr_sim_totals;
void pr_sim_totals_add(pr_sim_totals *, const pr_sim_totals *more);

/* A history is a pure function of seed, members and events: the prefix of a longer one is the same up to there. */
typedef struct pr_sim_plan {
    uint64_t seed;
    int members; /* names, 2 to PR_SIM_HOSTS - 1; 0: drawn */
    bool exact;  /* so many events, else drawn */
    bool broker; /* over a broker, with the same events as far as they mean anything there */
    uint64_t events;
    FILE *trace; /* NULL: none */
} pr_sim_plan;
typedef struct pr_sim_outcome {
    uint64_t events; /* local calls and faults that were made */
    uint64_t steps;  /* of members and network */
    uint64_t converged_ms, virtual_ms;
    pr_sim_totals totals;
    bool compared; /* false: members stay disconnected for ever, the final state was not compared */
    char failure[1024];
} pr_sim_outcome;
/* One history: faults, healing, convergence within a bound. false: outcome->failure says what broke. */
bool pr_sim_history(const pr_sim_plan *, pr_sim_outcome *);
/* The plan of the shortest failing prefix found, given one that fails; *outcome is that of the result. */
pr_sim_plan pr_sim_shorten(const pr_sim_plan *, pr_sim_outcome *);

#endif

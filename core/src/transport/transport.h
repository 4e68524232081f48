/* The seam below a tracker: its links to other members, its clocks and its random numbers.
 *
 * Two sides implement it: net (sockets, a loop thread, real time) and virtual (members of one process, in time that
 * only a caller moves). api knows this alone, but for making one.
 *
 * Lock: the tracker's lock guards the engine and what is marked below. A transport asks for it through the hooks and
 * never holds it across a system call.
 */
#ifndef PR_TRANSPORT_H
#define PR_TRANSPORT_H

#include "engine.h"

typedef struct pr_transport pr_transport;

typedef struct pr_transport_hooks {
    void *owner;
    void (*lock)(void *owner);   /* exclusive */
    void (*settle)(void *owner); /* locked: takes the engine's actions; those of the network go to pr_transport_post */
    void (*unlock)(void *owner);
    void (*turn)(void *owner);                       /* unlocked, after every hold: wakes, log lines */
    bool (*congested)(void *owner, uint64_t now_ms); /* unlocked: events wait for a consumer that works them off */
    void (*ended)(void *owner);                      /* unlocked, its last act: everything is closed */
    void (*log)(void *owner, int level, const char *line);  /* unlocked */
    void (*error)(void *owner, int code, const char *text); /* unlocked: an ERROR event and a line */
} pr_transport_hooks;

typedef struct pr_transport_counts {
    uint64_t links, bytes_in, bytes_out, dials, dial_failures;
} pr_transport_counts;

typedef struct pr_transport_calls {
    void (*address)(const pr_transport *, char *out, size_t room); /* bound host:port, "" when dial-only */
    int (*start)(pr_transport *, pr_engine *);                     /* the engine outlives it */
    bool (*is_thread)(const pr_transport *);                       /* is this its own thread? */
    void (*join)(pr_transport *);                                  /* after ended; once */
    void (*free)(pr_transport *);                                  /* joined, or never started */
    void (*forget)(pr_transport *);                                /* in a forked child: memory and descriptors alone */
    pr_time (*now)(const pr_transport *);
    uint64_t (*wall_ms)(const pr_transport *);
    bool (*draw)(pr_transport *, void *out, size_t size); /* random bytes; false: there are none */
    /* Virtual time: the next thing happens, at most until then; false: time is `until` now, or passes by itself. */
    bool (*advance)(pr_transport *, uint64_t until_ms);
    /* ---- under the lock ---- */
    int (*reserve)(pr_transport *);                  /* room for one more post: 0 or ENOMEM */
    void (*post)(pr_transport *, const pr_action *); /* SEND, DIAL, CLOSE; after reserve */
    /* true: wake it after unlocking (there is something new, and nobody woke it yet) */
    bool (*needs_wake)(pr_transport *, bool anyway);
    void (*stop)(pr_transport *, uint32_t flush_ms); /* closes everything, links after what was sent is written */
    /* ---- without it, any thread ---- */
    void (*wake)(pr_transport *);
    void (*count)(const pr_transport *, pr_transport_counts *);
} pr_transport_calls;

struct pr_transport {
    const pr_transport_calls *calls;
};

static inline void pr_transport_address(const pr_transport *t, char *out, size_t room) {
    t->calls->address(t, out, room);
}
static inline int pr_transport_start(pr_transport *t, pr_engine *engine) { return t->calls->start(t, engine); }
static inline bool pr_transport_is_thread(const pr_transport *t) { return t->calls->is_thread(t); }
static inline void pr_transport_join(pr_transport *t) { t->calls->join(t); }
static inline void pr_transport_free(pr_transport *t) {
    if (t) t->calls->free(t);
}
static inline void pr_transport_forget(pr_transport *t) { t->calls->forget(t); }
static inline pr_time pr_transport_now(const pr_transport *t) { return t->calls->now(t); }
static inline uint64_t pr_transport_wall_ms(const pr_transport *t) { return t->calls->wall_ms(t); }
static inline bool pr_transport_draw(pr_transport *t, void *out, size_t size) { return t->calls->draw(t, out, size); }
static inline bool pr_transport_advance(pr_transport *t, uint64_t until_ms) { return t->calls->advance(t, until_ms); }
static inline int pr_transport_reserve(pr_transport *t) { return t->calls->reserve(t); }
static inline void pr_transport_post(pr_transport *t, const pr_action *action) { t->calls->post(t, action); }
static inline bool pr_transport_needs_wake(pr_transport *t, bool anyway) { return t->calls->needs_wake(t, anyway); }
static inline void pr_transport_stop(pr_transport *t, uint32_t flush_ms) { t->calls->stop(t, flush_ms); }
static inline void pr_transport_wake(pr_transport *t) { t->calls->wake(t); }
static inline void pr_transport_count(const pr_transport *t, pr_transport_counts *out) { t->calls->count(t, out); }

#endif

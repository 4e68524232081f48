/* The real network of one tracker: a libuv loop on a thread of its own that feeds the engine and does what it asks.
 *
 * Lock: the tracker's lock guards the engine and what is marked below. net asks for it through the hooks and never
 * holds it across a system call: in one hold it feeds the engine and takes the actions, and acts after unlocking.
 */
#ifndef PR_NET_H
#define PR_NET_H

#include "clock.h"
#include "engine.h"

typedef struct pr_net pr_net;

typedef struct pr_net_hooks {
    void *owner;
    void (*lock)(void *owner);   /* exclusive */
    void (*settle)(void *owner); /* locked: takes the engine's actions; those of the network go to pr_net_post */
    void (*unlock)(void *owner);
    void (*turn)(void *owner);                       /* unlocked, loop thread, after every hold: wakes, log lines */
    bool (*congested)(void *owner, uint64_t now_ms); /* unlocked: events wait for a consumer that works them off */
    void (*ended)(void *owner);                      /* unlocked, loop thread, its last act: everything is closed */
    void (*log)(void *owner, int level, const char *line); /* unlocked, loop thread */
} pr_net_hooks;

/* listen: "" = dial only, else host:port or a range. Binds before it returns, so that errors are the caller's:
 * EADDRESS, EADDRINUSE, ENOMEM, EINTERNAL; *why: static text. No thread yet. */
int pr_net_new(const pr_alloc *, const pr_net_hooks *, const char *listen, pr_net **out, const char **why);
void pr_net_address(const pr_net *, char *out, size_t room); /* bound host:port, "" when dial-only */
int pr_net_start(pr_net *, pr_engine *);                     /* starts the thread; the engine outlives it */
bool pr_net_is_thread(const pr_net *);                       /* is this the loop thread? */
void pr_net_join(pr_net *);                                  /* after ended; once */
void pr_net_free(pr_net *);                                  /* joined, or never started */
void pr_net_forget(pr_net *);                                /* in a forked child: memory and descriptors alone */

/* ---- under the lock ---- */
int pr_net_reserve(pr_net *);                  /* room for one more post: 0 or ENOMEM */
void pr_net_post(pr_net *, const pr_action *); /* SEND, DIAL, CLOSE; after reserve */
/* true: the loop must be woken with pr_net_wake after unlocking (there is something new, and nobody woke it yet) */
bool pr_net_needs_wake(pr_net *, bool anyway);
void pr_net_stop(pr_net *, uint32_t flush_ms); /* closes everything, links after what was sent is written */

/* ---- without it ---- */
void pr_net_wake(pr_net *); /* any thread */

typedef struct pr_net_counts {
    uint64_t links, bytes_in, bytes_out, dials, dial_failures;
} pr_net_counts;
void pr_net_count(pr_net *, pr_net_counts *); /* any thread */

#endif

/* A virtual network: the members of one process, in time that only its caller moves. No thread, no socket, no clock.
 *
 * Every member is an ordinary tracker whose transport is made here. A member runs on a host; a name that is started
 * again after its end runs on the host it had, at the address it had. Everything random comes from the seed.
 *
 * Lock: one mutex per network, taken before any tracker's lock. `advance` holds it while one thing happens, so trackers
 * may be called, stopped and closed from any thread meanwhile. Functions marked (locked) expect it held.
 */
#ifndef PR_VIRTUAL_H
#define PR_VIRTUAL_H

#include "buffer.h"
#include "transport.h"

typedef struct pr_virtual pr_virtual;
typedef struct pr_virtual_member pr_virtual_member;

pr_virtual *pr_virtual_new(const pr_alloc *, uint64_t seed); /* NULL: no memory */
pr_virtual *pr_virtual_hold(pr_virtual *);
void pr_virtual_release(pr_virtual *); /* members hold it too; NULL ok */
void pr_virtual_lock(pr_virtual *);
void pr_virtual_unlock(pr_virtual *);

/* name "": a host of its own. listen as in pr_net_new: EADDRESS, EADDRINUSE, ENOMEM. */
int pr_virtual_join(pr_virtual *, const pr_alloc *, const pr_transport_hooks *, const char *name, const char *listen,
                    pr_transport **out, const char **why);
void pr_virtual_addresses(pr_virtual *, pr_buffer *); /* of all that listen, a comma list */
bool pr_virtual_is(const pr_transport *);
/* NULL: no member of this network */
pr_virtual_member *pr_virtual_member_of(pr_virtual *, pr_transport *);

uint64_t pr_virtual_now(const pr_virtual *); /* virtual ms since the start */
/* The next thing happens; false: nothing does up to until_ms, and this is the time now. */
bool pr_virtual_advance(pr_virtual *, uint64_t until_ms);

void pr_virtual_latency(pr_virtual *, uint32_t min_ms, uint32_t max_ms);
void pr_virtual_side(pr_virtual *, pr_virtual_member *, int side); /* different sides cannot reach each other */
int pr_virtual_block(pr_virtual *, pr_virtual_member *from, pr_virtual_member *to, bool blocked); /* one direction */
void pr_virtual_heal(pr_virtual *);
/* Gone without a word. vanish: its peers hear nothing at all; else their connections close. hooks.ended is called. */
void pr_virtual_crash(pr_virtual *, pr_virtual_member *, bool vanish);
bool pr_virtual_pause(pr_virtual *, pr_virtual_member *, bool pause); /* false: it is so already */

/* ---- (locked) ---- */
pr_virtual_member *pr_virtual_next(pr_virtual *, const pr_virtual_member *); /* in the order of joining; NULL: first */
void *pr_virtual_owner(const pr_virtual_member *);                           /* of the hooks */
bool pr_virtual_lives(const pr_virtual_member *);                            /* runs, and is not paused */
bool pr_virtual_reaches(const pr_virtual *, const pr_virtual_member *, const pr_virtual_member *); /* both ways */
bool pr_virtual_quiet(pr_virtual *); /* nothing is under way or due, but for timers */

#endif

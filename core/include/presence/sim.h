/* presence/sim.h: several members in one process, over a virtual network, in virtual time. For the tests of programs
 * that use this library: nothing real is opened, nothing sleeps, and the same seed gives the same history.
 *
 *     presence_sim *sim = presence_sim_new(1);
 *     presence_tracker *a, *b;
 *     presence_sim_start(sim, config_a, &a);       // ordinary trackers, for every function of presence.h
 *     presence_sim_start(sim, config_b, &b);
 *     presence_track(a, owner, topic, key, meta, NULL);
 *     presence_sim_settle(sim, 60000);             // now b shows it
 *     presence_sim_crash(sim, a, PRESENCE_SIM_KILL);
 *     presence_sim_settle(sim, 60000);             // now b does not
 *     presence_tracker_close(a), presence_tracker_close(b), presence_sim_free(sim);
 *
 * Time stands still but in presence_sim_run, presence_sim_settle, presence_sim_step and presence_wait_synced (with a
 * time-out, which is virtual here). What a call changes is visible to its own member at once, to others after that. All
 * durations are virtual: heartbeats, leases, permdown_ms.
 *
 * The network is a loopback of its own: `listen`, `advertise` and `join` mean what they always mean, within it. Members
 * without `join` join all that run; `transport` is ignored. A name that is started again gets the address it had.
 *
 * Functions give 0 or a negative PRESENCE_E… code. EINVAL: NULL, or a tracker of another network. ECLOSED: the member
 * is over. EFORKED: in a forked child. All may be called from any thread, but not from wake or log callbacks; those
 * are called by the thread that moves time or calls the tracker. The trackers of a sim and the sim itself may be closed
 * and freed in any order; a tracker given to a function here must not be closed meanwhile.
 *
 * Names here stay; the binary interface is not promised to. Since 0.1.0.
 */
#ifndef PRESENCE_SIM_H
#define PRESENCE_SIM_H

#include "../presence.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct presence_sim presence_sim;

PRESENCE_API presence_sim *presence_sim_new(uint64_t seed); /* NULL: no memory */
PRESENCE_API void presence_sim_free(presence_sim *);        /* NULL ok; open trackers stay the caller's */
/* Why the last failing call on this sim failed; "" if none did. Lives until the next call on it. */
PRESENCE_API const char *presence_sim_message(const presence_sim *);

/* As presence_tracker_open, on the virtual network; presence_config_message says why it failed. */
PRESENCE_API int presence_sim_start(presence_sim *, presence_config *, presence_tracker **out);

/* ---- time ---- */
PRESENCE_API uint64_t presence_sim_now(const presence_sim *); /* virtual ms since presence_sim_new */
PRESENCE_API int presence_sim_run(presence_sim *, uint64_t ms);
/* Runs until nothing is under way and every live member shows exactly what the live members it can reach track, and
 * calls those, and nobody else, up. Members on one side of a partition agree among themselves; paused ones count as
 * gone. ETIMEDOUT when that does not come true within limit_ms: the message says who disagrees about what. */
PRESENCE_API int presence_sim_settle(presence_sim *, uint64_t limit_ms);
/* The smallest part of run (settle 0) and settle (1), for programs that want events delivered at the virtual moment
 * they are made: goes on to the next moment at which a tracker that has a wake callback gets an event, at most to the
 * time until_ms. 0: until_ms, or agreement, is reached; 1: there are events that presence_sim_waiting was not asked
 * about; ETIMEDOUT: until_ms without agreement. */
PRESENCE_API int presence_sim_step(presence_sim *, uint64_t until_ms, int settle);
/* 1: events wait in this tracker, or came since this was last asked and were drained by another thread already. */
PRESENCE_API int presence_sim_waiting(presence_sim *, presence_tracker *);

/* ---- faults ---- */
/* Members on different sides cannot reach each other; what is under way waits, dials time out. All start on side 0. */
PRESENCE_API int presence_sim_partition(presence_sim *, presence_tracker *, int side);
PRESENCE_API int presence_sim_block(presence_sim *, presence_tracker *from, presence_tracker *to, int blocked);
PRESENCE_API int presence_sim_heal(presence_sim *); /* everybody back on side 0, nothing is blocked */
enum presence_sim_death {
    PRESENCE_SIM_KILL = 1,  /* the process: its connections close, dials to it are refused */
    PRESENCE_SIM_VANISH = 2 /* the machine: nothing more is heard of it */
};
/* It ends without a word. Calls on the tracker give ECLOSED; STOPPED can be drained, its error is ECLOSED too. It is
 * still the caller's to close. */
PRESENCE_API int presence_sim_crash(presence_sim *, presence_tracker *, int death);
/* It stands still, as after SIGSTOP: hears nothing, says nothing. Calls on it still work. ESTATE: it is so already. */
PRESENCE_API int presence_sim_pause(presence_sim *, presence_tracker *);
PRESENCE_API int presence_sim_resume(presence_sim *, presence_tracker *);
/* Of everything sent from now on, drawn evenly; 1 to 3 ms at first. EINVAL: min over max, or max over an hour. */
PRESENCE_API int presence_sim_latency(presence_sim *, uint32_t min_ms, uint32_t max_ms);

#ifdef __cplusplus
}
#endif
#endif

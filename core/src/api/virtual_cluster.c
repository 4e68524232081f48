/* presence/sim.h: trackers on a virtual network, its time and its faults. */
#include "virtual_cluster.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LATENCY_MAX_MS 3600000

presence_sim *presence_sim_new(uint64_t seed) {
    pr_alloc alloc = pr_alloc_default();
    presence_sim *sim = pr_new(&alloc, sizeof *sim);
    if (!sim) return NULL;
    sim->alloc = alloc;
    sim->network = pr_virtual_new(&alloc, seed);
    if (!sim->network) {
        pr_delete(&alloc, sim, sizeof *sim);
        return NULL;
    }
    pr_fork_mark_set(&sim->mark);
    return sim;
}

void presence_sim_free(presence_sim *sim) {
    if (!sim) return;
    pr_alloc alloc = sim->alloc;
    if (!pr_fork_mark_lost(&sim->mark)) pr_virtual_release(sim->network);
    pr_fork_mark_free(&sim->mark);
    pr_delete(&alloc, sim, sizeof *sim);
}

const char *presence_sim_message(const presence_sim *sim) { return sim ? sim->message : ""; }

int pr_sim_refuse(presence_sim *sim, int code, const char *form, ...) {
    va_list arguments;
    va_start(arguments, form);
    vsnprintf(sim->message, sizeof sim->message, form, arguments);
    va_end(arguments);
    return code;
}

static int check(presence_sim *sim) {
    if (!sim) return PRESENCE_EINVAL;
    if (pr_fork_mark_lost(&sim->mark)) return PRESENCE_EFORKED;
    sim->message[0] = 0;
    return 0;
}

static int find(presence_sim *sim, presence_tracker *tracker, pr_virtual_member **out) {
    int failed = check(sim);
    if (failed) return failed;
    *out = tracker ? pr_virtual_member_of(sim->network, tracker->net) : NULL;
    if (*out) return 0;
    return pr_sim_refuse(sim, PRESENCE_EINVAL, "the tracker %s", tracker ? "is no member of this network" : "is NULL");
}

/* As find; the member must not be over. */
static int find_running(presence_sim *sim, presence_tracker *tracker, pr_virtual_member **out) {
    int failed = find(sim, tracker, out);
    if (failed) return failed;
    failed = pr_tracker_enter_read(tracker);
    if (failed) return pr_sim_refuse(sim, failed, "%s is over", tracker->name);
    pr_tracker_leave_read(tracker);
    return 0;
}

int presence_sim_start(presence_sim *sim, presence_config *config, presence_tracker **out) {
    if (out) *out = NULL;
    int failed = check(sim);
    if (failed || !config || !out) return failed ? failed : PRESENCE_EINVAL;
    failed = pr_tracker_open(config, sim->network, out);
    return failed ? pr_sim_refuse(sim, failed, "%s", presence_config_message(config)) : 0;
}

/* ---- time ---- */
uint64_t presence_sim_now(const presence_sim *sim) { return sim ? pr_virtual_now(sim->network) : 0; }

static uint64_t later(presence_sim *sim, uint64_t ms) {
    uint64_t now = pr_virtual_now(sim->network);
    return ms < UINT64_MAX / 2 - now ? now + ms : UINT64_MAX / 2;
}

int presence_sim_run(presence_sim *sim, uint64_t ms) {
    int failed = check(sim);
    if (failed) return failed;
    uint64_t until = later(sim, ms);
    while (pr_virtual_advance(sim->network, until)) {}
    return 0;
}

/* Another thread may have drained them already: what counts is that they came. */
static bool events_came(presence_tracker *tracker) {
    pthread_mutex_lock(&tracker->events);
    bool came = tracker->wake && tracker->queue.appended != tracker->appended_told;
    pthread_mutex_unlock(&tracker->events);
    return came;
}

static bool any_came(presence_sim *sim) {
    bool came = false;
    pr_virtual_lock(sim->network);
    pr_virtual_member *member = NULL;
    while (!came && (member = pr_virtual_next(sim->network, member)) != NULL) {
        came = events_came(pr_virtual_owner(member));
    }
    pr_virtual_unlock(sim->network);
    return came;
}

/* Agreement is looked for in quiet moments alone, and only when something happened since the last look. */
static int settle(presence_sim *sim, uint64_t until, bool heed_events) {
    while (!pr_agreement_reached(sim)) {
        do {
            if (!pr_virtual_advance(sim->network, until)) return PRESENCE_ETIMEDOUT; /* the message says it already */
            if (heed_events && any_came(sim)) return 1;
        } while (!pr_agreement_possible(sim));
    }
    sim->message[0] = 0;
    return heed_events && any_came(sim);
}

int presence_sim_settle(presence_sim *sim, uint64_t limit_ms) {
    int failed = check(sim);
    return failed ? failed : settle(sim, later(sim, limit_ms), false);
}

int presence_sim_step(presence_sim *sim, uint64_t until_ms, int settling) {
    int failed = check(sim);
    if (failed) return failed;
    if (settling) return settle(sim, until_ms, true);
    while (pr_virtual_advance(sim->network, until_ms)) {
        if (any_came(sim)) return 1;
    }
    return 0;
}

int presence_sim_waiting(presence_sim *sim, presence_tracker *tracker) {
    pr_virtual_member *member;
    int failed = find(sim, tracker, &member);
    if (failed) return failed;
    pthread_mutex_lock(&tracker->events);
    bool waiting = tracker->queue.size > 0 || tracker->queue.appended != tracker->appended_told;
    tracker->appended_told = tracker->queue.appended;
    pthread_mutex_unlock(&tracker->events);
    return waiting;
}

/* ---- faults ---- */
int presence_sim_partition(presence_sim *sim, presence_tracker *tracker, int side) {
    pr_virtual_member *member;
    int failed = find_running(sim, tracker, &member);
    if (!failed) pr_virtual_side(sim->network, member, side);
    return failed;
}

int presence_sim_block(presence_sim *sim, presence_tracker *from, presence_tracker *to, int blocked) {
    pr_virtual_member *a, *b;
    int failed = find_running(sim, from, &a);
    if (!failed) failed = find_running(sim, to, &b);
    if (!failed && a == b)
        failed = pr_sim_refuse(sim, PRESENCE_EINVAL, "%s and %s are one member", from->name, to->name);
    return failed ? failed : pr_virtual_block(sim->network, a, b, blocked != 0);
}

int presence_sim_heal(presence_sim *sim) {
    int failed = check(sim);
    if (!failed) pr_virtual_heal(sim->network);
    return failed;
}

int presence_sim_crash(presence_sim *sim, presence_tracker *tracker, int death) {
    pr_virtual_member *member;
    int failed = find(sim, tracker, &member);
    if (failed) return failed;
    if (death != PRESENCE_SIM_KILL && death != PRESENCE_SIM_VANISH) {
        return pr_sim_refuse(sim, PRESENCE_EINVAL, "death is PRESENCE_SIM_KILL or PRESENCE_SIM_VANISH");
    }
    failed = pr_tracker_check(tracker);
    if (failed) return failed;
    pthread_rwlock_wrlock(&tracker->lock);
    failed = tracker->end;
    if (!failed) {
        tracker->end = PRESENCE_ECLOSED;
        tracker->crashed = true;
    }
    pthread_rwlock_unlock(&tracker->lock);
    if (failed) return pr_sim_refuse(sim, failed, "%s is over", tracker->name);
    pr_virtual_crash(sim->network, member, death == PRESENCE_SIM_VANISH);
    return 0;
}

static int pause_or_resume(presence_sim *sim, presence_tracker *tracker, bool pause) {
    pr_virtual_member *member;
    int failed = find_running(sim, tracker, &member);
    if (failed || pr_virtual_pause(sim->network, member, pause)) return failed;
    return pr_sim_refuse(sim, PRESENCE_ESTATE, "%s is %s", tracker->name, pause ? "paused already" : "not paused");
}

int presence_sim_pause(presence_sim *sim, presence_tracker *tracker) { return pause_or_resume(sim, tracker, true); }

int presence_sim_resume(presence_sim *sim, presence_tracker *tracker) { return pause_or_resume(sim, tracker, false); }

int presence_sim_latency(presence_sim *sim, uint32_t min_ms, uint32_t max_ms) {
    int failed = check(sim);
    if (failed) return failed;
    if (min_ms > max_ms || max_ms > LATENCY_MAX_MS) {
        return pr_sim_refuse(sim, PRESENCE_EINVAL, "the latency must be 0 to %d ms, the least first", LATENCY_MAX_MS);
    }
    pr_virtual_latency(sim->network, min_ms, max_ms);
    return 0;
}

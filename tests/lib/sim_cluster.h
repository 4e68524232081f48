/* Words for scenarios in virtual time: small clusters, waits with a bound, asserts that tell what the oracle saw. */
#ifndef PR_TEST_SIM_CLUSTER_H
#define PR_TEST_SIM_CLUSTER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim.h"
#include <string.h>

static inline pr_sim *cluster_new(uint64_t seed) {
    pr_sim *sim = pr_sim_new(seed);
    pr_engine_options *o = pr_sim_options(sim);
    o->heartbeat_ms = 1000;
    o->suspect_ms = 2500;
    o->grace_ms = 600;
    o->permdown_ms = 1200000;
    o->connect_timeout_ms = 1000;
    o->trust_refused = true;
    if (getenv("SIM_TRACE") != NULL) pr_sim_trace(sim, stderr);
    return sim;
}

static inline void cluster_ok(pr_sim *sim) {
    if (pr_sim_failure(sim) != NULL) fail_msg("%s", pr_sim_failure(sim));
}

static inline void cluster_run(pr_sim *sim, uint64_t ms) {
    pr_sim_run(sim, ms);
    cluster_ok(sim);
}

static inline void cluster_free(pr_sim *sim) {
    cluster_ok(sim);
    pr_sim_free(sim);
}

/* Runs until condition holds and gives the virtual ms it took; fails after `most`. */
static inline uint64_t cluster_wait(pr_sim *sim, pr_sim_condition condition, void *user, uint64_t most,
                                    const char *what) {
    uint64_t start = pr_sim_now(sim);
    bool held = pr_sim_until(sim, condition, user, most);
    cluster_ok(sim);
    if (!held) fail_msg("not within %llu ms: %s", (unsigned long long)most, what);
    return pr_sim_now(sim) - start;
}

typedef struct cluster_view {
    int host;
    const char *name;
    int status;
    size_t entries;
} cluster_view;

static inline bool cluster_has_status(pr_sim *sim, void *user) {
    cluster_view *view = user;
    return pr_sim_status(sim, view->host, view->name, NULL) == view->status;
}
static inline uint64_t wait_status(pr_sim *sim, int host, const char *name, int status, uint64_t most) {
    cluster_view view = {.host = host, .name = name, .status = status};
    return cluster_wait(sim, cluster_has_status, &view, most, "the status");
}

static inline bool cluster_has_shown(pr_sim *sim, void *user) {
    cluster_view *view = user;
    return pr_sim_shown(sim, view->host, NULL) == view->entries;
}
static inline uint64_t wait_shown(pr_sim *sim, int host, size_t entries, uint64_t most) {
    cluster_view view = {.host = host, .entries = entries};
    return cluster_wait(sim, cluster_has_shown, &view, most, "the number of entries shown");
}

/* All agree, all are synced, and everybody holds everybody for up. */
static inline bool cluster_settled(pr_sim *sim, void *user) {
    (void)user;
    if (!pr_sim_agreed(sim)) return false;
    for (int a = 0; a < PR_SIM_HOSTS; a++) {
        if (!pr_sim_alive(sim, a)) continue;
        if (pr_engine_synced(pr_sim_engine(sim, a)) == 0) return false;
        for (int b = 0; b < PR_SIM_HOSTS; b++) {
            bool known = false;
            pr_member_info members[PR_SIM_HOSTS + 4];
            if (a == b || !pr_sim_alive(sim, b)) continue;
            size_t size = pr_engine_members(pr_sim_engine(sim, a), members, PR_SIM_HOSTS + 4);
            for (size_t i = 0; i < size && i < PR_SIM_HOSTS + 4; i++)
                known |= members[i].inst == pr_sim_inst(sim, b) && members[i].status == PRESENCE_MEMBER_UP;
            if (!known) return false;
        }
    }
    return true;
}
static inline uint64_t wait_settled(pr_sim *sim, uint64_t most) {
    return cluster_wait(sim, cluster_settled, NULL, most, "all live members agree");
}

static inline const char *member_name(int host) {
    static const char *const names[PR_SIM_HOSTS] = {"ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal"};
    return names[host];
}

/* Members 0 to count - 1; each seeds at host 0 and tracks one entry of its own: topic "room", key = its name. */
static inline void cluster_start(pr_sim *sim, int count, presence_owner *owners) {
    for (int host = 0; host < count; host++) {
        assert_true(pr_sim_start(sim, host, member_name(host), host == 0 ? 0 : 1, 0));
        presence_owner owner = pr_sim_owner(sim, host, 0);
        assert_int_equal(pr_sim_track(sim, host, owner, "room", member_name(host), "{\"n\":1}"), 0);
        if (owners != NULL) owners[host] = owner;
    }
    wait_settled(sim, 8000);
}

static inline presence_statistics cluster_stats(pr_sim *sim, int host) {
    presence_statistics stats;
    memset(&stats, 0, sizeof stats);
    stats.size = sizeof stats;
    pr_engine_stats(pr_sim_engine(sim, host), &stats);
    return stats;
}

#endif

/* Random histories: members under faults of every kind, then healing, and convergence within a bound (P9, P10, P16).
 *
 * Happy path: start two to five members, then some hundred steps, each a local call or a fault followed by a little
 * time; then all faults end, and within the bound every live member shows the union of the live members' own sets.
 * The bound is the sum of what the protocol allows: a dead link is noticed, a dial backs off, a suspicion ripens, a
 * request times out. Afterwards the cluster must be quiet.
 */
#include "engine_probe.h"
#include "sim_state.h"
#include <string.h>

typedef struct history_run {
    pr_sim *sim;
    const pr_sim_plan *plan;
    uint64_t events;
    int names, hosts, twin; /* host `names` runs a second member of the name `twin`; -1: none */
    uint32_t seeds;
    uint32_t flags[PR_SIM_HOSTS];
    bool never[PR_SIM_HOSTS][PR_SIM_HOSTS]; /* pairs that never connect */
    bool load;                              /* writes go on while it heals */
    bool mixed;                             /* every member has settings of its own */
    bool corrupts;                          /* bits flip on the way */
    bool starves;                           /* allocations fail */
    bool jumps;                             /* wall clocks go backwards */
    unsigned faults;                        /* how often, of 100 steps */
} history_run;

static uint64_t pick(pr_sim *sim, const uint32_t *choices, size_t size) { return choices[pr_sim_random(sim, size)]; }
#define PICK(sim, ...)                                                                                                 \
    pick((sim), (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void draw_logs(history_run *run) {
    for (int i = 0; i < 2; i++) {
        pr_engine_options *o = pr_sim_options(run->sim);
        pr_log_options *log = i == 0 ? &o->own_log : &o->replica_log;
        log->ring_min = run->load ? 65536 : (uint32_t)PICK(run->sim, 0, 1, 3, 65536);
        log->ring_share = 0;
        log->stops_max = (uint32_t)PICK(run->sim, 1, 2, 64, 4096);
        log->chunk_target = (uint32_t)PICK(run->sim, 1, 60, 500, 65536);
        log->live_eids_max = (uint32_t)PICK(run->sim, 0, 0, 1, 2);
    }
}

/* What is sent compressed, and what can be read: the others must cope with every mixture. */
static void draw_compression(history_run *run) {
    pr_engine_options *o = pr_sim_options(run->sim);
    o->compression = (enum pr_codec)PICK(run->sim, PR_CODEC_NONE, PR_CODEC_LZ4, PR_CODEC_ZSTD);
    o->compress_least = (uint32_t)PICK(run->sim, 0, 60, PR_COMPRESS_LEAST);
    uint32_t lacks = (uint32_t)PICK(run->sim, 0, 0, PR_FEATURE_LZ4, PR_FEATURE_ZSTD, PR_FEATURE_LZ4 | PR_FEATURE_ZSTD);
    o->features = pr_engine_options_default().features & ~(uint64_t)lacks;
}

/* Settings of one member that are no business of the others, its period among them. */
static void draw_own(history_run *run) {
    pr_engine_options *o = pr_sim_options(run->sim);
    o->heartbeat_ms = (uint32_t)PICK(run->sim, 100, 250, 1000);
    o->high_water = (uint32_t)PICK(run->sim, 1, 200, 4096, 262144);
    o->low_water = o->high_water / 4;
    o->sweep_slice = (uint32_t)PICK(run->sim, 1, 3, 4096);
    draw_logs(run);
    draw_compression(run);
}

static void draw_options(history_run *run) {
    pr_sim *sim = run->sim;
    pr_engine_options *o = pr_sim_options(sim);
    o->heartbeat_ms = (uint32_t)PICK(sim, 100, 250, 1000);
    o->grace_ms = (uint32_t)PICK(sim, 50, 200, 600);
    o->permdown_ms = o->heartbeat_ms * (uint32_t)PICK(sim, 8, 20, 1200);
    o->connect_timeout_ms = (uint32_t)PICK(sim, 200, 1000);
    o->trust_refused = pr_sim_random(sim, 4) != 0;
    o->flush_ms = pr_sim_random(sim, 2) == 0 ? -1 : (int32_t)PICK(sim, 0, 5, 40);
    o->high_water = (uint32_t)PICK(sim, 1, 200, 4096, 262144);
    o->low_water = o->high_water / 4;
    o->sweep_slice = (uint32_t)PICK(sim, 1, 3, 4096);
    draw_logs(run);
    draw_compression(run);
    pr_sim_network *net = pr_sim_net(sim);
    net->latency_min_ms = (uint32_t)PICK(sim, 0, 1, 5);
    net->latency_max_ms = net->latency_min_ms + (uint32_t)PICK(sim, 0, 3, 40);
    net->turn_ms = (uint32_t)PICK(sim, 0, 0, 2, 10);
    net->pieces = pr_sim_random(sim, 2) == 0;
    net->pipe_bytes = PICK(sim, 64, 1000, 65536, 1048576);
    /* An observer is gone at its first silence: a pipe on which one frame takes longer would never let it in. */
    for (int host = 0; host < run->hosts; host++)
        if (run->flags[host] == PR_SIM_OBSERVER && net->pipe_bytes < 65536) net->pipe_bytes = 65536;
}

/* A prompt network, and faults that kill or cut: nobody may be accused wrongly, whatever the wall clocks say. */
static void draw_calm(history_run *run) {
    pr_sim *sim = run->sim;
    sim->calm = true;
    pr_sim_options(sim)->heartbeat_ms = 1000; /* a suspicion ripens later than the later dial of a pair (3.13) */
    pr_sim_options(sim)->grace_ms = 1000;
    pr_sim_options(sim)->permdown_ms = (uint32_t)PICK(sim, 8000, 1200000);
    pr_sim_options(sim)->connect_timeout_ms = 1000;
    pr_sim_net(sim)->latency_max_ms = 5;
    pr_sim_net(sim)->latency_min_ms = (uint32_t)pr_sim_random(sim, 3);
    pr_sim_net(sim)->pipe_bytes = 1 << 20;
}

/* The slowest pipe carries 2500 bytes a period: heartbeats, and the longest frame of a history within the ten periods
 * after which a link is dead (protocol.md 3.13). Less is no network for these settings. */
static void widen_pipe(history_run *run) {
    pr_sim_network *net = pr_sim_net(run->sim);
    uint32_t period = run->mixed ? 100 : pr_sim_options(run->sim)->heartbeat_ms;
    size_t least = 2500 * (size_t)(net->latency_max_ms + net->turn_ms) / period;
    if (net->pipe_bytes < least) net->pipe_bytes = least;
}

static void draw_shape(history_run *run) {
    pr_sim *sim = run->sim;
    run->names = (int)PICK(sim, 2, 3, 3, 4);
    if (run->plan->members != 0) run->names = run->plan->members;
    run->hosts = run->names;
    run->twin = -1;
    if (pr_sim_random(sim, 5) == 0) {
        run->twin = (int)pr_sim_random(sim, (uint64_t)run->names);
        run->hosts++;
        sim_count_fault(sim, PR_SIM_FAULT_TWIN);
    }
    run->load = pr_sim_random(sim, 8) == 0;
    run->corrupts = pr_sim_random(sim, 8) == 0;
    pr_sim_hostile(sim, run->corrupts);
    run->starves = pr_sim_random(sim, 6) == 0;
    run->jumps = pr_sim_random(sim, 2) == 0;
    run->faults = (unsigned)PICK(sim, 5, 15, 30, 50);
    run->seeds = pr_sim_random(sim, 3) == 0 ? 1u : (1u << run->hosts) - 1;
    if (run->names > 2 && pr_sim_random(sim, 5) < 2) {
        int a = 1, b = 2; /* host 0 may be the only seed */
        int how = (int)PICK(sim, PR_DIAL_TIMEOUT, PR_DIAL_UNREACHABLE);
        run->never[a][b] = run->never[b][a] = true;
        sim_count_fault(sim, PR_SIM_FAULT_NEVER);
        pr_sim_forbid(sim, a, b, how);
        pr_sim_forbid(sim, b, a, how);
    }
    if (run->names > 2 && pr_sim_random(sim, 6) == 0) run->flags[run->names - 1] = PR_SIM_DIAL_ONLY;
    if (run->names > 2 && !run->never[1][2] && run->twin < 0 && pr_sim_random(sim, 8) == 0)
        run->flags[run->names - 1] = PR_SIM_OBSERVER;
}

static void start(history_run *run, int host) {
    char name[8];
    if (run->mixed) draw_own(run);
    snprintf(name, sizeof name, "m%d", host < run->names ? host : run->twin);
    if (run->jumps) pr_sim_shift_clock(run->sim, host, -(int64_t)pr_sim_random(run->sim, 60000));
    pr_sim_start(run->sim, host, name, run->seeds, run->flags[host]);
}

static int alive(const history_run *run) {
    int count = 0;
    for (int host = 0; host < run->hosts; host++) count += pr_sim_alive(run->sim, host);
    return count;
}

/* ---- faults ---- */
static void split(history_run *run) {
    bool side[PR_SIM_HOSTS], one_way = pr_sim_random(run->sim, 4) == 0;
    for (int host = 0; host < run->hosts; host++) side[host] = pr_sim_random(run->sim, 2) == 0;
    for (int a = 0; a < run->hosts; a++)
        for (int b = 0; b < run->hosts; b++) {
            if (side[a] == side[b]) continue;
            pr_sim_block(run->sim, a, b, !one_way || side[a]);
            if (pr_sim_random(run->sim, 4) == 0) pr_sim_cut(run->sim, a, b, PR_SIM_CUT_BOTH, 0);
        }
}

static void heal_splits(history_run *run) {
    for (int a = 0; a < run->hosts; a++)
        for (int b = 0; b < run->hosts; b++)
            if (pr_sim_random(run->sim, 4) != 0) {
                pr_sim_block(run->sim, a, b, false);
                if (!run->never[a][b]) pr_sim_forbid(run->sim, a, b, 0);
            }
}

static void stop_or_start(history_run *run, int host) {
    pr_sim *sim = run->sim;
    if (!pr_sim_alive(sim, host)) {
        start(run, host);
        return;
    }
    if (alive(run) < 2) return;
    uint64_t dice = pr_sim_random(sim, 10);
    if (dice < 4)
        pr_sim_crash(sim, host, PR_SIM_KILL);
    else if (dice < 6)
        pr_sim_crash(sim, host, PR_SIM_VANISH);
    else
        pr_sim_leave(sim, host, dice < 9);
    if (!pr_sim_alive(sim, host) && pr_sim_random(sim, 2) == 0) start(run, host);
}

static void fault(history_run *run) {
    pr_sim *sim = run->sim;
    if (sim->calm) {
        stop_or_start(run, (int)pr_sim_random(sim, (uint64_t)run->hosts));
        return;
    }
    int a = (int)pr_sim_random(sim, (uint64_t)run->hosts), b = (int)pr_sim_random(sim, (uint64_t)run->hosts);
    uint64_t dice = pr_sim_random(sim, 100);
    if (dice < 30 && run->plan->broker) {
        sim_broker_fault(sim, run->hosts);
    } else if (dice < 30) {
        if (a != b) pr_sim_cut(sim, a, b, (enum pr_sim_cut)(1 + pr_sim_random(sim, 3)), pr_sim_random(sim, 2000));
    } else if (dice < 40) {
        split(run);
    } else if (dice < 52) {
        heal_splits(run);
    } else if (dice < 57) {
        if (a != b && !run->never[a][b])
            pr_sim_forbid(sim, a, b, (int)PICK(sim, 0, PR_DIAL_TIMEOUT, PR_DIAL_UNREACHABLE, PR_DIAL_UNRESOLVED));
    } else if (dice < 78) {
        stop_or_start(run, a);
    } else if (dice < 92) {
        if (pr_sim_paused(sim, a))
            pr_sim_resume(sim, a, pr_sim_random(sim, 3) == 0);
        else
            pr_sim_pause(sim, a);
    } else if (dice < 94) {
        if (run->starves) pr_sim_starve(sim, a, (uint32_t)PICK(sim, 0, 10, 50, 300));
    } else if (dice < 97) {
        pr_sim_slow_reader(sim, a, (uint32_t)PICK(sim, 0, 0, 10, 100));
    } else {
        pr_sim_stop_reading(sim, a, pr_sim_random(sim, 2) == 0);
    }
}

static void pass_time(history_run *run) {
    uint64_t dice = pr_sim_random(run->sim, 100);
    uint64_t most = dice < 70 ? 10 : dice < 95 ? 200 : pr_sim_options(run->sim)->heartbeat_ms * 4;
    pr_sim_run(run->sim, pr_sim_random(run->sim, most + 1));
}

/* Bits flip while bytes are under way, so right after something was sent. */
static void corrupt(history_run *run) {
    int a = (int)pr_sim_random(run->sim, (uint64_t)run->hosts), b = (int)pr_sim_random(run->sim, (uint64_t)run->hosts);
    if (a != b) pr_sim_corrupt(run->sim, a, b);
}

static void wild(history_run *run) {
    pr_sim *sim = run->sim;
    uint64_t events = 40 + pr_sim_random(sim, 260);
    if (run->plan->exact) events = run->plan->events;
    for (int host = 0; host < run->hosts; host++)
        if (host == 0 || pr_sim_random(sim, 6) != 0) start(run, host);
    while (run->events < events && pr_sim_failure(sim) == NULL) {
        run->events++;
        if (pr_sim_random(sim, 100) < run->faults)
            fault(run);
        else
            pr_sim_random_operation(sim, (int)pr_sim_random(sim, (uint64_t)run->hosts));
        if (run->corrupts && pr_sim_random(sim, 3) == 0) corrupt(run);
        pass_time(run);
    }
}

/* ---- after the faults ---- */
static void heal(history_run *run) {
    pr_sim *sim = run->sim;
    sim_say(sim, NULL, "---- the faults end");
    sim_broker_heal(sim);
    if (run->seeds == 1 && !pr_sim_alive(sim, 0)) start(run, 0);
    for (int a = 0; a < run->hosts; a++) {
        pr_sim_resume(sim, a, false);
        pr_sim_slow_reader(sim, a, 0);
        pr_sim_starve(sim, a, 0);
        pr_sim_stop_reading(sim, a, false);
        for (int b = 0; b < run->hosts; b++) {
            pr_sim_block(sim, a, b, false);
            if (!run->never[a][b]) pr_sim_forbid(sim, a, b, 0);
        }
    }
}

static bool can_connect(const history_run *run, int a, int b) {
    bool both_dial_only = (run->flags[a] & run->flags[b] & PR_SIM_DIAL_ONLY) != 0;
    return !run->never[a][b] && !both_dial_only && pr_sim_alive(run->sim, a) && pr_sim_alive(run->sim, b);
}

static bool connected(const history_run *run) {
    if (run->seeds == 1 && !pr_sim_alive(run->sim, 0)) return false; /* the only seed yielded to a twin */
    uint32_t seen = 0, all = 0;
    for (int host = 0; host < run->hosts; host++)
        if (pr_sim_alive(run->sim, host)) all |= 1u << host;
    seen = all & (~all + 1);
    for (int round = 0; round < run->hosts; round++)
        for (int a = 0; a < run->hosts; a++)
            for (int b = 0; b < run->hosts; b++)
                if ((seen & (1u << a)) != 0 && can_connect(run, a, b)) seen |= 1u << b;
    return seen == all;
}

static bool leaving(const history_run *run) {
    for (int host = 0; host < run->hosts; host++)
        if (pr_sim_alive(run->sim, host) && sim_running(run->sim, host)->leaving) return true;
    return false;
}

static bool same_name(const history_run *run, int a, int b) {
    return strcmp(sim_running(run->sim, a)->name, sim_running(run->sim, b)->name) == 0;
}

static bool converged(pr_sim *sim, void *user) {
    const history_run *run = user;
    if (leaving(run) || !pr_sim_agreed(sim)) return false;
    for (int a = 0; a < run->hosts; a++)
        for (int b = 0; b < run->hosts; b++) {
            pr_member_info info;
            if (a == b || !pr_sim_alive(sim, a) || !pr_sim_alive(sim, b)) continue;
            if (same_name(run, a, b) || pr_sim_status(sim, a, sim_running(sim, b)->name, &info) != PRESENCE_MEMBER_UP ||
                !info.synced || info.inst != pr_sim_inst(sim, b))
                return false;
        }
    return true;
}

static uint64_t bound(const history_run *run) {
    const pr_engine_options *o = pr_sim_options(run->sim);
    uint64_t period = run->mixed ? 1000 : o->heartbeat_ms,
             suspect = o->suspect_ms != 0 ? o->suspect_ms : period * 5 / 2;
    return 10 * period + 2 * suspect + 3 * period + 15000 + o->connect_timeout_ms + 12500;
}

/* Under steady writes every replica goes on and nothing stays hidden (P16). */
static void write_on(history_run *run, uint64_t ms) {
    for (uint64_t end = pr_sim_now(run->sim) + ms; pr_sim_now(run->sim) < end && pr_sim_failure(run->sim) == NULL;) {
        for (int host = 0; host < run->hosts; host++) pr_sim_random_operation(run->sim, host);
        pr_sim_run(run->sim, 50);
    }
}

/* Whether host a shows the log of host b, and has got beyond the version that is awaited. */
static bool gets_on(history_run *run, int a, int b, uint64_t version, pr_engine_log_probe *seen) {
    pr_engine_log_probe probes[32];
    size_t size = pr_engine_probe_logs(pr_sim_engine(run->sim, a), probes, 32);
    for (size_t i = 0; i < size && i < 32; i++) {
        if (probes[i].inst != pr_sim_inst(run->sim, b) || probes[i].log == NULL || probes[i].detached) continue;
        *seen = probes[i];
        return probes[i].shown && pr_log_state(probes[i].log).have >= version;
    }
    return false;
}

/* Over a broker a relay of a log that moves on remembers nothing of who asks: without stops enough it has only LIVE. */
static bool only_relayed(const history_run *run, int a, int b) { return run->plan->broker && run->never[a][b]; }

/* Writes go on; each pair must be seen to get on once: a member may be hidden for a moment. */
static void loaded(history_run *run) {
    uint64_t versions[PR_SIM_HOSTS] = {0};
    write_on(run, bound(run));
    for (int host = 0; host < run->hosts; host++)
        if (pr_sim_alive(run->sim, host))
            versions[host] = sim_history_of(run->sim, pr_sim_inst(run->sim, host), NULL)->version;
    bool done[PR_SIM_HOSTS][PR_SIM_HOSTS] = {{false}};
    for (int round = 0; round < 20 && pr_sim_failure(run->sim) == NULL; round++) {
        size_t missing = 0;
        write_on(run, pr_sim_options(run->sim)->heartbeat_ms + 500);
        for (int a = 0; a < run->hosts && pr_sim_failure(run->sim) == NULL && connected(run); a++)
            for (int b = 0; b < run->hosts; b++) {
                pr_engine_log_probe seen = {.log = NULL};
                if (a == b || done[a][b] || only_relayed(run, a, b) || !pr_sim_alive(run->sim, a) ||
                    !pr_sim_alive(run->sim, b))
                    continue;
                done[a][b] = gets_on(run, a, b, versions[b], &seen);
                missing += !done[a][b];
                if (done[a][b] || round < 19) continue;
                pr_state state = seen.log != NULL ? pr_log_state(seen.log) : (pr_state){.have = 0};
                pr_sim_fail(run->sim, "P16 host %d stands still at (%llu,%llu) of host %d, returning %d, %llu awaited",
                            a, (unsigned long long)state.have, (unsigned long long)state.asof, b, seen.returning,
                            (unsigned long long)versions[b]);
            }
        if (missing == 0) return;
    }
}

static void explain(history_run *run) {
    char text[700] = "";
    size_t used = 0;
    for (int a = 0; a < run->hosts; a++)
        for (int b = 0; b < run->hosts && used < sizeof text; b++) {
            pr_member_info info = {.status = 0};
            if (a == b || !pr_sim_alive(run->sim, a) || !pr_sim_alive(run->sim, b)) continue;
            int status = pr_sim_status(run->sim, a, sim_running(run->sim, b)->name, &info);
            used += (size_t)snprintf(text + used, sizeof text - used, "%d of %d: status %d%s%s%s, %zu shown of %zu; ",
                                     a, b, status, info.synced ? " synced" : "", info.linked ? " linked" : "",
                                     info.inst == pr_sim_inst(run->sim, b) ? "" : " other inst",
                                     pr_sim_shown_of(run->sim, a, b), pr_sim_shown_of(run->sim, b, b));
        }
    pr_sim_fail(run->sim, "P9 not converged: %s", text);
}

/* P10: queues drain, and a cluster at rest sends little more than heartbeats. false: it converged, but not for good: a
 * link that is dead without a word was not noticed yet, and what it takes to start over is no rest. */
static bool rests(history_run *run) {
    pr_sim *sim = run->sim;
    uint64_t periods = 5, pairs = (uint64_t)(run->hosts * (run->hosts - 1) / 2);
    pr_sim_run(sim, 1000);
    uint64_t before = pr_sim_frames(sim);
    for (uint64_t period = 0; period < periods && converged(sim, run); period++)
        pr_sim_run(sim, pr_sim_options(sim)->heartbeat_ms);
    uint64_t sent = pr_sim_frames(sim) - before;
    if (pr_sim_failure(sim) != NULL || !converged(sim, run)) return false;
    if (run->mixed) pairs *= 10; /* periods from 100 to 1000 ms */
    if (sent > pairs * 2 * periods * 3 + 30)
        pr_sim_fail(sim, "P10 %llu frames in %llu periods of rest, %d members", (unsigned long long)sent,
                    (unsigned long long)periods, alive(run));
    return true;
}

static void converge(history_run *run, pr_sim_outcome *outcome) {
    pr_sim *sim = run->sim;
    uint64_t start = pr_sim_now(sim), end = start + bound(run);
    while (pr_sim_failure(sim) == NULL) {
        uint64_t left = pr_sim_now(sim) < end ? end - pr_sim_now(sim) : 0;
        bool done = pr_sim_until(sim, converged, run, left);
        outcome->compared = connected(run);
        outcome->converged_ms = pr_sim_now(sim) - start;
        if (!done || rests(run)) {
            if (!done && outcome->compared && pr_sim_failure(sim) == NULL) explain(run);
            return;
        }
    }
}

/* Members meet at the broker: there are no seeds, and nobody has to be dialled. */
static void use_broker(history_run *run) {
    pr_sim_use_broker(run->sim, run->plan->seed);
    sim_broker_draw(run->sim, run->corrupts);
    if (run->sim->calm) sim_broker_calm(run->sim);
    run->seeds = 0;
    for (int host = 0; host < run->hosts; host++) run->flags[host] &= ~PR_SIM_DIAL_ONLY;
}

bool pr_sim_history(const pr_sim_plan *plan, pr_sim_outcome *outcome) {
    history_run run = {.sim = pr_sim_new(plan->seed), .plan = plan};
    memset(outcome, 0, sizeof *outcome);
    pr_sim_trace(run.sim, plan->trace);
    draw_shape(&run);
    draw_options(&run);
    run.mixed = pr_sim_random(run.sim, 4) == 0;
    if (run.mixed) pr_sim_options(run.sim)->permdown_ms = (uint32_t)PICK(run.sim, 8000, 20000, 1200000);
    if (run.twin < 0 && !run.mixed && !run.corrupts && !run.never[1][2] && pr_sim_random(run.sim, 5) == 0)
        draw_calm(&run);
    widen_pipe(&run);
    if (plan->broker) use_broker(&run);
    wild(&run);
    if (pr_sim_failure(run.sim) == NULL) heal(&run);
    if (run.load && pr_sim_failure(run.sim) == NULL) loaded(&run);
    if (pr_sim_failure(run.sim) == NULL) converge(&run, outcome);
    for (int host = 0; host < run.hosts; host++)
        if (pr_sim_alive(run.sim, host)) sim_add_totals(run.sim, sim_running(run.sim, host));
    outcome->totals = run.sim->totals;
    outcome->events = run.events;
    outcome->steps = run.sim->steps;
    outcome->virtual_ms = pr_sim_now(run.sim);
    if (pr_sim_failure(run.sim) != NULL)
        snprintf(outcome->failure, sizeof outcome->failure, "%s", pr_sim_failure(run.sim));
    pr_sim_free(run.sim);
    return outcome->failure[0] == 0;
}

/* The world: members that start, run and end in virtual time, and what becomes of the actions of their engines. */
#include "hash.h"
#include "sim_state.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* A test tool: without memory there is nothing to test. */
void *sim_resize(pr_sim *sim, void *block, size_t old_size, size_t size) {
    void *more = pr_resize(&sim->alloc, block, old_size, size);
    if (more == NULL) abort();
    if (size > old_size) memset((char *)more + old_size, 0, size - old_size);
    return more;
}

/* ---- the memory of one engine is counted ---- */
static bool starves(sim_process *process) {
    return process->starve != 0 && pr_random_next(&process->starve_random) % process->starve == 0;
}

static void *counted_alloc(size_t size, void *user) {
    sim_process *process = user;
    void *block = starves(process) ? NULL : malloc(size);
    if (block == NULL) return NULL;
    process->memory += size;
    if (process->memory > process->peak) process->peak = process->memory;
    return block;
}

static void *counted_resize(void *block, size_t old_size, size_t size, void *user) {
    sim_process *process = user;
    void *more = starves(process) ? NULL : realloc(block, size);
    if (more == NULL) return NULL;
    process->memory += size - (block == NULL ? 0 : old_size);
    if (process->memory > process->peak) process->peak = process->memory;
    return more;
}

static void counted_release(void *block, size_t size, void *user) {
    sim_process *process = user;
    if (block != NULL) process->memory -= size;
    free(block);
}

/* ---- life of the simulator ---- */
pr_sim *pr_sim_new(uint64_t seed) {
    pr_alloc alloc = pr_alloc_default();
    pr_sim *sim = pr_new(&alloc, sizeof *sim);
    if (sim == NULL || pr_decoder_new(&alloc, &sim->decoder) != 0) abort();
    sim->alloc = alloc;
    sim->random = pr_fmix64(seed + 1); /* streams of neighbours have nothing in common */
    sim->next_link = 1;
    sim->network = (pr_sim_network){.latency_min_ms = 1, .latency_max_ms = 1, .pipe_bytes = 1 << 20};
    sim->options = pr_engine_options_default();
    sim->options.cluster = pr_cstr("sim");
    for (int host = 0; host < PR_SIM_HOSTS; host++) sim->hosts[host].process = -1;
    return sim;
}

static void process_free(pr_sim *sim, sim_process *process) {
    pr_engine_free(process->engine);
    sim_client_free(sim, &process->client);
    if (process->memory != 0) pr_sim_fail(sim, "engine of %s leaves %zu bytes behind", process->name, process->memory);
    sim_view_free(sim, &process->view);
    pr_delete(&sim->alloc, process->owners, process->owners_size * sizeof *process->owners);
    pr_delete(&sim->alloc, process, sizeof *process);
}

void pr_sim_free(pr_sim *sim) {
    if (sim == NULL) return;
    for (size_t i = 0; i < sim->processes_size; i++) process_free(sim, sim->processes[i]);
    pr_delete(&sim->alloc, sim->processes, sim->processes_size * sizeof *sim->processes);
    sim_network_free(sim);
    sim_oracle_free(sim);
    pr_decoder_free(sim->decoder);
    pr_alloc alloc = sim->alloc;
    pr_delete(&alloc, sim, sizeof *sim);
}

void pr_sim_trace(pr_sim *sim, FILE *trace) { sim->trace = trace; }

uint64_t pr_sim_now(const pr_sim *sim) { return sim->now; }

uint64_t pr_sim_random(pr_sim *sim, uint64_t below) { return below == 0 ? 0 : pr_random_next(&sim->random) % below; }

uint64_t sim_latency(pr_sim *sim) {
    const pr_sim_network *net = &sim->network;
    uint64_t span = net->latency_max_ms >= net->latency_min_ms ? net->latency_max_ms - net->latency_min_ms : 0;
    return net->latency_min_ms + pr_sim_random(sim, span + 1);
}

const char *pr_sim_failure(const pr_sim *sim) { return sim->failure[0] != 0 ? sim->failure : NULL; }

void pr_sim_fail(pr_sim *sim, const char *format, ...) {
    if (sim->failure[0] != 0) return;
    int used = snprintf(sim->failure, sizeof sim->failure, "at %llu ms: ", (unsigned long long)sim->now);
    va_list args;
    va_start(args, format);
    vsnprintf(sim->failure + used, sizeof sim->failure - (size_t)used, format, args);
    va_end(args);
    if (sim->trace != NULL) fprintf(sim->trace, "FAILED %s\n", sim->failure);
}

void sim_say(pr_sim *sim, const sim_process *process, const char *format, ...) {
    if (sim->trace == NULL) return;
    fprintf(sim->trace, "%7llu ", (unsigned long long)sim->now);
    if (process != NULL)
        fprintf(sim->trace, "%d:%s/%04llx ", process->host, process->name,
                (unsigned long long)(process->inst & 0xffff));
    va_list args;
    va_start(args, format);
    vfprintf(sim->trace, format, args);
    va_end(args);
    fputc('\n', sim->trace);
}

void pr_sim_listen(pr_sim *sim, pr_sim_listener listener, void *user) {
    sim->listener = listener;
    sim->listener_user = user;
}

pr_sim_network *pr_sim_net(pr_sim *sim) { return &sim->network; }

pr_engine_options *pr_sim_options(pr_sim *sim) { return &sim->options; }

void pr_sim_hostile(pr_sim *sim, bool hostile) { sim->hostile = hostile; }

bool pr_sim_run(pr_sim *sim, uint64_t ms) {
    uint64_t until = sim->now + ms;
    while (sim->failure[0] == 0 && sim_step(sim, until)) {}
    if (sim->failure[0] == 0) sim->now = until;
    return sim->failure[0] == 0;
}

bool pr_sim_until(pr_sim *sim, pr_sim_condition condition, void *user, uint64_t ms) {
    uint64_t until = sim->now + ms;
    while (sim->failure[0] == 0) {
        if (condition(sim, user)) return true;
        if (!sim_step(sim, until)) break;
    }
    if (sim->failure[0] == 0) sim->now = until;
    return sim->failure[0] == 0 && condition(sim, user);
}

/* ---- members ---- */
sim_process *sim_running(const pr_sim *sim, int host) {
    int index = sim->hosts[host].process;
    if (index < 0 || !sim->processes[index]->alive) return NULL;
    return sim->processes[index];
}

pr_time sim_time(const pr_sim *sim, const sim_process *process) {
    pr_time time = {(uint64_t)((int64_t)sim->now + process->mono_offset),
                    (uint64_t)((int64_t)sim->now + process->boot_offset)};
    return time;
}

static void make_engine(pr_sim *sim, sim_process *process, uint32_t seeds, uint32_t flags) {
    pr_engine_options options = sim->options;
    char address[16], seed_texts[PR_SIM_HOSTS][16];
    presence_str seed_strings[PR_SIM_HOSTS];
    size_t count = 0;
    for (int host = 0; host < PR_SIM_HOSTS; host++) {
        if ((seeds & (1u << host)) == 0) continue;
        snprintf(seed_texts[count], sizeof seed_texts[count], "sim:%d", host);
        seed_strings[count] = pr_cstr(seed_texts[count]);
        count++;
    }
    snprintf(address, sizeof address, "sim:%d", process->host);
    options.name = pr_cstr(process->name);
    options.inst = process->inst;
    options.inc =
        (uint64_t)(1000000000000 + (int64_t)sim->now + sim->hosts[process->host].clock_shift + process->host % 2);
    options.seed = pr_random_next(&sim->random);
    options.addresses[0] = pr_cstr(address);
    options.addresses_size = (flags & (PR_SIM_DIAL_ONLY | PR_SIM_OBSERVER)) != 0 ? 0 : 1;
    options.observer = (flags & PR_SIM_OBSERVER) != 0;
    options.seeds = seed_strings;
    options.seeds_size = count;
    process->dial_only = options.addresses_size == 0;
    process->observer = options.observer;
    process->permdown_ms = options.permdown_ms;
    process->chunk_target[0] = options.own_log.chunk_target;
    process->chunk_target[1] = options.replica_log.chunk_target;
    int failed = pr_engine_new(&process->alloc, &options, sim_time(sim, process), &process->engine);
    if (failed != 0) {
        pr_sim_fail(sim, "pr_engine_new gives %d", failed);
        return;
    }
    pr_store_watch_all(pr_engine_store_for_watch(process->engine), true);
    sim_say(sim, process, "starts, inst %016llx inc %llu", (unsigned long long)options.inst,
            (unsigned long long)options.inc);
}

bool pr_sim_start(pr_sim *sim, int host, const char *name, uint32_t seeds, uint32_t flags) {
    if (sim_running(sim, host) != NULL) return false;
    sim_process *process = sim_resize(sim, NULL, 0, sizeof *process);
    size_t size = sim->processes_size;
    sim->processes =
        sim_resize(sim, sim->processes, size * sizeof *sim->processes, (size + 1) * sizeof *sim->processes);
    sim->processes[size] = process;
    sim->processes_size = size + 1;
    if (sim->hosts[host].process >= 0) sim_count_fault(sim, PR_SIM_FAULT_RESTART);
    sim->hosts[host].process = (int)size;
    sim->hosts[host].vanished = false;
    process->host = host;
    snprintf(process->name, sizeof process->name, "%s", name);
    do process->inst = pr_random_next(&sim->random);
    while (process->inst == 0);
    process->alloc = (pr_alloc){counted_alloc, counted_resize, counted_release, process};
    process->mono_offset = (int64_t)pr_sim_random(sim, 1 << 30);
    process->boot_offset = process->mono_offset + (int64_t)pr_sim_random(sim, 1 << 20);
    process->alive = true;
    sim_network_host_back(sim, host);
    sim_client_start(sim, process);
    sim_oracle_start(sim, process->inst, name);
    make_engine(sim, process, seeds, flags);
    if (process->engine != NULL) sim_after(sim, process);
    return sim->failure[0] == 0;
}

void pr_sim_shift_clock(pr_sim *sim, int host, int64_t ms) {
    if (sim->hosts[host].clock_shift != ms) sim_count_fault(sim, PR_SIM_FAULT_CLOCK);
    sim->hosts[host].clock_shift = ms;
}

void sim_add_totals(pr_sim *sim, const sim_process *process) {
    presence_statistics stats;
    memset(&stats, 0, sizeof stats);
    stats.size = sizeof stats;
    pr_engine_stats(process->engine, &stats);
    sim->totals.segments += stats.segments_applied;
    sim->totals.lives += stats.lives_applied;
    sim->totals.gaps += stats.gaps;
    sim->totals.stale += stats.frames_stale;
    sim->totals.dropped += stats.frames_dropped;
    sim->totals.frames += stats.frames_in;
    sim->totals.downs += process->counts.downs;
    sim->totals.errors += process->counts.errors;
    sim->totals.yields += process->yielded;
}

void sim_end_process(pr_sim *sim, sim_process *process, bool vanish) {
    process->alive = false;
    sim->hosts[process->host].vanished = vanish;
    sim->hosts[process->host].deaf = false;
    sim_oracle_end(sim, process->inst);
    int index = 0;
    while (sim->processes[index] != process) index++;
    sim_network_process_ended(sim, index, vanish);
    sim_client_free(sim, &process->client);
    sim_add_totals(sim, process);
    pr_engine_free(process->engine);
    process->engine = NULL;
    if (process->memory != 0) pr_sim_fail(sim, "engine of %s leaves %zu bytes behind", process->name, process->memory);
}

void pr_sim_crash(pr_sim *sim, int host, enum pr_sim_death death) {
    sim_process *process = sim_running(sim, host);
    if (process == NULL) return;
    sim_count_fault(sim, death == PR_SIM_VANISH ? PR_SIM_FAULT_VANISH : PR_SIM_FAULT_KILL);
    sim_say(sim, process, "%s", death == PR_SIM_VANISH ? "vanishes" : "is killed");
    sim_end_process(sim, process, death == PR_SIM_VANISH);
}

void pr_sim_leave(pr_sim *sim, int host, bool flush) {
    sim_process *process = sim_running(sim, host);
    if (process == NULL || process->paused) return;
    sim_count_fault(sim, PR_SIM_FAULT_LEAVE);
    sim_say(sim, process, "leaves%s", flush ? "" : " without a word");
    process->leaving = true;
    process->leave_by = sim->now + (flush ? 1000 : 0);
    if (!flush) process->client.attached = false;
    pr_engine_leave(process->engine, sim_time(sim, process));
    sim_after(sim, process);
    if (process->alive && !flush) sim_end_process(sim, process, false);
}

void pr_sim_pause(pr_sim *sim, int host) {
    sim_process *process = sim_running(sim, host);
    if (process == NULL || process->paused) return;
    sim_count_fault(sim, PR_SIM_FAULT_PAUSE);
    sim_say(sim, process, "is stopped");
    process->paused = true;
    process->paused_at = sim->now;
}

void pr_sim_resume(pr_sim *sim, int host, bool slept) {
    sim_process *process = sim_running(sim, host);
    if (process == NULL || !process->paused) return;
    process->paused = false;
    if (slept) sim_count_fault(sim, PR_SIM_FAULT_SLEEP);
    if (slept) process->mono_offset -= (int64_t)(sim->now - process->paused_at);
    process->waited = true;
    sim_say(sim, process, "goes on after %llu ms%s", (unsigned long long)(sim->now - process->paused_at),
            slept ? " of sleep" : "");
}

bool pr_sim_alive(const pr_sim *sim, int host) { return sim_running(sim, host) != NULL; }

bool pr_sim_paused(const pr_sim *sim, int host) {
    const sim_process *process = sim_running(sim, host);
    return process != NULL && process->paused;
}

bool pr_sim_yielded(const pr_sim *sim, int host) {
    int index = sim->hosts[host].process;
    return index >= 0 && sim->processes[index]->yielded;
}

pr_engine *pr_sim_engine(pr_sim *sim, int host) {
    sim_process *process = sim_running(sim, host);
    return process != NULL ? process->engine : NULL;
}

uint64_t pr_sim_inst(const pr_sim *sim, int host) {
    int index = sim->hosts[host].process;
    return index >= 0 ? sim->processes[index]->inst : 0;
}

pr_time pr_sim_clock(const pr_sim *sim, int host) { return sim_time(sim, sim->processes[sim->hosts[host].process]); }

size_t pr_sim_memory(const pr_sim *sim, int host, bool peak) {
    const sim_process *process = sim_running(sim, host);
    return process == NULL ? 0 : peak ? process->peak : process->memory;
}

void pr_sim_reset_peak(pr_sim *sim, int host) {
    sim_process *process = sim_running(sim, host);
    if (process != NULL) process->peak = process->memory;
}

void pr_sim_starve(pr_sim *sim, int host, uint32_t one_in) {
    sim_process *process = sim_running(sim, host);
    if (process == NULL) return;
    if (one_in != 0) sim_count_fault(sim, PR_SIM_FAULT_STARVE);
    sim_say(sim, process, "starves (%u)", one_in);
    process->starve = one_in;
    process->starved |= one_in != 0;
    process->starve_random = pr_random_next(&sim->random);
}

const pr_sim_counts *pr_sim_count(const pr_sim *sim, int host) {
    return &sim->processes[sim->hosts[host].process]->counts;
}

/* ---- actions ---- */
static bool lives(const pr_sim *sim, uint64_t inst) {
    const sim_history *history = sim_history_of(sim, inst, NULL);
    return history != NULL && history->running;
}

static void take_member(pr_sim *sim, sim_process *process, const pr_member_info *member) {
    process->counts.member_events++;
    /* Of a member without a link one may hear nothing, if whoever told of it has left before the two could meet. */
    bool unmet = !member->linked && strcmp(member->reason, "silence") == 0;
    if (sim->calm && member->status == PRESENCE_MEMBER_DOWN && !unmet && lives(sim, member->inst))
        pr_sim_fail(sim, "%s accuses %s, which lives (%s)", process->name, member->name, member->reason);
    if (member->status == PRESENCE_MEMBER_DOWN) process->counts.downs++;
    if (member->status == PRESENCE_MEMBER_PERMDOWN) sim->totals.permdowns++;
    bool replaced = member->reason != NULL && strcmp(member->reason, "replaced") == 0;
    if (member->status == PRESENCE_MEMBER_LEFT) *(replaced ? &sim->totals.replaced : &sim->totals.lefts) += 1;
    sim_say(sim, process, "member %s/%04llx status %d (%s)%s", member->name,
            (unsigned long long)(member->inst & 0xffff), member->status, member->reason ? member->reason : "",
            member->synced ? " synced" : "");
}

static void take_error(pr_sim *sim, sim_process *process, const pr_action *action) {
    process->counts.errors++;
    process->counts.last_error = action->as.error.code;
    sim_say(sim, process, "error %d: %s", action->as.error.code, action->as.error.text);
    /* honest members never break the protocol, whatever happens to their links */
    if (!sim->hostile && action->as.error.code == PRESENCE_EPROTOCOL)
        pr_sim_fail(sim, "%s reports a protocol error: %s", process->name, action->as.error.text);
}

static void take_action(pr_sim *sim, sim_process *process, pr_action *action) {
    if (sim->listener != NULL) sim->listener(sim->listener_user, sim, process->host, action);
    switch (action->kind) {
    case PR_ACTION_SEND:
        sim_send(sim, process, action->as.send.link, action->as.send.bytes->data, action->as.send.bytes->size);
        pr_bytes_release(action->as.send.bytes);
        return;
    case PR_ACTION_PUBLISH:
        sim_publish(sim, process, action->as.publish.subject, action->as.publish.bytes);
        pr_bytes_release(action->as.publish.bytes);
        return;
    case PR_ACTION_DIAL: sim_dial_start(sim, process, action); return;
    case PR_ACTION_CLOSE: sim_close(sim, process, action->as.close.link); return;
    case PR_ACTION_DIFF:
        sim_view_diff(sim, process, action->as.diff);
        pr_diff_free(action->as.diff);
        return;
    case PR_ACTION_MEMBER: take_member(sim, process, &action->as.member); return;
    case PR_ACTION_SYNCED:
        process->counts.synced = sim->now + 1;
        sim_say(sim, process, "synced (%d)", action->as.synced);
        return;
    case PR_ACTION_ERROR: take_error(sim, process, action); return;
    case PR_ACTION_YIELD:
        process->yielded = true;
        if (sim->calm) pr_sim_fail(sim, "P19 %s yields, but its name is held by nobody else", process->name);
        sim_say(sim, process, "yields its name");
        return;
    default: pr_sim_fail(sim, "%s: unknown action %d", process->name, action->kind);
    }
}

void sim_after(pr_sim *sim, sim_process *process) {
    pr_action action;
    while (pr_engine_next_action(process->engine, &action)) take_action(sim, process, &action);
    if (sim->failure[0] != 0) return;
    uint32_t starve = process->starve;
    process->starve = 0; /* the checks are no part of the member */
    sim_check(sim, process);
    process->starve = starve;
    if (process->yielded && sim->failure[0] == 0) sim_end_process(sim, process, false);
}

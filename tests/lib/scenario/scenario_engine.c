/* The verbs of the engine world but expect: members, faults, time, local calls (protocol.md 3.14). */
#include "scenario_engine.h"
#include "engine_probe.h"
#include <stdlib.h>
#include <string.h>

int scn_host(scn_run *run, const char *name) {
    scn_engine *world = scn_engine_of(run);
    for (int host = 0; host < PR_SIM_HOSTS; host++)
        if (strcmp(world->hosts[host], name) == 0) return host;
    scn_fail(run, "no member \"%s\"", name);
    return -1;
}

/* ---- what the members say ---- */
static const char *status_name(int status) {
    static const char *const names[] = {"?", "up", "suspect", "down", "permdown", "left", "conflict"};
    return status > 0 && status < 7 ? names[status] : "?";
}

static void hear_diff(scn_engine *world, int host, const pr_diff *diff) {
    char topic[PR_TOPIC_MAX + 1];
    snprintf(topic, sizeof topic, "%.*s", (int)diff->topic.size, diff->topic.data);
    scn_entry *entry = scn_transcript_add(&world->diffs[host], topic, NULL);
    for (size_t i = 0; i < diff->size; i++) {
        const pr_diff_item *item = &diff->items[i];
        presence_ref ref, prev = {""};
        pr_ref_format(&ref, item->inst, item->dot);
        if (item->prev_dot != 0) pr_ref_format(&prev, item->inst, item->prev_dot);
        presence_entry shown = {.key = item->key,
                                .meta = item->meta,
                                .prev_meta = item->prev_meta,
                                .ref = pr_cstr(ref.text),
                                .prev_ref = pr_cstr(prev.text),
                                .kind = item->kind,
                                .reason = item->reason,
                                .first = item->first,
                                .last = item->last};
        scn_items_add(&entry->items, &shown);
    }
}

static void listen(void *user, pr_sim *sim, int host, const pr_action *action) {
    scn_run *run = user;
    scn_engine *world = scn_engine_of(run);
    char text[PR_MEMBER_NAME_MAX + 32];
    (void)sim;
    switch (action->kind) {
    case PR_ACTION_DIFF: hear_diff(world, host, action->as.diff); return;
    case PR_ACTION_SEND:
        scn_wire_sent(run, host, action->as.send.link, action->as.send.bytes->data, action->as.send.bytes->size);
        return;
    case PR_ACTION_MEMBER:
        snprintf(text, sizeof text, "%s", status_name(action->as.member.status));
        scn_transcript_add(&world->members[host], action->as.member.name, text);
        return;
    default: return;
    }
}

/* ---- life of the world ---- */
static void *open_world(scn_run *run) {
    scn_engine *world = calloc(1, sizeof *world);
    pr_alloc alloc = pr_alloc_default();
    if (world == NULL || pr_decoder_new(&alloc, &world->decoder) != 0) abort();
    world->sim = pr_sim_new(run->seed);
    pr_engine_options *o = pr_sim_options(world->sim);
    o->suspect_ms = 2500;
    o->trust_refused = true;
    o->flush_ms = 0;
    pr_sim_net(world->sim)->pieces = run->seed % 2 == 0;
    pr_sim_trace(world->sim, run->trace);
    pr_sim_listen(world->sim, listen, run);
    return world;
}

static void check_world(scn_run *run) {
    const char *failure = pr_sim_failure(scn_engine_of(run)->sim);
    if (failure != NULL) scn_fail(run, "%s", failure);
}

static void close_world(scn_run *run) {
    scn_engine *world = scn_engine_of(run);
    pr_sim_free(world->sim);
    pr_decoder_free(world->decoder);
    for (int host = 0; host < PR_SIM_HOSTS; host++) {
        scn_transcript_free(&world->diffs[host]);
        scn_transcript_free(&world->members[host]);
    }
    scn_transcript_free(&world->wire);
    free(world);
}

/* ---- settings ---- */
static void set_option(scn_run *run, const char *name, uint64_t value) {
    pr_engine_options *o = pr_sim_options(scn_engine_of(run)->sim);
    const struct {
        const char *name;
        uint32_t *first, *second;
    } options[] = {
        {"heartbeat", &o->heartbeat_ms, NULL},
        {"suspect", &o->suspect_ms, NULL},
        {"grace", &o->grace_ms, NULL},
        {"permdown", &o->permdown_ms, NULL},
        {"connect_timeout", &o->connect_timeout_ms, NULL},
        {"flush", (uint32_t *)&o->flush_ms, NULL},
        {"high_water", &o->high_water, NULL},
        {"low_water", &o->low_water, NULL},
        {"meta_bytes", &o->meta_bytes, NULL},
        {"sweep_slice", &o->sweep_slice, NULL},
        {"ring", &o->own_log.ring_min, &o->replica_log.ring_min},
        {"ring_share", &o->own_log.ring_share, &o->replica_log.ring_share},
        {"stops", &o->own_log.stops_max, &o->replica_log.stops_max},
        {"chunk", &o->own_log.chunk_target, &o->replica_log.chunk_target},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        if (strcmp(options[i].name, name) != 0) continue;
        *options[i].first = (uint32_t)value;
        if (options[i].second != NULL) *options[i].second = (uint32_t)value;
        return;
    }
    scn_fail(run, "no option \"%s\"", name);
}

/* options heartbeat=500ms ring=2 …: of members started later */
static void verb_options(scn_run *run, scn_call *call) {
    for (int i = 1; i < call->size; i++) {
        uint64_t value;
        char *equals = strchr(call->words[i], '=');
        if (equals == NULL || (!scn_duration(equals + 1, &value) && !scn_number(equals + 1, &value))) {
            scn_fail(run, "cannot read option \"%s\"", call->words[i]);
            return;
        }
        *equals = 0;
        set_option(run, call->words[i], value);
    }
}

/* net latency=1..40 pipe=4096 turn=10 pieces=no */
static void verb_net(scn_run *run, scn_call *call) {
    pr_sim_network *net = pr_sim_net(scn_engine_of(run)->sim);
    const char *latency = scn_option(call, "latency"), *pipe = scn_option(call, "pipe"),
               *turn = scn_option(call, "turn"), *pieces = scn_option(call, "pieces");
    if (latency != NULL) {
        char *end;
        net->latency_min_ms = net->latency_max_ms = (uint32_t)strtoul(latency, &end, 10);
        if (strncmp(end, "..", 2) == 0) net->latency_max_ms = (uint32_t)strtoul(end + 2, NULL, 10);
    }
    if (pipe != NULL) net->pipe_bytes = strtoul(pipe, NULL, 10);
    if (turn != NULL) net->turn_ms = (uint32_t)strtoul(turn, NULL, 10);
    if (pieces != NULL) net->pieces = strcmp(pieces, "yes") == 0;
}

static void verb_hostile(scn_run *run, scn_call *call) {
    (void)call;
    pr_sim_hostile(scn_engine_of(run)->sim, true);
}

/* ---- members ---- */
static int new_host(scn_run *run, const char *name) {
    scn_engine *world = scn_engine_of(run);
    for (int host = 0; host < PR_SIM_HOSTS; host++)
        if (strcmp(world->hosts[host], name) == 0) return host;
    for (int host = 0; host < PR_SIM_HOSTS; host++)
        if (world->hosts[host][0] == 0) {
            snprintf(world->hosts[host], sizeof world->hosts[host], "%s", name);
            return host;
        }
    scn_fail(run, "too many members");
    return -1;
}

/* seeds=a,b names hosts, which need not run yet; without it the first host, for itself none. */
static uint32_t read_seeds(scn_run *run, const char *list, int self) {
    uint32_t seeds = 0;
    char copy[128];
    if (list == NULL) return self == 0 ? 0 : 1;
    if (strcmp(list, "none") == 0) return 0;
    snprintf(copy, sizeof copy, "%s", list);
    for (char *save = NULL, *name = strtok_r(copy, ",", &save); name != NULL; name = strtok_r(NULL, ",", &save)) {
        int host = new_host(run, name);
        if (host >= 0) seeds |= 1u << host;
    }
    return seeds;
}

/* start a [name=x] [seeds=b,c] [clock=-1h] [dial-only] [observer] */
static void verb_start(scn_run *run, scn_call *call) {
    scn_engine *world = scn_engine_of(run);
    int host = new_host(run, call->words[1]);
    if (host < 0) return;
    const char *name = scn_option(call, "name"), *clock = scn_option(call, "clock");
    const char *cluster = scn_option(call, "cluster");
    uint64_t ms = 0;
    uint32_t flags =
        (scn_flag(call, "dial-only") ? PR_SIM_DIAL_ONLY : 0) | (scn_flag(call, "observer") ? PR_SIM_OBSERVER : 0);
    if (clock != NULL && !scn_duration(clock + (*clock == '-'), &ms)) scn_fail(run, "what clock?");
    pr_sim_shift_clock(world->sim, host, clock != NULL && *clock == '-' ? -(int64_t)ms : (int64_t)ms);
    pr_sim_options(world->sim)->cluster = pr_cstr(cluster != NULL ? cluster : "sim");
    if (run->failure[0] != 0) return;
    if (!pr_sim_start(world->sim, host, name != NULL ? name : call->words[1],
                      read_seeds(run, scn_option(call, "seeds"), host), flags) &&
        pr_sim_failure(world->sim) == NULL)
        scn_fail(run, "%s runs already", call->words[1]);
    world->insts[host][world->starts[host]++ % 2048] = pr_sim_inst(world->sim, host);
    memset(&world->before[host], 0, sizeof world->before[host]);
    world->leaving[host] = false;
    for (size_t i = 0; i < world->owners_size; i++)
        if (world->owners[i].host == host) world->owners[i--] = world->owners[--world->owners_size];
}

static void verb_crash(scn_run *run, scn_call *call) {
    int host = scn_host(run, call->words[1]);
    if (host >= 0)
        pr_sim_crash(scn_engine_of(run)->sim, host,
                     strcmp(call->words[0], "vanish") == 0 ? PR_SIM_VANISH : PR_SIM_KILL);
}

static void verb_leave(scn_run *run, scn_call *call) {
    int host = scn_host(run, call->words[1]);
    if (host < 0) return;
    scn_engine_of(run)->leaving[host] = true;
    pr_sim_leave(scn_engine_of(run)->sim, host, !scn_flag(call, "unflushed"));
}

static void verb_pause(scn_run *run, scn_call *call) {
    int host = scn_host(run, call->words[1]);
    if (host >= 0) pr_sim_pause(scn_engine_of(run)->sim, host);
}

static void verb_resume(scn_run *run, scn_call *call) {
    int host = scn_host(run, call->words[1]);
    if (host >= 0) pr_sim_resume(scn_engine_of(run)->sim, host, scn_flag(call, "slept"));
}

/* ---- network faults ---- */
static void block(scn_engine *world, int from, int to, bool blocked) {
    world->blocked[from][to] = blocked;
    pr_sim_block(world->sim, from, to, blocked);
}

/* partition a b | c | d: packets between the groups wait */
static void verb_partition(scn_run *run, scn_call *call) {
    int group[PR_SIM_HOSTS], groups = 1;
    for (int host = 0; host < PR_SIM_HOSTS; host++) group[host] = 0;
    for (int i = 1; i < call->size; i++) {
        int host = strcmp(call->words[i], "|") == 0 ? (groups++, -1) : scn_host(run, call->words[i]);
        if (host >= 0) group[host] = groups;
    }
    for (int a = 0; a < PR_SIM_HOSTS; a++)
        for (int b = 0; b < PR_SIM_HOSTS; b++)
            if (group[a] != group[b] && group[a] != 0 && group[b] != 0) block(scn_engine_of(run), a, b, true);
}

/* split a c: only this pair; the others reach both */
static void verb_split(scn_run *run, scn_call *call) {
    int a = scn_host(run, call->words[1]), b = scn_host(run, call->words[2]);
    if (a < 0 || b < 0) return;
    block(scn_engine_of(run), a, b, true);
    block(scn_engine_of(run), b, a, true);
}

/* oneway a > b: what a sends to b waits */
static void verb_oneway(scn_run *run, scn_call *call) {
    int from = scn_host(run, call->words[1]), to = scn_host(run, call->words[3]);
    if (from >= 0 && to >= 0) block(scn_engine_of(run), from, to, true);
}

/* nolink a b: neither can ever dial the other, as behind two firewalls */
static void verb_nolink(scn_run *run, scn_call *call) {
    scn_engine *world = scn_engine_of(run);
    int a = new_host(run, call->words[1]), b = new_host(run, call->words[2]);
    if (a < 0 || b < 0) return;
    world->nolinks[a][b] = world->nolinks[b][a] = true;
    pr_sim_forbid(world->sim, a, b, PR_DIAL_TIMEOUT);
    pr_sim_forbid(world->sim, b, a, PR_DIAL_TIMEOUT);
}

/* cut a b [silent | later=500ms] */
static void verb_cut(scn_run *run, scn_call *call) {
    int a = scn_host(run, call->words[1]), b = scn_host(run, call->words[2]);
    const char *later = scn_option(call, "later");
    uint64_t ms = 0;
    if (later != NULL && !scn_duration(later, &ms)) scn_fail(run, "how much later?");
    if (a >= 0 && b >= 0)
        pr_sim_cut(scn_engine_of(run)->sim, a, b,
                   scn_flag(call, "silent") ? PR_SIM_CUT_SILENT
                   : later != NULL          ? PR_SIM_CUT_LATER
                                            : PR_SIM_CUT_BOTH,
                   ms);
}

static void verb_heal(scn_run *run, scn_call *call) {
    scn_engine *world = scn_engine_of(run);
    (void)call;
    for (int a = 0; a < PR_SIM_HOSTS; a++)
        for (int b = 0; b < PR_SIM_HOSTS; b++) {
            if (world->blocked[a][b]) block(world, a, b, false);
            if (world->nolinks[a][b]) pr_sim_forbid(world->sim, a, b, 0);
            world->nolinks[a][b] = false;
        }
}

/* slow b 20: reads so many bytes a ms, 0: as fast as they arrive; deaf b, hear b: reads nothing, reads again */
static void verb_slow(scn_run *run, scn_call *call) {
    int host = scn_host(run, call->words[1]);
    if (host >= 0) pr_sim_slow_reader(scn_engine_of(run)->sim, host, (uint32_t)strtoul(call->words[2], NULL, 10));
}

static void verb_deaf(scn_run *run, scn_call *call) {
    int host = scn_host(run, call->words[1]);
    if (host >= 0) pr_sim_stop_reading(scn_engine_of(run)->sim, host, strcmp(call->words[0], "deaf") == 0);
}

/* ---- time ---- */
static void verb_run(scn_run *run, scn_call *call) {
    uint64_t ms;
    if (!scn_duration(call->words[1], &ms))
        scn_fail(run, "run what time?");
    else
        pr_sim_run(scn_engine_of(run)->sim, ms);
}

static void verb_settle(scn_run *run, scn_call *call) {
    uint64_t ms = call->within != 0 ? call->within : 30000;
    if (!pr_sim_until(scn_engine_of(run)->sim, scn_all_settled, run, ms) &&
        pr_sim_failure(scn_engine_of(run)->sim) == NULL)
        scn_fail(run, "not settled within %llu ms", (unsigned long long)ms);
}

/* Forgets what was seen so far; counters start at 0 again. */
static void verb_clear(scn_run *run, scn_call *call) {
    scn_engine *world = scn_engine_of(run);
    (void)call;
    for (int host = 0; host < PR_SIM_HOSTS; host++) {
        scn_transcript_clear(&world->diffs[host]);
        scn_transcript_clear(&world->members[host]);
        if (pr_sim_alive(world->sim, host)) world->before[host] = scn_engine_stats(world->sim, host);
        world->memory[host] = pr_sim_memory(world->sim, host, false);
    }
    scn_transcript_clear(&world->wire);
    world->frames = pr_sim_frames(world->sim);
    world->dials = pr_sim_dials(world->sim);
}

/* ---- local calls ---- */
static scn_owner *find_owner(scn_engine *world, int host, const char *name) {
    for (size_t i = 0; i < world->owners_size; i++)
        if (world->owners[i].host == host && strcmp(world->owners[i].name, name) == 0) return &world->owners[i];
    return NULL;
}

static scn_owner *open_owner(scn_run *run, int host, const char *name, uint64_t lease_ms) {
    scn_engine *world = scn_engine_of(run);
    scn_owner *owner = find_owner(world, host, name);
    if (owner == NULL && world->owners_size == 256) {
        scn_fail(run, "too many owners");
        return NULL;
    }
    if (owner == NULL) owner = &world->owners[world->owners_size++];
    *owner = (scn_owner){.host = host, .id = pr_sim_owner(world->sim, host, (uint32_t)lease_ms)};
    snprintf(owner->name, sizeof owner->name, "%s", name);
    return owner;
}

/* The running member and its owner of this name, opened if new. */
static bool caller(scn_run *run, scn_call *call, int *host, presence_owner *owner) {
    *host = scn_host(run, call->words[1]);
    if (*host < 0) return false;
    if (!pr_sim_alive(scn_engine_of(run)->sim, *host)) {
        scn_fail(run, "%s does not run", call->words[1]);
        return false;
    }
    scn_owner *held = find_owner(scn_engine_of(run), *host, call->words[2]);
    if (held == NULL) held = open_owner(run, *host, call->words[2], 0);
    *owner = held != NULL ? held->id : 0;
    return held != NULL;
}

static void verb_owner(scn_run *run, scn_call *call) {
    const char *lease = scn_option(call, "lease");
    uint64_t ms = 0;
    int host = scn_host(run, call->words[1]);
    if (lease != NULL && !scn_duration(lease, &ms)) scn_fail(run, "what lease?");
    if (host >= 0) open_owner(run, host, call->words[2], ms);
}

/* The ref that the store shows for the entry of this owner. */
static void note_ref(scn_run *run, int host, presence_owner owner, const char *topic, const char *key) {
    pr_rows *rows = NULL;
    run->ref[0] = 0;
    if (pr_store_get(pr_engine_store(pr_sim_engine(scn_engine_of(run)->sim, host)), pr_cstr(topic), pr_cstr(key),
                     &rows) != 0)
        return;
    for (size_t i = 0; i < rows->size; i++) {
        presence_ref ref;
        if (rows->rows[i].owner != owner) continue;
        pr_ref_format(&ref, rows->rows[i].inst, rows->rows[i].dot);
        snprintf(run->ref, sizeof run->ref, "%s", ref.text);
    }
    pr_rows_free(rows);
}

static void verb_track(scn_run *run, scn_call *call) {
    int host;
    presence_owner owner;
    const char *meta = call->size > 5 ? call->words[5] : "{}";
    if (!caller(run, call, &host, &owner)) return;
    pr_sim *sim = scn_engine_of(run)->sim;
    int failed = strcmp(call->words[0], "track") == 0
                     ? pr_sim_track(sim, host, owner, call->words[3], call->words[4], meta)
                     : pr_sim_update(sim, host, owner, call->words[3], call->words[4], meta);
    scn_done(run, failed);
    if (failed == 0) note_ref(run, host, owner, call->words[3], call->words[4]);
}

/* many a u1 room:1 k 1000 {}: track_many of the keys k1 to k1000 */
static void verb_many(scn_run *run, scn_call *call) {
    int host;
    presence_owner owner;
    size_t count = strtoul(call->words[5], NULL, 10);
    presence_item *items = calloc(count + 1, sizeof *items);
    char(*keys)[32] = calloc(count + 1, sizeof *keys);
    if (caller(run, call, &host, &owner)) {
        for (size_t i = 0; i < count; i++) {
            snprintf(keys[i], sizeof keys[i], "%s%zu", call->words[4], i + 1);
            items[i] = (presence_item){pr_cstr(call->words[3]), pr_cstr(keys[i]),
                                       pr_cstr(call->size > 6 ? call->words[6] : "{}")};
        }
        scn_done(run, pr_sim_track_many(scn_engine_of(run)->sim, host, owner, items, count));
    }
    free(items);
    free(keys);
}

/* untrack a u1 room:1 alice, or untrack a u1: all of the owner, which stays open */
static void verb_untrack(scn_run *run, scn_call *call) {
    int host;
    presence_owner owner;
    if (!caller(run, call, &host, &owner)) return;
    pr_sim *sim = scn_engine_of(run)->sim;
    scn_done(run, call->size > 4 ? pr_sim_untrack(sim, host, owner, call->words[3], call->words[4])
                                 : pr_sim_untrack_owner(sim, host, owner));
}

static void verb_close(scn_run *run, scn_call *call) {
    int host;
    presence_owner owner;
    if (caller(run, call, &host, &owner)) scn_done(run, pr_sim_owner_close(scn_engine_of(run)->sim, host, owner));
}

static void verb_touch(scn_run *run, scn_call *call) {
    int host;
    presence_owner owner;
    if (!caller(run, call, &host, &owner)) return;
    pr_sim *sim = scn_engine_of(run)->sim;
    scn_done(run, pr_engine_owner_touch(pr_sim_engine(sim, host), owner, pr_sim_clock(sim, host)));
}

static const scn_verb verbs[] = {
    {"options", 2, verb_options},
    {"net", 2, verb_net},
    {"hostile", 1, verb_hostile},
    {"start", 2, verb_start},
    {"crash", 2, verb_crash},
    {"vanish", 2, verb_crash},
    {"leave", 2, verb_leave},
    {"pause", 2, verb_pause},
    {"resume", 2, verb_resume},
    {"partition", 4, verb_partition},
    {"split", 3, verb_split},
    {"oneway", 4, verb_oneway},
    {"nolink", 3, verb_nolink},
    {"cut", 3, verb_cut},
    {"heal", 1, verb_heal},
    {"slow", 3, verb_slow},
    {"deaf", 2, verb_deaf},
    {"hear", 2, verb_deaf},
    {"forge", 5, scn_wire_forge},
    {"run", 2, verb_run},
    {"settle", 1, verb_settle},
    {"clear", 1, verb_clear},
    {"owner", 3, verb_owner},
    {"track", 5, verb_track},
    {"update", 6, verb_track},
    {"many", 6, verb_many},
    {"untrack", 3, verb_untrack},
    {"close", 3, verb_close},
    {"touch", 3, verb_touch},
    {"expect", 2, scn_engine_expect},
    {NULL, 0, NULL},
};

const scn_world scn_engine_world = {
    .name = "engine", .open = open_world, .close = close_world, .check = check_world, .verbs = verbs};

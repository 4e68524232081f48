/* What a script may expect of the world of engines, and when the world has settled. */
#include "engine_probe.h"
#include "scenario_engine.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- settled: every member shows exactly what the reachable living members hold (P9) ---- */
static void find_groups(scn_engine *world, int *group) {
    for (int host = 0; host < PR_SIM_HOSTS; host++) group[host] = host;
    for (int round = 0; round < PR_SIM_HOSTS; round++)
        for (int a = 0; a < PR_SIM_HOSTS; a++)
            for (int b = 0; b < PR_SIM_HOSTS; b++) {
                bool linked = !world->blocked[a][b] && !world->blocked[b][a] && !world->nolinks[a][b];
                if (linked && pr_sim_alive(world->sim, a) && pr_sim_alive(world->sim, b) && group[b] < group[a])
                    group[a] = group[b];
            }
}

/* Whether `host` shows the whole log of `origin`. */
static bool shows_all(pr_sim *sim, int host, int origin) {
    pr_engine_log_probe probes[32], own;
    if (pr_engine_probe_logs(pr_sim_engine(sim, origin), &own, 1) == 0) return false;
    size_t size = pr_engine_probe_logs(pr_sim_engine(sim, host), probes, 32);
    for (size_t i = 0; i < size && i < 32; i++)
        if (probes[i].inst == pr_sim_inst(sim, origin) && probes[i].log != NULL && !probes[i].detached)
            return probes[i].shown && !probes[i].sweeping && pr_log_complete(probes[i].log) &&
                   pr_log_version(probes[i].log) == pr_log_version(own.log);
    return false;
}

static bool holds_up(pr_sim *sim, int host, int origin) {
    pr_member_info members[32];
    size_t size = pr_engine_members(pr_sim_engine(sim, host), members, 32);
    for (size_t i = 0; i < size && i < 32; i++)
        if (members[i].inst == pr_sim_inst(sim, origin)) return members[i].status == PRESENCE_MEMBER_UP;
    return false;
}

bool scn_all_settled(pr_sim *sim, void *user) {
    scn_engine *world = scn_engine_of(user);
    int group[PR_SIM_HOSTS];
    find_groups(world, group);
    for (int a = 0; a < PR_SIM_HOSTS; a++) {
        size_t shown = 0;
        if (!pr_sim_alive(sim, a) || pr_sim_paused(sim, a)) continue;
        if (world->leaving[a]) return false;
        if (pr_engine_synced(pr_sim_engine(sim, a)) == 0) return false;
        for (int b = 0; b < PR_SIM_HOSTS; b++) {
            if (!pr_sim_alive(sim, b) || group[b] != group[a] || pr_sim_paused(sim, b)) continue;
            shown += pr_sim_shown_of(sim, b, b);
            if (a != b && (!shows_all(sim, a, b) || !holds_up(sim, a, b))) return false;
        }
        if (pr_sim_shown(sim, a, NULL) != shown) return false;
    }
    return true;
}

/* ---- lists ---- */
static void add_rows(scn_items *items, const pr_rows *rows) {
    for (size_t i = 0; i < rows->size; i++) {
        const pr_row *row = &rows->rows[i];
        presence_ref ref, prev = {""};
        pr_ref_format(&ref, row->inst, row->dot);
        if (row->prev_dot != 0) pr_ref_format(&prev, row->inst, row->prev_dot);
        presence_entry shown = {
            .key = row->key, .meta = row->meta, .ref = pr_cstr(ref.text), .prev_ref = pr_cstr(prev.text)};
        scn_items_add(items, &shown);
    }
}

typedef struct list_wait {
    int host;
    const char *topic, *key; /* key NULL: the whole topic */
    scn_items expected, actual;
} list_wait;

static bool list_is(pr_sim *sim, void *user) {
    list_wait *wait = user;
    pr_rows *rows = NULL;
    scn_items_free(&wait->actual);
    if (!pr_sim_alive(sim, wait->host)) return false;
    const pr_store *store = pr_engine_store(pr_sim_engine(sim, wait->host));
    int failed = wait->key != NULL ? pr_store_get(store, pr_cstr(wait->topic), pr_cstr(wait->key), &rows)
                                   : pr_store_list(store, pr_cstr(wait->topic), &rows);
    if (failed != 0) return false;
    add_rows(&wait->actual, rows);
    pr_rows_free(rows);
    return scn_items_match(&wait->expected, &wait->actual, wait->key != NULL);
}

static void report_list(scn_run *run, const scn_call *call, list_wait *wait) {
    static const size_t ROOM = 3000;
    char *want = malloc(ROOM), *have = malloc(ROOM);
    scn_items_print(&wait->expected, want, ROOM);
    scn_items_print(&wait->actual, have, ROOM);
    scn_fail(run, "%s\n  expected%s\n  got     %s", call->command->text, want, have);
    free(want);
    free(have);
}

/* expect a room:1 alice={} …, expect a key room:1 alice {"n":1} … (in order); nobody: empty */
static void expect_list(scn_run *run, scn_call *call, int host, int topic, bool key) {
    scn_engine *world = scn_engine_of(run);
    list_wait wait = {.host = host, .topic = call->words[topic], .key = key ? call->words[topic + 1] : NULL};
    for (int i = topic + 1 + key; i < call->size; i++) {
        char text[2048];
        if (strcmp(call->words[i], "nobody") == 0) continue;
        snprintf(text, sizeof text, "%s%s%s", key ? wait.key : "", key ? "=" : "", call->words[i]);
        if (!scn_items_add_text(&wait.expected, text)) scn_fail(run, "cannot read \"%s\"", call->words[i]);
    }
    if (run->failure[0] == 0 && !pr_sim_until(world->sim, list_is, &wait, call->within) &&
        pr_sim_failure(world->sim) == NULL)
        report_list(run, call, &wait);
    scn_items_free(&wait.expected);
    scn_items_free(&wait.actual);
}

/* ---- numbers ---- */
presence_statistics scn_engine_stats(pr_sim *sim, int host) {
    presence_statistics stats;
    memset(&stats, 0, sizeof stats);
    stats.size = sizeof stats;
    pr_engine_stats(pr_sim_engine(sim, host), &stats);
    return stats;
}

static void expect_number(scn_run *run, const scn_call *call, int at, uint64_t value) {
    uint64_t expected;
    if (at + 1 >= call->size || !scn_number(call->words[at + 1], &expected))
        scn_fail(run, "compare with what?");
    else if (!scn_compare(value, call->words[at], expected))
        scn_fail(run, "%s: got %llu", call->command->text, (unsigned long long)value);
}

/* Since the last clear; entries, topics, members, links: now. */
static void expect_stat(scn_run *run, scn_call *call, int host) {
    scn_engine *world = scn_engine_of(run);
    presence_statistics now = scn_engine_stats(world->sim, host), *before = &world->before[host];
    const struct {
        const char *name;
        uint64_t value;
    } stats[] = {
        {"entries", now.entries},
        {"topics", now.topics},
        {"links", now.links},
        {"held", pr_store_size(pr_engine_store(pr_sim_engine(world->sim, host)))},
        {"joins", now.joins - before->joins},
        {"updates", now.updates - before->updates},
        {"leaves", now.leaves - before->leaves},
        {"gaps", now.gaps - before->gaps},
        {"stale", now.frames_stale - before->frames_stale},
        {"dropped", now.frames_dropped - before->frames_dropped},
        {"segments", now.segments_applied - before->segments_applied},
        {"lives", now.lives_applied - before->lives_applied},
        {"frames_in", now.frames_in - before->frames_in},
        {"bytes_in", now.bytes_in - before->bytes_in},
        {"protocol_errors", now.protocol_errors - before->protocol_errors},
    };
    for (size_t i = 0; i < sizeof stats / sizeof *stats; i++)
        if (strcmp(stats[i].name, call->words[3]) == 0) {
            expect_number(run, call, 4, stats[i].value);
            return;
        }
    scn_fail(run, "no statistic \"%s\"", call->words[3]);
}

/* expect a count room:1 KEYS METAS */
static void expect_count(scn_run *run, scn_call *call, int host) {
    size_t keys = 0, metas = 0;
    uint64_t want_keys = 0, want_metas = 0;
    pr_store_count(pr_engine_store(pr_sim_engine(scn_engine_of(run)->sim, host)), pr_cstr(call->words[3]), &keys,
                   &metas);
    if (call->size != 6 || !scn_number(call->words[4], &want_keys) || !scn_number(call->words[5], &want_metas))
        scn_fail(run, "expect M count TOPIC KEYS METAS");
    else if (keys != want_keys || metas != want_metas)
        scn_fail(run, "%s: got %zu %zu", call->command->text, keys, metas);
}

/* ---- members ---- */
typedef struct status_wait {
    int host;
    scn_call *call;
    char got[512];
} status_wait;

static const char *status_of(pr_sim *sim, int host, const char *name) {
    static const char *const names[] = {"unknown", "up", "suspect", "down", "permdown", "left", "conflict"};
    int status = pr_sim_status(sim, host, name, NULL);
    return status >= 0 && status < 7 ? names[status] : "?";
}

static bool statuses_are(pr_sim *sim, void *user) {
    status_wait *wait = user;
    bool good = true;
    size_t used = 0;
    for (int i = 3; i < wait->call->size; i++) {
        char name[64];
        const char *equals = strchr(wait->call->words[i], '=');
        if (equals == NULL) return false;
        snprintf(name, sizeof name, "%.*s", (int)(equals - wait->call->words[i]), wait->call->words[i]);
        const char *status = status_of(sim, wait->host, name);
        good &= strcmp(status, equals + 1) == 0;
        used += (size_t)snprintf(wait->got + used, sizeof wait->got - used, " %s=%s", name, status);
    }
    return good;
}

/* expect a sees b=up c=down d=unknown */
static void expect_statuses(scn_run *run, scn_call *call, int host) {
    status_wait wait = {.host = host, .call = call};
    pr_sim *sim = scn_engine_of(run)->sim;
    if (!pr_sim_until(sim, statuses_are, &wait, call->within) && pr_sim_failure(sim) == NULL)
        scn_fail(run, "%s: got%s", call->command->text, wait.got);
}

/* expect a memory within 10%: of what it was at the last clear */
static void expect_memory(scn_run *run, scn_call *call, int host) {
    scn_engine *world = scn_engine_of(run);
    size_t before = world->memory[host], now = pr_sim_memory(world->sim, host, false);
    uint64_t percent = strtoull(call->words[call->size - 1], NULL, 10);
    if (now > before + before * percent / 100)
        scn_fail(run, "%s: %zu bytes before, %zu now", call->command->text, before, now);
}

static void expect_synced(scn_run *run, scn_call *call, int host) {
    static const char *const names[] = {"no", "yes", "alone"};
    int synced = pr_engine_synced(pr_sim_engine(scn_engine_of(run)->sim, host));
    if (call->size < 4 || strcmp(names[synced % 3], call->words[3]) != 0)
        scn_fail(run, "%s: got %s", call->command->text, names[synced % 3]);
}

static void expect_error(scn_run *run, scn_call *call, int host) {
    const char *name = scn_error_name(pr_sim_count(scn_engine_of(run)->sim, host)->last_error);
    if (call->size < 4 || strcasecmp(name, call->words[3]) != 0) scn_fail(run, "%s: got %s", call->command->text, name);
}

/* Whether it stopped because of a younger member of its name. */
static bool has_yielded(pr_sim *sim, void *user) { return pr_sim_yielded(sim, *(int *)user); }

static void expect_yielded(scn_run *run, scn_call *call, int host) {
    pr_sim *sim = scn_engine_of(run)->sim;
    bool expected = call->size < 4 || strcmp(call->words[3], "no") != 0;
    if (expected ? !pr_sim_until(sim, has_yielded, &host, call->within) : pr_sim_yielded(sim, host))
        scn_fail(run, "%s: it did%s", call->command->text, expected ? " not" : "");
}

/* ---- the whole cluster ---- */
static uint64_t hash_text(uint64_t hash, presence_str text) {
    for (size_t i = 0; i < text.size; i++) hash = (hash ^ (uint8_t)text.data[i]) * 1099511628211u;
    return (hash ^ 0xff) * 1099511628211u;
}

/* The same for lists that are the same: topics and keys in any order, the metas of a key in theirs, refs included. */
static uint64_t fingerprint(pr_sim *sim, int host) {
    const pr_store *store = pr_engine_store(pr_sim_engine(sim, host));
    pr_rows *topics = NULL, *rows = NULL;
    uint64_t sum = 0;
    if (pr_store_topics(store, &topics) != 0) abort();
    for (size_t t = 0; t < topics->size; t++) {
        if (pr_store_list(store, topics->rows[t].topic, &rows) != 0) abort();
        for (size_t i = 0, place = 0; i < rows->size; i++) {
            const pr_row *row = &rows->rows[i];
            place = i > 0 && pr_str_equal(rows->rows[i - 1].key, row->key) ? place + 1 : 0;
            uint64_t hash = hash_text(hash_text(14695981039346656037u + place, topics->rows[t].topic), row->key);
            sum += hash_text(hash, row->meta) ^ row->inst ^ row->dot;
        }
        pr_rows_free(rows);
    }
    pr_rows_free(topics);
    return sum;
}

static void expect_agreed(scn_run *run, scn_call *call) {
    pr_sim *sim = scn_engine_of(run)->sim;
    uint64_t first = 0;
    bool any = false;
    for (int host = 0; host < PR_SIM_HOSTS; host++) {
        if (!pr_sim_alive(sim, host)) continue;
        uint64_t print = fingerprint(sim, host);
        if (any && print != first)
            scn_fail(run, "%s: %s lists something else", call->command->text, scn_engine_of(run)->hosts[host]);
        first = print;
        any = true;
    }
}

/* Frames since the last clear: "a>b" or "*>b", "seg", "a"; * is anything. */
static uint64_t count_frames(const scn_transcript *wire, const char *way, const char *kind, const char *log) {
    uint64_t count = 0;
    for (size_t i = 0; i < wire->size; i++) {
        char had_kind[32] = "", had_log[32] = "";
        const char *head = wire->entries[i].head;
        if (sscanf(wire->entries[i].text, "%31s %31s", had_kind, had_log) < 1) continue;
        bool right_way = *way != '*' ? strcmp(way, head) == 0
                                     : way[1] == 0 || (strchr(head, '>') && strcmp(strchr(head, '>'), way + 1) == 0);
        count +=
            right_way && (*kind == '*' || strcmp(kind, had_kind) == 0) && (*log == '*' || strcmp(log, had_log) == 0);
    }
    return count;
}

static bool expect_cluster(scn_run *run, scn_call *call) {
    scn_engine *world = scn_engine_of(run);
    const char *what = call->words[1];
    if (strcmp(what, "agreed") == 0)
        expect_agreed(run, call);
    else if (strcmp(what, "wire") == 0 && call->size > 6 && strcmp(call->words[2], "count") == 0)
        expect_number(run, call, 6, count_frames(&world->wire, call->words[3], call->words[4], call->words[5]));
    else if (strcmp(what, "wire") == 0)
        scn_expect_transcript(run, call, &world->wire, false);
    else if (strcmp(what, "frames") == 0)
        expect_number(run, call, 2, pr_sim_frames(world->sim) - world->frames);
    else if (strcmp(what, "dials") == 0)
        expect_number(run, call, 2, pr_sim_dials(world->sim) - world->dials);
    else if (strcmp(what, "links") == 0 && call->size > 5) {
        int a = scn_host(run, call->words[2]), b = scn_host(run, call->words[3]);
        if (a >= 0 && b >= 0) expect_number(run, call, 4, pr_sim_links(world->sim, a, b));
    } else if (strcmp(what, "ref") == 0 && call->size == 5) { /* expect ref $a == $b */
        bool equal = strcmp(call->words[2], call->words[4]) == 0;
        if (equal != (strcmp(call->words[3], "==") == 0))
            scn_fail(run, "%s: %s and %s", call->command->text, call->words[2], call->words[4]);
    } else {
        return false;
    }
    return true;
}

void scn_engine_expect(scn_run *run, scn_call *call) {
    static const struct {
        const char *name;
        void (*expect)(scn_run *, scn_call *, int host);
    } of_member[] = {{"count", expect_count},    {"sees", expect_statuses}, {"stat", expect_stat},
                     {"memory", expect_memory},  {"synced", expect_synced}, {"error", expect_error},
                     {"yielded", expect_yielded}};
    scn_engine *world = scn_engine_of(run);
    if (expect_cluster(run, call)) return;
    int host = scn_host(run, call->words[1]);
    if (host < 0 || call->size < 3) return;
    const char *what = call->words[2];
    for (size_t i = 0; i < sizeof of_member / sizeof *of_member; i++)
        if (strcmp(of_member[i].name, what) == 0) {
            of_member[i].expect(run, call, host);
            return;
        }
    if (strcmp(what, "diffs") == 0)
        scn_expect_transcript(run, call, &world->diffs[host], true);
    else if (strcmp(what, "hears") == 0)
        scn_expect_transcript(run, call, &world->members[host], false);
    else if (strcmp(what, "key") == 0 && call->size > 4)
        expect_list(run, call, host, 3, true);
    else if (strchr(what, ':') != NULL)
        expect_list(run, call, host, 2, false);
    else
        scn_fail(run, "expect what?");
}

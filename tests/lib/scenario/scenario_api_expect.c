/* What a script may expect of trackers through the public header. */
#include "scenario_api.h"
#include <stdlib.h>
#include <string.h>

/* One look: whether it is as expected, and what is there. */
typedef bool (*look_fn)(scn_run *, scn_call *, api_member *, scn_items *expected, char *got, size_t room);

/* Looks again every few virtual ms while there is time left. */
static void expect_when(scn_run *run, scn_call *call, api_member *member, look_fn look, scn_items *expected) {
    static const size_t ROOM = 4000;
    char *got = calloc(1, ROOM), *want = calloc(1, ROOM);
    bool good = look(run, call, member, expected, got, ROOM);
    for (uint64_t waited = 0; !good && waited < call->within; waited += 5) {
        presence_sim_run(scn_api_of(run)->sim, 5);
        good = look(run, call, member, expected, got, ROOM);
    }
    if (expected != NULL) scn_items_print(expected, want, ROOM);
    if (!good) scn_fail(run, "%s\n  expected%s\n  got     %s", call->command->text, want, got);
    free(got);
    free(want);
}

static bool look_list(scn_run *run, scn_call *call, api_member *member, scn_items *expected, char *got, size_t room) {
    presence_snapshot *snapshot = NULL;
    scn_items actual = {0};
    bool key = strcmp(call->words[2], "key") == 0;
    (void)run;
    int failed = key ? presence_get_by_key(member->tracker, scn_str(call->words[3]), scn_str(call->words[4]), &snapshot)
                     : presence_list(member->tracker, scn_str(call->words[2]), &snapshot);
    if (failed != 0) {
        snprintf(got, room, " %s", scn_error_name(failed));
        return false;
    }
    scn_items_add_snapshot(&actual, snapshot);
    presence_snapshot_free(snapshot);
    bool good = scn_items_match(expected, &actual, key);
    scn_items_print(&actual, got, room);
    scn_items_free(&actual);
    return good;
}

static void expect_list(scn_run *run, scn_call *call, api_member *member) {
    scn_items expected = {0};
    bool key = strcmp(call->words[2], "key") == 0;
    for (int i = key ? 5 : 3; i < call->size; i++) {
        char text[2048];
        if (strcmp(call->words[i], "nobody") == 0) continue;
        snprintf(text, sizeof text, "%s%s%s", key ? call->words[4] : "", key ? "=" : "", call->words[i]);
        if (!scn_items_add_text(&expected, text)) scn_fail(run, "cannot read \"%s\"", call->words[i]);
    }
    if (run->failure[0] == 0) expect_when(run, call, member, look_list, &expected);
    scn_items_free(&expected);
}

/* ---- members ---- */
static const char *status_of(api_member *member, const char *name) {
    static const char *const names[] = {"unknown", "up", "suspect", "down", "permdown", "left", "conflict"};
    presence_snapshot *snapshot = NULL;
    int status = 0;
    if (presence_members(member->tracker, &snapshot) != 0) return "?";
    for (size_t i = 0; i < presence_snapshot_size(snapshot); i++) {
        presence_member other = {.size = sizeof other};
        presence_snapshot_member_at(snapshot, i, &other);
        if (other.name.size == strlen(name) && memcmp(other.name.data, name, other.name.size) == 0)
            status = other.status;
    }
    presence_snapshot_free(snapshot);
    return status >= 0 && status < 7 ? names[status] : "?";
}

static bool look_statuses(scn_run *run, scn_call *call, api_member *member, scn_items *expected, char *got,
                          size_t room) {
    bool good = true;
    size_t used = 0;
    (void)run;
    (void)expected;
    for (int i = 3; i < call->size; i++) {
        char name[64];
        const char *equals = strchr(call->words[i], '=');
        if (equals == NULL) return false;
        snprintf(name, sizeof name, "%.*s", (int)(equals - call->words[i]), call->words[i]);
        const char *status = status_of(member, name);
        good &= strcmp(status, equals + 1) == 0;
        if (used < room) used += (size_t)snprintf(got + used, room - used, " %s=%s", name, status);
    }
    return good;
}

static void expect_statuses(scn_run *run, scn_call *call, api_member *member) {
    expect_when(run, call, member, look_statuses, NULL);
}

/* A wait of no time: ETIMEDOUT means not yet. */
static void expect_synced(scn_run *run, scn_call *call, api_member *member) {
    int synced = presence_wait_synced(member->tracker, 0);
    const char *got = synced == 0 ? "yes" : synced == 1 ? "alone" : "no";
    if (call->size < 4 || strcmp(got, call->words[3]) != 0) scn_fail(run, "%s: got %s", call->command->text, got);
}

static void expect_count(scn_run *run, scn_call *call, api_member *member) {
    size_t keys = 0, metas = 0;
    uint64_t want_keys = 0, want_metas = 0;
    presence_count(member->tracker, scn_str(call->words[3]), &keys, &metas);
    if (call->size != 6 || !scn_number(call->words[4], &want_keys) || !scn_number(call->words[5], &want_metas))
        scn_fail(run, "expect M count TOPIC KEYS METAS");
    else if (keys != want_keys || metas != want_metas)
        scn_fail(run, "%s: got %zu %zu", call->command->text, keys, metas);
}

/* The keys of a list; C fetches nothing. */
static void expect_listed(scn_run *run, scn_call *call, api_member *member) {
    presence_snapshot *snapshot = NULL;
    size_t keys = 0, metas = 0;
    presence_count(member->tracker, scn_str(call->words[3]), &keys, &metas);
    if (keys != (size_t)(call->size - 4)) scn_fail(run, "%s: got %zu keys", call->command->text, keys);
    for (int i = 4; i < call->size; i++) {
        if (presence_get_by_key(member->tracker, scn_str(call->words[3]), scn_str(call->words[i]), &snapshot) != 0)
            return;
        if (presence_snapshot_size(snapshot) == 0) scn_fail(run, "%s: no %s", call->command->text, call->words[i]);
        presence_snapshot_free(snapshot);
    }
}

static void expect_diffs(scn_run *run, scn_call *call, api_member *member) {
    scn_expect_transcript(run, call, &member->diffs, true);
}

/* ---- all members list the same, refs and order of metas included ---- */
static uint64_t hash_text(uint64_t hash, presence_str text) {
    for (size_t i = 0; i < text.size; i++) hash = (hash ^ (uint8_t)text.data[i]) * 1099511628211u;
    return (hash ^ 0xff) * 1099511628211u;
}

static uint64_t hash_topic(presence_tracker *tracker, presence_str topic) {
    presence_snapshot *snapshot = NULL;
    presence_entry entry = {.size = sizeof entry}, before = {.size = sizeof before};
    uint64_t sum = 0, place = 0;
    if (presence_list(tracker, topic, &snapshot) != 0) return 1;
    for (size_t i = 0; i < presence_snapshot_size(snapshot); i++, before = entry) {
        presence_snapshot_at(snapshot, i, &entry);
        bool same = entry.key.size == before.key.size && memcmp(entry.key.data, before.key.data, entry.key.size) == 0;
        place = i > 0 && same ? place + 1 : 0;
        uint64_t hash = hash_text(hash_text(14695981039346656037u + place, topic), entry.key);
        sum += hash_text(hash_text(hash, entry.meta), entry.ref);
    }
    presence_snapshot_free(snapshot);
    return sum;
}

static void expect_agreed(scn_run *run, scn_call *call) {
    scn_api *world = scn_api_of(run);
    uint64_t first = 0;
    bool any = false;
    for (int m = 0; m < API_MEMBERS; m++) {
        presence_snapshot *topics = NULL;
        uint64_t sum = 0;
        if (!world->members[m].alive || presence_topics(world->members[m].tracker, &topics) != 0) continue;
        for (size_t i = 0; i < presence_snapshot_size(topics); i++) {
            presence_entry entry = {.size = sizeof entry};
            presence_snapshot_at(topics, i, &entry);
            sum += hash_topic(world->members[m].tracker, entry.topic);
        }
        presence_snapshot_free(topics);
        if (any && sum != first)
            scn_fail(run, "%s: %s lists something else", call->command->text, world->members[m].name);
        first = sum;
        any = true;
    }
}

static bool expect_cluster(scn_run *run, scn_call *call) {
    scn_api *world = scn_api_of(run);
    if (strcmp(call->words[1], "agreed") == 0) {
        expect_agreed(run, call);
        return true;
    }
    if (strcmp(call->words[1], "ref") == 0 && call->size == 5) {
        if ((strcmp(call->words[2], call->words[4]) == 0) != (strcmp(call->words[3], "==") == 0))
            scn_fail(run, "%s: %s and %s", call->command->text, call->words[2], call->words[4]);
        return true;
    }
    for (size_t i = 0; i < world->streams_size; i++)
        if (strcmp(world->streams[i].name, call->words[1]) == 0) {
            scn_expect_transcript(run, call, &world->streams[i].events, true);
            return true;
        }
    return false;
}

void scn_api_expect(scn_run *run, scn_call *call) {
    static const struct {
        const char *name;
        void (*expect)(scn_run *, scn_call *, api_member *);
    } of_member[] = {{"count", expect_count},   {"sees", expect_statuses}, {"synced", expect_synced},
                     {"listed", expect_listed}, {"diffs", expect_diffs},   {"key", expect_list}};
    if (expect_cluster(run, call)) return;
    api_member *member = scn_api_member(run, call->words[1]);
    if (member == NULL || call->size < 3) return;
    for (size_t i = 0; i < sizeof of_member / sizeof *of_member; i++)
        if (strcmp(of_member[i].name, call->words[2]) == 0) {
            of_member[i].expect(run, call, member);
            return;
        }
    if (strchr(call->words[2], ':') != NULL)
        expect_list(run, call, member);
    else
        scn_fail(run, "expect what?");
}

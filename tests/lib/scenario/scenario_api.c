/* The verbs of the API world but expect: members, faults, time, calls, subscriptions (api.md). */
#include "scenario_api.h"
#include <stdlib.h>
#include <string.h>

api_member *scn_api_member(scn_run *run, const char *name) {
    scn_api *world = scn_api_of(run);
    for (int i = 0; i < API_MEMBERS; i++)
        if (world->members[i].tracker != NULL && strcmp(world->members[i].name, name) == 0) return &world->members[i];
    scn_fail(run, "no member \"%s\"", name);
    return NULL;
}

static void sim_did(scn_run *run, int failed) {
    if (failed < 0) scn_fail(run, "%s: %s", scn_error_name(failed), presence_sim_message(scn_api_of(run)->sim));
}

/* ---- events ---- */
void scn_items_add_snapshot(scn_items *items, const presence_snapshot *snapshot) {
    for (size_t i = 0; i < presence_snapshot_size(snapshot); i++) {
        presence_entry entry = {.size = sizeof entry};
        if (presence_snapshot_at(snapshot, i, &entry) == 0) scn_items_add(items, &entry);
    }
}

static void add_changes(scn_items *items, const presence_event *event) {
    for (size_t i = 0; i < presence_event_size(event); i++) {
        presence_entry entry = {.size = sizeof entry};
        if (presence_event_at(event, i, &entry) == 0) scn_items_add(items, &entry);
    }
}

typedef struct listener {
    scn_api *world;
    int member;
} listener;

static void hear(const presence_event *event, void *user) {
    listener *at = user;
    char topic[256];
    if (presence_event_kind(event) != PRESENCE_EVENT_DIFF) return;
    presence_str text = presence_event_topic(event);
    snprintf(topic, sizeof topic, "%.*s", (int)text.size, text.data);
    add_changes(&scn_transcript_add(&at->world->members[at->member].diffs, topic, NULL)->items, event);
    for (size_t i = 0; i < at->world->streams_size; i++) {
        api_stream *stream = &at->world->streams[i];
        if (stream->open && stream->member == at->member && strcmp(stream->topic, topic) == 0 &&
            presence_event_seq(event) > stream->seq)
            add_changes(&scn_transcript_add(&stream->events, "", NULL)->items, event);
    }
}

static void check_world(scn_run *run) {
    scn_api *world = scn_api_of(run);
    for (int i = 0; i < API_MEMBERS; i++) {
        listener at = {world, i};
        size_t delivered = 0;
        if (world->members[i].tracker != NULL) presence_drain(world->members[i].tracker, 0, hear, &at, &delivered);
    }
}

/* ---- life of the world ---- */
static void *open_world(scn_run *run) {
    scn_api *world = calloc(1, sizeof *world);
    if (world == NULL || (world->sim = presence_sim_new(run->seed)) == NULL) abort();
    presence_sim_latency(world->sim, 1, 1);
    return world;
}

static void close_world(scn_run *run) {
    scn_api *world = scn_api_of(run);
    for (int i = 0; i < API_MEMBERS; i++) {
        presence_tracker_close(world->members[i].tracker);
        scn_transcript_free(&world->members[i].diffs);
    }
    for (size_t i = 0; i < world->streams_size; i++) scn_transcript_free(&world->streams[i].events);
    presence_sim_free(world->sim);
    free(world);
}

/* ---- members ---- */
static int slot_of(scn_run *run, const char *name) {
    scn_api *world = scn_api_of(run);
    for (int i = 0; i < API_MEMBERS; i++)
        if (world->members[i].name[0] == 0 || strcmp(world->members[i].name, name) == 0) {
            snprintf(world->members[i].name, sizeof world->members[i].name, "%s", name);
            return i;
        }
    scn_fail(run, "too many members");
    return -1;
}

/* heartbeat=1s is heartbeat_ms=1000; what has no unit is taken as it stands */
static int set_option(presence_config *config, const char *word) {
    char option[64], value[64];
    uint64_t ms;
    const char *equals = strchr(word, '=');
    if (equals == NULL) return PRESENCE_EOPTION;
    bool time = scn_duration(equals + 1, &ms);
    snprintf(option, sizeof option, "%.*s%s", (int)(equals - word), word, time ? "_ms" : "");
    snprintf(value, sizeof value, "%s", equals + 1);
    if (time) snprintf(value, sizeof value, "%llu", (unsigned long long)ms);
    return presence_config_set(config, option, value);
}

static void verb_start(scn_run *run, scn_call *call) {
    scn_api *world = scn_api_of(run);
    presence_config *config = presence_config_new();
    presence_tracker *tracker = NULL;
    int failed = presence_config_set(config, "name", call->words[1]), slot = slot_of(run, call->words[1]);
    for (int i = 2; i < call->size && failed == 0; i++) failed = set_option(config, call->words[i]);
    if (failed == 0) failed = presence_sim_start(world->sim, config, &tracker);
    presence_config_free(config);
    scn_done(run, failed);
    if (failed != 0 || slot < 0) return;
    presence_tracker_close(world->members[slot].tracker);
    world->members[slot].tracker = tracker;
    world->members[slot].alive = true;
    presence_subscribe_all(tracker);
    for (size_t i = 0; i < world->owners_size; i++)
        if (world->owners[i].member == slot) world->owners[i--] = world->owners[--world->owners_size];
}

static void verb_crash(scn_run *run, scn_call *call) {
    api_member *member = scn_api_member(run, call->words[1]);
    if (member == NULL) return;
    sim_did(run, presence_sim_crash(scn_api_of(run)->sim, member->tracker,
                                    strcmp(call->words[0], "vanish") == 0 ? PRESENCE_SIM_VANISH : PRESENCE_SIM_KILL));
    member->alive = false;
}

static void verb_leave(scn_run *run, scn_call *call) {
    api_member *member = scn_api_member(run, call->words[1]);
    if (member == NULL) return;
    scn_done(run, presence_tracker_stop(member->tracker, 5000));
    member->alive = false;
}

static void verb_pause(scn_run *run, scn_call *call) {
    api_member *member = scn_api_member(run, call->words[1]);
    if (member == NULL) return;
    presence_sim *sim = scn_api_of(run)->sim;
    sim_did(run, strcmp(call->words[0], "pause") == 0 ? presence_sim_pause(sim, member->tracker)
                                                      : presence_sim_resume(sim, member->tracker));
}

/* ---- faults and time ---- */
static void verb_partition(scn_run *run, scn_call *call) {
    int side = 1;
    for (int i = 1; i < call->size; i++) {
        if (strcmp(call->words[i], "|") == 0) {
            side++;
            continue;
        }
        api_member *member = scn_api_member(run, call->words[i]);
        if (member != NULL) sim_did(run, presence_sim_partition(scn_api_of(run)->sim, member->tracker, side));
    }
}

/* split a b, or oneway a > b */
static void verb_block(scn_run *run, scn_call *call) {
    bool both = strcmp(call->words[0], "split") == 0;
    api_member *a = scn_api_member(run, call->words[1]), *b = scn_api_member(run, call->words[call->size - 1]);
    if (a == NULL || b == NULL) return;
    sim_did(run, presence_sim_block(scn_api_of(run)->sim, a->tracker, b->tracker, 1));
    if (both) sim_did(run, presence_sim_block(scn_api_of(run)->sim, b->tracker, a->tracker, 1));
}

static void verb_heal(scn_run *run, scn_call *call) {
    (void)call;
    sim_did(run, presence_sim_heal(scn_api_of(run)->sim));
}

static void verb_run(scn_run *run, scn_call *call) {
    uint64_t ms;
    if (!scn_duration(call->words[1], &ms))
        scn_fail(run, "run what time?");
    else
        sim_did(run, presence_sim_run(scn_api_of(run)->sim, ms));
}

static void verb_settle(scn_run *run, scn_call *call) {
    sim_did(run, presence_sim_settle(scn_api_of(run)->sim, call->within != 0 ? call->within : 60000));
}

static void verb_clear(scn_run *run, scn_call *call) {
    scn_api *world = scn_api_of(run);
    (void)call;
    check_world(run);
    for (int i = 0; i < API_MEMBERS; i++) scn_transcript_clear(&world->members[i].diffs);
    for (size_t i = 0; i < world->streams_size; i++) scn_transcript_clear(&world->streams[i].events);
}

/* ---- calls ---- */
static api_owner *owner_slot(scn_run *run, int member, const char *name) {
    scn_api *world = scn_api_of(run);
    for (size_t i = 0; i < world->owners_size; i++)
        if (world->owners[i].member == member && strcmp(world->owners[i].name, name) == 0) return &world->owners[i];
    if (world->owners_size == API_OWNERS) {
        scn_fail(run, "too many owners");
        return NULL;
    }
    api_owner *owner = &world->owners[world->owners_size++];
    *owner = (api_owner){.member = member};
    snprintf(owner->name, sizeof owner->name, "%s", name);
    return owner;
}

/* Member and owner of a call; the owner is opened if it is new. */
static api_member *caller(scn_run *run, scn_call *call, presence_owner *owner) {
    api_member *member = scn_api_member(run, call->words[1]);
    if (member == NULL) return NULL;
    api_owner *held = owner_slot(run, (int)(member - scn_api_of(run)->members), call->words[2]);
    if (held != NULL && held->id == 0) presence_owner_open(member->tracker, &held->id);
    *owner = held != NULL ? held->id : 0;
    return member;
}

static void verb_owner(scn_run *run, scn_call *call) {
    const char *lease = scn_option(call, "lease");
    uint64_t ms = 0;
    api_member *member = scn_api_member(run, call->words[1]);
    api_owner *owner =
        member != NULL ? owner_slot(run, (int)(member - scn_api_of(run)->members), call->words[2]) : NULL;
    if (lease != NULL && !scn_duration(lease, &ms)) scn_fail(run, "what lease?");
    if (owner != NULL)
        scn_done(run, lease != NULL ? presence_owner_open_lease(member->tracker, (int)ms, &owner->id)
                                    : presence_owner_open(member->tracker, &owner->id));
}

static void verb_track(scn_run *run, scn_call *call) {
    presence_owner owner;
    presence_ref ref = {""};
    api_member *member = caller(run, call, &owner);
    if (member == NULL) return;
    presence_str topic = scn_str(call->words[3]), key = scn_str(call->words[4]),
                 meta = scn_str(call->size > 5 ? call->words[5] : "{}");
    scn_done(run, strcmp(call->words[0], "track") == 0
                      ? presence_track(member->tracker, owner, topic, key, meta, &ref)
                      : presence_update(member->tracker, owner, topic, key, meta, &ref));
    snprintf(run->ref, sizeof run->ref, "%s", ref.text);
}

static void verb_many(scn_run *run, scn_call *call) {
    presence_owner owner;
    api_member *member = caller(run, call, &owner);
    size_t count = strtoul(call->words[5], NULL, 10), bad = 0;
    presence_item *items = calloc(count + 1, sizeof *items);
    char(*keys)[32] = calloc(count + 1, sizeof *keys);
    for (size_t i = 0; i < count; i++) {
        snprintf(keys[i], sizeof keys[i], "%s%zu", call->words[4], i + 1);
        items[i] =
            (presence_item){scn_str(call->words[3]), scn_str(keys[i]), scn_str(call->size > 6 ? call->words[6] : "{}")};
    }
    if (member != NULL) scn_done(run, presence_track_many(member->tracker, owner, items, count, NULL, &bad));
    free(items);
    free(keys);
}

static void verb_untrack(scn_run *run, scn_call *call) {
    presence_owner owner;
    size_t removed;
    api_member *member = caller(run, call, &owner);
    if (member == NULL) return;
    scn_done(run, call->size > 4 ? presence_untrack(member->tracker, owner, scn_str(call->words[3]),
                                                    scn_str(call->words[4]), &removed)
                                 : presence_untrack_owner(member->tracker, owner, &removed));
}

static void verb_close(scn_run *run, scn_call *call) {
    presence_owner owner;
    api_member *member = caller(run, call, &owner);
    if (member == NULL) return;
    scn_done(run, strcmp(call->words[0], "close") == 0 ? presence_owner_close(member->tracker, owner)
                                                       : presence_owner_touch(member->tracker, owner));
}

/* subscribe a room:1 as s: the state is the first event of s */
static void verb_subscribe(scn_run *run, scn_call *call) {
    scn_api *world = scn_api_of(run);
    api_member *member = scn_api_member(run, call->words[1]);
    presence_snapshot *state = NULL;
    if (member == NULL || world->streams_size == API_STREAMS) return;
    int failed = presence_subscribe(member->tracker, scn_str(call->words[2]), &state);
    scn_done(run, failed);
    if (failed != 0) return;
    api_stream *stream = &world->streams[world->streams_size++];
    *stream = (api_stream){.member = (int)(member - world->members), .seq = presence_snapshot_seq(state), .open = true};
    snprintf(stream->name, sizeof stream->name, "%s", call->words[call->size - 1]);
    snprintf(stream->topic, sizeof stream->topic, "%s", call->words[2]);
    scn_items_add_snapshot(&scn_transcript_add(&stream->events, "state", NULL)->items, state);
    presence_snapshot_free(state);
}

static void verb_unsubscribe(scn_run *run, scn_call *call) {
    scn_api *world = scn_api_of(run);
    for (size_t i = 0; i < world->streams_size; i++) {
        api_stream *stream = &world->streams[i];
        if (!stream->open || strcmp(stream->name, call->words[1]) != 0) continue;
        stream->open = false;
        scn_done(run, presence_unsubscribe(world->members[stream->member].tracker, scn_str(stream->topic)));
        return;
    }
    scn_fail(run, "no subscription \"%s\"", call->words[1]);
}

static const scn_verb verbs[] = {
    {"start", 2, verb_start},
    {"crash", 2, verb_crash},
    {"vanish", 2, verb_crash},
    {"leave", 2, verb_leave},
    {"stop", 2, verb_leave},
    {"pause", 2, verb_pause},
    {"resume", 2, verb_pause},
    {"partition", 4, verb_partition},
    {"split", 3, verb_block},
    {"oneway", 4, verb_block},
    {"heal", 1, verb_heal},
    {"run", 2, verb_run},
    {"settle", 1, verb_settle},
    {"clear", 1, verb_clear},
    {"owner", 3, verb_owner},
    {"track", 5, verb_track},
    {"update", 6, verb_track},
    {"many", 6, verb_many},
    {"untrack", 3, verb_untrack},
    {"close", 3, verb_close},
    {"touch", 3, verb_close},
    {"subscribe", 4, verb_subscribe},
    {"unsubscribe", 2, verb_unsubscribe},
    {"expect", 2, scn_api_expect},
    {NULL, 0, NULL},
};

const scn_world scn_api_world = {
    .name = "c", .open = open_world, .close = close_world, .check = check_world, .verbs = verbs};

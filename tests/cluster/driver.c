/* driver.c: a member of a test cluster driven by JSON lines; driver.py and driver.mjs speak the same language.
 *
 * One request object per line in, one answer object per line out: {"ok": …} or {"error": "PRESENCE_E…"}.
 * Events of subscriptions are collected and handed over by the request {"do": "events"}.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <jansson.h>
#include <presence.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOPICS_MAX = 64 };
static struct {
    presence_tracker *tracker;
    json_t *events;
    struct {
        char name[256];
        uint64_t seq;
    } topics[TOPICS_MAX];
    size_t topics_size;
    int wake[2];
} driver;

static presence_str field(json_t *request, const char *name) {
    json_t *value = json_object_get(request, name);
    return (presence_str){json_string_value(value), json_string_length(value)};
}
static json_t *str(presence_str s) { return json_stringn(s.data ? s.data : "", s.size); }
static json_t *parse(presence_str s) {
    return s.size ? json_loadb(s.data, s.size, JSON_DECODE_ANY, NULL) : json_null();
}
static presence_owner owner_of(json_t *request) {
    return (presence_owner)json_integer_value(json_object_get(request, "owner"));
}
static json_t *failed(int error) { return json_pack("{s:s}", "error", presence_error_name(error)); }
static json_t *done(int error, json_t *value) {
    if (!error) return json_pack("{s:o}", "ok", value ? value : json_null());
    json_decref(value);
    return failed(error);
}

/* ---- events ---- */
static json_t *changes_of(const presence_event *event) {
    static const char *const kinds[] = {"", "join", "update", "leave"};
    static const char *const reasons[] = {"",         "untrack", "owner_closed", "lease", "member_left", "member_down",
                                          "replaced", "unknown"};
    json_t *changes = json_array();
    for (size_t i = 0; i < presence_event_size(event); i++) {
        presence_entry e = {.size = sizeof e};
        presence_event_at(event, i, &e);
        json_array_append_new(changes,
                              json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:b,s:b}", "kind", kinds[e.kind], "key",
                                        str(e.key), "meta", parse(e.meta), "prev_meta", parse(e.prev_meta), "ref",
                                        str(e.ref), "prev_ref", str(e.prev_ref), "member", str(e.member), "reason",
                                        reasons[e.reason], "first", e.first, "last", e.last));
    }
    return changes;
}

static void on_event(const presence_event *event, void *user) {
    (void)user;
    int kind = presence_event_kind(event);
    presence_str topic = presence_event_topic(event), json;
    if ((kind != PRESENCE_EVENT_DIFF && kind != PRESENCE_EVENT_RESYNC) || presence_diff_json(event, &json)) return;
    for (size_t i = 0; i < driver.topics_size; i++) {
        if (strlen(driver.topics[i].name) != topic.size || memcmp(driver.topics[i].name, topic.data, topic.size))
            continue;
        if (presence_event_seq(event) <= driver.topics[i].seq) return;
        json_array_append_new(driver.events,
                              json_pack("{s:o,s:s,s:o,s:b,s:o}", "topic", str(topic), "event",
                                        kind == PRESENCE_EVENT_DIFF ? "presence_diff" : "presence_state", "payload",
                                        parse(json), "resync", kind == PRESENCE_EVENT_RESYNC, "changes",
                                        kind == PRESENCE_EVENT_DIFF ? changes_of(event) : json_array()));
    }
}

static void wake(void *user) {
    (void)user;
    if (write(driver.wake[1], "!", 1) < 0) return; /* full: awake anyhow */
}

/* ---- requests ---- */
static json_t *do_open(json_t *request) {
    presence_config *config = presence_config_new();
    const char *name;
    json_t *value;
    int error = 0;
    json_object_foreach(json_object_get(request, "options"), name, value) {
        if (!error) error = presence_config_set(config, name, json_string_value(value));
    }
    if (!error) error = presence_tracker_open(config, &driver.tracker);
    presence_config_free(config);
    if (error) return failed(error);
    presence_set_wake_callback(driver.tracker, wake, NULL);
    char address[128];
    presence_tracker_address(driver.tracker, address, sizeof address);
    return done(0, json_string(address));
}

static json_t *do_owner(json_t *request) {
    presence_owner owner = 0;
    int lease = (int)json_integer_value(json_object_get(request, "lease"));
    int error =
        lease ? presence_owner_open_lease(driver.tracker, lease, &owner) : presence_owner_open(driver.tracker, &owner);
    return done(error, json_integer((json_int_t)owner));
}

static json_t *do_close_owner(json_t *request) {
    return done(presence_owner_close(driver.tracker, owner_of(request)), NULL);
}

static json_t *do_track(json_t *request) {
    presence_ref ref = {""};
    int error = presence_track(driver.tracker, owner_of(request), field(request, "topic"), field(request, "key"),
                               field(request, "meta"), &ref);
    return done(error, json_string(ref.text));
}

static json_t *do_update(json_t *request) {
    presence_ref ref = {""};
    presence_str topic = field(request, "topic"), key = field(request, "key"), meta = field(request, "meta"),
                 expected = field(request, "if_ref");
    int error = expected.size ? presence_update_if(driver.tracker, owner_of(request), topic, key, expected, meta, &ref)
                              : presence_update(driver.tracker, owner_of(request), topic, key, meta, &ref);
    return done(error, json_string(ref.text));
}

static json_t *do_untrack(json_t *request) {
    size_t removed = 0;
    int error = json_object_get(request, "topic")
                    ? presence_untrack(driver.tracker, owner_of(request), field(request, "topic"),
                                       field(request, "key"), &removed)
                    : presence_untrack_owner(driver.tracker, owner_of(request), &removed);
    return done(error, json_integer((json_int_t)removed));
}

static json_t *do_list(json_t *request) {
    presence_snapshot *snapshot;
    presence_str json;
    int error = presence_list_json(driver.tracker, field(request, "topic"), &snapshot, &json);
    if (error) return failed(error);
    json_t *answer = done(0, parse(json));
    presence_snapshot_free(snapshot);
    return answer;
}

static json_t *do_get(json_t *request) {
    presence_snapshot *snapshot;
    int error = presence_get_by_key(driver.tracker, field(request, "topic"), field(request, "key"), &snapshot);
    if (error) return failed(error);
    json_t *metas = json_array();
    for (size_t i = 0; i < presence_snapshot_size(snapshot); i++) {
        presence_entry e = {.size = sizeof e};
        presence_snapshot_at(snapshot, i, &e);
        json_t *meta = parse(e.meta);
        json_object_set_new(meta, "phx_ref", str(e.ref));
        if (e.prev_ref.size) json_object_set_new(meta, "phx_ref_prev", str(e.prev_ref));
        json_array_append_new(metas, meta);
    }
    presence_snapshot_free(snapshot);
    if (json_array_size(metas)) return done(0, json_pack("{s:o}", "metas", metas));
    json_decref(metas);
    return done(0, NULL);
}

static json_t *do_count(json_t *request) {
    size_t keys = 0, metas = 0;
    int error = presence_count(driver.tracker, field(request, "topic"), &keys, &metas);
    return done(error, json_pack("[i,i]", (int)keys, (int)metas));
}

static json_t *do_saved(json_t *request) {
    (void)request;
    presence_statistics stats = {.size = sizeof stats};
    int error = presence_stats(driver.tracker, &stats);
    return done(error, json_integer((json_int_t)stats.bytes_saved));
}

static json_t *do_subscribe(json_t *request) {
    presence_str topic = field(request, "topic"), json;
    presence_snapshot *snapshot;
    int error = presence_subscribe(driver.tracker, topic, NULL);
    if (!error) error = presence_list_json(driver.tracker, topic, &snapshot, &json);
    if (error) return failed(error);
    snprintf(driver.topics[driver.topics_size].name, 256, "%.*s", (int)topic.size, topic.data);
    driver.topics[driver.topics_size++].seq = presence_snapshot_seq(snapshot);
    json_array_append_new(driver.events, json_pack("{s:o,s:s,s:o,s:b,s:[]}", "topic", str(topic), "event",
                                                   "presence_state", "payload", parse(json), "resync", 0, "changes"));
    presence_snapshot_free(snapshot);
    return done(0, NULL);
}

static json_t *do_events(json_t *request) {
    (void)request;
    presence_drain(driver.tracker, 0, on_event, NULL, NULL);
    json_t *events = driver.events;
    driver.events = json_array();
    return done(0, events);
}

static json_t *do_members(json_t *request) {
    static const char *const status[] = {"", "up", "suspect", "down", "permdown", "left", "conflict"};
    (void)request;
    presence_snapshot *snapshot;
    int error = presence_members(driver.tracker, &snapshot);
    if (error) return failed(error);
    json_t *members = json_array();
    for (size_t i = 0; i < presence_snapshot_size(snapshot); i++) {
        presence_member m = {.size = sizeof m};
        presence_snapshot_member_at(snapshot, i, &m);
        json_array_append_new(members,
                              json_pack("{s:o,s:s,s:b,s:b,s:i}", "name", str(m.name), "status", status[m.status],
                                        "synced", m.synced, "is_self", m.is_self, "entries", (int)m.entries));
    }
    presence_snapshot_free(snapshot);
    return done(0, members);
}

static json_t *do_synced(json_t *request) {
    int result = presence_wait_synced(driver.tracker, (int)json_integer_value(json_object_get(request, "timeout")));
    return result < 0 ? failed(result) : done(0, json_string(result ? "alone" : "synced"));
}

static json_t *do_stop(json_t *request) {
    (void)request;
    return done(presence_tracker_stop(driver.tracker, 5000), NULL);
}

static const struct {
    const char *name;
    json_t *(*run)(json_t *);
} requests[] = {{"open", do_open},           {"owner", do_owner},   {"close_owner", do_close_owner},
                {"track", do_track},         {"update", do_update}, {"untrack", do_untrack},
                {"list", do_list},           {"get", do_get},       {"count", do_count},
                {"subscribe", do_subscribe}, {"events", do_events}, {"members", do_members},
                {"synced", do_synced},       {"saved", do_saved},   {"stop", do_stop}};

static json_t *answer(const char *line) {
    json_t *request = json_loads(line, JSON_ALLOW_NUL, NULL), *result = NULL;
    const char *what = json_string_value(json_object_get(request, "do"));
    for (size_t i = 0; what && i < sizeof requests / sizeof *requests; i++)
        if (!strcmp(requests[i].name, what)) result = requests[i].run(request);
    json_decref(request);
    return result ? result : failed(PRESENCE_EINVAL);
}

int main(void) {
    char *line = NULL;
    size_t room = 0;
    driver.events = json_array();
    if (pipe2(driver.wake, O_NONBLOCK | O_CLOEXEC)) return 1;
    while (getline(&line, &room, stdin) > 0) {
        json_t *result = answer(line);
        char *text = json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY);
        puts(text);
        fflush(stdout);
        free(text);
        json_decref(result);
    }
    free(line);
    presence_tracker_close(driver.tracker);
    json_decref(driver.events);
    return 0;
}

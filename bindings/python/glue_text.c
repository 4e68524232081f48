/* glue_text.c: snapshots and events as text that Python decodes in one go, built without the interpreter's lock. */
#define _GNU_SOURCE
#include "glue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char *data;
    size_t size, room;
    int failed; /* out of memory: what follows is ignored */
} text;

static char *text_more(text *t, size_t more) {
    if (t->failed) return NULL;
    if (t->room - t->size < more) {
        size_t room = t->room * 2 > t->size + more ? t->room * 2 : t->size + more + 256;
        char *data = realloc(t->data, room);
        if (!data) {
            t->failed = 1;
            return NULL;
        }
        t->data = data;
        t->room = room;
    }
    char *end = t->data + t->size;
    t->size += more;
    return end;
}

static void text_raw(text *t, const void *data, size_t size) {
    char *end = text_more(t, size);
    if (end && size) memcpy(end, data, size);
}

static void text_put(text *t, const char *literal) { text_raw(t, literal, strlen(literal)); }

static void text_number(text *t, int64_t number) {
    char digits[24];
    text_raw(t, digits, (size_t)snprintf(digits, sizeof digits, "%" PRId64, number));
}

static void text_unsigned(text *t, uint64_t number) {
    char digits[24];
    text_raw(t, digits, (size_t)snprintf(digits, sizeof digits, "%" PRIu64, number));
}

static void text_string(text *t, presence_str s) {
    text_put(t, "\"");
    size_t start = 0;
    for (size_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        char escape[8];
        text_raw(t, s.data + start, i - start);
        text_raw(t, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", c));
        start = i + 1;
    }
    text_raw(t, s.data + start, s.size - start);
    text_put(t, "\"");
}

/* A meta is JSON text already. */
static void text_json(text *t, presence_str json) {
    if (json.size)
        text_raw(t, json.data, json.size);
    else
        text_put(t, "null");
}

static void text_entry(text *t, const presence_entry *entry) {
    text_put(t, "[");
    text_number(t, entry->kind);
    text_put(t, ",");
    text_string(t, entry->key);
    text_put(t, ",");
    text_json(t, entry->meta);
    text_put(t, ",");
    text_json(t, entry->prev_meta);
    text_put(t, ",");
    text_string(t, entry->ref);
    text_put(t, ",");
    text_string(t, entry->prev_ref);
    text_put(t, ",");
    text_string(t, entry->member);
    text_put(t, ",");
    text_number(t, entry->reason);
    text_put(t, entry->first ? ",1" : ",0");
    text_put(t, entry->last ? ",1," : ",0,");
    text_unsigned(t, entry->owner);
    text_put(t, "]");
}

static void text_member(text *t, const presence_member *member) {
    char id[24];
    snprintf(id, sizeof id, "\"%016" PRIx64 "\"", member->id);
    text_put(t, "[");
    text_string(t, member->name);
    text_put(t, ",");
    text_put(t, id);
    text_put(t, ",");
    text_string(t, member->address);
    text_put(t, ",");
    text_unsigned(t, member->incarnation);
    text_put(t, ",");
    text_number(t, member->status);
    text_put(t, member->synced ? ",1" : ",0");
    text_put(t, member->is_self ? ",1," : ",0,");
    text_number(t, member->rtt_ms);
    text_put(t, ",");
    text_unsigned(t, member->entries);
    text_put(t, member->observer ? ",1" : ",0");
    text_put(t, member->linked ? ",1," : ",0,");
    text_string(t, member->reason);
    text_put(t, ",");
    text_unsigned(t, member->lag);
    text_put(t, "]");
}

static int text_finish(text *t, int rc, glue_text *out) {
    if (rc == 0 && t->failed) rc = PRESENCE_ENOMEM;
    if (rc != 0) {
        free(t->data);
        return rc;
    }
    out->data = t->data;
    out->size = t->size;
    return 0;
}

void glue_text_free(glue_text *out) {
    free(out->data);
    *out = (glue_text){0};
}

int glue_list(presence_tracker *tracker, const char *topic, size_t topic_size, glue_text *out) {
    text t = {0};
    presence_snapshot *snapshot = NULL;
    presence_str json;
    *out = (glue_text){0};
    int rc = presence_list_json(tracker, (presence_str){topic, topic_size}, &snapshot, &json);
    if (rc != 0) return rc;
    text_raw(&t, json.data, json.size);
    out->seq = presence_snapshot_seq(snapshot);
    out->count = presence_snapshot_size(snapshot);
    presence_snapshot_free(snapshot);
    return text_finish(&t, 0, out);
}

/* Writes row `index` of a snapshot. */
typedef int (*row_writer)(text *, const presence_snapshot *, size_t index);

static int write_entry(text *t, const presence_snapshot *snapshot, size_t index) {
    presence_entry entry = {.size = sizeof entry};
    int rc = presence_snapshot_at(snapshot, index, &entry);
    if (rc == 0) text_entry(t, &entry);
    return rc;
}

static int write_topic(text *t, const presence_snapshot *snapshot, size_t index) {
    presence_entry entry = {.size = sizeof entry};
    int rc = presence_snapshot_at(snapshot, index, &entry);
    if (rc == 0) text_string(t, entry.topic);
    return rc;
}

static int write_member(text *t, const presence_snapshot *snapshot, size_t index) {
    presence_member member = {.size = sizeof member};
    int rc = presence_snapshot_member_at(snapshot, index, &member);
    if (rc == 0) text_member(t, &member);
    return rc;
}

/* A snapshot as an array, and its end. */
static int take_rows(presence_snapshot *snapshot, row_writer write_row, glue_text *out) {
    text t = {0};
    int rc = 0;
    out->count = presence_snapshot_size(snapshot);
    text_put(&t, "[");
    for (size_t i = 0; rc == 0 && i < out->count; i++) {
        if (i) text_put(&t, ",");
        rc = write_row(&t, snapshot, i);
    }
    text_put(&t, "]");
    presence_snapshot_free(snapshot);
    return text_finish(&t, rc, out);
}

int glue_entries(presence_tracker *tracker, const char *topic, size_t topic_size, const char *key, size_t key_size,
                 glue_text *out) {
    presence_snapshot *snapshot = NULL;
    presence_str wanted = {topic, topic_size};
    *out = (glue_text){0};
    int rc = key ? presence_get_by_key(tracker, wanted, (presence_str){key, key_size}, &snapshot)
                 : presence_list(tracker, wanted, &snapshot);
    if (rc != 0) return rc;
    out->seq = presence_snapshot_seq(snapshot);
    return take_rows(snapshot, write_entry, out);
}

int glue_topics(presence_tracker *tracker, glue_text *out) {
    presence_snapshot *snapshot = NULL;
    *out = (glue_text){0};
    int rc = presence_topics(tracker, &snapshot);
    return rc != 0 ? rc : take_rows(snapshot, write_topic, out);
}

int glue_members(presence_tracker *tracker, glue_text *out) {
    presence_snapshot *snapshot = NULL;
    *out = (glue_text){0};
    int rc = presence_members(tracker, &snapshot);
    return rc != 0 ? rc : take_rows(snapshot, write_member, out);
}

typedef struct {
    text text;
    size_t count;
    int rc; /* the first event that could not be read */
} batch;

static int event_text(text *t, const presence_event *event, int kind) {
    if (kind == PRESENCE_EVENT_DIFF) {
        presence_str json;
        int rc = presence_diff_json(event, &json);
        if (rc == 0) text_raw(t, json.data, json.size);
        return rc;
    }
    if (kind == PRESENCE_EVENT_MEMBER) {
        presence_member member = {.size = sizeof member};
        int rc = presence_event_member(event, &member);
        if (rc == 0) text_member(t, &member);
        return rc;
    }
    if (kind == PRESENCE_EVENT_ERROR || kind == PRESENCE_EVENT_STOPPED) {
        presence_str message = presence_event_message(event);
        text_raw(t, message.data, message.size);
    }
    return 0;
}

static int event_changes(text *t, const presence_event *event) {
    size_t count = presence_event_size(event);
    text_put(t, "[");
    for (size_t i = 0; i < count; i++) {
        presence_entry entry = {.size = sizeof entry};
        int rc = presence_event_at(event, i, &entry);
        if (rc != 0) return rc;
        if (i) text_put(t, ",");
        text_entry(t, &entry);
    }
    text_put(t, "]");
    return 0;
}

static void take_event(const presence_event *event, void *user) {
    batch *into = user;
    text *t = &into->text;
    size_t start = t->size;
    int kind = presence_event_kind(event);
    presence_str topic = presence_event_topic(event);
    glue_event_head head = {
        .kind = kind, .error = presence_event_error(event), .seq = presence_event_seq(event), .topic_size = topic.size};
    text_more(t, sizeof head);
    text_raw(t, topic.data, topic.size);
    size_t text_start = t->size;
    int rc = event_text(t, event, kind);
    head.text_size = t->size - text_start;
    size_t changes_start = t->size;
    if (rc == 0 && kind == PRESENCE_EVENT_DIFF) rc = event_changes(t, event);
    head.changes_size = t->size - changes_start;
    if (rc != 0 || t->failed) { /* a diff that cannot be told is a topic that has to be told anew */
        t->failed = 0;
        t->size = start;
        if (into->rc == 0) into->rc = rc ? rc : PRESENCE_ENOMEM;
        return;
    }
    memcpy(t->data + start, &head, sizeof head);
    into->count++;
}

int glue_drain(presence_tracker *tracker, size_t max, glue_text *out) {
    batch into = {0};
    *out = (glue_text){0};
    size_t delivered = 0;
    int rc = presence_drain(tracker, max, take_event, &into, &delivered);
    out->data = into.text.data;
    out->size = into.text.size;
    out->count = into.count;
    return rc ? rc : into.rc;
}

/* Reading an event inside its callback. */
#include "event.h"
#include <string.h>

void pr_event_init(presence_event *event, const pr_alloc *alloc, const pr_queued *queued, pr_rows *rows) {
    memset(event, 0, sizeof *event);
    event->alloc = alloc;
    event->queued = queued;
    event->rows = rows;
    event->refs.size = queued->diff ? queued->diff->size : rows ? rows->size : 0;
    pr_buffer_init(&event->json, alloc, SIZE_MAX / 2);
}

void pr_event_done(presence_event *event) {
    pr_refs_free(&event->refs, event->alloc);
    pr_buffer_free(&event->json);
    if (event->rows) pr_rows_free(event->rows);
}

int presence_event_kind(const presence_event *event) { return event ? event->queued->kind : 0; }

presence_str presence_event_topic(const presence_event *event) {
    return event ? pr_queued_topic(event->queued) : pr_str("", 0);
}

uint64_t presence_event_seq(const presence_event *event) {
    if (!event) return 0;
    return event->queued->diff ? event->queued->diff->seq : event->rows ? event->rows->seq : 0;
}

size_t presence_event_size(const presence_event *event) { return event ? event->refs.size : 0; }

static pr_versions diff_versions(const void *diff, size_t index) {
    const pr_diff_item *item = &((const pr_diff *)diff)->items[index];
    pr_versions versions = {item->inst, item->dot, item->prev_dot};
    return versions;
}

static void fill_change(presence_entry *out, const pr_diff *diff, size_t index, const pr_ref_pair *refs) {
    const pr_diff_item *item = &diff->items[index];
    memset(out, 0, sizeof *out);
    out->topic = diff->topic;
    out->key = item->key;
    out->meta = item->meta;
    out->prev_meta = item->prev_meta;
    out->member = item->member;
    out->owner = item->owner;
    out->kind = item->kind;
    out->reason = item->reason;
    out->first = item->first;
    out->last = item->last;
    out->ref = pr_cstr(refs->ref.text);
    out->prev_ref = pr_cstr(refs->prev.text);
}

int presence_event_at(const presence_event *event, size_t index, presence_entry *out) {
    if (!event || !out || index >= event->refs.size) return PRESENCE_EINVAL;
    presence_event *changing = (presence_event *)(uintptr_t)event; /* only the made-once texts */
    const pr_diff *diff = event->queued->diff;
    const pr_ref_pair *refs = diff ? pr_refs_get(&changing->refs, event->alloc, diff_versions, diff)
                                   : pr_refs_get(&changing->refs, event->alloc, pr_row_versions, event->rows);
    presence_entry entry;
    if (!refs) return PRESENCE_ENOMEM;
    if (diff) {
        fill_change(&entry, diff, index, &refs[index]);
    } else {
        pr_fill_row(&entry, &event->rows->rows[index], &refs[index]);
    }
    return pr_fill_sized(out, &entry, sizeof entry);
}

int presence_event_member(const presence_event *event, presence_member *out) {
    if (!event || !out || event->queued->kind != PRESENCE_EVENT_MEMBER) return PRESENCE_EINVAL;
    presence_member member;
    pr_fill_member(&member, &event->queued->note->member);
    return pr_fill_sized(out, &member, sizeof member);
}

int presence_event_error(const presence_event *event) {
    return event && event->queued->note ? event->queued->note->code : 0;
}

presence_str presence_event_message(const presence_event *event) {
    return event && event->queued->note ? pr_cstr(event->queued->note->text) : pr_str("", 0);
}

int presence_diff_json(const presence_event *event, presence_str *json) {
    if (!event || !json) return PRESENCE_EINVAL;
    presence_event *changing = (presence_event *)(uintptr_t)event;
    if (!event->queued->diff && !event->rows) return PRESENCE_EINVAL;
    if (!event->has_json) {
        pr_buffer_clear(&changing->json);
        if (event->queued->diff) {
            pr_diff_json(event->queued->diff, &changing->json);
        } else {
            pr_rows_json(event->rows, &changing->json);
        }
        if (event->json.failed) return event->json.failed;
        changing->has_json = true;
    }
    *json = pr_str((const char *)event->json.data, event->json.size);
    return 0;
}

/* Undelivered events: a list, and the turn from diffs to resyncs when it is full. */
#include "queue.h"
#include <string.h>

int pr_queue_init(pr_queue *queue, const pr_alloc *alloc, size_t limit) {
    memset(queue, 0, sizeof *queue);
    queue->alloc = alloc;
    queue->end = &queue->first;
    queue->limit = limit;
    pr_topic_set_init(&queue->resyncs, alloc);
    queue->last = pr_new(alloc, sizeof *queue->last);
    if (!queue->last) return PRESENCE_ENOMEM;
    queue->last->kind = PRESENCE_EVENT_STOPPED;
    queue->last->note = pr_new(alloc, sizeof *queue->last->note);
    return queue->last->note ? 0 : PRESENCE_ENOMEM;
}

void pr_queued_free(pr_queue *queue, pr_queued *event) {
    if (event->diff) pr_diff_free(event->diff);
    pr_topic_free(&queue->resyncs, event->topic);
    pr_delete(queue->alloc, event->note, sizeof *event->note);
    pr_delete(queue->alloc, event, sizeof *event);
}

void pr_queue_free(pr_queue *queue) {
    while (queue->first) pr_queued_free(queue, pr_queue_take(queue));
    if (queue->last) pr_queued_free(queue, queue->last);
    pr_topic_set_free(&queue->resyncs);
    pr_delete(queue->alloc, queue->spare, sizeof *queue->spare);
    pr_delete(queue->alloc, queue->spare_note, sizeof *queue->spare_note);
}

int pr_queue_reserve(pr_queue *queue) {
    if (!queue->spare) queue->spare = pr_new(queue->alloc, sizeof *queue->spare);
    if (!queue->spare_note) queue->spare_note = pr_new(queue->alloc, sizeof *queue->spare_note);
    return queue->spare && queue->spare_note ? 0 : PRESENCE_ENOMEM;
}

presence_str pr_queued_topic(const pr_queued *event) {
    if (event->diff) return event->diff->topic;
    if (event->topic) return pr_str(event->topic->name, event->topic->size);
    return pr_str("", 0);
}

static size_t cost(const pr_queued *event) {
    size_t bytes = sizeof *event;
    if (event->diff) bytes += event->diff->bytes;
    if (event->topic) bytes += sizeof *event->topic + event->topic->size;
    if (event->note) bytes += sizeof *event->note;
    return bytes;
}

static void count(pr_queue *queue, const pr_queued *event, int sign) {
    size_t bytes = cost(event);
    queue->size += (size_t)sign;
    queue->bytes += sign > 0 ? bytes : (size_t)0 - bytes;
    if (event->diff) queue->diff_bytes += sign > 0 ? bytes : (size_t)0 - bytes;
    if (event->kind == PRESENCE_EVENT_MEMBER || event->kind == PRESENCE_EVENT_ERROR) queue->notes += (size_t)sign;
    if (queue->diff_bytes <= queue->limit && queue->bounded) queue->allowance = 0;
}

static void append(pr_queue *queue, pr_queued *event) {
    event->next = NULL;
    *queue->end = event;
    queue->end = &event->next;
    queue->appended++;
    count(queue, event, 1);
}

static pr_queued *use_spare(pr_queue *queue) {
    pr_queued *event = queue->spare;
    queue->spare = NULL;
    memset(event, 0, sizeof *event);
    return event;
}

static void unlink_at(pr_queue *queue, pr_queued **at) {
    pr_queued *event = *at;
    *at = event->next;
    if (queue->end == &event->next) queue->end = at;
    count(queue, event, -1);
}

/* Turns a diff into the resync of its topic; without memory for that it stays a diff, which is right too. */
static void become_resync(pr_queue *queue, pr_queued *event) {
    pr_topic *topic = pr_topic_set_add(&queue->resyncs, event->diff->topic);
    if (!topic) return;
    count(queue, event, -1);
    pr_diff_free(event->diff);
    event->diff = NULL;
    event->topic = topic;
    event->kind = PRESENCE_EVENT_RESYNC;
    count(queue, event, 1);
    queue->overflows++;
}

static void overflow(pr_queue *queue) {
    pr_queued **at = &queue->first;
    while (*at) {
        pr_queued *event = *at;
        if (event->diff && pr_topic_set_find(&queue->resyncs, event->diff->topic)) {
            unlink_at(queue, at);
            pr_queued_free(queue, event);
            continue;
        }
        if (event->diff) become_resync(queue, event);
        at = &event->next;
    }
}

void pr_queue_diff(pr_queue *queue, pr_diff *diff) {
    if (queue->closed || pr_topic_set_find(&queue->resyncs, diff->topic)) {
        pr_diff_free(diff);
        return;
    }
    pr_queued *event = use_spare(queue);
    event->kind = PRESENCE_EVENT_DIFF;
    event->diff = diff;
    append(queue, event);
    if (queue->bounded && queue->diff_bytes > queue->limit + queue->allowance) overflow(queue);
}

static void drop_oldest_note(pr_queue *queue) {
    for (pr_queued **at = &queue->first; *at; at = &(*at)->next) {
        pr_queued *event = *at;
        if (event->kind != PRESENCE_EVENT_MEMBER && event->kind != PRESENCE_EVENT_ERROR) continue;
        unlink_at(queue, at);
        pr_queued_free(queue, event);
        return;
    }
}

pr_note *pr_queue_note(pr_queue *queue, int kind) {
    pr_queued *event = use_spare(queue);
    event->kind = kind;
    event->note = queue->spare_note;
    queue->spare_note = NULL;
    memset(event->note, 0, sizeof *event->note);
    append(queue, event);
    if (queue->notes > PR_NOTES_MAX) drop_oldest_note(queue);
    return event->note;
}

void pr_queue_synced(pr_queue *queue) {
    if (queue->bounded) return;
    queue->bounded = true;
    queue->allowance = queue->diff_bytes;
}

pr_note *pr_queue_close(pr_queue *queue) {
    pr_queued *last = queue->last;
    if (!last) return NULL;
    queue->last = NULL;
    queue->closed = true;
    append(queue, last);
    return last->note;
}

pr_queued *pr_queue_take(pr_queue *queue) {
    pr_queued *event = queue->first;
    if (!event) return NULL;
    unlink_at(queue, &queue->first);
    if (event->topic) pr_topic_set_detach(&queue->resyncs, event->topic);
    event->next = NULL;
    return event;
}

void pr_queue_put_back(pr_queue *queue, pr_queued *event) {
    if (event->topic) pr_topic_set_attach(&queue->resyncs, event->topic);
    event->next = queue->first;
    if (!queue->first) queue->end = &event->next;
    queue->first = event;
    count(queue, event, 1);
}

/* Calls that read, and subscriptions: a read and a watch in one moment. */
#include "event.h"
#include "tracker.h"
#include <string.h>

static int check_topic(presence_str topic) {
    if (!topic.data && topic.size > 0) return PRESENCE_EINVAL;
    return pr_check_topic(topic);
}

static int check_key(presence_str key) {
    if (!key.data && key.size > 0) return PRESENCE_EINVAL;
    return pr_check_key(key);
}

/* Reads rows into a new snapshot; key NULL: the topic, topic NULL: all topics. */
static int read_rows(presence_tracker *tracker, const presence_str *topic, const presence_str *key,
                     presence_snapshot **out) {
    presence_snapshot *snapshot;
    int failed = pr_tracker_check(tracker);
    if (!failed) failed = pr_snapshot_new(tracker->memory, &snapshot);
    if (failed) return failed;
    failed = pr_tracker_enter_read(tracker);
    if (!failed) {
        const pr_store *store = pr_engine_store(tracker->engine);
        failed = !topic ? pr_store_topics(store, &snapshot->rows)
                 : key  ? pr_store_get(store, *topic, *key, &snapshot->rows)
                        : pr_store_list(store, *topic, &snapshot->rows);
        pr_tracker_leave_read(tracker);
    }
    if (failed) {
        presence_snapshot_free(snapshot);
        return failed;
    }
    snapshot->refs.size = snapshot->rows->size;
    snapshot->seq = snapshot->rows->seq;
    *out = snapshot;
    return 0;
}

int presence_list(presence_tracker *tracker, presence_str topic, presence_snapshot **out) {
    if (!out) return PRESENCE_EINVAL;
    *out = NULL;
    int failed = tracker ? check_topic(topic) : PRESENCE_EINVAL;
    return failed ? failed : read_rows(tracker, &topic, NULL, out);
}

int presence_get_by_key(presence_tracker *tracker, presence_str topic, presence_str key, presence_snapshot **out) {
    if (!out) return PRESENCE_EINVAL;
    *out = NULL;
    int failed = tracker ? check_topic(topic) : PRESENCE_EINVAL;
    if (!failed) failed = check_key(key);
    return failed ? failed : read_rows(tracker, &topic, &key, out);
}

int presence_topics(presence_tracker *tracker, presence_snapshot **out) {
    if (!out) return PRESENCE_EINVAL;
    *out = NULL;
    return read_rows(tracker, NULL, NULL, out);
}

int presence_list_json(presence_tracker *tracker, presence_str topic, presence_snapshot **out, presence_str *json) {
    if (!json) return PRESENCE_EINVAL;
    *json = pr_str("", 0);
    int failed = presence_list(tracker, topic, out);
    if (failed) return failed;
    pr_rows_json((*out)->rows, &(*out)->json);
    if ((*out)->json.failed) {
        failed = (*out)->json.failed;
        presence_snapshot_free(*out);
        *out = NULL;
        return failed;
    }
    *json = pr_str((const char *)(*out)->json.data, (*out)->json.size);
    return 0;
}

int presence_count(presence_tracker *tracker, presence_str topic, size_t *keys, size_t *metas) {
    size_t k = 0, m = 0;
    if (keys) *keys = 0;
    if (metas) *metas = 0;
    int failed = tracker ? check_topic(topic) : PRESENCE_EINVAL;
    if (!failed) failed = pr_tracker_enter_read(tracker);
    if (failed) return failed;
    pr_store_count(pr_engine_store(tracker->engine), topic, &k, &m);
    pr_tracker_leave_read(tracker);
    if (keys) *keys = k;
    if (metas) *metas = m;
    return 0;
}

/* Members come and go between counting and copying, so it is repeated with more room. */
static int read_members(presence_tracker *tracker, presence_snapshot *snapshot) {
    size_t count = 8;
    while (count > snapshot->members_room) {
        pr_member_info *grown =
            pr_resize(tracker->alloc, snapshot->members, snapshot->members_room * sizeof *grown, count * sizeof *grown);
        if (!grown) return PRESENCE_ENOMEM;
        snapshot->members = grown;
        snapshot->members_room = count;
        int failed = pr_tracker_enter_read(tracker);
        if (failed) return failed;
        count = pr_engine_members(tracker->engine, snapshot->members, snapshot->members_room);
        pr_tracker_leave_read(tracker);
    }
    snapshot->members_size = count;
    return 0;
}

int presence_members(presence_tracker *tracker, presence_snapshot **out) {
    presence_snapshot *snapshot;
    if (!out) return PRESENCE_EINVAL;
    *out = NULL;
    int failed = pr_tracker_check(tracker);
    if (!failed) failed = pr_snapshot_new(tracker->memory, &snapshot);
    if (failed) return failed;
    failed = read_members(tracker, snapshot);
    if (failed) {
        presence_snapshot_free(snapshot);
        return failed;
    }
    *out = snapshot;
    return 0;
}

int presence_stats(presence_tracker *tracker, presence_statistics *out) {
    presence_statistics all;
    pr_transport_counts net;
    if (!out || out->size < sizeof out->size) return PRESENCE_EINVAL;
    memset(&all, 0, sizeof all);
    int failed = pr_tracker_enter_read(tracker);
    if (failed) return failed;
    pr_engine_stats(tracker->engine, &all);
    pr_transport_count(tracker->net, &net);
    pthread_mutex_lock(&tracker->events);
    all.queue_bytes = tracker->queue.bytes;
    all.queue_events = tracker->queue.size;
    all.resyncs = tracker->queue.overflows;
    pthread_mutex_unlock(&tracker->events);
    pr_tracker_leave_read(tracker);
    if (all.links == 0) all.links = net.links;
    all.bytes_in = net.bytes_in;
    all.bytes_out = net.bytes_out;
    all.dials = net.dials;
    all.dial_failures = net.dial_failures;
    return pr_fill_sized(out, &all, sizeof all);
}

/* ---- subscriptions ---- */
/* Diffs up to the seq of the first state are older than the subscription; those of an earlier one may still wait. */
static int watch(presence_tracker *tracker, presence_str topic) {
    pr_store *store = pr_engine_store_for_watch(tracker->engine);
    pthread_mutex_lock(&tracker->events);
    bool known = pr_topic_set_find(&tracker->subscribed, topic) != NULL;
    pr_topic *added = known ? NULL : pr_topic_set_add(&tracker->subscribed, topic);
    if (added) added->number = pr_store_seq(store);
    pthread_mutex_unlock(&tracker->events);
    if (known) return 0;
    if (!added) return PRESENCE_ENOMEM;
    int failed = pr_store_watch(store, topic);
    if (!failed) return 0;
    pthread_mutex_lock(&tracker->events);
    pr_topic_set_detach(&tracker->subscribed, added);
    pr_topic_free(&tracker->subscribed, added);
    pthread_mutex_unlock(&tracker->events);
    return failed;
}

int presence_subscribe(presence_tracker *tracker, presence_str topic, presence_snapshot **out) {
    presence_snapshot *snapshot = NULL;
    if (out) *out = NULL;
    int failed = tracker ? check_topic(topic) : PRESENCE_EINVAL;
    if (!failed) failed = pr_tracker_check(tracker);
    if (!failed && out) failed = pr_snapshot_new(tracker->memory, &snapshot);
    if (failed) return failed;
    failed = pr_tracker_enter_write(tracker);
    if (!failed) {
        if (out) failed = pr_store_list(pr_engine_store(tracker->engine), topic, &snapshot->rows);
        if (!failed) failed = watch(tracker, topic);
        pr_tracker_leave_write(tracker);
    }
    if (failed) {
        presence_snapshot_free(snapshot);
        return failed;
    }
    if (out) {
        snapshot->refs.size = snapshot->rows->size;
        snapshot->seq = snapshot->rows->seq;
        *out = snapshot;
    }
    return 0;
}

int presence_subscribe_all(presence_tracker *tracker) {
    int failed = pr_tracker_enter_write(tracker);
    if (failed) return failed;
    pr_store_watch_all(pr_engine_store_for_watch(tracker->engine), true);
    pthread_mutex_lock(&tracker->events);
    tracker->subscribed_all = true;
    pthread_mutex_unlock(&tracker->events);
    pr_tracker_leave_write(tracker);
    return 0;
}

int presence_unsubscribe(presence_tracker *tracker, presence_str topic) {
    int failed = tracker ? check_topic(topic) : PRESENCE_EINVAL;
    if (!failed) failed = pr_tracker_enter_write(tracker);
    if (failed) return failed;
    pthread_mutex_lock(&tracker->events);
    pr_topic *known = pr_topic_set_find(&tracker->subscribed, topic);
    if (known) {
        pr_topic_set_detach(&tracker->subscribed, known);
        pr_topic_free(&tracker->subscribed, known);
    }
    pthread_mutex_unlock(&tracker->events);
    if (known) pr_store_unwatch(pr_engine_store_for_watch(tracker->engine), topic);
    pr_tracker_leave_write(tracker);
    return 0;
}

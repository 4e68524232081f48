/* Calls that change: owners, track, update, untrack. */
#include "tracker.h"
#include <stdint.h>

#define LEASE_MAX_MS 86400000

static bool bad(presence_str s) { return !s.data && s.size > 0; }

/* size 0 means {} */
static presence_str meta_or_empty(presence_str meta) { return meta.size == 0 ? pr_str("{}", 2) : meta; }

int presence_owner_open(presence_tracker *tracker, presence_owner *out) {
    if (!out) return PRESENCE_EINVAL;
    *out = 0;
    int failed = pr_tracker_enter_write(tracker);
    if (failed) return failed;
    failed = pr_engine_owner_open(tracker->engine, 0, pr_transport_now(tracker->net), out);
    pr_tracker_leave_write(tracker);
    return failed;
}

int presence_owner_open_lease(presence_tracker *tracker, int lease_ms, presence_owner *out) {
    if (!out) return PRESENCE_EINVAL;
    *out = 0;
    if (lease_ms < 1 || lease_ms > LEASE_MAX_MS) return PRESENCE_EINVAL;
    int failed = pr_tracker_enter_write(tracker);
    if (failed) return failed;
    failed = pr_engine_owner_open(tracker->engine, (uint32_t)lease_ms, pr_transport_now(tracker->net), out);
    pr_tracker_leave_write(tracker);
    return failed;
}

int presence_owner_touch(presence_tracker *tracker, presence_owner owner) {
    int failed = pr_tracker_enter_write(tracker);
    if (failed) return failed;
    failed = pr_engine_owner_touch(tracker->engine, owner, pr_transport_now(tracker->net));
    pr_tracker_leave_write(tracker);
    return failed;
}

int presence_owner_close(presence_tracker *tracker, presence_owner owner) {
    int failed = pr_tracker_enter_write(tracker);
    if (failed) return failed;
    failed = pr_engine_owner_close(tracker->engine, owner, pr_transport_now(tracker->net));
    pr_tracker_leave_write(tracker);
    return failed;
}

static int track(presence_tracker *tracker, presence_owner owner, const presence_item *items, size_t count,
                 presence_ref *refs, size_t *failed_index) {
    const char *why = NULL;
    int failed = pr_tracker_enter_write(tracker);
    if (failed) return failed;
    failed = pr_engine_track_many(tracker->engine, owner, items, count, pr_transport_now(tracker->net), refs,
                                  failed_index, &why);
    pr_tracker_leave_write(tracker);
    return failed;
}

int presence_track(presence_tracker *tracker, presence_owner owner, presence_str topic, presence_str key,
                   presence_str meta, presence_ref *out_or_null) {
    size_t index;
    if (bad(topic) || bad(key) || bad(meta)) return PRESENCE_EINVAL;
    presence_item item = {topic, key, meta_or_empty(meta)};
    return track(tracker, owner, &item, 1, out_or_null, &index);
}

static int check_items(const presence_item *items, size_t count, size_t *failed_index) {
    *failed_index = 0;
    if (!items && count > 0) return PRESENCE_EINVAL;
    for (size_t i = 0; i < count; i++) {
        if (!bad(items[i].topic) && !bad(items[i].key) && !bad(items[i].meta)) continue;
        *failed_index = i;
        return PRESENCE_EINVAL;
    }
    return 0;
}

int presence_track_many(presence_tracker *tracker, presence_owner owner, const presence_item *items, size_t count,
                        presence_ref *out_or_null, size_t *failed_index) {
    size_t index = 0;
    if (!failed_index) failed_index = &index;
    int failed = check_items(items, count, failed_index);
    return failed ? failed : track(tracker, owner, items, count, out_or_null, failed_index);
}

int presence_track_check(presence_tracker *tracker, presence_owner owner, const presence_item *items, size_t count,
                         size_t *failed_index, const char **option) {
    size_t index = 0;
    const char *name = "";
    if (!failed_index) failed_index = &index;
    if (!option) option = &name;
    *option = "";
    int failed = check_items(items, count, failed_index);
    if (!failed) failed = pr_tracker_enter_write(tracker);
    if (failed) return failed;
    failed = pr_engine_track_check(tracker->engine, owner, items, count, pr_transport_now(tracker->net), failed_index,
                                   option);
    pr_tracker_leave_write(tracker);
    return failed;
}

static int update(presence_tracker *tracker, presence_owner owner, presence_str topic, presence_str key,
                  const presence_str *expected, presence_str meta, presence_ref *out) {
    const char *why = NULL;
    if (bad(topic) || bad(key) || bad(meta)) return PRESENCE_EINVAL;
    int failed = pr_tracker_enter_write(tracker);
    if (failed) return failed;
    failed = pr_engine_update(tracker->engine, owner, topic, key, expected, meta_or_empty(meta),
                              pr_transport_now(tracker->net), out, &why);
    pr_tracker_leave_write(tracker);
    return failed;
}

int presence_update(presence_tracker *tracker, presence_owner owner, presence_str topic, presence_str key,
                    presence_str meta, presence_ref *out_or_null) {
    return update(tracker, owner, topic, key, NULL, meta, out_or_null);
}

int presence_update_if(presence_tracker *tracker, presence_owner owner, presence_str topic, presence_str key,
                       presence_str expected_ref, presence_str meta, presence_ref *out_or_null) {
    if (!expected_ref.data) return PRESENCE_EINVAL;
    return update(tracker, owner, topic, key, &expected_ref, meta, out_or_null);
}

int presence_untrack(presence_tracker *tracker, presence_owner owner, presence_str topic, presence_str key,
                     size_t *removed) {
    size_t count = 0;
    if (removed) *removed = 0;
    if (bad(topic) || bad(key)) return PRESENCE_EINVAL;
    int failed = pr_tracker_enter_write(tracker);
    if (failed) return failed;
    failed = pr_engine_untrack(tracker->engine, owner, topic, key, pr_transport_now(tracker->net), &count);
    pr_tracker_leave_write(tracker);
    if (removed) *removed = count;
    return failed;
}

int presence_untrack_owner(presence_tracker *tracker, presence_owner owner, size_t *removed) {
    size_t count = 0;
    if (removed) *removed = 0;
    int failed = pr_tracker_enter_write(tracker);
    if (failed) return failed;
    failed = pr_engine_untrack_owner(tracker->engine, owner, pr_transport_now(tracker->net), &count);
    pr_tracker_leave_write(tracker);
    if (removed) *removed = count;
    return failed;
}

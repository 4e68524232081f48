/* The local member's own presences: owners, track, update, untrack, leases (protocol.md 3.2).
 *
 * Arguments are checked and memory for the diff is reserved before anything changes, so a call does all or nothing.
 * State is visible before its diff is queued.
 */
#include "engine_state.h"

#define META_EMPTY "{}"

static int begin(pr_engine *e, pr_time now) {
    pr_engine_note_local(e, now);
    if (e->left || e->yielded) return PRESENCE_ECLOSED;
    pr_local_expire(e);
    return 0;
}

static void finish(pr_engine *e) {
    pr_action_diffs(e, pr_diff_finish(e->store));
    pr_local_changed(e);
}

int pr_engine_owner_open(pr_engine *e, uint32_t lease_ms, pr_time now, presence_owner *out) {
    int rc = begin(e, now);
    if (rc) return rc;
    rc = pr_store_owner_open(e->store, lease_ms ? e->now.mono_ms + lease_ms : 0, out);
    if (rc || !lease_ms) return rc;
    rc = pr_map_put(&e->leases, *out, lease_ms);
    if (rc) pr_store_owner_close(e->store, *out);
    return rc;
}

int pr_engine_owner_touch(pr_engine *e, presence_owner owner, pr_time now) {
    int rc = begin(e, now);
    if (!rc) rc = pr_store_owner_check(e->store, owner);
    uint64_t lease_ms = pr_map_get(&e->leases, owner);
    if (rc || !lease_ms) return rc;
    return pr_store_owner_lease(e->store, owner, e->now.mono_ms + lease_ms);
}

static size_t text_of(const pr_view *view) { return view->topic.size + view->key.size + view->meta.size; }

/* All entries of an owner leave, in one diff per topic. */
static int remove_owned(pr_engine *e, presence_owner owner, uint8_t reason, uint8_t removal, size_t *removed) {
    size_t count = 0, bytes = 0;
    pr_view view;
    for (pr_id id = pr_store_first_owned(e->store, owner); id; id = pr_store_next_owned(e->store, id)) {
        pr_store_view(e->store, id, &view);
        bytes += text_of(&view);
        count++;
    }
    *removed = 0;
    if (!count) return 0;
    int rc = pr_diff_begin(e->store, count, bytes);
    if (rc) return rc;
    pr_id id;
    while ((id = pr_store_first_owned(e->store, owner))) {
        pr_hide(e, id, reason);
        rc = pr_log_untrack(e->own.log, id, removal);
        if (rc) {
            pr_show(e, id);
            break;
        }
        (*removed)++;
    }
    finish(e);
    return rc;
}

static int close_owner(pr_engine *e, presence_owner owner, uint8_t reason, uint8_t removal) {
    size_t removed;
    int rc = remove_owned(e, owner, reason, removal, &removed);
    if (rc) return rc;
    pr_map_take(&e->leases, owner);
    pr_store_owner_close(e->store, owner);
    return 0;
}

int pr_engine_owner_close(pr_engine *e, presence_owner owner, pr_time now) {
    int rc = begin(e, now);
    if (!rc) rc = pr_store_owner_check(e->store, owner);
    if (!rc) rc = close_owner(e, owner, PRESENCE_REASON_OWNER_CLOSED, PR_REMOVED_OWNER_CLOSED);
    if (!rc) pr_engine_settle_event(e);
    return rc;
}

/* A lease that ran out closes its owner. */
void pr_local_expire(pr_engine *e) {
    uint64_t deadline;
    presence_owner owner;
    if (e->left || e->yielded) return;
    while ((owner = pr_store_owner_first_lease(e->store, &deadline)) && deadline <= e->now.mono_ms) {
        if (close_owner(e, owner, PRESENCE_REASON_LEASE, PR_REMOVED_LEASE) == 0) continue;
        e->memory_failed = true;
        pr_store_owner_lease(e->store, owner, e->now.mono_ms + PR_MEMORY_MS);
        return;
    }
}

static presence_str meta_of(presence_str meta) { return meta.size ? meta : pr_str(META_EMPTY, 2); }

static int check_meta(const pr_engine *e, presence_str meta, const char **why) {
    int rc = pr_check_meta(meta_of(meta), e->options.meta_bytes, why);
    if (rc == PRESENCE_ELIMIT) *why = "meta_bytes";
    return rc;
}

static int check_names(const pr_engine *e, presence_str topic, presence_str key, const char **why) {
    int rc = pr_check_topic(topic);
    if (!rc) rc = pr_check_key(key);
    if (rc) return rc;
    if (topic.size > e->options.topic_bytes)
        *why = "topic_bytes";
    else if (key.size > e->options.key_bytes)
        *why = "key_bytes";
    else
        return 0;
    return PRESENCE_ELIMIT;
}

static bool same_place(const presence_item *a, const presence_item *b) {
    return pr_str_equal(a->topic, b->topic) && pr_str_equal(a->key, b->key);
}

/* ETRACKED when items[at] stands in seen already, else it is added: key = hash, next free number on a collision. */
static int note_item(pr_engine *e, pr_map *seen, const presence_item *items, size_t at) {
    uint64_t hash = pr_hash(items[at].topic.data, items[at].topic.size, e->options.seed);
    hash = pr_hash(items[at].key.data, items[at].key.size, hash);
    for (;; hash++) {
        if (!hash) continue;
        uint64_t other = pr_map_get(seen, hash);
        if (!other) return pr_map_put(seen, hash, at + 1);
        if (same_place(&items[other - 1], &items[at])) return PRESENCE_ETRACKED;
    }
}

static int check_item(pr_engine *e, presence_owner owner, const presence_item *item, const char **why) {
    int rc = check_names(e, item->topic, item->key, why);
    if (!rc) rc = check_meta(e, item->meta, why);
    if (!rc && pr_store_find_owned(e->store, owner, item->topic, item->key)) rc = PRESENCE_ETRACKED;
    return rc;
}

/* Quotas count what is shown, and what stands in the call before this item. A key of an owner is there once, and so
 * once in the call. Should two topics of a call have one hash of 64 bits, they are counted together. */
static int check_quotas(const pr_engine *e, const presence_item *item, size_t before, pr_map *topics,
                        const char **why) {
    const pr_engine_options *o = &e->options;
    if (o->member_entries && pr_log_size(e->own.log) + before >= o->member_entries) {
        *why = "member_entries";
        return PRESENCE_ELIMIT;
    }
    if (o->key_metas && pr_store_key_count(e->store, item->topic, item->key) >= o->key_metas) {
        *why = "key_metas";
        return PRESENCE_ELIMIT;
    }
    if (!o->topic_entries) return 0;
    size_t shown;
    uint64_t hash = pr_hash(item->topic.data, item->topic.size, e->options.seed) | 1;
    uint64_t here = topics ? pr_map_get(topics, hash) : 0;
    pr_store_count(e->store, item->topic, NULL, &shown);
    if (shown + here < o->topic_entries) return topics ? pr_map_put(topics, hash, here + 1) : 0;
    *why = "topic_entries";
    return PRESENCE_ELIMIT;
}

static int check_items(pr_engine *e, presence_owner owner, const presence_item *items, size_t count, size_t *bytes,
                       size_t *failed, const char **why) {
    pr_map seen, topics;
    pr_map_init(&seen, e->alloc, e->options.seed);
    pr_map_init(&topics, e->alloc, e->options.seed);
    int rc = 0;
    *bytes = 0;
    for (size_t i = 0; i < count && !rc; i++) {
        rc = check_item(e, owner, &items[i], why);
        if (!rc && count > 1) rc = note_item(e, &seen, items, i);
        if (!rc) rc = check_quotas(e, &items[i], i, count > 1 ? &topics : NULL, why);
        *bytes += items[i].topic.size + items[i].key.size + meta_of(items[i].meta).size;
        if (rc) *failed = i;
    }
    pr_map_free(&seen);
    pr_map_free(&topics);
    return rc;
}

/* The entries made so far are taken back: they were never shown, only holes in the versions stay. */
static int track_all(pr_engine *e, presence_owner owner, const presence_item *items, size_t count, size_t *failed) {
    for (size_t i = 0; i < count; i++) {
        int rc = pr_log_track(e->own.log, owner, items[i].topic, items[i].key, meta_of(items[i].meta), &e->ids[i]);
        if (!rc) continue;
        *failed = i;
        while (i--) pr_log_untrack(e->own.log, e->ids[i], PR_REMOVED_UNTRACK);
        return rc;
    }
    return 0;
}

static int check_call(pr_engine *e, presence_owner owner, const presence_item *items, size_t count, size_t *bytes,
                      size_t *failed, const char **why) {
    int rc = pr_store_owner_check(e->store, owner);
    if (!rc) rc = check_items(e, owner, items, count, bytes, failed, why);
    if (rc || count + pr_store_size(e->store) <= e->options.entries_max) return rc;
    *why = "entries";
    return PRESENCE_ELIMIT;
}

int pr_engine_track_check(pr_engine *e, presence_owner owner, const presence_item *items, size_t count, pr_time now,
                          size_t *failed_index, const char **why) {
    size_t bytes;
    *failed_index = 0;
    *why = "";
    int rc = begin(e, now);
    return rc ? rc : check_call(e, owner, items, count, &bytes, failed_index, why);
}

int pr_engine_track_many(pr_engine *e, presence_owner owner, const presence_item *items, size_t count, pr_time now,
                         presence_ref *refs, size_t *failed_index, const char **why) {
    size_t bytes, failed = 0;
    const char *text = NULL;
    int rc = begin(e, now);
    if (!rc) rc = check_call(e, owner, items, count, &bytes, &failed, &text);
    if (!rc && count) {
        rc = pr_engine_room(e, (void **)&e->ids, &e->ids_room, count, sizeof *e->ids);
        if (!rc) rc = pr_diff_begin(e->store, count, bytes);
        if (!rc) {
            rc = track_all(e, owner, items, count, &failed);
            for (size_t i = 0; i < count && !rc; i++) {
                pr_show(e, e->ids[i]);
                if (refs) pr_ref_format(&refs[i], e->inst, pr_store_dot(e->store, e->ids[i]));
            }
            finish(e);
        }
    }
    if (failed_index) *failed_index = failed;
    if (why) *why = text;
    if (!rc) pr_engine_settle_event(e);
    return rc;
}

static int change_meta(pr_engine *e, pr_id id, const pr_view *view, presence_str meta) {
    int rc = pr_diff_begin(e->store, 1, text_of(view) + meta.size);
    if (rc) return rc;
    pr_meta_hold old;
    rc = pr_log_update(e->own.log, id, meta, &old);
    if (!rc) {
        pr_diff_update(e->store, id, view->dot, old.meta);
        e->stats.updates++;
    }
    finish(e);
    if (!rc) pr_store_meta_release(e->store, &old);
    return rc;
}

static bool is_ref(presence_str text, uint64_t inst, uint64_t dot) {
    presence_ref ref;
    pr_ref_format(&ref, inst, dot);
    return pr_str_equal(text, pr_cstr(ref.text));
}

int pr_engine_update(pr_engine *e, presence_owner owner, presence_str topic, presence_str key,
                     const presence_str *expected_ref, presence_str meta, pr_time now, presence_ref *ref,
                     const char **why) {
    const char *text = NULL;
    pr_id id = 0;
    pr_view view;
    int rc = begin(e, now);
    if (!rc) rc = pr_store_owner_check(e->store, owner);
    if (!rc) rc = check_names(e, topic, key, &text);
    if (!rc) rc = check_meta(e, meta, &text);
    if (!rc && !(id = pr_store_find_owned(e->store, owner, topic, key))) rc = PRESENCE_ENOTTRACKED;
    if (!rc) {
        pr_store_view(e->store, id, &view);
        if (expected_ref && !is_ref(*expected_ref, e->inst, view.dot)) rc = PRESENCE_ESTALE;
    }
    if (!rc && !pr_str_equal(view.meta, meta_of(meta))) rc = change_meta(e, id, &view, meta_of(meta));
    if (!rc && ref) pr_ref_format(ref, e->inst, pr_store_dot(e->store, id));
    if (why) *why = text;
    if (!rc) pr_engine_settle_event(e);
    return rc;
}

int pr_engine_untrack(pr_engine *e, presence_owner owner, presence_str topic, presence_str key, pr_time now,
                      size_t *removed) {
    size_t count = 0;
    if (!removed) removed = &count;
    *removed = 0;
    int rc = begin(e, now);
    if (!rc) rc = pr_store_owner_check(e->store, owner);
    if (!rc) rc = pr_check_topic(topic);
    if (!rc) rc = pr_check_key(key);
    if (rc) return rc;
    pr_id id = pr_store_find_owned(e->store, owner, topic, key);
    if (!id) return 0;
    pr_view view;
    pr_store_view(e->store, id, &view);
    rc = pr_diff_begin(e->store, 1, text_of(&view));
    if (rc) return rc;
    pr_hide(e, id, PRESENCE_REASON_UNTRACK);
    rc = pr_log_untrack(e->own.log, id, PR_REMOVED_UNTRACK);
    if (rc)
        pr_show(e, id);
    else
        *removed = 1;
    finish(e);
    pr_engine_settle_event(e);
    return rc;
}

int pr_engine_untrack_owner(pr_engine *e, presence_owner owner, pr_time now, size_t *removed) {
    size_t count = 0;
    int rc = begin(e, now);
    if (!rc) rc = pr_store_owner_check(e->store, owner);
    if (!rc) rc = remove_owned(e, owner, PRESENCE_REASON_UNTRACK, PR_REMOVED_UNTRACK, &count);
    if (removed) *removed = count;
    pr_engine_settle_event(e);
    return rc;
}

/* Reading and subscribing. Snapshots are turned into JavaScript values at once and freed. */
#include "addon.h"

#include <stdlib.h>

static napi_value entries_of(napi_env env, const presence_snapshot *snapshot) {
    napi_value rows = pn_array(env);
    size_t size = presence_snapshot_size(snapshot);
    for (size_t i = 0; i < size; i++) {
        napi_handle_scope scope;
        presence_entry entry = {.size = sizeof(entry)};
        if (presence_snapshot_at(snapshot, i, &entry) != 0 || napi_open_handle_scope(env, &scope) != napi_ok) break;
        pn_push_entry(env, rows, (uint32_t)i, &entry);
        napi_close_handle_scope(env, scope);
    }
    return rows;
}

static napi_value list_topic(napi_env env, presence_tracker *tracker, presence_str topic, bool with_rows) {
    presence_snapshot *snapshot = NULL;
    presence_str json;
    int code = presence_list_json(tracker, topic, &snapshot, &json);
    if (code != 0) return pn_number(env, code);
    napi_value out = pn_array(env);
    pn_push(env, out, 0, pn_text(env, json));
    pn_push(env, out, 1, pn_number(env, (double)presence_snapshot_seq(snapshot)));
    if (with_rows) pn_push(env, out, 2, entries_of(env, snapshot));
    presence_snapshot_free(snapshot);
    return out;
}

/* list(handle, topic, withRows) -> [json, seq, rows] */
napi_value pn_list(napi_env env, napi_callback_info info) {
    napi_value argv[3];
    pn_name topic;
    bool with_rows = false;
    presence_tracker *tracker = pn_arguments(env, info, 3, argv) ? pn_open_of(env, argv[0]) : NULL;
    if (tracker == NULL) return pn_number(env, PRESENCE_ECLOSED);
    if (!pn_read_name(env, argv[1], &topic)) return pn_number(env, PRESENCE_ETOPIC);
    napi_get_value_bool(env, argv[2], &with_rows);
    return list_topic(env, tracker, pn_name_str(&topic), with_rows);
}

/* subscribe(handle, topic) -> [json, seq]: watched first, then read, so every later diff is queued */
napi_value pn_subscribe(napi_env env, napi_callback_info info) {
    napi_value argv[2];
    pn_name topic;
    presence_tracker *tracker = pn_arguments(env, info, 2, argv) ? pn_open_of(env, argv[0]) : NULL;
    if (tracker == NULL) return pn_number(env, PRESENCE_ECLOSED);
    if (!pn_read_name(env, argv[1], &topic)) return pn_number(env, PRESENCE_ETOPIC);
    int code = presence_subscribe(tracker, pn_name_str(&topic), NULL);
    return code == 0 ? list_topic(env, tracker, pn_name_str(&topic), false) : pn_number(env, code);
}

napi_value pn_unsubscribe(napi_env env, napi_callback_info info) {
    napi_value argv[2];
    pn_name topic;
    presence_tracker *tracker = pn_arguments(env, info, 2, argv) ? pn_open_of(env, argv[0]) : NULL;
    if (tracker == NULL) return pn_number(env, PRESENCE_ECLOSED);
    if (!pn_read_name(env, argv[1], &topic)) return pn_number(env, PRESENCE_ETOPIC);
    return pn_number(env, presence_unsubscribe(tracker, pn_name_str(&topic)));
}

napi_value pn_subscribe_all(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    presence_tracker *tracker = pn_arguments(env, info, 1, argv) ? pn_open_of(env, argv[0]) : NULL;
    return pn_number(env, tracker ? presence_subscribe_all(tracker) : PRESENCE_ECLOSED);
}

/* getByKey(handle, topic, key, owner or undefined) -> rows: [meta, ref, prevRef, …], of this owner alone if given */
napi_value pn_get_by_key(napi_env env, napi_callback_info info) {
    napi_value argv[4];
    pn_name topic, key;
    presence_owner owner = 0;
    presence_snapshot *snapshot = NULL;
    presence_tracker *tracker = pn_arguments(env, info, 4, argv) ? pn_open_of(env, argv[0]) : NULL;
    if (tracker == NULL) return pn_number(env, PRESENCE_ECLOSED);
    if (!pn_read_name(env, argv[1], &topic)) return pn_number(env, PRESENCE_ETOPIC);
    if (!pn_read_name(env, argv[2], &key)) return pn_number(env, PRESENCE_EKEY);
    bool all = pn_is_undefined(env, argv[3]);
    if (!all && !pn_read_owner(env, argv[3], &owner)) return pn_number(env, PRESENCE_EOWNER);
    int code = presence_get_by_key(tracker, pn_name_str(&topic), pn_name_str(&key), &snapshot);
    if (code != 0) return pn_number(env, code);
    napi_value rows = pn_array(env);
    uint32_t at = 0;
    for (size_t i = 0; i < presence_snapshot_size(snapshot); i++) {
        presence_entry entry = {.size = sizeof(entry)};
        if (presence_snapshot_at(snapshot, i, &entry) != 0) break;
        if (!all && entry.owner != owner) continue;
        pn_push(env, rows, at++, pn_text(env, entry.meta));
        pn_push(env, rows, at++, pn_text(env, entry.ref));
        pn_push(env, rows, at++, pn_text(env, entry.prev_ref));
    }
    presence_snapshot_free(snapshot);
    return rows;
}

/* count(handle, topic, metas) -> number */
napi_value pn_count(napi_env env, napi_callback_info info) {
    napi_value argv[3];
    pn_name topic;
    bool wants_metas = false;
    size_t keys = 0, metas = 0;
    presence_tracker *tracker = pn_arguments(env, info, 3, argv) ? pn_open_of(env, argv[0]) : NULL;
    if (tracker == NULL) return pn_number(env, PRESENCE_ECLOSED);
    if (!pn_read_name(env, argv[1], &topic)) return pn_number(env, PRESENCE_ETOPIC);
    napi_get_value_bool(env, argv[2], &wants_metas);
    int code = presence_count(tracker, pn_name_str(&topic), &keys, &metas);
    return pn_number(env, code != 0 ? (double)code : wants_metas ? (double)metas : (double)keys);
}

napi_value pn_topics(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    presence_snapshot *snapshot = NULL;
    presence_tracker *tracker = pn_arguments(env, info, 1, argv) ? pn_open_of(env, argv[0]) : NULL;
    int code = tracker ? presence_topics(tracker, &snapshot) : PRESENCE_ECLOSED;
    if (code != 0) return pn_number(env, code);
    napi_value out = pn_array(env);
    for (size_t i = 0; i < presence_snapshot_size(snapshot); i++) {
        presence_entry entry = {.size = sizeof(entry)};
        if (presence_snapshot_at(snapshot, i, &entry) == 0) pn_push(env, out, (uint32_t)i, pn_text(env, entry.topic));
    }
    presence_snapshot_free(snapshot);
    return out;
}

napi_value pn_members(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    presence_snapshot *snapshot = NULL;
    presence_tracker *tracker = pn_arguments(env, info, 1, argv) ? pn_open_of(env, argv[0]) : NULL;
    int code = tracker ? presence_members(tracker, &snapshot) : PRESENCE_ECLOSED;
    if (code != 0) return pn_number(env, code);
    napi_value out = pn_array(env);
    for (size_t i = 0; i < presence_snapshot_size(snapshot); i++) {
        presence_member member = {.size = sizeof(member)};
        if (presence_snapshot_member_at(snapshot, i, &member) == 0)
            pn_push(env, out, (uint32_t)i, pn_member(env, &member));
    }
    presence_snapshot_free(snapshot);
    return out;
}

/* stats(handle) -> [name, number, …] */
napi_value pn_stats(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    presence_statistics values = {.size = sizeof(values)};
    presence_tracker *tracker = pn_arguments(env, info, 1, argv) ? pn_open_of(env, argv[0]) : NULL;
    int code = tracker ? presence_stats(tracker, &values) : PRESENCE_ECLOSED;
    if (code != 0) return pn_number(env, code);
    napi_value out = pn_array(env);
    const char *name;
    for (uint32_t i = 0; (name = presence_statistic_at(i, NULL, NULL)) != NULL; i++) {
        pn_push(env, out, i * 2, pn_cstring(env, name));
        pn_push(env, out, i * 2 + 1, pn_number(env, (double)presence_statistic_value(&values, i)));
    }
    return out;
}

/* metrics([handle, …]) -> text; handles that are not open are left out */
napi_value pn_metrics(napi_env env, napi_callback_info info) {
    napi_value argv[1], handle, out;
    uint32_t length = 0;
    size_t size = 0;
    presence_snapshot *snapshot = NULL;
    presence_str text = {"", 0};
    if (!pn_arguments(env, info, 1, argv) || napi_get_array_length(env, argv[0], &length) != napi_ok)
        return pn_number(env, PRESENCE_EINVAL);
    presence_tracker **trackers = malloc((length + 1) * sizeof(presence_tracker *));
    if (trackers == NULL) return pn_number(env, PRESENCE_ENOMEM);
    for (uint32_t i = 0; i < length; i++)
        if (napi_get_element(env, argv[0], i, &handle) == napi_ok && (trackers[size] = pn_open_of(env, handle)) != NULL)
            size++;
    int code = size ? presence_metrics(trackers, size, &snapshot, &text) : 0;
    free(trackers);
    out = code == 0 ? pn_text(env, text) : pn_number(env, code);
    presence_snapshot_free(snapshot);
    return out;
}

napi_value pn_address(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    char text[512] = "";
    presence_tracker *tracker = pn_arguments(env, info, 1, argv) ? pn_open_of(env, argv[0]) : NULL;
    int code = tracker ? presence_tracker_address(tracker, text, sizeof(text)) : PRESENCE_ECLOSED;
    return code == 0 ? pn_cstring(env, text) : pn_number(env, code);
}

/* synced(handle) -> 0 synced, 1 alone, or the number of an error; never waits */
napi_value pn_synced(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    presence_tracker *tracker = pn_arguments(env, info, 1, argv) ? pn_open_of(env, argv[0]) : NULL;
    return pn_number(env, tracker ? presence_wait_synced(tracker, 0) : PRESENCE_ECLOSED);
}

/* options() -> [name, default, help, …] */
napi_value pn_options(napi_env env, napi_callback_info info) {
    (void)info;
    napi_value out = pn_array(env);
    const char *name, *standard = "", *help = "";
    for (uint32_t i = 0; (name = presence_option_at(i, &standard, &help)) != NULL; i++) {
        pn_push(env, out, i * 3, pn_cstring(env, name));
        pn_push(env, out, i * 3 + 1, pn_cstring(env, standard));
        pn_push(env, out, i * 3 + 2, pn_cstring(env, help));
    }
    return out;
}

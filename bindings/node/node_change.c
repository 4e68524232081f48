/* Owners, track, update, untrack. Each answers a value, or the negative number of an error. */
#include "addon.h"

#include <stdlib.h>

#define META_SMALL 4096

/* ownerOpen(handle, leaseMs or 0) -> bigint */
napi_value pn_owner_open(napi_env env, napi_callback_info info) {
    napi_value argv[2], value;
    presence_tracker *tracker = pn_arguments(env, info, 2, argv) ? pn_open_of(env, argv[0]) : NULL;
    if (tracker == NULL) return pn_number(env, PRESENCE_ECLOSED);
    presence_owner owner;
    int32_t lease = pn_read_int(env, argv[1], -1);
    int code = lease == 0 ? presence_owner_open(tracker, &owner) : presence_owner_open_lease(tracker, lease, &owner);
    if (code != 0) return pn_number(env, code);
    return napi_create_bigint_uint64(env, owner, &value) == napi_ok ? value : NULL;
}

static napi_value call_owner(napi_env env, napi_callback_info info, int (*call)(presence_tracker *, presence_owner)) {
    napi_value argv[2];
    presence_owner owner;
    presence_tracker *tracker = pn_arguments(env, info, 2, argv) ? pn_open_of(env, argv[0]) : NULL;
    if (tracker == NULL) return pn_number(env, PRESENCE_ECLOSED);
    if (!pn_read_owner(env, argv[1], &owner)) return pn_number(env, PRESENCE_EOWNER);
    return pn_number(env, call(tracker, owner));
}

napi_value pn_owner_touch(napi_env env, napi_callback_info info) { return call_owner(env, info, presence_owner_touch); }
napi_value pn_owner_close(napi_env env, napi_callback_info info) { return call_owner(env, info, presence_owner_close); }

typedef struct target {
    presence_tracker *tracker;
    presence_owner owner;
    pn_name topic, key;
} target;

/* argv: handle, owner, topic, key */
static int read_target(napi_env env, const napi_value *argv, target *out) {
    out->tracker = pn_open_of(env, argv[0]);
    if (out->tracker == NULL) return PRESENCE_ECLOSED;
    if (!pn_read_owner(env, argv[1], &out->owner)) return PRESENCE_EOWNER;
    if (!pn_read_name(env, argv[2], &out->topic)) return PRESENCE_ETOPIC;
    if (!pn_read_name(env, argv[3], &out->key)) return PRESENCE_EKEY;
    return 0;
}

static napi_value ref_or_code(napi_env env, int code, const presence_ref *ref) {
    return code == 0 ? pn_cstring(env, ref->text) : pn_number(env, code);
}

/* track(handle, owner, topic, key, meta) -> ref */
napi_value pn_track(napi_env env, napi_callback_info info) {
    napi_value argv[5];
    target to;
    char small[META_SMALL];
    presence_str meta;
    presence_ref ref;
    if (!pn_arguments(env, info, 5, argv)) return NULL;
    int code = read_target(env, argv, &to);
    if (code != 0) return pn_number(env, code);
    char *text = pn_read_text(env, argv[4], small, sizeof(small), &meta.size);
    if (text == NULL) return pn_number(env, PRESENCE_EMETA);
    meta.data = text;
    code = presence_track(to.tracker, to.owner, pn_name_str(&to.topic), pn_name_str(&to.key), meta, &ref);
    if (text != small) free(text);
    return ref_or_code(env, code, &ref);
}

/* update(handle, owner, topic, key, meta, expectedRef or undefined) -> ref */
napi_value pn_update(napi_env env, napi_callback_info info) {
    napi_value argv[6];
    target to;
    pn_name expected;
    char small[META_SMALL];
    presence_str meta;
    presence_ref ref;
    if (!pn_arguments(env, info, 6, argv)) return NULL;
    int code = read_target(env, argv, &to);
    if (code != 0) return pn_number(env, code);
    bool always = pn_is_undefined(env, argv[5]);
    if (!always && !pn_read_name(env, argv[5], &expected)) return pn_number(env, PRESENCE_EINVAL);
    char *text = pn_read_text(env, argv[4], small, sizeof(small), &meta.size);
    if (text == NULL) return pn_number(env, PRESENCE_EMETA);
    meta.data = text;
    presence_str topic = pn_name_str(&to.topic), key = pn_name_str(&to.key);
    code = always ? presence_update(to.tracker, to.owner, topic, key, meta, &ref)
                  : presence_update_if(to.tracker, to.owner, topic, key, pn_name_str(&expected), meta, &ref);
    if (text != small) free(text);
    return ref_or_code(env, code, &ref);
}

/* untrack(handle, owner, topic, key) or untrack(handle, owner) -> how many were removed */
napi_value pn_untrack(napi_env env, napi_callback_info info) {
    napi_value argv[4];
    target to;
    size_t removed = 0;
    int code;
    if (!pn_arguments(env, info, 4, argv)) return NULL;
    if (pn_is_undefined(env, argv[2])) {
        to.tracker = pn_open_of(env, argv[0]);
        if (to.tracker == NULL) return pn_number(env, PRESENCE_ECLOSED);
        if (!pn_read_owner(env, argv[1], &to.owner)) return pn_number(env, PRESENCE_EOWNER);
        code = presence_untrack_owner(to.tracker, to.owner, &removed);
    } else {
        code = read_target(env, argv, &to);
        if (code == 0) {
            code = presence_untrack(to.tracker, to.owner, pn_name_str(&to.topic), pn_name_str(&to.key), &removed);
        }
    }
    return pn_number(env, code == 0 ? (double)removed : code);
}

typedef struct batch {
    presence_item *items;
    presence_ref *refs;
    char *text;
    size_t count;
} batch;

static void free_batch(batch *b) {
    free(b->items);
    free(b->refs);
    free(b->text);
}

static bool batch_text(napi_env env, napi_value flat, uint32_t index, char *to, size_t room, size_t *size) {
    napi_value value;
    return napi_get_element(env, flat, index, &value) == napi_ok &&
           napi_get_value_string_utf8(env, value, to, room, size) == napi_ok;
}

/* flat: topic, key, meta, topic, key, meta, … */
static int read_batch(napi_env env, napi_value flat, batch *b) {
    uint32_t length = 0;
    size_t total = 0, size, used = 0;
    if (napi_get_array_length(env, flat, &length) != napi_ok) return PRESENCE_EINVAL;
    b->count = length / 3;
    for (uint32_t i = 0; i < b->count * 3; i++) {
        if (!batch_text(env, flat, i, NULL, 0, &size)) return PRESENCE_EINVAL;
        total += size;
    }
    b->items = calloc(b->count + 1, sizeof(*b->items));
    b->refs = calloc(b->count + 1, sizeof(*b->refs));
    b->text = malloc(total + 1); /* the writer wants room for one terminator */
    if (!b->items || !b->refs || !b->text) return PRESENCE_ENOMEM;
    for (uint32_t i = 0; i < b->count * 3; i++) {
        presence_item *item = &b->items[i / 3];
        presence_str *part = i % 3 == 0 ? &item->topic : i % 3 == 1 ? &item->key : &item->meta;
        if (!batch_text(env, flat, i, b->text + used, total + 1 - used, &size)) return PRESENCE_EINVAL;
        part->data = b->text + used;
        part->size = size;
        used += size;
    }
    return 0;
}

/* trackMany(handle, owner, flat) -> [ref, …] or [code, index] */
napi_value pn_track_many(napi_env env, napi_callback_info info) {
    napi_value argv[3], out = pn_array(env);
    presence_owner owner;
    batch b = {0};
    size_t failed = 0;
    presence_tracker *tracker = pn_arguments(env, info, 3, argv) ? pn_open_of(env, argv[0]) : NULL;
    int code = tracker ? 0 : PRESENCE_ECLOSED;
    if (code == 0 && !pn_read_owner(env, argv[1], &owner)) code = PRESENCE_EOWNER;
    if (code == 0) code = read_batch(env, argv[2], &b);
    if (code == 0) code = presence_track_many(tracker, owner, b.items, b.count, b.refs, &failed);
    if (code != 0) {
        pn_push(env, out, 0, pn_number(env, code));
        pn_push(env, out, 1, pn_number(env, (double)failed));
    }
    for (uint32_t i = 0; code == 0 && i < b.count; i++) pn_push(env, out, i, pn_cstring(env, b.refs[i].text));
    free_batch(&b);
    return out;
}

/* trackCheck(handle, owner, flat) -> the name of the limit that allows no more of such items, or "" */
napi_value pn_track_check(napi_env env, napi_callback_info info) {
    napi_value argv[3];
    presence_owner owner;
    batch b = {0};
    const char *option = "";
    presence_tracker *tracker = pn_arguments(env, info, 3, argv) ? pn_open_of(env, argv[0]) : NULL;
    if (tracker && pn_read_owner(env, argv[1], &owner) && read_batch(env, argv[2], &b) == 0)
        presence_track_check(tracker, owner, b.items, b.count, NULL, &option);
    napi_value out = pn_cstring(env, option);
    free_batch(&b);
    return out;
}

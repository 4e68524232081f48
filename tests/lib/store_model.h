/* The store as a plain array, and what a subscriber folds from diffs: the oracle of test_store_model.c. */
#ifndef STORE_MODEL_H
#define STORE_MODEL_H

#include "heap.h"
#include "snapshot.h"

enum { MODEL_ENTRIES = 96, MODEL_TOPICS = 5, MODEL_KEYS = 5, MODEL_LOGS = 3, MODEL_METAS = 6, MODEL_OWNERS = 4 };

typedef struct model_entry {
    bool held, visible;
    pr_id id;
    uint16_t log;
    uint64_t eid, dot, prev_dot;
    int topic, key, meta;
    presence_owner owner;
    uint64_t order; /* of insertion */
} model_entry;

typedef struct model {
    model_entry entries[MODEL_ENTRIES];
    uint64_t inserted;
} model;

typedef struct model_fold { /* one topic as a subscriber sees it */
    struct model_shown {
        uint64_t inst, eid, dot, prev_dot;
        presence_str key, meta;
    } shown[MODEL_ENTRIES];
    size_t size;
} model_fold;

static const char *const model_topics[MODEL_TOPICS] = {"a", "room:1", "room:2", "room:\xc3\xa4",
                                                       "lobby-with-a-long-name"};
static const char *const model_keys[MODEL_KEYS] = {"u", "u1", "__proto__", "a much longer key: \xf0\x9f\x98\x80", "z"};
static const uint64_t model_insts[MODEL_LOGS] = {900, 7, UINT64_MAX - 3};
static const char *const model_names[MODEL_LOGS] = {"alpha", "b",
                                                    "member-with-a-name-of-sixty-four-bytes-0123456789012345678901234"};

static inline presence_str model_meta(int i) {
    static char large[1500];
    static const char *const metas[MODEL_METAS] = {"{}", "{\"a\":1}", "{\"a\":2}", "{\"list\":[1,2,{\"x\":null}]}",
                                                   "{\"status\":\"online\",\"since\":1700000000,\"device\":\"phone\"}"};
    if (i < MODEL_METAS - 1) return pr_cstr(metas[i]);
    if (!large[0]) {
        memset(large, ' ', sizeof large);
        large[0] = '{';
        large[sizeof large - 1] = '}';
    }
    return pr_str(large, sizeof large);
}

static inline presence_str model_topic(int i) { return pr_cstr(model_topics[i]); }
static inline presence_str model_key(int i) { return pr_cstr(model_keys[i]); }

/* Visible entries of a topic, and of a key of it when key >= 0. */
static inline size_t model_visible(const model *m, int topic, int key) {
    size_t n = 0;
    for (int i = 0; i < MODEL_ENTRIES; i++) {
        const model_entry *e = &m->entries[i];
        n += e->held && e->visible && e->topic == topic && (key < 0 || e->key == key);
    }
    return n;
}

static inline size_t model_visible_keys(const model *m, int topic) {
    size_t n = 0;
    for (int k = 0; k < MODEL_KEYS; k++) n += model_visible(m, topic, k) > 0;
    return n;
}

static inline const model_entry *model_find(const model *m, uint64_t inst, uint64_t eid) {
    for (int i = 0; i < MODEL_ENTRIES; i++) {
        const model_entry *e = &m->entries[i];
        if (e->held && model_insts[e->log] == inst && e->eid == eid) return e;
    }
    return NULL;
}

static inline bool model_shows(const model_entry *e) { return e && e->held && e->visible; }

/* prev_dot follows what was shown: set by an update, gone after a join (protocol.md 3.1). */
static inline void model_settle(model *now, const model *before) {
    for (int i = 0; i < MODEL_ENTRIES; i++) {
        model_entry *e = &now->entries[i];
        if (!e->held) continue;
        const model_entry *old = model_find(before, model_insts[e->log], e->eid);
        if (!e->visible || !model_shows(old))
            e->prev_dot = 0;
        else if (old->dot != e->dot)
            e->prev_dot = e->dot - old->dot <= UINT32_MAX ? old->dot : 0;
        else
            e->prev_dot = old->prev_dot;
    }
}

/* ---- the diff that must come of two moments ---- */

typedef struct model_change {
    int kind;
    const model_entry *entry, *old; /* entry: as it is now, or at a leave as it was */
    uint8_t reason;
    bool first, last;
} model_change;

static inline bool model_change_before(const model_change *a, const model_change *b) {
    if (a->kind != b->kind) return a->kind < b->kind;
    if (a->entry->dot != b->entry->dot) return a->entry->dot < b->entry->dot;
    if (a->entry->log != b->entry->log) return model_insts[a->entry->log] < model_insts[b->entry->log];
    return a->entry->eid < b->entry->eid;
}

static inline void model_sort_changes(model_change *c, size_t n) {
    for (size_t i = 1; i < n; i++)
        for (size_t j = i; j && model_change_before(&c[j], &c[j - 1]); j--) {
            model_change swap = c[j];
            c[j] = c[j - 1];
            c[j - 1] = swap;
        }
}

static inline size_t model_joins_updates(const model *before, const model *now, int topic, model_change *out) {
    size_t n = 0;
    for (int i = 0; i < MODEL_ENTRIES; i++) {
        const model_entry *e = &now->entries[i], *old;
        if (!model_shows(e) || e->topic != topic) continue;
        old = model_find(before, model_insts[e->log], e->eid);
        if (!model_shows(old))
            out[n++] = (model_change){.kind = PRESENCE_JOIN, .entry = e};
        else if (old->dot != e->dot)
            out[n++] = (model_change){.kind = PRESENCE_UPDATE, .entry = e, .old = old};
    }
    return n;
}

static inline void model_mark_edges(const model *before, const model *now, int topic, model_change *c, size_t n) {
    for (int k = 0; k < MODEL_KEYS; k++) {
        size_t was = model_visible(before, topic, k), is = model_visible(now, topic, k);
        for (size_t i = 0; !was && is && i < n; i++)
            if (c[i].kind == PRESENCE_JOIN && c[i].entry->key == k) {
                c[i].first = true;
                break;
            }
        for (size_t i = n; was && !is && i--;)
            if (c[i].kind == PRESENCE_LEAVE && c[i].entry->key == k) {
                c[i].last = true;
                break;
            }
    }
}

/* reasons: of the last hide, by slot of `before`. */
static inline size_t model_diff(const model *before, const model *now, const uint8_t *reasons, int topic,
                                model_change *out) {
    size_t n = model_joins_updates(before, now, topic, out);
    for (int i = 0; i < MODEL_ENTRIES; i++) {
        const model_entry *old = &before->entries[i];
        if (!model_shows(old) || old->topic != topic) continue;
        if (model_shows(model_find(now, model_insts[old->log], old->eid))) continue;
        out[n++] = (model_change){.kind = PRESENCE_LEAVE, .entry = old, .reason = reasons[i]};
    }
    model_sort_changes(out, n);
    model_mark_edges(before, now, topic, out, n);
    return n;
}

#endif

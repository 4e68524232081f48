/* Topics: interned names, the vector of entries of each, counts and watches. */
#include "records.h"

static uint32_t name_hash(presence_str name) { return (uint32_t)pr_hash(name.data, name.size, 0); }

uint32_t pr_topic_hash_of(const void *store, uint32_t topic) { return pr_topic_at(store, topic)->hash; }

static pr_id find_hashed(const pr_store *s, uint32_t hash, presence_str name) {
    for (pr_probe p = pr_probe_start(&s->topic_table, hash); pr_probe_next(&s->topic_table, &p);) {
        const pr_topic *t = pr_topic_at(s, p.value);
        if (t->hash == hash && pr_str_equal(pr_topic_name(s, t), name)) return p.value;
    }
    return 0;
}

pr_id pr_topic_find(const pr_store *s, presence_str name) { return find_hashed(s, name_hash(name), name); }

pr_id pr_topic_need(pr_store *s, presence_str name) {
    uint32_t hash = name_hash(name);
    pr_id id = find_hashed(s, hash, name);
    if (id || !pr_table_reserve(&s->topic_table, 1)) return id;
    uint32_t blob = pr_blob_take(&s->blobs, name, pr_str(NULL, 0));
    id = blob ? pr_slab_take(&s->topics) : 0;
    if (!id) {
        pr_blob_return(&s->blobs, blob);
        return 0;
    }
    *pr_topic_at(s, id) = (pr_topic){.room = PR_TOPIC_INLINE, .name = blob, .hash = hash};
    pr_table_add(&s->topic_table, hash, id);
    return id;
}

void pr_topic_drop_if_unused(pr_store *s, pr_id id) {
    pr_topic *t = pr_topic_at(s, id);
    if (t->entries || t->watch || t->touched) return;
    if (t->room > PR_TOPIC_INLINE) pr_delete(&s->memory, t->ids.list, t->room * sizeof(uint32_t));
    pr_table_erase(&s->topic_table, pr_table_slot_of(&s->topic_table, t->hash, id));
    pr_blob_return(&s->blobs, t->name);
    t->name = 0;
    pr_slab_return(&s->topics, id);
}

static bool resize_list(pr_store *s, pr_topic *t, uint32_t room) {
    bool few = t->room == PR_TOPIC_INLINE;
    uint32_t *list =
        pr_resize(&s->memory, few ? NULL : t->ids.list, few ? 0 : t->room * sizeof *list, (size_t)room * sizeof *list);
    if (!list) return false;
    if (few) memcpy(list, t->ids.few, sizeof t->ids.few);
    t->ids.list = list;
    t->room = room;
    return true;
}

bool pr_topic_reserve(pr_store *s, pr_topic *t) {
    if (t->entries < t->room) return true;
    return resize_list(s, t, t->room == PR_TOPIC_INLINE ? 4 : t->room + t->room / 2);
}

static uint32_t *ids_of(pr_topic *t) { return t->room == PR_TOPIC_INLINE ? t->ids.few : t->ids.list; }

void pr_topic_add(pr_store *s, pr_id topic, pr_id entry) {
    pr_topic *t = pr_topic_at(s, topic);
    pr_entry_at(s, entry)->topic_pos = t->entries;
    ids_of(t)[t->entries++] = entry;
}

static void shrink(pr_store *s, pr_topic *t) {
    if (t->room == PR_TOPIC_INLINE || t->entries > t->room / 4) return;
    if (t->entries > PR_TOPIC_INLINE) {
        (void)!resize_list(s, t, t->room / 2); /* kept as it is without memory */
        return;
    }
    uint32_t *list = t->ids.list;
    size_t bytes = t->room * sizeof *list;
    memcpy(t->ids.few, list, t->entries * sizeof *list);
    t->room = PR_TOPIC_INLINE;
    pr_delete(&s->memory, list, bytes);
}

void pr_topic_take_out(pr_store *s, pr_entry *e) {
    pr_topic *t = pr_topic_at(s, e->topic);
    uint32_t *ids = ids_of(t), moved = ids[--t->entries];
    ids[e->topic_pos] = moved;
    pr_entry_at(s, moved)->topic_pos = e->topic_pos;
    shrink(s, t);
}

void pr_store_count(const pr_store *s, presence_str topic, size_t *keys, size_t *metas) {
    pr_id id = pr_topic_find(s, topic);
    const pr_topic *t = id ? pr_topic_at(s, id) : NULL;
    if (keys) *keys = t ? t->keys : 0;
    if (metas) *metas = t ? t->visible : 0;
}

size_t pr_store_key_count(const pr_store *s, presence_str topic, presence_str key) {
    pr_id id = pr_topic_find(s, topic), head = id ? pr_key_head(s, id, pr_key_hash(id, key), key) : 0;
    return head ? pr_key_visible(s, head) : 0;
}

size_t pr_store_topic_count(const pr_store *s) { return s->visible_topics; }

int pr_store_watch(pr_store *s, presence_str topic) {
    if (topic.size > PR_TOPIC_MAX) return PRESENCE_ETOPIC;
    pr_id id = pr_topic_need(s, topic);
    if (!id) return PRESENCE_ENOMEM;
    s->watched += !pr_topic_at(s, id)->watch++;
    return 0;
}

void pr_store_unwatch(pr_store *s, presence_str topic) {
    pr_id id = pr_topic_find(s, topic);
    pr_topic *t = id ? pr_topic_at(s, id) : NULL;
    if (!t || !t->watch) return;
    s->watched -= !--t->watch;
    pr_topic_drop_if_unused(s, id);
}

void pr_store_watch_all(pr_store *s, bool on) { s->watch_all = on; }

/* Entries: insert, set, remove, view. Everything that may fail is reserved before anything is linked. */
#include "records.h"

static uint32_t wide_hash_of(const void *store, uint32_t index) {
    const pr_wide *wide = pr_slab_at(&((const pr_store *)store)->wides, index);
    return (uint32_t)pr_fmix64(wide->entry);
}

int pr_store_new(const pr_alloc *alloc, pr_store **out) {
    pr_store *s = *out = pr_new(alloc, sizeof *s);
    if (!s) return PRESENCE_ENOMEM;
    s->memory = *alloc;
    const pr_alloc *memory = &s->memory;
    pr_blobs_init(&s->blobs, memory);
    pr_slab_init(&s->entries, memory, sizeof(pr_entry));
    pr_slab_init(&s->topics, memory, sizeof(pr_topic));
    pr_slab_init(&s->keys, memory, sizeof(pr_key));
    pr_slab_init(&s->locals, memory, sizeof(pr_local));
    pr_slab_init(&s->wides, memory, sizeof(pr_wide));
    pr_slab_init(&s->owners, memory, sizeof(pr_owned));
    pr_table_init(&s->topic_table, memory, pr_topic_hash_of, s);
    pr_table_init(&s->key_table, memory, pr_key_hash_of, s);
    pr_table_init(&s->owned_table, memory, pr_owned_hash_of, s);
    pr_table_init(&s->wide_table, memory, wide_hash_of, s);
    pr_lingers_init(s);
    return 0;
}

static void free_topic_lists(pr_store *s) {
    for (uint32_t i = 1; i < s->topics.used; i++) {
        pr_topic *t = pr_topic_at(s, i);
        if (t->name && t->room > PR_TOPIC_INLINE) pr_delete(&s->memory, t->ids.list, t->room * sizeof(uint32_t));
    }
}

void pr_store_free(pr_store *s) {
    if (!s) return;
    free_topic_lists(s);
    pr_changing_free(s);
    pr_log_rows_free(s);
    pr_delete(&s->memory, s->leases, s->leases_room * sizeof *s->leases);
    pr_blobs_free(&s->blobs);
    pr_lingers_free(s);
    pr_slab *slabs[] = {&s->entries, &s->topics, &s->keys, &s->locals, &s->wides, &s->owners};
    for (size_t i = 0; i < sizeof slabs / sizeof *slabs; i++) pr_slab_free(slabs[i]);
    pr_table *tables[] = {&s->topic_table, &s->key_table, &s->owned_table, &s->wide_table};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) pr_table_free(tables[i]);
    pr_alloc memory = s->memory;
    pr_delete(&memory, s, sizeof *s);
}

/* ---- dots far from their eid: a side table eid -> dot ---- */

static bool wide_find(const pr_store *s, pr_id id, size_t *slot, uint32_t *index) {
    for (pr_probe p = pr_probe_start(&s->wide_table, (uint32_t)pr_fmix64(id)); pr_probe_next(&s->wide_table, &p);) {
        if (((const pr_wide *)pr_slab_at(&s->wides, p.value))->entry != id) continue;
        *slot = p.slot;
        *index = p.value;
        return true;
    }
    return false;
}

/* A side record for a dot that does not fit; *index stays 0 when none is needed. */
static bool wide_reserve(pr_store *s, uint64_t delta, uint32_t *index) {
    if (delta < PR_DELTA_WIDE) return true;
    if (!pr_table_reserve(&s->wide_table, 1)) return false;
    *index = pr_slab_take(&s->wides);
    return *index != 0;
}

static void wide_take_out(pr_store *s, pr_id id) {
    size_t slot;
    uint32_t index;
    if (pr_entry_at(s, id)->delta != PR_DELTA_WIDE || !wide_find(s, id, &slot, &index)) return;
    pr_table_erase(&s->wide_table, slot);
    pr_slab_return(&s->wides, index);
}

/* `wide` is the record reserved for it. An entry that has one keeps it while its dot rises. */
static void put_dot(pr_store *s, pr_id id, uint64_t dot, uint32_t wide) {
    pr_entry *e = pr_entry_at(s, id);
    size_t slot;
    if (dot - e->eid < PR_DELTA_WIDE) {
        wide_take_out(s, id);
        e->delta = (uint32_t)(dot - e->eid);
        return;
    }
    if (wide)
        pr_table_add(&s->wide_table, (uint32_t)pr_fmix64(id), wide);
    else if (!wide_find(s, id, &slot, &wide))
        return;
    *(pr_wide *)pr_slab_at(&s->wides, wide) = (pr_wide){id, dot};
    e->delta = PR_DELTA_WIDE;
}

uint64_t pr_entry_dot(const pr_store *s, pr_id id) {
    const pr_entry *e = pr_entry_at(s, id);
    size_t slot;
    uint32_t index;
    if (e->delta != PR_DELTA_WIDE || !wide_find(s, id, &slot, &index)) return e->eid + e->delta;
    return ((const pr_wide *)pr_slab_at(&s->wides, index))->dot;
}

/* ---- insert ---- */

typedef struct inserting {
    pr_id topic, head, entry;
    uint32_t hash, blob, record, local, wide;
} inserting;

static bool reserve_insert(pr_store *s, inserting *n, presence_str topic, presence_str key, presence_str meta) {
    n->topic = pr_topic_need(s, topic);
    if (!n->topic || !pr_topic_reserve(s, pr_topic_at(s, n->topic))) return false;
    n->hash = pr_key_hash(n->topic, key);
    n->head = pr_key_head(s, n->topic, n->hash, key);
    if (!pr_key_reserve(s, n->head, &n->record) || !pr_owned_reserve(s, n->head)) return false;
    n->entry = pr_slab_take(&s->entries);
    n->blob = n->entry ? pr_blob_take(&s->blobs, key, meta) : 0;
    return n->blob != 0;
}

static void undo_insert(pr_store *s, const inserting *n) {
    if (n->wide) pr_slab_return(&s->wides, n->wide);
    if (n->local) pr_slab_return(&s->locals, n->local);
    pr_blob_return(&s->blobs, n->blob);
    if (n->entry) pr_slab_return(&s->entries, n->entry);
    if (n->record) pr_slab_return(&s->keys, n->record);
    if (n->topic) pr_topic_drop_if_unused(s, n->topic);
}

/* Callers have checked texts; a blob could not even hold longer ones. */
static bool fits(presence_str topic, presence_str key, presence_str meta) {
    return topic.size <= PR_TOPIC_MAX && key.size <= PR_KEY_MAX && meta.size <= PR_META_MAX;
}

int pr_store_insert(pr_store *s, uint16_t log, uint64_t eid, uint64_t dot, presence_str topic, presence_str key,
                    presence_str meta, presence_owner owner, pr_id *out) {
    inserting n = {0};
    *out = 0;
    int error = owner ? pr_store_owner_check(s, owner) : 0;
    if (error) return error;
    if (!fits(topic, key, meta)) return PRESENCE_ELIMIT;
    pr_log_row *row = pr_log_row_need(s, log);
    if (!row || !reserve_insert(s, &n, topic, key, meta) || (owner && !(n.local = pr_slab_take(&s->locals))) ||
        !wide_reserve(s, dot - eid, &n.wide)) {
        undo_insert(s, &n);
        return PRESENCE_ENOMEM;
    }
    pr_entry *e = pr_entry_at(s, n.entry);
    *e = (pr_entry){.eid = eid, .topic = n.topic, .blob = n.blob, .hash = n.hash, .log = log};
    put_dot(s, n.entry, dot, n.wide);
    pr_topic_add(s, n.topic, n.entry);
    pr_key_add(s, n.entry, n.head, n.record);
    if (owner) pr_owner_add(s, n.entry, n.local, owner);
    if (n.head) {
        pr_owned_share(s, n.head);
        pr_owned_share(s, n.entry);
    }
    row->entries++;
    *out = n.entry;
    return 0;
}

int pr_store_set(pr_store *s, pr_id id, uint64_t dot, presence_str meta, pr_meta_hold *old) {
    pr_entry *e = pr_entry_at(s, id);
    uint32_t wide = 0;
    *old = (pr_meta_hold){0};
    if (meta.size > PR_META_MAX) return PRESENCE_ELIMIT;
    uint32_t blob = pr_blob_take(&s->blobs, pr_entry_key(s, e), meta);
    if (!blob) return PRESENCE_ENOMEM;
    if (e->delta != PR_DELTA_WIDE && !wide_reserve(s, dot - e->eid, &wide)) {
        pr_blob_return(&s->blobs, blob);
        return PRESENCE_ENOMEM;
    }
    *old = (pr_meta_hold){e->blob, e->prev, pr_entry_meta(s, e)};
    /* The dot shown before is kept relative to the dot. In an open diff the field is a place there instead, and is set
     * when that is finished. */
    uint64_t prev = pr_entry_prev_dot(s, id);
    put_dot(s, id, dot, wide);
    if (!(e->flags & PR_PENDING)) e->prev = prev && dot - prev <= UINT32_MAX ? (uint32_t)(dot - prev) : 0;
    e->blob = blob;
    return 0;
}

void pr_store_unset(pr_store *s, pr_id id, uint64_t dot, pr_meta_hold *old) {
    pr_entry *e = pr_entry_at(s, id);
    put_dot(s, id, dot, 0);
    pr_blob_return(&s->blobs, e->blob);
    e->blob = old->handle;
    e->prev = old->prev;
    *old = (pr_meta_hold){0};
}

void pr_store_meta_release(pr_store *s, pr_meta_hold *old) {
    pr_blob_return(&s->blobs, old->handle);
    *old = (pr_meta_hold){0};
}

void pr_store_remove(pr_store *s, pr_id id) {
    if (pr_linger_keep(s, id)) return;
    pr_entry *e = pr_entry_at(s, id);
    pr_id topic = e->topic;
    if (e->flags & PR_VISIBLE) pr_entry_flip(s, id); /* the counters stay right even then */
    pr_changing_forget(s, e);
    pr_key_take_out(s, id);
    if (e->local) pr_owner_take_out(s, id);
    wide_take_out(s, id);
    pr_topic_take_out(s, e);
    pr_log_row_at(s, e->log)->entries--;
    pr_blob_return(&s->blobs, e->blob);
    pr_slab_return(&s->entries, id);
    pr_topic_drop_if_unused(s, topic);
}

void pr_store_presize(pr_store *s, size_t entries) {
    /* only a hint: without the memory the table grows step by step */
    (void)!pr_table_reserve(&s->key_table, entries);
}

void pr_store_view(const pr_store *s, pr_id id, pr_view *out) {
    const pr_entry *e = pr_entry_at(s, id);
    *out = (pr_view){.eid = e->eid,
                     .dot = pr_entry_dot(s, id),
                     .prev_dot = pr_entry_prev_dot(s, id),
                     .topic = pr_topic_name(s, pr_topic_at(s, e->topic)),
                     .key = pr_entry_key(s, e),
                     .meta = pr_entry_meta(s, e),
                     .topic_id = e->topic,
                     .log = e->log,
                     .visible = e->flags & PR_VISIBLE,
                     .owner = pr_entry_owner(s, e)};
}

uint64_t pr_store_eid(const pr_store *s, pr_id id) { return pr_entry_at(s, id)->eid; }

uint64_t pr_store_dot(const pr_store *s, pr_id id) { return pr_entry_dot(s, id); }

bool pr_store_visible(const pr_store *s, pr_id id) { return pr_entry_at(s, id)->flags & PR_VISIBLE; }

size_t pr_store_size(const pr_store *s) { return s->entries.count; }

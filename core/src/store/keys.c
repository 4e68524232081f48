/* Keys: (topic, key) -> entries. A key with one entry is that entry in the table; with more, the table holds the head
 * of a chain in no order, and the head leads to the key record with the counts. The visible flag is kept here, since
 * its edges are those of keys. */
#include "records.h"

uint32_t pr_key_hash(pr_id topic, presence_str key) { return (uint32_t)pr_hash(key.data, key.size, topic); }

uint32_t pr_key_hash_of(const void *store, uint32_t entry) { return pr_entry_at(store, entry)->hash; }

pr_id pr_key_head(const pr_store *s, pr_id topic, uint32_t hash, presence_str key) {
    for (pr_probe p = pr_probe_start(&s->key_table, hash); pr_probe_next(&s->key_table, &p);) {
        const pr_entry *e = pr_entry_at(s, p.value);
        if (e->hash == hash && e->topic == topic && pr_str_equal(pr_entry_key(s, e), key)) return p.value;
    }
    return 0;
}

bool pr_key_reserve(pr_store *s, pr_id head, uint32_t *record) {
    if (!head) return pr_table_reserve(&s->key_table, 1);
    if (pr_entry_at(s, head)->flags & PR_CHAINED) return true;
    *record = pr_slab_take(&s->keys);
    return *record != 0;
}

static pr_key *key_at(const pr_store *s, uint32_t record) { return pr_slab_at(&s->keys, record); }

static void begin_chain(pr_store *s, pr_entry *head, uint32_t record) {
    *key_at(s, record) = (pr_key){.entries = 1, .visible = (head->flags & PR_VISIBLE) != 0};
    head->flags |= PR_CHAINED | PR_HEAD;
    head->key_prev = record;
}

/* The new entry goes behind the head, so that the table does not change. */
void pr_key_add(pr_store *s, pr_id id, pr_id head_id, uint32_t record) {
    pr_entry *e = pr_entry_at(s, id);
    if (!head_id) {
        pr_table_add(&s->key_table, e->hash, id);
        return;
    }
    pr_entry *head = pr_entry_at(s, head_id);
    if (record) begin_chain(s, head, record);
    e->flags |= PR_CHAINED;
    e->key_prev = head_id;
    e->key_next = head->key_next;
    if (head->key_next) pr_entry_at(s, head->key_next)->key_prev = id;
    head->key_next = id;
    key_at(s, head->key_prev)->entries++;
}

static pr_id head_of(const pr_store *s, pr_id id) {
    const pr_entry *e = pr_entry_at(s, id);
    if (!(e->flags & PR_CHAINED) || e->flags & PR_HEAD) return id;
    return pr_key_head(s, e->topic, e->hash, pr_entry_key(s, e));
}

static void end_chain(pr_store *s, pr_id head_id) {
    pr_entry *head = pr_entry_at(s, head_id);
    pr_slab_return(&s->keys, head->key_prev);
    head->flags &= (uint16_t) ~(PR_CHAINED | PR_HEAD);
    head->key_prev = 0;
}

static void take_out_head(pr_store *s, pr_id id) {
    pr_entry *e = pr_entry_at(s, id), *next = pr_entry_at(s, e->key_next);
    pr_table_replace(&s->key_table, pr_table_slot_of(&s->key_table, e->hash, id), e->key_next);
    next->key_prev = e->key_prev;
    next->flags |= PR_HEAD;
}

void pr_key_take_out(pr_store *s, pr_id id) {
    pr_entry *e = pr_entry_at(s, id);
    if (!(e->flags & PR_CHAINED)) {
        pr_table_erase(&s->key_table, pr_table_slot_of(&s->key_table, e->hash, id));
        return;
    }
    pr_id head = head_of(s, id);
    if (head == id) {
        head = e->key_next;
        take_out_head(s, id);
    } else {
        pr_entry_at(s, e->key_prev)->key_next = e->key_next;
        if (e->key_next) pr_entry_at(s, e->key_next)->key_prev = e->key_prev;
    }
    if (--key_at(s, pr_entry_at(s, head)->key_prev)->entries == 1) end_chain(s, head);
}

size_t pr_key_visible(const pr_store *s, pr_id head_id) {
    const pr_entry *head = pr_entry_at(s, head_id);
    return head->flags & PR_CHAINED ? key_at(s, head->key_prev)->visible : (head->flags & PR_VISIBLE) != 0;
}

/* Counts the entry at its key; true: the key came or went with it. */
static bool flip_key(pr_store *s, pr_id id, bool visible) {
    if (!(pr_entry_at(s, id)->flags & PR_CHAINED)) return true;
    pr_key *key = key_at(s, pr_entry_at(s, head_of(s, id))->key_prev);
    return visible ? !key->visible++ : !--key->visible;
}

void pr_entry_flip(pr_store *s, pr_id id) {
    pr_entry *e = pr_entry_at(s, id);
    pr_topic *t = pr_topic_at(s, e->topic);
    bool visible = !(e->flags & PR_VISIBLE), edge = flip_key(s, id, visible);
    e->flags ^= PR_VISIBLE;
    if (visible) {
        s->visible_topics += !t->visible++;
        t->keys += edge;
    } else {
        s->visible_topics -= !--t->visible;
        t->keys -= edge;
    }
}

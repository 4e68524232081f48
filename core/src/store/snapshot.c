/* Snapshots: rows and their text in one block, copied in two passes over the same entries: measure, then fill. Readers
 * may run side by side: nothing of the store is written. */
#include "snapshot.h"
#include "records.h"
#include <string.h>

/* A pass: without rows it only counts. */
typedef struct copying {
    const pr_store *store;
    pr_row *rows;
    size_t size;
    char *text;
    size_t bytes;
    uint16_t log; /* of the entry before: its member name is shared */
    presence_str member;
    uint64_t inst;
} copying;

static presence_str copy(copying *c, presence_str text) {
    c->bytes += text.size;
    if (!c->rows) return text;
    if (text.size) memcpy(c->text, text.data, text.size);
    presence_str result = pr_str(c->text, text.size);
    c->text += text.size;
    return result;
}

static void copy_entry(copying *c, const pr_entry *e, pr_id id, presence_str topic) {
    const pr_store *s = c->store;
    presence_str both = copy(c, pr_blob_texts(&s->blobs, e->blob));
    if (!c->size || c->log != e->log) {
        c->member = copy(c, pr_log_row_name(s, e->log));
        c->inst = pr_log_row_inst(s, e->log);
    }
    c->log = e->log;
    size_t i = c->size++;
    if (!c->rows) return;
    size_t key = pr_entry_key(s, e).size;
    c->rows[i] = (pr_row){.topic = topic,
                          .key = pr_str(both.data, key),
                          .meta = pr_str(both.data + key, both.size - key),
                          .member = c->member,
                          .inst = c->inst,
                          .eid = e->eid,
                          .dot = pr_entry_dot(s, id),
                          .prev_dot = pr_entry_prev_dot(s, id),
                          .owner = pr_entry_owner(s, e)};
}

static bool row_before(const pr_row *a, const pr_row *b) {
    return a->inst != b->inst ? a->inst < b->inst : a->eid < b->eid;
}

static void sift_down(pr_row *rows, size_t pos, size_t size) {
    pr_row row = rows[pos];
    for (size_t child; (child = 2 * pos + 1) < size; pos = child) {
        if (child + 1 < size && row_before(&rows[child], &rows[child + 1])) child++;
        if (!row_before(&row, &rows[child])) break;
        rows[pos] = rows[child];
    }
    rows[pos] = row;
}

/* The first `sorted` rows are; a few rows more are put between them. */
static void insert_rows(pr_row *rows, size_t sorted, size_t size) {
    for (size_t i = sorted; i < size; i++) {
        size_t at = i;
        while (at && row_before(&rows[i], &rows[at - 1])) at--;
        if (at == i) continue;
        pr_row row = rows[i];
        memmove(rows + at + 1, rows + at, (i - at) * sizeof *rows);
        rows[at] = row;
    }
}

#define INSERT_MAX 24 /* rows; more are sorted faster as a heap */

/* Metas of one key by (member id, order of tracking), in place and without memory. A chain has the first entry of the
 * key, then the others from the newest on: turned round, those of one member are in order. */
static void sort_rows(pr_row *rows, size_t size) {
    for (size_t i = 1, j = size; i + 1 < j; i++) {
        pr_row row = rows[i];
        rows[i] = rows[--j];
        rows[j] = row;
    }
    size_t right = 1;
    while (right < size && row_before(&rows[right - 1], &rows[right])) right++;
    if (right >= size) return;
    if (size <= INSERT_MAX) {
        insert_rows(rows, right, size);
        return;
    }
    for (size_t i = size / 2; i--;) sift_down(rows, i, size);
    for (size_t end = size; --end;) {
        pr_row greatest = rows[0];
        rows[0] = rows[end];
        rows[end] = greatest;
        sift_down(rows, 0, end);
    }
}

static void copy_key(copying *c, pr_id head, presence_str topic) {
    size_t start = c->size;
    for (pr_id id = head; id;) {
        const pr_entry *e = pr_entry_at(c->store, id);
        if (e->flags & PR_VISIBLE) copy_entry(c, e, id, topic);
        id = e->flags & PR_CHAINED ? e->key_next : 0;
    }
    if (c->rows) sort_rows(c->rows + start, c->size - start);
}

static void copy_topic(copying *c, const pr_topic *t, presence_str topic) {
    const uint32_t *ids = pr_topic_ids(t);
    for (uint32_t i = 0; i < t->entries; i++) {
        uint16_t flags = pr_entry_at(c->store, ids[i])->flags;
        if (!(flags & PR_CHAINED) || flags & PR_HEAD) copy_key(c, ids[i], topic);
    }
}

/* ---- the block: rows, a copy of the allocator, text ---- */

static int new_rows(const pr_store *s, size_t size, size_t text, pr_rows **out) {
    size_t bytes = sizeof **out + size * sizeof(pr_row) + sizeof(pr_alloc) + text;
    pr_rows *rows = *out = pr_resize(&s->memory, NULL, 0, bytes);
    if (!rows) return PRESENCE_ENOMEM;
    pr_alloc *alloc = (pr_alloc *)(rows->rows + size);
    *alloc = s->memory;
    *rows = (pr_rows){.alloc = alloc, .bytes = bytes, .size = size, .seq = s->seq};
    return 0;
}

static char *text_of(pr_rows *rows) { return (char *)((pr_alloc *)(rows->rows + rows->size) + 1); }

void pr_rows_free(pr_rows *rows) {
    if (!rows) return;
    pr_alloc alloc = *rows->alloc; /* it is in the block itself, which may outlive the store */
    pr_delete(&alloc, rows, rows->bytes);
}

/* All visible entries of a topic (head 0) or of one key. */
static int snapshot(const pr_store *s, pr_id topic, pr_id head, pr_rows **out) {
    const pr_topic *t = topic ? pr_topic_at(s, topic) : NULL;
    copying c = {.store = s};
    presence_str name = t ? pr_topic_name(s, t) : pr_str("", 0);
    if (head)
        copy_key(&c, head, name);
    else if (t)
        copy_topic(&c, t, name);
    int error = new_rows(s, c.size, c.size ? c.bytes + name.size : 0, out);
    if (error || !c.size) return error;
    copying fill = {.store = s, .rows = (*out)->rows, .text = text_of(*out)};
    name = copy(&fill, name);
    if (head)
        copy_key(&fill, head, name);
    else
        copy_topic(&fill, t, name);
    return 0;
}

int pr_store_list(const pr_store *s, presence_str topic, pr_rows **out) {
    return snapshot(s, pr_topic_find(s, topic), 0, out);
}

int pr_store_get(const pr_store *s, presence_str topic, presence_str key, pr_rows **out) {
    pr_id id = pr_topic_find(s, topic);
    pr_id head = id ? pr_key_head(s, id, pr_key_hash(id, key), key) : 0;
    return snapshot(s, head ? id : 0, head, out);
}

static void copy_topics(copying *c) {
    for (uint32_t i = 1; i < c->store->topics.used; i++) {
        const pr_topic *t = pr_topic_at(c->store, i);
        if (!t->name || !t->visible) continue;
        presence_str name = copy(c, pr_topic_name(c->store, t));
        if (c->rows) c->rows[c->size] = (pr_row){.topic = name};
        c->size++;
    }
}

int pr_store_topics(const pr_store *s, pr_rows **out) {
    copying c = {.store = s};
    copy_topics(&c);
    int error = new_rows(s, c.size, c.bytes, out);
    if (error) return error;
    copying fill = {.store = s, .rows = (*out)->rows, .text = text_of(*out)};
    copy_topics(&fill);
    return 0;
}

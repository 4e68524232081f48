/* The open diff: which entities it touched and what was shown of them before; finish nets that out.
 *
 * The first touch of an entity takes a place in items[] and remembers what was shown (the entry's prev field then holds
 * the place). Later touches only change the entry. What is reported follows from before and after:
 *
 *     not shown -> shown   join with the newest meta       shown -> shown, other dot   update from the first old meta
 *     shown -> not shown   leave with the meta before      else                        nothing
 *
 * Room for all of it is reserved at begin. If a caller touches more than it announced, more is asked for then; without
 * memory the flags still change, but that change is missing in the diff.
 */
#include "records.h"

static size_t place_bytes(void) { return sizeof(pr_pending) + sizeof(pr_touched) + 2 * sizeof(uint32_t); }

static bool reserve_places(pr_store *s, size_t size) {
    pr_changing *c = &s->changing, next = *c;
    if (size <= c->room) return true;
    next.room = size > c->room * 2 ? size : c->room * 2;
    if (next.room > UINT32_MAX) return false;
    next.items = pr_resize(&s->memory, NULL, 0, next.room * place_bytes());
    if (!next.items) return false;
    next.topics = (pr_touched *)(next.items + next.room);
    next.order = (uint32_t *)(next.topics + next.room);
    next.groups = next.order + next.room;
    if (c->size) memcpy(next.items, c->items, c->size * sizeof *c->items);
    if (c->topics_size) memcpy(next.topics, c->topics, c->topics_size * sizeof *c->topics);
    pr_delete(&s->memory, c->items, c->room * place_bytes());
    *c = next;
    return true;
}

static bool reserve_text(pr_store *s, size_t more) {
    pr_changing *c = &s->changing;
    if (more <= c->text_room - c->text_size) return true;
    size_t room = c->text_size + more;
    if (room < c->text_room * 2) room = c->text_room * 2;
    uint8_t *text = pr_resize(&s->memory, c->text, c->text_room, room);
    if (!text) return false;
    c->text = text;
    c->text_room = room;
    return true;
}

bool pr_changing_reserve_block(pr_store *s, size_t bytes) {
    pr_changing *c = &s->changing;
    if (bytes <= c->block_room && c->block_room / 4 <= bytes) return true; /* not one that is much too large */
    pr_shared *block = pr_resize(&s->memory, NULL, 0, bytes);
    if (!block) return bytes <= c->block_room;
    pr_delete(&s->memory, c->block, c->block_room);
    c->block = block;
    c->block_room = bytes;
    return true;
}

/* The most that the diffs of so many changes can take. */
static size_t block_bound(const pr_store *s, size_t changes, size_t bytes) {
    size_t topics = s->watch_all || s->watched > changes ? changes : s->watched;
    return sizeof(pr_shared) + topics * (sizeof(pr_diff) + PR_TOPIC_MAX + 16) +
           changes * (sizeof(pr_diff_item) + s->longest_name) + bytes;
}

static bool watching(const pr_store *s) { return s->watch_all || s->watched; }

int pr_diff_reserve(pr_store *s, size_t changes, size_t bytes) {
    pr_changing *c = &s->changing;
    /* each change may be a join that ends the wait of another entry */
    size_t more = changes < pr_lingers_size(s) ? changes : pr_lingers_size(s), text = pr_lingers_text(s, more);
    changes += more;
    bytes += text < SIZE_MAX / 2 - bytes ? text : 0;
    if (!reserve_places(s, c->size + changes)) return PRESENCE_ENOMEM;
    if (watching(s) && (!reserve_text(s, bytes) ||
                        !pr_changing_reserve_block(s, block_bound(s, c->size + changes, c->text_size + bytes))))
        return PRESENCE_ENOMEM;
    return 0;
}

int pr_diff_begin(pr_store *s, size_t changes, size_t bytes) {
    int rc = pr_diff_reserve(s, changes, bytes);
    if (rc == 0) s->changing.open = true;
    return rc;
}

static uint32_t touch_topic(pr_store *s, pr_id id) {
    pr_changing *c = &s->changing;
    pr_topic *t = pr_topic_at(s, id);
    if (!t->touched) {
        c->topics[c->topics_size++] = (pr_touched){.topic = id, .watched = s->watch_all || t->watch};
        t->touched = (uint32_t)c->topics_size;
    }
    return t->touched - 1;
}

static size_t keep_text(pr_changing *c, presence_str text) {
    size_t at = c->text_size;
    if (text.size) memcpy(c->text + at, text.data, text.size);
    c->text_size += text.size;
    return at;
}

/* The place of the entry in the open diff; NULL: none is open, or no memory. */
static pr_pending *touch(pr_store *s, pr_id id, bool before, uint64_t dot_before, presence_str meta_before) {
    pr_changing *c = &s->changing;
    pr_entry *e = pr_entry_at(s, id);
    if (e->flags & PR_PENDING) return &c->items[e->prev];
    presence_str key = pr_entry_key(s, e);
    if (!c->open || !reserve_places(s, c->size + 1)) return NULL;
    if (before && watching(s) && !reserve_text(s, key.size + meta_before.size)) return NULL;
    pr_pending *p = &c->items[c->size];
    *p = (pr_pending){.eid = e->eid, .dot_before = dot_before, .owner = pr_entry_owner(s, e), .entry = id};
    p->topic = touch_topic(s, e->topic);
    p->hash = e->hash;
    p->log = e->log;
    p->prev = e->prev;
    p->before = before;
    if (before && c->topics[p->topic].watched) {
        p->key_size = (uint8_t)key.size;
        p->meta_size = (uint16_t)meta_before.size;
        p->key_at = keep_text(c, key);
        p->meta_at = keep_text(c, meta_before);
    }
    e->prev = (uint32_t)c->size++;
    e->flags |= PR_PENDING;
    return p;
}

void pr_diff_show(pr_store *s, pr_id id) {
    pr_entry *e = pr_entry_at(s, id);
    if (e->flags & PR_VISIBLE) return;
    touch(s, id, false, 0, pr_str(NULL, 0));
    if (!(e->flags & PR_PENDING)) e->prev = 0;
    pr_entry_flip(s, id);
}

void pr_diff_update(pr_store *s, pr_id id, uint64_t old_dot, presence_str old_meta) {
    pr_entry *e = pr_entry_at(s, id);
    if (!(e->flags & PR_VISIBLE)) return;
    touch(s, id, true, old_dot, old_meta);
    uint64_t rise = pr_entry_dot(s, id) - old_dot;
    if (!(e->flags & PR_PENDING)) e->prev = rise <= UINT32_MAX ? (uint32_t)rise : 0;
}

void pr_diff_hide(pr_store *s, pr_id id, uint8_t reason) {
    pr_entry *e = pr_entry_at(s, id);
    if (!(e->flags & PR_VISIBLE)) return;
    pr_pending *p = touch(s, id, true, pr_entry_dot(s, id), pr_entry_meta(s, e));
    if (p)
        p->reason = reason;
    else
        e->prev = 0;
    pr_entry_flip(s, id);
}

/* The dot shown before the last shown update; while a diff is open, as it will be when that is finished. */
uint64_t pr_entry_prev_dot(const pr_store *s, pr_id id) {
    const pr_entry *e = pr_entry_at(s, id);
    uint64_t dot = pr_entry_dot(s, id);
    if (!(e->flags & PR_PENDING)) return e->prev ? dot - e->prev : 0;
    const pr_pending *p = &s->changing.items[e->prev];
    if (!p->before || !(e->flags & PR_VISIBLE)) return 0;
    if (dot != p->dot_before) return dot - p->dot_before <= UINT32_MAX ? p->dot_before : 0;
    return p->prev ? dot - p->prev : 0;
}

void pr_changing_forget(pr_store *s, pr_entry *e) {
    if (!(e->flags & PR_PENDING)) return;
    s->changing.items[e->prev].entry = 0;
    e->flags &= (uint16_t)~PR_PENDING;
}

void pr_changing_free(pr_store *s) {
    pr_changing *c = &s->changing;
    pr_delete(&s->memory, c->items, c->room * place_bytes());
    pr_delete(&s->memory, c->text, c->text_room);
    pr_delete(&s->memory, c->block, c->block_room);
    memset(c, 0, sizeof *c);
}

void pr_diff_free(pr_diff *diff) {
    if (!diff) return;
    pr_shared *block = (pr_shared *)(uintptr_t)diff->alloc; /* its first member */
    if (atomic_fetch_sub_explicit(&block->diffs, 1, memory_order_acq_rel) != 1) return;
    pr_alloc alloc = block->alloc;
    pr_delete(&alloc, block, block->bytes);
}

uint64_t pr_store_seq(const pr_store *s) { return s->seq; }

/* Entries that linger: shown although they have left, until their key comes back or their time is over (api.md,
 * leave_grace_ms).
 *
 * Only the one shown entry of a key lingers. It stays as it is in every index of what is shown; its owner has lost it.
 * Is it removed meanwhile, it only leaves its log: its record stays until the wait ends. All waits of a store are of
 * one length, so a list in order of beginning is in order of ending too. Without memory there is no wait.
 */
#include "records.h"

typedef struct pr_linger {
    uint64_t deadline;
    presence_owner owner; /* that had it */
    uint32_t entry, before, after;
    size_t text;
    uint8_t reason;
    bool gone; /* removed: the entry is of no log any more */
} pr_linger;

static pr_linger *linger_at(const pr_store *s, uint32_t index) { return pr_slab_at(&s->lingers, index); }

/* A key has one at most: its hash leads to it. */
static uint32_t table_hash(const void *store, uint32_t index) {
    return pr_entry_at(store, linger_at(store, index)->entry)->hash;
}

void pr_lingers_init(pr_store *s) {
    pr_slab_init(&s->lingers, &s->memory, sizeof(pr_linger));
    pr_table_init(&s->linger_table, &s->memory, table_hash, s);
}

void pr_lingers_free(pr_store *s) {
    pr_slab_free(&s->lingers);
    pr_table_free(&s->linger_table);
}

bool pr_store_lingers(const pr_store *s, pr_id id) { return pr_entry_at(s, id)->flags & PR_LINGERS; }

/* Of an entry that lingers. */
static uint32_t find(const pr_store *s, const pr_entry *e, size_t *slot) {
    for (pr_probe p = pr_probe_start(&s->linger_table, e->hash); pr_probe_next(&s->linger_table, &p);) {
        if (pr_entry_at(s, linger_at(s, p.value)->entry) != e) continue;
        *slot = p.slot;
        return p.value;
    }
    return 0;
}

presence_owner pr_linger_owner(const pr_store *s, const pr_entry *e) {
    size_t slot;
    return linger_at(s, find(s, e, &slot))->owner;
}

static void append(pr_store *s, uint32_t index) {
    pr_linger *l = linger_at(s, index);
    l->before = s->linger_last;
    if (s->linger_last)
        linger_at(s, s->linger_last)->after = index;
    else
        s->linger_first = index;
    s->linger_last = index;
}

static void take_out(pr_store *s, const pr_linger *l) {
    if (l->before)
        linger_at(s, l->before)->after = l->after;
    else
        s->linger_first = l->after;
    if (l->after)
        linger_at(s, l->after)->before = l->before;
    else
        s->linger_last = l->before;
}

bool pr_store_linger(pr_store *s, pr_id id, uint64_t deadline_ms, uint8_t reason) {
    pr_entry *e = pr_entry_at(s, id);
    if (!(e->flags & PR_VISIBLE) || pr_key_visible(s, pr_key_head(s, e->topic, e->hash, pr_entry_key(s, e))) != 1)
        return false;
    uint32_t index = pr_table_reserve(&s->linger_table, 1) ? pr_slab_take(&s->lingers) : 0;
    if (!index) return false;
    size_t text = pr_blob_texts(&s->blobs, e->blob).size;
    *linger_at(s, index) = (pr_linger){
        .deadline = deadline_ms, .owner = pr_entry_owner(s, e), .entry = id, .text = text, .reason = reason};
    if (e->local) pr_owner_take_out(s, id);
    e->flags &= (uint16_t)~PR_OWNED;
    e->flags |= PR_LINGERS;
    pr_table_add(&s->linger_table, e->hash, index);
    append(s, index);
    s->linger_text += text;
    if (text > s->linger_longest) s->linger_longest = text;
    return true;
}

bool pr_store_linger_end(pr_store *s, pr_id id) {
    size_t slot;
    uint32_t index = find(s, pr_entry_at(s, id), &slot);
    pr_linger l = *linger_at(s, index);
    take_out(s, &l);
    pr_table_erase(&s->linger_table, slot);
    pr_slab_return(&s->lingers, index);
    pr_entry_at(s, id)->flags &= (uint16_t)~PR_LINGERS;
    s->linger_text -= l.text;
    if (!s->linger_first) s->linger_longest = 0;
    return l.gone;
}

bool pr_linger_keep(pr_store *s, pr_id id) {
    pr_entry *e = pr_entry_at(s, id);
    size_t slot;
    if (!(e->flags & PR_LINGERS)) return false;
    linger_at(s, find(s, e, &slot))->gone = true;
    return true;
}

uint64_t pr_store_linger_deadline(const pr_store *s) {
    return s->linger_first ? linger_at(s, s->linger_first)->deadline : UINT64_MAX;
}

size_t pr_store_linger_due(const pr_store *s, uint64_t now_ms, pr_id *ids, size_t max) {
    size_t size = 0;
    for (uint32_t at = s->linger_first; at && size < max; at = linger_at(s, at)->after) {
        if (linger_at(s, at)->deadline > now_ms) break;
        ids[size++] = linger_at(s, at)->entry;
    }
    return size;
}

uint8_t pr_store_linger_reason(const pr_store *s, pr_id id) {
    size_t slot;
    return linger_at(s, find(s, pr_entry_at(s, id), &slot))->reason;
}

pr_id pr_store_linger_of_key(const pr_store *s, pr_id id) {
    if (!s->linger_first) return 0;
    const pr_entry *e = pr_entry_at(s, id);
    for (pr_probe p = pr_probe_start(&s->linger_table, e->hash); pr_probe_next(&s->linger_table, &p);) {
        pr_id at = linger_at(s, p.value)->entry;
        const pr_entry *other = pr_entry_at(s, at);
        if (other->hash == e->hash && other->topic == e->topic &&
            pr_str_equal(pr_entry_key(s, other), pr_entry_key(s, e)))
            return at == id ? 0 : at;
    }
    return 0;
}

/* The same entity in a fresh copy of its log: it takes the place of the one that lingers, and nothing came or went. */
bool pr_store_linger_adopt(pr_store *s, pr_id old_id, pr_id id) {
    pr_entry *old = pr_entry_at(s, old_id), *e = pr_entry_at(s, id);
    bool same = old->eid == e->eid && pr_log_row_inst(s, old->log) == pr_log_row_inst(s, e->log);
    if (!same || (old->flags | e->flags) & PR_PENDING || e->flags & PR_VISIBLE) return false;
    uint64_t dot = pr_entry_dot(s, old_id);
    pr_entry_flip(s, id);
    pr_entry_flip(s, old_id);
    e->prev = old->prev;
    if (dot != pr_entry_dot(s, id)) pr_diff_update(s, id, dot, pr_entry_meta(s, old));
    if (pr_store_linger_end(s, old_id)) pr_store_remove(s, old_id);
    return true;
}

size_t pr_lingers_text(const pr_store *s, size_t entries) {
    size_t most = s->linger_longest && entries > SIZE_MAX / s->linger_longest ? SIZE_MAX : entries * s->linger_longest;
    return most < s->linger_text ? most : s->linger_text;
}

bool pr_store_log_done(pr_store *s, uint16_t log) {
    pr_log_row *row = pr_log_row_at(s, log);
    if (row) row->done = true;
    return !row || !row->entries;
}

bool pr_store_log_over(const pr_store *s, uint16_t log) {
    const pr_log_row *row = pr_log_row_at(s, log);
    return row && row->done && !row->entries;
}

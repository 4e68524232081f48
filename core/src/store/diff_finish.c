/* Finish of a diff: what each touched entity comes to, order, key edges, and the block that holds the result. */
#include "records.h"
#include "sort.h"

/* ---- what each entity comes to ---- */

static uint8_t outcome(const pr_pending *p, bool after, uint64_t dot) {
    if (!p->before) return after || (p->entry && !pr_rule(PR_RULE_squash)) ? PRESENCE_JOIN : 0;
    if (!after) return PRESENCE_LEAVE;
    return dot != p->dot_before ? PRESENCE_UPDATE : 0;
}

static void settle_prev(pr_store *s, pr_pending *p, pr_entry *e) {
    uint64_t prev = pr_entry_prev_dot(s, p->entry), dot = pr_entry_dot(s, p->entry);
    e->flags &= (uint16_t)~PR_PENDING;
    e->prev = prev ? (uint32_t)(dot - prev) : 0;
}

static presence_str text_at(const pr_changing *c, size_t at, size_t size) {
    return pr_str((const char *)c->text + at, size);
}

static presence_str key_of(const pr_store *s, const pr_pending *p) {
    if (p->before) return text_at(&s->changing, p->key_at, p->key_size);
    return pr_entry_key(s, pr_entry_at(s, p->entry));
}

static size_t text_of(const pr_store *s, const pr_pending *p) {
    size_t bytes = key_of(s, p).size + p->meta_size + pr_log_row_name(s, p->log).size;
    if (p->kind != PRESENCE_LEAVE) bytes += pr_entry_meta(s, pr_entry_at(s, p->entry)).size;
    return bytes;
}

static void settle(pr_store *s, pr_pending *p) {
    pr_touched *t = &s->changing.topics[p->topic];
    pr_entry *e = p->entry ? pr_entry_at(s, p->entry) : NULL;
    p->dot = e ? pr_entry_dot(s, p->entry) : 0;
    p->kind = outcome(p, e && e->flags & PR_VISIBLE, p->dot);
    if (p->kind == PRESENCE_LEAVE && (!e || pr_rule(PR_RULE_leave_as_shown))) p->dot = p->dot_before;
    if (e) settle_prev(s, p, e);
    if (!t->watched) p->kind = 0;
    if (!p->kind) return;
    t->size++;
    t->text += text_of(s, p);
}

static size_t settle_all(pr_store *s) {
    pr_changing *c = &s->changing;
    size_t reported = 0;
    for (size_t i = 0; i < c->size; i++) {
        settle(s, &c->items[i]);
        if (c->items[i].kind) c->order[reported++] = (uint32_t)i;
    }
    return reported;
}

/* ---- order: topic as touched first, joins, updates, leaves, each by dot ---- */

static bool comes_before(const void *context, uint32_t a, uint32_t b) {
    const pr_store *s = context;
    const pr_pending *p = &s->changing.items[a], *q = &s->changing.items[b];
    if (p->topic != q->topic) return p->topic < q->topic;
    if (p->kind != q->kind) return p->kind < q->kind;
    if (p->dot != q->dot) return p->dot < q->dot;
    uint64_t p_inst = pr_log_row_inst(s, p->log), q_inst = pr_log_row_inst(s, q->log);
    if (p_inst != q_inst) return p_inst < q_inst;
    return p->eid != q->eid ? p->eid < q->eid : a < b;
}

/* ---- key edges: over the net effect of the whole diff (protocol.md 3.10) ---- */

static int by_key(const pr_store *s, const pr_pending *p, const pr_pending *q) {
    if (p->topic != q->topic) return p->topic < q->topic ? -1 : 1;
    if (p->hash != q->hash) return p->hash < q->hash ? -1 : 1;
    return pr_str_compare(key_of(s, p), key_of(s, q));
}

/* By key, and within a key in the order of the diff: the values are places in `order`. */
static bool key_before(const void *context, uint32_t a, uint32_t b) {
    const pr_store *s = context;
    const pr_changing *c = &s->changing;
    int order = by_key(s, &c->items[c->order[a]], &c->items[c->order[b]]);
    return order ? order < 0 : a < b;
}

static void mark_edge(pr_store *s, size_t start, size_t end) {
    pr_changing *c = &s->changing;
    size_t joins = 0, leaves = 0;
    for (size_t i = start; i < end; i++) {
        joins += c->items[c->order[c->groups[i]]].kind == PRESENCE_JOIN;
        leaves += c->items[c->order[c->groups[i]]].kind == PRESENCE_LEAVE;
    }
    if (!joins && !leaves) return;
    pr_pending *first = &c->items[c->order[c->groups[start]]], *last = &c->items[c->order[c->groups[end - 1]]];
    pr_id head = pr_key_head(s, c->topics[first->topic].topic, first->hash, key_of(s, first));
    size_t after = head ? pr_key_visible(s, head) : 0, before = after + leaves - joins;
    if (!pr_rule(PR_RULE_net_edges)) before = joins ? after - 1 : after + leaves;
    /* joins come first and leaves last in the order of the diff */
    first->first = first->kind == PRESENCE_JOIN && !before;
    last->last = last->kind == PRESENCE_LEAVE && !after;
}

static void mark_edges(pr_store *s, size_t size) {
    pr_changing *c = &s->changing;
    for (size_t i = 0; i < size; i++) c->groups[i] = (uint32_t)i;
    pr_sort_u32(c->groups, size, key_before, s);
    for (size_t start = 0, end; start < size; start = end) {
        const pr_pending *p = &c->items[c->order[c->groups[start]]];
        for (end = start + 1; end < size; end++)
            if (by_key(s, p, &c->items[c->order[c->groups[end]]])) break;
        mark_edge(s, start, end);
    }
}

/* ---- building ---- */

static size_t diff_bytes(const pr_store *s, const pr_touched *t) {
    size_t bytes = sizeof(pr_diff) + t->size * sizeof(pr_diff_item) + t->text;
    bytes += pr_topic_name(s, pr_topic_at(s, t->topic)).size;
    return (bytes + 15) & ~(size_t)15;
}

static presence_str copy(char **at, presence_str text) {
    if (text.size) memcpy(*at, text.data, text.size);
    presence_str result = pr_str(*at, text.size);
    *at += text.size;
    return result;
}

static void build_item(const pr_store *s, const pr_pending *p, pr_diff_item *out, char **at) {
    presence_str shown = text_at(&s->changing, p->meta_at, p->meta_size);
    *out = (pr_diff_item){.inst = pr_log_row_inst(s, p->log),
                          .eid = p->eid,
                          .dot = p->dot,
                          .owner = p->owner,
                          .kind = p->kind,
                          .first = p->first,
                          .last = p->last};
    out->key = copy(at, key_of(s, p));
    out->member = copy(at, pr_log_row_name(s, p->log));
    if (p->kind == PRESENCE_LEAVE) {
        out->meta = copy(at, shown);
        out->reason = p->reason;
        return;
    }
    out->meta = copy(at, pr_entry_meta(s, pr_entry_at(s, p->entry)));
    if (p->kind != PRESENCE_UPDATE) return;
    out->prev_meta = copy(at, shown);
    out->prev_dot = p->dot_before;
}

static pr_diff *build(pr_store *s, const pr_touched *t, const uint32_t *order, uint8_t *memory) {
    pr_diff *diff = (pr_diff *)memory;
    char *at = (char *)(diff->items + t->size);
    *diff = (pr_diff){.alloc = &s->changing.block->alloc, .bytes = diff_bytes(s, t), .seq = ++s->seq, .size = t->size};
    diff->topic = copy(&at, pr_topic_name(s, pr_topic_at(s, t->topic)));
    for (size_t i = 0; i < t->size; i++) build_item(s, &s->changing.items[order[i]], &diff->items[i], &at);
    return diff;
}

static pr_diff *build_all(pr_store *s) {
    pr_changing *c = &s->changing;
    const uint32_t *order = c->order;
    uint8_t *memory = (uint8_t *)(c->block + 1);
    pr_diff *first = NULL, **link = &first;
    for (size_t i = 0; i < c->topics_size; i++) {
        const pr_touched *t = &c->topics[i];
        if (!t->size) continue;
        *link = build(s, t, order, memory);
        c->block->diffs++;
        order += t->size;
        memory += (*link)->bytes;
        link = &(*link)->next;
    }
    if (first) first->bytes += sizeof(pr_shared);
    return first;
}

/* The reserved block cut to size; false: more than the caller announced, and no memory for it. */
static bool fit_block(pr_store *s, size_t bytes) {
    pr_changing *c = &s->changing;
    if (bytes > c->block_room && !pr_changing_reserve_block(s, bytes)) return false;
    pr_shared *block = pr_resize(&s->memory, c->block, c->block_room, bytes);
    if (block) {
        c->block = block;
        c->block_room = bytes;
    }
    c->block->alloc = s->memory;
    c->block->bytes = c->block_room;
    atomic_init(&c->block->diffs, 0);
    return true;
}

/* What a diff as large as this has reserved is not kept for later ones. */
#define KEEP_CHANGES 4096
#define KEEP_BYTES   ((size_t)1 << 20)

static void reset(pr_store *s) {
    pr_changing *c = &s->changing;
    for (size_t i = 0; i < c->topics_size; i++) {
        pr_topic_at(s, c->topics[i].topic)->touched = 0;
        pr_topic_drop_if_unused(s, c->topics[i].topic);
    }
    c->size = c->topics_size = c->text_size = 0;
    c->open = false;
    if (c->room > KEEP_CHANGES || c->text_room > KEEP_BYTES || c->block_room > KEEP_BYTES) pr_changing_free(s);
}

pr_diff *pr_diff_finish(pr_store *s) {
    pr_changing *c = &s->changing;
    size_t reported = settle_all(s), bytes = sizeof(pr_shared);
    pr_diff *first = NULL;
    for (size_t i = 0; i < c->topics_size; i++) bytes += c->topics[i].size ? diff_bytes(s, &c->topics[i]) : 0;
    if (reported && fit_block(s, bytes)) {
        pr_sort_u32(c->order, reported, comes_before, s);
        mark_edges(s, reported);
        first = build_all(s);
        c->block = NULL; /* the diffs have it now */
        c->block_room = 0;
    }
    reset(s);
    return first;
}

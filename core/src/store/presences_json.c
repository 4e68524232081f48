/* The JSON of presences (api.md), from snapshots and diffs: {"key":{"metas":[{…,"phx_ref":"…"}]}}. */
#include "snapshot.h"
#include "sort.h"
#include <string.h>

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static size_t trim_end(presence_str s) {
    while (s.size && is_space(s.data[s.size - 1])) s.size--;
    return s.size;
}

/* Into room that has been reserved. */
static char *put(char *at, presence_str text) {
    memcpy(at, text.data, text.size);
    return at + text.size;
}

static char *put_ref(char *at, presence_str name, uint64_t inst, uint64_t dot) {
    presence_ref ref;
    pr_ref_format(&ref, inst, dot);
    at = put(put(at, name), pr_str(ref.text, PR_REF_SIZE));
    *at++ = '"';
    return at;
}

#define REFS_SIZE 128 /* what write_meta adds, at most */

/* The text of the meta up to its last brace, then the refs: metas have been checked to be objects. */
static void write_meta(pr_buffer *out, presence_str meta, uint64_t inst, uint64_t dot, uint64_t prev_dot) {
    meta.size = trim_end(meta);
    if (meta.size && meta.data[meta.size - 1] == '}') meta.size--;
    meta.size = trim_end(meta);
    if (!meta.size) meta = pr_str("{", 1);
    bool empty = meta.data[meta.size - 1] == '{';
    if (pr_buffer_reserve(out, meta.size + REFS_SIZE)) return;
    char *at = put((char *)out->data + out->size, meta);
    if (!empty) *at++ = ',';
    at = put_ref(at, pr_str("\"phx_ref\":\"", 11), inst, dot);
    if (prev_dot) at = put_ref(at, pr_str(",\"phx_ref_prev\":\"", 17), inst, prev_dot);
    *at++ = '}';
    out->size = (size_t)(at - (char *)out->data);
}

/* Begins the next key, or the next meta of the same key; `before` is NULL at the first one. */
static void write_key(pr_buffer *out, const presence_str *before, presence_str key) {
    if (before && pr_str_equal(*before, key)) {
        pr_buffer_append(out, ",", 1);
        return;
    }
    if (before) pr_buffer_text(out, "]},");
    pr_buffer_json_string(out, key);
    pr_buffer_text(out, ":{\"metas\":[");
}

#define ROW_JSON 72 /* of a row, besides its key and meta */

void pr_rows_json(const pr_rows *rows, pr_buffer *out) {
    /* about as much as it will be, so that it is not moved while it grows */
    size_t less = rows->size * (sizeof(pr_row) - ROW_JSON);
    if (rows->bytes > less) pr_buffer_reserve(out, rows->bytes - less);
    pr_buffer_append(out, "{", 1);
    for (size_t i = 0; i < rows->size; i++) {
        const pr_row *row = &rows->rows[i];
        write_key(out, i ? &row[-1].key : NULL, row->key);
        write_meta(out, row->meta, row->inst, row->dot, row->prev_dot);
    }
    pr_buffer_text(out, rows->size ? "]}}" : "}");
}

/* One key may have several changes anywhere in a diff, but an object names it once. */
static bool item_before(const void *context, uint32_t a, uint32_t b) {
    const pr_diff *diff = context;
    const pr_diff_item *p = &diff->items[a], *q = &diff->items[b];
    int order = pr_str_compare(p->key, q->key);
    if (order) return order < 0;
    if (p->inst != q->inst) return p->inst < q->inst;
    return p->eid != q->eid ? p->eid < q->eid : a < b;
}

static void write_side(const pr_diff *diff, const uint32_t *order, bool joins, pr_buffer *out) {
    const presence_str *before = NULL;
    pr_buffer_append(out, "{", 1);
    for (size_t i = 0; i < diff->size; i++) {
        const pr_diff_item *item = &diff->items[order[i]];
        bool update = item->kind == PRESENCE_UPDATE;
        if (item->kind != (joins ? PRESENCE_JOIN : PRESENCE_LEAVE) && !update) continue;
        write_key(out, before, item->key);
        if (joins)
            write_meta(out, item->meta, item->inst, item->dot, item->prev_dot);
        else if (update)
            write_meta(out, item->prev_meta, item->inst, item->prev_dot, 0);
        else
            write_meta(out, item->meta, item->inst, item->dot, 0);
        before = &item->key;
    }
    pr_buffer_text(out, before ? "]}}" : "}");
}

void pr_diff_json(const pr_diff *diff, pr_buffer *out) {
    size_t bytes = diff->size * sizeof(uint32_t);
    uint32_t *order = pr_resize(out->alloc, NULL, 0, bytes);
    if (!order) {
        if (!out->failed) out->failed = PRESENCE_ENOMEM;
        return;
    }
    for (size_t i = 0; i < diff->size; i++) order[i] = (uint32_t)i;
    pr_sort_u32(order, diff->size, item_before, diff);
    pr_buffer_text(out, "{\"joins\":");
    write_side(diff, order, true, out);
    pr_buffer_text(out, ",\"leaves\":");
    write_side(diff, order, false, out);
    pr_buffer_text(out, "}");
    pr_delete(out->alloc, order, bytes);
}

/* The list of what a frame did: joins, updates, then leaves, each in dot order (protocol.md 3.10). */
#include "log_state.h"
#include <stdlib.h>
#include <string.h>

void pr_changes_init(pr_changes *c, const pr_alloc *alloc) {
    memset(c, 0, sizeof *c);
    c->alloc = alloc;
}

void pr_changes_free(pr_changes *c) {
    pr_delete(c->alloc, c->items, c->room * sizeof *c->items);
    pr_changes_init(c, c->alloc);
}

int pr_changes_reserve(pr_changes *c, size_t room) {
    return pr_room(c->alloc, (void **)&c->items, &c->room, room, sizeof *c->items);
}

int pr_changes_leave(pr_changes *c, pr_log *log, pr_id id, uint8_t reason) {
    if (pr_changes_reserve(c, c->size + 1) != 0) return PRESENCE_ENOMEM;
    pr_view v;
    pr_store_view(log->store, id, &v);
    c->items[c->size++] = (pr_change){.entry = id, .kind = PR_CHANGE_LEAVE, .reason = reason, .old_dot = v.dot};
    c->bytes += v.topic.size + v.key.size + v.meta.size;
    return 0;
}

static int by_dot(const void *a, const void *b) {
    uint64_t x = ((const pr_change *)a)->old_dot, y = ((const pr_change *)b)->old_dot;
    return (x > y) - (x < y);
}

void pr_changes_sort_leaves(pr_changes *c, size_t from) {
    if (c->size > from + 1) qsort(c->items + from, c->size - from, sizeof *c->items, by_dot);
}

void pr_log_remove_leaves(pr_log *log, const pr_changes *c, size_t from, uint64_t version) {
    for (size_t i = from; i < c->size; i++) {
        pr_view v;
        pr_store_view(log->store, c->items[i].entry, &v);
        pr_log_forget_entry(log, &v);
        uint8_t reason = pr_rule(PR_RULE_reasons) ? c->items[i].reason : PR_REMOVED_UNTRACK;
        if (log->keeps_removals) pr_ring_push(&log->ring, version, v.eid, reason);
    }
}

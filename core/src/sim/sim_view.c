/* What a member showed: the fold of its diffs, each change checked against the history of its log (P5, P6, P8, P17). */
#include "sim_state.h"
#include <string.h>

sim_seen_log *sim_view_log(pr_sim *sim, sim_view *view, size_t history, size_t entities) {
    if (view->size <= history) {
        view->logs = sim_resize(sim, view->logs, view->size * sizeof *view->logs, (history + 1) * sizeof *view->logs);
        view->size = history + 1;
    }
    sim_seen_log *log = &view->logs[history];
    if (log->size < entities) {
        log->items = sim_resize(sim, log->items, log->size * sizeof *log->items, entities * sizeof *log->items);
        log->size = entities;
    }
    return log;
}

void sim_view_free(pr_sim *sim, sim_view *view) {
    for (size_t i = 0; i < view->size; i++)
        pr_delete(&sim->alloc, view->logs[i].items, view->logs[i].size * sizeof(sim_seen));
    pr_delete(&sim->alloc, view->logs, view->size * sizeof *view->logs);
    pr_delete(&sim->alloc, view->keys, view->keys_room * 4 * sizeof *view->keys);
}

/* topic, key, shown now, shown before the diff */
static uint32_t *key_count(pr_sim *sim, sim_view *view, uint32_t topic, uint32_t key) {
    for (size_t i = 0; i < view->keys_size; i++)
        if (view->keys[i * 4] == topic && view->keys[i * 4 + 1] == key) return &view->keys[i * 4];
    if (view->keys_size == view->keys_room) {
        size_t room = view->keys_room * 2 + 16;
        view->keys = sim_resize(sim, view->keys, view->keys_room * 4 * sizeof(uint32_t), room * 4 * sizeof(uint32_t));
        view->keys_room = room;
    }
    uint32_t *count = &view->keys[view->keys_size++ * 4];
    count[0] = topic;
    count[1] = key;
    return count;
}

typedef struct change {
    sim_process *process;
    const pr_diff_item *item;
    const sim_history *history;
    const sim_entity *entity;
    sim_seen *seen;
    uint64_t seq;
} change;

static bool says(pr_sim *sim, presence_str text, uint32_t id) { return pr_str_equal(sim_text_str(sim, id), text); }

static void broken(pr_sim *sim, const change *c, const char *what) {
    pr_sim_fail(sim, "%s at host %d (%s): change %d of %s inst %016llx eid %llu dot %llu prev %llu, shown dot %llu",
                what, c->process->host, c->process->name, c->item->kind, c->history != NULL ? c->history->name : "?",
                (unsigned long long)c->item->inst, (unsigned long long)c->item->eid, (unsigned long long)c->item->dot,
                (unsigned long long)c->item->prev_dot, (unsigned long long)(c->seen != NULL ? c->seen->dot : 0));
}

static void take_join(pr_sim *sim, const change *c) {
    if (c->seen->dot != 0) broken(sim, c, "P5 join of a present entity");
    if (c->seen->removed) broken(sim, c, "P6 resurrection");
    if (c->item->prev_dot != 0) broken(sim, c, "P5 join with a previous dot");
    c->seen->dot = c->item->dot;
    c->seen->prev_dot = 0;
    c->seen->joined = c->seq;
    c->process->counts.joins++;
    c->process->view.shown++;
}

static void take_update(pr_sim *sim, const change *c) {
    if (c->seen->dot == 0 || c->seen->dot != c->item->prev_dot || c->item->dot <= c->item->prev_dot) {
        broken(sim, c, "P5 update of an absent or older entity");
        return;
    }
    const sim_value *before = sim_value_of(c->entity, c->item->prev_dot);
    if (before == NULL || !says(sim, c->item->prev_meta, before->meta))
        broken(sim, c, "P5 update with a previous meta that was not shown");
    c->seen->prev_dot = c->seen->dot;
    c->seen->dot = c->item->dot;
    c->process->counts.updates++;
}

static int removal_of(int reason) {
    switch (reason) {
    case PRESENCE_REASON_UNTRACK: return PR_REMOVED_UNTRACK;
    case PRESENCE_REASON_OWNER_CLOSED: return PR_REMOVED_OWNER_CLOSED;
    case PRESENCE_REASON_LEASE: return PR_REMOVED_LEASE;
    case PRESENCE_REASON_UNKNOWN: return PR_REMOVED_UNKNOWN;
    default: return -1;
    }
}

static void take_leave(pr_sim *sim, const change *c) {
    int removal = removal_of(c->item->reason);
    if (c->seen->dot == 0 || c->seen->dot != c->item->dot)
        broken(sim, c, "P5 leave of an absent entity, or not as last shown");
    if (c->seen->joined == c->seq) broken(sim, c, "P8 join and leave of one entity in a diff");
    if (removal >= 0 && c->entity->dead_first == 0) broken(sim, c, "P2 leave of a living entity");
    if (removal >= 0 && removal != PR_REMOVED_UNKNOWN && removal != c->entity->reason)
        broken(sim, c, "P17 another reason than the origin gave");
    if (removal < 0 && (c->item->reason == PRESENCE_REASON_NONE || c->item->inst == c->process->inst))
        broken(sim, c, "P17 leave without a fitting reason");
    c->seen->removed |= removal >= 0;
    c->seen->dot = c->seen->prev_dot = 0;
    c->process->counts.leaves++;
    c->process->counts.leaves_by_reason[c->item->reason & 7]++;
    c->process->view.shown--;
}

static void count_shown(pr_sim *sim, sim_process *process, const sim_entity *entity, int by) {
    uint32_t *count = key_count(sim, &process->view, entity->topic, entity->key);
    size_t topic = sim_topic_index(sim, entity->topic);
    process->view.topic_entries[topic] += (size_t)by;
    if (by > 0 && count[2] == 0) process->view.topic_keys[topic]++;
    if (by < 0 && count[2] == 1) process->view.topic_keys[topic]--;
    count[2] += (uint32_t)by;
}

static void take_item(pr_sim *sim, sim_process *process, const pr_diff *diff, const pr_diff_item *item) {
    change c = {.process = process, .item = item, .seq = diff->seq};
    size_t index = 0;
    sim_history *history = sim_history_of(sim, item->inst, &index);
    c.history = history;
    c.entity = history != NULL ? sim_entity_of(history, item->eid) : NULL;
    if (c.entity == NULL) {
        broken(sim, &c, "P1 an entity that never was");
        return;
    }
    if (item->kind == PRESENCE_LEAVE && item->reason == PRESENCE_REASON_LEASE && item->inst == process->inst &&
        c.entity->dead_first == 0) /* time, not a call, ends a lease */
        sim_oracle_remove(sim, history, c.entity->owner, NULL, PR_REMOVED_LEASE);
    sim_seen_log *log = sim_view_log(sim, &process->view, index, history->entities_size);
    c.seen = &log->items[c.entity - history->entities];
    if (item->inst == process->inst) process->view.own_version = SIM_NEVER;
    const sim_value *value = sim_value_of(c.entity, item->dot);
    if (!says(sim, diff->topic, c.entity->topic) || !says(sim, item->key, c.entity->key) || value == NULL ||
        !says(sim, item->meta, value->meta) || !pr_str_equal(item->member, pr_str(history->name, history->name_size)))
        broken(sim, &c, "P1 topic, key, meta or member differ from the origin's");
    if (item->owner != (item->inst == process->inst ? c.entity->owner : 0)) broken(sim, &c, "a wrong owner");
    if (item->kind == PRESENCE_JOIN)
        take_join(sim, &c);
    else if (item->kind == PRESENCE_UPDATE)
        take_update(sim, &c);
    else if (item->kind == PRESENCE_LEAVE)
        take_leave(sim, &c);
    else
        broken(sim, &c, "an unknown kind of change");
    int by = item->kind == PRESENCE_JOIN ? 1 : item->kind == PRESENCE_LEAVE ? -1 : 0;
    log->shown += (size_t)by;
    count_shown(sim, process, c.entity, by);
}

static void check_order(pr_sim *sim, const sim_process *process, const pr_diff *diff) {
    for (size_t i = 1; i < diff->size; i++) {
        const pr_diff_item *a = &diff->items[i - 1], *b = &diff->items[i];
        if (a->kind > b->kind || (a->kind == b->kind && a->inst == b->inst && a->dot >= b->dot))
            pr_sim_fail(sim, "diff order at host %d: kind %d dot %llu before kind %d dot %llu", process->host, a->kind,
                        (unsigned long long)a->dot, b->kind, (unsigned long long)b->dot);
    }
}

/* first on the first join of a key that had nothing before and has something after; last the other way round (3.10) */
static void check_edges(pr_sim *sim, sim_process *process, const pr_diff *diff) {
    uint32_t topic = sim_text(sim, diff->topic);
    for (size_t i = 0; i < diff->size; i++) {
        const pr_diff_item *item = &diff->items[i];
        const uint32_t *count = key_count(sim, &process->view, topic, sim_text(sim, item->key));
        bool first = item->kind == PRESENCE_JOIN && count[3] == 0 && count[2] > 0;
        bool last = item->kind == PRESENCE_LEAVE && count[3] > 0 && count[2] == 0;
        for (size_t j = 0; j < i && first; j++)
            first = !(diff->items[j].kind == PRESENCE_JOIN && pr_str_equal(diff->items[j].key, item->key));
        for (size_t j = i + 1; j < diff->size && last; j++)
            last = !(diff->items[j].kind == PRESENCE_LEAVE && pr_str_equal(diff->items[j].key, item->key));
        if (item->first != first || item->last != last)
            pr_sim_fail(sim, "key edge at host %d: kind %d key %.*s first %d last %d, expected %d %d", process->host,
                        item->kind, (int)item->key.size, item->key.data, item->first, item->last, first, last);
    }
}

void sim_view_diff(pr_sim *sim, sim_process *process, const pr_diff *diff) {
    sim_view *view = &process->view;
    sim_say(sim, process, "diff %llu %.*s: %zu changes", (unsigned long long)diff->seq, (int)diff->topic.size,
            diff->topic.data, diff->size);
    if (diff->seq <= view->seq)
        pr_sim_fail(sim, "seq %llu after %llu at host %d", (unsigned long long)diff->seq, (unsigned long long)view->seq,
                    process->host);
    view->seq = diff->seq;
    view->changed |= 1ull << sim_topic_index(sim, sim_text(sim, diff->topic));
    process->counts.diffs++;
    if (diff->size > process->counts.largest_diff) process->counts.largest_diff = diff->size;
    for (size_t i = 0; i < view->keys_size; i++) view->keys[i * 4 + 3] = view->keys[i * 4 + 2];
    check_order(sim, process, diff);
    for (size_t i = 0; i < diff->size && sim->failure[0] == 0; i++) take_item(sim, process, diff, &diff->items[i]);
    if (sim->failure[0] == 0) check_edges(sim, process, diff);
}

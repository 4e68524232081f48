/* Copies of logs: made fresh, shown or hidden, detached and swept away (protocol.md 3.6, 3.9.2, 4.6).
 *
 * Happy path: a member that becomes UP gets a copy; frames and sweeps bring its entries to the target.
 * A log that is replaced, left or permdown is detached at once: no frame is applied, nothing is served; sweeps take its
 * entries away, a slice per turn; its store index is free after that. Before a fresh copy is made for an instance whose
 * detached sweep still runs, that sweep is finished.
 */
#include "engine_state.h"

#define INDEXES 65536u

static int index_take(pr_engine *e, uint16_t *out) {
    for (uint32_t tries = 0; tries < INDEXES; tries++) {
        uint32_t index = e->index_next;
        e->index_next = (e->index_next + 1) % INDEXES;
        uint64_t bit = 1ull << (index % 64);
        if (e->index_used[index / 64] & bit) continue;
        e->index_used[index / 64] |= bit;
        *out = (uint16_t)index;
        return 0;
    }
    return PRESENCE_ENOMEM;
}

/* The lowest free one is taken next: the store's rows reach as far as the highest index ever used. */
void pr_copy_index_free(pr_engine *e, uint16_t index) {
    e->index_used[index / 64] &= ~(1ull << (index % 64));
    if (index < e->index_next) e->index_next = index;
}

bool pr_copy_up(const pr_copy *copy) {
    return !copy->wire || (copy->member && (pr_member_up(copy->member) || !pr_rule(PR_RULE_serve_up)));
}

static uint64_t floor_of(const pr_member *m) {
    for (size_t i = 0; i < m->floors_size && pr_rule(PR_RULE_grave_floor); i++)
        if (m->floors[i].inst == m->inst) return m->floors[i].floor;
    return 0;
}

/* The last four instances by time of replacement (3.9.1). */
static void remember_floor(pr_member *m, uint64_t floor) {
    size_t at = 0;
    while (at < m->floors_size && m->floors[at].inst != m->inst) at++;
    if (at == m->floors_size && m->floors_size == PR_FLOORS_MAX) at = 0;
    if (at < m->floors_size) {
        memmove(&m->floors[at], &m->floors[at + 1], (m->floors_size - at - 1) * sizeof *m->floors);
        m->floors_size--;
    }
    m->floors[m->floors_size++] = (pr_floor){m->inst, floor};
}

/* The instance that takes the name again: the one that it replaces must not push its floor out. */
void pr_floor_keep(pr_member *m, uint64_t inst) {
    for (size_t at = 0; at < m->floors_size; at++) {
        if (m->floors[at].inst != inst) continue;
        pr_floor kept = m->floors[at];
        memmove(&m->floors[at], &m->floors[at + 1], (m->floors_size - at - 1) * sizeof *m->floors);
        m->floors[m->floors_size - 1] = kept;
        return;
    }
}

static bool sweep_on(pr_engine *e, pr_copy *copy, size_t *budget);

static int finish_detached(pr_engine *e, uint64_t inst) {
    if (!pr_rule(PR_RULE_sweep_finished)) return 0;
    for (pr_node *n = e->sweeps.next, *next; n != &e->sweeps; n = next) {
        pr_copy *copy = n->owner;
        next = n->next;
        if (copy->inst != inst || copy->member) continue;
        size_t budget = SIZE_MAX;
        if (!sweep_on(e, copy, &budget)) return PRESENCE_ENOMEM;
    }
    return 0;
}

/* Without the rule the feeds of a detached copy go on with the fresh one of its instance. */
static void pass_feeds_on(pr_engine *e, pr_copy *to) {
    for (pr_node *n = e->sweeps.next; n != &e->sweeps; n = n->next) {
        pr_copy *from = n->owner;
        while (from != to && from->inst == to->inst && pr_node_linked(&from->feeds)) {
            pr_feed *feed = pr_node_first(&from->feeds);
            feed->copy = to;
            feed->defined = false;
            pr_node_append(&to->feeds, &feed->by_copy);
        }
    }
}

int pr_copy_new(pr_engine *e, pr_member *m) {
    int rc = pr_rule(PR_RULE_cursor_copy) ? finish_detached(e, m->inst) : 0;
    if (rc) return rc;
    pr_copy *copy = pr_new(e->alloc, sizeof *copy);
    if (!copy) return PRESENCE_ENOMEM;
    pr_node_init(&copy->sweep, copy);
    pr_node_init(&copy->feeds, NULL);
    pr_node_init(&copy->sources, NULL);
    copy->inst = m->inst;
    memcpy(copy->name, m->name, sizeof copy->name);
    rc = index_take(e, &copy->index);
    if (!rc) {
        rc = pr_store_name_log(e->store, copy->index, copy->inst, pr_cstr(copy->name));
        if (!rc)
            rc = pr_log_new(e->alloc, e->store, &e->options.replica_log, copy->index, copy->inst, false, floor_of(m),
                            &copy->log);
        if (rc) pr_copy_index_free(e, copy->index);
    }
    if (rc) {
        pr_delete(e->alloc, copy, sizeof *copy);
        return rc;
    }
    copy->wire = ++e->wire_ids;
    copy->member = m;
    copy->hide_reason = PRESENCE_REASON_MEMBER_DOWN;
    m->copy = copy;
    if (!pr_rule(PR_RULE_cursor_copy)) {
        pass_feeds_on(e, copy);
        return finish_detached(e, m->inst);
    }
    return 0;
}

void pr_copy_free(pr_engine *e, pr_copy *copy) {
    while (!pr_rule(PR_RULE_cursor_copy) && pr_node_linked(&copy->feeds)) pr_feed_free(e, pr_node_first(&copy->feeds));
    pr_node_remove(&copy->sweep);
    pr_log_free(copy->log);
    if (pr_store_log_done(e->store, copy->index)) pr_copy_index_free(e, copy->index); /* else with what lingers */
    pr_delete(e->alloc, copy, sizeof *copy);
}

/* A new target restarts the sweep. */
void pr_copy_target(pr_engine *e, pr_copy *copy, bool shown) {
    if (copy->target == shown) return;
    copy->target = shown;
    if (pr_rule(PR_RULE_sweep_restart)) copy->swept = 0;
    if (pr_log_size(copy->log) || pr_node_linked(&copy->sweep)) pr_node_append(&e->sweeps, &copy->sweep);
}

void pr_copy_detach(pr_engine *e, pr_member *m, uint8_t reason) {
    pr_copy *copy = m->copy;
    if (!copy) return;
    if (reason != PRESENCE_REASON_REPLACED || pr_rule(PR_RULE_floors_replaced))
        remember_floor(m, pr_log_state(copy->log).floor);
    while (pr_node_linked(&copy->sources))
        pr_source_free(e, pr_node_first(&copy->sources), pr_rule(PR_RULE_unsub_detach));
    while (pr_node_linked(&copy->feeds) && pr_rule(PR_RULE_cursor_copy)) {
        pr_feed *feed = pr_node_first(&copy->feeds);
        pr_nak_send(e, feed->peer, copy->inst, PR_NAK_GONE, 0);
        pr_feed_free(e, feed);
    }
    pr_request_clear(e, m);
    m->copy = NULL;
    m->returning = m->has_version = m->synced = false; /* complete: the caller tells it */
    m->attempts = 0;
    copy->member = NULL;
    copy->target = false;
    copy->hide_reason = reason;
    copy->swept = 0;
    pr_node_append(&e->sweeps, &copy->sweep);
}

/* ---- sweeps ---- */
static size_t text_of(pr_engine *e, size_t size) {
    size_t bytes = 0;
    pr_view view;
    for (size_t i = 0; i < size; i++) {
        pr_store_view(e->store, e->ids[i], &view);
        bytes += view.topic.size + view.key.size + view.meta.size;
    }
    return bytes;
}

static void sweep_entry(pr_engine *e, pr_copy *copy, pr_id id) {
    copy->swept = pr_store_dot(e->store, id);
    bool visible = pr_store_visible(e->store, id);
    bool forgotten = !copy->member && copy->hide_reason == PRESENCE_REASON_MEMBER_DOWN;
    if (copy->target && (!visible || pr_store_lingers(e->store, id))) pr_show(e, id);
    if (!copy->target && visible) (forgotten ? pr_hide_at_once : pr_hide)(e, id, copy->hide_reason);
    if (copy->member) return;
    pr_log_drop(copy->log, id);
    pr_store_remove(e->store, id);
}

/* Flips up to *budget entries from the low dot to the high; false: no memory. */
static bool sweep_on(pr_engine *e, pr_copy *copy, size_t *budget) {
    while (*budget) {
        size_t max = *budget < e->options.sweep_slice ? *budget : e->options.sweep_slice;
        if (pr_engine_room(e, (void **)&e->ids, &e->ids_room, max, sizeof *e->ids)) return false;
        size_t size = pr_log_walk(copy->log, copy->swept, e->ids, max);
        if (!size) {
            if (copy->member)
                pr_node_remove(&copy->sweep);
            else
                pr_copy_free(e, copy);
            return true;
        }
        if (pr_diff_begin(e->store, size, text_of(e, size))) return false;
        for (size_t i = 0; i < size; i++) sweep_entry(e, copy, e->ids[i]);
        pr_action_diffs(e, pr_diff_finish(e->store));
        *budget -= size;
    }
    return true;
}

bool pr_sweep_slice(pr_engine *e) {
    size_t budget = e->options.sweep_slice;
    pr_copy *copy;
    while (budget && (copy = pr_node_first(&e->sweeps)))
        if (!sweep_on(e, copy, &budget)) {
            e->memory_failed = true;
            return false;
        }
    return true;
}

/* The invariants after every event: store == fold of the diffs (P4), logs == histories (P1, P2, P3, P7, P10, P11, P15).
 *
 * A complete log is compared by size and sum with its origin's at the same version, and entry by entry now and then;
 * one that is not complete entry by entry at every change. The lists of topics are compared when a diff was about them,
 * and all of them now and then; the counts of all topics always. The rest is checked where it happens: P5, P6, P8, P17
 * with each diff (sim_view.c), P19 and wrong accusations in calm histories (sim_world.c), P9, P16 and the storms of P10
 * after the faults (sim_history.c).
 */
#include "engine_probe.h"
#include "sim_state.h"
#include <string.h>

#define LOGS_MAX   64
#define LIST_EVERY 64 /* events of a member: all topics are listed */
#define WALK_EVERY 16 /* changes of a complete log: every entry is compared, not the sum alone */

/* ---- P4: what the store lists and counts is what the diffs said ---- */
typedef struct row_log { /* of the row before: mostly the next one is of the same log */
    uint64_t inst;
    const sim_history *history;
    const sim_seen_log *seen;
} row_log;

static void find_log(pr_sim *sim, sim_process *process, uint64_t inst, row_log *found) {
    size_t index = 0;
    if (found->history != NULL && found->inst == inst) return;
    found->inst = inst;
    found->history = sim_history_of(sim, inst, &index);
    if (found->history != NULL) found->seen = sim_view_log(sim, &process->view, index, found->history->entities_size);
}

static void check_row(pr_sim *sim, sim_process *process, row_log *log, const pr_row *row, uint32_t topic) {
    find_log(sim, process, row->inst, log);
    const sim_history *history = log->history;
    const sim_entity *entity = history != NULL ? sim_entity_of(history, row->eid) : NULL;
    if (entity == NULL) {
        pr_sim_fail(sim, "P4 host %d lists an entity that never was: inst %016llx eid %llu", process->host,
                    (unsigned long long)row->inst, (unsigned long long)row->eid);
        return;
    }
    const sim_seen *seen = &log->seen->items[entity - history->entities];
    const sim_value *value = sim_value_of(entity, row->dot);
    if (seen->dot != row->dot || seen->prev_dot != row->prev_dot || entity->topic != topic || value == NULL)
        pr_sim_fail(sim, "P4 host %d lists %s eid %llu dot %llu prev %llu, the diffs said dot %llu prev %llu",
                    process->host, history->name, (unsigned long long)row->eid, (unsigned long long)row->dot,
                    (unsigned long long)row->prev_dot, (unsigned long long)seen->dot,
                    (unsigned long long)seen->prev_dot);
    else if (!pr_str_equal(row->key, sim_text_str(sim, entity->key)) ||
             !pr_str_equal(row->meta, sim_text_str(sim, value->meta)) ||
             !pr_str_equal(row->member, pr_str(history->name, history->name_size)) ||
             row->owner != (row->inst == process->inst ? entity->owner : 0))
        pr_sim_fail(sim, "P4 host %d lists %s eid %llu with another key, meta, member or owner", process->host,
                    history->name, (unsigned long long)row->eid);
}

/* Rows of one key are adjacent, as many runs as keys, and ordered by (inst, eid). */
static void check_row_order(pr_sim *sim, const sim_process *process, const pr_rows *rows, size_t keys) {
    size_t runs = rows->size > 0;
    for (size_t i = 1; i < rows->size; i++) {
        const pr_row *a = &rows->rows[i - 1], *b = &rows->rows[i];
        if (!pr_str_equal(a->key, b->key))
            runs++;
        else if (a->inst > b->inst || (a->inst == b->inst && a->eid >= b->eid))
            pr_sim_fail(sim, "list order at host %d", process->host);
    }
    if (runs != keys) pr_sim_fail(sim, "rows of one key are not adjacent at host %d", process->host);
}

static void check_counts(pr_sim *sim, const sim_process *process) {
    const pr_store *store = pr_engine_store(process->engine);
    const sim_view *view = &process->view;
    for (size_t t = 0; t < sim->oracle.topics_size; t++) {
        size_t keys = 0, metas = 0;
        pr_store_count(store, sim_text_str(sim, sim->oracle.topics[t]), &keys, &metas);
        if (keys != view->topic_keys[t] || metas != view->topic_entries[t])
            pr_sim_fail(sim, "P4 host %d counts %zu keys %zu metas of %s, the diffs say %zu and %zu", process->host,
                        keys, metas, sim_text_of(sim, sim->oracle.topics[t]), view->topic_keys[t],
                        view->topic_entries[t]);
    }
}

static void check_list(pr_sim *sim, sim_process *process, size_t t) {
    pr_rows *rows = NULL;
    row_log log = {.history = NULL};
    if (pr_store_list(pr_engine_store(process->engine), sim_text_str(sim, sim->oracle.topics[t]), &rows) != 0) {
        pr_sim_fail(sim, "pr_store_list fails at host %d", process->host);
        return;
    }
    for (size_t i = 0; i < rows->size && sim->failure[0] == 0; i++)
        check_row(sim, process, &log, &rows->rows[i], sim->oracle.topics[t]);
    check_row_order(sim, process, rows, process->view.topic_keys[t]);
    if (rows->size != process->view.topic_entries[t])
        pr_sim_fail(sim, "P4 host %d lists %zu entries of topic %zu, its diffs show %zu", process->host, rows->size, t,
                    process->view.topic_entries[t]);
    pr_rows_free(rows);
}

/* Topics that diffs were about; all of them now and then, where nothing was said to have changed. */
static void check_lists(pr_sim *sim, sim_process *process, bool all) {
    for (size_t t = 0; t < sim->oracle.topics_size && sim->failure[0] == 0; t++)
        if (all || (process->view.changed >> t & 1) != 0) check_list(sim, process, t);
    process->view.changed = 0;
}

/* ---- P1, P2, P3: what a log holds is a prefix, or covers what its state says ---- */
static int held_ok(const sim_entity *entity, const pr_view *view, const pr_state *state, uint64_t asof, bool complete) {
    const sim_value *value = sim_value_of(entity, view->dot);
    if (value == NULL) return 1;
    if (!complete && view->dot > state->have) return 2;
    if (state->live) return 0;
    if (sim_alive_at(entity, asof) == 0) return 3;
    const sim_value *then = sim_value_at(entity, asof);
    if (then == NULL || ((complete || then->dot <= state->have) && then->dot != view->dot)) return 4;
    return 0;
}

static void check_held(pr_sim *sim, const sim_process *process, const sim_history *history, const pr_log *log,
                       uint8_t *held) {
    const pr_store *store = pr_engine_store(process->engine);
    pr_state state = pr_log_state(log);
    bool complete = pr_log_complete(log);
    pr_id ids[64];
    uint64_t after = 0;
    for (size_t n; (n = pr_log_walk(log, after, ids, 64)) > 0;)
        for (size_t i = 0; i < n; i++) {
            pr_view view;
            pr_store_view(store, ids[i], &view);
            sim_entity *entity = sim_entity_of(history, view.eid);
            int why = entity == NULL ? 1 : held_ok(entity, &view, &state, state.asof, complete);
            if (why != 0) {
                pr_sim_fail(
                    sim, "%s host %d holds %s eid %llu dot %llu wrongly (%d), have %llu asof %llu floor %llu live %d",
                    complete ? "P1" : "P2", process->host, history->name, (unsigned long long)view.eid,
                    (unsigned long long)view.dot, why, (unsigned long long)state.have, (unsigned long long)state.asof,
                    (unsigned long long)state.floor, state.live);
                return;
            }
            if (!pr_str_equal(view.topic, sim_text_str(sim, entity->topic)) ||
                !pr_str_equal(view.key, sim_text_str(sim, entity->key)) ||
                !pr_str_equal(view.meta, sim_text_str(sim, sim_value_of(entity, view.dot)->meta)))
                pr_sim_fail(sim, "P1 host %d holds other text of %s eid %llu", process->host, history->name,
                            (unsigned long long)view.eid);
            held[entity - history->entities] = 1;
            after = view.dot;
        }
}

static void check_missing(pr_sim *sim, const sim_process *process, const sim_history *history, const pr_log *log,
                          const uint8_t *held) {
    pr_state state = pr_log_state(log);
    uint64_t asof = state.live ? state.floor : state.asof;
    for (size_t i = 0; i < history->entities_size; i++) {
        const sim_entity *entity = &history->entities[i];
        if (held[i] || entity->eid > asof || (entity->dead_first != 0 && entity->dead_last <= asof)) continue;
        const sim_value *value = sim_value_at(entity, asof);
        if (value == NULL || value->dot > state.have || sim_alive_at(entity, asof) != 1 ||
            sim_alive_at(entity, state.floor) != 1)
            continue;
        pr_sim_fail(sim, "P%d host %d lost the living %s eid %llu, have %llu asof %llu floor %llu live %d",
                    state.live ? 3 : 2, process->host, history->name, (unsigned long long)entity->eid,
                    (unsigned long long)state.have, (unsigned long long)state.asof, (unsigned long long)state.floor,
                    state.live);
        return;
    }
}

/* P1 and P11: as many entries as History(asof) has, and their sum. true: it could be told. */
static bool check_sum(pr_sim *sim, const sim_process *process, const sim_history *history, const pr_log *log) {
    pr_state state = pr_log_state(log);
    if (!pr_log_complete(log) || state.asof > history->version) return false;
    const sim_version *version = &history->versions[state.asof];
    if (pr_log_size(log) != version->live)
        pr_sim_fail(sim, "P1 host %d holds %zu entries of %s at %llu, History has %u", process->host, pr_log_size(log),
                    history->name, (unsigned long long)state.asof, version->live);
    else if (version->fixed && pr_log_sum(log) != version->sum)
        pr_sim_fail(sim, "P11 host %d: sum of %s at %llu differs from its origin's", process->host, history->name,
                    (unsigned long long)state.asof);
    return version->fixed;
}

static void check_content(pr_sim *sim, const sim_process *process, const sim_history *history, const pr_log *log) {
    uint8_t *held = sim_resize(sim, NULL, 0, history->entities_size + 1);
    pr_state state = pr_log_state(log);
    if (!state.live && (state.have > state.asof || state.asof > history->version))
        pr_sim_fail(sim, "P2 host %d: have %llu asof %llu of %s at %llu", process->host, (unsigned long long)state.have,
                    (unsigned long long)state.asof, history->name, (unsigned long long)history->version);
    else {
        check_held(sim, process, history, log, held);
        if (sim->failure[0] == 0) check_missing(sim, process, history, log, held);
        if (sim->failure[0] == 0) check_sum(sim, process, history, log);
    }
    pr_delete(&sim->alloc, held, history->entities_size + 1);
}

/* ---- P15: a log that returns shows nobody who was gone at the first version heard ---- */
static void check_reveal(pr_sim *sim, const sim_process *process, const pr_engine_log_probe *probe,
                         const sim_history *history) {
    pr_state state = pr_log_state(probe->log);
    if (state.live || state.asof < probe->awaited)
        pr_sim_fail(sim, "P15 host %d shows %s again at %llu (live %d), before %llu", process->host, history->name,
                    (unsigned long long)state.asof, state.live, (unsigned long long)probe->awaited);
}

static bool same_state(const pr_state *a, const pr_state *b) {
    return a->have == b->have && a->asof == b->asof && a->floor == b->floor && a->live == b->live &&
           a->live_from == b->live_from && a->live_pos == b->live_pos;
}

static void check_log(pr_sim *sim, sim_process *process, const pr_engine_log_probe *probe) {
    size_t index = 0;
    const sim_history *history = sim_history_of(sim, probe->inst, &index);
    if (history == NULL) {
        if (!sim->hostile)
            pr_sim_fail(sim, "host %d holds a log of nobody: %016llx", process->host, (unsigned long long)probe->inst);
        return;
    }
    sim_seen_log *seen = sim_view_log(sim, &process->view, index, history->entities_size);
    size_t size = probe->log != NULL ? pr_log_size(probe->log) : 0;
    if (!probe->sweeping && seen->shown != (probe->shown ? size : 0))
        pr_sim_fail(sim, "P4 host %d shows %zu of the %zu entries of %s, target %d and no sweep pending", process->host,
                    seen->shown, size, history->name, probe->shown);
    if (probe->detached || probe->log == NULL) return;
    if (probe->grave)
        pr_sim_fail(sim, "P10 host %d holds %zu entries of %s, which is permdown or left", process->host, size,
                    history->name);
    pr_time time = sim_time(sim, process);
    if (probe->up && pr_engine_deadline(process->engine) > time.mono_ms) seen->up_at = time.boot_ms;
    pr_state state = pr_log_state(probe->log);
    if (state.floor < seen->floor)
        pr_sim_fail(sim, "P7 floor of %s at host %d fell from %llu to %llu", history->name, process->host,
                    (unsigned long long)seen->floor, (unsigned long long)state.floor);
    seen->floor = state.floor;
    if (!same_state(&state, &seen->checked) || size != seen->checked_size) {
        bool walk = seen->checks++ % WALK_EVERY == 0;
        if (walk || !check_sum(sim, process, history, probe->log)) check_content(sim, process, history, probe->log);
    }
    seen->checked = state;
    seen->checked_size = size;
    if (probe->shown && !seen->was_shown && seen->was_hidden_full && size > 0 && seen->turn + 1 == process->turns &&
        sim->failure[0] == 0)
        check_reveal(sim, process, probe, history);
    seen->turn = process->turns;
    seen->was_shown = probe->shown;
    seen->was_hidden_full = !probe->shown && size > 0;
}

/* One's own entries are shown exactly as the local calls left them. */
static void check_own(pr_sim *sim, sim_process *process) {
    size_t index = 0;
    const sim_history *history = sim_history_of(sim, process->inst, &index);
    if (process->view.own_version == history->version) return;
    process->view.own_version = history->version;
    const sim_seen_log *seen = sim_view_log(sim, &process->view, index, history->entities_size);
    for (size_t i = 0; i < history->entities_size; i++) {
        const sim_entity *entity = &history->entities[i];
        uint64_t dot = entity->dead_first == 0 ? entity->values[entity->values_size - 1].dot : 0;
        if (seen->items[i].dot != dot)
            pr_sim_fail(sim, "host %d shows its own eid %llu at dot %llu instead of %llu", process->host,
                        (unsigned long long)entity->eid, (unsigned long long)seen->items[i].dot,
                        (unsigned long long)dot);
    }
}

#define PERMDOWN_LONG 60000u /* ms: longer than packets are late */

static bool only_one_of_its_name(const pr_sim *sim, const sim_history *history) {
    size_t same = 0;
    for (size_t i = 0; i < sim->oracle.size; i++) same += strcmp(sim->oracle.histories[i]->name, history->name) == 0;
    return same == 1;
}

static bool is_observer(const pr_sim *sim, uint64_t inst) {
    for (size_t i = 0; i < sim->processes_size; i++)
        if (sim->processes[i]->inst == inst) return sim->processes[i]->observer;
    return false;
}

/* Who was up has advanced within the permdown time before, and is remembered for twice that time since (3.9.3).
 * Not looked at: short permdown times where packets may be as late as that, and carry an older age than what was heard;
 * names that several instances had (one that replaced it may be older); who stood still or had no memory. */
static void check_grave(pr_sim *sim, const sim_process *process, const sim_history *history, const sim_seen_log *seen) {
    pr_time time = sim_time(sim, process);
    if (sim->hostile || process->starved || process->waited || seen->up_at == 0) return;
    if (!sim->calm && process->permdown_ms < PERMDOWN_LONG) return;
    if (time.boot_ms - seen->up_at + 500 >= process->permdown_ms || !only_one_of_its_name(sim, history)) return;
    if (is_observer(sim, history->inst)) return;
    pr_sim_fail(sim, "P7 host %d has no grave of %s, which was up %llu ms ago", process->host, history->name,
                (unsigned long long)(time.boot_ms - seen->up_at));
}

/* Dropped, and forgotten with its grave: nothing is remembered of the floor (3.9.3), nor of what was seen to leave; a
 * relay that slept longer than the grave lived brings it back for a moment (P6 and P7 hold per lifetime of a grave). */
static void forget_floors(pr_sim *sim, sim_process *process) {
    for (size_t i = 0; i < process->view.size; i++) {
        sim_seen_log *seen = &process->view.logs[i];
        if (seen->floor == 0 || seen->turn == process->turns ||
            pr_engine_probe_remembers(process->engine, sim->oracle.histories[i]->inst))
            continue;
        check_grave(sim, process, sim->oracle.histories[i], seen);
        seen->floor = 0;
        for (size_t k = 0; k < seen->size; k++) seen->items[k].removed = false;
    }
}

/* Nothing is held but the entries of the logs. */
static void check_store(pr_sim *sim, const sim_process *process, const pr_engine_log_probe *probes, size_t size) {
    const pr_store *store = pr_engine_store(process->engine);
    size_t held = 0;
    for (size_t i = 0; i < size; i++)
        if (probes[i].log != NULL) held += pr_log_size(probes[i].log);
    if (held != pr_store_size(store))
        pr_sim_fail(sim, "host %d holds %zu entries in logs, %zu in its store", process->host, held,
                    pr_store_size(store));
}

void sim_check(pr_sim *sim, sim_process *process) {
    pr_engine_log_probe probes[LOGS_MAX];
    process->turns++;
    check_counts(sim, process);
    if (sim->failure[0] != 0) return;
    size_t logs = pr_engine_probe_logs(process->engine, probes, LOGS_MAX);
    if (logs > LOGS_MAX) {
        pr_sim_fail(sim, "more logs than the checks look at");
        return;
    }
    bool all = process->turns % LIST_EVERY == 0;
    if (process->view.changed != 0 || all) check_lists(sim, process, all);
    check_own(sim, process);
    for (size_t i = 0; i < logs && sim->failure[0] == 0; i++) check_log(sim, process, &probes[i]);
    check_store(sim, process, probes, logs);
    forget_floors(sim, process);
}

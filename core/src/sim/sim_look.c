/* Questions of a test: what a member shows, whether all agree, what one says of another. */
#include "sim_state.h"
#include <string.h>

static size_t count_shown(pr_sim *sim, int host, const char *topic, const char *key, const char **meta) {
    sim_process *process = sim_running(sim, host);
    if (process == NULL) return 0;
    uint32_t topic_id = topic != NULL ? sim_text(sim, pr_cstr(topic)) : 0;
    uint32_t key_id = key != NULL ? sim_text(sim, pr_cstr(key)) : 0;
    size_t shown = 0;
    for (size_t i = 0; i < process->view.size; i++) {
        const sim_seen_log *log = &process->view.logs[i];
        const sim_history *history = sim->oracle.histories[i];
        for (size_t e = 0; e < log->size; e++) {
            if (log->items[e].dot == 0 || (topic_id != 0 && history->entities[e].topic != topic_id) ||
                (key_id != 0 && history->entities[e].key != key_id))
                continue;
            shown++;
            if (meta != NULL) *meta = sim_text_of(sim, sim_value_of(&history->entities[e], log->items[e].dot)->meta);
        }
    }
    return shown;
}

size_t pr_sim_shown(pr_sim *sim, int host, const char *topic) { return count_shown(sim, host, topic, NULL, NULL); }

bool pr_sim_shows(pr_sim *sim, int host, const char *topic, const char *key) {
    return count_shown(sim, host, topic, key, NULL) > 0;
}

const char *pr_sim_meta(pr_sim *sim, int host, const char *topic, const char *key) {
    const char *meta = NULL;
    count_shown(sim, host, topic, key, &meta);
    return meta;
}

size_t pr_sim_shown_of(pr_sim *sim, int host, int origin) {
    sim_process *process = sim_running(sim, host);
    size_t index = 0, shown = 0;
    if (process == NULL || sim_history_of(sim, pr_sim_inst(sim, origin), &index) == NULL || index >= process->view.size)
        return 0;
    for (size_t e = 0; e < process->view.logs[index].size; e++) shown += process->view.logs[index].items[e].dot != 0;
    return shown;
}

/* Dead histories must not be shown, living ones exactly as their origin holds them. */
static bool agrees(const pr_sim *sim, const sim_process *process) {
    for (size_t i = 0; i < sim->oracle.size; i++) {
        const sim_history *history = sim->oracle.histories[i];
        const sim_seen_log *log = i < process->view.size ? &process->view.logs[i] : NULL;
        for (size_t e = 0; e < history->entities_size; e++) {
            const sim_entity *entity = &history->entities[e];
            uint64_t want =
                history->running && entity->dead_first == 0 ? entity->values[entity->values_size - 1].dot : 0;
            uint64_t have = log != NULL && e < log->size ? log->items[e].dot : 0;
            if (want != have) return false;
        }
    }
    return true;
}

bool pr_sim_agreed(pr_sim *sim) {
    for (int host = 0; host < PR_SIM_HOSTS; host++) {
        const sim_process *process = sim_running(sim, host);
        if (process != NULL && !agrees(sim, process)) return false;
    }
    return true;
}

int pr_sim_status(pr_sim *sim, int host, const char *name, pr_member_info *out) {
    pr_engine *engine = pr_sim_engine(sim, host);
    if (engine == NULL) return 0;
    size_t size = pr_engine_members(engine, NULL, 0);
    pr_member_info *members = sim_resize(sim, NULL, 0, (size + 1) * sizeof *members);
    pr_engine_members(engine, members, size);
    int status = 0;
    for (size_t i = 0; i < size; i++)
        if (strcmp(members[i].name, name) == 0 && !(members[i].is_self && status != 0)) {
            status = members[i].status;
            if (out != NULL) *out = members[i];
        }
    pr_delete(&sim->alloc, members, (size + 1) * sizeof *members);
    return status;
}

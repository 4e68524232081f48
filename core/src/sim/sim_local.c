/* Local calls: each is made on the engine and, with the answer the oracle expects, in the history of its log. */
#include "engine_probe.h"
#include "sim_state.h"
#include <string.h>

static bool short_of_memory(const sim_process *process, int failed) {
    return process->starve != 0 && failed == PRESENCE_ENOMEM;
}

presence_owner pr_sim_owner(pr_sim *sim, int host, uint32_t lease_ms) {
    sim_process *process = sim_running(sim, host);
    presence_owner owner = 0;
    int failed = pr_engine_owner_open(process->engine, lease_ms, sim_time(sim, process), &owner);
    if ((failed != 0 || owner == 0) && !short_of_memory(process, failed))
        pr_sim_fail(sim, "owner_open gives %d", failed);
    if (failed != 0) {
        sim_after(sim, process);
        return 0;
    }
    size_t size = process->owners_size;
    process->owners = sim_resize(sim, process->owners, size * sizeof owner, (size + 1) * sizeof owner);
    process->owners[size] = owner;
    process->owners_size = size + 1;
    sim_after(sim, process);
    return owner;
}

static void check_ref(pr_sim *sim, const sim_process *process, const presence_ref *ref, uint64_t dot) {
    uint64_t inst = 0, held = 0;
    if (!pr_ref_parse(pr_cstr(ref->text), &inst, &held) || inst != process->inst || held != dot)
        pr_sim_fail(sim, "host %d: ref %s is not (inst, %llu)", process->host, ref->text, (unsigned long long)dot);
}

int pr_sim_track_many(pr_sim *sim, int host, presence_owner owner, const presence_item *items, size_t count) {
    sim_process *process = sim_running(sim, host);
    sim_history *history = sim_history_of(sim, process->inst, NULL);
    presence_ref *refs = sim_resize(sim, NULL, 0, count * sizeof *refs + 1);
    size_t failed_index = 0;
    const char *why = NULL;
    int failed =
        pr_engine_track_many(process->engine, owner, items, count, sim_time(sim, process), refs, &failed_index, &why);
    for (size_t i = 0; i < count && failed == 0; i++) {
        presence_str meta = items[i].meta.size == 0 ? pr_cstr("{}") : items[i].meta;
        sim_oracle_track(sim, history, owner, items[i].topic, items[i].key, meta);
        check_ref(sim, process, &refs[i], history->version);
    }
    if (short_of_memory(process, failed)) { /* what was made was taken back, its versions are spent */
        pr_engine_log_probe own;
        pr_engine_probe_logs(process->engine, &own, 1);
        sim_oracle_skip(sim, history, pr_log_version(own.log));
    }
    pr_delete(&sim->alloc, refs, count * sizeof *refs + 1);
    sim_after(sim, process);
    return failed;
}

int pr_sim_track(pr_sim *sim, int host, presence_owner owner, const char *topic, const char *key, const char *meta) {
    sim_process *process = sim_running(sim, host);
    sim_history *history = sim_history_of(sim, process->inst, NULL);
    bool held = sim_oracle_owned(history, owner, sim_text(sim, pr_cstr(topic)), sim_text(sim, pr_cstr(key))) != NULL;
    presence_item item = {pr_cstr(topic), pr_cstr(key), pr_cstr(meta)};
    sim_say(sim, process, "track %s %s %s", topic, key, meta);
    int failed = pr_sim_track_many(sim, host, owner, &item, 1);
    if (held != (failed == PRESENCE_ETRACKED) && !short_of_memory(sim_running(sim, host), failed))
        pr_sim_fail(sim, "host %d: track gives %d, held %d", host, failed, held);
    return failed;
}

int pr_sim_update(pr_sim *sim, int host, presence_owner owner, const char *topic, const char *key, const char *meta) {
    sim_process *process = sim_running(sim, host);
    sim_history *history = sim_history_of(sim, process->inst, NULL);
    sim_entity *entity = sim_oracle_owned(history, owner, sim_text(sim, pr_cstr(topic)), sim_text(sim, pr_cstr(key)));
    presence_ref ref;
    const char *why = NULL;
    sim_say(sim, process, "update %s %s %s", topic, key, meta);
    int failed = pr_engine_update(process->engine, owner, pr_cstr(topic), pr_cstr(key), NULL, pr_cstr(meta),
                                  sim_time(sim, process), &ref, &why);
    if ((entity != NULL) != (failed == 0) && !short_of_memory(process, failed))
        pr_sim_fail(sim, "host %d: update gives %d, held %d", host, failed, entity != NULL);
    if (failed == 0 && entity != NULL) {
        sim_oracle_update(sim, history, entity, pr_cstr(meta));
        check_ref(sim, process, &ref, entity->values[entity->values_size - 1].dot);
    }
    sim_after(sim, process);
    return failed;
}

int pr_sim_untrack(pr_sim *sim, int host, presence_owner owner, const char *topic, const char *key) {
    sim_process *process = sim_running(sim, host);
    sim_history *history = sim_history_of(sim, process->inst, NULL);
    sim_entity *entity = sim_oracle_owned(history, owner, sim_text(sim, pr_cstr(topic)), sim_text(sim, pr_cstr(key)));
    size_t removed = 0;
    sim_say(sim, process, "untrack %s %s", topic, key);
    int failed =
        pr_engine_untrack(process->engine, owner, pr_cstr(topic), pr_cstr(key), sim_time(sim, process), &removed);
    if (failed == 0 && removed != (entity != NULL))
        pr_sim_fail(sim, "host %d: untrack removed %zu, held %d", host, removed, entity != NULL);
    if (entity != NULL && failed == 0) sim_oracle_remove(sim, history, owner, entity, PR_REMOVED_UNTRACK);
    sim_after(sim, process);
    return failed;
}

int pr_sim_untrack_owner(pr_sim *sim, int host, presence_owner owner) {
    sim_process *process = sim_running(sim, host);
    size_t removed = 0;
    sim_say(sim, process, "untrack owner %llu", (unsigned long long)owner);
    int failed = pr_engine_untrack_owner(process->engine, owner, sim_time(sim, process), &removed);
    size_t expected =
        failed != 0 ? removed
                    : sim_oracle_remove(sim, sim_history_of(sim, process->inst, NULL), owner, NULL, PR_REMOVED_UNTRACK);
    if (removed != expected)
        pr_sim_fail(sim, "host %d: untrack_owner removed %zu instead of %zu", host, removed, expected);
    sim_after(sim, process);
    return failed;
}

int pr_sim_owner_close(pr_sim *sim, int host, presence_owner owner) {
    sim_process *process = sim_running(sim, host);
    sim_say(sim, process, "close owner %llu", (unsigned long long)owner);
    int failed = pr_engine_owner_close(process->engine, owner, sim_time(sim, process));
    if (failed == 0)
        sim_oracle_remove(sim, sim_history_of(sim, process->inst, NULL), owner, NULL, PR_REMOVED_OWNER_CLOSED);
    for (size_t i = 0; i < process->owners_size && failed == 0; i++)
        if (process->owners[i] == owner) process->owners[i] = process->owners[--process->owners_size];
    sim_after(sim, process);
    return failed;
}

/* ---- random ones ---- */
static void random_meta(pr_sim *sim, char *meta, size_t room) {
    uint64_t number = pr_sim_random(sim, 1000);
    if (pr_sim_random(sim, 12) == 0)
        snprintf(meta, room, "{\"n\":%llu,\"pad\":\"%0300d\"}", (unsigned long long)number, 0);
    else if (pr_sim_random(sim, 12) == 0)
        snprintf(meta, room, "{}");
    else
        snprintf(meta, room, "{\"n\":%llu}", (unsigned long long)number);
}

static void random_many(pr_sim *sim, int host, presence_owner owner) {
    presence_item items[4];
    char keys[4][24];
    for (size_t i = 0; i < 4; i++) {
        snprintf(keys[i], sizeof keys[i], "many%zu", i);
        items[i] = (presence_item){pr_cstr("t0"), pr_cstr(keys[i]), pr_cstr("{\"m\":1}")};
    }
    sim_say(sim, sim_running(sim, host), "track_many");
    pr_sim_track_many(sim, host, owner, items, 1 + pr_sim_random(sim, 4));
}

/* A lease may have ended an owner, which then only gives EOWNERCLOSED. */
static presence_owner random_owner(pr_sim *sim, int host) {
    sim_process *process = sim_running(sim, host);
    while (process->owners_size > 0) {
        size_t i = pr_sim_random(sim, process->owners_size);
        presence_owner owner = process->owners[i];
        if (pr_engine_owner_touch(process->engine, owner, sim_time(sim, process)) == 0) {
            sim_after(sim, process);
            if (process->owners_size < 3 && pr_sim_random(sim, 4) == 0) break;
            return owner;
        }
        process->owners[i] = process->owners[--process->owners_size];
        sim_after(sim, process);
    }
    return pr_sim_owner(sim, host, pr_sim_random(sim, 6) == 0 ? (uint32_t)(50 + pr_sim_random(sim, 3000)) : 0);
}

void pr_sim_random_operation(pr_sim *sim, int host) {
    if (sim_running(sim, host) == NULL || sim_running(sim, host)->paused || sim_running(sim, host)->leaving) return;
    presence_owner owner = random_owner(sim, host);
    char topic[8], key[8], meta[400];
    snprintf(topic, sizeof topic, "t%d", (int)pr_sim_random(sim, 3));
    snprintf(key, sizeof key, "k%d", (int)pr_sim_random(sim, 4));
    random_meta(sim, meta, sizeof meta);
    uint64_t dice = pr_sim_random(sim, 100);
    if (dice < 42) {
        sim_history *history = sim_history_of(sim, sim_running(sim, host)->inst, NULL);
        if (sim_oracle_owned(history, owner, sim_text(sim, pr_cstr(topic)), sim_text(sim, pr_cstr(key))) != NULL)
            pr_sim_update(sim, host, owner, topic, key, meta);
        else
            pr_sim_track(sim, host, owner, topic, key, meta);
    } else if (dice < 50) {
        pr_sim_track(sim, host, owner, topic, key, meta);
    } else if (dice < 66) {
        pr_sim_update(sim, host, owner, topic, key, meta);
    } else if (dice < 90) {
        pr_sim_untrack(sim, host, owner, topic, key);
    } else if (dice < 94) {
        random_many(sim, host, owner);
    } else if (dice < 96) {
        pr_sim_untrack_owner(sim, host, owner);
    } else if (dice < 99) {
        pr_sim_owner_close(sim, host, owner);
    } else {
        pr_sim_owner(sim, host, 0);
    }
}

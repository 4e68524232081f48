/* The truth: every log's history, written by the local calls alone. */
#include "hash.h"
#include "sim_state.h"
#include <string.h>

/* ---- texts ---- */
static void text_table_grow(pr_sim *sim) {
    sim_oracle *oracle = &sim->oracle;
    size_t room = oracle->text_table_room == 0 ? 256 : oracle->text_table_room * 2;
    uint32_t *table = sim_resize(sim, NULL, 0, room * sizeof *table);
    for (size_t i = 0; i < oracle->texts_size; i++) {
        size_t slot = pr_hash(oracle->texts[i].data, oracle->texts[i].size, 0) & (room - 1);
        while (table[slot] != 0) slot = (slot + 1) & (room - 1);
        table[slot] = (uint32_t)i + 1;
    }
    pr_delete(&sim->alloc, oracle->text_table, oracle->text_table_room * sizeof *table);
    oracle->text_table = table;
    oracle->text_table_room = room;
}

uint32_t sim_text(pr_sim *sim, presence_str text) {
    sim_oracle *oracle = &sim->oracle;
    if ((oracle->texts_size + 1) * 2 > oracle->text_table_room) text_table_grow(sim);
    size_t mask = oracle->text_table_room - 1;
    size_t slot = pr_hash(text.data, text.size, 0) & mask;
    for (; oracle->text_table[slot] != 0; slot = (slot + 1) & mask) {
        if (pr_str_equal(oracle->texts[oracle->text_table[slot] - 1], text)) return oracle->text_table[slot];
    }
    if (oracle->texts_size == oracle->texts_room) {
        size_t room = oracle->texts_room * 2 + 64;
        oracle->texts =
            sim_resize(sim, oracle->texts, oracle->texts_room * sizeof(presence_str), room * sizeof(presence_str));
        oracle->texts_room = room;
    }
    char *copy = sim_resize(sim, NULL, 0, text.size + 1);
    if (text.size > 0) memcpy(copy, text.data, text.size);
    oracle->texts[oracle->texts_size++] = (presence_str){copy, text.size};
    oracle->text_table[slot] = (uint32_t)oracle->texts_size;
    return (uint32_t)oracle->texts_size;
}

const char *sim_text_of(const pr_sim *sim, uint32_t id) { return sim->oracle.texts[id - 1].data; }

presence_str sim_text_str(const pr_sim *sim, uint32_t id) { return sim->oracle.texts[id - 1]; }

size_t sim_topic_index(const pr_sim *sim, uint32_t id) {
    size_t index = 0;
    while (index + 1 < sim->oracle.topics_size && sim->oracle.topics[index] != id) index++;
    return index;
}

/* ---- histories ---- */
void sim_oracle_start(pr_sim *sim, uint64_t inst, const char *name) {
    sim_oracle *oracle = &sim->oracle;
    size_t size = oracle->size;
    oracle->histories =
        sim_resize(sim, oracle->histories, size * sizeof(sim_history *), (size + 1) * sizeof(sim_history *));
    sim_history *history = sim_resize(sim, NULL, 0, sizeof *history);
    history->inst = inst;
    history->running = true;
    strncpy(history->name, name, sizeof history->name - 1);
    history->name_size = strlen(history->name);
    history->versions_room = 64;
    history->versions = sim_resize(sim, NULL, 0, history->versions_room * sizeof *history->versions);
    history->versions[0].fixed = true;
    oracle->histories[size] = history;
    oracle->size = size + 1;
    size_t slot = inst % SIM_LOGS;
    while (oracle->by_inst[slot] != 0) slot = (slot + 1) % SIM_LOGS;
    oracle->by_inst[slot] = (uint16_t)oracle->size;
    if (oracle->size > SIM_LOGS / 2) pr_sim_fail(sim, "more logs than the oracle holds");
}

void sim_oracle_end(pr_sim *sim, uint64_t inst) {
    sim_history *history = sim_history_of(sim, inst, NULL);
    if (history != NULL) history->running = false;
}

void sim_oracle_free(pr_sim *sim) {
    sim_oracle *oracle = &sim->oracle;
    for (size_t i = 0; i < oracle->size; i++) {
        sim_history *history = oracle->histories[i];
        for (size_t e = 0; e < history->entities_size; e++)
            pr_delete(&sim->alloc, history->entities[e].values, history->entities[e].values_size * sizeof(sim_value));
        pr_delete(&sim->alloc, history->entities, history->entities_room * sizeof(sim_entity));
        pr_delete(&sim->alloc, history->versions, history->versions_room * sizeof *history->versions);
        pr_delete(&sim->alloc, history, sizeof *history);
    }
    pr_delete(&sim->alloc, oracle->histories, oracle->size * sizeof(sim_history *));
    for (size_t i = 0; i < oracle->texts_size; i++)
        pr_delete(&sim->alloc, (void *)oracle->texts[i].data, oracle->texts[i].size + 1);
    pr_delete(&sim->alloc, oracle->texts, oracle->texts_room * sizeof(presence_str));
    pr_delete(&sim->alloc, oracle->text_table, oracle->text_table_room * sizeof *oracle->text_table);
}

sim_history *sim_history_of(const pr_sim *sim, uint64_t inst, size_t *index) {
    const sim_oracle *oracle = &sim->oracle;
    for (size_t slot = inst % SIM_LOGS; oracle->by_inst[slot] != 0; slot = (slot + 1) % SIM_LOGS) {
        size_t i = oracle->by_inst[slot] - 1u;
        if (oracle->histories[i]->inst != inst) continue;
        if (index != NULL) *index = i;
        return oracle->histories[i];
    }
    return NULL;
}

sim_entity *sim_entity_of(const sim_history *history, uint64_t eid) {
    uint32_t entity = eid <= history->version ? history->versions[eid].entity : 0;
    return entity != 0 ? &history->entities[entity - 1] : NULL;
}

int sim_alive_at(const sim_entity *entity, uint64_t version) {
    if (entity->eid > version) return 0;
    if (entity->dead_first == 0 || version < entity->dead_first) return 1;
    return version >= entity->dead_last ? 0 : -1;
}

const sim_value *sim_value_at(const sim_entity *entity, uint64_t version) {
    for (size_t i = entity->values_size; i > 0; i--)
        if (entity->values[i - 1].dot <= version) return &entity->values[i - 1];
    return NULL;
}

const sim_value *sim_value_of(const sim_entity *entity, uint64_t dot) {
    for (size_t i = entity->values_size; i > 0; i--)
        if (entity->values[i - 1].dot == dot) return &entity->values[i - 1];
    return NULL;
}

/* ---- what the local calls did ---- */
/* change of the sum; fixed false: the version lies in the middle of removals whose order is not fixed */
static void next_version(pr_sim *sim, sim_history *history, int change, uint64_t sum, bool fixed) {
    sim_version last = history->versions[history->version];
    history->version++;
    if (history->version == history->versions_room) {
        history->versions = sim_resize(sim, history->versions, history->versions_room * sizeof *history->versions,
                                       history->versions_room * 2 * sizeof *history->versions);
        history->versions_room *= 2;
    }
    history->versions[history->version] =
        (sim_version){.sum = last.sum + sum, .live = (uint32_t)((int)last.live + change), .fixed = fixed};
}

static const sim_value *add_value(pr_sim *sim, sim_entity *entity, uint64_t dot, presence_str meta) {
    size_t size = entity->values_size;
    entity->values = sim_resize(sim, entity->values, size * sizeof(sim_value), (size + 1) * sizeof(sim_value));
    uint64_t text = pr_hash_entry(sim_text_str(sim, entity->topic), sim_text_str(sim, entity->key), meta);
    entity->values[size] = (sim_value){
        .dot = dot, .hash = pr_fmix64(pr_fmix64(pr_fmix64(entity->eid) ^ dot) ^ text), .meta = sim_text(sim, meta)};
    entity->values_size = size + 1;
    return &entity->values[size];
}

void sim_oracle_track(pr_sim *sim, sim_history *history, presence_owner owner, presence_str topic, presence_str key,
                      presence_str meta) {
    if (history->entities_size == history->entities_room) {
        size_t room = history->entities_room * 2 + 16;
        history->entities =
            sim_resize(sim, history->entities, history->entities_room * sizeof(sim_entity), room * sizeof(sim_entity));
        history->entities_room = room;
    }
    sim_entity *entity = &history->entities[history->entities_size++];
    entity->eid = history->version + 1;
    entity->topic = sim_text(sim, topic);
    entity->key = sim_text(sim, key);
    entity->owner = owner;
    next_version(sim, history, 1, add_value(sim, entity, entity->eid, meta)->hash, true);
    history->versions[entity->eid].entity = (uint32_t)history->entities_size;
    sim_oracle *oracle = &sim->oracle;
    for (size_t i = 0; i < oracle->topics_size; i++)
        if (oracle->topics[i] == entity->topic) return;
    if (oracle->topics_size < sizeof oracle->topics / sizeof oracle->topics[0])
        oracle->topics[oracle->topics_size++] = entity->topic;
    else
        pr_sim_fail(sim, "more topics than the oracle holds");
}

void sim_oracle_update(pr_sim *sim, sim_history *history, sim_entity *entity, presence_str meta) {
    const sim_value *value = &entity->values[entity->values_size - 1];
    if (value->meta == sim_text(sim, meta)) return;
    uint64_t before = value->hash;
    value = add_value(sim, entity, history->version + 1, meta);
    next_version(sim, history, 0, value->hash - before, true);
}

size_t sim_oracle_remove(pr_sim *sim, sim_history *history, presence_owner owner, const sim_entity *only,
                         uint8_t reason) {
    size_t removed = 0;
    uint64_t first = history->version + 1, sum = 0;
    for (size_t i = 0; i < history->entities_size; i++) {
        sim_entity *entity = &history->entities[i];
        if (entity->dead_first != 0 || entity->owner != owner || (only != NULL && only != entity)) continue;
        entity->dead_first = first;
        entity->reason = reason;
        sum += entity->values[entity->values_size - 1].hash;
        removed++;
    }
    for (size_t i = 0; i < removed; i++) {
        bool last = i + 1 == removed;
        next_version(sim, history, -1, last ? 0 - sum : 0, last);
    }
    for (size_t i = 0; i < history->entities_size; i++)
        if (history->entities[i].dead_first == first) history->entities[i].dead_last = history->version;
    return removed;
}

void sim_oracle_skip(pr_sim *sim, sim_history *history, uint64_t version) {
    while (history->version < version) next_version(sim, history, 0, 0, true);
}

sim_entity *sim_oracle_owned(const sim_history *history, presence_owner owner, uint32_t topic, uint32_t key) {
    for (size_t i = history->entities_size; i > 0; i--) {
        sim_entity *entity = &history->entities[i - 1];
        if (entity->dead_first == 0 && entity->owner == owner && entity->topic == topic && entity->key == key)
            return entity;
    }
    return NULL;
}

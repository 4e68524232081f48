/* A log as its writer changes it, and the small questions about any log. */
#include "hash.h"
#include "log_state.h"
#include <string.h>

pr_log_options pr_log_options_default(bool own) {
    pr_log_options o = {.ring_min = own ? 65536 : 4096,
                        .ring_share = own ? 4 : 16,
                        .stops_max = 4096,
                        .chunk_target = 65536,
                        .live_eids_max = 0};
    return o;
}

int pr_log_new(const pr_alloc *alloc, pr_store *store, const pr_log_options *options, uint16_t index, uint64_t inst,
               bool own, uint64_t floor, pr_log **out) {
    pr_log *log = pr_new(alloc, sizeof *log);
    if (log == NULL) return PRESENCE_ENOMEM;
    log->memory = *alloc;
    log->alloc = &log->memory;
    log->store = store;
    log->options = *options;
    log->index = index;
    log->inst = inst;
    log->own = own;
    log->state.floor = own ? 0 : floor;
    pr_index_init(&log->births, log->alloc);
    pr_index_init(&log->moves, log->alloc);
    pr_ring_init(&log->ring, log->alloc);
    pr_stops_init(&log->stops, log->alloc, options->stops_max);
    *out = log;
    return 0;
}

void pr_log_free(pr_log *log) {
    if (log == NULL) return;
    pr_scratch *scratch[] = {&log->removed, &log->ups, &log->eids, &log->topics, &log->held, &log->sorted};
    for (size_t i = 0; i < sizeof scratch / sizeof *scratch; i++)
        pr_delete(log->alloc, scratch[i]->data, scratch[i]->bytes);
    pr_stops_free(&log->stops);
    pr_ring_free(&log->ring);
    pr_index_free(&log->moves);
    pr_index_free(&log->births);
    pr_alloc memory = log->memory;
    pr_delete(&memory, log, sizeof *log);
}

int pr_scratch_reserve(pr_log *log, pr_scratch *s, size_t bytes) {
    if (bytes <= s->bytes) return 0;
    size_t more = s->bytes ? s->bytes : 256;
    while (more < bytes) more *= 2;
    void *data = pr_resize(log->alloc, s->data, s->bytes, more);
    if (data == NULL) return PRESENCE_ENOMEM;
    s->data = data;
    s->bytes = more;
    return 0;
}

uint64_t pr_log_inst(const pr_log *log) { return log->inst; }
uint16_t pr_log_index(const pr_log *log) { return log->index; }
uint64_t pr_log_version(const pr_log *log) { return log->state.live ? 0 : log->state.asof; }
pr_state pr_log_state(const pr_log *log) { return log->state; }
bool pr_log_complete(const pr_log *log) { return pr_state_complete(&log->state); }
size_t pr_log_size(const pr_log *log) { return log->births.live; }
bool pr_log_servable(const pr_log *log) {
    return pr_log_complete(log) || (!pr_rule(PR_RULE_serve_complete) && !log->state.live);
}
uint64_t pr_log_sum(const pr_log *log) { return log->sum; }
pr_id pr_log_find(const pr_log *log, uint64_t eid) { return pr_index_find(&log->births, eid); }

uint64_t pr_log_hash_view(const pr_view *v) {
    return pr_fmix64(pr_fmix64(pr_fmix64(v->eid) ^ v->dot) ^ pr_hash_entry(v->topic, v->key, v->meta));
}

/* ---- the writer ---- */

static uint64_t next_version(const pr_log *log) { return log->state.asof + 1; }

static void set_version(pr_log *log, uint64_t version) {
    log->state.have = log->state.asof = log->state.floor = version;
}

int pr_log_track(pr_log *log, presence_owner owner, presence_str topic, presence_str key, presence_str meta,
                 pr_id *out) {
    uint64_t version = next_version(log);
    int error = pr_store_insert(log->store, log->index, version, version, topic, key, meta, owner, out);
    if (error) return error;
    error = pr_index_insert(&log->births, version, *out);
    if (error) {
        pr_store_remove(log->store, *out);
        return error;
    }
    pr_view v = {.eid = version, .dot = version, .topic = topic, .key = key, .meta = meta};
    log->sum += pr_log_hash_view(&v);
    set_version(log, version);
    return 0;
}

int pr_log_update(pr_log *log, pr_id id, presence_str meta, pr_meta_hold *old) {
    uint64_t version = next_version(log);
    pr_view before, after;
    pr_store_view(log->store, id, &before);
    int error = pr_index_insert(&log->moves, version, id);
    if (error) return error;
    uint64_t sum = pr_log_hash_view(&before);
    error = pr_store_set(log->store, id, version, meta, old);
    if (error) {
        pr_index_remove(&log->moves, version);
        return error;
    }
    if (before.dot > before.eid)
        pr_index_remove(&log->moves, before.dot);
    else
        pr_index_mark(&log->births, before.eid);
    pr_store_view(log->store, id, &after);
    log->sum += pr_log_hash_view(&after) - sum;
    set_version(log, version);
    return 0;
}

int pr_log_untrack(pr_log *log, pr_id id, uint8_t removal_reason) {
    uint64_t version = next_version(log);
    pr_view v;
    pr_store_view(log->store, id, &v);
    pr_log_forget_entry(log, &v);
    pr_ring_push(&log->ring, version, v.eid, removal_reason);
    pr_ring_trim(&log->ring, pr_log_ring_max(log));
    pr_store_remove(log->store, id);
    set_version(log, version);
    return 0;
}

/* ---- entries that go ---- */

void pr_log_forget_entry(pr_log *log, const pr_view *v) {
    pr_index_remove(&log->births, v->eid);
    if (v->dot > v->eid) pr_index_remove(&log->moves, v->dot);
    log->sum -= pr_log_hash_view(v);
}

void pr_log_drop(pr_log *log, pr_id id) {
    pr_view v;
    pr_store_view(log->store, id, &v);
    pr_log_forget_entry(log, &v);
}

size_t pr_log_ring_max(const pr_log *log) {
    const pr_log_options *o = &log->options;
    size_t share = o->ring_share ? pr_log_size(log) / o->ring_share : 0;
    return share > o->ring_min ? share : o->ring_min;
}

int pr_log_keep_removals(pr_log *log) {
    if (log->own || log->keeps_removals) return 0;
    log->keeps_removals = true;
    if (pr_log_complete(log)) pr_stops_add(&log->stops, log->state.asof, log->ring.end);
    return 0;
}

void pr_log_removed_all(pr_log *log) {
    if (!log->keeps_removals) return;
    if (pr_log_complete(log)) pr_stops_add(&log->stops, log->state.asof, log->ring.end);
    pr_ring_trim(&log->ring, pr_log_ring_max(log));
    pr_stops_drop_below(&log->stops, log->ring.begin);
}

/* ---- walking ---- */

size_t pr_log_walk(const pr_log *log, uint64_t after, pr_id *ids, size_t max) {
    size_t n = 0;
    for (pr_dot_walk w = pr_dots_after(&log->births, &log->moves, after); w.entry != 0 && n < max; pr_dots_next(&w))
        ids[n++] = w.entry;
    return n;
}

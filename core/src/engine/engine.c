/* The engine's life, time and turn: new, free, tick, deadline.
 *
 * Happy path: every event notes the time, does its work, and ends by pumping the links that became ready. A tick fires
 * the timers that are due and does one slice of a pending sweep.
 * Failures: a late caller (a stall) delays down decisions (3.9.6); no memory delays work and is tried again each
 * second.
 */
#include "engine_state.h"

pr_engine_options pr_engine_options_default(void) {
    pr_engine_options o;
    memset(&o, 0, sizeof o);
    o.cluster = pr_cstr("default");
    o.trust_refused = true;
    o.heartbeat_ms = 1000;
    o.grace_ms = 600;
    o.permdown_ms = 1200000;
    o.connect_timeout_ms = 1000;
    o.flush_ms = -1;
    o.max_frame = PR_FRAME_MAX;
    o.compression = PR_CODEC_LZ4;
    o.compress_least = PR_COMPRESS_LEAST;
    o.features = PR_FEATURES_OURS;
    o.high_water = 262144;
    o.low_water = 65536;
    o.meta_bytes = 8192;
    o.key_bytes = PR_KEY_MAX;
    o.topic_bytes = PR_TOPIC_MAX;
    o.own_log = pr_log_options_default(true);
    o.replica_log = pr_log_options_default(false);
    o.sweep_slice = 4096;
    o.entries_max = PR_ENTRIES_MAX;
    return o;
}

static bool copy_text(char *to, size_t max, presence_str from) {
    if (from.size > max || (from.size && !pr_utf8_valid(from))) return false;
    if (from.size) memcpy(to, from.data, from.size);
    to[from.size] = 0;
    return true;
}

static int copy_options(pr_engine *e, const pr_engine_options *o) {
    e->options = *o;
    if (!o->name.size || !copy_text(e->name, PR_MEMBER_NAME_MAX, o->name)) return PRESENCE_EINVAL;
    if (!o->cluster.size || !copy_text(e->cluster, PR_CLUSTER_MAX, o->cluster)) return PRESENCE_EINVAL;
    if (!o->inst || o->addresses_size > PR_ADDRESSES_MAX || !o->heartbeat_ms) return PRESENCE_EINVAL;
    for (size_t i = 0; i < o->addresses_size; i++)
        if (!copy_text(e->addresses[i], PR_ADDRESS_MAX, o->addresses[i])) return PRESENCE_EINVAL;
    if (o->max_frame < PR_FRAME_MIN || o->max_frame > PR_FRAME_MAX) return PRESENCE_EINVAL;
    if (!o->sweep_slice || o->low_water > o->high_water) return PRESENCE_EINVAL;
    if (o->meta_bytes > PR_META_MAX || o->key_bytes > PR_KEY_MAX || o->topic_bytes > PR_TOPIC_MAX)
        return PRESENCE_EINVAL;
    e->options.name = pr_cstr(e->name);
    e->options.cluster = pr_cstr(e->cluster);
    for (size_t i = 0; i < o->addresses_size; i++) e->options.addresses[i] = pr_cstr(e->addresses[i]);
    e->options.seeds = NULL;
    return 0;
}

static int make_own_log(pr_engine *e) {
    e->own.inst = e->inst;
    e->own.target = true;
    memcpy(e->own.name, e->name, sizeof e->name);
    e->index_used[0] = 1; /* index 0 */
    e->index_next = 1;
    int rc = pr_log_new(e->alloc, e->store, &e->options.own_log, 0, e->inst, true, 0, &e->own.log);
    if (!rc) pr_store_name_log(e->store, 0, e->inst, e->options.name);
    return rc;
}

static void init_lists(pr_engine *e) {
    uint64_t seed = e->options.seed;
    pr_node_init(&e->members, NULL);
    pr_node_init(&e->graves, NULL);
    pr_node_init(&e->all_peers, NULL);
    pr_node_init(&e->pumps, NULL);
    pr_node_init(&e->sweeps, NULL);
    pr_node_init(&e->own.feeds, NULL);
    pr_node_init(&e->own.sources, NULL);
    pr_node_init(&e->own.sweep, &e->own);
    pr_map_init(&e->by_name, e->alloc, seed);
    pr_map_init(&e->by_inst, e->alloc, seed);
    pr_map_init(&e->peers, e->alloc, seed);
    pr_map_init(&e->dials, e->alloc, seed);
    pr_map_init(&e->leases, e->alloc, seed);
    pr_map_init(&e->broker.by_inst, e->alloc, seed);
    pr_map_init(&e->broker.wanted, e->alloc, seed);
    pr_node_init(&e->broker.voices, NULL);
    pr_timers_init(&e->timers, e->alloc);
    pr_timer_init(&e->heartbeat, PR_TIMER_HEARTBEAT, e);
    pr_timer_init(&e->news, PR_TIMER_NEWS, e);
    pr_timer_init(&e->flush, PR_TIMER_FLUSH, e);
    pr_timer_init(&e->retry, PR_TIMER_RETRY, e);
    pr_compressor_init(&e->compressor, e->alloc, PR_COMPRESS_LEAST);
    pr_buffer_init(&e->scratch, e->alloc, 2 * (size_t)PR_FRAME_MAX);
    pr_changes_init(&e->changes, e->alloc);
}

static int engine_build(pr_engine *e, const pr_engine_options *options) {
    int rc = copy_options(e, options);
    if (!rc) rc = pr_timers_reserve(&e->timers, 4);
    if (!rc) rc = pr_engine_room(e, (void **)&e->closing, &e->closing_room, 1, sizeof *e->closing);
    for (size_t i = 0; i < options->seeds_size && !rc; i++) rc = pr_seed_new(e, options->seeds[i], NULL);
    if (!rc) rc = pr_store_new(e->alloc, &e->store);
    if (!rc) rc = pr_decoder_new(e->alloc, &e->decoder);
    if (!rc) rc = make_own_log(e);
    if (!rc && e->options.broker) rc = pr_broker_init(e);
    e->compressor.least = e->options.compress_least;
    return rc;
}

int pr_engine_new(const pr_alloc *alloc, const pr_engine_options *options, pr_time now, pr_engine **out) {
    *out = NULL;
    pr_engine *e = pr_new(alloc, sizeof *e);
    if (!e) return PRESENCE_ENOMEM;
    e->alloc = alloc;
    e->options.seed = options->seed;
    e->inst = options->inst;
    e->inc = options->inc;
    e->random = options->seed;
    e->now = e->turn = now;
    init_lists(e);
    int rc = engine_build(e, options);
    if (rc) {
        pr_engine_free(e);
        return rc;
    }
    pr_own_rehash(e);
    e->flushed_at = now.mono_ms;
    pr_timer_set(&e->timers, &e->heartbeat, now.mono_ms + pr_period(e));
    pr_dial_start(e);
    pr_synced_check(e);
    *out = e;
    return 0;
}

static void free_peers(pr_engine *e) {
    pr_peer *peer;
    while ((peer = pr_node_first(&e->all_peers))) {
        e->left = true; /* no suspicion, no dialling */
        pr_peer_close(e, peer, 0, NULL);
    }
}

static void free_copies(pr_engine *e) {
    pr_member *m;
    while ((m = pr_node_first(&e->members))) {
        if (m->copy) pr_copy_free(e, m->copy);
        m->copy = NULL;
        pr_member_forget(e, m);
    }
    pr_copy *copy;
    while ((copy = pr_node_first(&e->sweeps))) pr_copy_free(e, copy);
}

void pr_engine_free(pr_engine *e) {
    if (!e) return;
    free_peers(e);
    pr_broker_free(e);
    free_copies(e);
    pr_actions_free(e);
    if (e->own.log) pr_log_free(e->own.log);
    pr_changes_free(&e->changes);
    pr_decoder_free(e->decoder);
    pr_store_free(e->store);
    pr_seeds_free(e);
    pr_delete(e->alloc, e->records, e->records_room * sizeof *e->records);
    pr_delete(e->alloc, e->insts, e->insts_room * sizeof *e->insts);
    pr_delete(e->alloc, e->ids, e->ids_room * sizeof *e->ids);
    pr_buffer_free(&e->scratch);
    pr_compressor_free(&e->compressor);
    pr_timers_free(&e->timers);
    pr_map_free(&e->by_name);
    pr_map_free(&e->by_inst);
    pr_map_free(&e->peers);
    pr_map_free(&e->dials);
    pr_map_free(&e->leases);
    pr_delete(e->alloc, e, sizeof *e);
}

uint64_t pr_engine_random(pr_engine *e, uint64_t below) { return below ? pr_random_next(&e->random) % below : 0; }

int pr_engine_room(pr_engine *e, void **array, size_t *room, size_t need, size_t item) {
    return pr_room(e->alloc, array, room, need, item);
}

void pr_engine_note_local(pr_engine *e, pr_time now) {
    if (now.mono_ms > e->now.mono_ms) e->now.mono_ms = now.mono_ms;
    if (now.boot_ms > e->now.boot_ms) e->now.boot_ms = now.boot_ms;
}

/* Responsive time: what the caller was late by does not count as silence of others (protocol.md 3.9.6). */
void pr_engine_note_time(pr_engine *e, pr_time now) {
    uint64_t due = pr_engine_deadline(e);
    pr_engine_note_local(e, now);
    now = e->now;
    uint64_t elapsed = now.mono_ms - e->turn.mono_ms, slept = now.boot_ms - e->turn.boot_ms;
    uint64_t expected = due > e->turn.mono_ms && due != PR_NO_TIME ? due - e->turn.mono_ms : 0;
    uint64_t slack = pr_period(e) / 4 + 10, patience = e->options.suspect_ms;
    if (!patience) patience = pr_period(e) * 5 / 2;
    uint64_t late = elapsed > expected ? elapsed - expected : 0;
    if (slept > elapsed && slept - elapsed > late) late = slept - elapsed; /* the machine slept */
    e->ticks += elapsed < expected + slack ? elapsed : expected + slack;
    e->turn = now;
    pr_lateness_note(e, late);
    if (late <= patience / 2) return;
    e->stalled = slept > late ? slept : late;
    e->stall_end = now.mono_ms;
    e->stale_until = now.mono_ms + slack;
}

void pr_engine_settle_event(pr_engine *e) {
    if (e->stopping) pr_identity_stop(e);
    pr_pump_all(e);
    if (e->synced_check && !e->synced) pr_synced_check(e);
}

static void fire(pr_engine *e, pr_timer *timer) {
    switch (timer->kind) {
    case PR_TIMER_HEARTBEAT: pr_heartbeat_tick(e); break;
    case PR_TIMER_NEWS: pr_heartbeat_extra(e); break;
    case PR_TIMER_FLUSH: pr_flush(e); break;
    case PR_TIMER_RETRY: break; /* what a turn does anyway */
    case PR_TIMER_LIVENESS: pr_member_timer(e, timer->owner); break;
    case PR_TIMER_REQUEST: pr_request_timeout(e, timer->owner); break;
    case PR_TIMER_DIAL: pr_dial_fire(e, timer->owner); break;
    case PR_TIMER_HANDSHAKE: pr_peer_late(e, timer->owner); break;
    }
}

void pr_engine_tick(pr_engine *e, pr_time now) {
    pr_engine_note_time(e, now);
    pr_timer *timer;
    while ((timer = pr_timers_due(&e->timers, e->now.mono_ms))) fire(e, timer);
    pr_local_expire(e);
    if (!e->sweeps_held && !(pr_sweep_slice(e) && pr_grace_slice(e)))
        pr_timer_set(&e->timers, &e->retry, e->now.mono_ms + PR_MEMORY_MS);
    pr_engine_settle_event(e);
}

uint64_t pr_engine_deadline(const pr_engine *e) {
    uint64_t due = pr_timers_next(&e->timers), lease = PR_NO_TIME;
    if (pr_node_linked(&e->sweeps) && !e->retry.slot && !e->sweeps_held) return e->turn.mono_ms;
    uint64_t grace = pr_store_linger_deadline(e->store);
    bool ended = e->left || e->yielded;
    if (grace < due && !e->retry.slot && !e->sweeps_held) due = grace;
    if (!ended && pr_store_owner_first_lease(e->store, &lease) && lease < due) due = lease;
    return due;
}

void pr_engine_hold_sweeps(pr_engine *e, bool hold) { e->sweeps_held = hold; }

const pr_store *pr_engine_store(const pr_engine *e) { return e->store; }
pr_store *pr_engine_store_for_watch(pr_engine *e) { return e->store; }

void pr_engine_leave(pr_engine *e, pr_time now) {
    pr_engine_note_time(e, now);
    if (e->left) return;
    pr_flush(e);
    pr_pump_all(e);
    pr_message message;
    memset(&message, 0, sizeof message);
    message.type = PR_LEAVE;
    message.as.leave.inc = e->inc;
    message.as.leave.inst = e->inst;
    memcpy(message.as.leave.name, e->name, sizeof e->name);
    for (pr_node *n = e->all_peers.next; n != &e->all_peers; n = n->next) {
        pr_peer_send(e, n->owner, &message); /* also before their HELLO: ours was sent first */
    }
    if (e->broker.up) pr_broker_leave(e);
    e->left = true;
}

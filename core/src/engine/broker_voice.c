/* Voices: who is heard over the broker. Each is a pr_peer without a link, so that a source of a log is asked in one
 * way; one more stands for everybody, and remembers what the heartbeats have told.
 *
 * A voice is made by the first heartbeat of an instance, and goes when it was silent for ten periods. What is sent to
 * it goes to its inbox.
 */
#include "engine_state.h"

pr_peer *pr_voice_of(const pr_engine *e, uint64_t inst) { return pr_map_find(&e->broker.by_inst, inst); }

static void init(pr_engine *e, pr_peer *voice, uint64_t inst) {
    pr_peer_init(e, voice, inst, 0);
    voice->voice = true;
    voice->phase = PR_PHASE_OPEN;
    voice->inst = inst;
    voice->full_at = e->ticks + PR_FULL_DIGEST_MS;
}

pr_peer *pr_voice_new(pr_engine *e, uint64_t inst) {
    if (e->broker.by_inst.size >= 2 * PR_MEMBERS_MAX) return NULL;
    pr_peer *voice = pr_new(e->alloc, sizeof *voice);
    if (!voice) return NULL;
    init(e, voice, inst);
    if (!inst) return voice; /* everybody */
    if (pr_map_put(&e->broker.by_inst, inst, (uintptr_t)voice)) {
        pr_delete(e->alloc, voice, sizeof *voice);
        return NULL;
    }
    pr_node_append(&e->broker.voices, &voice->all);
    return voice;
}

void pr_voice_free(pr_engine *e, pr_peer *voice) {
    while (pr_node_linked(&voice->sources)) pr_source_free(e, pr_node_first(&voice->sources), false);
    pr_node_remove(&voice->all);
    pr_node_remove(&voice->by_inst);
    if (voice->inst) pr_map_take(&e->broker.by_inst, voice->inst);
    pr_delete(e->alloc, voice->unlinked, voice->unlinked_room * sizeof *voice->unlinked);
    pr_delete(e->alloc, voice, sizeof *voice);
}

void pr_voices_reap(pr_engine *e) {
    for (pr_node *n = e->broker.voices.next, *next; n != &e->broker.voices; n = next) {
        pr_peer *voice = n->owner;
        uint64_t own = pr_period(e), period = voice->self.period_ms;
        next = n->next;
        if (period < own || period > PR_PERIOD_MAX_MS) period = own;
        if (e->ticks - voice->read_ticks > 10 * period) pr_voice_free(e, voice);
    }
}

/* What is published everybody reads: what all members that are UP can (5.5). */
uint64_t pr_broker_features(const pr_engine *e) {
    uint64_t features = e->options.features;
    for (const pr_node *n = e->members.next; n != &e->members; n = n->next) {
        const pr_member *m = n->owner;
        if (pr_member_up(m) && pr_rule(PR_RULE_broker_features)) features &= m->features;
    }
    return features;
}

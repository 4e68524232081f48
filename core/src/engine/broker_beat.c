/* Heartbeats over a broker, and LEAVE (protocol.md 3.4, 3.7, 3.8.1, 6.1).
 *
 * Happy path: every period all changes are published, then one heartbeat tells everybody who this is, the version that
 * was published, who is not heard, and a digest. Whoever is heard for the first time is greeted: a heartbeat of our own
 * into its inbox, so that it knows everybody after one round trip.
 * Failures: a heartbeat that is lost, the next one says the same; one that is late or doubled does not advance, and is
 * no sign of life; one of a version of the protocol that is not known here is ignored, and told once.
 */
#include "engine_state.h"

/* ---- telling ---- */
/* Who does not hear it says so with each of its heartbeats; until the next one is surely there it is told (3.8.1). */
static void want(pr_engine *e, const pr_member *m, const pr_peer *voice) {
    uint64_t period = voice->self.period_ms < PR_PERIOD_MAX_MS ? voice->self.period_ms : PR_PERIOD_MAX_MS;
    uint64_t until = e->ticks + 2 * period + 1;
    if (pr_map_get(&e->broker.wanted, m->inst) >= until) return;
    pr_map_put(&e->broker.wanted, m->inst, until); /* without memory: it says so again */
}

/* The list of what is wanted now, where the digest looks for it. */
static int wanted_list(pr_engine *e) {
    pr_peer *all = e->broker.all;
    pr_map *wanted = &e->broker.wanted;
    all->unlinked_size = all->unlinked_next = 0;
    int rc = pr_engine_room(e, (void **)&all->unlinked, &all->unlinked_room, wanted->size, sizeof *all->unlinked);
    for (size_t i = 0; i < wanted->room && !rc;) {
        pr_map_slot slot = wanted->slots[i];
        if (slot.key && (slot.value <= e->ticks || !pr_member_of(e, slot.key))) {
            pr_map_take(wanted, slot.key);
            continue; /* another one may stand here now */
        }
        if (slot.key) all->unlinked[all->unlinked_size++] = slot.key;
        i++;
    }
    return rc;
}

/* What a heartbeat says of its sender, in e->message. */
static pr_heartbeat *beat_of(pr_engine *e) {
    pr_heartbeat *heartbeat = pr_heartbeat_own(e);
    heartbeat->has_at = true;
    heartbeat->at = e->broker.published;
    heartbeat->has_self = true;
    pr_record_own(e, &heartbeat->self);
    return heartbeat;
}

/* unlinked: how many e->insts holds. */
void pr_broker_beat(pr_engine *e, size_t unlinked) {
    pr_peer *all = e->broker.all;
    pr_heartbeat *heartbeat = beat_of(e);
    pr_heartbeat_add_sum(e, heartbeat, pr_broker_features(e));
    heartbeat->unlinked = e->insts;
    heartbeat->unlinked_size = unlinked;
    size_t count = 0;
    int rc = wanted_list(e);
    if (!rc) rc = pr_digest_fill(e, all, &count);
    heartbeat->digest = (pr_records){e->records, count};
    if (!rc) rc = pr_peer_send(e, all, &e->message);
    if (rc) all->digest_clock = 0; /* told again */
}

void pr_broker_tick(pr_engine *e, size_t unlinked) {
    pr_voices_reap(e);
    if (!e->broker.listened && e->broker.listen_until <= e->now.mono_ms) e->broker.listened = e->synced_check = true;
    if (!e->broker.up) return;
    pr_flush(e);
    pr_broker_beat(e, unlinked);
}

static void greet(pr_engine *e, pr_peer *voice) {
    if (!pr_rule(PR_RULE_broker_greet)) return;
    beat_of(e);
    pr_peer_send(e, voice, &e->message);
}

/* ---- hearing ---- */
static bool foreign(pr_engine *e, pr_peer *voice, const pr_record *self) {
    bool known = self->proto >= PR_PROTO_MIN && self->proto <= PR_PROTO_MAX;
    if (known || !pr_rule(PR_RULE_broker_proto)) return false;
    e->stats.frames_dropped++;
    if (voice->dead) return true;
    voice->dead = true; /* told */
    pr_action_error(e, PRESENCE_EVERSION, "%s speaks version %u of the protocol, which is not known here", self->name,
                    self->proto);
    return true;
}

/* The voice this heartbeat is news of; NULL: it is no news, or there is no memory. */
static pr_peer *advance(pr_engine *e, const pr_record *self) {
    pr_peer *voice = pr_voice_of(e, self->inst);
    pr_member *m = pr_member_of(e, self->inst);
    if (voice && self->hb <= voice->self.hb) return NULL;
    if (!voice && m && self->hb < m->hb) return NULL;
    if (voice && m) pr_member_beat(e, m, voice);
    if (!voice) voice = pr_voice_new(e, self->inst);
    if (!voice) return NULL;
    voice->self = *self;
    voice->observer = self->observer;
    voice->features = self->features & e->options.features;
    memcpy(voice->name, self->name, sizeof voice->name);
    voice->read_ticks = e->ticks;
    return voice;
}

static int learn(pr_engine *e, pr_peer *voice, const pr_record *self) {
    uint64_t age = e->stale_until > e->now.mono_ms ? e->stalled : 0;
    if (strcmp(self->name, e->name) == 0) {
        if (e->options.observer && !self->observer)
            pr_identity_refused(e, voice); /* a member has this name (3.9.8) */
        else
            pr_identity_heard(e, self, age, true);
        return 0;
    }
    int rc = pr_member_learn(e, self, 0, age, true);
    pr_member *m = pr_member_named(e, self->name);
    if (m && (m->inst != self->inst || m->left)) want(e, m, voice); /* it has to know (3.9.4) */
    return rc;
}

static void take_log(pr_engine *e, pr_peer *voice, pr_member *m, const pr_heartbeat *heartbeat) {
    if (m->left) return;
    if (!pr_node_linked(&voice->by_inst)) pr_node_append(&m->links, &voice->by_inst);
    pr_member_heard(e, m, voice->inst, heartbeat->version);
    if (heartbeat->has_at) pr_request_consider(e, m, voice, heartbeat->at);
    pr_heartbeat_sum(e, m, voice, heartbeat);
}

static void take_unlinked(pr_engine *e, const pr_peer *voice, const pr_heartbeat *heartbeat) {
    for (size_t i = 0; i < heartbeat->unlinked_size; i++) {
        pr_member *m = pr_member_of(e, heartbeat->unlinked[i]);
        if (m && pr_member_up(m)) want(e, m, voice); /* else we know no more than they do */
    }
}

/* Of an instance whose record is held, however late it comes: what it says of logs and others are facts and hints. */
static int take_hints(pr_engine *e, pr_peer *voice, const pr_heartbeat *heartbeat) {
    pr_member *m = pr_member_of(e, voice->inst);
    if (m) take_log(e, voice, m, heartbeat);
    take_unlinked(e, voice, heartbeat);
    return pr_digest_take(e, voice, &heartbeat->digest);
}

/* All hear that it differs, and one digest is for all: about one of them tells, the others may the next time. */
static void compare_members(pr_engine *e, uint32_t members) {
    if (members == e->members_hash || pr_engine_random(e, e->members_up)) return;
    pr_heartbeat_members(e, e->broker.all, members);
}

int pr_broker_beat_take(pr_engine *e, const pr_heartbeat *heartbeat) {
    const pr_record *self = &heartbeat->self;
    if (!heartbeat->has_self || !self->fixed || self->left) return PRESENCE_EPROTOCOL;
    if (self->inst == e->inst) return 0; /* an echo */
    bool known = pr_member_of(e, self->inst) != NULL;
    pr_peer *voice = advance(e, self), *old = voice ? voice : pr_voice_of(e, self->inst);
    if (!old || foreign(e, old, self)) return 0;
    if (!voice && !pr_rule(PR_RULE_broker_evidence) && known) return pr_member_evidence(e, pr_member_of(e, self->inst));
    int rc = voice ? learn(e, voice, self) : 0;
    if (!rc && !e->yielded) rc = take_hints(e, old, heartbeat);
    if (rc || e->yielded || !voice) return rc;
    compare_members(e, heartbeat->members);
    pr_member *m = pr_member_of(e, self->inst);
    if (!known && m && !m->left) greet(e, voice); /* last: it takes the place of what was read */
    return 0;
}

/* Of any member: who may publish in this cluster is trusted not to lie (3.6). Our own echo, and a twin that goes, say
 * nothing. */
int pr_broker_leave_take(pr_engine *e, const pr_leave *leave) {
    if (leave->inst == e->inst || strcmp(leave->name, e->name) == 0) return 0;
    pr_record record;
    memset(&record, 0, sizeof record);
    record.inst = leave->inst;
    record.inc = leave->inc;
    record.left = record.fixed = true;
    memcpy(record.name, leave->name, sizeof record.name);
    return pr_member_learn(e, &record, 0, 0, true);
}

/* Records on their way: HELLO's list, digests of heartbeats, and what a digest teaches (protocol.md 3.8.1).
 *
 * Members stand in a list in the order of their last change; a link remembers up to which change it has been told. A
 * full digest starts again from the beginning. Every heartbeat carries at most 64 KiB, the rest follows.
 */
#include "engine_state.h"

static void copy_addresses(pr_record *record, const char (*addresses)[PR_ADDRESS_MAX + 1], size_t size) {
    record->addresses_size = (uint8_t)size;
    for (size_t i = 0; i < size; i++) memcpy(record->addresses[i], addresses[i], sizeof addresses[i]);
}

void pr_record_own(const pr_engine *e, pr_record *record) {
    memset(record, 0, sizeof *record);
    record->inst = e->inst;
    record->inc = e->inc;
    record->hb = e->hb;
    record->period_ms = pr_period(e);
    record->version = pr_log_version(e->own.log);
    record->has_version = true;
    record->fixed = true;
    record->features = e->options.features;
    record->proto = PR_PROTO_MAX;
    record->observer = e->options.observer;
    memcpy(record->name, e->name, sizeof e->name);
    copy_addresses(record, e->addresses, e->options.addresses_size);
}

void pr_record_fill(const pr_engine *e, const pr_member *m, bool fixed, pr_record *record) {
    memset(record, 0, sizeof *record);
    record->inst = m->inst;
    record->inc = m->inc;
    record->hb = m->hb;
    record->left = m->left;
    record->age_ms = pr_rule(PR_RULE_true_age) ? pr_member_age(e, m) : 0;
    record->hops = m->hops;
    record->period_ms = m->period_ms;
    record->fixed = fixed;
    bool fresh = pr_member_silence(e, m) <= pr_member_patience(e, m) || !pr_rule(PR_RULE_version_fresh);
    if (m->copy && pr_member_up(m) && pr_log_servable(m->copy->log) && fresh) {
        record->has_version = true;
        record->version = pr_log_version(m->copy->log);
    }
    if (!fixed) return;
    record->features = m->features;
    record->proto = m->proto;
    memcpy(record->name, m->name, sizeof m->name);
    copy_addresses(record, m->addresses, m->addresses_size);
}

/* Of observers nobody is told (3.9.8). */
static bool untold(const pr_member *m) { return m->observer && pr_rule(PR_RULE_observer_private); }

/* Adds the record to e->records; false: it does not fit. */
static bool add(pr_engine *e, const pr_member *m, bool fixed, size_t *count, size_t *bytes, size_t max, int *rc) {
    *rc = pr_engine_room(e, (void **)&e->records, &e->records_room, *count + 1, sizeof *e->records);
    if (*rc) return false;
    pr_record_fill(e, m, fixed, &e->records[*count]);
    size_t size = pr_record_bytes(&e->records[*count]);
    if (*bytes + size > max) return false;
    *bytes += size;
    (*count)++;
    return true;
}

/* Fixed fields: the first time a record goes over a link, and always over a broker (3.4). */
static bool wants_fixed(const pr_peer *peer, const pr_member *m) {
    return peer->voice || m->fixed_at > peer->fixed_clock || peer->fixed_again;
}

/* The peer knows itself: its own record goes only when it differs (3.9.4). */
static bool is_self(const pr_peer *peer, const pr_member *m) {
    if (!pr_rule(PR_RULE_own_record)) return strcmp(m->name, peer->name) == 0;
    return m->inst == peer->inst && !m->left;
}

int pr_digest_hello(pr_engine *e, pr_peer *peer, size_t taken, size_t *count) {
    size_t bytes = taken;
    int rc = 0;
    *count = 0;
    for (pr_node *n = e->members.next; n != &e->members; n = n->next) {
        pr_member *m = n->owner;
        if (untold(m)) continue;
        if (!add(e, m, true, count, &bytes, PR_HELLO_MAX, &rc)) return rc;
        peer->digest_clock = peer->fixed_clock = m->changed;
    }
    peer->digest_clock = peer->fixed_clock = e->record_clock;
    return 0;
}

/* Oldest change first, so that what does not fit is told next time. */
static int add_changed(pr_engine *e, pr_peer *peer, size_t *count, size_t *bytes) {
    int rc = 0;
    pr_node *n = e->members.prev;
    while (n != &e->members && ((pr_member *)n->owner)->changed > peer->digest_clock) n = n->prev;
    for (n = n->next; n != &e->members; n = n->next) {
        pr_member *m = n->owner;
        bool fixed = wants_fixed(peer, m);
        if (!untold(m) && !is_self(peer, m) && !add(e, m, fixed, count, bytes, PR_DIGEST_MAX, &rc)) return rc;
        peer->digest_clock = m->changed;
        if (m->changed > peer->fixed_clock) peer->fixed_clock = m->changed;
    }
    peer->fixed_again = false;
    return 0;
}

static int add_unlinked(pr_engine *e, pr_peer *peer, size_t *count, size_t *bytes) {
    int rc = 0;
    for (size_t i = 0; i < peer->unlinked_size; i++) {
        size_t at = (peer->unlinked_next + i) % peer->unlinked_size;
        pr_member *m = pr_member_of(e, peer->unlinked[at]);
        if (!m || untold(m) || is_self(peer, m) || !pr_rule(PR_RULE_unlinked)) continue;
        if (add(e, m, wants_fixed(peer, m), count, bytes, PR_DIGEST_MAX, &rc)) continue;
        peer->unlinked_next = at; /* what does not fit comes first next time */
        break;
    }
    return rc;
}

int pr_digest_fill(pr_engine *e, pr_peer *peer, size_t *count) {
    size_t bytes = 0;
    int rc = 0;
    *count = 0;
    if (e->ticks >= peer->full_at) {
        peer->full_at = e->ticks + PR_FULL_DIGEST_MS * (peer->voice ? e->members_up + 1 : 1); /* one of all of them */
        peer->digest_clock = 0;
    }
    pr_member *self = pr_member_named(e, peer->name);
    bool differs = self && (self->inst != peer->inst || self->left) && pr_rule(PR_RULE_own_record);
    if (differs && !self->observer) add(e, self, true, count, &bytes, PR_DIGEST_MAX, &rc);
    if (!rc) rc = add_changed(e, peer, count, &bytes);
    if (!rc) rc = add_unlinked(e, peer, count, &bytes);
    return rc;
}

/* What waited while we stood still is older than it says (3.9.6). */
static uint64_t age_here(const pr_engine *e, const pr_record *record) {
    uint64_t age = record->age_ms < PR_MAX_AGE ? record->age_ms : PR_MAX_AGE;
    return e->stale_until > e->now.mono_ms ? age + e->stalled : age;
}

/* Over a broker nobody refuses an observer whose name a member has, or had: it hears of that one (3.9.8). */
static bool name_taken(const pr_engine *e, const pr_peer *peer, const pr_record *record) {
    return peer->voice && e->options.observer && record->inst != e->inst && record->fixed && !record->observer;
}

static int take_record(pr_engine *e, pr_peer *peer, const pr_record *record) {
    bool mine = record->inst == e->inst || (record->fixed && strcmp(record->name, e->name) == 0);
    if (mine) {
        if (name_taken(e, peer, record))
            pr_identity_refused(e, peer);
        else
            pr_identity_heard(e, record, age_here(e, record), false);
        return 0;
    }
    if (record->fixed && record->observer && pr_rule(PR_RULE_observer_private)) return 0; /* never relayed */
    if (record->inst == peer->inst && !record->left) return 0;
    uint32_t hops = record->hops < UINT32_MAX ? record->hops + 1 : record->hops;
    pr_member *m = pr_member_of(e, record->inst);
    if (m && record->hb > m->hb) m->relay_ms = peer->self.period_ms;
    int rc = pr_member_learn(e, record, hops, age_here(e, record), false);
    if (rc || !record->has_version) return rc;
    m = pr_member_of(e, record->inst);
    if (!m) return 0;
    pr_member_heard(e, m, record->inst, record->version);
    pr_request_consider(e, m, peer, record->version);
    return 0;
}

int pr_digest_take(pr_engine *e, pr_peer *peer, const pr_records *records) {
    for (size_t i = 0; i < records->size; i++) {
        int rc = take_record(e, peer, &records->items[i]);
        if (rc || e->yielded) return rc;
    }
    return 0;
}

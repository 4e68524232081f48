/* Records of members: the join semilattice of what is known (protocol.md 3.9.1, 3.9.3).
 *
 * Happy path: an unknown name is adopted, an advanced heartbeat of the held instance is life, a greater (inc, inst)
 * replaces the held instance.
 * Everything else is ignored: older pairs (the peer will learn from our record), equal heartbeats, records too old to
 * matter, names over the limit of members.
 */
#include "engine_state.h"

pr_member *pr_member_named(const pr_engine *e, const char *name) {
    uint64_t hash = pr_hash(name, strlen(name), e->options.seed) | 1;
    pr_member *m = pr_map_find(&e->by_name, hash);
    while (m && strcmp(m->name, name) != 0) m = m->same_hash;
    return m;
}

pr_member *pr_member_of(const pr_engine *e, uint64_t inst) { return pr_map_find(&e->by_inst, inst); }

/* ---- the hash over the records (3.8.1) ---- */
static uint32_t hash_of(uint64_t inst, uint64_t inc, bool left) {
    return (uint32_t)pr_fmix64(pr_fmix64(inst) ^ (inc << 1 | left));
}

void pr_own_rehash(pr_engine *e) {
    e->members_hash -= e->own_hash;
    e->own_hash = e->options.observer ? 0 : hash_of(e->inst, e->inc, false);
    e->members_hash += e->own_hash;
}

void pr_member_rehash(pr_engine *e, pr_member *m) {
    uint32_t hash = m->observer || m->state == PR_PERMDOWN ? 0 : hash_of(m->inst, m->inc, m->left);
    e->members_hash += hash - m->hash;
    m->hash = hash;
}

void pr_member_changed(pr_engine *e, pr_member *m) {
    m->changed = ++e->record_clock;
    pr_node_append(&e->members, &m->all);
    pr_member_rehash(e, m);
}

/* ---- making and forgetting ---- */
void pr_member_count(pr_engine *e, pr_member *m, uint8_t state) {
    bool up = state == PR_UP && !m->observer;
    if (m->counted) e->members_up--;
    if (up) e->members_up++;
    m->counted = up;
    if (pr_node_linked(&m->grave)) e->graves_size--;
    pr_node_remove(&m->grave);
    m->state = state;
    if (!pr_member_grave(m)) return;
    pr_node_append(&e->graves, &m->grave);
    e->graves_size++;
}

static int put_name(pr_engine *e, pr_member *m) {
    uint64_t hash = pr_hash(m->name, strlen(m->name), e->options.seed) | 1;
    m->same_hash = pr_map_find(&e->by_name, hash);
    return pr_map_put(&e->by_name, hash, (uintptr_t)m);
}

static void take_name(pr_engine *e, pr_member *m) {
    uint64_t hash = pr_hash(m->name, strlen(m->name), e->options.seed) | 1;
    pr_member *at = pr_map_find(&e->by_name, hash);
    if (at == m && !m->same_hash) {
        pr_map_take(&e->by_name, hash);
    } else if (at == m) {
        pr_map_put(&e->by_name, hash, (uintptr_t)m->same_hash); /* replaces: needs no memory */
    } else {
        while (at->same_hash != m) at = at->same_hash;
        at->same_hash = m->same_hash;
    }
}

static pr_member *member_new(pr_engine *e, const char *name, uint64_t inst) {
    pr_member *m = pr_new(e->alloc, sizeof *m);
    if (!m) return NULL;
    memcpy(m->name, name, sizeof m->name);
    pr_node_init(&m->all, m);
    pr_node_init(&m->grave, m);
    pr_node_init(&m->links, NULL);
    pr_timer_init(&m->request, PR_TIMER_REQUEST, m);
    pr_timer_init(&m->liveness, PR_TIMER_LIVENESS, m);
    pr_dial_init(e, &m->dial, m, NULL);
    if (pr_timers_reserve(&e->timers, 3) == 0) {
        if (put_name(e, m) == 0) {
            if (pr_map_put(&e->by_inst, inst, (uintptr_t)m) == 0) {
                e->members_size++;
                return m;
            }
            take_name(e, m);
        }
        pr_timers_give_back(&e->timers, 3);
    }
    pr_delete(e->alloc, m, sizeof *m);
    return NULL;
}

void pr_member_forget(pr_engine *e, pr_member *m) {
    pr_member_count(e, m, PR_DOWN);
    pr_copy_detach(e, m, PRESENCE_REASON_MEMBER_DOWN);
    while (pr_node_linked(&m->links)) pr_node_remove(m->links.next);
    pr_dial_drop(e, &m->dial);
    pr_timer_clear(&e->timers, &m->request);
    pr_timer_clear(&e->timers, &m->liveness);
    pr_timers_give_back(&e->timers, 3);
    e->members_hash -= m->hash;
    pr_node_remove(&m->all);
    pr_map_take(&e->by_inst, m->inst);
    take_name(e, m);
    e->members_size--;
    pr_delete(e->alloc, m, sizeof *m);
}

/* ---- learning ---- */
static void take_fixed(pr_engine *e, pr_member *m, const pr_record *record, bool direct) {
    if (!record->fixed || record->left) return;
    if (m->fixed_at && !direct) return; /* held already; the member's own word counts most */
    m->observer = record->observer;
    m->features = record->features;
    m->proto = record->proto;
    m->own_addresses = direct;
    m->addresses_size = record->addresses_size;
    for (size_t i = 0; i < record->addresses_size; i++)
        memcpy(m->addresses[i], record->addresses[i], sizeof m->addresses[i]);
    if (!m->fixed_at) m->fixed_at = e->record_clock + 1;
}

static void take_life(pr_engine *e, pr_member *m, const pr_record *record, uint32_t hops, uint64_t age) {
    m->hb = record->hb;
    m->left = record->left;
    m->hops = hops;
    m->refused = false;
    if (age > PR_MAX_AGE) age = PR_MAX_AGE;
    m->heard_boot = (int64_t)e->now.boot_ms - (int64_t)age;
    m->heard_ticks = (int64_t)e->ticks - (int64_t)age;
    pr_suspicion_clear(m);
}

/* Open links of an instance hang at its record. */
static void gather_links(pr_engine *e, pr_member *m) {
    while (pr_node_linked(&m->links)) pr_node_remove(m->links.next);
    for (pr_node *n = e->all_peers.next; n != &e->all_peers; n = n->next) {
        pr_peer *peer = n->owner;
        if (peer->phase == PR_PHASE_OPEN && peer->inst == m->inst) pr_node_append(&m->links, &peer->by_inst);
    }
}

/* Graves have a bound of their own: the oldest gives way. */
static bool make_room(pr_engine *e, const pr_record *record) {
    if (e->graves_size >= PR_MEMBERS_MAX) pr_member_forget(e, pr_node_first(&e->graves));
    if (e->members_size - e->graves_size < PR_MEMBERS_MAX || !pr_rule(PR_RULE_members_limit)) return true;
    e->stats.frames_dropped++;
    if (e->limit_told_at > e->now.mono_ms) return false;
    e->limit_told_at = e->now.mono_ms + PR_REFUSE_MS;
    pr_action_error(e, PRESENCE_ELIMIT, "%s is not taken in: there are %d members", record->name, PR_MEMBERS_MAX);
    return false;
}

static int adopt(pr_engine *e, const pr_record *record, uint32_t hops, uint64_t age, bool direct) {
    if (!record->fixed || !record->name[0]) return 0;
    bool old = age >= 2ull * e->options.permdown_ms || (age >= e->options.permdown_ms && !record->left);
    if (old && pr_rule(PR_RULE_adopt_age)) return 0;
    if (!make_room(e, record)) return 0;
    pr_member *m = member_new(e, record->name, record->inst);
    if (!m) return PRESENCE_ENOMEM;
    m->inst = record->inst;
    m->inc = record->inc;
    m->period_ms = record->period_ms;
    m->state = PR_DOWN;
    take_fixed(e, m, record, direct);
    if (!m->fixed_at) m->fixed_at = e->record_clock + 1; /* a grave: its name has to travel too */
    take_life(e, m, record, hops, age);
    pr_node_append(&e->members, &m->all);
    int rc = pr_member_refresh(e, m);
    if (rc) {
        pr_member_forget(e, m);
        return rc;
    }
    gather_links(e, m);
    pr_member_changed(e, m);
    /* nobody there holds it complete and up: perhaps it is dead, and waiting for it is in vain */
    pr_dial_member(e, m, !direct && !record->has_version && !e->synced);
    e->synced_check = true;
    if (direct) pr_heartbeat_news(e);
    return 0;
}

static int replace(pr_engine *e, pr_member *m, const pr_record *record, uint32_t hops, uint64_t age, bool direct) {
    if (!record->fixed) return 0;
    int rc = pr_map_put(&e->by_inst, record->inst, (uintptr_t)m);
    if (rc) return rc;
    if (m->announced) pr_action_member(e, m, PRESENCE_MEMBER_LEFT, "replaced");
    m->announced = false;
    pr_member_count(e, m, PR_DOWN);
    pr_floor_keep(m, record->inst);
    pr_copy_detach(e, m, PRESENCE_REASON_REPLACED);
    pr_map_take(&e->by_inst, m->inst);
    m->inst = record->inst;
    m->inc = record->inc;
    m->period_ms = record->period_ms;
    m->fixed_at = 0;
    m->addresses_size = 0;
    m->observer = false;
    m->refused_until = 0;
    m->beats.known = false;
    m->beat_link = 0;
    take_fixed(e, m, record, direct);
    if (!m->fixed_at) m->fixed_at = e->record_clock + 1;
    take_life(e, m, record, hops, age);
    gather_links(e, m);
    pr_dial_drop(e, &m->dial);
    rc = pr_member_refresh(e, m); /* no memory: stays DOWN without a copy, the next sign of life tries again */
    pr_member_changed(e, m);
    pr_dial_member(e, m, false);
    e->synced_check = true;
    if (direct) pr_heartbeat_news(e);
    return rc;
}

/* Evidence that is older than what we have takes nothing away from it. */
static void take_evidence(pr_engine *e, pr_member *m, const pr_record *record, uint32_t hops, uint64_t age) {
    int64_t boot = m->heard_boot, ticks = m->heard_ticks;
    uint32_t had = m->hops;
    take_life(e, m, record, hops, age);
    if (record->left || m->heard_ticks >= ticks) return;
    m->hops = had;
    m->heard_ticks = ticks;
    if (m->heard_boot < boot) m->heard_boot = boot;
}

static bool greater(const pr_record *record, const pr_member *m) {
    if (!pr_rule(PR_RULE_pair_order)) return true;
    if (record->observer != m->observer && pr_rule(PR_RULE_observer_name))
        return m->observer; /* an observer never displaces a member */
    return record->inc != m->inc ? record->inc > m->inc : record->inst > m->inst;
}

static int advance(pr_engine *e, pr_member *m, const pr_record *record, uint32_t hops, uint64_t age, bool direct) {
    if (record->inc > m->inc) {
        m->inc = record->inc;
        pr_member_changed(e, m);
    }
    /* of one who speaks to us itself nobody else says how long to wait for it */
    bool believed = direct || (record->hb > m->hb && !pr_node_linked(&m->links));
    if (record->period_ms && believed) m->period_ms = record->period_ms;
    if (m->left && pr_rule(PR_RULE_left_final)) return 0;
    if (!m->fixed_at || direct) take_fixed(e, m, record, direct);
    bool news = record->hb > m->hb || (record->hb == m->hb && !pr_rule(PR_RULE_equal_hb));
    if (!record->left && !news) return 0;
    bool was_left = m->left, suspect = m->suspect && pr_member_up(m); /* one that rises is told so there */
    uint64_t hb = m->hb;
    take_evidence(e, m, record, hops, age);
    if (record->left) m->hb = hb;
    int rc = pr_member_refresh(e, m);
    if (rc) m->hb = hb; /* the same heartbeat is news again when the frame is retried */
    if (m->left != was_left) pr_member_changed(e, m);
    if (!rc && suspect && pr_member_up(m)) pr_action_member(e, m, PRESENCE_MEMBER_UP, "heard");
    return rc;
}

int pr_member_learn(pr_engine *e, const pr_record *record, uint32_t hops, uint64_t age_ms, bool direct) {
    pr_member *m = pr_member_of(e, record->inst);
    if (m) return advance(e, m, record, hops, age_ms, direct);
    if (!record->fixed) return 0; /* an instance never heard of, or replaced */
    m = pr_member_named(e, record->name);
    if (!m) return adopt(e, record, hops, age_ms, direct);
    return greater(record, m) ? replace(e, m, record, hops, age_ms, direct) : 0;
}

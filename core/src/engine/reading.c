/* What the engine tells of itself: members and counters. */
#include "engine_state.h"

static int status_of(const pr_member *m) {
    switch (m->state) {
    case PR_UP: return m->suspect ? PRESENCE_MEMBER_SUSPECT : PRESENCE_MEMBER_UP;
    case PR_DOWN: return PRESENCE_MEMBER_DOWN;
    case PR_LEFT: return PRESENCE_MEMBER_LEFT;
    default: return PRESENCE_MEMBER_PERMDOWN;
    }
}

/* V - have (3.3): how far what is here is behind what is known of. */
static uint64_t lag_of(const pr_member *m) {
    uint64_t have = m->copy ? pr_log_state(m->copy->log).have : 0;
    return m->has_version && m->version > have ? m->version - have : 0;
}

void pr_member_describe(const pr_engine *e, const pr_member *m, pr_member_info *out) {
    const pr_peer *peer = pr_peer_of(m);
    (void)e;
    memset(out, 0, sizeof *out);
    memcpy(out->name, m->name, sizeof out->name);
    if (m->addresses_size) memcpy(out->address, m->addresses[0], sizeof out->address);
    out->reason = "";
    out->inst = m->inst;
    out->inc = m->inc;
    out->entries = m->copy ? pr_log_size(m->copy->log) : 0;
    out->lag = lag_of(m);
    out->rtt_ms = peer ? pr_rtt_ms(&peer->rtt) : -1;
    out->status = status_of(m);
    out->synced = m->synced;
    out->observer = m->observer;
    out->linked = peer != NULL;
}

static void describe_self(const pr_engine *e, pr_member_info *out) {
    memset(out, 0, sizeof *out);
    memcpy(out->name, e->name, sizeof out->name);
    if (e->options.addresses_size) memcpy(out->address, e->addresses[0], sizeof out->address);
    out->reason = "";
    out->inst = e->inst;
    out->inc = e->inc;
    out->entries = pr_log_size(e->own.log);
    out->rtt_ms = 0;
    out->status = PRESENCE_MEMBER_UP;
    out->synced = out->is_self = true;
    out->observer = e->options.observer;
}

size_t pr_engine_members(const pr_engine *e, pr_member_info *out, size_t room) {
    size_t size = 0;
    if (room) describe_self(e, &out[0]);
    size++;
    for (const pr_node *n = e->members.next; n != &e->members; n = n->next) {
        const pr_member *m = n->owner;
        if (pr_member_grave(m)) continue;
        if (size < room) pr_member_describe(e, m, &out[size]);
        size++;
    }
    return size;
}

void pr_engine_stats(const pr_engine *e, presence_statistics *out) {
    size_t size = out->size;
    *out = e->stats;
    out->size = size;
    out->entries = pr_store_size(e->store);
    out->topics = pr_store_topic_count(e->store);
    out->members = 1;
    for (const pr_node *n = e->members.next; n != &e->members; n = n->next)
        if (!pr_member_grave(n->owner)) out->members++;
}

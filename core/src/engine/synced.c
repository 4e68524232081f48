/* When a new node knows enough to serve lists (protocol.md 3.3): every seed was tried once, and every member known then
 * is UP with its log caught up, or DOWN. Later members do not reset it. */
#include "engine_state.h"

static bool seeds_tried(const pr_engine *e) {
    if (e->options.broker) return e->broker.listened;
    for (size_t i = 0; i < e->seeds_size; i++)
        if (!e->seeds[i]->tried && !e->seeds[i]->self) return false;
    return true;
}

static bool seed_reached(const pr_engine *e) {
    for (size_t i = 0; i < e->seeds_size; i++)
        if (e->seeds[i]->reached) return true;
    return false;
}

static void await_known(pr_engine *e) {
    e->seeds_tried = true;
    for (pr_node *n = e->members.next; n != &e->members; n = n->next) {
        pr_member *m = n->owner;
        m->awaited = !m->observer && !pr_member_grave(m);
    }
}

/* Its log is refused here for a limit; or nobody serves it, and all its addresses refuse: it died before we came. */
static bool given_up(const pr_engine *e, const pr_member *m) {
    return m->refused_until > e->now.mono_ms || (m->refused && !m->has_version);
}

void pr_synced_check(pr_engine *e) {
    e->synced_check = false;
    if (e->synced || e->left || e->yielded) return;
    if (!e->seeds_tried) {
        if (!seeds_tried(e)) return;
        await_known(e);
    }
    bool known = false;
    for (pr_node *n = e->members.next; n != &e->members; n = n->next) {
        pr_member *m = n->owner;
        if (!m->awaited) continue;
        if (pr_member_up(m) && !m->synced && !given_up(e, m)) return;
        known = true;
    }
    e->synced = known || seed_reached(e) ? 1 : 2;
    e->synced_wanted = true;
}

int pr_engine_synced(const pr_engine *e) { return e->synced; }

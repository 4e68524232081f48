/* What the simulator's invariants need to know of the logs of an engine. */
#include "engine_probe.h"
#include "engine_state.h"

static void look(const pr_copy *copy, bool own, pr_engine_log_probe *out) {
    const pr_member *member = copy->member;
    out->log = copy->log;
    out->inst = copy->inst;
    out->own = own;
    out->detached = !own && member == NULL;
    out->up = own || (member != NULL && pr_member_up(member));
    out->grave = member != NULL && pr_member_grave(member);
    out->returning = member != NULL && pr_member_up(member) && member->returning;
    out->awaited = member != NULL && member->has_version ? member->version : 0;
    out->shown = copy->target;
    out->sweeping = pr_node_linked(&copy->sweep);
}

size_t pr_engine_probe_logs(const pr_engine *e, pr_engine_log_probe *out, size_t room) {
    size_t size = 0;
    if (size < room) look(&e->own, true, &out[size]);
    size++;
    for (const pr_node *node = e->members.next; node != &e->members; node = node->next) {
        const pr_member *member = node->owner;
        if (member->copy == NULL) continue;
        if (size < room) look(member->copy, false, &out[size]);
        size++;
    }
    for (const pr_node *node = e->sweeps.next; node != &e->sweeps; node = node->next) {
        const pr_copy *copy = node->owner;
        if (copy->member != NULL || copy == &e->own) continue;
        if (size < room) look(copy, false, &out[size]);
        size++;
    }
    return size;
}

bool pr_engine_probe_remembers(const pr_engine *e, uint64_t inst) {
    if (inst == e->inst || pr_member_of(e, inst) != NULL) return true;
    for (const pr_node *node = e->members.next; node != &e->members; node = node->next) {
        const pr_member *member = node->owner;
        for (size_t i = 0; i < member->floors_size; i++)
            if (member->floors[i].inst == inst) return true;
    }
    return false;
}

/* When do the members of a virtual network agree? Every live one shows exactly what the live ones it can reach track,
 * and calls those up and nobody else; whom it can reach over others counts. One that is paused is none of them. */
#include "hash.h"
#include "virtual_cluster.h"
#include <string.h>

/* What one member shows of another: sums that do not depend on order. */
typedef struct shown {
    uint64_t inst, sum, count;
} shown;

typedef struct viewer {
    pr_virtual_member *member;
    presence_tracker *tracker;
    pr_member_info self;
    size_t group;
    bool synced;
    pr_member_info *members;
    size_t members_size;
    shown *shown;
    size_t shown_size, shown_room;
} viewer;

typedef struct look {
    presence_sim *sim;
    viewer *viewers;
    size_t size, room;
} look;

static bool no_memory(look *l) {
    pr_sim_refuse(l->sim, 0, "no memory to look at the members");
    return false;
}

/* ---- who looks at whom ---- */
static bool add_viewer(look *l, pr_virtual_member *member) {
    if (!pr_virtual_lives(member)) return true;
    if (pr_room(&l->sim->alloc, (void **)&l->viewers, &l->room, l->size + 1, sizeof *l->viewers)) return no_memory(l);
    viewer *v = &l->viewers[l->size];
    memset(v, 0, sizeof *v);
    v->member = member;
    v->tracker = pr_virtual_owner(member);
    v->group = l->size++;
    return true;
}

static bool linked(const look *l, const viewer *a, const viewer *b) {
    return a->tracker->cluster == b->tracker->cluster && pr_virtual_reaches(l->sim->network, a->member, b->member);
}

/* The smallest index of its group becomes everybody's. */
static void make_groups(look *l) {
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < l->size; i++) {
            for (size_t j = 0; j < l->size; j++) {
                viewer *a = &l->viewers[i], *b = &l->viewers[j];
                if (a->group >= b->group || !linked(l, a, b)) continue;
                b->group = a->group;
                changed = true;
            }
        }
    }
}

/* ---- what each one sees ---- */
static shown *shown_of(look *l, viewer *v, uint64_t inst, bool make) {
    for (size_t i = 0; i < v->shown_size; i++) {
        if (v->shown[i].inst == inst) return &v->shown[i];
    }
    if (!make) return NULL;
    if (pr_room(&l->sim->alloc, (void **)&v->shown, &v->shown_room, v->shown_size + 1, sizeof *v->shown)) return NULL;
    v->shown[v->shown_size] = (shown){.inst = inst};
    return &v->shown[v->shown_size++];
}

static bool add_topic(look *l, viewer *v, presence_str topic) {
    pr_rows *rows;
    if (pr_store_list(pr_engine_store(v->tracker->engine), topic, &rows) != 0) return no_memory(l);
    bool ok = true;
    for (size_t i = 0; ok && i < rows->size; i++) {
        const pr_row *row = &rows->rows[i];
        shown *of = shown_of(l, v, row->inst, true);
        ok = of != NULL || no_memory(l);
        if (!ok) break;
        of->count++;
        of->sum += pr_fmix64(pr_hash_entry(row->topic, row->key, row->meta) ^ pr_fmix64(row->dot));
    }
    pr_rows_free(rows);
    return ok;
}

static bool see_entries(look *l, viewer *v) {
    pr_rows *topics;
    if (pr_store_topics(pr_engine_store(v->tracker->engine), &topics) != 0) return no_memory(l);
    bool ok = true;
    for (size_t i = 0; ok && i < topics->size; i++) ok = add_topic(l, v, topics->rows[i].topic);
    pr_rows_free(topics);
    return ok;
}

static bool see_members(look *l, viewer *v) {
    size_t size = pr_engine_members(v->tracker->engine, NULL, 0);
    v->members = pr_new(&l->sim->alloc, size * sizeof *v->members);
    if (!v->members) return no_memory(l);
    v->members_size = size;
    pr_engine_members(v->tracker->engine, v->members, size);
    v->self = v->members[0];
    v->synced = pr_engine_synced(v->tracker->engine) != 0;
    return true;
}

static bool see(look *l, viewer *v) {
    pthread_rwlock_rdlock(&v->tracker->lock);
    bool ok = see_members(l, v) && see_entries(l, v);
    pthread_rwlock_unlock(&v->tracker->lock);
    return ok;
}

/* ---- comparing ---- */
static const pr_member_info *record_of(const viewer *v, uint64_t inst) {
    for (size_t i = 0; i < v->members_size; i++) {
        if (v->members[i].inst == inst) return &v->members[i];
    }
    return NULL;
}

/* Does v see what o tracks, and call it up? */
static bool agrees(look *l, viewer *v, viewer *o) {
    presence_sim *sim = l->sim;
    const pr_member_info *record = record_of(v, o->self.inst);
    if (!o->self.observer && (!record || record->status != PRESENCE_MEMBER_UP)) {
        pr_sim_refuse(sim, 0, "%s does not call %s up", v->self.name, o->self.name);
        return false;
    }
    shown none = {0}, *a = shown_of(l, v, o->self.inst, false), *b = shown_of(l, o, o->self.inst, false);
    if (!a) a = &none;
    if (!b) b = &none;
    if (a->count != b->count) {
        pr_sim_refuse(sim, 0, "%s shows %llu presences of %s, which tracks %llu", v->self.name,
                      (unsigned long long)a->count, o->self.name, (unsigned long long)b->count);
        return false;
    }
    if (a->sum == b->sum) return true;
    pr_sim_refuse(sim, 0, "%s shows other versions of %s's presences", v->self.name, o->self.name);
    return false;
}

static bool in_group(const look *l, const viewer *v, uint64_t inst) {
    for (size_t i = 0; i < l->size; i++) {
        if (l->viewers[i].group == v->group && l->viewers[i].self.inst == inst) return true;
    }
    return false;
}

static bool sees_no_ghosts(look *l, const viewer *v) {
    for (size_t i = 0; i < v->members_size; i++) {
        const pr_member_info *record = &v->members[i];
        bool up = record->status == PRESENCE_MEMBER_UP || record->status == PRESENCE_MEMBER_SUSPECT;
        if (!up || in_group(l, v, record->inst)) continue;
        pr_sim_refuse(l->sim, 0, "%s calls %s up, which is gone or out of reach", v->self.name, record->name);
        return false;
    }
    for (size_t i = 0; i < v->shown_size; i++) {
        if (in_group(l, v, v->shown[i].inst)) continue;
        pr_sim_refuse(l->sim, 0, "%s shows presences of a member that is gone or out of reach", v->self.name);
        return false;
    }
    return true;
}

static bool compare(look *l) {
    for (size_t i = 0; i < l->size; i++) {
        viewer *v = &l->viewers[i];
        if (!v->synced) {
            pr_sim_refuse(l->sim, 0, "%s is not synced yet", v->self.name);
            return false;
        }
        for (size_t j = 0; j < l->size; j++) {
            if (l->viewers[j].group == v->group && !agrees(l, v, &l->viewers[j])) return false;
        }
        if (!sees_no_ghosts(l, v)) return false;
    }
    return true;
}

static void free_look(look *l) {
    const pr_alloc *alloc = &l->sim->alloc;
    for (size_t i = 0; i < l->size; i++) {
        pr_delete(alloc, l->viewers[i].members, l->viewers[i].members_size * sizeof *l->viewers[i].members);
        pr_delete(alloc, l->viewers[i].shown, l->viewers[i].shown_room * sizeof *l->viewers[i].shown);
    }
    pr_delete(alloc, l->viewers, l->room * sizeof *l->viewers);
}

bool pr_agreement_possible(presence_sim *sim) {
    pr_virtual_lock(sim->network);
    bool quiet = pr_virtual_quiet(sim->network);
    pr_virtual_unlock(sim->network);
    return quiet;
}

bool pr_agreement_reached(presence_sim *sim) {
    look l = {.sim = sim};
    pr_virtual_lock(sim->network);
    bool ok = pr_virtual_quiet(sim->network);
    if (!ok) pr_sim_refuse(sim, 0, "messages are still under way");
    pr_virtual_member *member = NULL;
    while (ok && (member = pr_virtual_next(sim->network, member)) != NULL) ok = add_viewer(&l, member);
    if (ok) make_groups(&l);
    for (size_t i = 0; ok && i < l.size; i++) ok = see(&l, &l.viewers[i]);
    ok = ok && compare(&l);
    pr_virtual_unlock(sim->network);
    free_look(&l);
    return ok;
}

/* A few engines in one thread and virtual time, joined by a tiny wire: what one sends the other reads at once. */
#ifndef PR_TEST_ENGINE_WORLD_H
#define PR_TEST_ENGINE_WORLD_H

#include "engine.h"
#include "hash.h"
#include "heap.h"

#define NODES 4
#define LINKS 64

typedef struct end {
    int node;
    pr_link id;
    uint8_t *bytes; /* towards this end, not read yet */
    size_t size, room;
    size_t unread_sends; /* bytes the other end has not been told as written */
    bool closed;         /* by this end's engine, or told */
} end;

typedef struct wire {
    end ends[2];
    bool used;
    bool cut; /* silent: bytes vanish */
} wire;

typedef struct node {
    heap heap;
    pr_alloc alloc;
    pr_engine *engine;
    bool refuse, deaf; /* dials to it are refused; it reads nothing */
    int joins, updates, leaves, edges, diffs, last_reason, synced, ups, suspects, downs, permdowns, lefts, conflicts;
    int errors, last_error, yields, closes;
    const char *last_why;
    char last_text[320];
    pr_engine_options options;
} node;

typedef struct world {
    uint64_t now;
    node nodes[NODES];
    wire wires[LINKS];
    pr_link ids;
    bool severed[NODES][NODES]; /* dials between the two time out */
    int leads_to[NODES];        /* a dial to m<i> reaches this node, less 1; 0: node i */
    uint64_t frames;
    int answer; /* a bit per node that a name stands for, when it is looked up; 0: there is no answer */
    int asked;  /* look-ups */
} world;

static inline pr_time world_time(const world *w) { return (pr_time){w->now, w->now}; }

static inline world *world_new(void) {
    world *w = calloc(1, sizeof *w);
    w->now = 1000;
    for (int i = 0; i < NODES; i++) w->nodes[i].alloc = heap_allocator(&w->nodes[i].heap);
    return w;
}

static inline void world_act(world *w, int i);

static inline end *world_end(world *w, int i, pr_link id, end **other) {
    for (int l = 0; l < LINKS; l++)
        for (int s = 0; s < 2 && w->wires[l].used; s++)
            if (w->wires[l].ends[s].node == i && w->wires[l].ends[s].id == id) {
                *other = &w->wires[l].ends[!s];
                return &w->wires[l].ends[s];
            }
    return NULL;
}

static inline void world_free_wire(wire *l) {
    free(l->ends[0].bytes);
    free(l->ends[1].bytes);
    memset(l, 0, sizeof *l);
}

/* A fresh id at each end; dial: the id of the DIAL action of node a. */
static inline wire *world_connect(world *w, int a, int b, uint64_t dial) {
    for (int l = 0; l < LINKS; l++) {
        wire *made = &w->wires[l];
        if (made->used) continue;
        *made = (wire){.used = true, .ends = {{.node = a, .id = ++w->ids}, {.node = b, .id = ++w->ids}}};
        pr_engine_link_up(w->nodes[a].engine, made->ends[0].id, dial, world_time(w));
        pr_engine_link_up(w->nodes[b].engine, made->ends[1].id, 0, world_time(w));
        world_act(w, a);
        world_act(w, b);
        return made;
    }
    abort();
}

static inline void world_resolve(world *w, int i, uint64_t id) {
    char texts[NODES][8];
    presence_str found[NODES];
    size_t size = 0;
    w->asked++;
    for (int n = 0; n < NODES; n++) {
        if (!(w->answer & 1 << n)) continue;
        snprintf(texts[size], sizeof texts[size], "m%d", n);
        found[size] = pr_cstr(texts[size]);
        size++;
    }
    if (size)
        pr_engine_resolved(w->nodes[i].engine, id, found, size, world_time(w));
    else
        pr_engine_dial_failed(w->nodes[i].engine, id, PR_DIAL_UNRESOLVED, world_time(w));
}

static inline void world_dial(world *w, int i, uint64_t id, const char *address) {
    int to = atoi(address + 1);
    if (w->leads_to[to]) to = w->leads_to[to] - 1;
    node *target = &w->nodes[to];
    if (w->severed[i][to])
        pr_engine_dial_failed(w->nodes[i].engine, id, PR_DIAL_TIMEOUT, world_time(w));
    else if (!target->engine || target->refuse)
        pr_engine_dial_failed(w->nodes[i].engine, id, PR_DIAL_REFUSED, world_time(w));
    else
        world_connect(w, i, to, id);
}

static inline void world_send(world *w, int i, pr_link id, pr_bytes *bytes) {
    end *to, *from = world_end(w, i, id, &to);
    if (from && !from->closed) {
        w->frames++;
        if (to->size + bytes->size > to->room) to->bytes = realloc(to->bytes, to->room = 2 * (to->size + bytes->size));
        memcpy(to->bytes + to->size, bytes->data, bytes->size);
        to->size += bytes->size;
    }
    pr_bytes_release(bytes);
}

static inline void world_note_diff(node *n, pr_diff *diff) {
    n->diffs++;
    for (size_t k = 0; k < diff->size; k++) {
        const pr_diff_item *item = &diff->items[k];
        n->joins += item->kind == PRESENCE_JOIN;
        n->updates += item->kind == PRESENCE_UPDATE;
        n->leaves += item->kind == PRESENCE_LEAVE;
        n->edges += item->first || item->last;
        if (item->kind == PRESENCE_LEAVE) n->last_reason = item->reason;
    }
    pr_diff_free(diff);
}

static inline void world_note_member(node *n, const pr_member_info *m) {
    n->ups += m->status == PRESENCE_MEMBER_UP;
    n->suspects += m->status == PRESENCE_MEMBER_SUSPECT;
    n->downs += m->status == PRESENCE_MEMBER_DOWN;
    n->permdowns += m->status == PRESENCE_MEMBER_PERMDOWN;
    n->lefts += m->status == PRESENCE_MEMBER_LEFT;
    n->conflicts += m->status == PRESENCE_MEMBER_CONFLICT;
    n->last_why = m->reason;
}

static inline void world_act(world *w, int i) {
    node *n = &w->nodes[i];
    pr_action action;
    end *from, *to;
    while (n->engine && pr_engine_next_action(n->engine, &action)) switch (action.kind) {
        case PR_ACTION_SEND: world_send(w, i, action.as.send.link, action.as.send.bytes); break;
        case PR_ACTION_DIAL:
            if (action.as.dial.resolve)
                world_resolve(w, i, action.as.dial.id);
            else
                world_dial(w, i, action.as.dial.id, action.as.dial.address);
            break;
        case PR_ACTION_CLOSE:
            n->closes++;
            if ((from = world_end(w, i, action.as.close.link, &to))) from->closed = true;
            break;
        case PR_ACTION_DIFF: world_note_diff(n, action.as.diff); break;
        case PR_ACTION_MEMBER: world_note_member(n, &action.as.member); break;
        case PR_ACTION_SYNCED: n->synced = action.as.synced; break;
        case PR_ACTION_ERROR:
            n->errors++;
            n->last_error = action.as.error.code;
            memcpy(n->last_text, action.as.error.text, sizeof n->last_text);
            break;
        case PR_ACTION_YIELD: n->yields++; break;
        }
}

/* One end reads what has come; true: something happened. */
static inline bool world_read(world *w, wire *l, int side) {
    end *to = &l->ends[side], *from = &l->ends[!side];
    node *n = &w->nodes[to->node];
    bool any = false;
    if (!n->engine || n->deaf || l->cut) return false;
    size_t had = to->size;
    while (to->size && !to->closed) {
        size_t used = 0;
        int rc = pr_engine_bytes(n->engine, to->id, to->bytes, to->size, &used, world_time(w));
        memmove(to->bytes, to->bytes + used, to->size - used);
        to->size -= used;
        any |= used != 0;
        world_act(w, to->node);
        if (rc != 1) break;
    }
    if (to->closed) to->size = 0;
    if (had > to->size && !from->closed && w->nodes[from->node].engine) {
        pr_engine_written(w->nodes[from->node].engine, from->id, had - to->size, world_time(w));
        world_act(w, from->node);
    }
    if (from->closed && !to->closed && !to->size) { /* the end of the stream is read */
        to->closed = any = true;
        pr_engine_link_down(n->engine, to->id, PR_END_CLOSED, world_time(w));
        world_act(w, to->node);
    }
    return any;
}

static inline void world_deliver(world *w) {
    for (bool any = true; any;) {
        any = false;
        for (int l = 0; l < LINKS; l++) {
            if (w->wires[l].used) any |= world_read(w, &w->wires[l], 0);
            if (w->wires[l].used) any |= world_read(w, &w->wires[l], 1);
            if (w->wires[l].used && w->wires[l].ends[0].closed && w->wires[l].ends[1].closed)
                world_free_wire(&w->wires[l]);
        }
    }
}

static inline void world_run(world *w, uint64_t ms) {
    uint64_t until = w->now + ms;
    for (;;) {
        for (int i = 0; i < NODES; i++) world_act(w, i);
        world_deliver(w);
        uint64_t next = until;
        for (int i = 0; i < NODES; i++) {
            if (!w->nodes[i].engine) continue;
            uint64_t due = pr_engine_deadline(w->nodes[i].engine);
            if (due < next) next = due;
        }
        if (next > w->now) w->now = next;
        for (int i = 0; i < NODES; i++)
            if (w->nodes[i].engine && pr_engine_deadline(w->nodes[i].engine) <= w->now) {
                pr_engine_tick(w->nodes[i].engine, world_time(w));
                world_act(w, i);
            }
        if (w->now >= until && next == until) {
            world_deliver(w);
            return;
        }
    }
}

static inline void world_start(world *w, int i, const char *name, unsigned seeds) {
    node *n = &w->nodes[i];
    heap kept = n->heap;
    pr_engine_options base = n->options.max_frame ? n->options : pr_engine_options_default();
    memset(n, 0, sizeof *n);
    n->heap = kept;
    n->alloc = heap_allocator(&n->heap);
    n->options = base;
    char address[8], seed_text[NODES][8];
    presence_str list[NODES];
    snprintf(address, sizeof address, "m%d", i);
    pr_engine_options o = base;
    o.name = pr_cstr(name);
    o.inst = (w->now * 1000003 + (uint64_t)i * 7919) | 1;
    o.inc = w->now;
    o.seed = o.inst * 31;
    o.addresses[0] = pr_cstr(address);
    o.addresses_size = 1;
    for (int s = 0; s < NODES; s++)
        if (seeds & (1u << s)) {
            snprintf(seed_text[o.seeds_size], 8, "m%d", s);
            list[o.seeds_size] = pr_cstr(seed_text[o.seeds_size]);
            o.seeds_size++;
        }
    o.seeds = list;
    if (pr_engine_new(&n->alloc, &o, world_time(w), &n->engine)) abort();
    pr_store_watch_all(pr_engine_store_for_watch(n->engine), true);
    world_act(w, i);
}

/* The process is gone; tell: its links are closed by the kernel. */
static inline void world_kill(world *w, int i, bool tell) {
    for (int l = 0; l < LINKS; l++)
        for (int s = 0; s < 2; s++)
            if (w->wires[l].used && w->wires[l].ends[s].node == i) {
                if (tell)
                    w->wires[l].ends[s].closed = true;
                else
                    w->wires[l].cut = true;
            }
    pr_engine_free(w->nodes[i].engine);
    w->nodes[i].engine = NULL;
}

static inline void world_free(world *w) {
    size_t left = 0;
    for (int i = 0; i < NODES; i++) {
        pr_engine_free(w->nodes[i].engine);
        left += w->nodes[i].heap.blocks;
    }
    for (int l = 0; l < LINKS; l++) world_free_wire(&w->wires[l]);
    free(w);
    if (left) {
        fprintf(stderr, "%zu blocks were not given back\n", left);
        abort();
    }
}

/* ---- local calls ---- */
static inline presence_owner world_owner(world *w, int i) {
    presence_owner owner;
    if (pr_engine_owner_open(w->nodes[i].engine, 0, world_time(w), &owner)) abort();
    return owner;
}

static inline int world_track(world *w, int i, presence_owner owner, const char *topic, const char *key,
                              const char *meta) {
    presence_item item = {pr_cstr(topic), pr_cstr(key), pr_cstr(meta)};
    int rc = pr_engine_track_many(w->nodes[i].engine, owner, &item, 1, world_time(w), NULL, NULL, NULL);
    world_act(w, i);
    return rc;
}

static inline int world_update(world *w, int i, presence_owner owner, const char *topic, const char *key,
                               const char *meta) {
    int rc = pr_engine_update(w->nodes[i].engine, owner, pr_cstr(topic), pr_cstr(key), NULL, pr_cstr(meta),
                              world_time(w), NULL, NULL);
    world_act(w, i);
    return rc;
}

static inline int world_untrack(world *w, int i, presence_owner owner, const char *topic, const char *key) {
    size_t removed = 0;
    int rc = pr_engine_untrack(w->nodes[i].engine, owner, pr_cstr(topic), pr_cstr(key), world_time(w), &removed);
    world_act(w, i);
    return rc ? rc : (int)removed;
}

static inline size_t world_shown(world *w, int i, const char *topic) {
    size_t keys, metas;
    pr_store_count(pr_engine_store(w->nodes[i].engine), pr_cstr(topic), &keys, &metas);
    return metas;
}

/* a is there, b joins it. */
static inline void world_pair(world *w) {
    world_start(w, 0, "a", 0);
    world_start(w, 1, "b", 1u << 0);
    world_run(w, 50);
}

static inline void world_track_some(world *w, int i, presence_owner o, int from, int to) {
    char key[16];
    for (int k = from; k < to; k++) {
        snprintf(key, sizeof key, "k%d", k);
        assert_int_equal(world_track(w, i, o, "t", key, "{\"some\":\"text\"}"), 0);
    }
}

/* The status of a member as node i lists it; 0: not listed. */
static inline int world_status(world *w, int i, const char *name, pr_member_info *out) {
    pr_member_info members[NODES * 2];
    size_t size = pr_engine_members(w->nodes[i].engine, members, NODES * 2);
    if (out) memset(out, 0, sizeof *out);
    for (size_t k = 0; k < size && k < NODES * 2; k++)
        if (strcmp(members[k].name, name) == 0) {
            if (out) *out = members[k];
            return members[k].status;
        }
    return 0;
}

#endif

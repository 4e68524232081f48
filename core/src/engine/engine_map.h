/* Small structures of the engine: a map of 64-bit keys, an intrusive list, and a heap of timers. */
#ifndef PR_ENGINE_MAP_H
#define PR_ENGINE_MAP_H

#include "alloc.h"
#include <stdbool.h>
#include <stdint.h>

/* ---- map: keys are never 0, values never 0; pointers are stored as numbers ---- */
typedef struct pr_map_slot {
    uint64_t key, value;
} pr_map_slot;
typedef struct pr_map {
    const pr_alloc *alloc;
    pr_map_slot *slots;
    size_t room, size; /* room: 0 or a power of two */
    uint64_t seed;
} pr_map;
void pr_map_init(pr_map *, const pr_alloc *, uint64_t seed);
void pr_map_free(pr_map *);
int pr_map_put(pr_map *, uint64_t key, uint64_t value); /* adds or replaces; ENOMEM changes nothing */
uint64_t pr_map_get(const pr_map *, uint64_t key);      /* 0 = none */
void *pr_map_find(const pr_map *, uint64_t key);        /* the value as a pointer; NULL = none */
void pr_map_take(pr_map *, uint64_t key);               /* removes; nothing happens if it is not there */

/* ---- list: a head is a node without owner ---- */
typedef struct pr_node {
    struct pr_node *prev, *next;
    void *owner;
} pr_node;
static inline void pr_node_init(pr_node *node, void *owner) {
    node->prev = node->next = node;
    node->owner = owner;
}
static inline bool pr_node_linked(const pr_node *node) { return node->next != node; }
static inline void pr_node_remove(pr_node *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->prev = node->next = node;
}
static inline void pr_node_append(pr_node *head, pr_node *node) {
    pr_node_remove(node);
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}
static inline void *pr_node_first(const pr_node *head) { return head->next->owner; } /* NULL: empty */

/* ---- timers: room is reserved when an object with timers is made, so that setting one cannot fail ---- */
typedef struct pr_timer {
    uint64_t at;
    size_t slot; /* position in the heap + 1, 0 = not set */
    uint8_t kind;
    void *owner;
} pr_timer;
typedef struct pr_timers {
    const pr_alloc *alloc;
    pr_timer **heap;
    size_t size, room, reserved;
} pr_timers;
void pr_timers_init(pr_timers *, const pr_alloc *);
void pr_timers_free(pr_timers *);
int pr_timers_reserve(pr_timers *, size_t more);
void pr_timers_give_back(pr_timers *, size_t count);
void pr_timer_init(pr_timer *, uint8_t kind, void *owner);
void pr_timer_set(pr_timers *, pr_timer *, uint64_t at); /* UINT64_MAX: clears */
void pr_timer_clear(pr_timers *, pr_timer *);
uint64_t pr_timers_next(const pr_timers *);         /* UINT64_MAX: none */
pr_timer *pr_timers_due(pr_timers *, uint64_t now); /* takes one that is due; NULL: none */

#endif

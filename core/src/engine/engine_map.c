/* A map from 64-bit keys to 64-bit values: open addressing, holes closed at removal. */
#include "engine_map.h"
#include "hash.h"
#include <presence.h>
#include <string.h>

void pr_map_init(pr_map *map, const pr_alloc *alloc, uint64_t seed) {
    memset(map, 0, sizeof *map);
    map->alloc = alloc;
    map->seed = seed;
}

void pr_map_free(pr_map *map) {
    if (map->alloc) pr_delete(map->alloc, map->slots, map->room * sizeof *map->slots);
    map->slots = NULL;
    map->room = map->size = 0;
}

static size_t home_of(const pr_map *map, uint64_t key) { return pr_fmix64(key ^ map->seed) & (map->room - 1); }

/* The slot of key, or the free one where it would go. */
static size_t slot_of(const pr_map *map, uint64_t key) {
    size_t at = home_of(map, key);
    while (map->slots[at].key && map->slots[at].key != key) at = (at + 1) & (map->room - 1);
    return at;
}

static int map_grow(pr_map *map) {
    size_t room = map->room ? map->room * 2 : 8;
    pr_map_slot *slots = pr_new(map->alloc, room * sizeof *slots);
    if (!slots) return PRESENCE_ENOMEM;
    pr_map old = *map;
    map->slots = slots;
    map->room = room;
    for (size_t i = 0; i < old.room; i++)
        if (old.slots[i].key) map->slots[slot_of(map, old.slots[i].key)] = old.slots[i];
    pr_delete(map->alloc, old.slots, old.room * sizeof *slots);
    return 0;
}

int pr_map_put(pr_map *map, uint64_t key, uint64_t value) {
    if (map->room) {
        size_t at = slot_of(map, key);
        if (map->slots[at].key) {
            map->slots[at].value = value;
            return 0;
        }
    }
    if ((map->size + 1) * 4 > map->room * 3) {
        int rc = map_grow(map);
        if (rc) return rc;
    }
    size_t at = slot_of(map, key);
    map->slots[at].key = key;
    map->slots[at].value = value;
    map->size++;
    return 0;
}

uint64_t pr_map_get(const pr_map *map, uint64_t key) {
    if (!map->room || !key) return 0;
    return map->slots[slot_of(map, key)].value;
}

void *pr_map_find(const pr_map *map, uint64_t key) { return (void *)(uintptr_t)pr_map_get(map, key); }

void pr_map_take(pr_map *map, uint64_t key) {
    if (!map->room || !key) return;
    size_t hole = slot_of(map, key), mask = map->room - 1;
    if (!map->slots[hole].key) return;
    map->size--;
    for (size_t at = (hole + 1) & mask; map->slots[at].key; at = (at + 1) & mask) {
        size_t home = home_of(map, map->slots[at].key);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    memset(&map->slots[hole], 0, sizeof map->slots[hole]);
}

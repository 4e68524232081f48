/* Stops: a circle of (version, ring position), oldest dropped first. */
#include "stops.h"
#include <string.h>

void pr_stops_init(pr_stops *s, const pr_alloc *alloc, uint32_t max) {
    memset(s, 0, sizeof *s);
    s->alloc = alloc;
    s->max = max;
}

void pr_stops_free(pr_stops *s) {
    pr_delete(s->alloc, s->items, s->room * sizeof *s->items);
    pr_stops_init(s, s->alloc, s->max);
}

void pr_stops_at(const pr_stops *s, uint32_t index, uint64_t *version, uint64_t *position) {
    const pr_stop *stop = &s->items[(s->first + index) % s->room];
    *version = s->version_base + stop->version;
    *position = s->position_base + stop->position;
}

static void drop_first(pr_stops *s) {
    s->first = (s->first + 1) % s->room;
    s->size--;
}

/* Straightens the circle into a wider one. False: no memory, the old one stays. */
static bool grow(pr_stops *s) {
    uint32_t room = s->room ? s->room * 2 : 16;
    if (room > s->max) room = s->max;
    pr_stop *items = pr_new(s->alloc, room * sizeof *items);
    if (items == NULL) return false;
    for (uint32_t i = 0; i < s->size; i++) items[i] = s->items[(s->first + i) % s->room];
    pr_delete(s->alloc, s->items, s->room * sizeof *s->items);
    s->items = items;
    s->first = 0;
    s->room = room;
    return true;
}

void pr_stops_add(pr_stops *s, uint64_t version, uint64_t position) {
    uint64_t last, where;
    if (s->max == 0) return;
    if (s->size > 0) {
        pr_stops_at(s, s->size - 1, &last, &where);
        if (last >= version) return;
    }
    if (version - s->version_base > UINT32_MAX || position - s->position_base > UINT32_MAX) s->size = 0;
    if (s->size == 0) s->version_base = version, s->position_base = position;
    if (s->size == s->room && (s->room == s->max || !grow(s))) {
        if (s->room == 0) return;
        drop_first(s);
    }
    pr_stop stop = {(uint32_t)(version - s->version_base), (uint32_t)(position - s->position_base)};
    s->items[(s->first + s->size++) % s->room] = stop;
}

void pr_stops_drop_below(pr_stops *s, uint64_t position) {
    while (s->size > 0 && s->position_base + s->items[s->first].position < position) drop_first(s);
}

uint32_t pr_stops_above(const pr_stops *s, uint64_t version) {
    uint32_t low = 0, high = s->size;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint64_t held, position;
        pr_stops_at(s, middle, &held, &position);
        if (held <= version)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool pr_stops_find(const pr_stops *s, uint64_t version, uint64_t *position) {
    uint64_t held;
    uint32_t above = pr_stops_above(s, version);
    if (above == 0) return false;
    pr_stops_at(s, above - 1, &held, position);
    return held == version;
}

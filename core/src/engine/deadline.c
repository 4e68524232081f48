/* The heap of timers: what is due next, for one deadline to the outside. */
#include "engine_map.h"
#include <presence.h>
#include <string.h>

void pr_timers_init(pr_timers *timers, const pr_alloc *alloc) {
    memset(timers, 0, sizeof *timers);
    timers->alloc = alloc;
}

void pr_timers_free(pr_timers *timers) {
    if (timers->alloc) pr_delete(timers->alloc, timers->heap, timers->room * sizeof *timers->heap);
    timers->heap = NULL;
    timers->size = timers->room = 0;
}

int pr_timers_reserve(pr_timers *timers, size_t more) {
    size_t need = timers->reserved + more;
    int rc = pr_room(timers->alloc, (void **)&timers->heap, &timers->room, need, sizeof *timers->heap);
    if (!rc) timers->reserved = need;
    return rc;
}

void pr_timers_give_back(pr_timers *timers, size_t count) { timers->reserved -= count; }

void pr_timer_init(pr_timer *timer, uint8_t kind, void *owner) {
    memset(timer, 0, sizeof *timer);
    timer->kind = kind;
    timer->owner = owner;
}

static void place(pr_timers *timers, size_t at, pr_timer *timer) {
    timers->heap[at] = timer;
    timer->slot = at + 1;
}

static void sift_up(pr_timers *timers, size_t at, pr_timer *timer) {
    while (at) {
        size_t parent = (at - 1) / 2;
        if (timers->heap[parent]->at <= timer->at) break;
        place(timers, at, timers->heap[parent]);
        at = parent;
    }
    place(timers, at, timer);
}

static void sift_down(pr_timers *timers, size_t at, pr_timer *timer) {
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= timers->size) break;
        if (child + 1 < timers->size && timers->heap[child + 1]->at < timers->heap[child]->at) child++;
        if (timer->at <= timers->heap[child]->at) break;
        place(timers, at, timers->heap[child]);
        at = child;
    }
    place(timers, at, timer);
}

void pr_timer_clear(pr_timers *timers, pr_timer *timer) {
    if (!timer->slot) return;
    size_t at = timer->slot - 1;
    timer->slot = 0;
    pr_timer *last = timers->heap[--timers->size];
    if (last == timer) return;
    if (at && timers->heap[(at - 1) / 2]->at > last->at)
        sift_up(timers, at, last);
    else
        sift_down(timers, at, last);
}

void pr_timer_set(pr_timers *timers, pr_timer *timer, uint64_t at) {
    if (timer->slot && timer->at == at) return;
    pr_timer_clear(timers, timer);
    if (at == UINT64_MAX) return;
    timer->at = at;
    sift_up(timers, timers->size++, timer);
}

uint64_t pr_timers_next(const pr_timers *timers) { return timers->size ? timers->heap[0]->at : UINT64_MAX; }

pr_timer *pr_timers_due(pr_timers *timers, uint64_t now) {
    if (!timers->size || timers->heap[0]->at > now) return NULL;
    pr_timer *timer = timers->heap[0];
    pr_timer_clear(timers, timer);
    return timer;
}

/* Records of one size in segments that never move; returned ones form a list through their first four bytes. */
#include "slab.h"
#include <string.h>

void pr_slab_init(pr_slab *s, const pr_alloc *alloc, uint32_t record) {
    memset(s, 0, sizeof *s);
    s->alloc = alloc;
    s->record = record;
    s->used = 1;
}

void pr_slab_free(pr_slab *s) {
    for (uint32_t i = 0; i < s->segment_count; i++)
        pr_delete(s->alloc, s->segments[i], (size_t)s->record * PR_SLAB_SEGMENT);
    pr_delete(s->alloc, s->segments, s->segment_room * sizeof *s->segments);
    pr_slab_init(s, s->alloc, s->record);
}

static bool grow_directory(pr_slab *s) {
    uint32_t room = s->segment_room ? s->segment_room * 2 : 4;
    uint8_t **segments =
        pr_resize(s->alloc, s->segments, s->segment_room * sizeof *segments, (size_t)room * sizeof *segments);
    if (!segments) return false;
    s->segments = segments;
    s->segment_room = room;
    return true;
}

static bool add_segment(pr_slab *s) {
    if (s->segment_count == s->segment_room && !grow_directory(s)) return false;
    uint8_t *segment = pr_resize(s->alloc, NULL, 0, (size_t)s->record * PR_SLAB_SEGMENT);
    if (!segment) return false;
    if (!s->segment_count) memset(segment, 0, s->record); /* index 0: nothing */
    s->segments[s->segment_count++] = segment;
    return true;
}

uint32_t pr_slab_take(pr_slab *s) {
    uint32_t index = s->returned;
    if (index) {
        memcpy(&s->returned, pr_slab_at(s, index), sizeof s->returned);
    } else {
        if (s->used == UINT32_MAX) return 0;
        if (s->used >> PR_SLAB_SHIFT >= s->segment_count && !add_segment(s)) return 0;
        index = s->used++;
        memset(pr_slab_at(s, index), 0, s->record); /* here, so that pages nothing lies on are not touched */
    }
    s->count++;
    return index;
}

void pr_slab_return(pr_slab *s, uint32_t index) {
    memcpy(pr_slab_at(s, index), &s->returned, sizeof s->returned);
    s->returned = index;
    s->count--;
}

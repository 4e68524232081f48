/* The ring of removals: append, forget from the front, read from a position or a version. */
#include "removal_ring.h"
#include <string.h>

void pr_ring_init(pr_ring *r, const pr_alloc *alloc) {
    memset(r, 0, sizeof *r);
    r->alloc = alloc;
}

static void drop_first_block(pr_ring *r) {
    pr_delete(r->alloc, r->blocks[r->first], sizeof **r->blocks);
    r->first++;
    if (r->first == r->size) r->first = r->size = 0;
}

void pr_ring_free(pr_ring *r) {
    while (r->size > 0) drop_first_block(r);
    pr_delete(r->alloc, r->blocks, r->room * sizeof(pr_ring_block *));
    r->blocks = NULL;
    r->room = 0;
}

/* The removal at `version` is lost: nothing that needs it may be answered from the ring. */
static void forget(pr_ring *r, uint64_t version) {
    while (r->size > 0) drop_first_block(r);
    r->begin = ++r->end;
    r->floor = version;
}

static bool room_for_block(pr_ring *r) {
    if (r->first > 0 && r->size == r->room) {
        memmove(r->blocks, r->blocks + r->first, (r->size - r->first) * sizeof(pr_ring_block *));
        r->size -= r->first;
        r->first = 0;
    }
    if (r->size < r->room) return true;
    size_t more = r->room ? r->room * 2 : 4;
    pr_ring_block **blocks =
        pr_resize(r->alloc, r->blocks, r->room * sizeof(pr_ring_block *), more * sizeof(pr_ring_block *));
    if (blocks == NULL) return false;
    r->blocks = blocks;
    r->room = more;
    return true;
}

static pr_ring_block *open_block(pr_ring *r, uint64_t version) {
    if (!room_for_block(r)) return NULL;
    pr_ring_block *b = pr_new(r->alloc, sizeof *b);
    if (b == NULL) return NULL;
    b->base = version;
    b->start = r->end;
    r->blocks[r->size++] = b;
    return b;
}

void pr_ring_push(pr_ring *r, uint64_t version, uint64_t eid, uint8_t reason) {
    if (version - eid > UINT32_MAX) return forget(r, version);
    pr_ring_block *b = r->size > 0 ? r->blocks[r->size - 1] : NULL;
    /* a replica may learn removals of an older version later; version < base wraps and begins a block too */
    if (b == NULL || b->size == PR_RING_BLOCK || version - b->base > UINT32_MAX) b = open_block(r, version);
    if (b == NULL) return forget(r, version);
    uint32_t i = b->size++;
    b->version[i] = (uint32_t)(version - b->base);
    b->back[i] = (uint32_t)(version - eid);
    b->reasons[i / 4] |= (uint8_t)((reason & 3u) << (i % 4 * 2));
    r->end++;
}

void pr_ring_trim(pr_ring *r, size_t max) {
    if (r->end - r->begin <= max) return;
    r->begin = r->end - max;
    while (r->size > 0) {
        const pr_ring_block *b = r->blocks[r->first];
        uint64_t dropped = r->begin - b->start;
        if (r->begin <= b->start) return;
        uint32_t last = (uint32_t)(dropped < b->size ? dropped : b->size) - 1;
        r->floor = b->base + b->version[last];
        if (dropped < b->size) return;
        drop_first_block(r);
    }
}

/* ---- reading ---- */

/* Last block that starts at or before the position. */
static size_t block_of(const pr_ring *r, uint64_t position) {
    size_t low = r->first, high = r->size;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (r->blocks[middle]->start <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low > r->first ? low - 1 : low;
}

pr_ring_reader pr_ring_read(const pr_ring *r, uint64_t position) {
    pr_ring_reader reader = {.ring = r, .block = block_of(r, position), .position = position};
    if (reader.block < r->size) reader.slot = (uint32_t)(position - r->blocks[reader.block]->start);
    return reader;
}

static uint64_t version_at(const pr_ring *r, uint64_t position) {
    const pr_ring_block *b = r->blocks[block_of(r, position)];
    return b->base + b->version[position - b->start];
}

pr_ring_reader pr_ring_read_after_version(const pr_ring *r, uint64_t version) {
    uint64_t low = r->begin, high = r->end;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (version_at(r, middle) <= version)
            low = middle + 1;
        else
            high = middle;
    }
    return pr_ring_read(r, low);
}

bool pr_ring_next(pr_ring_reader *reader, pr_removed *out) {
    const pr_ring *r = reader->ring;
    while (reader->block < r->size && reader->slot >= r->blocks[reader->block]->size) {
        reader->block++;
        reader->slot = 0;
    }
    if (reader->block >= r->size) return false;
    const pr_ring_block *b = r->blocks[reader->block];
    uint32_t i = reader->slot++;
    reader->position = b->start + i;
    reader->version = b->base + b->version[i];
    out->eid = reader->version - b->back[i];
    out->reason = b->reasons[i / 4] >> (i % 4 * 2) & 3;
    return true;
}

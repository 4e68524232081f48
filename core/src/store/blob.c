/* Blobs: small ones are cut from chunks and reused by size class, large ones are blocks of their own. */
#include "blob.h"

#define CHUNK_UNITS (1u << PR_BLOB_CHUNK_SHIFT)

void pr_blobs_init(pr_blobs *b, const pr_alloc *alloc) {
    memset(b, 0, sizeof *b);
    b->alloc = alloc;
    pr_slab_init(&b->large, alloc, sizeof(uint8_t *));
}

static size_t blob_bytes(const uint8_t *p) { return PR_BLOB_HEADER + p[0] + (size_t)(p[1] | p[2] << 8); }

static uint32_t units_of(size_t bytes) { return (uint32_t)((bytes + 7) / 8); }

static void free_large(pr_blobs *b, uint32_t index) {
    uint8_t **large = pr_slab_at(&b->large, index);
    pr_delete(b->alloc, *large, blob_bytes(*large));
    *large = NULL;
    pr_slab_return(&b->large, index);
}

void pr_blobs_free(pr_blobs *b) {
    /* a returned record of `large` holds an index where the pointer was: the returned ones are emptied first */
    for (uint32_t i = b->large.returned, next; i; i = next) {
        memcpy(&next, pr_slab_at(&b->large, i), sizeof next);
        memset(pr_slab_at(&b->large, i), 0, sizeof(uint8_t *));
    }
    for (uint32_t i = 1; i < b->large.used; i++) {
        uint8_t *large = *(uint8_t **)pr_slab_at(&b->large, i);
        if (large) pr_delete(b->alloc, large, blob_bytes(large));
    }
    pr_slab_free(&b->large);
    for (uint32_t i = 0; i < b->chunk_count; i++) pr_delete(b->alloc, b->chunks[i], (size_t)CHUNK_UNITS * 8);
    pr_delete(b->alloc, b->chunks, b->chunk_room * sizeof *b->chunks);
    pr_blobs_init(b, b->alloc);
}

static void return_units(pr_blobs *b, uint32_t handle, uint32_t units) {
    memcpy(pr_blob_at(b, handle), &b->returned[units], sizeof b->returned[units]);
    b->returned[units] = handle;
}

static bool add_chunk(pr_blobs *b) {
    if (b->chunk_count >= PR_BLOB_LARGE >> PR_BLOB_CHUNK_SHIFT) return false;
    if (b->chunk_count == b->chunk_room) {
        uint32_t room = b->chunk_room ? b->chunk_room * 2 : 4;
        uint8_t **chunks = pr_resize(b->alloc, b->chunks, b->chunk_room * sizeof *chunks, room * sizeof *chunks);
        if (!chunks) return false;
        b->chunks = chunks;
        b->chunk_room = room;
    }
    uint8_t *chunk = pr_resize(b->alloc, NULL, 0, (size_t)CHUNK_UNITS * 8);
    if (!chunk) return false;
    if (b->next < b->end) return_units(b, b->next, b->end - b->next); /* the rest is smaller than a class */
    b->chunks[b->chunk_count] = chunk;
    b->next = b->chunk_count << PR_BLOB_CHUNK_SHIFT;
    b->end = b->next + CHUNK_UNITS;
    if (!b->next) b->next = 1; /* handle 0 is none */
    b->chunk_count++;
    return true;
}

static uint32_t take_small(pr_blobs *b, uint32_t units) {
    uint32_t handle = b->returned[units];
    if (handle) {
        memcpy(&b->returned[units], pr_blob_at(b, handle), sizeof handle);
        return handle;
    }
    if (b->end - b->next < units && !add_chunk(b)) return 0;
    handle = b->next;
    b->next += units;
    return handle;
}

static uint32_t take_large(pr_blobs *b, size_t bytes) {
    uint32_t index = pr_slab_take(&b->large);
    if (!index) return 0;
    uint8_t *large = pr_resize(b->alloc, NULL, 0, bytes);
    if (!large || index & PR_BLOB_LARGE) {
        pr_delete(b->alloc, large, bytes);
        pr_slab_return(&b->large, index);
        return 0;
    }
    *(uint8_t **)pr_slab_at(&b->large, index) = large;
    return index | PR_BLOB_LARGE;
}

uint32_t pr_blob_take(pr_blobs *b, presence_str key, presence_str meta) {
    size_t bytes = PR_BLOB_HEADER + key.size + meta.size;
    uint32_t units = units_of(bytes);
    uint32_t handle = units <= PR_BLOB_CLASSES ? take_small(b, units) : take_large(b, bytes);
    if (!handle) return 0;
    uint8_t *p = pr_blob_at(b, handle);
    p[0] = (uint8_t)key.size;
    p[1] = (uint8_t)meta.size;
    p[2] = (uint8_t)(meta.size >> 8);
    if (key.size) memcpy(p + PR_BLOB_HEADER, key.data, key.size);
    if (meta.size) memcpy(p + PR_BLOB_HEADER + key.size, meta.data, meta.size);
    return handle;
}

void pr_blob_return(pr_blobs *b, uint32_t handle) {
    if (!handle) return;
    if (handle & PR_BLOB_LARGE)
        free_large(b, handle & ~PR_BLOB_LARGE);
    else
        return_units(b, handle, units_of(blob_bytes(pr_blob_at(b, handle))));
}

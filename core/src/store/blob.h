/* Texts of the store: blobs [key size][meta size][key][meta] under 32-bit handles, in 8-byte size classes; they never
 * move. Handle 0 is none. */
#ifndef PR_BLOB_H
#define PR_BLOB_H

#include "slab.h"
#include "text.h"
#include <string.h>

#define PR_BLOB_HEADER      3
#define PR_BLOB_CLASSES     128 /* up to 1024 bytes; larger blobs are blocks of their own */
#define PR_BLOB_CHUNK_SHIFT 13  /* 64 KiB of 8-byte units */
#define PR_BLOB_LARGE       0x80000000u

typedef struct pr_blobs {
    const pr_alloc *alloc;
    uint8_t **chunks;
    uint32_t chunk_count, chunk_room;
    uint32_t next, end; /* units of the current chunk not given out yet */
    uint32_t returned[PR_BLOB_CLASSES + 1];
    pr_slab large; /* of pointers */
} pr_blobs;

void pr_blobs_init(pr_blobs *, const pr_alloc *);
void pr_blobs_free(pr_blobs *);
uint32_t pr_blob_take(pr_blobs *, presence_str key, presence_str meta); /* copies; 0: no memory */
void pr_blob_return(pr_blobs *, uint32_t handle);                       /* 0 ok */

static inline uint8_t *pr_blob_at(const pr_blobs *b, uint32_t handle) {
    if (handle & PR_BLOB_LARGE) return *(uint8_t **)pr_slab_at(&b->large, handle & ~PR_BLOB_LARGE);
    return b->chunks[handle >> PR_BLOB_CHUNK_SHIFT] + (size_t)(handle & ((1u << PR_BLOB_CHUNK_SHIFT) - 1)) * 8;
}

/* Key and meta, which lie side by side. */
static inline presence_str pr_blob_texts(const pr_blobs *b, uint32_t handle) {
    const uint8_t *p = pr_blob_at(b, handle);
    return pr_str((const char *)p + PR_BLOB_HEADER, p[0] + (size_t)(p[1] | p[2] << 8));
}

static inline presence_str pr_blob_key(const pr_blobs *b, uint32_t handle) {
    const uint8_t *p = pr_blob_at(b, handle);
    return pr_str((const char *)p + PR_BLOB_HEADER, p[0]);
}

static inline presence_str pr_blob_meta(const pr_blobs *b, uint32_t handle) {
    const uint8_t *p = pr_blob_at(b, handle);
    return pr_str((const char *)p + PR_BLOB_HEADER + p[0], (size_t)(p[1] | p[2] << 8));
}

#endif

/* An allocator for tests: counts what is outstanding, checks sizes at release, and fails the n-th request. */
#ifndef PR_TEST_HEAP_H
#define PR_TEST_HEAP_H

#include "alloc.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct heap {
    size_t blocks, bytes; /* outstanding */
    size_t peak;          /* most bytes so far; a test may set it back */
    size_t requests;      /* alloc and resize, so far */
    size_t fail_in;       /* 1: the next request fails; 0: none does */
    bool fail_on;         /* and all later ones too, until this is cleared */
    size_t failed;
} heap;

static inline bool heap_refuses(heap *h) {
    h->requests++;
    if (!h->fail_in || --h->fail_in) return false;
    if (h->fail_on) h->fail_in = 1;
    h->failed++;
    return true;
}

/* Blocks carry their size in front, so that a wrong size at release is seen at once. */
static inline void heap_check(void *block, size_t size) {
    size_t known;
    memcpy(&known, (char *)block - 16, sizeof known);
    if (known == size) return;
    fprintf(stderr, "heap: a block of %zu bytes was given back as %zu\n", known, size);
    abort();
}

static inline void *heap_alloc(size_t size, void *user) {
    heap *h = user;
    char *block = heap_refuses(h) ? NULL : malloc(size + 16);
    if (!block) return NULL;
    memcpy(block, &size, sizeof size);
    memset(block + 16, 0xA5, size); /* nobody may count on zeroes */
    h->blocks++;
    h->bytes += size;
    if (h->bytes > h->peak) h->peak = h->bytes;
    return block + 16;
}

static inline void heap_release(void *block, size_t size, void *user) {
    heap *h = user;
    heap_check(block, size);
    h->blocks--;
    h->bytes -= size;
    free((char *)block - 16);
}

/* Always moves, so that a pointer kept over a resize is found. */
static inline void *heap_resize(void *block, size_t old_size, size_t size, void *user) {
    heap_check(block, old_size);
    void *moved = heap_alloc(size, user);
    if (!moved) return NULL;
    memcpy(moved, block, old_size < size ? old_size : size);
    heap_release(block, old_size, user);
    return moved;
}

static inline pr_alloc heap_allocator(heap *h) {
    pr_alloc alloc = {heap_alloc, heap_resize, heap_release, h};
    return alloc;
}

/* From now on the n-th request fails (0: none). */
static inline void heap_fail(heap *h, size_t n) {
    h->fail_in = n;
    h->failed = 0;
}

#endif

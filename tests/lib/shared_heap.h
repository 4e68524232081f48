/* The counted allocator of heap.h for trackers: their loop thread allocates too, so it is guarded by a mutex. */
#ifndef PR_TEST_SHARED_HEAP_H
#define PR_TEST_SHARED_HEAP_H

#include "heap.h"
#include "trackers.h"
#include <pthread.h>

typedef struct shared_heap {
    pthread_mutex_t mutex;
    heap heap;
} shared_heap;

static inline void *shared_alloc(size_t size, void *user) {
    shared_heap *s = user;
    pthread_mutex_lock(&s->mutex);
    void *block = heap_alloc(size, &s->heap);
    pthread_mutex_unlock(&s->mutex);
    return block;
}

static inline void *shared_resize(void *block, size_t old_size, size_t size, void *user) {
    shared_heap *s = user;
    pthread_mutex_lock(&s->mutex);
    void *moved = heap_resize(block, old_size, size, &s->heap);
    pthread_mutex_unlock(&s->mutex);
    return moved;
}

static inline void shared_release(void *block, size_t size, void *user) {
    shared_heap *s = user;
    pthread_mutex_lock(&s->mutex);
    heap_release(block, size, &s->heap);
    pthread_mutex_unlock(&s->mutex);
}

static inline void shared_fail(shared_heap *s, size_t n) {
    pthread_mutex_lock(&s->mutex);
    heap_fail(&s->heap, n);
    pthread_mutex_unlock(&s->mutex);
}

static inline bool shared_failed(shared_heap *s) {
    pthread_mutex_lock(&s->mutex);
    bool failed = s->heap.failed > 0;
    pthread_mutex_unlock(&s->mutex);
    return failed;
}

static inline presence_config *config_on(shared_heap *s, const char *const *options) {
    presence_config *config = make_config(options);
    assert_int_equal(presence_config_set_allocator(config, shared_alloc, shared_resize, shared_release, s), 0);
    return config;
}

static inline presence_tracker *open_on(shared_heap *s, const char *const *options) {
    presence_config *config = config_on(s, options);
    presence_tracker *tracker;
    assert_int_equal(presence_tracker_open(config, &tracker), 0);
    presence_config_free(config);
    return tracker;
}

#endif

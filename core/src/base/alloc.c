/* Memory of a tracker: a thin layer over its three callbacks, malloc by default. */
#include "alloc.h"
#include <presence.h>
#include <stdlib.h>
#include <string.h>

static void *default_alloc(size_t size, void *user) {
    (void)user;
    return malloc(size);
}

static void *default_resize(void *block, size_t old_size, size_t size, void *user) {
    (void)old_size, (void)user;
    return realloc(block, size);
}

static void default_release(void *block, size_t size, void *user) {
    (void)size, (void)user;
    free(block);
}

pr_alloc pr_alloc_default(void) {
    pr_alloc alloc = {default_alloc, default_resize, default_release, NULL};
    return alloc;
}

void *pr_new(const pr_alloc *alloc, size_t size) {
    void *block = alloc->alloc(size ? size : 1, alloc->user);
    if (block) memset(block, 0, size);
    return block;
}

void *pr_resize(const pr_alloc *alloc, void *block, size_t old_size, size_t size) {
    if (!block) return alloc->alloc(size ? size : 1, alloc->user);
    return alloc->resize(block, old_size, size ? size : 1, alloc->user);
}

void pr_delete(const pr_alloc *alloc, void *block, size_t size) {
    if (block) alloc->release(block, size ? size : 1, alloc->user);
}

int pr_room(const pr_alloc *alloc, void **array, size_t *room, size_t need, size_t item) {
    if (need <= *room) return 0;
    size_t more = *room ? *room : 16;
    while (more < need) more *= 2;
    void *grown = pr_resize(alloc, *array, *room * item, more * item);
    if (!grown) return PRESENCE_ENOMEM;
    *array = grown;
    *room = more;
    return 0;
}

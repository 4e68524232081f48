/* Memory: every allocation of a tracker goes through its allocator, with sizes known at release. */
#ifndef PR_ALLOC_H
#define PR_ALLOC_H

#include <stddef.h>

typedef struct pr_alloc {
    void *(*alloc)(size_t size, void *user);
    void *(*resize)(void *block, size_t old_size, size_t size, void *user); /* block NULL: alloc */
    void (*release)(void *block, size_t size, void *user);
    void *user;
} pr_alloc;

pr_alloc pr_alloc_default(void); /* malloc, realloc, free */

void *pr_new(const pr_alloc *, size_t size);                                  /* zeroed; NULL: no memory */
void *pr_resize(const pr_alloc *, void *block, size_t old_size, size_t size); /* not zeroed; on NULL block is kept */
void pr_delete(const pr_alloc *, void *block, size_t size);                   /* NULL ok */
/* Room for `need` items in a growing array: *array and *room are changed, or ENOMEM and neither is. */
int pr_room(const pr_alloc *, void **array, size_t *room, size_t need, size_t item);

#endif

/* Sorting in place without memory: heap sort, with a look first whether the order is right already. */
#ifndef PR_SORT_H
#define PR_SORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `less` is a total order of the values. */
void pr_sort_u32(uint32_t *values, size_t size, bool (*less)(const void *context, uint32_t a, uint32_t b),
                 const void *context);

#endif

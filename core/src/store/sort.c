/* Heap sort of 32-bit values; mostly they come in order, which costs one pass. */
#include "sort.h"

typedef bool (*less_fn)(const void *context, uint32_t a, uint32_t b);

static bool sorted(const uint32_t *values, size_t size, less_fn less, const void *context) {
    for (size_t i = 1; i < size; i++)
        if (less(context, values[i], values[i - 1])) return false;
    return true;
}

static void sift_down(uint32_t *values, size_t pos, size_t size, less_fn less, const void *context) {
    uint32_t value = values[pos];
    for (size_t child; (child = 2 * pos + 1) < size; pos = child) {
        if (child + 1 < size && less(context, values[child], values[child + 1])) child++;
        if (!less(context, value, values[child])) break;
        values[pos] = values[child];
    }
    values[pos] = value;
}

void pr_sort_u32(uint32_t *values, size_t size, less_fn less, const void *context) {
    if (sorted(values, size, less, context)) return;
    for (size_t i = size / 2; i--;) sift_down(values, i, size, less, context);
    for (size_t end = size; --end;) {
        uint32_t greatest = values[0];
        values[0] = values[end];
        values[end] = greatest;
        sift_down(values, 0, end, less, context);
    }
}

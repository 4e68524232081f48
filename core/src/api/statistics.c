/* The table of counters, one row per field of presence_statistics. */
#include <presence.h>
#include <stddef.h>

static const struct {
    const char *name, *kind, *help;
    size_t offset;
} table[] = {
#define STATISTIC(field, kind, help) {#field, #kind, help, offsetof(presence_statistics, field)},
#include "statistics.def"
#undef STATISTIC
};
enum { ROWS = sizeof table / sizeof *table };
_Static_assert(sizeof(presence_statistics) == sizeof(size_t) + ROWS * sizeof(uint64_t),
               "a field of presence_statistics has no row");

const char *presence_statistic_at(size_t index, const char **kind, const char **help) {
    if (index >= ROWS) return NULL;
    if (kind) *kind = table[index].kind;
    if (help) *help = table[index].help;
    return table[index].name;
}

uint64_t presence_statistic_value(const presence_statistics *stats, size_t index) {
    if (!stats || index >= ROWS || table[index].offset + sizeof(uint64_t) > stats->size) return 0;
    return *(const uint64_t *)((const char *)stats + table[index].offset);
}

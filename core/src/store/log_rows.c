/* The member behind each log index: id, name, and how many entries are held of it. */
#include "records.h"

pr_log_row *pr_log_row_at(const pr_store *s, uint16_t log) {
    pr_log_row *rows = s->logs[log / PR_LOG_SEGMENT];
    return rows ? &rows[log % PR_LOG_SEGMENT] : NULL;
}

pr_log_row *pr_log_row_need(pr_store *s, uint16_t log) {
    pr_log_row **rows = &s->logs[log / PR_LOG_SEGMENT];
    if (!*rows) *rows = pr_new(&s->memory, PR_LOG_SEGMENT * sizeof **rows);
    return *rows ? &(*rows)[log % PR_LOG_SEGMENT] : NULL;
}

uint64_t pr_log_row_inst(const pr_store *s, uint16_t log) {
    const pr_log_row *row = pr_log_row_at(s, log);
    return row ? row->inst : 0;
}

presence_str pr_log_row_name(const pr_store *s, uint16_t log) {
    const pr_log_row *row = pr_log_row_at(s, log);
    return row ? pr_str(row->name, row->name_size) : pr_str("", 0);
}

void pr_log_rows_free(pr_store *s) {
    for (size_t i = 0; i < 65536 / PR_LOG_SEGMENT; i++)
        pr_delete(&s->memory, s->logs[i], PR_LOG_SEGMENT * sizeof **s->logs);
}

int pr_store_name_log(pr_store *s, uint16_t log, uint64_t inst, presence_str name) {
    pr_log_row *row = pr_log_row_need(s, log);
    if (!row) return PRESENCE_ENOMEM;
    if (name.size > sizeof row->name) name.size = sizeof row->name;
    row->inst = inst;
    row->done = false;
    row->name_size = (uint8_t)name.size;
    if (name.size) memcpy(row->name, name.data, name.size);
    if (name.size > s->longest_name) s->longest_name = name.size;
    return 0;
}

int pr_store_log_inst(const pr_store *s, uint16_t log, uint64_t *inst) {
    *inst = pr_log_row_inst(s, log);
    return *inst ? 0 : PRESENCE_EINVAL;
}

size_t pr_store_log_count(const pr_store *s, uint16_t log) {
    const pr_log_row *row = pr_log_row_at(s, log);
    return row ? row->entries : 0;
}

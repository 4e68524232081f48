/* The ring of log lines. */
#include "log_lines.h"
#include <inttypes.h>
#include <presence.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int pr_log_lines_init(pr_log_lines *lines, const pr_alloc *alloc, void (*log)(int, const char *, void *), void *user,
                      int level) {
    memset(lines, 0, sizeof *lines);
    lines->alloc = alloc;
    lines->user = user;
    lines->level = level;
    if (pthread_mutex_init(&lines->mutex, NULL) != 0) return PRESENCE_ENOMEM;
    if (!log) return 0;
    lines->lines = pr_new(alloc, PR_LINES_MAX * sizeof *lines->lines);
    if (!lines->lines) {
        pthread_mutex_destroy(&lines->mutex);
        return PRESENCE_ENOMEM;
    }
    lines->log = log;
    return 0;
}

void pr_log_lines_free(pr_log_lines *lines) {
    pr_delete(lines->alloc, lines->lines, PR_LINES_MAX * sizeof *lines->lines);
    pthread_mutex_destroy(&lines->mutex);
}

void pr_log_line(pr_log_lines *lines, int level, const char *form, ...) {
    if (!lines->log || level > lines->level) return;
    va_list arguments;
    va_start(arguments, form);
    pthread_mutex_lock(&lines->mutex);
    if (lines->size == PR_LINES_MAX) {
        lines->suppressed++;
    } else {
        pr_line *line = &lines->lines[(lines->first + lines->size++) % PR_LINES_MAX];
        line->level = level;
        vsnprintf(line->text, sizeof line->text, form, arguments);
    }
    pthread_mutex_unlock(&lines->mutex);
    va_end(arguments);
}

/* The next line into *out; false: none, or over the rate of this second. */
static bool next(pr_log_lines *lines, uint64_t now_ms, pr_line *out) {
    bool found = false;
    pthread_mutex_lock(&lines->mutex);
    if (now_ms / 1000 != lines->second) {
        lines->second = now_ms / 1000;
        lines->in_second = 0;
        if (lines->suppressed > 0) {
            out->level = PRESENCE_LOG_WARNING;
            snprintf(out->text, sizeof out->text, "log.suppressed count=%" PRIu64, lines->suppressed);
            lines->suppressed = 0;
            found = true;
        }
    }
    while (!found && lines->size > 0) {
        *out = lines->lines[lines->first];
        lines->first = (lines->first + 1) % PR_LINES_MAX;
        lines->size--;
        found = lines->in_second < PR_LINES_RATE;
        if (found) {
            lines->in_second++;
        } else {
            lines->suppressed++;
        }
    }
    pthread_mutex_unlock(&lines->mutex);
    return found;
}

void pr_log_lines_flush(pr_log_lines *lines, uint64_t now_ms) {
    pr_line line;
    if (!lines->log) return;
    while (next(lines, now_ms, &line)) lines->log(line.level, line.text, lines->user);
}

const char *pr_log_value(const char *text, char *room, size_t size) {
    bool plain = *text != 0;
    for (const char *p = text; *p; p++) {
        if ((unsigned char)*p <= ' ' || *p == '"' || *p == '\\' || *p == '=' || *p == 127) plain = false;
    }
    if (plain) return text;
    size_t at = 0;
    room[at++] = '"';
    for (const char *p = text; *p && at + 3 < size; p++) {
        if (*p == '"' || *p == '\\') room[at++] = '\\';
        room[at++] = (unsigned char)*p < ' ' || *p == 127 ? '?' : *p;
    }
    room[at++] = '"';
    room[at] = 0;
    return room;
}

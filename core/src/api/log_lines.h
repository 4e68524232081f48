/* Log lines wait here until the loop thread gives them to the program: no callback under a lock, a bounded rate. */
#ifndef PR_LOG_LINES_H
#define PR_LOG_LINES_H

#include "alloc.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define PR_LINES_MAX  64
#define PR_LINE_BYTES 480
#define PR_LINES_RATE 100 /* a second */

typedef struct pr_line {
    int level;
    char text[PR_LINE_BYTES];
} pr_line;

typedef struct pr_log_lines {
    pthread_mutex_t mutex;
    const pr_alloc *alloc;
    void (*log)(int level, const char *line, void *user); /* NULL: nothing is kept */
    void *user;
    int level;
    pr_line *lines; /* a ring */
    size_t first, size;
    uint64_t suppressed, second;
    unsigned in_second;
} pr_log_lines;

int pr_log_lines_init(pr_log_lines *, const pr_alloc *, void (*log)(int, const char *, void *), void *user, int level);
void pr_log_lines_free(pr_log_lines *);
/* "event key=value …"; cut at PR_LINE_BYTES. Any thread, any lock. */
void pr_log_line(pr_log_lines *, int level, const char *form, ...) __attribute__((format(printf, 3, 4)));
void pr_log_lines_flush(pr_log_lines *, uint64_t now_ms); /* the loop thread, no lock held */
/* text as the value of a key: quoted if it has a blank, a quote or a control character */
const char *pr_log_value(const char *text, char *room, size_t size);

#endif

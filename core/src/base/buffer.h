/* A growing byte buffer with a hard maximum. */
#ifndef PR_BUFFER_H
#define PR_BUFFER_H

#include "alloc.h"
#include <presence.h>
#include <stdint.h>

typedef struct pr_buffer {
    const pr_alloc *alloc;
    uint8_t *data;
    size_t size, room, max;
    int failed; /* sticky: 0, PRESENCE_ENOMEM, or PRESENCE_ELIMIT; appends do nothing once set */
} pr_buffer;

void pr_buffer_init(pr_buffer *, const pr_alloc *, size_t max);
void pr_buffer_free(pr_buffer *);
void pr_buffer_clear(pr_buffer *);               /* keeps the room, clears failed */
int pr_buffer_reserve(pr_buffer *, size_t more); /* 0 or failed */
void pr_buffer_append(pr_buffer *, const void *data, size_t size);
void pr_buffer_text(pr_buffer *, const char *text); /* without the terminator */
void pr_buffer_str(pr_buffer *, presence_str);
void pr_buffer_varint(pr_buffer *, uint64_t);
void pr_buffer_json_string(pr_buffer *, presence_str); /* quoted and escaped */

#endif

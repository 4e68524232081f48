/* What an engine asked its network to do, in order; guarded by the tracker's lock. */
#ifndef PR_OUTBOX_H
#define PR_OUTBOX_H

#include "engine.h"

typedef struct pr_outbox {
    pr_action *actions;
    size_t size, room;
} pr_outbox;

int pr_outbox_reserve(pr_outbox *, const pr_alloc *); /* room for one more: 0 or ENOMEM */
void pr_outbox_add(pr_outbox *, const pr_action *);   /* after reserve */
/* Releases the bytes of what is left from `from` on. */
void pr_outbox_free(pr_outbox *, const pr_alloc *, size_t from);

#endif

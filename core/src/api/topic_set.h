/* Topics by name with one number and one pointer each: subscriptions, and topics that wait for a resync. */
#ifndef PR_TOPIC_SET_H
#define PR_TOPIC_SET_H

#include "alloc.h"
#include "text.h"

typedef struct pr_topic {
    struct pr_topic *next;
    uint64_t hash, number;
    void *pointer;
    size_t size;
    char name[];
} pr_topic;

typedef struct pr_topic_set {
    const pr_alloc *alloc;
    pr_topic **buckets;
    size_t room, size; /* room: 0 or a power of two */
} pr_topic_set;

void pr_topic_set_init(pr_topic_set *, const pr_alloc *);
void pr_topic_set_free(pr_topic_set *);
pr_topic *pr_topic_set_find(const pr_topic_set *, presence_str name);
pr_topic *pr_topic_set_add(pr_topic_set *, presence_str name); /* not there yet; NULL: no memory */
void pr_topic_set_detach(pr_topic_set *, pr_topic *);          /* the caller owns it */
void pr_topic_set_attach(pr_topic_set *, pr_topic *);          /* a detached one, back into the same set */
void pr_topic_free(pr_topic_set *, pr_topic *);                /* a detached one; NULL ok */

#endif

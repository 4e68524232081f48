/* The bounded queue of one tracker's undelivered events (api.md, guarantee 5).
 *
 * Happy path: append -> the consumer takes one after the other.
 * Overflow: more than `limit` bytes wait and a diff is appended: every waiting diff, and this one, becomes "resync of
 *   its topic", once per topic. Until such a resync is taken, further diffs of its topic are swallowed, for the state
 *   is built when it is taken: nothing is lost and nothing twice.
 * Before the tracker is synced nothing overflows; what waits at that moment is allowed on top of the limit until the
 *   consumer is below it.
 * Member and error events are few and not replaced, but bounded: the oldest go first.
 *
 * The queue takes no lock; see tracker.h.
 */
#ifndef PR_EVENT_QUEUE_H
#define PR_EVENT_QUEUE_H

#include "engine.h"
#include "topic_set.h"

#define PR_NOTES_MAX 1024 /* member and error events kept */

typedef struct pr_note { /* of MEMBER, SYNCED, ERROR, STOPPED */
    int code;
    pr_member_info member;
    char text[PR_ADDRESS_MAX + 1 + 320];
} pr_note;

typedef struct pr_queued {
    struct pr_queued *next;
    int kind;        /* enum presence_event_type */
    pr_diff *diff;   /* DIFF */
    pr_topic *topic; /* RESYNC: in `resyncs` while it waits */
    pr_note *note;
} pr_queued;

typedef struct pr_queue {
    const pr_alloc *alloc;
    pr_queued *first, **end;
    size_t size, notes;
    size_t bytes;            /* of everything that waits */
    size_t diff_bytes;       /* of diffs: what is limited, for resyncs cannot become fewer */
    size_t limit, allowance; /* allowance: what had waited when it became bounded */
    bool bounded, closed;
    pr_topic_set resyncs; /* topics of the resyncs that wait */
    uint64_t overflows;   /* resyncs made */
    uint64_t appended;    /* events so far */
    pr_queued *spare;     /* so that an action that was taken always finds a node */
    pr_note *spare_note;
    pr_queued *last; /* STOPPED, made at the beginning so that it can always be told */
} pr_queue;

int pr_queue_init(pr_queue *, const pr_alloc *, size_t limit); /* 0 or ENOMEM; free in both cases */
void pr_queue_free(pr_queue *);
int pr_queue_reserve(pr_queue *);             /* one append of any kind cannot fail after this; ENOMEM */
void pr_queue_diff(pr_queue *, pr_diff *);    /* takes the diff */
pr_note *pr_queue_note(pr_queue *, int kind); /* appended; the caller fills it in */
void pr_queue_synced(pr_queue *);             /* from now on bounded */
pr_note *pr_queue_close(pr_queue *);          /* appends STOPPED: nothing follows; NULL: it was closed */
pr_queued *pr_queue_take(pr_queue *);         /* NULL: empty; RESYNC: its topic may be filled again from now on */
void pr_queue_put_back(pr_queue *, pr_queued *);
void pr_queued_free(pr_queue *, pr_queued *); /* with its diff and note */
presence_str pr_queued_topic(const pr_queued *);

#endif

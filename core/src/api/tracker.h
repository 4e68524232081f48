/* A tracker: the engine, its network, its locks and its events.
 *
 * Locks, always taken in this order:
 *   lock    reader/writer: the engine, the store, `end`, the marked part of net. Writers: every change, every slice of
 *           the loop. Never held across a system call or a callback.
 *   events  mutex: the queue, subscriptions, delivery, life. Its condition variable tells every change of them.
 *   lines   mutex: log lines on their way to the loop thread.
 */
#ifndef PR_TRACKER_H
#define PR_TRACKER_H

#include "config.h"
#include "log_lines.h"
#include "memory.h"
#include "queue.h"
#include "transport.h"
#include "virtual.h"
#include <pthread.h>

struct presence_tracker {
    pr_memory *memory;
    const pr_alloc *alloc;
    pr_fork_mark mark;
    pthread_rwlock_t lock;
    pr_engine *engine;
    pr_transport *net;
    int end;          /* what calls give: 0 while it runs, ECLOSED, ENAME */
    bool crashed;     /* by presence_sim_crash */
    bool beyond;      /* addresses beyond loopback may be dialled */
    uint64_t cluster; /* hash of its name */
    bool want_wake;   /* the loop has a wake or a line to deliver */
    bool want_signal; /* somebody waits for `changed` */
    pr_action action; /* the one being settled: large, so not on a stack */
    char cluster_name[PR_CLUSTER_MAX + 1], name[PR_MEMBER_NAME_MAX + 1], address[PR_ADDRESS_MAX + 1];
    char ended_text[PR_ADDRESS_MAX + 80]; /* why, for STOPPED */

    pthread_mutex_t events;
    pthread_cond_t changed;
    pr_queue queue;
    uint64_t appended_told;               /* queue.appended when presence_sim_waiting was last asked */
    uint64_t overflows_told, overflow_ms; /* in the last log line about them, and when that was */
    pr_topic_set subscribed;              /* number: diffs up to this seq are older than its first state */
    bool subscribed_all;
    bool loop_ended, joining, joined;
    int synced; /* as pr_engine_synced */
    /* delivery */
    void (*wake)(void *user);
    void *wake_user;
    bool wake_due;
    unsigned wakes_running;
    uint64_t delivered_ms; /* when an event was last taken */
    bool draining;
    pthread_t drainer; /* while draining: the thread whose event callback may run */
    presence_event_fn dispatch;
    void *dispatch_user;
    pthread_t dispatcher;
    bool dispatch_ending, dispatch_done, dispatch_joining;

    pr_log_lines lines;
};

/* As presence_tracker_open; network NULL: the real one. */
int pr_tracker_open(presence_config *, pr_virtual *network, presence_tracker **out);

/* ---- entering calls: 0, or EINVAL, EFORKED, `end` (then nothing is locked) ---- */
int pr_tracker_enter_write(presence_tracker *);
void pr_tracker_leave_write(presence_tracker *);
int pr_tracker_enter_read(presence_tracker *);
void pr_tracker_leave_read(presence_tracker *);
int pr_tracker_check(const presence_tracker *); /* EINVAL, EFORKED; locks nothing */

void pr_tracker_free(presence_tracker *);                                                /* nothing runs any more */
bool pr_tracker_is_own(const presence_tracker *, const pr_address *seed, uint16_t port); /* its own listening address */

/* ---- settle.c: from actions to the network and to events ---- */
void pr_settle(presence_tracker *); /* lock held exclusively */
pr_transport_hooks pr_settle_hooks(presence_tracker *);

/* ---- deliver.c ---- */
bool pr_deliver_in_callback(presence_tracker *); /* does this thread run one of the tracker's event callbacks? */
void pr_deliver_wake(presence_tracker *);        /* calls wake if it is due; no lock held */
int pr_deliver_end_dispatch(presence_tracker *); /* waits for the dispatch thread to end; ETHREAD */

#endif

/* Stopping, closing, waiting.
 *
 * Happy path of stop: calls fail from now on -> LEAVE on every link -> the loop writes it out, closes all, appends
 * STOPPED, ends -> its thread is joined -> the dispatch thread, if any, has delivered STOPPED and is joined.
 * Failure paths:
 *   called again, or by several threads at once: all wait for the same end; one of them joins.
 *   the tracker yielded to a twin: the loop is ending by itself, stop only waits and joins.
 *   not over in time (a callback that does not return): ETIMEDOUT, may be called again.
 *   in a callback: ETHREAD, nothing happens. In a forked child: EFORKED; close closes the inherited descriptors (or the
 *   parent's death would not be seen by its peers) and frees memory if no thread of the parent was changing it at the
 *   fork; else it leaves it.
 */
#include "tracker.h"
#include <errno.h>
#include <string.h>
#include <time.h>

#define JOIN_SLACK_MS 3000 /* beyond the time-out: closing links lingers for a second at most */

static struct timespec deadline_after(int64_t ms) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) t.tv_sec++, t.tv_nsec -= 1000000000;
    return t;
}

static void ask_to_stop(presence_tracker *tracker, int timeout_ms) {
    pthread_rwlock_wrlock(&tracker->lock);
    if (tracker->end == 0) {
        tracker->end = PRESENCE_ECLOSED;
        pr_engine_leave(tracker->engine, pr_transport_now(tracker->net));
        pr_settle(tracker);
        pr_transport_stop(tracker->net, timeout_ms < 0 ? UINT32_MAX : (uint32_t)timeout_ms);
    }
    pthread_rwlock_unlock(&tracker->lock);
    pthread_cond_broadcast(&tracker->changed); /* those who wait for synced give up */
    pr_transport_wake(tracker->net);
}

static int wait_for_loop(presence_tracker *tracker, const struct timespec *deadline) {
    int failed = 0;
    pthread_mutex_lock(&tracker->events);
    while (!tracker->loop_ended && failed == 0) {
        failed = pthread_cond_timedwait(&tracker->changed, &tracker->events, deadline);
    }
    bool ended = tracker->loop_ended, mine = ended && !tracker->joining;
    if (mine) tracker->joining = true;
    while (ended && !mine && !tracker->joined) pthread_cond_wait(&tracker->changed, &tracker->events);
    pthread_mutex_unlock(&tracker->events);
    if (!ended) return PRESENCE_ETIMEDOUT;
    if (!mine) return 0;
    pr_transport_join(tracker->net);
    pthread_mutex_lock(&tracker->events);
    tracker->joined = true;
    pthread_mutex_unlock(&tracker->events);
    pthread_cond_broadcast(&tracker->changed);
    return 0;
}

/* The dispatch thread ends by itself after STOPPED; it is joined by close. */
static int wait_for_dispatch(presence_tracker *tracker, const struct timespec *deadline) {
    int failed = 0;
    pthread_mutex_lock(&tracker->events);
    while (tracker->dispatch && !tracker->dispatch_done && failed == 0) {
        failed = pthread_cond_timedwait(&tracker->changed, &tracker->events, deadline);
    }
    bool done = !tracker->dispatch || tracker->dispatch_done;
    pthread_mutex_unlock(&tracker->events);
    return done ? 0 : PRESENCE_ETIMEDOUT;
}

int presence_tracker_stop(presence_tracker *tracker, int timeout_ms) {
    int failed = pr_tracker_check(tracker);
    if (failed) return failed;
    if (pr_transport_is_thread(tracker->net) || pr_deliver_in_callback(tracker)) return PRESENCE_ETHREAD;
    struct timespec deadline = deadline_after((timeout_ms < 0 ? 0 : (int64_t)timeout_ms) + JOIN_SLACK_MS);
    ask_to_stop(tracker, timeout_ms);
    failed = wait_for_loop(tracker, &deadline);
    return failed ? failed : wait_for_dispatch(tracker, &deadline);
}

/* No thread of ours exists here. What a thread of the parent was changing at the fork cannot be walked. */
static void close_in_child(presence_tracker *tracker) {
    pr_transport_forget(tracker->net);
    tracker->net = NULL;
    if (pthread_rwlock_trywrlock(&tracker->lock) != 0) return;
    pthread_rwlock_unlock(&tracker->lock);
    if (pthread_mutex_trylock(&tracker->events) != 0) return;
    pthread_mutex_unlock(&tracker->events);
    if (pthread_mutex_trylock(&tracker->lines.mutex) != 0) return;
    pthread_mutex_unlock(&tracker->lines.mutex);
    pr_engine_free(tracker->engine);
    pr_queue_free(&tracker->queue);
    pr_topic_set_free(&tracker->subscribed);
    pr_delete(tracker->alloc, tracker->lines.lines, PR_LINES_MAX * sizeof *tracker->lines.lines);
    pr_fork_mark_free(&tracker->mark);
    pr_memory *memory = tracker->memory;
    pr_delete(&memory->alloc, tracker, sizeof *tracker);
    pr_memory_release(memory);
}

void presence_tracker_close(presence_tracker *tracker) {
    if (!tracker) return;
    if (pr_tracker_check(tracker) == PRESENCE_EFORKED) {
        close_in_child(tracker);
        return;
    }
    if (pr_transport_is_thread(tracker->net) || pr_deliver_in_callback(tracker)) {
        pr_log_line(&tracker->lines, PRESENCE_LOG_ERROR, "close.refused reason=\"inside a callback\"");
        return;
    }
    pthread_mutex_lock(&tracker->events);
    tracker->dispatch_ending = true;
    pthread_mutex_unlock(&tracker->events);
    while (presence_tracker_stop(tracker, 1000) == PRESENCE_ETIMEDOUT) {}
    pr_deliver_end_dispatch(tracker);
    pr_tracker_free(tracker);
}

int presence_tracker_address(presence_tracker *tracker, char *buf, size_t size) {
    if (!buf) return PRESENCE_EINVAL;
    int failed = pr_tracker_enter_read(tracker);
    if (failed) return failed;
    size_t length = strlen(tracker->address);
    if (length + 1 > size) {
        failed = PRESENCE_ELIMIT;
    } else {
        memcpy(buf, tracker->address, length + 1);
    }
    pr_tracker_leave_read(tracker);
    return failed;
}

static int tracker_end(presence_tracker *tracker) {
    pthread_rwlock_rdlock(&tracker->lock);
    int end = tracker->end;
    pthread_rwlock_unlock(&tracker->lock);
    return end;
}

#define VIRTUAL_PATIENCE_MS 600000 /* for ever, in virtual time: heartbeats never end */

/* Time moves because somebody waits. */
static int wait_virtually(presence_tracker *tracker, int timeout_ms) {
    uint64_t wait = timeout_ms < 0 ? VIRTUAL_PATIENCE_MS : (uint64_t)timeout_ms;
    uint64_t until = pr_transport_now(tracker->net).mono_ms + wait;
    for (bool more = true;; more = wait > 0 && pr_transport_advance(tracker->net, until)) {
        int end = tracker_end(tracker);
        if (end) return end;
        pthread_mutex_lock(&tracker->events);
        int synced = tracker->synced;
        pthread_mutex_unlock(&tracker->events);
        if (synced) return synced == 2;
        if (!more) return PRESENCE_ETIMEDOUT;
    }
}

int presence_wait_synced(presence_tracker *tracker, int timeout_ms) {
    int failed = pr_tracker_check(tracker), waited = 0;
    if (failed) return failed;
    if (pr_transport_is_thread(tracker->net)) return PRESENCE_ETHREAD;
    if (pr_virtual_is(tracker->net)) return wait_virtually(tracker, timeout_ms);
    struct timespec deadline = deadline_after(timeout_ms);
    for (;;) {
        int end = tracker_end(tracker); /* before the mutex: lock order */
        if (end) return end;
        pthread_mutex_lock(&tracker->events);
        int synced = tracker->synced;
        if (synced == 0 && waited == 0 && !tracker->loop_ended) {
            if (timeout_ms < 0) {
                pthread_cond_wait(&tracker->changed, &tracker->events);
            } else {
                waited = pthread_cond_timedwait(&tracker->changed, &tracker->events, &deadline);
            }
            synced = tracker->synced;
        }
        pthread_mutex_unlock(&tracker->events);
        if (synced) return synced == 2;
        if (waited == ETIMEDOUT) return PRESENCE_ETIMEDOUT;
    }
}

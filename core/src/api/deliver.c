/* Waking the consumer and giving it events, on its thread or on a dispatch thread. No lock is held in a callback. */
#include "event.h"
#include "tracker.h"
#include <signal.h>
#include <string.h>

#define DISPATCH_SLICE 256

/* ---- wake ---- */
/* Calls wake without a lock; who removes it waits until no call runs. events is held, and held again afterwards. */
static void call_wake(presence_tracker *tracker) {
    void (*wake)(void *) = tracker->wake;
    void *user = tracker->wake_user;
    tracker->wake_due = false;
    tracker->wakes_running++;
    pthread_mutex_unlock(&tracker->events);
    wake(user);
    pthread_mutex_lock(&tracker->events);
    tracker->wakes_running--;
    if (tracker->wakes_running == 0) pthread_cond_broadcast(&tracker->changed);
}

void pr_deliver_wake(presence_tracker *tracker) {
    pthread_mutex_lock(&tracker->events);
    if (tracker->wake_due && tracker->wake && tracker->queue.size > 0) call_wake(tracker);
    pthread_mutex_unlock(&tracker->events);
}

int presence_set_wake_callback(presence_tracker *tracker, void (*wake)(void *user), void *user) {
    int failed = pr_tracker_check(tracker);
    if (failed) return failed;
    pthread_mutex_lock(&tracker->events);
    if (wake && tracker->dispatch) {
        failed = PRESENCE_ESTATE;
    } else {
        tracker->wake = wake;
        tracker->wake_user = user;
        while (tracker->wakes_running > 0) pthread_cond_wait(&tracker->changed, &tracker->events);
        if (tracker->wake && tracker->queue.size > 0) call_wake(tracker);
    }
    pthread_mutex_unlock(&tracker->events);
    return failed;
}

/* ---- taking ---- */
static bool wanted(const presence_tracker *tracker, const pr_queued *event) {
    if (event->kind != PRESENCE_EVENT_DIFF && event->kind != PRESENCE_EVENT_RESYNC) return true;
    const pr_topic *topic = pr_topic_set_find(&tracker->subscribed, pr_queued_topic(event));
    if (topic && event->diff && event->diff->seq <= topic->number) return tracker->subscribed_all;
    return topic || tracker->subscribed_all;
}

/* The next wanted event whose state, if it is a resync, is built in the same moment: lock is held shared then, so no
 * diff can come between. 1: *out is set, 0: none left, ENOMEM: nothing was taken. */
static int take(presence_tracker *tracker, bool locked, pr_queued **out, pr_rows **rows) {
    int result = 0;
    uint64_t now_ms = pr_transport_now(tracker->net).mono_ms;
    pthread_mutex_lock(&tracker->events);
    while (result == 0 && tracker->queue.first) {
        if (tracker->queue.first->kind == PRESENCE_EVENT_RESYNC && !locked) {
            result = 2; /* come again with the lock */
            break;
        }
        pr_queued *event = pr_queue_take(&tracker->queue);
        if (!wanted(tracker, event)) {
            pr_queued_free(&tracker->queue, event);
            continue;
        }
        result = 1;
        tracker->delivered_ms = now_ms;
        if (event->kind == PRESENCE_EVENT_RESYNC &&
            pr_store_list(pr_engine_store(tracker->engine), pr_queued_topic(event), rows) != 0) {
            pr_queue_put_back(&tracker->queue, event);
            result = PRESENCE_ENOMEM;
        }
        *out = event;
    }
    pthread_mutex_unlock(&tracker->events);
    return result;
}

static int deliver_one(presence_tracker *tracker, presence_event_fn fn, void *user) {
    pr_queued *queued = NULL;
    pr_rows *rows = NULL;
    int result = take(tracker, false, &queued, &rows);
    if (result == 2) {
        pthread_rwlock_rdlock(&tracker->lock);
        result = take(tracker, true, &queued, &rows);
        pthread_rwlock_unlock(&tracker->lock);
    }
    if (result != 1) return result;
    presence_event event;
    pr_event_init(&event, tracker->alloc, queued, rows);
    fn(&event, user);
    pr_event_done(&event);
    pr_queued_free(&tracker->queue, queued);
    return 1;
}

static int deliver(presence_tracker *tracker, size_t max, presence_event_fn fn, void *user, size_t *delivered) {
    int result = 1;
    while (*delivered < max && result == 1) {
        result = deliver_one(tracker, fn, user);
        if (result == 1) (*delivered)++;
    }
    return result < 0 ? result : 0;
}

/* ---- drain ---- */
bool pr_deliver_in_callback(presence_tracker *tracker) {
    pthread_mutex_lock(&tracker->events);
    bool inside = tracker->draining && pthread_equal(tracker->drainer, pthread_self());
    pthread_mutex_unlock(&tracker->events);
    return inside;
}

/* How many wait now is the most that is delivered, so that a drain ends while others keep writing. */
static int begin_drain(presence_tracker *tracker, size_t *max) {
    int failed = 0;
    pthread_mutex_lock(&tracker->events);
    if (tracker->draining || tracker->dispatch) {
        failed = PRESENCE_ESTATE;
    } else {
        tracker->draining = true;
        tracker->drainer = pthread_self();
        if (*max == 0 || *max > tracker->queue.size) *max = tracker->queue.size;
    }
    pthread_mutex_unlock(&tracker->events);
    return failed;
}

static void end_drain(presence_tracker *tracker) {
    pthread_mutex_lock(&tracker->events);
    tracker->draining = false;
    if (tracker->wake && tracker->queue.size > 0) call_wake(tracker);
    pthread_mutex_unlock(&tracker->events);
}

int presence_drain(presence_tracker *tracker, size_t max, presence_event_fn fn, void *user, size_t *delivered) {
    size_t count = 0;
    if (delivered) *delivered = 0;
    int failed = pr_tracker_check(tracker);
    if (!failed && !fn) failed = PRESENCE_EINVAL;
    if (!failed) failed = begin_drain(tracker, &max);
    if (failed) return failed;
    failed = deliver(tracker, max, fn, user, &count);
    end_drain(tracker);
    if (delivered) *delivered = count;
    return failed;
}

/* ---- dispatch thread ---- */
static bool dispatch_wait(presence_tracker *tracker) {
    pthread_mutex_lock(&tracker->events);
    tracker->draining = false;
    while (!tracker->dispatch_ending && tracker->queue.size == 0 && !tracker->queue.closed) {
        pthread_cond_wait(&tracker->changed, &tracker->events);
    }
    bool more = !tracker->dispatch_ending && tracker->queue.size > 0;
    tracker->draining = more;
    tracker->drainer = pthread_self();
    pthread_mutex_unlock(&tracker->events);
    return more;
}

static void *dispatch_run(void *argument) {
    presence_tracker *tracker = argument;
    while (dispatch_wait(tracker)) {
        size_t count = 0;
        deliver(tracker, DISPATCH_SLICE, tracker->dispatch, tracker->dispatch_user, &count);
    }
    pthread_mutex_lock(&tracker->events);
    tracker->dispatch_done = true;
    pthread_mutex_unlock(&tracker->events);
    pthread_cond_broadcast(&tracker->changed);
    return NULL;
}

static int start_dispatch(presence_tracker *tracker, presence_event_fn fn, void *user) {
    sigset_t all, before;
    pthread_mutex_lock(&tracker->events);
    if (tracker->dispatch || tracker->wake || tracker->draining) {
        pthread_mutex_unlock(&tracker->events);
        return PRESENCE_ESTATE;
    }
    tracker->dispatch = fn;
    tracker->dispatch_user = user;
    tracker->dispatch_ending = tracker->dispatch_done = false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&tracker->dispatcher, NULL, dispatch_run, tracker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) tracker->dispatch = NULL;
    pthread_mutex_unlock(&tracker->events);
    return failed ? PRESENCE_EINTERNAL : 0;
}

int pr_deliver_end_dispatch(presence_tracker *tracker) {
    if (pr_deliver_in_callback(tracker)) return PRESENCE_ETHREAD;
    pthread_mutex_lock(&tracker->events);
    bool mine = tracker->dispatch && !tracker->dispatch_joining;
    pthread_t thread = tracker->dispatcher;
    tracker->dispatch_ending = true;
    if (mine) tracker->dispatch_joining = true;
    while (tracker->dispatch && !mine)
        pthread_cond_wait(&tracker->changed, &tracker->events); /* another thread joins */
    pthread_mutex_unlock(&tracker->events);
    if (!mine) return 0;
    pthread_cond_broadcast(&tracker->changed);
    pthread_join(thread, NULL);
    pthread_mutex_lock(&tracker->events);
    tracker->dispatch = NULL;
    tracker->dispatch_joining = false;
    pthread_mutex_unlock(&tracker->events);
    pthread_cond_broadcast(&tracker->changed);
    return 0;
}

int presence_set_diff_callback(presence_tracker *tracker, presence_event_fn fn, void *user) {
    int failed = pr_tracker_check(tracker);
    if (failed) return failed;
    return fn ? start_dispatch(tracker, fn, user) : pr_deliver_end_dispatch(tracker);
}

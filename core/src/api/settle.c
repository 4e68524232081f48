/* After every touch of the engine: its actions go to the network and to the queue of events.
 *
 * Room is reserved before an action is taken; without memory the rest stays in the engine until the next touch.
 * Nothing here blocks: who must be woken is noted, and woken after unlocking.
 */
#include "event.h"
#include "tracker.h"
#include <stdio.h>
#include <string.h>

static pr_note *note(presence_tracker *tracker, int kind, int code, const char *text) {
    if (tracker->queue.closed) return NULL;
    if (tracker->queue.size == 0) tracker->wake_due = true;
    pr_note *added = pr_queue_note(&tracker->queue, kind);
    added->code = code;
    snprintf(added->text, sizeof added->text, "%s", text);
    return added;
}

static void log_member(presence_tracker *tracker, const pr_member_info *member) {
    char name[2 * PR_MEMBER_NAME_MAX + 4], reason[64];
    int level = member->status == PRESENCE_MEMBER_CONFLICT ? PRESENCE_LOG_ERROR
                : member->status == PRESENCE_MEMBER_DOWN   ? PRESENCE_LOG_WARNING
                                                           : PRESENCE_LOG_INFO;
    pr_log_line(&tracker->lines, level, "member.%s name=%s id=%016llx address=%s reason=%s",
                pr_status_name(member->status), pr_log_value(member->name, name, sizeof name),
                (unsigned long long)member->inst, *member->address ? member->address : "none",
                pr_log_value(member->reason ? member->reason : "", reason, sizeof reason));
    tracker->want_wake = true;
}

static void on_member(presence_tracker *tracker, const pr_member_info *member) {
    pr_note *added = note(tracker, PRESENCE_EVENT_MEMBER, 0, "");
    if (added) added->member = *member;
    log_member(tracker, member);
}

static void on_synced(presence_tracker *tracker, int synced) {
    tracker->synced = synced;
    pr_queue_synced(&tracker->queue);
    note(tracker, PRESENCE_EVENT_SYNCED, synced == 2, synced == 2 ? "alone" : "synced");
    pr_log_line(&tracker->lines, PRESENCE_LOG_INFO, "tracker.synced as=%s", synced == 2 ? "alone" : "synced");
    tracker->want_wake = true;
}

static void on_error(presence_tracker *tracker, int code, const char *text) {
    char room[400];
    note(tracker, PRESENCE_EVENT_ERROR, code, text);
    pr_log_line(&tracker->lines, PRESENCE_LOG_WARNING, "error code=%s text=%s", presence_error_name(code),
                pr_log_value(text, room, sizeof room));
    tracker->want_wake = true;
}

/* A younger member of the same name lives: this one stops, without a LEAVE for the name (protocol.md 3.9.5). The
 * engine has told of the conflict before. */
static void on_yield(presence_tracker *tracker, const char *address) {
    if (tracker->end == 0) tracker->end = PRESENCE_ENAME;
    if (tracker->end != PRESENCE_ENAME) return;
    snprintf(tracker->ended_text, sizeof tracker->ended_text, "a live member at %s has the same name",
             *address ? address : "an unknown address");
    pr_transport_stop(tracker->net, 200);
    tracker->want_wake = true;
}

#define OVERFLOW_MS 1000 /* between two lines about it: a slow consumer overflows hundreds of times a second */

static void log_overflow(presence_tracker *tracker) {
    uint64_t now_ms = pr_transport_now(tracker->net).mono_ms, all = tracker->queue.overflows;
    if (tracker->overflows_told > 0 && now_ms < tracker->overflow_ms + OVERFLOW_MS) return;
    pr_log_line(&tracker->lines, PRESENCE_LOG_WARNING, "queue.overflow topics=%llu limit=%zu",
                (unsigned long long)(all - tracker->overflows_told), tracker->queue.limit);
    tracker->overflows_told = all;
    tracker->overflow_ms = now_ms;
    tracker->want_wake = true;
}

static void on_diff(presence_tracker *tracker, pr_diff *diff) {
    uint64_t before = tracker->queue.overflows;
    if (tracker->queue.size == 0) tracker->wake_due = true;
    pr_queue_diff(&tracker->queue, diff);
    if (tracker->queue.overflows > before) log_overflow(tracker);
}

static void settle_event(presence_tracker *tracker) {
    pr_action *action = &tracker->action;
    pthread_mutex_lock(&tracker->events);
    switch (action->kind) {
    case PR_ACTION_DIFF: on_diff(tracker, action->as.diff); break;
    case PR_ACTION_MEMBER: on_member(tracker, &action->as.member); break;
    case PR_ACTION_SYNCED: on_synced(tracker, action->as.synced); break;
    case PR_ACTION_ERROR: on_error(tracker, action->as.error.code, action->as.error.text); break;
    case PR_ACTION_YIELD: on_yield(tracker, action->as.yield.address); break;
    default: break;
    }
    if (tracker->wake_due && tracker->wake) tracker->want_wake = true;
    tracker->want_signal = true;
    pthread_mutex_unlock(&tracker->events);
}

void pr_settle(presence_tracker *tracker) {
    while (pr_transport_reserve(tracker->net) == 0 && pr_queue_reserve(&tracker->queue) == 0 &&
           pr_engine_next_action(tracker->engine, &tracker->action)) {
        int kind = tracker->action.kind;
        if (kind == PR_ACTION_SEND || kind == PR_ACTION_DIAL || kind == PR_ACTION_CLOSE) {
            pr_transport_post(tracker->net, &tracker->action);
        } else {
            settle_event(tracker);
        }
    }
}

/* ---- hooks of the loop thread ---- */
static void hook_lock(void *owner) { pthread_rwlock_wrlock(&((presence_tracker *)owner)->lock); }

static void hook_settle(void *owner) { pr_settle(owner); }

static void hook_unlock(void *owner) {
    presence_tracker *tracker = owner;
    bool signal = tracker->want_signal;
    tracker->want_signal = tracker->want_wake = false; /* its turn follows at once */
    pthread_rwlock_unlock(&tracker->lock);
    if (signal) pthread_cond_broadcast(&tracker->changed);
}

static void hook_turn(void *owner) {
    presence_tracker *tracker = owner;
    pr_deliver_wake(tracker);
    pr_log_lines_flush(&tracker->lines, pr_transport_now(tracker->net).mono_ms);
}

#define PROGRESS_MS 100 /* a consumer that took nothing for so long is not waited for */

static bool hook_congested(void *owner, uint64_t now_ms) {
    presence_tracker *tracker = owner;
    pthread_mutex_lock(&tracker->events);
    bool half = tracker->queue.bounded && tracker->queue.diff_bytes > tracker->queue.limit / 2;
    bool works = now_ms < tracker->delivered_ms + PROGRESS_MS;
    pthread_mutex_unlock(&tracker->events);
    return half && works;
}

static void hook_log(void *owner, int level, const char *line) {
    pr_log_line(&((presence_tracker *)owner)->lines, level, "%s", line);
}

/* What the network alone knows of: a peer that is refused before the engine could hear it. */
static void hook_error(void *owner, int code, const char *text) {
    presence_tracker *tracker = owner;
    pthread_rwlock_wrlock(&tracker->lock);
    if (pr_queue_reserve(&tracker->queue) == 0) {
        pthread_mutex_lock(&tracker->events);
        on_error(tracker, code, text);
        tracker->want_signal = true;
        pthread_mutex_unlock(&tracker->events);
    }
    hook_unlock(tracker);
    hook_turn(tracker);
}

static void tell_why(presence_tracker *tracker, pr_note *last) {
    bool conflict = tracker->end == PRESENCE_ENAME;
    const char *text = conflict ? tracker->ended_text : tracker->crashed ? "crashed by the test" : "stopped";
    last->code = conflict || tracker->crashed ? tracker->end : 0;
    snprintf(last->text, sizeof last->text, "%s", text);
    pr_log_line(&tracker->lines, conflict ? PRESENCE_LOG_ERROR : PRESENCE_LOG_INFO, "tracker.stopped reason=%s",
                conflict           ? "name_conflict"
                : tracker->crashed ? "crash"
                                   : "stop");
}

static void hook_ended(void *owner) {
    presence_tracker *tracker = owner;
    pthread_rwlock_wrlock(&tracker->lock);
    if (tracker->end == 0) tracker->end = PRESENCE_ECLOSED;
    pr_settle(tracker);
    pthread_mutex_lock(&tracker->events);
    if (tracker->queue.size == 0) tracker->wake_due = true;
    pr_note *last = pr_queue_close(&tracker->queue);
    if (last) { tell_why(tracker, last); }
    pthread_mutex_unlock(&tracker->events);
    pthread_rwlock_unlock(&tracker->lock);
    hook_turn(tracker);
    pthread_mutex_lock(&tracker->events);
    tracker->loop_ended = true;
    pthread_mutex_unlock(&tracker->events);
    pthread_cond_broadcast(&tracker->changed);
}

pr_transport_hooks pr_settle_hooks(presence_tracker *tracker) {
    pr_transport_hooks hooks = {tracker,        hook_lock,  hook_settle, hook_unlock, hook_turn,
                                hook_congested, hook_ended, hook_log,    hook_error};
    return hooks;
}

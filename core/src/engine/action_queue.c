/* The queue of actions. What must not get lost (diffs, closes, yield, synced) needs no memory to be queued. */
#include "engine_state.h"
#include <stdarg.h>
#include <stdio.h>

pr_bytes *pr_bytes_new(const pr_alloc *alloc, const void *data, size_t size) {
    pr_bytes *bytes = alloc->alloc(sizeof *bytes + size, alloc->user);
    if (!bytes) return NULL;
    bytes->references = 1;
    bytes->alloc = alloc;
    bytes->room = bytes->size = size;
    bytes->saved = 0;
    memcpy(bytes->data, data, size);
    return bytes;
}

void pr_bytes_release(pr_bytes *bytes) {
    if (!bytes || --bytes->references) return;
    pr_delete(bytes->alloc, bytes, sizeof *bytes + bytes->room);
}

/* A free action at the end of the ring; NULL: no memory, told later by one ERROR. */
static pr_action *action_new(pr_engine *e, int kind) {
    if (e->actions_size == e->actions_room) {
        size_t room = e->actions_room ? e->actions_room * 2 : 16;
        pr_action *grown = pr_new(e->alloc, room * sizeof *grown);
        if (!grown) {
            e->memory_failed = true;
            return NULL;
        }
        for (size_t i = 0; i < e->actions_size; i++)
            grown[i] = e->actions[(e->actions_head + i) & (e->actions_room - 1)];
        pr_delete(e->alloc, e->actions, e->actions_room * sizeof *grown);
        e->actions = grown;
        e->actions_room = room;
        e->actions_head = 0;
    }
    pr_action *action = &e->actions[(e->actions_head + e->actions_size++) & (e->actions_room - 1)];
    memset(action, 0, sizeof *action);
    action->kind = kind;
    return action;
}

int pr_action_send(pr_engine *e, pr_link link, pr_bytes *bytes) {
    pr_action *action = action_new(e, PR_ACTION_SEND);
    if (!action) return PRESENCE_ENOMEM;
    action->as.send.link = link;
    action->as.send.bytes = bytes;
    return 0;
}

int pr_action_publish(pr_engine *e, pr_subject subject, pr_bytes *bytes) {
    pr_action *action = action_new(e, PR_ACTION_PUBLISH);
    if (!action) return PRESENCE_ENOMEM;
    action->as.publish.subject = subject;
    action->as.publish.bytes = bytes;
    return 0;
}

int pr_action_dial(pr_engine *e, uint64_t id, const pr_dial *dial) {
    const char *address = pr_dial_address(dial),
               *name = dial->seed && dial->seed->name ? dial->seed->name->address : "";
    pr_action *action = action_new(e, PR_ACTION_DIAL);
    if (!action) return PRESENCE_ENOMEM;
    action->as.dial.id = id;
    snprintf(action->as.dial.address, sizeof action->as.dial.address, *name ? "%s %.*s" : "%s", address,
             (int)strcspn(name, ":"), name);
    action->as.dial.timeout_ms = e->options.connect_timeout_ms;
    action->as.dial.resolve = dial->seed && dial->seed->resolves;
    return 0;
}

/* Room for the close of every link is reserved when the link is made. */
void pr_action_close(pr_engine *e, pr_link link) { e->closing[e->closing_size++] = link; }

void pr_action_diffs(pr_engine *e, pr_diff *list) {
    if (!list) return;
    if (e->diffs)
        e->diffs_last->next = list;
    else
        e->diffs = list;
    while (list->next) list = list->next;
    e->diffs_last = list;
}

void pr_action_member(pr_engine *e, const pr_member *m, int status, const char *reason) {
    pr_action *action = action_new(e, PR_ACTION_MEMBER);
    if (!action) return;
    pr_member_describe(e, m, &action->as.member);
    action->as.member.status = status;
    action->as.member.reason = reason;
}

void pr_action_conflict(pr_engine *e, const pr_record *twin) {
    pr_action *action = action_new(e, PR_ACTION_MEMBER);
    if (!action) return;
    pr_member_info *info = &action->as.member;
    memcpy(info->name, e->name, sizeof info->name);
    if (twin->addresses_size) memcpy(info->address, twin->addresses[0], sizeof info->address);
    info->inst = twin->inst;
    info->inc = twin->inc;
    info->rtt_ms = -1;
    info->status = PRESENCE_MEMBER_CONFLICT;
    info->reason = "name";
}

void pr_action_error(pr_engine *e, int code, const char *format, ...) {
    pr_action *action = action_new(e, PR_ACTION_ERROR);
    if (!action) return;
    action->as.error.code = code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(action->as.error.text, sizeof action->as.error.text, format, arguments);
    va_end(arguments);
}

static bool next_urgent(pr_engine *e, pr_action *out) {
    if (e->diffs) {
        out->kind = PR_ACTION_DIFF;
        out->as.diff = e->diffs;
        e->diffs = e->diffs->next;
        out->as.diff->next = NULL;
        return true;
    }
    if (e->memory_failed) {
        e->memory_failed = false;
        out->kind = PR_ACTION_ERROR;
        out->as.error.code = PRESENCE_ENOMEM;
        snprintf(out->as.error.text, sizeof out->as.error.text, "out of memory: work is delayed and tried again");
        return true;
    }
    return false;
}

/* Closes come after the bytes queued before them. */
static bool next_last(pr_engine *e, pr_action *out) {
    if (e->closing_size) {
        out->kind = PR_ACTION_CLOSE;
        out->as.close.link = e->closing[--e->closing_size];
        return true;
    }
    if (e->synced_wanted) {
        e->synced_wanted = false;
        out->kind = PR_ACTION_SYNCED;
        out->as.synced = e->synced;
        return true;
    }
    if (e->yield_wanted) {
        e->yield_wanted = false;
        out->kind = PR_ACTION_YIELD;
        snprintf(out->as.yield.address, sizeof out->as.yield.address, "%s", e->yield_address);
        return true;
    }
    return false;
}

bool pr_engine_next_action(pr_engine *e, pr_action *out) {
    bool any =
        e->diffs || e->memory_failed || e->actions_size || e->closing_size || e->synced_wanted || e->yield_wanted;
    if (!any) return false; /* the usual end of a local call */
    memset(out, 0, sizeof *out);
    if (next_urgent(e, out)) return true;
    if (e->actions_size) {
        *out = e->actions[e->actions_head];
        e->actions_head = (e->actions_head + 1) & (e->actions_room - 1);
        e->actions_size--;
        return true;
    }
    return next_last(e, out);
}

void pr_actions_free(pr_engine *e) {
    pr_action action;
    while (pr_engine_next_action(e, &action)) {
        if (action.kind == PR_ACTION_SEND) pr_bytes_release(action.as.send.bytes);
        if (action.kind == PR_ACTION_PUBLISH) pr_bytes_release(action.as.publish.bytes);
        if (action.kind == PR_ACTION_DIFF) pr_diff_free(action.as.diff);
    }
    pr_delete(e->alloc, e->actions, e->actions_room * sizeof *e->actions);
    pr_delete(e->alloc, e->closing, e->closing_room * sizeof *e->closing);
}

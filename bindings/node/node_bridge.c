/* From the library's threads to JavaScript: wake, drain, log lines.
 *
 * Happy path: the library calls wake on one of its threads; unless a wake is already on its way, that schedules one
 * call of the thread-safe function; on the JavaScript thread the flag is cleared first, then JavaScript drains one
 * slice; events left make the library wake again, so the loop breathes between slices.
 *
 * Failure paths: the environment is ending, then env is NULL, or calling fails with napi_cannot_run_js or a pending
 * exception: nothing is drained, the cleanup hook in node_tracker.c joins the threads. Scheduling fails: the flag is
 * cleared, the next wake tries again. No memory for a log line: the line is dropped.
 */
#include "addon.h"

#include <stdlib.h>
#include <string.h>

#define LINES_MAX 256

static void run_wake(napi_env env, napi_value on_wake, void *context, void *data) {
    (void)data;
    pn_tracker *t = context;
    atomic_store(&t->waking, false);
    if (env == NULL || on_wake == NULL) return;
    napi_value receiver = pn_undefined(env), result;
    if (receiver) napi_call_function(env, receiver, on_wake, 0, NULL, &result);
}

static void finish_wake(napi_env env, void *data, void *hint) {
    (void)env, (void)hint;
    pn_tracker_unref(data);
}

int pn_bridge_open(napi_env env, pn_tracker *t, napi_value on_wake) {
    napi_value name = pn_cstring(env, "libpresence");
    if (name == NULL || napi_create_threadsafe_function(env, on_wake, NULL, name, 0, 1, t, finish_wake, t, run_wake,
                                                        &t->wake) != napi_ok) {
        return PRESENCE_EINTERNAL;
    }
    t->holders++;
    napi_unref_threadsafe_function(env, t->wake); /* an open tracker does not keep the process alive */
    return 0;
}

void pn_bridge_wake(void *tracker) {
    pn_tracker *t = tracker;
    if (atomic_exchange(&t->waking, true)) return;
    if (napi_call_threadsafe_function(t->wake, NULL, napi_tsfn_nonblocking) != napi_ok) atomic_store(&t->waking, false);
}

void pn_bridge_log(int level, const char *text, void *tracker) {
    pn_tracker *t = tracker;
    size_t size = strlen(text) + 1;
    pn_line *line = malloc(sizeof(*line) + size);
    if (line == NULL) return;
    line->next = NULL;
    line->level = level;
    memcpy(line->text, text, size);
    pthread_mutex_lock(&t->log_lock);
    bool room = t->lines < LINES_MAX;
    if (room) {
        *t->last_line = line;
        t->last_line = &line->next;
        t->lines++;
    }
    pthread_mutex_unlock(&t->log_lock);
    if (room)
        pn_bridge_wake(t);
    else
        free(line);
}

static pn_line *take_lines(pn_tracker *t) {
    pthread_mutex_lock(&t->log_lock);
    pn_line *line = t->first_line;
    t->first_line = NULL;
    t->last_line = &t->first_line;
    t->lines = 0;
    pthread_mutex_unlock(&t->log_lock);
    return line;
}

void pn_bridge_forget_lines(pn_tracker *t) {
    for (pn_line *line = take_lines(t), *next; line; line = next) {
        next = line->next;
        free(line);
    }
}

/* takeLog(handle) -> [level, line, …] */
napi_value pn_take_log(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    pn_tracker *t = pn_arguments(env, info, 1, argv) ? pn_tracker_of(env, argv[0]) : NULL;
    napi_value out = pn_array(env);
    if (t == NULL || out == NULL) return out;
    uint32_t at = 0;
    for (pn_line *line = take_lines(t), *next; line; line = next) {
        next = line->next;
        pn_push(env, out, at++, pn_number(env, line->level));
        pn_push(env, out, at++, pn_cstring(env, line->text));
        free(line);
    }
    return out;
}

/* hold(handle, boolean): whether this tracker keeps the loop alive */
napi_value pn_hold(napi_env env, napi_callback_info info) {
    napi_value argv[2];
    bool on = false;
    pn_tracker *t = pn_arguments(env, info, 2, argv) ? pn_tracker_of(env, argv[0]) : NULL;
    if (t == NULL || t->wake == NULL || napi_get_value_bool(env, argv[1], &on) != napi_ok) return NULL;
    if (on)
        napi_ref_threadsafe_function(env, t->wake);
    else
        napi_unref_threadsafe_function(env, t->wake);
    return NULL;
}

typedef struct drain_state {
    napi_env env;
    napi_value events;
    uint32_t count;
} drain_state;

static void add_changes(napi_env env, napi_value out, const presence_event *event) {
    presence_str json = {NULL, 0};
    pn_push(env, out, 1, pn_text(env, presence_event_topic(event)));
    pn_push(env, out, 2, pn_number(env, (double)presence_event_seq(event)));
    if (presence_diff_json(event, &json) != 0) return; /* no memory: JavaScript sees the text missing and resyncs */
    pn_push(env, out, 3, pn_text(env, json));
    napi_value rows = pn_array(env);
    size_t size = presence_event_size(event);
    for (size_t i = 0; i < size; i++) {
        napi_handle_scope scope;
        presence_entry entry = {.size = sizeof(entry)};
        if (presence_event_at(event, i, &entry) != 0 || napi_open_handle_scope(env, &scope) != napi_ok) return;
        pn_push_entry(env, rows, (uint32_t)i, &entry);
        napi_close_handle_scope(env, scope);
    }
    pn_push(env, out, 4, rows);
}

static void add_event(const presence_event *event, void *user) {
    drain_state *state = user;
    napi_env env = state->env;
    napi_handle_scope scope;
    if (napi_open_handle_scope(env, &scope) != napi_ok) return;
    int kind = presence_event_kind(event);
    napi_value out = pn_array(env);
    pn_push(env, out, 0, pn_number(env, kind));
    if (kind == PRESENCE_EVENT_DIFF || kind == PRESENCE_EVENT_RESYNC) {
        add_changes(env, out, event);
    } else if (kind == PRESENCE_EVENT_MEMBER) {
        presence_member member = {.size = sizeof(member)};
        if (presence_event_member(event, &member) == 0) pn_push(env, out, 1, pn_member(env, &member));
    } else if (kind == PRESENCE_EVENT_ERROR || kind == PRESENCE_EVENT_STOPPED) {
        pn_push(env, out, 1, pn_number(env, presence_event_error(event)));
        pn_push(env, out, 2, pn_text(env, presence_event_message(event)));
    }
    pn_push(env, state->events, state->count++, out);
    napi_close_handle_scope(env, scope);
}

/* drain(handle, max) -> [event, …], each [kind, …] */
napi_value pn_drain(napi_env env, napi_callback_info info) {
    napi_value argv[2];
    presence_tracker *tracker = pn_arguments(env, info, 2, argv) ? pn_open_of(env, argv[0]) : NULL;
    drain_state state = {env, pn_array(env), 0};
    if (tracker == NULL || state.events == NULL) return state.events;
    int32_t max = pn_read_int(env, argv[1], 1);
    size_t delivered;
    presence_drain(tracker, max > 0 ? (size_t)max : 1, add_event, &state, &delivered);
    return state.events;
}

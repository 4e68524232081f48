/* Life of a tracker: configure, open, stop, close, and the end of its environment.
 *
 * Happy path: open makes the thread-safe function, opens the tracker, and only then registers the cleanup hook, so that
 * at the end of the environment our hook runs before the one of the thread-safe function. stop runs on the thread pool
 * and joins the library's threads; close then removes the hook, frees the tracker and releases the function.
 *
 * Failure paths: open fails: the function is released, the hook was never there. The environment ends while the tracker
 * is open (process end, worker.terminate): the hook stops, joins, closes and releases, in this order, so no thread of
 * ours outlives the addon. It ends while a stop is on the pool: the hook waits for stop_lock; a stop that comes after
 * finds no tracker and does nothing.
 */
#include "addon.h"

#include <stdlib.h>

#define END_MS 250 /* how long the end of an environment may wait for our farewell */

static void clean_up(void *data);

void pn_tracker_unref(pn_tracker *t) {
    if (--t->holders > 0) return;
    presence_config_free(t->config);
    pn_bridge_forget_lines(t);
    pthread_mutex_destroy(&t->stop_lock);
    pthread_mutex_destroy(&t->log_lock);
    free(t);
}

static void finalize_handle(napi_env env, void *data, void *hint) {
    (void)env, (void)hint;
    pn_tracker_unref(data);
}

/* joins all threads, then lets go of what they used */
static void shut(pn_tracker *t, int timeout_ms) {
    pthread_mutex_lock(&t->stop_lock);
    presence_tracker *tracker = t->tracker;
    t->tracker = NULL;
    if (tracker) {
        presence_tracker_stop(tracker, timeout_ms);
        presence_set_wake_callback(tracker, NULL, NULL);
        presence_tracker_close(tracker);
    }
    pthread_mutex_unlock(&t->stop_lock);
    if (t->wake) napi_release_threadsafe_function(t->wake, napi_tsfn_abort);
    t->wake = NULL;
    if (tracker) pn_tracker_unref(t);
}

static void clean_up(void *data) { shut(data, END_MS); }

static int set_options(napi_env env, presence_config *config, napi_value pairs) {
    uint32_t length = 0;
    if (napi_get_array_length(env, pairs, &length) != napi_ok) return PRESENCE_EINVAL;
    for (uint32_t i = 0; i + 1 < length; i += 2) {
        napi_value name_value, text_value;
        pn_name name;
        char small[1024];
        size_t size;
        if (napi_get_element(env, pairs, i, &name_value) != napi_ok ||
            napi_get_element(env, pairs, i + 1, &text_value) != napi_ok || !pn_read_name(env, name_value, &name)) {
            return PRESENCE_EINVAL;
        }
        char *text = pn_read_text(env, text_value, small, sizeof(small), &size);
        int code = text ? presence_config_set(config, name.data, text) : PRESENCE_EINVAL;
        if (text != small) free(text);
        if (code != 0) return code;
    }
    return 0;
}

static pn_tracker *make_tracker(napi_env env) {
    pn_tracker *t = calloc(1, sizeof(*t));
    if (t == NULL) return NULL;
    t->env = env;
    t->holders = 1;
    t->last_line = &t->first_line;
    pthread_mutex_init(&t->stop_lock, NULL);
    pthread_mutex_init(&t->log_lock, NULL);
    t->config = presence_config_new();
    if (t->config) return t;
    pn_tracker_unref(t);
    return NULL;
}

/* configure([name, text, …], environment, wantsLog) -> handle or [code, message] */
napi_value pn_configure(napi_env env, napi_callback_info info) {
    napi_value argv[3], handle;
    bool environment = false, wants_log = false;
    if (!pn_arguments(env, info, 3, argv)) return NULL;
    napi_get_value_bool(env, argv[1], &environment);
    napi_get_value_bool(env, argv[2], &wants_log);
    pn_tracker *t = make_tracker(env);
    if (t == NULL) return pn_failure(env, PRESENCE_ENOMEM, "");
    int code = environment ? presence_config_load_env(t->config) : 0;
    if (code == 0) code = set_options(env, t->config, argv[0]);
    if (code == 0) code = presence_config_check(t->config);
    if (code == 0 && wants_log) code = presence_config_set_log(t->config, pn_bridge_log, t);
    if (code == 0 && napi_create_external(env, t, finalize_handle, NULL, &handle) == napi_ok) return handle;
    napi_value failure = pn_failure(env, code ? code : PRESENCE_EINTERNAL, presence_config_message(t->config));
    pn_tracker_unref(t);
    return failure;
}

/* open(handle, onWake, sim or undefined) -> undefined or [code, message] */
napi_value pn_open(napi_env env, napi_callback_info info) {
    napi_value argv[3];
    pn_tracker *t = pn_arguments(env, info, 3, argv) ? pn_tracker_of(env, argv[0]) : NULL;
    if (t == NULL || t->wake || t->tracker) return pn_failure(env, PRESENCE_ESTATE, "");
    int code = pn_bridge_open(env, t, argv[1]);
    if (code != 0) return pn_failure(env, code, "");
    presence_tracker *tracker = NULL;
    code = pn_is_undefined(env, argv[2]) ? presence_tracker_open(t->config, &tracker)
                                         : pn_sim_open(env, argv[2], t->config, &tracker);
    if (code != 0) {
        napi_value failure = pn_failure(env, code, presence_config_message(t->config));
        shut(t, 0);
        return failure;
    }
    t->tracker = tracker;
    t->holders++; /* the open tracker's, given back by shut */
    if (napi_add_env_cleanup_hook(env, clean_up, t) != napi_ok) {
        shut(t, 0);
        return pn_failure(env, PRESENCE_EINTERNAL, "");
    }
    code = presence_set_wake_callback(tracker, pn_bridge_wake, t);
    return code == 0 ? pn_undefined(env) : pn_failure(env, code, "");
}

typedef struct stop_work {
    pn_tracker *tracker;
    napi_async_work work;
    napi_deferred deferred;
    int timeout_ms, code;
} stop_work;

static void run_stop(napi_env env, void *data) {
    (void)env;
    stop_work *job = data;
    pthread_mutex_lock(&job->tracker->stop_lock);
    if (job->tracker->tracker) job->code = presence_tracker_stop(job->tracker->tracker, job->timeout_ms);
    pthread_mutex_unlock(&job->tracker->stop_lock);
}

static void finish_stop(napi_env env, napi_status status, void *data) {
    (void)status; /* cancelled: the environment ends, its hook has stopped the tracker */
    stop_work *job = data;
    napi_value code = env ? pn_number(env, job->code) : NULL;
    if (code) napi_resolve_deferred(env, job->deferred, code);
    if (env) napi_delete_async_work(env, job->work);
    pn_tracker_unref(job->tracker);
    free(job);
}

/* stop(handle, timeout) -> promise of the code */
napi_value pn_stop(napi_env env, napi_callback_info info) {
    napi_value argv[2], promise, name = pn_cstring(env, "libpresence stop");
    pn_tracker *t = pn_arguments(env, info, 2, argv) ? pn_tracker_of(env, argv[0]) : NULL;
    stop_work *job = calloc(1, sizeof(*job));
    if (t == NULL || job == NULL || name == NULL) goto failed;
    job->tracker = t;
    job->timeout_ms = pn_read_int(env, argv[1], 5000);
    if (napi_create_async_work(env, NULL, name, run_stop, finish_stop, job, &job->work) != napi_ok) goto failed;
    if (napi_create_promise(env, &job->deferred, &promise) != napi_ok) goto failed_work;
    t->holders++;
    if (napi_queue_async_work(env, job->work) == napi_ok) return promise;
    pn_tracker_unref(t);
failed_work:
    napi_delete_async_work(env, job->work);
failed:
    free(job);
    napi_throw_error(env, "INTERNAL", "libpresence: stop could not be started");
    return NULL;
}

/* stopNow(handle, timeout) -> code: at the end of the process, when nothing asynchronous runs any more */
napi_value pn_stop_now(napi_env env, napi_callback_info info) {
    napi_value argv[2];
    pn_tracker *t = pn_arguments(env, info, 2, argv) ? pn_tracker_of(env, argv[0]) : NULL;
    if (t == NULL) return pn_number(env, PRESENCE_EINVAL);
    pthread_mutex_lock(&t->stop_lock);
    int code = t->tracker ? presence_tracker_stop(t->tracker, pn_read_int(env, argv[1], END_MS)) : 0;
    pthread_mutex_unlock(&t->stop_lock);
    return pn_number(env, code);
}

/* close(handle): frees; to be called after stop */
napi_value pn_close(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    pn_tracker *t = pn_arguments(env, info, 1, argv) ? pn_tracker_of(env, argv[0]) : NULL;
    if (t == NULL || t->tracker == NULL) return NULL;
    napi_remove_env_cleanup_hook(env, clean_up, t);
    shut(t, 0);
    return NULL;
}

static napi_value change_seeds(napi_env env, napi_callback_info info, bool add) {
    napi_value argv[2];
    char small[1024];
    size_t size, removed = 0;
    presence_tracker *tracker = pn_arguments(env, info, 2, argv) ? pn_open_of(env, argv[0]) : NULL;
    if (tracker == NULL) return pn_number(env, PRESENCE_ECLOSED);
    char *text = pn_read_text(env, argv[1], small, sizeof(small), &size);
    if (text == NULL) return pn_number(env, PRESENCE_EINVAL);
    int code = add ? presence_seed_add(tracker, text) : presence_seed_remove(tracker, text, &removed);
    if (text != small) free(text);
    return pn_number(env, code ? code : (double)removed);
}

/* seedAdd(handle, addresses), seedRemove(handle, addresses) -> how many */
napi_value pn_seed_add(napi_env env, napi_callback_info info) { return change_seeds(env, info, true); }
napi_value pn_seed_remove(napi_env env, napi_callback_info info) { return change_seeds(env, info, false); }

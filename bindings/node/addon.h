/* The Node addon: what its files share. Plain Node-API; JavaScript above it checks every argument, so a wrong one here
 * is an error code and never a crash.
 *
 * Life of a tracker: configure -> open -> (calls, drain) -> stop -> close. Its memory is counted, because four parties
 * hold it: the JavaScript handle, the thread-safe function, the open tracker (until close or the end of the
 * environment) and a stop that is under way on the thread pool. Counts change on the JavaScript thread only.
 */
#ifndef PN_ADDON_H
#define PN_ADDON_H

#define NAPI_VERSION 8
#include <node_api.h>
#include <presence.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef struct pn_line {
    struct pn_line *next;
    int level;
    char text[];
} pn_line;

typedef struct pn_tracker {
    napi_env env;
    presence_config *config;
    presence_tracker *tracker; /* NULL before open and after close */
    napi_threadsafe_function wake;
    unsigned holders;
    atomic_bool waking;        /* a wake is on its way to JavaScript: at most one is */
    pthread_mutex_t stop_lock; /* stop on the pool against the end of the environment */
    pthread_mutex_t log_lock;
    pn_line *first_line, **last_line;
    size_t lines;
} pn_tracker;

/* ---- node_convert.c ---- */
#define PN_NAME_MAX 272 /* a name that is cut here is over every limit already */
typedef struct pn_name {
    char data[PN_NAME_MAX];
    size_t size;
} pn_name;

bool pn_arguments(napi_env, napi_callback_info, size_t count, napi_value *argv);
pn_tracker *pn_tracker_of(napi_env, napi_value handle);    /* NULL: not a handle of ours */
presence_tracker *pn_open_of(napi_env, napi_value handle); /* NULL: not open */
bool pn_read_name(napi_env, napi_value, pn_name *);
char *pn_read_text(napi_env, napi_value, char *small, size_t capacity,
                   size_t *size); /* small or malloc; NULL: failed */
bool pn_read_owner(napi_env, napi_value, presence_owner *);
int32_t pn_read_int(napi_env, napi_value, int32_t otherwise);
bool pn_is_undefined(napi_env, napi_value);
presence_str pn_name_str(const pn_name *);
napi_value pn_number(napi_env, double);
napi_value pn_text(napi_env, presence_str);
napi_value pn_cstring(napi_env, const char *);
napi_value pn_undefined(napi_env);
napi_value pn_array(napi_env);
void pn_push(napi_env, napi_value array, uint32_t index, napi_value);
napi_value pn_failure(napi_env, int code, const char *message); /* [code, message] */
napi_value pn_member(napi_env, const presence_member *);
void pn_push_entry(napi_env, napi_value rows, uint32_t row, const presence_entry *);

/* ---- node_bridge.c ---- */
int pn_bridge_open(napi_env, pn_tracker *, napi_value on_wake);
void pn_bridge_wake(void *tracker); /* any thread */
void pn_bridge_log(int level, const char *line, void *tracker);
void pn_bridge_forget_lines(pn_tracker *);
napi_value pn_hold(napi_env, napi_callback_info);
napi_value pn_drain(napi_env, napi_callback_info);
napi_value pn_take_log(napi_env, napi_callback_info);

/* ---- node_tracker.c ---- */
void pn_tracker_unref(pn_tracker *);
napi_value pn_configure(napi_env, napi_callback_info);
napi_value pn_open(napi_env, napi_callback_info);
napi_value pn_stop(napi_env, napi_callback_info);
napi_value pn_stop_now(napi_env, napi_callback_info);
napi_value pn_close(napi_env, napi_callback_info);

/* ---- node_change.c ---- */
napi_value pn_owner_open(napi_env, napi_callback_info);
napi_value pn_owner_touch(napi_env, napi_callback_info);
napi_value pn_owner_close(napi_env, napi_callback_info);
napi_value pn_track(napi_env, napi_callback_info);
napi_value pn_track_many(napi_env, napi_callback_info);
napi_value pn_track_check(napi_env, napi_callback_info);
napi_value pn_update(napi_env, napi_callback_info);
napi_value pn_untrack(napi_env, napi_callback_info);

/* ---- node_read.c ---- */
napi_value pn_list(napi_env, napi_callback_info);
napi_value pn_get_by_key(napi_env, napi_callback_info);
napi_value pn_count(napi_env, napi_callback_info);
napi_value pn_topics(napi_env, napi_callback_info);
napi_value pn_seed_add(napi_env, napi_callback_info);
napi_value pn_seed_remove(napi_env, napi_callback_info);
napi_value pn_members(napi_env, napi_callback_info);
napi_value pn_stats(napi_env, napi_callback_info);
napi_value pn_metrics(napi_env, napi_callback_info);
napi_value pn_address(napi_env, napi_callback_info);
napi_value pn_synced(napi_env, napi_callback_info);
napi_value pn_subscribe(napi_env, napi_callback_info);
napi_value pn_subscribe_all(napi_env, napi_callback_info);
napi_value pn_unsubscribe(napi_env, napi_callback_info);
napi_value pn_options(napi_env, napi_callback_info);

/* ---- node_sim.c ---- */
int pn_sim_open(napi_env, napi_value sim, presence_config *, presence_tracker **out);
napi_value pn_sim_new(napi_env, napi_callback_info);
napi_value pn_sim_message(napi_env, napi_callback_info);
napi_value pn_sim_now(napi_env, napi_callback_info);
napi_value pn_sim_step(napi_env, napi_callback_info);
napi_value pn_sim_waiting(napi_env, napi_callback_info);
napi_value pn_sim_partition(napi_env, napi_callback_info);
napi_value pn_sim_block(napi_env, napi_callback_info);
napi_value pn_sim_heal(napi_env, napi_callback_info);
napi_value pn_sim_crash(napi_env, napi_callback_info);
napi_value pn_sim_pause(napi_env, napi_callback_info);
napi_value pn_sim_resume(napi_env, napi_callback_info);
napi_value pn_sim_synced(napi_env, napi_callback_info);

#endif

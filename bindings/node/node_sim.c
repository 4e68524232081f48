/* presence/sim.h for JavaScript: a virtual network as a handle. Each call answers a number: 0, a result, or the
 * negative number of an error whose text `simMessage` has. */
#include "addon.h"

#include <presence/sim.h>

static presence_sim *sim_of(napi_env env, napi_value handle) {
    void *data = NULL;
    return napi_get_value_external(env, handle, &data) == napi_ok ? data : NULL;
}

static void finalize_sim(napi_env env, void *data, void *hint) {
    (void)env, (void)hint;
    presence_sim_free(data);
}

/* simNew(seed, minMs, maxMs) -> handle, or a code */
napi_value pn_sim_new(napi_env env, napi_callback_info info) {
    napi_value argv[3], handle;
    uint64_t seed = 0;
    bool lossless;
    if (!pn_arguments(env, info, 3, argv)) return NULL;
    if (napi_get_value_bigint_uint64(env, argv[0], &seed, &lossless) != napi_ok) return pn_number(env, PRESENCE_EINVAL);
    presence_sim *sim = presence_sim_new(seed);
    if (sim == NULL) return pn_number(env, PRESENCE_ENOMEM);
    int32_t least = pn_read_int(env, argv[1], 1), most = pn_read_int(env, argv[2], 3);
    int code = presence_sim_latency(sim, (uint32_t)least, (uint32_t)most);
    if (code == 0 && napi_create_external(env, sim, finalize_sim, NULL, &handle) == napi_ok) return handle;
    presence_sim_free(sim);
    return pn_number(env, code ? code : PRESENCE_EINTERNAL);
}

/* simOpen(sim, config, &tracker): how pn_open opens on a network */
int pn_sim_open(napi_env env, napi_value handle, presence_config *config, presence_tracker **out) {
    return presence_sim_start(sim_of(env, handle), config, out);
}

napi_value pn_sim_message(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    return pn_arguments(env, info, 1, argv) ? pn_cstring(env, presence_sim_message(sim_of(env, argv[0]))) : NULL;
}

napi_value pn_sim_now(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    return pn_arguments(env, info, 1, argv) ? pn_number(env, (double)presence_sim_now(sim_of(env, argv[0]))) : NULL;
}

/* simStep(sim, untilMs, settle) -> 0, 1 or a code */
napi_value pn_sim_step(napi_env env, napi_callback_info info) {
    napi_value argv[3];
    double until = 0;
    bool settle = false;
    if (!pn_arguments(env, info, 3, argv)) return NULL;
    napi_get_value_double(env, argv[1], &until);
    napi_get_value_bool(env, argv[2], &settle);
    return pn_number(env, presence_sim_step(sim_of(env, argv[0]), until > 0 ? (uint64_t)until : 0, settle));
}

napi_value pn_sim_heal(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    return pn_arguments(env, info, 1, argv) ? pn_number(env, presence_sim_heal(sim_of(env, argv[0]))) : NULL;
}

/* simBlock(sim, from, to) */
napi_value pn_sim_block(napi_env env, napi_callback_info info) {
    napi_value argv[3];
    if (!pn_arguments(env, info, 3, argv)) return NULL;
    presence_tracker *from = pn_open_of(env, argv[1]), *to = pn_open_of(env, argv[2]);
    return pn_number(env, presence_sim_block(sim_of(env, argv[0]), from, to, 1));
}

static napi_value with_number(napi_env env, napi_callback_info info,
                              int (*call)(presence_sim *, presence_tracker *, int)) {
    napi_value argv[3];
    if (!pn_arguments(env, info, 3, argv)) return NULL;
    return pn_number(env, call(sim_of(env, argv[0]), pn_open_of(env, argv[1]), pn_read_int(env, argv[2], 0)));
}

/* simPartition(sim, handle, side), simCrash(sim, handle, death) */
napi_value pn_sim_partition(napi_env env, napi_callback_info info) {
    return with_number(env, info, presence_sim_partition);
}
napi_value pn_sim_crash(napi_env env, napi_callback_info info) { return with_number(env, info, presence_sim_crash); }

static napi_value with_member(napi_env env, napi_callback_info info, int (*call)(presence_sim *, presence_tracker *)) {
    napi_value argv[2];
    if (!pn_arguments(env, info, 2, argv)) return NULL;
    return pn_number(env, call(sim_of(env, argv[0]), pn_open_of(env, argv[1])));
}

/* simWaiting, simPause, simResume: (sim, handle) */
napi_value pn_sim_waiting(napi_env env, napi_callback_info info) {
    return with_member(env, info, presence_sim_waiting);
}
napi_value pn_sim_pause(napi_env env, napi_callback_info info) { return with_member(env, info, presence_sim_pause); }
napi_value pn_sim_resume(napi_env env, napi_callback_info info) { return with_member(env, info, presence_sim_resume); }

/* simSynced(handle, timeout) -> 0, 1 or a code; moves virtual time */
napi_value pn_sim_synced(napi_env env, napi_callback_info info) {
    napi_value argv[2];
    if (!pn_arguments(env, info, 2, argv)) return NULL;
    return pn_number(env, presence_wait_synced(pn_open_of(env, argv[0]), pn_read_int(env, argv[1], -1)));
}

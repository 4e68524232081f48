/* Entry of the Node addon: the functions node/lib/native.js finds. There is no state per process and none per
 * environment but the trackers themselves, so worker threads and several copies of the package do not meet. */
#define _GNU_SOURCE
#include "addon.h"

#include <dlfcn.h>

/* Only their addresses are taken: Node has a libuv and an OpenSSL of its own, and the test asks which one ours calls.
 */
extern int uv_loop_init(void *);
extern int pb_decode(void *, const void *, void *);
extern void *SSL_CTX_new(const void *) __attribute__((weak)); /* as OpenSSL; absent when built without */
extern int EVP_DigestInit_ex(void *, const void *, void *) __attribute__((weak));
extern int LZ4_decompress_safe(const char *, char *, int, int);
extern size_t ZSTD_decompressDCtx(void *, void *, size_t, const void *, size_t);

static napi_value image_of(napi_env env, void *address) {
    Dl_info info;
    return pn_cstring(env, dladdr(address, &info) && info.dli_fname ? info.dli_fname : "");
}

/* images() -> { symbol: file of the image it is in } */
static napi_value images(napi_env env, napi_callback_info call) {
    (void)call;
    napi_value out;
    if (napi_create_object(env, &out) != napi_ok) return NULL;
    napi_set_named_property(env, out, "uv_loop_init", image_of(env, (void *)uv_loop_init));
    napi_set_named_property(env, out, "pb_decode", image_of(env, (void *)pb_decode));
    napi_set_named_property(env, out, "LZ4_decompress_safe", image_of(env, (void *)LZ4_decompress_safe));
    napi_set_named_property(env, out, "ZSTD_decompressDCtx", image_of(env, (void *)ZSTD_decompressDCtx));
    if (SSL_CTX_new) napi_set_named_property(env, out, "SSL_CTX_new", image_of(env, (void *)SSL_CTX_new));
    if (EVP_DigestInit_ex)
        napi_set_named_property(env, out, "EVP_DigestInit_ex", image_of(env, (void *)EVP_DigestInit_ex));
    return out;
}

static napi_value strerror_of(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    if (!pn_arguments(env, info, 1, argv)) return NULL;
    return pn_cstring(env, presence_strerror(pn_read_int(env, argv[0], 0)));
}

static const struct {
    const char *name;
    napi_callback call;
} functions[] = {
    {"configure", pn_configure},
    {"open", pn_open},
    {"stop", pn_stop},
    {"stopNow", pn_stop_now},
    {"close", pn_close},
    {"hold", pn_hold},
    {"drain", pn_drain},
    {"takeLog", pn_take_log},
    {"ownerOpen", pn_owner_open},
    {"ownerTouch", pn_owner_touch},
    {"ownerClose", pn_owner_close},
    {"track", pn_track},
    {"trackMany", pn_track_many},
    {"trackCheck", pn_track_check},
    {"update", pn_update},
    {"untrack", pn_untrack},
    {"list", pn_list},
    {"getByKey", pn_get_by_key},
    {"count", pn_count},
    {"topics", pn_topics},
    {"seedAdd", pn_seed_add},
    {"seedRemove", pn_seed_remove},
    {"members", pn_members},
    {"stats", pn_stats},
    {"metrics", pn_metrics},
    {"address", pn_address},
    {"synced", pn_synced},
    {"subscribe", pn_subscribe},
    {"subscribeAll", pn_subscribe_all},
    {"unsubscribe", pn_unsubscribe},
    {"options", pn_options},
    {"simNew", pn_sim_new},
    {"simMessage", pn_sim_message},
    {"simNow", pn_sim_now},
    {"simStep", pn_sim_step},
    {"simWaiting", pn_sim_waiting},
    {"simPartition", pn_sim_partition},
    {"simBlock", pn_sim_block},
    {"simHeal", pn_sim_heal},
    {"simCrash", pn_sim_crash},
    {"simPause", pn_sim_pause},
    {"simResume", pn_sim_resume},
    {"simSynced", pn_sim_synced},
    {"strerror", strerror_of},
    {"images", images},
};

NAPI_MODULE_INIT() {
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        napi_value call;
        if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, NULL, &call) != napi_ok ||
            napi_set_named_property(env, exports, functions[i].name, call) != napi_ok) {
            return NULL;
        }
    }
    napi_value version = pn_cstring(env, presence_version());
    if (version == NULL || napi_set_named_property(env, exports, "version", version) != napi_ok) return NULL;
    return exports;
}

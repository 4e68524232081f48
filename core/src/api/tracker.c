/* Opening a tracker, and the door every call goes through. */
#define _GNU_SOURCE 1 /* writer preference of the lock */
#include "tracker.h"
#include "hash.h"
#include "net.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- entering ---- */
int pr_tracker_check(const presence_tracker *tracker) {
    if (!tracker) return PRESENCE_EINVAL;
    return pr_fork_mark_lost(&tracker->mark) ? PRESENCE_EFORKED : 0;
}

int pr_tracker_enter_write(presence_tracker *tracker) {
    int failed = pr_tracker_check(tracker);
    if (failed) return failed;
    pthread_rwlock_wrlock(&tracker->lock);
    failed = tracker->end;
    if (failed) pthread_rwlock_unlock(&tracker->lock);
    return failed;
}

void pr_tracker_leave_write(presence_tracker *tracker) {
    pr_settle(tracker);
    bool wake = pr_transport_needs_wake(tracker->net, tracker->want_wake), signal = tracker->want_signal;
    tracker->want_wake = tracker->want_signal = false;
    pthread_rwlock_unlock(&tracker->lock);
    if (signal) pthread_cond_broadcast(&tracker->changed);
    if (wake) pr_transport_wake(tracker->net);
}

int pr_tracker_enter_read(presence_tracker *tracker) {
    int failed = pr_tracker_check(tracker);
    if (failed) return failed;
    pthread_rwlock_rdlock(&tracker->lock);
    failed = tracker->end;
    if (failed) pthread_rwlock_unlock(&tracker->lock);
    return failed;
}

void pr_tracker_leave_read(presence_tracker *tracker) { pthread_rwlock_unlock(&tracker->lock); }

/* ---- what open draws and derives ---- */
static bool default_name(presence_tracker *tracker, char *out, size_t room) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    char host[256] = "", tail[7];
    uint8_t random[6];
    if (!pr_transport_draw(tracker->net, random, sizeof random)) return false;
    for (size_t i = 0; i < sizeof random; i++) tail[i] = letters[random[i] & 31];
    tail[6] = 0;
    if (gethostname(host, sizeof host - 1) != 0 || !*host || !pr_utf8_valid(pr_cstr(host))) snprintf(host, 5, "host");
    for (char *p = host; *p; p++) {
        if ((unsigned char)*p > 126 || *p <= ' ') *p = '-';
    }
    snprintf(out, room, "%.40s-%ld-%s", host, (long)getpid(), tail);
    return true;
}

/* ---- addresses ---- */
typedef struct seed_list {
    presence_str *items;
    char (*texts)[264];
    size_t size, room;
} seed_list;

static size_t count_seeds(const char *list) {
    char part[320];
    const char *why;
    size_t count = 0;
    while (pr_config_next_part(&list, part, sizeof part)) {
        pr_address address;
        if (pr_address_parse(part, &address, &why) == 0) count += (size_t)(address.port_high - address.port_low) + 1;
    }
    return count;
}

bool pr_tracker_is_own(const presence_tracker *tracker, const pr_address *seed, uint16_t port) {
    struct sockaddr_storage a, b;
    socklen_t size;
    pr_address own;
    const char *why;
    if (!*tracker->address || pr_address_parse(tracker->address, &own, &why) != 0) return false;
    if (!pr_address_socket(&own, own.port_low, &a, &size) || !pr_address_socket(seed, port, &b, &size)) return false;
    return pr_socket_equal((struct sockaddr *)&a, (struct sockaddr *)&b);
}

static int make_seeds(const presence_tracker *tracker, const char *list, seed_list *seeds) {
    char part[320];
    const char *why;
    seeds->room = count_seeds(list);
    if (seeds->room == 0) return 0;
    seeds->items = pr_new(tracker->alloc, seeds->room * sizeof *seeds->items);
    seeds->texts = pr_new(tracker->alloc, seeds->room * sizeof *seeds->texts);
    if (!seeds->items || !seeds->texts) return PRESENCE_ENOMEM;
    while (pr_config_next_part(&list, part, sizeof part)) {
        pr_address address;
        if (pr_address_parse(part, &address, &why) != 0) continue;
        for (uint32_t port = address.port_low; port <= address.port_high; port++) {
            if (pr_tracker_is_own(tracker, &address, (uint16_t)port)) continue;
            char *text = seeds->texts[seeds->size];
            if (!pr_address_text(&address, (uint16_t)port, text, sizeof *seeds->texts)) continue;
            seeds->items[seeds->size++] = pr_cstr(text);
        }
    }
    return 0;
}

static void free_seeds(const presence_tracker *tracker, seed_list *seeds) {
    pr_delete(tracker->alloc, seeds->items, seeds->room * sizeof *seeds->items);
    pr_delete(tracker->alloc, seeds->texts, seeds->room * sizeof *seeds->texts);
}

static void set_addresses(presence_tracker *tracker, const presence_config *config, pr_engine_options *options,
                          char (*texts)[PR_ADDRESS_MAX + 1]) {
    const char *list = pr_config_text(config, PR_OPTION_advertise);
    size_t count = 0;
    if (!*tracker->address) return;
    while (count < PR_ADDRESSES_MAX && pr_config_next_part(&list, texts[count], PR_ADDRESS_MAX + 1)) count++;
    if (count == 0 && !pr_virtual_is(tracker->net))
        count = pr_net_interfaces(tracker->address, texts, PR_ADDRESSES_MAX);
    if (count > 0) {
        memcpy(tracker->address, texts[0], sizeof tracker->address);
    } else {
        memcpy(texts[count++], tracker->address, sizeof tracker->address);
    }
    for (size_t i = 0; i < count; i++) options->addresses[i] = pr_cstr(texts[i]);
    options->addresses_size = count;
}

/* ---- building ---- */
static void set_options(const presence_config *config, pr_engine_options *options) {
    int64_t flush = pr_config_number(config, PR_OPTION_flush_ms);
    options->cluster = pr_cstr(pr_config_text(config, PR_OPTION_cluster));
    options->observer = pr_config_number(config, PR_OPTION_observer) != 0;
    options->heartbeat_ms = (uint32_t)pr_config_number(config, PR_OPTION_heartbeat_ms);
    options->suspect_ms = (uint32_t)pr_config_number(config, PR_OPTION_suspect_ms);
    options->grace_ms = (uint32_t)pr_config_number(config, PR_OPTION_grace_ms);
    options->leave_grace_ms = (uint32_t)pr_config_number(config, PR_OPTION_leave_grace_ms);
    options->permdown_ms = (uint32_t)pr_config_number(config, PR_OPTION_permdown_ms);
    options->connect_timeout_ms = (uint32_t)pr_config_number(config, PR_OPTION_connect_timeout_ms);
    options->flush_ms = flush == 0 ? -1 : (int32_t)flush;
    options->compression = (enum pr_codec)pr_config_number(config, PR_OPTION_compression);
    options->key_bytes = (uint32_t)pr_config_number(config, PR_OPTION_key_bytes);
    options->topic_bytes = (uint32_t)pr_config_number(config, PR_OPTION_topic_bytes);
    options->member_entries = (uint32_t)pr_config_number(config, PR_OPTION_member_entries);
    options->topic_entries = (uint32_t)pr_config_number(config, PR_OPTION_topic_entries);
    options->key_metas = (uint32_t)pr_config_number(config, PR_OPTION_key_metas);
    options->meta_bytes = (uint32_t)pr_config_number(config, PR_OPTION_meta_bytes);
}

/* Members of a virtual network that name nobody to join join all that run. */
static int make_all_seeds(const presence_tracker *tracker, const presence_config *config, pr_virtual *network,
                          seed_list *seeds) {
    pr_buffer all;
    if (!network || config->values[PR_OPTION_join]) {
        return make_seeds(tracker, pr_config_text(config, PR_OPTION_join), seeds);
    }
    pr_buffer_init(&all, tracker->alloc, SIZE_MAX / 2);
    pr_virtual_addresses(network, &all);
    pr_buffer_append(&all, "", 1);
    int failed = all.failed ? all.failed : make_seeds(tracker, (const char *)all.data, seeds);
    pr_buffer_free(&all);
    return failed;
}

static int make_engine(presence_tracker *tracker, presence_config *config, pr_virtual *network, bool alone) {
    pr_engine_options options = pr_engine_options_default();
    char texts[PR_ADDRESSES_MAX][PR_ADDRESS_MAX + 1];
    seed_list seeds = {0};
    const char *name = pr_config_text(config, PR_OPTION_name);
    set_options(config, &options);
    bool drawn = pr_transport_draw(tracker->net, &options.inst, sizeof options.inst) &&
                 pr_transport_draw(tracker->net, &options.seed, sizeof options.seed);
    if (!*name) {
        drawn = drawn && default_name(tracker, tracker->name, sizeof tracker->name);
    } else {
        snprintf(tracker->name, sizeof tracker->name, "%s", name);
    }
    if (!drawn) return pr_config_fail(config, PRESENCE_EINTERNAL, "the system gave no random numbers");
    if (options.inst == 0) options.inst = 1;
    options.inc = pr_transport_wall_ms(tracker->net);
    options.name = pr_cstr(tracker->name);
    snprintf(tracker->cluster_name, sizeof tracker->cluster_name, "%.*s", (int)options.cluster.size,
             options.cluster.data);
    tracker->cluster = pr_hash(options.cluster.data, options.cluster.size, 0);
    int failed = alone ? 0 : make_all_seeds(tracker, config, network, &seeds);
    if (!failed && !alone) set_addresses(tracker, config, &options, texts);
    options.seeds = seeds.items;
    options.seeds_size = seeds.size;
    if (!network && !alone) options.resolve_ms = (uint32_t)pr_config_number(config, PR_OPTION_resolve_ms);
    if (!failed) failed = pr_engine_new(tracker->alloc, &options, pr_transport_now(tracker->net), &tracker->engine);
    free_seeds(tracker, &seeds);
    return failed ? pr_config_fail(config, failed, "the tracker could not be made: %s", presence_strerror(failed)) : 0;
}

static pr_tls_settings tls_settings(const presence_config *config) {
    pr_tls_settings settings = {
        pr_config_text(config, PR_OPTION_cluster),     pr_config_text(config, PR_OPTION_secret),
        pr_config_text(config, PR_OPTION_secret_file), pr_config_text(config, PR_OPTION_tls_cert),
        pr_config_text(config, PR_OPTION_tls_key),     pr_config_text(config, PR_OPTION_tls_ca),
        pr_config_text(config, PR_OPTION_tls_name)};
    return settings;
}

static int secure_net(presence_tracker *tracker, presence_config *config) {
    enum pr_security security = pr_config_security(config);
    char why[PR_TLS_WHY_MAX];
    pr_tls *tls = NULL;
    pr_tls_settings settings = tls_settings(config);
    int failed = security == PR_SECURITY_TLS ? pr_tls_new(tracker->alloc, &settings, &tls, why) : 0;
    if (failed) return pr_config_fail(config, failed, "%s", why);
    tracker->beyond = security != PR_SECURITY_NONE;
    pr_net_secure(tracker->net, tls, tracker->beyond);
    return 0;
}

static int make_net(presence_tracker *tracker, presence_config *config, pr_virtual *network, bool alone) {
    const char *listen = alone ? "" : pr_config_text(config, PR_OPTION_listen), *why = NULL;
    const char *name = pr_config_text(config, PR_OPTION_name);
    pr_transport_hooks hooks = pr_settle_hooks(tracker);
    int failed = network ? pr_virtual_join(network, tracker->alloc, &hooks, name, listen, &tracker->net, &why)
                         : pr_net_new(tracker->alloc, &hooks, listen, &tracker->net, &why);
    if (failed) {
        return pr_config_fail(config, failed, "listen on \"%s\": %s", listen, why ? why : presence_strerror(failed));
    }
    pr_transport_address(tracker->net, tracker->address, sizeof tracker->address);
    return network ? 0 : secure_net(tracker, config);
}

static int make_locks(presence_tracker *tracker) {
    pthread_rwlockattr_t prefer;
    pthread_condattr_t monotonic;
    if (pthread_rwlockattr_init(&prefer) != 0) return PRESENCE_ENOMEM;
#ifdef __GLIBC__ /* readers in a loop must not keep the loop thread out */
    pthread_rwlockattr_setkind_np(&prefer, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
    pthread_rwlock_init(&tracker->lock, &prefer);
    pthread_rwlockattr_destroy(&prefer);
    pthread_mutex_init(&tracker->events, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&tracker->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return 0;
}

void pr_tracker_free(presence_tracker *tracker) {
    pr_memory *memory = tracker->memory;
    pr_transport_free(tracker->net);
    if (tracker->engine) pr_engine_free(tracker->engine);
    pr_queue_free(&tracker->queue);
    pr_topic_set_free(&tracker->subscribed);
    pr_log_lines_free(&tracker->lines);
    pthread_cond_destroy(&tracker->changed);
    pthread_mutex_destroy(&tracker->events);
    pthread_rwlock_destroy(&tracker->lock);
    pr_fork_mark_free(&tracker->mark);
    pr_delete(&memory->alloc, tracker, sizeof *tracker);
    pr_memory_release(memory);
}

static presence_tracker *make(presence_config *config) {
    pr_memory *memory = pr_memory_new(&config->alloc);
    if (!memory) return NULL;
    presence_tracker *tracker = pr_new(&memory->alloc, sizeof *tracker);
    if (!tracker) {
        pr_memory_release(memory);
        return NULL;
    }
    tracker->memory = memory;
    tracker->alloc = &memory->alloc;
    int level = (int)pr_config_number(config, PR_OPTION_log_level);
    if (pr_log_lines_init(&tracker->lines, tracker->alloc, config->log, config->log_user, level) != 0 ||
        make_locks(tracker) != 0) {
        pr_delete(&memory->alloc, tracker, sizeof *tracker);
        pr_memory_release(memory);
        return NULL;
    }
    pr_fork_mark_set(&tracker->mark);
    pr_topic_set_init(&tracker->subscribed, tracker->alloc);
    return tracker;
}

int pr_tracker_open(presence_config *config, pr_virtual *network, presence_tracker **out) {
    int failed = pr_config_check_all(config);
    if (failed) return failed;
    presence_tracker *tracker = make(config);
    if (!tracker) return pr_config_fail(config, PRESENCE_ENOMEM, "out of memory");
    bool alone = !network && pr_config_number(config, PR_OPTION_transport) == PR_TRANSPORT_MEMORY;
    failed = pr_queue_init(&tracker->queue, tracker->alloc, (size_t)pr_config_number(config, PR_OPTION_queue_bytes));
    if (failed) pr_config_fail(config, failed, "out of memory");
    if (!failed) failed = make_net(tracker, config, network, alone);
    if (!failed) failed = make_engine(tracker, config, network, alone);
    if (!failed) {
        pr_log_line(&tracker->lines, PRESENCE_LOG_INFO, "tracker.opened address=%s",
                    *tracker->address ? tracker->address : "none");
        failed = pr_transport_start(tracker->net, tracker->engine);
        if (failed) pr_config_fail(config, failed, "the loop thread could not be started");
    }
    if (failed) {
        pr_tracker_free(tracker);
        return failed;
    }
    *out = tracker;
    return 0;
}

int presence_tracker_open(presence_config *config, presence_tracker **out) {
    if (out) *out = NULL;
    return config && out ? pr_tracker_open(config, NULL, out) : PRESENCE_EINVAL;
}

/* glue.c: calls with plain pointers, and the bridge that native threads wake Python's loop with. */
#define _GNU_SOURCE
#include "glue.h"

#include <dlfcn.h>
#include <lz4.h>
#include <pb_decode.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <uv.h>
#include <zstd.h>

/* Only their addresses are taken; as OpenSSL has them, absent when the library is built without. */
extern void *SSL_CTX_new(const void *) __attribute__((weak));
extern int EVP_DigestInit_ex(void *, const void *, void *) __attribute__((weak));

enum { LOG_LINES = 256, LOG_LINE_SIZE = 480 };

typedef struct {
    int level;
    char text[LOG_LINE_SIZE];
} log_line;

struct glue_bridge {
    int fd;
    pthread_mutex_t lock; /* guards what follows; held for a copy only */
    size_t log_first, log_count, log_lost;
    log_line log[LOG_LINES];
};

glue_bridge *glue_bridge_new(void) {
    glue_bridge *bridge = calloc(1, sizeof *bridge);
    if (!bridge) return NULL;
    bridge->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (bridge->fd < 0 || pthread_mutex_init(&bridge->lock, NULL) != 0) {
        if (bridge->fd >= 0) close(bridge->fd);
        free(bridge);
        return NULL;
    }
    return bridge;
}

void glue_bridge_free(glue_bridge *bridge) {
    if (!bridge) return;
    close(bridge->fd);
    pthread_mutex_destroy(&bridge->lock);
    free(bridge);
}

int glue_bridge_fd(const glue_bridge *bridge) { return bridge ? bridge->fd : -1; }

void glue_bridge_wake(glue_bridge *bridge) {
    uint64_t one = 1;
    if (!bridge) return;
    /* A full counter is a pending wake-up already, so failing is as good as writing. */
    if (write(bridge->fd, &one, sizeof one) < 0) return;
}

void glue_bridge_clear(glue_bridge *bridge) {
    uint64_t pending;
    if (!bridge) return;
    if (read(bridge->fd, &pending, sizeof pending) < 0) return;
}

static void wake(void *user) { glue_bridge_wake(user); }

static void log_append(int level, const char *line, void *user) {
    glue_bridge *bridge = user;
    pthread_mutex_lock(&bridge->lock);
    if (bridge->log_count == LOG_LINES) {
        bridge->log_lost++;
    } else {
        log_line *slot = &bridge->log[(bridge->log_first + bridge->log_count++) % LOG_LINES];
        slot->level = level;
        snprintf(slot->text, sizeof slot->text, "%s", line);
    }
    pthread_mutex_unlock(&bridge->lock);
    glue_bridge_wake(bridge);
}

int glue_bridge_log_line(glue_bridge *bridge, char *buf, size_t size) {
    int level = 0;
    if (!bridge) return 0;
    pthread_mutex_lock(&bridge->lock);
    if (bridge->log_count > 0) {
        log_line *slot = &bridge->log[bridge->log_first];
        level = slot->level;
        snprintf(buf, size, "%s", slot->text);
        bridge->log_first = (bridge->log_first + 1) % LOG_LINES;
        bridge->log_count--;
    } else if (bridge->log_lost > 0) {
        level = PRESENCE_LOG_WARNING;
        snprintf(buf, size, "log_lost lines=%zu", bridge->log_lost);
        bridge->log_lost = 0;
    }
    pthread_mutex_unlock(&bridge->lock);
    return level;
}

int glue_config_log(presence_config *config, glue_bridge *bridge) {
    return presence_config_set_log(config, log_append, bridge);
}

int glue_set_wake(presence_tracker *tracker, glue_bridge *bridge) {
    return presence_set_wake_callback(tracker, bridge ? wake : NULL, bridge);
}

static presence_str str(const char *data, size_t size) { return (presence_str){data, size}; }

int glue_track(presence_tracker *tracker, presence_owner owner, const char *topic, size_t topic_size, const char *key,
               size_t key_size, const char *meta, size_t meta_size, char *ref) {
    return presence_track(tracker, owner, str(topic, topic_size), str(key, key_size), str(meta, meta_size),
                          (presence_ref *)ref);
}

int glue_update(presence_tracker *tracker, presence_owner owner, const char *topic, size_t topic_size, const char *key,
                size_t key_size, const char *expected, size_t expected_size, const char *meta, size_t meta_size,
                char *ref) {
    presence_str t = str(topic, topic_size), k = str(key, key_size), m = str(meta, meta_size);
    if (expected_size == 0) return presence_update(tracker, owner, t, k, m, (presence_ref *)ref);
    return presence_update_if(tracker, owner, t, k, str(expected, expected_size), m, (presence_ref *)ref);
}

int glue_untrack(presence_tracker *tracker, presence_owner owner, const char *topic, size_t topic_size, const char *key,
                 size_t key_size, size_t *removed) {
    return presence_untrack(tracker, owner, str(topic, topic_size), str(key, key_size), removed);
}

int glue_track_many(presence_tracker *tracker, presence_owner owner, const char *text, const size_t *sizes,
                    size_t count, char *refs, size_t *failed_index) {
    presence_item *items = calloc(count ? count : 1, sizeof *items);
    if (!items) return PRESENCE_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        presence_str *parts[] = {&items[i].topic, &items[i].key, &items[i].meta};
        for (size_t j = 0; j < 3; j++) {
            *parts[j] = str(text, sizes[3 * i + j]);
            text += sizes[3 * i + j];
        }
    }
    int rc = presence_track_many(tracker, owner, items, count, (presence_ref *)refs, failed_index);
    free(items);
    return rc;
}

int glue_count(presence_tracker *tracker, const char *topic, size_t topic_size, size_t *keys, size_t *metas) {
    return presence_count(tracker, str(topic, topic_size), keys, metas);
}

int glue_subscribe(presence_tracker *tracker, const char *topic, size_t topic_size) {
    return presence_subscribe(tracker, str(topic, topic_size), NULL);
}

int glue_unsubscribe(presence_tracker *tracker, const char *topic, size_t topic_size) {
    return presence_unsubscribe(tracker, str(topic, topic_size));
}

static int inside(void *function, const char *image, char *other, size_t size) {
    Dl_info info;
    if (!dladdr(function, &info) || !info.dli_fname) return 0;
    if (strcmp(info.dli_fname, image) == 0) return 1;
    snprintf(other, size, "%s", info.dli_fname);
    return 0;
}

/* Python has an OpenSSL of its own, as have many of its modules. A library built without one has nothing to show. */
static int tls_inside(const char *image, char *other, size_t size) {
    if (!SSL_CTX_new || !EVP_DigestInit_ex) return 1;
    return inside((void *)SSL_CTX_new, image, other, size) && inside((void *)EVP_DigestInit_ex, image, other, size);
}

int glue_self_contained(char *other, size_t size) {
    Dl_info own;
    if (!dladdr((void *)glue_self_contained, &own) || !own.dli_fname) return 0;
    return inside((void *)uv_loop_init, own.dli_fname, other, size) &&
           inside((void *)pb_decode, own.dli_fname, other, size) && tls_inside(own.dli_fname, other, size) &&
           inside((void *)LZ4_decompress_safe, own.dli_fname, other, size) &&
           inside((void *)ZSTD_decompressDCtx, own.dli_fname, other, size);
}

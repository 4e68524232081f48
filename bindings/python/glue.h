/* glue.h: what the Python module adds to the C API so that no Python code runs on a native thread and every call
 * is one crossing. Read by build_ffi.py like presence.h: plain declarations only. */
#ifndef LIBPRESENCE_PYTHON_GLUE_H
#define LIBPRESENCE_PYTHON_GLUE_H

#include "presence.h"

/* One per tracker: an eventfd that any thread may write to, and the log lines waiting for Python. Its memory has to
 * outlive the tracker. NULL is taken for one that is gone. */
typedef struct glue_bridge glue_bridge;
glue_bridge *glue_bridge_new(void); /* NULL: no memory or no descriptor */
void glue_bridge_free(glue_bridge *);
int glue_bridge_fd(const glue_bridge *);
void glue_bridge_wake(glue_bridge *);
void glue_bridge_clear(glue_bridge *); /* takes the wake-ups that are pending */
/* The oldest waiting log line into buf (cut to size), its level as the result; 0: none. */
int glue_bridge_log_line(glue_bridge *, char *buf, size_t size);

int glue_config_log(presence_config *, glue_bridge *);
int glue_set_wake(presence_tracker *, glue_bridge *);

int glue_track(presence_tracker *, presence_owner, const char *topic, size_t topic_size, const char *key,
               size_t key_size, const char *meta, size_t meta_size, char *ref);
/* expected of size 0: unconditional */
int glue_update(presence_tracker *, presence_owner, const char *topic, size_t topic_size, const char *key,
                size_t key_size, const char *expected, size_t expected_size, const char *meta, size_t meta_size,
                char *ref);
int glue_untrack(presence_tracker *, presence_owner, const char *topic, size_t topic_size, const char *key,
                 size_t key_size, size_t *removed);
/* text holds topic, key, meta of each item in turn, sizes their lengths; refs has room for count times 32 bytes. */
int glue_track_many(presence_tracker *, presence_owner, const char *text, const size_t *sizes, size_t count, char *refs,
                    size_t *failed_index);
/* The same for what marshal.dumps(…, 2) wrote: a (topic, key, meta), or a list of count such tuples; a meta may be None
 * or left out where something is tracked. Any failure changes nothing, and its code is of no use: it may only mean that
 * something is of an unusual kind. The calls above say what is wrong. */
int glue_change_plain(presence_tracker *, presence_owner, const char *marshal, size_t size, int update, char *ref);
int glue_track_many_plain(presence_tracker *, presence_owner, const char *marshal, size_t size, size_t count,
                          char *refs);
int glue_count(presence_tracker *, const char *topic, size_t topic_size, size_t *keys, size_t *metas);
int glue_subscribe(presence_tracker *, const char *topic, size_t topic_size);
int glue_unsubscribe(presence_tracker *, const char *topic, size_t topic_size);

/* Text built for Python; free with glue_text_free. */
typedef struct {
    char *data;
    size_t size;
    uint64_t seq; /* of the snapshot it was made from */
    size_t count; /* entries or events inside */
} glue_text;
void glue_text_free(glue_text *);
/* The state as presence_list_json gives it. */
int glue_list(presence_tracker *, const char *topic, size_t topic_size, glue_text *out);
/* A JSON array of [kind, key, meta, prev_meta, ref, prev_ref, member, reason, first, last, owner] per entry; key
 * NULL means the whole topic. */
int glue_entries(presence_tracker *, const char *topic, size_t topic_size, const char *key, size_t key_size,
                 glue_text *out);
/* A JSON array of topics. */
int glue_topics(presence_tracker *, glue_text *out);
/* A JSON array of rows: [name, id, address, incarnation, status, synced, is_self, rtt_ms, entries, observer, linked,
 * reason, lag]. */
int glue_members(presence_tracker *, glue_text *out);
/* Takes at most max events. Each is a glue_event_head in the machine's byte order, then topic, text and changes without
 * gaps. DIFF: text is presence_diff_json, changes as glue_entries. MEMBER: text is one row of glue_members. ERROR and
 * STOPPED: text is the message. Events taken are in *out even when the result is an error. */
typedef struct {
    int32_t kind, error;
    uint64_t seq, topic_size, text_size, changes_size;
} glue_event_head;
int glue_drain(presence_tracker *, size_t max, glue_text *out);

/* 1 when libuv and nanopb inside this module are its own and not somebody else's copy; path of the image otherwise. */
int glue_self_contained(char *other, size_t size);

#endif

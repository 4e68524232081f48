/* What the files of the store share: its records (protocol.md 4.1) and the steps between them. No other layer includes
 * this. */
#ifndef PR_RECORDS_H
#define PR_RECORDS_H

#include "blob.h"
#include "diff.h"
#include "hash.h"
#include "mutant.h"
#include "table.h"
#include <stdatomic.h>

enum {
    PR_VISIBLE = 1,
    PR_CHAINED = 2, /* its key has more than one entry and so a key record */
    PR_HEAD = 4,    /* chained: the one in the key table; key_prev is the key record */
    PR_PENDING = 8, /* part of the open diff: prev is the place there */
    PR_OWNED = 16,  /* in the table of owned entries; every local entry of a key with more than one is */
    PR_LINGERS = 32 /* shown although it has left (linger.c) */
};

#define PR_DELTA_WIDE UINT32_MAX /* dot - eid is in the side table */

typedef struct pr_entry {
    uint64_t eid;
    uint32_t delta; /* dot - eid */
    uint32_t topic, blob;
    uint32_t hash; /* of (topic, key) */
    uint32_t topic_pos;
    uint32_t key_next, key_prev;
    uint32_t local; /* side record; 0: of another member */
    uint32_t prev;  /* dot - the dot shown before the last shown update; 0: none, or it does not fit */
    uint16_t log, flags;
} pr_entry;
_Static_assert(sizeof(pr_entry) == 48, "an entry is 48 bytes (protocol.md 4.1)");

#define PR_TOPIC_INLINE 2
typedef struct pr_topic {
    union {
        uint32_t *list;
        uint32_t few[PR_TOPIC_INLINE];
    } ids;
    uint32_t room; /* of ids; PR_TOPIC_INLINE: in place */
    uint32_t name; /* blob; 0: the record is not in use */
    uint32_t hash;
    uint32_t entries, visible, keys; /* keys: with a visible entry */
    uint32_t watch;
    uint32_t touched; /* place in the open diff, from 1 */
} pr_topic;

typedef struct pr_key {
    uint32_t entries, visible;
} pr_key;

typedef struct pr_local {
    uint64_t owner;
    uint32_t owner_prev, owner_next; /* entries */
} pr_local;

typedef struct pr_wide {
    uint32_t entry;
    uint64_t dot;
} pr_wide;

typedef struct pr_owned { /* a record of the owner table */
    uint32_t first, last; /* entries, in order of tracking */
    uint64_t generation;  /* counts its owners; with the index it makes the id */
    uint64_t deadline;    /* of the lease; 0: none */
    uint32_t lease_pos;   /* in the heap, from 1 */
    bool open;
} pr_owned;

#define PR_LOG_SEGMENT 64
typedef struct pr_log_row {
    uint64_t inst;
    uint32_t entries;
    bool done; /* its log is no more; the index is free when `entries` is 0 */
    uint8_t name_size;
    char name[PR_MEMBER_NAME_MAX];
} pr_log_row;

/* One entity touched by the open diff: what was shown of it before, if anything. */
typedef struct pr_pending {
    uint64_t eid, dot, dot_before;
    presence_owner owner;
    size_t key_at, meta_at; /* in the text of the diff, when `before` and watched */
    uint32_t entry;         /* 0: removed since */
    uint32_t topic;         /* place among the touched topics */
    uint32_t hash, prev;    /* prev: of the entry, while that holds the place of this */
    uint16_t log, meta_size;
    uint8_t key_size, kind, reason;
    bool before, first, last;
} pr_pending;

typedef struct pr_touched {
    uint32_t topic;
    bool watched;
    size_t size, text; /* at finish: changes to report and their bytes of text */
} pr_touched;

/* The block that the diffs of one finish live in; their alloc is the one here, so they need nothing else. */
typedef struct pr_shared {
    pr_alloc alloc;
    size_t bytes;
    atomic_uint diffs; /* not freed yet */
} pr_shared;

typedef struct pr_changing { /* the open diff */
    bool open;
    /* one block: items, touched topics, and two arrays to sort in, all of `room` places */
    pr_pending *items;
    pr_touched *topics;
    uint32_t *order, *groups;
    size_t size, topics_size, room;
    uint8_t *text; /* keys and metas shown before */
    size_t text_size, text_room;
    pr_shared *block; /* for the diffs */
    size_t block_room;
} pr_changing;

struct pr_store {
    pr_alloc memory;
    pr_blobs blobs;
    pr_slab entries, topics, keys, locals, wides, owners, lingers;
    pr_table topic_table, key_table, owned_table, wide_table, linger_table;
    uint32_t linger_first, linger_last;
    size_t linger_text, linger_longest; /* bytes of key and meta: of all, and no less than of any */
    pr_log_row *logs[65536 / PR_LOG_SEGMENT];
    uint32_t *leases; /* a heap of owner records, earliest first */
    size_t leases_size, leases_room;
    size_t visible_topics;
    size_t watched; /* topics with a watch */
    bool watch_all;
    size_t longest_name; /* of a member */
    uint64_t seq;
    pr_changing changing;
};

static inline pr_entry *pr_entry_at(const pr_store *s, pr_id id) { return pr_slab_at(&s->entries, id); }
static inline pr_topic *pr_topic_at(const pr_store *s, pr_id id) { return pr_slab_at(&s->topics, id); }
static inline presence_str pr_entry_key(const pr_store *s, const pr_entry *e) {
    return pr_blob_key(&s->blobs, e->blob);
}
static inline presence_str pr_entry_meta(const pr_store *s, const pr_entry *e) {
    return pr_blob_meta(&s->blobs, e->blob);
}

/* ---- topics ---- */
pr_id pr_topic_find(const pr_store *, presence_str name); /* 0: none */
pr_id pr_topic_need(pr_store *, presence_str name);       /* finds or makes it; 0: no memory */
void pr_topic_drop_if_unused(pr_store *, pr_id);
bool pr_topic_reserve(pr_store *, pr_topic *); /* room for one more entry */
void pr_topic_add(pr_store *, pr_id topic, pr_id entry);
void pr_topic_take_out(pr_store *, pr_entry *);
static inline const uint32_t *pr_topic_ids(const pr_topic *t) {
    return t->room == PR_TOPIC_INLINE ? t->ids.few : t->ids.list;
}
static inline presence_str pr_topic_name(const pr_store *s, const pr_topic *t) {
    return pr_blob_key(&s->blobs, t->name);
}
uint32_t pr_topic_hash_of(const void *store, uint32_t topic);

/* ---- keys ---- */
uint32_t pr_key_hash(pr_id topic, presence_str key);
uint32_t pr_key_hash_of(const void *store, uint32_t entry);
pr_id pr_key_head(const pr_store *, pr_id topic, uint32_t hash, presence_str key); /* 0: none */
/* Makes room for an entry of this key; `record` is a new key record when the key has one entry so far. */
bool pr_key_reserve(pr_store *, pr_id head, uint32_t *record);
void pr_key_add(pr_store *, pr_id entry, pr_id head, uint32_t record);
void pr_key_take_out(pr_store *, pr_id entry);
size_t pr_key_visible(const pr_store *, pr_id head); /* visible entries of the key */
void pr_entry_flip(pr_store *, pr_id);               /* the visible flag and all counters that follow it */

/* ---- owners ---- */
uint32_t pr_owned_hash_of(const void *store, uint32_t entry);
/* Makes room for what pr_owned_share adds when an entry joins the one called head (0: none). */
bool pr_owned_reserve(pr_store *, pr_id head);
void pr_owned_share(pr_store *, pr_id entry); /* its key has, or will have, more than one entry */
void pr_owner_add(pr_store *, pr_id entry, uint32_t local, presence_owner);
void pr_owner_take_out(pr_store *, pr_id entry);
presence_owner pr_linger_owner(const pr_store *, const pr_entry *);
static inline presence_owner pr_entry_owner(const pr_store *s, const pr_entry *e) {
    if (e->local) return ((const pr_local *)pr_slab_at(&s->locals, e->local))->owner;
    return e->flags & PR_LINGERS ? pr_linger_owner(s, e) : 0;
}

/* ---- logs ---- */
pr_log_row *pr_log_row_at(const pr_store *, uint16_t log); /* NULL: nothing known */
pr_log_row *pr_log_row_need(pr_store *, uint16_t log);     /* NULL: no memory */
uint64_t pr_log_row_inst(const pr_store *, uint16_t log);  /* 0: nothing known */
presence_str pr_log_row_name(const pr_store *, uint16_t log);
void pr_log_rows_free(pr_store *);

/* ---- what lingers ---- */
void pr_lingers_init(pr_store *);
void pr_lingers_free(pr_store *);
bool pr_linger_keep(pr_store *, pr_id);                   /* it is to be removed: true if it lingers */
size_t pr_lingers_text(const pr_store *, size_t entries); /* so many of them: at most */
static inline size_t pr_lingers_size(const pr_store *s) { return s->lingers.count; }

/* ---- the open diff ---- */
uint64_t pr_entry_dot(const pr_store *, pr_id);
uint64_t pr_entry_prev_dot(const pr_store *, pr_id); /* as the diff will leave it */
void pr_changing_forget(pr_store *, pr_entry *);     /* the entry is removed */
void pr_changing_free(pr_store *);
bool pr_changing_reserve_block(pr_store *, size_t bytes);

#endif

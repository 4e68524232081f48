/* The store: every entry of every log, indexed by topic, by (topic, key) and by owner (protocol.md 4).
 *
 * An entry is one presence of one log. It is held by (log index, eid); the log layer finds it by eid, the
 * store by topic, key and owner. An entry with the visible flag holds exactly what was last shown.
 * Counters and key edges follow the visible flag. Nothing here knows versions beyond eid and dot.
 *
 * Indexes (entry ids, topic ids) are reused after removal and never leave the tracker's lock; strings
 * returned point into the store and live until the entry is changed or removed.
 */
#ifndef PR_STORE_H
#define PR_STORE_H

#include "alloc.h"
#include "text.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct pr_store pr_store;
typedef uint32_t pr_id; /* of an entry or a topic; 0 = none */

int pr_store_new(const pr_alloc *, pr_store **out);
void pr_store_free(pr_store *);

/* ---- entries ---- */
/* Not visible yet. eid <= dot. owner 0 = of another member. ENOMEM leaves the store as it was. */
int pr_store_insert(pr_store *, uint16_t log, uint64_t eid, uint64_t dot, presence_str topic, presence_str key,
                    presence_str meta, presence_owner owner, pr_id *out);
/* New value under the same eid. The old meta goes to *old (released with pr_store_meta_release) so that a diff can
 * show it. Keeps the visible flag; keeps the place in every index. */
typedef struct pr_meta_hold {
    uint32_t handle;
    uint32_t prev; /* of the store */
    presence_str meta;
} pr_meta_hold;
int pr_store_set(pr_store *, pr_id, uint64_t dot, presence_str meta, pr_meta_hold *old);
/* Takes pr_store_set back: the held meta and the dot from before it. Cannot fail; *old is empty afterwards. */
void pr_store_unset(pr_store *, pr_id, uint64_t dot, pr_meta_hold *old);
void pr_store_meta_release(pr_store *, pr_meta_hold *);
void pr_store_remove(pr_store *, pr_id); /* must not be visible; unlinks it from owner, topic and key */
/* Makes room for `entries` more (a hint, capped by the caller): tables are grown once. */
void pr_store_presize(pr_store *, size_t entries);

typedef struct pr_view {
    uint64_t eid, dot, prev_dot; /* prev_dot: the dot shown before the last shown update; 0 none */
    presence_str topic, key, meta;
    pr_id topic_id;
    uint16_t log;
    bool visible;
    presence_owner owner;
} pr_view;
void pr_store_view(const pr_store *, pr_id, pr_view *out);
uint64_t pr_store_eid(const pr_store *, pr_id);
uint64_t pr_store_dot(const pr_store *, pr_id);
bool pr_store_visible(const pr_store *, pr_id);
size_t pr_store_size(const pr_store *); /* entries held, visible or not */

/* ---- the member behind a log index: needed for refs, order and names in snapshots and diffs ---- */
int pr_store_name_log(pr_store *, uint16_t log, uint64_t inst, presence_str member_name); /* copies; ENOMEM */
int pr_store_log_inst(const pr_store *, uint16_t log, uint64_t *inst);

/* ---- local entries by owner ---- */
/* entry of (owner, topic, key), 0 = none */
pr_id pr_store_find_owned(const pr_store *, presence_owner, presence_str topic, presence_str key);
pr_id pr_store_first_owned(const pr_store *, presence_owner); /* 0 = none; O(1) */
pr_id pr_store_next_owned(const pr_store *, pr_id);           /* of the same owner; 0 = none; O(1) */
int pr_store_owner_open(pr_store *, uint64_t lease_deadline_ms, presence_owner *out); /* 0 = no lease */
int pr_store_owner_check(const pr_store *, presence_owner); /* 0, EOWNER (never existed), EOWNERCLOSED */
int pr_store_owner_lease(pr_store *, presence_owner, uint64_t lease_deadline_ms);
/* the lease that runs out first, 0 = none (a heap or the like: O(log n)) */
presence_owner pr_store_owner_first_lease(const pr_store *, uint64_t *deadline_ms);
void pr_store_owner_close(pr_store *, presence_owner); /* must own nothing any more */

/* ---- entries that linger: shown although they have left ---- */
/* The entry stays shown until the deadline; its owner, if any, has lost it. False: it is not shown, it is not the only
 * one of its key, or there is no memory: hide it. Deadlines never fall from call to call. Removing an entry that
 * lingers takes it out of its log alone. */
bool pr_store_linger(pr_store *, pr_id, uint64_t deadline_ms, uint8_t reason);
bool pr_store_lingers(const pr_store *, pr_id);
uint8_t pr_store_linger_reason(const pr_store *, pr_id); /* of one that lingers */
bool pr_store_linger_end(pr_store *, pr_id);           /* shown as before; true: it was removed meanwhile: do so now */
pr_id pr_store_linger_of_key(const pr_store *, pr_id); /* another entry of the same key that lingers; 0: none */
/* True: both are one entity, and the second, not shown so far, has taken the place of the first, which is gone. */
bool pr_store_linger_adopt(pr_store *, pr_id lingers, pr_id fresh);
uint64_t pr_store_linger_deadline(const pr_store *); /* of the next; UINT64_MAX: none */
size_t pr_store_linger_due(const pr_store *, uint64_t now_ms, pr_id *ids, size_t max);
/* The log of this index is no more: true if no entry is left of it, so that the index is free; else `over` tells when
 * it is, which is also asked for logs that go on. */
bool pr_store_log_done(pr_store *, uint16_t log);
bool pr_store_log_over(const pr_store *, uint16_t log);

/* ---- counts, O(1) ---- */
void pr_store_count(const pr_store *, presence_str topic, size_t *keys, size_t *metas); /* visible ones */
size_t pr_store_key_count(const pr_store *, presence_str topic, presence_str key);      /* visible metas */
size_t pr_store_topic_count(const pr_store *);             /* topics with a visible entry */
size_t pr_store_log_count(const pr_store *, uint16_t log); /* entries held of a log */

/* ---- interest: diffs are only built for topics somebody watches ---- */
int pr_store_watch(pr_store *, presence_str topic); /* counted */
void pr_store_unwatch(pr_store *, presence_str topic);
void pr_store_watch_all(pr_store *, bool);

#endif

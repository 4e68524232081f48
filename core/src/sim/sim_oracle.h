/* The oracle's memory: the history of every log that ever was, and what each member showed of it.
 *
 * A history is written by the local calls alone (never by what an engine claims), a view by the diffs of one member
 * alone. The checks compare both with each other and with the member's store and logs (protocol.md 3.14).
 */
#ifndef PR_SIM_ORACLE_H
#define PR_SIM_ORACLE_H

#include "engine.h"

typedef struct sim_value {
    uint64_t dot;
    uint64_t hash; /* what it adds to the sum of its log (P11) */
    uint32_t meta; /* text id */
} sim_value;

/* One version of a log. In the middle of a closing owner's removals the order, and so the sum, is not fixed. */
typedef struct sim_version {
    uint64_t sum;
    uint32_t live;   /* size of History(version) */
    uint32_t entity; /* index + 1 of the one that was born here; 0: none */
    bool fixed;
} sim_version;

/* Died at a version in [dead_first, dead_last]: closing an owner removes its entries in an order that is not fixed. */
typedef struct sim_entity {
    uint64_t eid, dead_first, dead_last; /* 0: lives */
    uint32_t topic, key;
    presence_owner owner;
    uint8_t reason;
    sim_value *values;
    size_t values_size;
} sim_entity;

typedef struct sim_history {
    uint64_t inst, version;
    char name[PR_MEMBER_NAME_MAX + 1];
    size_t name_size;
    bool running;
    sim_entity *entities; /* ascending eid */
    size_t entities_size, entities_room;
    sim_version *versions;
    size_t versions_room;
} sim_history;

typedef struct sim_seen {
    uint64_t dot, prev_dot; /* dot 0: not shown */
    uint64_t joined;        /* seq of the diff that joined it (P8) */
    bool removed;           /* left because it was removed: never again (P6) */
} sim_seen;

typedef struct sim_seen_log {
    sim_seen *items; /* by index of the entity */
    size_t size, shown;
    uint64_t floor;   /* P7 */
    pr_state checked; /* state at the last check of P1 to P3 */
    size_t checked_size;
    uint32_t checks; /* every so many, all entries are compared instead of their sum */
    bool was_shown, was_hidden_full;
    uint64_t turn;  /* of the last look: a gap means that the log was dropped meanwhile */
    uint64_t up_at; /* boot time when it was up last, its timers done; 0: never */
} sim_seen_log;

#define SIM_TOPICS 64
#define SIM_LOGS   32768 /* slots of the table of logs: at most half are used */

typedef struct sim_view {
    sim_seen_log *logs; /* by index of the history */
    size_t size;
    size_t shown;
    uint64_t seq;
    uint64_t changed;     /* bit per topic that diffs were about since it was compared */
    uint64_t own_version; /* of the own log when it was compared */
    uint32_t *keys;       /* topic, key, shown now, shown before the diff: four each */
    size_t keys_size, keys_room;
    size_t topic_keys[SIM_TOPICS], topic_entries[SIM_TOPICS]; /* shown, by index of the topic */
} sim_view;

typedef struct sim_oracle {
    sim_history **histories;
    size_t size;
    uint16_t by_inst[SIM_LOGS]; /* index + 1; 0: free */
    presence_str *texts;        /* topics, keys and metas; id = index + 1 */
    size_t texts_size, texts_room;
    uint32_t *text_table;
    size_t text_table_room;
    uint32_t topics[SIM_TOPICS]; /* ids of the topics ever used */
    size_t topics_size;
} sim_oracle;

struct sim_process;
struct pr_sim;

uint32_t sim_text(struct pr_sim *, presence_str); /* id of a text, made if new */
presence_str sim_text_str(const struct pr_sim *, uint32_t id);
size_t sim_topic_index(const struct pr_sim *, uint32_t id); /* of a topic that was used */
const char *sim_text_of(const struct pr_sim *, uint32_t id);
void sim_oracle_start(struct pr_sim *, uint64_t inst, const char *name);
void sim_oracle_end(struct pr_sim *, uint64_t inst);
void sim_oracle_free(struct pr_sim *);
sim_history *sim_history_of(const struct pr_sim *, uint64_t inst, size_t *index);
sim_entity *sim_entity_of(const sim_history *, uint64_t eid);
/* 1 lives at v, 0 not yet or dead, -1: one of several that died around v */
int sim_alive_at(const sim_entity *, uint64_t version);
const sim_value *sim_value_at(const sim_entity *, uint64_t version); /* NULL: not born yet */
const sim_value *sim_value_of(const sim_entity *, uint64_t dot);

/* local calls, after they succeeded */
void sim_oracle_track(struct pr_sim *, sim_history *, presence_owner, presence_str topic, presence_str key,
                      presence_str meta);
void sim_oracle_update(struct pr_sim *, sim_history *, sim_entity *, presence_str meta);
/* all live entities of the owner that match; returns how many */
size_t sim_oracle_remove(struct pr_sim *, sim_history *, presence_owner, const sim_entity *only, uint8_t reason);
void sim_oracle_skip(struct pr_sim *, sim_history *, uint64_t version); /* versions in which nothing lasting was done */
sim_entity *sim_oracle_owned(const sim_history *, presence_owner, uint32_t topic, uint32_t key);

/* ---- sim_view.c: the fold of the diffs ---- */
void sim_view_diff(struct pr_sim *, struct sim_process *, const pr_diff *);
void sim_view_free(struct pr_sim *, sim_view *);
sim_seen_log *sim_view_log(struct pr_sim *, sim_view *, size_t history, size_t entities);

/* ---- sim_check.c: after every event ---- */
void sim_check(struct pr_sim *, struct sim_process *);

#endif

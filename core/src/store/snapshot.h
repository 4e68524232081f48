/* Snapshots: self-contained copies of the visible state, and their JSON (api.md: presences). */
#ifndef PR_SNAPSHOT_H
#define PR_SNAPSHOT_H

#include "buffer.h"
#include "diff.h"

typedef struct pr_row {
    presence_str topic, key, meta, member;
    uint64_t inst, eid, dot, prev_dot; /* prev_dot 0 = none */
    presence_owner owner;
} pr_row;

/* Immutable, one block, rows of one key adjacent and ordered by (inst, eid). */
typedef struct pr_rows {
    const pr_alloc *alloc;
    size_t bytes, size;
    uint64_t seq;
    pr_row rows[];
} pr_rows;

int pr_store_list(const pr_store *, presence_str topic, pr_rows **out); /* unknown topic: empty */
int pr_store_get(const pr_store *, presence_str topic, presence_str key, pr_rows **out);
int pr_store_topics(const pr_store *, pr_rows **out); /* rows with only topic */
void pr_rows_free(pr_rows *);                         /* any thread */

/* {"key":{"metas":[{…,"phx_ref":"…","phx_ref_prev":"…"}]}}; refs are written into the text of the meta */
void pr_rows_json(const pr_rows *, pr_buffer *);
/* {"joins":{…},"leaves":{…}}: an update is in both */
void pr_diff_json(const pr_diff *, pr_buffer *);

#endif

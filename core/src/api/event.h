/* What the caller sees of an event and of a snapshot. */
#ifndef PR_EVENT_H
#define PR_EVENT_H

#include "memory.h"
#include "queue.h"
#include <stdatomic.h>

/* Texts of refs, made when they are first asked for: most readers of a state only want its JSON. */
typedef struct pr_ref_pair {
    presence_ref ref, prev;
} pr_ref_pair;
typedef struct pr_refs {
    _Atomic(pr_ref_pair *) pairs;
    size_t size;
} pr_refs;
typedef struct pr_versions {
    uint64_t inst, dot, prev_dot;
} pr_versions;
/* pairs[i] is made from versions(of, i); NULL: no memory */
const pr_ref_pair *pr_refs_get(pr_refs *, const pr_alloc *, pr_versions (*versions)(const void *of, size_t),
                               const void *of);
void pr_refs_free(pr_refs *, const pr_alloc *);

struct presence_event {
    const pr_alloc *alloc;
    const pr_queued *queued;
    pr_rows *rows; /* RESYNC */
    pr_refs refs;
    pr_buffer json;
    bool has_json;
};
void pr_event_init(presence_event *, const pr_alloc *, const pr_queued *, pr_rows *);
void pr_event_done(presence_event *); /* frees the rows too */

struct presence_snapshot {
    pr_memory *memory;
    pr_rows *rows; /* or members */
    pr_member_info *members;
    size_t members_size, members_room;
    uint64_t seq;
    pr_refs refs;
    pr_buffer json;
};
int pr_snapshot_new(pr_memory *, presence_snapshot **out); /* empty: the caller gives it rows or members */

/* Copies what fits into a struct whose first field is its size, as its owner knows it. 0 or EINVAL. */
int pr_fill_sized(void *out, const void *from, size_t size);
const char *pr_status_name(int status); /* enum presence_member_status */
void pr_fill_member(presence_member *, const pr_member_info *);
void pr_fill_row(presence_entry *, const pr_row *, const pr_ref_pair *);
pr_versions pr_row_versions(const void *rows, size_t index);

#endif

/* The world of the public header: ordinary trackers on the virtual network of presence/sim.h. */
#ifndef PR_SCENARIO_API_H
#define PR_SCENARIO_API_H

#include "scenario.h"
#include <presence/sim.h>

#define API_MEMBERS 8
#define API_STREAMS 8
#define API_OWNERS  256

typedef struct api_member {
    char name[24];
    presence_tracker *tracker;
    bool alive; /* neither crashed nor stopped */
    scn_transcript diffs;
} api_member;

typedef struct api_owner {
    int member;
    char name[24];
    presence_owner id;
} api_owner;

/* A state, then the diffs after it. */
typedef struct api_stream {
    char name[24], topic[64];
    int member;
    uint64_t seq;
    bool open;
    scn_transcript events;
} api_stream;

typedef struct scn_api {
    presence_sim *sim;
    api_member members[API_MEMBERS];
    api_owner owners[API_OWNERS];
    size_t owners_size;
    api_stream streams[API_STREAMS];
    size_t streams_size;
} scn_api;

static inline scn_api *scn_api_of(scn_run *run) { return run->state; }
static inline presence_str scn_str(const char *text) { return (presence_str){text, __builtin_strlen(text)}; }
api_member *scn_api_member(scn_run *, const char *name); /* NULL and a failure: no such member */
void scn_items_add_snapshot(scn_items *, const presence_snapshot *);

void scn_api_expect(scn_run *, scn_call *); /* scenario_api_expect.c */

#endif

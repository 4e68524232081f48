/* The world of engines: the simulator of core/src/sim, with names for hosts, owners and frames. */
#ifndef PR_SCENARIO_ENGINE_H
#define PR_SCENARIO_ENGINE_H

#include "scenario.h"
#include "sim.h"

typedef struct scn_owner {
    int host;
    char name[24];
    presence_owner id;
} scn_owner;

/* Which log a number means on one direction of a link. */
typedef struct scn_logdef {
    int from, to;
    pr_link link;
    uint32_t number;
    uint64_t inst;
} scn_logdef;

typedef struct scn_engine {
    pr_sim *sim;
    pr_decoder *decoder;
    char hosts[PR_SIM_HOSTS][24];       /* "": free */
    uint64_t insts[PR_SIM_HOSTS][2048]; /* of every start, to name logs; the last ones */
    size_t starts[PR_SIM_HOSTS];
    scn_owner owners[256];
    size_t owners_size;
    scn_transcript diffs[PR_SIM_HOSTS], members[PR_SIM_HOSTS], wire;
    scn_logdef logs[256];
    size_t logs_size;
    bool nolinks[PR_SIM_HOSTS][PR_SIM_HOSTS];
    bool blocked[PR_SIM_HOSTS][PR_SIM_HOSTS];
    bool leaving[PR_SIM_HOSTS]; /* until it has ended */
    uint64_t frames, dials;     /* at the last clear */
    presence_statistics before[PR_SIM_HOSTS];
    size_t memory[PR_SIM_HOSTS]; /* as remembered */
} scn_engine;

static inline scn_engine *scn_engine_of(scn_run *run) { return run->state; }
int scn_host(scn_run *, const char *name); /* -1 and a failure: no such member */
bool scn_all_settled(pr_sim *, void *run);

/* ---- scenario_wire.c ---- */
void scn_wire_sent(scn_run *, int host, pr_link, const uint8_t *data, size_t size);
void scn_wire_forge(scn_run *, scn_call *);

/* ---- scenario_expect.c ---- */
void scn_engine_expect(scn_run *, scn_call *);
presence_statistics scn_engine_stats(pr_sim *, int host);

#endif

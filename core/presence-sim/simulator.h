/* presence-sim: parts of the program that runs random histories and reports the first that breaks an invariant. */
#ifndef SIMULATOR_H
#define SIMULATOR_H

#include "sim.h"
#include <time.h>

#define SIMULATOR_JOBS_MAX 256

enum simulator_exit { SIMULATOR_HELD = 0, SIMULATOR_BROKEN = 1, SIMULATOR_USAGE = 2 };

typedef struct simulator_arguments {
    const char *program; /* as it was called, for the command that replays */
    const char *mutant;  /* NULL: none */
    pr_sim_plan plan;    /* of the first history; the next ones have the seeds after it */
    uint64_t runs;       /* 0: as many as the seconds allow */
    uint64_t jobs;       /* processes that share the histories */
    double seconds;      /* 0: as long as the runs take */
    bool done;           /* --help or --version was answered */
} simulator_arguments;

/* SIMULATOR_HELD, or SIMULATOR_USAGE with a text on stderr. */
int simulator_arguments_parse(simulator_arguments *, int argc, char **argv);

/* Sums over all histories of a run. */
typedef struct simulator_sums {
    uint64_t histories, events, steps, compared, converged_ms /* slowest */, virtual_ms;
    double processor_seconds;
    pr_sim_totals totals;
} simulator_sums;

/* ---- simulator_jobs.c: false: an invariant was broken; it has been reported ---- */
bool simulator_run(const simulator_arguments *, uint64_t job, simulator_sums *);
bool simulator_run_jobs(const simulator_arguments *, simulator_sums *);
double simulator_seconds(clockid_t);

void simulator_report_failure(const simulator_arguments *, const pr_sim_plan *, pr_sim_outcome *);
void simulator_report_sums(const simulator_sums *, bool held, double wall_seconds);

#endif

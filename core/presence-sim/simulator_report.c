/* What presence-sim says: a failure with all that is needed to replay it, and the sums at the end. */
#include "simulator.h"
#include <inttypes.h>

static void print_command(const simulator_arguments *arguments, const pr_sim_plan *plan) {
    printf("%s --seed %" PRIu64, arguments->program, plan->seed);
    if (plan->members != 0) printf(" --members %d", plan->members);
    if (plan->broker) printf(" --broker");
    if (plan->exact) printf(" --events %" PRIu64, plan->events);
    if (arguments->mutant != NULL) printf(" --mutant %s", arguments->mutant);
    printf(" --trace\n");
}

void simulator_report_failure(const simulator_arguments *arguments, const pr_sim_plan *plan, pr_sim_outcome *outcome) {
    printf("FAILED seed %" PRIu64 " after %" PRIu64 " events: %s\n", plan->seed, outcome->events, outcome->failure);
    fflush(stdout);
    pr_sim_plan shortest = pr_sim_shorten(plan, outcome);
    printf("shortest failing prefix: %" PRIu64 " events: %s\n", shortest.events, outcome->failure);
    printf("replay: ");
    print_command(arguments, &shortest);
    fflush(stdout);
}

static void print_faults(const pr_sim_totals *totals) {
    uint64_t all = 0;
    for (int fault = 0; fault < PR_SIM_FAULTS; fault++) all += totals->faults[fault];
    printf("%" PRIu64 " faults (", all);
    const char *comma = "";
    for (int fault = 0; fault < PR_SIM_FAULTS; fault++) {
        if (totals->faults[fault] == 0) continue;
        printf("%s%" PRIu64 " %s", comma, totals->faults[fault], pr_sim_fault_name(fault));
        comma = ", ";
    }
    printf(")");
}

void simulator_report_sums(const simulator_sums *sums, bool held, double wall_seconds) {
    const pr_sim_totals *t = &sums->totals;
    double per = sums->processor_seconds > 0 ? 1 / sums->processor_seconds : 0;
    printf("members saw: %" PRIu64 " segments, %" PRIu64 " lives, %" PRIu64 " gaps, %" PRIu64 " stale, %" PRIu64
           " dropped, %" PRIu64 " down, %" PRIu64 " permdown, %" PRIu64 " left, %" PRIu64 " replaced, %" PRIu64
           " yields, %" PRIu64 " errors\n",
           t->segments, t->lives, t->gaps, t->stale, t->dropped, t->downs, t->permdowns, t->lefts, t->replaced,
           t->yields, t->errors);
    printf("healing: %" PRIu64 " of %" PRIu64 " compared at the end, slowest after %" PRIu64
           " ms; %.1f virtual hours\n",
           sums->compared, sums->histories, sums->converged_ms, (double)sums->virtual_ms / 3.6e6);
    printf("%s: %" PRIu64 " histories, %" PRIu64 " events, %" PRIu64 " steps, %" PRIu64 " frames, ",
           held ? "held" : "FAILED", sums->histories, sums->events, sums->steps, t->frames);
    print_faults(t);
    printf(" in %.1f s; per second of processor: %.1f histories, %.0f events, %.0f steps, %.0f frames\n", wall_seconds,
           (double)sums->histories * per, (double)sums->events * per, (double)sums->steps * per,
           (double)t->frames * per);
}

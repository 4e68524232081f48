/* presence-sim: random histories of a whole cluster in virtual time until one breaks an invariant. */
#include "simulator.h"
#include <string.h>
#include <time.h>

static double seconds_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void add(simulator_sums *sums, const pr_sim_outcome *outcome) {
    sums->histories++;
    sums->events += outcome->events;
    sums->steps += outcome->steps;
    sums->virtual_ms += outcome->virtual_ms;
    sums->compared += outcome->compared;
    if (outcome->compared && outcome->converged_ms > sums->converged_ms) sums->converged_ms = outcome->converged_ms;
    pr_sim_totals_add(&sums->totals, &outcome->totals);
}

static int run(const simulator_arguments *arguments) {
    simulator_sums sums;
    memset(&sums, 0, sizeof sums);
    double start = seconds_of(CLOCK_MONOTONIC), start_processor = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    bool held = true;
    pr_sim_plan plan = arguments->plan;
    for (; held; plan.seed++) {
        if (arguments->runs > 0 && sums.histories == arguments->runs) break;
        if (arguments->seconds > 0 && seconds_of(CLOCK_MONOTONIC) - start >= arguments->seconds) break;
        pr_sim_outcome outcome;
        held = pr_sim_history(&plan, &outcome);
        add(&sums, &outcome);
        if (!held) simulator_report_failure(arguments, &plan, &outcome);
    }
    simulator_report_sums(&sums, held, seconds_of(CLOCK_MONOTONIC) - start,
                          seconds_of(CLOCK_PROCESS_CPUTIME_ID) - start_processor);
    return held ? SIMULATOR_HELD : SIMULATOR_BROKEN;
}

int main(int argc, char **argv) {
    simulator_arguments arguments;
    int code = simulator_arguments_parse(&arguments, argc, argv);
    if (code == SIMULATOR_HELD && !arguments.done) code = run(&arguments);
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    perror("presence-sim: standard output");
    return code == SIMULATOR_HELD ? SIMULATOR_BROKEN : code;
}

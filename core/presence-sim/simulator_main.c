/* presence-sim: random histories of a whole cluster in virtual time until one breaks an invariant. */
#include "simulator.h"

static int run(const simulator_arguments *arguments) {
    simulator_sums sums;
    double start = simulator_seconds(CLOCK_MONOTONIC);
    bool held = arguments->jobs > 1 ? simulator_run_jobs(arguments, &sums) : simulator_run(arguments, 0, &sums);
    simulator_report_sums(&sums, held, simulator_seconds(CLOCK_MONOTONIC) - start);
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

/* The shortest failing prefix of a history, and the sums over many histories. */
#include "sim.h"
#include <string.h>

#define SCAN_STEPS 3000000u /* network steps that the search below the bisection may cost */

static bool fails(const pr_sim_plan *plan, uint64_t events, pr_sim_outcome *outcome) {
    pr_sim_plan prefix = *plan;
    prefix.exact = true;
    prefix.events = events;
    prefix.trace = NULL;
    return !pr_sim_history(&prefix, outcome);
}

/* Bisection finds a prefix that fails while the one before it holds; then shorter ones are tried from 0 on. */
pr_sim_plan pr_sim_shorten(const pr_sim_plan *plan, pr_sim_outcome *outcome) {
    pr_sim_plan best = *plan;
    best.exact = true;
    best.events = outcome->events;
    best.trace = NULL;
    pr_sim_outcome tried;
    for (uint64_t low = 0, high = best.events; low < high;) {
        uint64_t middle = low + (high - low) / 2;
        if (!fails(plan, middle, &tried)) {
            low = middle + 1;
            continue;
        }
        high = best.events = middle < tried.events ? middle : tried.events;
        *outcome = tried;
    }
    uint64_t steps = 0;
    for (uint64_t events = 0; events < best.events && steps < SCAN_STEPS; events++) {
        if (fails(plan, events, &tried)) {
            best.events = events;
            *outcome = tried;
        }
        steps += tried.steps;
    }
    return best;
}

const char *pr_sim_fault_name(int fault) {
    static const char *const names[PR_SIM_FAULTS] = {
        "cuts",
        "blocks",
        "forbidden dials",
        "kills",
        "vanished hosts",
        "leaves",
        "restarts",
        "pauses",
        "sleeps",
        "slow",
        "deaf",
        "starvations",
        "flipped bits",
        "clocks",
        "with twins",
        "with a pair apart",
    };
    return fault >= 0 && fault < PR_SIM_FAULTS ? names[fault] : "";
}

void pr_sim_totals_add(pr_sim_totals *totals, const pr_sim_totals *more) {
    uint64_t sums[sizeof *totals / sizeof(uint64_t)], numbers[sizeof *totals / sizeof(uint64_t)];
    memcpy(sums, totals, sizeof sums);
    memcpy(numbers, more, sizeof numbers);
    for (size_t i = 0; i < sizeof sums / sizeof sums[0]; i++) sums[i] += numbers[i];
    memcpy(totals, sums, sizeof sums);
}

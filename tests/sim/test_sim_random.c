/* Random histories of whole clusters against the oracle. SIM_SEED=n replays one with a trace; SIM_MS=n: how long. */
#include "sim_cluster.h"
#include <time.h>

static uint64_t wall_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t number(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void one(uint64_t seed, FILE *trace, pr_sim_outcome *outcome) {
    pr_sim_plan plan = {.seed = seed, .trace = trace};
    if (!pr_sim_history(&plan, outcome))
        fail_msg("seed %llu (SIM_SEED=%llu replays it): %s", (unsigned long long)seed, (unsigned long long)seed,
                 outcome->failure);
}

static void print_totals(const pr_sim_totals *t) {
    print_message("segments %llu lives %llu gaps %llu stale %llu dropped %llu frames %llu downs %llu permdowns %llu ",
                  (unsigned long long)t->segments, (unsigned long long)t->lives, (unsigned long long)t->gaps,
                  (unsigned long long)t->stale, (unsigned long long)t->dropped, (unsigned long long)t->frames,
                  (unsigned long long)t->downs, (unsigned long long)t->permdowns);
    print_message("lefts %llu replaced %llu yields %llu errors %llu\n", (unsigned long long)t->lefts,
                  (unsigned long long)t->replaced, (unsigned long long)t->yields, (unsigned long long)t->errors);
}

static void random_histories_converge(void **state) {
    (void)state;
    pr_sim_outcome outcome;
    if (getenv("SIM_SEED") != NULL) {
        one(number("SIM_SEED", 0), stderr, &outcome);
        return;
    }
    uint64_t first = number("SIM_FIRST", 1), most = number("SIM_MS", 25000), start = wall_ms(), runs = 0, events = 0;
    uint64_t compared = 0, slowest = 0;
    pr_sim_totals totals = {0};
    for (uint64_t seed = first; wall_ms() - start < most; seed++, runs++) {
        one(seed, NULL, &outcome);
        events += outcome.events;
        compared += outcome.compared;
        pr_sim_totals_add(&totals, &outcome.totals);
        if (outcome.compared && outcome.converged_ms > slowest) slowest = outcome.converged_ms;
    }
    print_message("%llu histories, %llu events, %llu compared at the end, slowest %llu ms after the faults\n",
                  (unsigned long long)runs, (unsigned long long)events, (unsigned long long)compared,
                  (unsigned long long)slowest);
    print_totals(&totals);
    assert_true(compared * 2 > runs);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_histories_converge)};
    cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}

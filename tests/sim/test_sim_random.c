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
    if (!pr_sim_history(seed, trace, outcome))
        fail_msg("seed %llu (SIM_SEED=%llu replays it): %s", (unsigned long long)seed, (unsigned long long)seed,
                 outcome->failure);
}

#define TOTALS  (sizeof(pr_sim_totals) / sizeof(uint64_t))
#define TEXT(i) (unsigned long long)totals[i]

static void add(uint64_t *totals, const pr_sim_totals *more) {
    uint64_t numbers[TOTALS];
    memcpy(numbers, more, sizeof numbers);
    for (size_t i = 0; i < TOTALS; i++) totals[i] += numbers[i];
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
    uint64_t totals[TOTALS] = {0};
    for (uint64_t seed = first; wall_ms() - start < most; seed++, runs++) {
        one(seed, NULL, &outcome);
        events += outcome.events;
        compared += outcome.compared;
        add(totals, &outcome.totals);
        if (outcome.compared && outcome.converged_ms > slowest) slowest = outcome.converged_ms;
    }
    print_message("%llu histories, %llu events, %llu compared at the end, slowest %llu ms after the faults\n",
                  (unsigned long long)runs, (unsigned long long)events, (unsigned long long)compared,
                  (unsigned long long)slowest);
    print_message(
        "segments %llu lives %llu gaps %llu stale %llu dropped %llu frames %llu downs %llu permdowns %llu lefts %llu "
        "replaced %llu yields %llu errors %llu\n",
        TEXT(0), TEXT(1), TEXT(2), TEXT(3), TEXT(4), TEXT(5), TEXT(6), TEXT(7), TEXT(8), TEXT(9), TEXT(10), TEXT(11));
    assert_true(compared * 2 > runs);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_histories_converge)};
    cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Random histories over a broker: its settings and its faults. They are drawn from the broker's own stream. */
#include "sim_state.h"

static uint32_t one_of(pr_sim *sim, const uint32_t *choices, size_t size) {
    return choices[sim_broker_random(sim, size)];
}
#define ONE_OF(sim, ...)                                                                                               \
    one_of((sim), (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

void sim_broker_draw(pr_sim *sim, bool damaged) {
    pr_sim_broker *settings = pr_sim_broker_settings(sim);
    settings->lost = ONE_OF(sim, 0, 10, 40);
    settings->doubled = ONE_OF(sim, 0, 10, 30);
    settings->late = ONE_OF(sim, 0, 5, 30);
    settings->late_ms = ONE_OF(sim, 20, 300, 2000);
    settings->reorders = sim_broker_random(sim, 10) < 7;
    settings->damaged = damaged ? ONE_OF(sim, 1, 10) : 0;
}

/* A prompt broker that loses nothing: nobody may be accused. */
void sim_broker_calm(pr_sim *sim) { *pr_sim_broker_settings(sim) = (pr_sim_broker){.reorders = true}; }

void sim_broker_fault(pr_sim *sim, int hosts) {
    uint64_t ms = sim_broker_random(sim, ONE_OF(sim, 100, 1000, 6000));
    if (sim_broker_random(sim, 4) == 0)
        pr_sim_broker_restart(sim, ms);
    else
        pr_sim_broker_cut(sim, (int)sim_broker_random(sim, (uint64_t)hosts), ms, sim_broker_random(sim, 2) == 0);
}

/* Messages still take their time and overtake each other, but all arrive. */
void sim_broker_heal(pr_sim *sim) {
    pr_sim_broker *settings = pr_sim_broker_settings(sim);
    settings->lost = settings->late = settings->damaged = 0;
}

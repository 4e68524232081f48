/* What the simulator's broker remembers: of everybody, and of each process. */
#ifndef PR_SIM_BROKER_H
#define PR_SIM_BROKER_H

#include "sim.h"

/* On its way to one process. */
typedef struct sim_letter {
    uint64_t at, order;
    pr_subject subject;
    size_t size;
    uint8_t data[];
} sim_letter;

/* The client of one process. */
typedef struct sim_client {
    sim_letter **heap; /* the one that arrives next first */
    size_t size, room;
    uint64_t last_at[PR_SIM_HOSTS]; /* of each sender: without reordering nothing overtakes */
    bool attached;                  /* at the broker */
    bool up;                        /* as the engine was told */
    uint64_t down_at, up_at;        /* when it will be told */
} sim_client;

typedef struct sim_broker {
    bool used;
    pr_sim_broker settings;
    uint64_t random, order;
} sim_broker;

#endif

/* A sim of presence/sim.h, and when its members agree. */
#ifndef PR_VIRTUAL_CLUSTER_H
#define PR_VIRTUAL_CLUSTER_H

#include "tracker.h"
#include <presence/sim.h>

struct presence_sim {
    pr_alloc alloc;
    pr_virtual *network;
    pr_fork_mark mark;
    char message[512];
};

/* Writes the message and returns code. */
int pr_sim_refuse(presence_sim *, int code, const char *form, ...) __attribute__((format(printf, 3, 4)));

bool pr_agreement_possible(presence_sim *); /* nothing is under way */
bool pr_agreement_reached(presence_sim *);  /* false: the message says what is missing */

#endif

/* Read-only looks into an engine for the simulator's invariants (protocol.md 3.14). Nothing else uses them. */
#ifndef PR_ENGINE_PROBE_H
#define PR_ENGINE_PROBE_H

#include "engine.h"

/* One log that holds, or held until its sweep ends, entries here. */
typedef struct pr_engine_log_probe {
    const pr_log *log;
    uint64_t inst;
    uint64_t awaited; /* V of 3.3 and 3.9.2, 0 while unknown */
    bool own;
    bool up;        /* UP or SUSPECT */
    bool returning; /* up, and hidden until asof >= V */
    bool shown;     /* the target of its entries */
    bool sweeping;  /* entries whose flag differs from the target may remain */
    bool grave;     /* of a member that is PERMDOWN or LEFT */
    bool detached;  /* replaced, left or permdown: swept away */
} pr_engine_log_probe;

/* Fills at most room; returns how many there are. */
size_t pr_engine_probe_logs(const pr_engine *, pr_engine_log_probe *out, size_t room);
/* Whether this instance still has a record, or its floor is kept under its name. */
bool pr_engine_probe_remembers(const pr_engine *, uint64_t inst);

#endif

/* The two clocks of a tracker (protocol.md 3.9.6). */
#ifndef PR_CLOCK_H
#define PR_CLOCK_H

#include "engine.h"

pr_time pr_clock_now(void);

#endif

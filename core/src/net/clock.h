/* What the machine gives a tracker: two clocks (protocol.md 3.9.6), the time of day, random numbers. */
#ifndef PR_CLOCK_H
#define PR_CLOCK_H

#include "engine.h"

pr_time pr_clock_now(void);
uint64_t pr_clock_wall_ms(void);
bool pr_clock_draw(void *out, size_t size); /* random bytes; false: the system gave none */

#endif

/* Reading the monotonic clock and the one that includes sleep. */
#include "clock.h"
#include <time.h>

static uint64_t milliseconds(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t) != 0) return 0;
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

pr_time pr_clock_now(void) {
    pr_time now = {milliseconds(CLOCK_MONOTONIC), milliseconds(CLOCK_BOOTTIME)};
    return now;
}

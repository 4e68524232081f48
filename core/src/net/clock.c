/* Reading the monotonic clock, the one that includes sleep, the time of day and the random source. */
#include "clock.h"
#include <errno.h>
#include <sys/random.h>
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

uint64_t pr_clock_wall_ms(void) { return milliseconds(CLOCK_REALTIME); }

bool pr_clock_draw(void *out, size_t size) {
    uint8_t *at = out;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += got, size -= (size_t)got;
    }
    return true;
}

/* Seeds at run time: addresses as in the option join. A list is checked as a whole first; without memory, or room
 * for more than 1024 seeds, the first of it may be there. */
#include "tracker.h"

#define PR_JOIN_MAX 1024 /* addresses in one call */

/* 0, or why the list is refused; *count: addresses in it. */
static int check_list(const presence_tracker *tracker, const char *list, size_t *count) {
    char part[320];
    *count = 0;
    while (pr_config_next_part(&list, part, sizeof part)) {
        pr_address address;
        const char *why;
        if (pr_address_parse(part, &address, &why) != 0 || address.port_low == 0) return PRESENCE_EADDRESS;
        if (address.numeric && !address.loopback && !tracker->beyond) return PRESENCE_EUNSUPPORTED;
        *count += (size_t)(address.port_high - address.port_low) + 1;
    }
    return *count ? 0 : PRESENCE_EADDRESS;
}

typedef int (*each_fn)(presence_tracker *, presence_str address, size_t *done);

static int each(presence_tracker *tracker, const char *list, each_fn act, size_t *done) {
    char part[320], text[264];
    while (pr_config_next_part(&list, part, sizeof part)) {
        pr_address address;
        const char *why;
        if (pr_address_parse(part, &address, &why) != 0) continue; /* checked */
        for (uint32_t port = address.port_low; port <= address.port_high; port++) {
            if (pr_tracker_is_own(tracker, &address, (uint16_t)port)) continue;
            int failed = pr_address_text(&address, (uint16_t)port, text, sizeof text) ? 0 : PRESENCE_EADDRESS;
            if (!failed) failed = act(tracker, pr_cstr(text), done);
            if (failed) return failed;
        }
    }
    return 0;
}

static int add_one(presence_tracker *tracker, presence_str address, size_t *done) {
    (*done)++;
    return pr_engine_seed_add(tracker->engine, address, pr_transport_now(tracker->net));
}

static int remove_one(presence_tracker *tracker, presence_str address, size_t *done) {
    *done += pr_engine_seed_remove(tracker->engine, address, pr_transport_now(tracker->net));
    return 0;
}

static int change(presence_tracker *tracker, const char *list, each_fn act, size_t *done) {
    size_t count;
    *done = 0;
    int failed = tracker && list ? pr_tracker_check(tracker) : PRESENCE_EINVAL;
    if (!failed) failed = check_list(tracker, list, &count);
    if (!failed && count > PR_JOIN_MAX) failed = PRESENCE_ELIMIT;
    if (!failed) failed = pr_tracker_enter_write(tracker);
    if (failed) return failed;
    failed = each(tracker, list, act, done);
    pr_tracker_leave_write(tracker);
    return failed;
}

int presence_seed_add(presence_tracker *tracker, const char *addresses) {
    size_t done;
    return change(tracker, addresses, add_one, &done);
}

int presence_seed_remove(presence_tracker *tracker, const char *addresses, size_t *removed) {
    size_t done;
    int failed = change(tracker, addresses, remove_one, &done);
    if (removed) *removed = done;
    return failed;
}

/* Who is dead and who is only far, slow or behind a broken wire, in virtual time (protocol.md 3.13, 6). */
#include "sim_cluster.h"

static int64_t rtt_of(pr_sim *sim, int host, const char *name) {
    pr_member_info info;
    pr_sim_status(sim, host, name, &info);
    return info.rtt_ms;
}

static void the_way_is_measured_and_followed(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(201);
    pr_sim_net(sim)->latency_min_ms = pr_sim_net(sim)->latency_max_ms = 20;
    cluster_start(sim, 3, NULL);
    cluster_run(sim, 200);
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) assert_in_range(rtt_of(sim, a, member_name(b)), a == b ? 0 : 40, a == b ? 0 : 45);
    pr_sim_net(sim)->latency_min_ms = pr_sim_net(sim)->latency_max_ms = 100;
    cluster_run(sim, 200000);
    assert_in_range(rtt_of(sim, 0, "bob"), 150, 205);
    assert_int_equal(pr_sim_count(sim, 0)->downs, 0);
    cluster_free(sim);
}

/* What is known through others alone has no way of its own. */
static void who_is_relayed_has_no_rtt(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(202);
    pr_sim_forbid(sim, 1, 2, PR_DIAL_TIMEOUT);
    pr_sim_forbid(sim, 2, 1, PR_DIAL_TIMEOUT);
    cluster_start(sim, 3, NULL);
    cluster_run(sim, 5000);
    assert_int_equal(rtt_of(sim, 1, "cat"), -1);
    assert_true(rtt_of(sim, 1, "ann") >= 0);
    cluster_free(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_way_is_measured_and_followed),
        cmocka_unit_test(who_is_relayed_has_no_rtt),
    };
    cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}

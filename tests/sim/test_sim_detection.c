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

/* ---- one dead link ---- */
static pr_sim *detection_new(uint64_t seed) {
    pr_sim *sim = cluster_new(seed);
    pr_sim_options(sim)->suspect_ms = 0; /* adaptive, as by default */
    return sim;
}

static void blackhole(pr_sim *sim, int a, int b, bool dead) {
    int end = dead ? PR_DIAL_TIMEOUT : 0;
    pr_sim_block(sim, a, b, dead);
    pr_sim_block(sim, b, a, dead);
    pr_sim_forbid(sim, a, b, end);
    pr_sim_forbid(sim, b, a, end);
}

static uint64_t downs(pr_sim *sim, int count) {
    uint64_t sum = 0;
    for (int host = 0; host < count; host++) sum += pr_sim_count(sim, host)->downs;
    return sum;
}

/* The way between two members dies without a word; a third is linked with both. Nobody is down for a moment, what they
 * track goes over the third, and comes directly again afterwards. */
static void a_silent_link_is_no_death(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        pr_sim *sim = detection_new(300 + seed);
        presence_owner owners[3];
        cluster_start(sim, 3, owners);
        cluster_run(sim, 5000 + 137 * seed); /* at another point of the period each time */
        blackhole(sim, 1, 2, true);
        cluster_run(sim, 3500);
        assert_int_equal(pr_sim_track(sim, 1, owners[1], "room", "more", "{}"), 0);
        assert_true(wait_shown(sim, 2, 4, 500) <= 100);
        cluster_run(sim, 40000); /* the dead link is closed, dials time out */
        assert_int_equal(pr_sim_untrack(sim, 1, owners[1], "room", "more"), 0);
        assert_true(wait_shown(sim, 2, 3, 500) <= 100);
        assert_int_equal(downs(sim, 3), 0);
        assert_int_equal(pr_sim_count(sim, 1)->leaves + pr_sim_count(sim, 2)->leaves, 2);
        blackhole(sim, 1, 2, false);
        cluster_run(sim, 20000);
        assert_int_equal(pr_sim_links(sim, 1, 2), 1);
        assert_int_equal(downs(sim, 3), 0);
        cluster_free(sim);
    }
}

static void a_link_that_is_dead_in_one_direction_is_no_death(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        pr_sim *sim = detection_new(330 + seed);
        cluster_start(sim, 4, NULL);
        cluster_run(sim, 5000 + 137 * seed);
        pr_sim_block(sim, 1, 2, true);
        pr_sim_forbid(sim, 1, 2, PR_DIAL_TIMEOUT);
        pr_sim_forbid(sim, 2, 1, PR_DIAL_TIMEOUT);
        cluster_run(sim, 60000);
        assert_int_equal(downs(sim, 4), 0);
        cluster_free(sim);
    }
}

/* The link is reset, and every new one times out: the third vouches before the grace is over. */
static void a_reset_link_is_no_death(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        pr_sim *sim = detection_new(350 + seed);
        presence_owner owners[3];
        cluster_start(sim, 3, owners);
        cluster_run(sim, 5000 + 137 * seed);
        pr_sim_cut(sim, 1, 2, PR_SIM_CUT_BOTH, 0);
        blackhole(sim, 1, 2, true);
        cluster_run(sim, 300);
        assert_int_equal(pr_sim_status(sim, 1, "cat", NULL), PRESENCE_MEMBER_SUSPECT);
        cluster_run(sim, 400);
        assert_int_equal(pr_sim_status(sim, 1, "cat", NULL), PRESENCE_MEMBER_UP);
        assert_int_equal(pr_sim_track(sim, 2, owners[2], "room", "more", "{}"), 0);
        assert_true(wait_shown(sim, 1, 4, 500) <= 100);
        cluster_run(sim, 30000);
        assert_int_equal(downs(sim, 3), 0);
        cluster_free(sim);
    }
}

/* ---- the dead ---- */
static void a_lost_host_is_hidden_in_time(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        pr_sim *sim = detection_new(400 + seed);
        int count = 3 + (int)(seed % 3);
        cluster_start(sim, count, NULL);
        cluster_run(sim, 5000 + 137 * seed);
        pr_sim_crash(sim, 1, PR_SIM_VANISH);
        /* T_susp + probe: 2.5 s, jitter of a few ms, 100 ms */
        for (int host = 0; host < count; host++)
            if (host != 1) wait_status(sim, host, "bob", PRESENCE_MEMBER_DOWN, 2750);
        wait_shown(sim, 0, (size_t)count - 1, 10);
        cluster_run(sim, 5000);
        assert_int_equal(downs(sim, count), (uint64_t)count - 1); /* each once: nobody brings it back */
        cluster_free(sim);
    }
}

/* Nobody can dial it, but it is dead everywhere: the others vouch for nothing. */
static void a_kill_that_no_dial_can_prove_ends_with_the_grace(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        pr_sim *sim = detection_new(430 + seed);
        cluster_start(sim, 4, NULL);
        cluster_run(sim, 5000 + 137 * seed);
        for (int host = 0; host < 4; host++) pr_sim_forbid(sim, host, 1, PR_DIAL_TIMEOUT);
        pr_sim_crash(sim, 1, PR_SIM_KILL);
        for (int host = 0; host < 4; host++)
            if (host != 1) wait_status(sim, host, "bob", PRESENCE_MEMBER_DOWN, 650);
        cluster_run(sim, 5000);
        assert_int_equal(downs(sim, 4), 3);
        cluster_free(sim);
    }
}

static void a_kill_is_proved_by_refused_dials(void **state) {
    (void)state;
    pr_sim *sim = detection_new(441);
    cluster_start(sim, 4, NULL);
    cluster_run(sim, 5000);
    pr_sim_crash(sim, 1, PR_SIM_KILL);
    for (int host = 0; host < 4; host++)
        if (host != 1) assert_true(wait_status(sim, host, "bob", PRESENCE_MEMBER_DOWN, 100) <= 10);
    cluster_free(sim);
}

/* One that is heard through a third alone: its death takes one period more. */
static void a_relayed_member_that_dies_is_hidden(void **state) {
    (void)state;
    pr_sim *sim = detection_new(442);
    cluster_start(sim, 3, NULL);
    cluster_run(sim, 5000);
    blackhole(sim, 1, 2, true);
    cluster_run(sim, 15000);
    pr_sim_crash(sim, 2, PR_SIM_VANISH);
    wait_status(sim, 1, "cat", PRESENCE_MEMBER_DOWN, 2750 + 2000);
    assert_int_equal(pr_sim_count(sim, 1)->downs, 1);
    cluster_free(sim);
}

/* ---- the slow ---- */
/* As a fifth of the packets lost: what follows waits for the retransmission, now and then for a second one. */
static void lost_packets_are_no_death(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        pr_sim *sim = detection_new(450 + seed);
        cluster_start(sim, seed % 2 ? 2 : 4, NULL);
        for (int step = 0; step < 10 * 600; step++) {
            uint32_t lost = pr_sim_random(sim, 5)   ? 0
                            : pr_sim_random(sim, 5) ? 200
                            : pr_sim_random(sim, 5) ? 600
                                                    : 1400;
            pr_sim_net(sim)->latency_min_ms = 5 + lost;
            pr_sim_net(sim)->latency_max_ms = 15 + lost;
            cluster_run(sim, 100);
        }
        assert_int_equal(downs(sim, seed % 2 ? 2 : 4), 0);
        cluster_free(sim);
    }
}

/* Members stand still for a second, now this, now that one: nobody is accused, and they accuse nobody. */
static void stalls_of_a_second_are_no_death(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        pr_sim *sim = detection_new(460 + seed);
        cluster_start(sim, 4, NULL);
        cluster_run(sim, 2000);
        for (int step = 0; step < 300; step++) {
            int host = (int)pr_sim_random(sim, 4);
            pr_sim_pause(sim, host);
            cluster_run(sim, 1000);
            pr_sim_resume(sim, host, false);
            cluster_run(sim, pr_sim_random(sim, 2000));
        }
        assert_int_equal(downs(sim, 4), 0);
        cluster_free(sim);
    }
}

/* One that stood still for long is down for the others, and accuses none of them; so does a machine that slept. */
static void who_stood_still_accuses_nobody(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        pr_sim *sim = detection_new(470 + seed);
        cluster_start(sim, 4, NULL);
        cluster_run(sim, 3000 + 137 * seed);
        pr_sim_pause(sim, 1);
        cluster_run(sim, 2000 + 1000 * seed);
        pr_sim_resume(sim, 1, seed % 2 == 0);
        wait_settled(sim, 20000);
        cluster_run(sim, 10000);
        assert_int_equal(pr_sim_count(sim, 1)->downs, 0);
        cluster_free(sim);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_way_is_measured_and_followed),
        cmocka_unit_test(who_is_relayed_has_no_rtt),
        cmocka_unit_test(a_silent_link_is_no_death),
        cmocka_unit_test(a_link_that_is_dead_in_one_direction_is_no_death),
        cmocka_unit_test(a_reset_link_is_no_death),
        cmocka_unit_test(a_lost_host_is_hidden_in_time),
        cmocka_unit_test(a_kill_that_no_dial_can_prove_ends_with_the_grace),
        cmocka_unit_test(a_kill_is_proved_by_refused_dials),
        cmocka_unit_test(a_relayed_member_that_dies_is_hidden),
        cmocka_unit_test(lost_packets_are_no_death),
        cmocka_unit_test(stalls_of_a_second_are_no_death),
        cmocka_unit_test(who_stood_still_accuses_nobody),
    };
    cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}

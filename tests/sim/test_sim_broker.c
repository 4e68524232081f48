/* Clusters over a broker, in virtual time: messages that are lost, doubled, late, out of order; a broker that is gone
 * for a while (protocol.md 3.7, 3.11, 6.5). */
#include "sim_cluster.h"

#define LATENCY 1 /* to the broker, and from it */

static pr_sim *broker_new(uint64_t seed) {
    pr_sim *sim = cluster_new(seed);
    pr_sim_use_broker(sim, seed);
    return sim;
}

static uint64_t leaves_of_all(pr_sim *sim, int count) {
    uint64_t leaves = 0;
    for (int host = 0; host < count; host++) leaves += pr_sim_count(sim, host)->leaves + pr_sim_count(sim, host)->downs;
    return leaves;
}

/* ---- who comes and goes ---- */
static void a_newcomer_has_everything_after_two_round_trips(void **state) {
    (void)state;
    pr_sim *sim = broker_new(1);
    cluster_start(sim, 3, NULL);
    cluster_run(sim, 5000);
    pr_sim_start(sim, 3, "dan", 0, 0);
    /* attached, its heartbeat, their greetings, its requests, their answers */
    assert_true(wait_shown(sim, 3, 3, 100) <= LATENCY + 4 * 2 * LATENCY);
    assert_int_equal(pr_engine_synced(pr_sim_engine(sim, 3)), 0);
    wait_settled(sim, 2000); /* synced: who is there has had a period to be heard */
    assert_int_equal(pr_engine_synced(pr_sim_engine(sim, 3)), 1);
    cluster_free(sim);
}

static void who_is_alone_is_told_so(void **state) {
    (void)state;
    pr_sim *sim = broker_new(2);
    pr_sim_start(sim, 0, "ann", 0, 0);
    cluster_run(sim, 2100);
    assert_int_equal(pr_engine_synced(pr_sim_engine(sim, 0)), 2);
    cluster_free(sim);
}

static void a_change_takes_one_way(void **state) {
    (void)state;
    pr_sim *sim = broker_new(3);
    presence_owner owners[3];
    cluster_start(sim, 3, owners);
    uint64_t frames = pr_sim_frames(sim);
    pr_sim_track(sim, 0, owners[0], "room", "u2", "{}");
    assert_true(wait_shown(sim, 1, 4, 50) <= 2 * LATENCY + 1);
    wait_shown(sim, 2, 4, 1);
    assert_true(pr_sim_frames(sim) - frames <= 1 + 3); /* one for everybody, and perhaps heartbeats */
    pr_sim_update(sim, 0, owners[0], "room", "u2", "{\"n\":2}");
    cluster_run(sim, 10);
    assert_string_equal(pr_sim_meta(sim, 2, "room", "u2"), "{\"n\":2}");
    assert_int_equal(pr_sim_count(sim, 2)->updates, 1);
    cluster_free(sim);
}

static void a_kill_is_seen_by_its_silence(void **state) {
    (void)state;
    pr_sim *sim = broker_new(4);
    cluster_start(sim, 3, NULL);
    cluster_run(sim, 3000);
    pr_sim_crash(sim, 1, PR_SIM_KILL);
    uint64_t took = wait_status(sim, 0, "bob", PRESENCE_MEMBER_DOWN, 4000);
    assert_in_range(took, 1000, 2600); /* suspect_ms since its last heartbeat */
    wait_shown(sim, 0, 2, 10);
    wait_shown(sim, 2, 2, 1100);
    assert_int_equal(pr_sim_count(sim, 0)->leaves_by_reason[PRESENCE_REASON_MEMBER_DOWN], 1);
    cluster_free(sim);
}

static void a_leave_is_seen_at_once(void **state) {
    (void)state;
    pr_sim *sim = broker_new(5);
    cluster_start(sim, 3, NULL);
    pr_sim_leave(sim, 1, true);
    assert_true(wait_status(sim, 0, "bob", 0, 100) <= 2 * LATENCY); /* a grave is not listed */
    wait_shown(sim, 0, 2, 10);
    assert_int_equal(pr_sim_count(sim, 0)->leaves_by_reason[PRESENCE_REASON_MEMBER_LEFT], 1);
    cluster_run(sim, 5000);
    assert_int_equal(pr_sim_shown(sim, 2, NULL), 2);
    cluster_free(sim);
}

static void an_observer_is_gone_with_its_silence_and_leaves_no_trace(void **state) {
    (void)state;
    pr_sim *sim = broker_new(6);
    cluster_start(sim, 2, NULL);
    pr_sim_start(sim, 2, "eye", 0, PR_SIM_OBSERVER);
    wait_shown(sim, 2, 2, 100);
    wait_status(sim, 0, "eye", PRESENCE_MEMBER_UP, 10);
    pr_sim_leave(sim, 2, true);
    wait_status(sim, 0, "eye", 0, 4000);
    assert_int_equal(pr_sim_count(sim, 0)->downs, 0);
    pr_sim_shift_clock(sim, 2, -60000); /* its name is free, whatever the clock says */
    pr_sim_start(sim, 2, "eye", 0, PR_SIM_OBSERVER);
    wait_status(sim, 0, "eye", PRESENCE_MEMBER_UP, 100);
    cluster_free(sim);
}

static void an_observer_never_takes_the_name_of_a_member(void **state) {
    (void)state;
    pr_sim *sim = broker_new(23);
    cluster_start(sim, 2, NULL);
    pr_sim_start(sim, 2, "bob", 0, PR_SIM_OBSERVER);
    cluster_run(sim, 2000);
    assert_true(pr_sim_yielded(sim, 2));
    assert_true(pr_sim_alive(sim, 1));
    assert_int_equal(leaves_of_all(sim, 2), 0);
    wait_settled(sim, 100);
    cluster_free(sim);
}

static void nor_that_of_one_that_was(void **state) {
    (void)state;
    pr_sim *sim = broker_new(24);
    cluster_start(sim, 2, NULL);
    pr_sim_leave(sim, 1, true);
    cluster_run(sim, 5000);
    pr_sim_start(sim, 2, "bob", 0, PR_SIM_OBSERVER);
    cluster_run(sim, 3000);
    assert_true(pr_sim_yielded(sim, 2));
    cluster_free(sim);
}

static void a_restart_takes_its_name_at_its_first_heartbeat(void **state) {
    (void)state;
    pr_sim *sim = broker_new(7);
    cluster_start(sim, 3, NULL);
    pr_sim_crash(sim, 1, PR_SIM_KILL);
    pr_sim_start(sim, 1, "bob", 0, 0);
    assert_true(wait_shown(sim, 0, 2, 100) <= 3 * LATENCY + 1);
    assert_int_equal(pr_sim_count(sim, 0)->leaves_by_reason[PRESENCE_REASON_REPLACED], 1);
    wait_settled(sim, 3000);
    cluster_free(sim);
}

static void a_restart_with_a_clock_that_went_back_refutes(void **state) {
    (void)state;
    pr_sim *sim = broker_new(8);
    cluster_start(sim, 3, NULL);
    pr_sim_crash(sim, 1, PR_SIM_KILL);
    pr_sim_shift_clock(sim, 1, -3600000);
    pr_sim_start(sim, 1, "bob", 0, 0);
    wait_settled(sim, 3500); /* two heartbeats: theirs tells of the old one, its own rises above */
    assert_false(pr_sim_yielded(sim, 1));
    cluster_free(sim);
}

static void of_two_with_one_name_the_older_yields(void **state) {
    (void)state;
    pr_sim *sim = broker_new(9);
    cluster_start(sim, 2, NULL);
    cluster_run(sim, 3000);
    pr_sim_start(sim, 2, "bob", 0, 0);
    cluster_run(sim, 6000);
    assert_true(pr_sim_yielded(sim, 1));
    assert_true(pr_sim_alive(sim, 2));
    wait_settled(sim, 1000);
    cluster_free(sim);
}

/* ---- what befalls messages ---- */
static void what_was_lost_comes_with_the_next_heartbeat(void **state) {
    (void)state;
    pr_sim *sim = broker_new(10);
    presence_owner owners[3];
    cluster_start(sim, 3, owners);
    cluster_run(sim, 3300);
    pr_sim_broker_settings(sim)->lost = 100;
    pr_sim_track(sim, 0, owners[0], "room", "u2", "{}");
    cluster_run(sim, 10);
    pr_sim_broker_settings(sim)->lost = 0;
    assert_int_equal(pr_sim_shown(sim, 1, NULL), 3);
    assert_true(wait_shown(sim, 1, 4, 2000) <= 1000 + 6 * LATENCY);
    wait_shown(sim, 2, 4, 10);
    cluster_free(sim);
}

static void what_was_lost_comes_with_the_next_change(void **state) {
    (void)state;
    pr_sim *sim = broker_new(11);
    presence_owner owners[2];
    cluster_start(sim, 2, owners);
    cluster_run(sim, 3300);
    pr_sim_broker_settings(sim)->lost = 100;
    pr_sim_track(sim, 0, owners[0], "room", "u2", "{}");
    cluster_run(sim, 10);
    pr_sim_broker_settings(sim)->lost = 0;
    pr_sim_track(sim, 0, owners[0], "room", "u3", "{}"); /* a gap there, which is asked for */
    assert_true(wait_shown(sim, 1, 4, 50) <= 6 * LATENCY + 2);
    cluster_free(sim);
}

/* Everybody writes while messages suffer; afterwards all agree, and nothing was shown that the oracle does not know. */
static void suffer(uint64_t seed, pr_sim_broker settings) {
    pr_sim *sim = broker_new(seed);
    cluster_start(sim, 4, NULL);
    *pr_sim_broker_settings(sim) = settings;
    for (int i = 0; i < 400; i++) {
        pr_sim_random_operation(sim, (int)pr_sim_random(sim, 4));
        cluster_run(sim, pr_sim_random(sim, 40));
    }
    pr_sim_broker_settings(sim)->lost = 0;
    wait_settled(sim, 15000);
    for (int host = 0; host < 4; host++) assert_int_equal(pr_sim_count(sim, host)->errors, 0);
    cluster_free(sim);
}

static void lost_messages_are_repaired(void **state) {
    (void)state;
    suffer(12, (pr_sim_broker){.lost = 30});
}

static void doubled_messages_change_nothing(void **state) {
    (void)state;
    suffer(13, (pr_sim_broker){.doubled = 100});
}

static void late_messages_in_any_order_are_sorted_out(void **state) {
    (void)state;
    suffer(14, (pr_sim_broker){.late = 40, .late_ms = 300, .reorders = true});
}

static void all_of_it_together(void **state) {
    (void)state;
    suffer(15, (pr_sim_broker){.lost = 20, .doubled = 30, .late = 20, .late_ms = 1500, .reorders = true});
}

/* A log far larger than one answer: pulled window by window, each frame once. */
static void a_large_log_is_pulled_in_windows(void **state) {
    (void)state;
    enum { entries = 3000 };
    pr_sim *sim = broker_new(16);
    pr_sim_options(sim)->own_log.chunk_target = 2000;
    pr_sim_options(sim)->compression = PR_CODEC_NONE;
    pr_sim_start(sim, 0, "ann", 0, 0);
    presence_owner owner = pr_sim_owner(sim, 0, 0);
    for (int i = 0; i < entries; i++) {
        char key[16];
        snprintf(key, sizeof key, "u%d", i);
        pr_sim_track(sim, 0, owner, "room", key, "{}");
    }
    cluster_run(sim, 1500);
    uint64_t bytes = pr_sim_frame_bytes(sim), frames = pr_sim_frames(sim);
    pr_sim_start(sim, 1, "bob", 0, 0);
    uint64_t took = wait_shown(sim, 1, entries, 5000);
    bytes = pr_sim_frame_bytes(sim) - bytes;
    frames = pr_sim_frames(sim) - frames;
    print_message("%d entries: %llu frames, %llu bytes, %llu ms\n", entries, (unsigned long long)frames,
                  (unsigned long long)bytes, (unsigned long long)took);
    assert_true(bytes < (uint64_t)entries * 20 + 3000);
    assert_true(frames > 16 && frames < 60);
    assert_int_equal(cluster_stats(sim, 1).gaps, 0);
    cluster_free(sim);
}

/* ---- the broker itself ---- */
static void a_broker_that_starts_again_is_no_reason_for_a_diff(void **state) {
    (void)state;
    pr_sim *sim = broker_new(17);
    presence_owner owners[4];
    cluster_start(sim, 4, owners);
    cluster_run(sim, 3000);
    pr_sim_broker_restart(sim, 600);
    pr_sim_track(sim, 0, owners[0], "room", "u2", "{}");
    cluster_run(sim, 300);
    pr_sim_track(sim, 3, owners[3], "room", "u3", "{}");
    wait_shown(sim, 1, 6, 2500);
    wait_settled(sim, 3000);
    assert_int_equal(leaves_of_all(sim, 4), 0);
    cluster_free(sim);
}

/* Who left meanwhile does not flash up (P15 watches it); who stayed comes back. */
static void a_broker_that_was_gone_for_long_hides_and_shows(void **state) {
    (void)state;
    pr_sim *sim = broker_new(18);
    presence_owner owners[3];
    cluster_start(sim, 3, owners);
    pr_sim_track(sim, 0, owners[0], "room", "gone", "{}");
    cluster_run(sim, 3000);
    pr_sim_broker_restart(sim, 8000);
    wait_shown(sim, 1, 1, 5000);
    pr_sim_untrack(sim, 0, owners[0], "room", "gone");
    wait_settled(sim, 20000);
    assert_int_equal(pr_sim_shown(sim, 1, NULL), 3);
    assert_int_equal(pr_sim_count(sim, 1)->joins, 1 + 3 + 2); /* oneself, the first time, the return */
    cluster_free(sim);
}

static void one_that_is_cut_off_unnoticed_comes_back(void **state) {
    (void)state;
    pr_sim *sim = broker_new(19);
    presence_owner owners[3];
    cluster_start(sim, 3, owners);
    cluster_run(sim, 3000);
    pr_sim_broker_cut(sim, 2, 5000, false);
    pr_sim_track(sim, 2, owners[2], "room", "u9", "{}"); /* published into the void */
    wait_status(sim, 0, "cat", PRESENCE_MEMBER_DOWN, 4000);
    wait_shown(sim, 2, 2, 4000);
    wait_settled(sim, 8000);
    assert_int_equal(pr_sim_shown(sim, 0, NULL), 4);
    cluster_free(sim);
}

static void two_that_hear_nothing_of_each_other_meet_through_a_third(void **state) {
    (void)state;
    pr_sim *sim = broker_new(20);
    pr_sim_forbid(sim, 1, 2, PR_DIAL_TIMEOUT);
    pr_sim_forbid(sim, 2, 1, PR_DIAL_TIMEOUT);
    presence_owner owners[3];
    cluster_start(sim, 3, owners);
    cluster_run(sim, 5000);
    pr_sim_track(sim, 1, owners[1], "room", "u2", "{}");
    assert_true(wait_shown(sim, 2, 4, 5000) <= 1000 + 10 * LATENCY); /* with the next heartbeat of the third */
    cluster_run(sim, 20000);
    assert_int_equal(leaves_of_all(sim, 3), 0);
    pr_sim_crash(sim, 1, PR_SIM_KILL);
    wait_status(sim, 2, "bob", PRESENCE_MEMBER_DOWN, 6000);
    cluster_free(sim);
}

static void who_stood_still_accuses_nobody(void **state) {
    (void)state;
    pr_sim *sim = broker_new(21);
    presence_owner owners[3];
    cluster_start(sim, 3, owners);
    cluster_run(sim, 3000);
    pr_sim_pause(sim, 2);
    pr_sim_track(sim, 0, owners[0], "room", "u2", "{}");
    cluster_run(sim, 30000);
    pr_sim_resume(sim, 2, false);
    wait_settled(sim, 5000);
    assert_int_equal(pr_sim_count(sim, 2)->downs, 0);
    assert_int_equal(pr_sim_count(sim, 2)->leaves, 0);
    cluster_free(sim);
}

/* One heartbeat a period and member, whatever the size of the cluster, and nothing else. */
static void a_cluster_at_rest_only_beats(void **state) {
    (void)state;
    pr_sim *sim = broker_new(22);
    cluster_start(sim, 6, NULL);
    cluster_run(sim, 15000);
    uint64_t frames = pr_sim_frames(sim), bytes = pr_sim_frame_bytes(sim);
    cluster_run(sim, 20000);
    assert_int_equal(pr_sim_frames(sim) - frames, 6 * 20);
    bytes = (pr_sim_frame_bytes(sim) - bytes) / (6 * 20);
    print_message("%llu bytes a heartbeat\n", (unsigned long long)bytes);
    assert_true(bytes < 120);
    cluster_free(sim);
}

static void random_histories_converge(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        pr_sim_plan plan = {.seed = seed, .broker = true};
        pr_sim_outcome outcome;
        if (!pr_sim_history(&plan, &outcome))
            fail_msg("presence-sim --broker --seed %llu: %s", (unsigned long long)seed, outcome.failure);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_newcomer_has_everything_after_two_round_trips),
        cmocka_unit_test(who_is_alone_is_told_so),
        cmocka_unit_test(a_change_takes_one_way),
        cmocka_unit_test(a_kill_is_seen_by_its_silence),
        cmocka_unit_test(a_leave_is_seen_at_once),
        cmocka_unit_test(an_observer_is_gone_with_its_silence_and_leaves_no_trace),
        cmocka_unit_test(an_observer_never_takes_the_name_of_a_member),
        cmocka_unit_test(nor_that_of_one_that_was),
        cmocka_unit_test(a_restart_takes_its_name_at_its_first_heartbeat),
        cmocka_unit_test(a_restart_with_a_clock_that_went_back_refutes),
        cmocka_unit_test(of_two_with_one_name_the_older_yields),
        cmocka_unit_test(what_was_lost_comes_with_the_next_heartbeat),
        cmocka_unit_test(what_was_lost_comes_with_the_next_change),
        cmocka_unit_test(lost_messages_are_repaired),
        cmocka_unit_test(doubled_messages_change_nothing),
        cmocka_unit_test(late_messages_in_any_order_are_sorted_out),
        cmocka_unit_test(all_of_it_together),
        cmocka_unit_test(a_large_log_is_pulled_in_windows),
        cmocka_unit_test(a_broker_that_starts_again_is_no_reason_for_a_diff),
        cmocka_unit_test(a_broker_that_was_gone_for_long_hides_and_shows),
        cmocka_unit_test(one_that_is_cut_off_unnoticed_comes_back),
        cmocka_unit_test(two_that_hear_nothing_of_each_other_meet_through_a_third),
        cmocka_unit_test(who_stood_still_accuses_nobody),
        cmocka_unit_test(a_cluster_at_rest_only_beats),
        cmocka_unit_test(random_histories_converge),
    };
    cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}

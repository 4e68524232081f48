/* Members that come, go, fall silent, return and are replaced, in virtual time (protocol.md 3.9, 3.11, 6). */
#include "sim_cluster.h"

#define LATENCY 1

static void two_members_join(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(1);
    presence_owner owners[2];
    pr_sim_start(sim, 0, "ann", 0, 0);
    owners[0] = pr_sim_owner(sim, 0, 0);
    pr_sim_track(sim, 0, owners[0], "room", "u1", "{\"n\":1}");
    cluster_run(sim, 500);
    assert_int_equal(pr_engine_synced(pr_sim_engine(sim, 0)), 2); /* alone */
    pr_sim_start(sim, 1, "bob", 1, 0);
    uint64_t took = wait_settled(sim, 100);
    assert_true(took <= 20 * LATENCY);
    assert_int_equal(pr_engine_synced(pr_sim_engine(sim, 1)), 1);
    assert_string_equal(pr_sim_meta(sim, 1, "room", "u1"), "{\"n\":1}");
    pr_sim_track(sim, 0, owners[0], "room", "u2", "{}");
    assert_true(wait_shown(sim, 1, 2, 50) <= 10);
    pr_sim_update(sim, 0, owners[0], "room", "u2", "{\"n\":2}");
    cluster_run(sim, 10);
    assert_string_equal(pr_sim_meta(sim, 1, "room", "u2"), "{\"n\":2}");
    assert_int_equal(pr_sim_count(sim, 1)->updates, 1);
    cluster_free(sim);
}

static void a_kill_is_seen_at_once(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(2);
    cluster_start(sim, 3, NULL);
    cluster_run(sim, 2000); /* a link that ends young is dialled again with back-off */
    pr_sim_crash(sim, 1, PR_SIM_KILL);
    assert_true(wait_status(sim, 0, "bob", PRESENCE_MEMBER_DOWN, 100) <= 10 * LATENCY);
    assert_true(wait_status(sim, 2, "bob", PRESENCE_MEMBER_DOWN, 100) <= 10 * LATENCY);
    wait_shown(sim, 0, 2, 10);
    wait_shown(sim, 2, 2, 10);
    assert_int_equal(pr_sim_count(sim, 0)->leaves_by_reason[PRESENCE_REASON_MEMBER_DOWN], 1);
    cluster_free(sim);
}

static void a_kill_behind_a_firewall_is_seen_after_the_grace(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(3);
    cluster_start(sim, 2, NULL);
    pr_sim_forbid(sim, 0, 1, PR_DIAL_TIMEOUT);
    pr_sim_crash(sim, 1, PR_SIM_KILL);
    cluster_run(sim, 400);
    assert_int_equal(pr_sim_status(sim, 0, "bob", NULL), PRESENCE_MEMBER_SUSPECT);
    assert_int_equal(pr_sim_shown(sim, 0, NULL), 2);
    assert_true(400 + wait_status(sim, 0, "bob", PRESENCE_MEMBER_DOWN, 400) <= 650);
    wait_shown(sim, 0, 1, 10);
    cluster_free(sim);
}

static void refusals_prove_nothing_when_not_trusted(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(4);
    pr_sim_options(sim)->trust_refused = false;
    cluster_start(sim, 2, NULL);
    pr_sim_crash(sim, 1, PR_SIM_KILL);
    cluster_run(sim, 400);
    assert_int_equal(pr_sim_status(sim, 0, "bob", NULL), PRESENCE_MEMBER_SUSPECT);
    wait_status(sim, 0, "bob", PRESENCE_MEMBER_DOWN, 300);
    cluster_free(sim);
}

static void silence_is_judged_by_the_timeout(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(5);
    cluster_start(sim, 3, NULL);
    cluster_run(sim, 5000);
    pr_sim_crash(sim, 1, PR_SIM_VANISH);
    cluster_run(sim, 1400);
    assert_int_equal(pr_sim_status(sim, 0, "bob", NULL), PRESENCE_MEMBER_UP);
    assert_true(wait_status(sim, 0, "bob", PRESENCE_MEMBER_DOWN, 3000) <= 1500);
    wait_status(sim, 2, "bob", PRESENCE_MEMBER_DOWN, 1000);
    wait_shown(sim, 0, 2, 10);
    cluster_free(sim);
}

static void who_leaves_is_gone_at_once_and_for_ever(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(6);
    cluster_start(sim, 3, NULL);
    pr_sim_leave(sim, 1, true);
    assert_true(wait_shown(sim, 0, 2, 100) <= 5);
    wait_shown(sim, 2, 2, 100);
    assert_int_equal(pr_sim_count(sim, 0)->leaves_by_reason[PRESENCE_REASON_MEMBER_LEFT], 1);
    assert_int_equal(pr_sim_status(sim, 0, "bob", NULL), 0);
    uint64_t dials = pr_sim_dials(sim);
    cluster_run(sim, 20000);
    assert_int_equal(pr_sim_dials(sim), dials);
    assert_int_equal(pr_sim_count(sim, 0)->downs, 0);
    /* the name comes back with another instance */
    pr_sim_start(sim, 1, "bob", 1, 0);
    wait_settled(sim, 3000);
    cluster_free(sim);
}

static void a_leave_nobody_heard_runs_out(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(7);
    cluster_start(sim, 2, NULL);
    pr_sim_leave(sim, 1, false);
    wait_shown(sim, 0, 1, 3000);
    cluster_free(sim);
}

static void a_restart_replaces_the_old_instance(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(8);
    cluster_start(sim, 3, NULL);
    cluster_run(sim, 2000);
    pr_sim_crash(sim, 1, PR_SIM_KILL);
    pr_sim_start(sim, 1, "bob", 1, 0);
    presence_owner owner = pr_sim_owner(sim, 1, 0);
    pr_sim_track(sim, 1, owner, "room", "bob", "{\"n\":2}");
    assert_true(wait_settled(sim, 2500) <= 2000);
    assert_string_equal(pr_sim_meta(sim, 0, "room", "bob"), "{\"n\":2}");
    assert_int_equal(pr_sim_shown(sim, 0, NULL), 3);
    cluster_free(sim);
}

static void a_restart_with_a_clock_that_went_back_refutes(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(9);
    cluster_start(sim, 3, NULL);
    cluster_run(sim, 2000);
    pr_sim_crash(sim, 1, PR_SIM_KILL);
    pr_sim_shift_clock(sim, 1, -3600000);
    pr_sim_start(sim, 1, "bob", 1, 0);
    presence_owner owner = pr_sim_owner(sim, 1, 0);
    pr_sim_track(sim, 1, owner, "room", "bob", "{\"n\":2}");
    assert_true(wait_settled(sim, 4000) <= 3000);
    assert_int_equal(pr_sim_shown(sim, 0, NULL), 3);
    assert_false(pr_sim_yielded(sim, 1));
    cluster_free(sim);
}

static bool older_yielded(pr_sim *sim, void *user) {
    (void)user;
    return pr_sim_yielded(sim, 1);
}

static void of_twins_the_older_yields(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(10);
    cluster_start(sim, 2, NULL);
    cluster_run(sim, 3000);
    pr_sim_start(sim, 2, "bob", 1, 0);
    presence_owner owner = pr_sim_owner(sim, 2, 0);
    pr_sim_track(sim, 2, owner, "room", "bob", "{\"n\":2}");
    cluster_wait(sim, older_yielded, NULL, 6000, "the older twin yields");
    assert_true(pr_sim_alive(sim, 2));
    wait_settled(sim, 4000);
    assert_int_equal(pr_sim_shown(sim, 0, NULL), 2);
    cluster_run(sim, 10000);
    assert_false(pr_sim_yielded(sim, 2));
    cluster_free(sim);
}

static void block_both(pr_sim *sim, int a, int b, bool blocked) {
    pr_sim_block(sim, a, b, blocked);
    pr_sim_block(sim, b, a, blocked);
}

/* ann and cat hold different inc of one dead instance of bob: being outbid twice by it is no proof that it lives. */
static void a_lawful_restart_yields_to_nobody(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(20);
    pr_sim_start(sim, 0, "ann", 0, 0);
    pr_sim_start(sim, 1, "cat", 0, 0);
    pr_sim_start(sim, 2, "bob", 3, 0);
    block_both(sim, 0, 1, true);
    cluster_run(sim, 1500);
    pr_sim_cut(sim, 2, 1, PR_SIM_CUT_SILENT, 0); /* from now on cat hears nothing of bob */
    pr_sim_forbid(sim, 3, 1, PR_DIAL_TIMEOUT);
    pr_sim_forbid(sim, 3, 2, PR_DIAL_TIMEOUT);
    pr_sim_forbid(sim, 1, 3, PR_DIAL_TIMEOUT);
    pr_sim_forbid(sim, 2, 3, PR_DIAL_TIMEOUT);
    pr_sim_start(sim, 3, "bob", 1, 0); /* a younger bob that only ann meets, for a moment */
    cluster_run(sim, 20);
    pr_sim_crash(sim, 3, PR_SIM_KILL);
    cluster_run(sim, 2500); /* the first bob refutes, to ann alone */
    pr_member_info at_ann, at_cat;
    pr_sim_status(sim, 0, "bob", &at_ann);
    pr_sim_status(sim, 1, "bob", &at_cat);
    assert_int_equal(at_ann.inst, pr_sim_inst(sim, 2));
    assert_int_equal(at_cat.inst, pr_sim_inst(sim, 2));
    assert_true(at_ann.inc > at_cat.inc);
    pr_sim_crash(sim, 2, PR_SIM_KILL);
    pr_sim_shift_clock(sim, 2, -3600000);
    pr_sim_block(sim, 2, 0, true); /* cat first, then ann */
    pr_sim_start(sim, 2, "bob", 3, 0);
    cluster_run(sim, 1500);
    pr_sim_block(sim, 2, 0, false);
    block_both(sim, 0, 1, false);
    wait_settled(sim, 16000);
    assert_false(pr_sim_yielded(sim, 2));
    cluster_free(sim);
}

static void a_split_hides_and_the_heal_shows_only_who_is_there(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(11);
    presence_owner owners[3];
    cluster_start(sim, 3, owners);
    pr_sim_track(sim, 0, owners[0], "room", "gone", "{}");
    pr_sim_track(sim, 0, owners[0], "room", "stays", "{}");
    wait_settled(sim, 1000);
    for (int host = 1; host < 3; host++) {
        pr_sim_block(sim, 0, host, true);
        pr_sim_block(sim, host, 0, true);
    }
    wait_status(sim, 1, "ann", PRESENCE_MEMBER_DOWN, 4000);
    wait_status(sim, 0, "bob", PRESENCE_MEMBER_DOWN, 4000);
    wait_shown(sim, 1, 2, 1000);
    pr_sim_untrack(sim, 0, owners[0], "room", "gone");
    cluster_run(sim, 30000);
    uint64_t joins = pr_sim_count(sim, 1)->joins;
    for (int host = 1; host < 3; host++) {
        pr_sim_block(sim, 0, host, false);
        pr_sim_block(sim, host, 0, false);
    }
    wait_settled(sim, 16000);
    /* "ann" and "stays" joined again; "gone" was shown to nobody, not for a moment (P15) */
    assert_int_equal(pr_sim_count(sim, 1)->joins, joins + 2);
    assert_int_equal(pr_sim_shown(sim, 2, NULL), 4);
    cluster_free(sim);
}

static void a_member_without_a_link_is_relayed(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(12);
    presence_owner owners[3];
    pr_sim_forbid(sim, 1, 2, PR_DIAL_TIMEOUT);
    pr_sim_forbid(sim, 2, 1, PR_DIAL_TIMEOUT);
    cluster_start(sim, 3, owners);
    pr_sim_track(sim, 1, owners[1], "room", "more", "{}");
    assert_true(wait_shown(sim, 2, 4, 3000) <= 100);
    assert_int_equal(pr_sim_links(sim, 1, 2), 0);
    cluster_run(sim, 60000);
    assert_int_equal(pr_sim_count(sim, 1)->downs + pr_sim_count(sim, 2)->downs, 0);
    pr_sim_untrack(sim, 1, owners[1], "room", "more");
    assert_true(wait_shown(sim, 2, 3, 3000) <= 100);
    assert_int_equal(pr_sim_count(sim, 2)->leaves_by_reason[PRESENCE_REASON_UNTRACK], 1);
    /* when the link can be made the relay is no longer needed */
    pr_sim_forbid(sim, 1, 2, 0);
    pr_sim_forbid(sim, 2, 1, 0);
    cluster_run(sim, 20000);
    assert_int_equal(pr_sim_links(sim, 1, 2), 1);
    pr_sim_crash(sim, 0, PR_SIM_KILL);
    wait_settled(sim, 4000);
    cluster_free(sim);
}

static void the_death_of_a_relayed_member_is_seen(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(13);
    pr_sim_forbid(sim, 1, 2, PR_DIAL_TIMEOUT);
    pr_sim_forbid(sim, 2, 1, PR_DIAL_TIMEOUT);
    cluster_start(sim, 3, NULL);
    cluster_run(sim, 5000);
    pr_sim_crash(sim, 1, PR_SIM_KILL);
    wait_shown(sim, 0, 2, 20);
    assert_true(wait_shown(sim, 2, 2, 6000) <= 5000);
    cluster_free(sim);
}

static void permdown_forgets_and_a_return_shows_again(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(14);
    pr_sim_options(sim)->permdown_ms = 10000;
    presence_owner owners[3];
    cluster_start(sim, 3, owners);
    pr_sim_track(sim, 1, owners[1], "room", "gone", "{}");
    wait_settled(sim, 1000);
    for (int host = 0; host < 3; host += 2) {
        pr_sim_block(sim, 1, host, true);
        pr_sim_block(sim, host, 1, true);
    }
    wait_status(sim, 0, "bob", PRESENCE_MEMBER_DOWN, 4000);
    assert_true(wait_status(sim, 0, "bob", 0, 12000) <= 11000);
    wait_status(sim, 2, "bob", 0, 3000);
    assert_int_equal(pr_store_size(pr_engine_store(pr_sim_engine(sim, 0))), 2);
    pr_sim_untrack(sim, 1, owners[1], "room", "gone");
    for (int host = 0; host < 3; host += 2) {
        pr_sim_block(sim, 1, host, false);
        pr_sim_block(sim, host, 1, false);
    }
    wait_settled(sim, 20000);
    assert_int_equal(pr_sim_shown(sim, 0, NULL), 3);
    cluster_free(sim);
}

static void a_stopped_member_accuses_nobody(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(15);
    cluster_start(sim, 4, NULL);
    cluster_run(sim, 3000);
    pr_sim_pause(sim, 1);
    cluster_run(sim, 9000);
    assert_int_equal(pr_sim_status(sim, 0, "bob", NULL), PRESENCE_MEMBER_DOWN);
    assert_int_equal(pr_sim_shown(sim, 0, NULL), 3);
    pr_sim_resume(sim, 1, false);
    wait_settled(sim, 5000);
    cluster_run(sim, 5000);
    assert_int_equal(pr_sim_count(sim, 1)->downs, 0);
    cluster_free(sim);
}

static void a_machine_that_slept_accuses_nobody(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(16);
    cluster_start(sim, 3, NULL);
    pr_sim_pause(sim, 1);
    cluster_run(sim, 60000);
    pr_sim_resume(sim, 1, true);
    wait_settled(sim, 20000);
    assert_int_equal(pr_sim_count(sim, 1)->downs, 0);
    cluster_free(sim);
}

static void an_observer_sees_and_is_forgotten(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(17);
    cluster_start(sim, 2, NULL);
    pr_sim_start(sim, 2, "eye", 1, PR_SIM_OBSERVER);
    wait_shown(sim, 2, 2, 2000);
    presence_owner owner = pr_sim_owner(sim, 2, 0);
    pr_sim_track(sim, 2, owner, "room", "eye", "{}");
    wait_shown(sim, 0, 3, 3000);
    wait_shown(sim, 1, 3, 3000);
    pr_sim_crash(sim, 2, PR_SIM_KILL);
    assert_true(wait_shown(sim, 0, 2, 100) <= 5);
    wait_shown(sim, 1, 2, 100);
    cluster_run(sim, 5000);
    assert_int_equal(pr_sim_status(sim, 0, "eye", NULL), 0);
    cluster_free(sim);
}

/* What it sent before it left may be read after its next run has come and gone. */
static void an_observer_that_left_is_taken_in_again(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        pr_sim *sim = cluster_new(seed);
        cluster_start(sim, 1, NULL);
        pr_sim_start(sim, 1, "eye", 1, PR_SIM_OBSERVER);
        cluster_run(sim, 2000);
        pr_sim_pause(sim, 0);
        pr_sim_leave(sim, 1, true);
        cluster_run(sim, 100);
        pr_sim_start(sim, 1, "eye", 1, PR_SIM_OBSERVER);
        cluster_run(sim, 100);
        pr_sim_crash(sim, 1, PR_SIM_KILL);
        cluster_run(sim, 100);
        pr_sim_resume(sim, 0, false);
        cluster_run(sim, 100);
        pr_sim_start(sim, 1, "eye", 1, PR_SIM_OBSERVER);
        cluster_run(sim, 8000);
        pr_member_info info = {.inst = 0};
        assert_int_equal(pr_sim_status(sim, 0, "eye", &info), PRESENCE_MEMBER_UP);
        assert_true(info.inst == pr_sim_inst(sim, 1));
        cluster_free(sim);
    }
}

static void a_dial_only_member_is_one_like_any_other(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(18);
    cluster_start(sim, 2, NULL);
    pr_sim_start(sim, 2, "shy", 1, PR_SIM_DIAL_ONLY);
    presence_owner owner = pr_sim_owner(sim, 2, 0);
    pr_sim_track(sim, 2, owner, "room", "shy", "{}");
    wait_settled(sim, 4000);
    cluster_run(sim, 3000);
    assert_int_equal(pr_sim_links(sim, 2, 1), 1);
    pr_sim_cut(sim, 2, 1, PR_SIM_CUT_BOTH, 0);
    cluster_run(sim, 3000);
    assert_int_equal(pr_sim_links(sim, 2, 1), 1);
    assert_int_equal(pr_sim_count(sim, 1)->downs, 0);
    pr_sim_crash(sim, 2, PR_SIM_KILL);
    assert_true(wait_shown(sim, 1, 2, 2000) <= 650);
    cluster_free(sim);
}

static void a_lease_that_is_not_renewed_ends(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(19);
    cluster_start(sim, 2, NULL);
    presence_owner owner = pr_sim_owner(sim, 0, 500);
    pr_sim_track(sim, 0, owner, "room", "leased", "{}");
    wait_shown(sim, 1, 3, 100);
    cluster_run(sim, 400);
    assert_int_equal(pr_engine_owner_touch(pr_sim_engine(sim, 0), owner, pr_sim_clock(sim, 0)), 0);
    cluster_run(sim, 400);
    assert_int_equal(pr_sim_shown(sim, 1, NULL), 3);
    assert_true(wait_shown(sim, 1, 2, 1000) <= 200);
    assert_int_equal(pr_sim_count(sim, 1)->leaves_by_reason[PRESENCE_REASON_LEASE], 1);
    assert_int_equal(pr_sim_track(sim, 0, owner, "room", "late", "{}"), PRESENCE_EOWNERCLOSED);
    cluster_free(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_members_join),
        cmocka_unit_test(a_kill_is_seen_at_once),
        cmocka_unit_test(a_kill_behind_a_firewall_is_seen_after_the_grace),
        cmocka_unit_test(refusals_prove_nothing_when_not_trusted),
        cmocka_unit_test(silence_is_judged_by_the_timeout),
        cmocka_unit_test(who_leaves_is_gone_at_once_and_for_ever),
        cmocka_unit_test(a_leave_nobody_heard_runs_out),
        cmocka_unit_test(a_restart_replaces_the_old_instance),
        cmocka_unit_test(a_restart_with_a_clock_that_went_back_refutes),
        cmocka_unit_test(of_twins_the_older_yields),
        cmocka_unit_test(a_lawful_restart_yields_to_nobody),
        cmocka_unit_test(a_split_hides_and_the_heal_shows_only_who_is_there),
        cmocka_unit_test(a_member_without_a_link_is_relayed),
        cmocka_unit_test(the_death_of_a_relayed_member_is_seen),
        cmocka_unit_test(permdown_forgets_and_a_return_shows_again),
        cmocka_unit_test(a_stopped_member_accuses_nobody),
        cmocka_unit_test(a_machine_that_slept_accuses_nobody),
        cmocka_unit_test(an_observer_sees_and_is_forgotten),
        cmocka_unit_test(an_observer_that_left_is_taken_in_again),
        cmocka_unit_test(a_dial_only_member_is_one_like_any_other),
        cmocka_unit_test(a_lease_that_is_not_renewed_ends),
    };
    cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}

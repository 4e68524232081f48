/* presence/sim.h: whole trackers in virtual time; every fault, every error, and the same history from the same seed. */
#include "trackers.h"
#include <presence/sim.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS 120000

static presence_tracker *start_with(presence_sim *sim, const char *name, const char *const *options) {
    presence_config *config = make_config(options);
    presence_tracker *tracker = NULL;
    if (name) assert_int_equal(presence_config_set(config, "name", name), 0);
    int failed = presence_sim_start(sim, config, &tracker);
    if (failed) fail_msg("%s", presence_sim_message(sim));
    presence_config_free(config);
    return tracker;
}

static presence_tracker *start(presence_sim *sim, const char *name) { return start_with(sim, name, NULL); }

static void settle(presence_sim *sim) {
    if (presence_sim_settle(sim, LIMIT_MS) != 0) fail_msg("%s", presence_sim_message(sim));
}

static int status_of(presence_tracker *tracker, const char *name) {
    presence_snapshot *members;
    presence_member member = {.size = sizeof member};
    int status = 0;
    assert_int_equal(presence_members(tracker, &members), 0);
    for (size_t i = 0; i < presence_snapshot_size(members); i++) {
        assert_int_equal(presence_snapshot_member_at(members, i, &member), 0);
        if (member.name.size == strlen(name) && memcmp(member.name.data, name, member.name.size) == 0)
            status = member.status;
    }
    presence_snapshot_free(members);
    return status;
}

/* ---- a cluster of three, each with one presence ---- */
typedef struct trio {
    presence_sim *sim;
    presence_tracker *a, *b, *c;
    presence_owner of_a, of_b, of_c;
} trio;

static trio make_trio(uint64_t seed) {
    trio t = {.sim = presence_sim_new(seed)};
    t.a = start(t.sim, "a");
    t.b = start(t.sim, "b");
    t.c = start(t.sim, "c");
    t.of_a = open_owner(t.a);
    t.of_b = open_owner(t.b);
    t.of_c = open_owner(t.c);
    track(t.a, t.of_a, "room", "ua", "{}");
    track(t.b, t.of_b, "room", "ub", "{}");
    track(t.c, t.of_c, "room", "uc", "{}");
    settle(t.sim);
    assert_int_equal(count_metas(t.a, "room"), 3);
    assert_int_equal(count_metas(t.b, "room"), 3);
    assert_int_equal(count_metas(t.c, "room"), 3);
    return t;
}

static void free_trio(trio *t) {
    presence_tracker_close(t->a);
    presence_tracker_close(t->b);
    presence_tracker_close(t->c);
    presence_sim_free(t->sim);
}

static void members_find_each_other_and_agree(void **state) {
    (void)state;
    trio t = make_trio(1);
    char address[64];
    assert_true(presence_sim_now(t.sim) > 0);
    assert_int_equal(presence_tracker_address(t.b, address, sizeof address), 0);
    assert_string_equal(address, "127.0.0.1:7002");
    assert_int_equal(presence_wait_synced(t.b, 0), 0);
    assert_int_equal(status_of(t.a, "c"), PRESENCE_MEMBER_UP);
    free_trio(&t);
}

static void a_lone_member_is_alone_and_needs_no_time_for_its_own_calls(void **state) {
    (void)state;
    presence_sim *sim = presence_sim_new(2);
    presence_tracker *a = start(sim, "a");
    kept k = {0};
    assert_int_equal(presence_subscribe(a, S("room"), NULL), 0);
    track(a, open_owner(a), "room", "u", "{}");
    assert_int_equal(presence_sim_now(sim), 0);
    drain_all(a, &k);
    assert_int_equal(k.joins, 1);
    assert_int_equal(presence_wait_synced(a, -1), 1);
    assert_int_equal(presence_sim_now(sim), 0);
    presence_tracker_close(a);
    presence_sim_free(sim);
}

static void waiting_for_the_first_sync_moves_time(void **state) {
    (void)state;
    const char *const deaf[] = {"join", "127.0.0.1:1", "connect_timeout_ms", "5000", NULL};
    presence_sim *sim = presence_sim_new(3);
    presence_tracker *a = start(sim, "a"), *b = start(sim, "b");
    assert_int_equal(presence_wait_synced(b, 0), PRESENCE_ETIMEDOUT);
    assert_int_equal(presence_sim_now(sim), 0);
    assert_int_equal(presence_wait_synced(b, 60000), 0);
    assert_int_equal(status_of(b, "a"), PRESENCE_MEMBER_UP);
    assert_true(presence_sim_now(sim) < 60000);
    presence_tracker *c = start_with(sim, "c", deaf); /* nobody listens there: refused at once */
    assert_int_equal(presence_wait_synced(c, 4000), 1);
    assert_int_equal(presence_sim_settle(sim, 5000), PRESENCE_ETIMEDOUT);
    assert_non_null(strstr(presence_sim_message(sim), "does not call"));
    presence_tracker_close(a);
    presence_tracker_close(b);
    presence_tracker_close(c);
    presence_sim_free(sim);
}

static void a_partition_hides_and_healing_brings_back(void **state) {
    (void)state;
    trio t = make_trio(4);
    kept k = {0};
    presence_snapshot *first;
    presence_entry entry = {.size = sizeof entry};
    assert_int_equal(presence_subscribe(t.b, S("room"), &first), 0);
    for (size_t i = 0; i < presence_snapshot_size(first); i++) {
        assert_int_equal(presence_snapshot_at(first, i, &entry), 0);
        kept_add(&k, entry.ref);
    }
    presence_snapshot_free(first);
    assert_int_equal(presence_sim_partition(t.sim, t.a, 1), 0);
    track(t.a, t.of_a, "room", "later", "{}");
    settle(t.sim);
    assert_int_equal(count_metas(t.a, "room"), 2);
    assert_int_equal(count_metas(t.b, "room"), 2);
    assert_int_equal(status_of(t.b, "a"), PRESENCE_MEMBER_DOWN);
    drain_all(t.b, &k);
    assert_folded(t.b, "room", &k);
    assert_int_equal(presence_sim_heal(t.sim), 0);
    settle(t.sim);
    assert_int_equal(count_metas(t.a, "room"), 4);
    assert_int_equal(count_metas(t.c, "room"), 4);
    drain_all(t.b, &k);
    assert_folded(t.b, "room", &k);
    free_trio(&t);
}

static void one_direction_that_is_blocked_is_bridged_by_others(void **state) {
    (void)state;
    trio t = make_trio(5);
    assert_int_equal(presence_sim_block(t.sim, t.a, t.b, 1), 0);
    assert_int_equal(presence_sim_run(t.sim, 30000), 0);
    track(t.a, t.of_a, "room", "over c", "{}");
    settle(t.sim);
    assert_int_equal(count_metas(t.b, "room"), 4);
    assert_int_equal(presence_sim_block(t.sim, t.a, t.b, 0), 0);
    settle(t.sim);
    free_trio(&t);
}

static void crash_and_restart(int death, uint64_t least_ms) {
    trio t = make_trio(6);
    char before[64], after[64];
    kept k = {0};
    presence_ref ref;
    assert_int_equal(presence_tracker_address(t.a, before, sizeof before), 0);
    uint64_t crashed = presence_sim_now(t.sim);
    assert_int_equal(presence_sim_crash(t.sim, t.a, death), 0);
    assert_int_equal(presence_track(t.a, t.of_a, S("room"), S("x"), S(""), &ref), PRESENCE_ECLOSED);
    assert_int_equal(presence_sim_crash(t.sim, t.a, death), PRESENCE_ECLOSED);
    assert_int_equal(presence_sim_pause(t.sim, t.a), PRESENCE_ECLOSED);
    assert_non_null(strstr(presence_sim_message(t.sim), "is over"));
    drain_all(t.a, &k);
    assert_int_equal(k.stopped, 1);
    assert_int_equal(k.last_error, PRESENCE_ECLOSED);
    assert_string_equal(k.last_message, "crashed by the test");
    settle(t.sim);
    assert_true(presence_sim_now(t.sim) - crashed >= least_ms);
    assert_int_equal(count_metas(t.b, "room"), 2);
    presence_tracker_close(t.a);
    t.a = start(t.sim, "a");
    assert_int_equal(presence_tracker_address(t.a, after, sizeof after), 0);
    assert_string_equal(before, after);
    settle(t.sim);
    assert_int_equal(count_metas(t.a, "room"), 2);
    assert_int_equal(status_of(t.b, "a"), PRESENCE_MEMBER_UP);
    free_trio(&t);
}

static void a_killed_member_is_missed_at_once(void **state) {
    (void)state;
    crash_and_restart(PRESENCE_SIM_KILL, 0);
}

static void one_that_vanishes_is_missed_by_its_silence(void **state) {
    (void)state;
    crash_and_restart(PRESENCE_SIM_VANISH, 1000);
}

static void a_paused_member_is_hidden_and_comes_back(void **state) {
    (void)state;
    trio t = make_trio(7);
    assert_int_equal(presence_sim_resume(t.sim, t.c), PRESENCE_ESTATE);
    assert_int_equal(presence_sim_pause(t.sim, t.c), 0);
    assert_int_equal(presence_sim_pause(t.sim, t.c), PRESENCE_ESTATE);
    assert_string_equal(presence_sim_message(t.sim), "c is paused already");
    settle(t.sim);
    assert_int_equal(count_metas(t.a, "room"), 2);
    track(t.c, t.of_c, "room", "in its sleep", "{}");
    assert_int_equal(presence_sim_resume(t.sim, t.c), 0);
    settle(t.sim);
    assert_int_equal(count_metas(t.a, "room"), 4);
    free_trio(&t);
}

static void stopping_says_good_bye_without_any_time(void **state) {
    (void)state;
    trio t = make_trio(8);
    uint64_t before = presence_sim_now(t.sim);
    assert_int_equal(presence_tracker_stop(t.c, 1000), 0);
    assert_int_equal(presence_sim_now(t.sim), before);
    settle(t.sim);
    assert_int_equal(count_metas(t.a, "room"), 2);
    assert_true(presence_sim_now(t.sim) - before < 100);
    free_trio(&t);
}

static void leases_and_permdown_are_virtual(void **state) {
    (void)state;
    trio t = make_trio(9);
    presence_owner leased;
    assert_int_equal(presence_owner_open_lease(t.a, 30000, &leased), 0);
    track(t.a, leased, "room", "leased", "{}");
    assert_int_equal(presence_sim_run(t.sim, 29000), 0);
    assert_int_equal(count_metas(t.b, "room"), 4);
    assert_int_equal(presence_sim_run(t.sim, 2000), 0);
    assert_int_equal(count_metas(t.b, "room"), 3);
    assert_int_equal(presence_sim_crash(t.sim, t.c, PRESENCE_SIM_KILL), 0);
    settle(t.sim);
    assert_int_equal(status_of(t.a, "c"), PRESENCE_MEMBER_DOWN);
    assert_int_equal(presence_sim_run(t.sim, 1300000), 0);
    assert_int_equal(status_of(t.a, "c"), 0); /* forgotten */
    free_trio(&t);
}

static void addresses_are_those_of_a_loopback_of_its_own(void **state) {
    (void)state;
    const char *const fixed[] = {"listen", "localhost:7946", NULL}, *const range[] = {"listen", "127.0.0.1:7946-7947",
                                                                                      NULL};
    const char *const joins[] = {"listen", "", "join", "127.0.0.1:7947", NULL};
    presence_sim *sim = presence_sim_new(10);
    presence_tracker *a = start_with(sim, "a", fixed), *b = start_with(sim, "b", range), *none;
    char address[64];
    assert_int_equal(presence_tracker_address(b, address, sizeof address), 0);
    assert_string_equal(address, "127.0.0.1:7947");
    presence_config *config = make_config(fixed);
    assert_int_equal(presence_sim_start(sim, config, &none), PRESENCE_EADDRINUSE);
    assert_null(none);
    assert_non_null(strstr(presence_sim_message(sim), "the port is in use"));
    presence_config_free(config);
    presence_tracker *c = start_with(sim, NULL, joins); /* dial-only, with a name of its own */
    assert_int_equal(presence_tracker_address(c, address, sizeof address), 0);
    assert_string_equal(address, "");
    track(c, open_owner(c), "room", "u", "{}");
    settle(sim);
    assert_int_equal(count_metas(a, "room"), 1);
    presence_sim_free(sim); /* before its trackers */
    presence_tracker_close(c);
    presence_tracker_close(a);
    presence_tracker_close(b);
}

static void another_cluster_is_none_of_ours(void **state) {
    (void)state;
    const char *const other[] = {"cluster", "other", NULL};
    presence_sim *sim = presence_sim_new(11);
    presence_tracker *a = start(sim, "a"), *b = start_with(sim, "b", other);
    track(a, open_owner(a), "room", "u", "{}");
    settle(sim);
    assert_int_equal(count_metas(b, "room"), 0);
    presence_tracker_close(a);
    presence_tracker_close(b);
    presence_sim_free(sim);
}

static void of_twins_the_older_yields(void **state) {
    (void)state;
    presence_sim *sim = presence_sim_new(12);
    presence_tracker *old = start(sim, "a"), *b = start(sim, "b");
    settle(sim);
    assert_int_equal(presence_sim_run(sim, 1000), 0);
    presence_tracker *young = start(sim, "a");
    presence_owner owner;
    settle(sim);
    assert_int_equal(presence_owner_open(old, &owner), PRESENCE_ENAME);
    assert_int_equal(presence_owner_open(young, &owner), 0);
    presence_tracker_close(old);
    presence_tracker_close(b);
    presence_tracker_close(young);
    presence_sim_free(sim);
}

/* ---- the same seed ---- */
static uint64_t history(uint64_t seed, char *ref_text) {
    trio t = make_trio(seed);
    presence_statistics stats = {.size = sizeof stats};
    presence_ref ref = track(t.a, t.of_a, "room", "again", "{}");
    assert_int_equal(presence_sim_partition(t.sim, t.b, 2), 0);
    settle(t.sim);
    assert_int_equal(presence_sim_heal(t.sim), 0);
    settle(t.sim);
    assert_int_equal(presence_stats(t.c, &stats), 0);
    snprintf(ref_text, sizeof ref.text, "%s", ref.text);
    uint64_t sum = presence_sim_now(t.sim) * 1000003 + stats.bytes_in * 7 + stats.frames_out;
    free_trio(&t);
    return sum;
}

static void the_same_seed_gives_the_same_history(void **state) {
    (void)state;
    char one[32], two[32], three[32];
    uint64_t first = history(20, one), second = history(20, two), other = history(21, three);
    assert_int_equal(first, second);
    assert_string_equal(one, two);
    assert_string_not_equal(one, three);
    assert_true(first != other);
}

/* ---- consumers ---- */
static void count_wake(void *user) { ++*(unsigned *)user; }

static void a_step_ends_where_events_wait(void **state) {
    (void)state;
    presence_sim *sim = presence_sim_new(13);
    presence_tracker *a = start(sim, "a"), *b = start(sim, "b");
    unsigned wakes = 0, steps = 0;
    kept k = {0};
    int rc;
    settle(sim);
    drain_all(a, &k);
    drain_all(b, &k);
    assert_int_equal(presence_sim_waiting(sim, b), 1); /* some came, and were drained */
    assert_int_equal(presence_set_wake_callback(b, count_wake, &wakes), 0);
    assert_int_equal(presence_subscribe(b, S("room"), NULL), 0);
    track(a, open_owner(a), "room", "u", "{}");
    assert_int_equal(presence_sim_waiting(sim, b), 0);
    uint64_t limit = presence_sim_now(sim) + LIMIT_MS;
    while ((rc = presence_sim_step(sim, limit, 1)) == 1) {
        assert_int_equal(presence_sim_waiting(sim, b), 1);
        drain_all(b, &k);
        steps++;
    }
    assert_int_equal(rc, 0);
    assert_true(steps >= 1);
    assert_int_equal(k.joins, 1);
    assert_true(wakes >= 1);
    assert_int_equal(presence_sim_step(sim, presence_sim_now(sim) + 10, 0), 0);
    presence_tracker_close(a);
    presence_tracker_close(b);
    presence_sim_free(sim);
}

static void *keep_tracking(void *user) {
    presence_tracker *tracker = user;
    presence_owner owner = open_owner(tracker);
    for (int i = 0; i < 2000; i++) {
        presence_ref ref;
        size_t removed;
        assert_int_equal(presence_track(tracker, owner, S("busy"), S("u"), S(""), &ref), 0);
        assert_int_equal(presence_untrack(tracker, owner, S("busy"), S("u"), &removed), 0);
    }
    assert_int_equal(presence_tracker_stop(tracker, 100), 0);
    return NULL;
}

static void members_may_be_used_by_any_thread_while_time_moves(void **state) {
    (void)state;
    trio t = make_trio(14);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, keep_tracking, t.b), 0);
    for (int i = 0; i < 50; i++) assert_int_equal(presence_sim_run(t.sim, 20), 0);
    pthread_join(thread, NULL);
    settle(t.sim);
    assert_int_equal(count_metas(t.a, "busy"), 0);
    assert_int_equal(count_metas(t.a, "room"), 2);
    free_trio(&t);
}

/* ---- errors ---- */
static void wrong_arguments_give_their_errors(void **state) {
    (void)state;
    trio t = make_trio(15);
    presence_sim *other = presence_sim_new(16);
    presence_tracker *stranger = open_memory(), *none;
    presence_config *config = presence_config_new();
    assert_int_equal(presence_sim_start(NULL, config, &none), PRESENCE_EINVAL);
    assert_int_equal(presence_sim_start(t.sim, NULL, &none), PRESENCE_EINVAL);
    assert_int_equal(presence_sim_start(t.sim, config, NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_config_set(config, "suspect_ms", "500"), 0); /* under the heartbeat */
    assert_int_equal(presence_sim_start(t.sim, config, &none), PRESENCE_EOPTION);
    assert_non_null(strstr(presence_sim_message(t.sim), "suspect_ms"));
    assert_int_equal(presence_sim_partition(other, t.a, 1), PRESENCE_EINVAL);
    assert_int_equal(presence_sim_pause(t.sim, stranger), PRESENCE_EINVAL);
    assert_string_equal(presence_sim_message(t.sim), "the tracker is no member of this network");
    assert_int_equal(presence_sim_crash(t.sim, NULL, PRESENCE_SIM_KILL), PRESENCE_EINVAL);
    assert_int_equal(presence_sim_crash(t.sim, t.a, 3), PRESENCE_EINVAL);
    assert_int_equal(presence_sim_block(t.sim, t.a, t.a, 1), PRESENCE_EINVAL);
    assert_int_equal(presence_sim_latency(t.sim, 5, 4), PRESENCE_EINVAL);
    assert_int_equal(presence_sim_waiting(t.sim, stranger), PRESENCE_EINVAL);
    assert_int_equal(presence_sim_run(NULL, 1), PRESENCE_EINVAL);
    assert_int_equal(presence_sim_settle(NULL, 1), PRESENCE_EINVAL);
    assert_int_equal(presence_sim_step(NULL, 1, 0), PRESENCE_EINVAL);
    assert_int_equal(presence_sim_heal(NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_sim_now(NULL), 0);
    assert_string_equal(presence_sim_message(NULL), "");
    presence_sim_free(NULL);
    assert_int_equal(presence_sim_latency(t.sim, 0, 200), 0);
    settle(t.sim);
    presence_config_free(config);
    presence_tracker_close(stranger);
    presence_sim_free(other);
    free_trio(&t);
}

static void a_forked_child_is_told(void **state) {
    (void)state;
    trio t = make_trio(17);
    pid_t child = fork();
    if (child == 0) {
        int ok = presence_sim_run(t.sim, 1) == PRESENCE_EFORKED && presence_sim_heal(t.sim) == PRESENCE_EFORKED &&
                 presence_sim_partition(t.sim, t.a, 1) == PRESENCE_EFORKED;
        free_trio(&t);
        _exit(ok ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    settle(t.sim);
    free_trio(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_find_each_other_and_agree),
        cmocka_unit_test(a_lone_member_is_alone_and_needs_no_time_for_its_own_calls),
        cmocka_unit_test(waiting_for_the_first_sync_moves_time),
        cmocka_unit_test(a_partition_hides_and_healing_brings_back),
        cmocka_unit_test(one_direction_that_is_blocked_is_bridged_by_others),
        cmocka_unit_test(a_killed_member_is_missed_at_once),
        cmocka_unit_test(one_that_vanishes_is_missed_by_its_silence),
        cmocka_unit_test(a_paused_member_is_hidden_and_comes_back),
        cmocka_unit_test(stopping_says_good_bye_without_any_time),
        cmocka_unit_test(leases_and_permdown_are_virtual),
        cmocka_unit_test(addresses_are_those_of_a_loopback_of_its_own),
        cmocka_unit_test(another_cluster_is_none_of_ours),
        cmocka_unit_test(of_twins_the_older_yields),
        cmocka_unit_test(the_same_seed_gives_the_same_history),
        cmocka_unit_test(a_step_ends_where_events_wait),
        cmocka_unit_test(members_may_be_used_by_any_thread_while_time_moves),
        cmocka_unit_test(wrong_arguments_give_their_errors),
        cmocka_unit_test(a_forked_child_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A forked child: every call says so, close only frees, the parent goes on and its peers notice nothing. */
#include "trackers.h"
#include <sys/wait.h>
#include <unistd.h>

static int in_child(presence_tracker *tracker, presence_owner owner) {
    presence_snapshot *list;
    presence_statistics stats = {.size = sizeof stats};
    char address[80];
    size_t removed;
    int results[] = {presence_owner_open(tracker, &owner),
                     presence_owner_close(tracker, owner),
                     presence_track(tracker, owner, S("t"), S("k"), S("{}"), NULL),
                     presence_update(tracker, owner, S("t"), S("k"), S("{}"), NULL),
                     presence_untrack(tracker, owner, S("t"), S("k"), &removed),
                     presence_list(tracker, S("t"), &list),
                     presence_count(tracker, S("t"), NULL, NULL),
                     presence_members(tracker, &list),
                     presence_topics(tracker, &list),
                     presence_stats(tracker, &stats),
                     presence_subscribe(tracker, S("t"), NULL),
                     presence_subscribe_all(tracker),
                     presence_unsubscribe(tracker, S("t")),
                     presence_drain(tracker, 0, keep, NULL, NULL),
                     presence_set_wake_callback(tracker, NULL, NULL),
                     presence_set_diff_callback(tracker, NULL, NULL),
                     presence_wait_synced(tracker, 0),
                     presence_tracker_address(tracker, address, sizeof address),
                     presence_tracker_stop(tracker, 0)};
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        if (results[i] != PRESENCE_EFORKED) return 10 + (int)i;
    }
    presence_tracker_close(tracker);
/* One of these sanitizers ends a child that starts a thread, the other one's allocator may stay locked in it. */
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
    presence_tracker *own = open_memory(); /* a child may open its own */
    track(own, open_owner(own), "room", "child", "{}");
    presence_tracker_close(own);
#endif
    return 0;
}

static bool has_one(void *tracker) { return count_metas(tracker, "room") == 1; }
static bool has_both(void *tracker) { return count_metas(tracker, "room") == 2; }

static void a_child_is_told_and_the_parent_goes_on(void **state) {
    (void)state;
    char address[80];
    presence_tracker *a = open_tracker(NULL);
    assert_int_equal(presence_tracker_address(a, address, sizeof address), 0);
    const char *const options[] = {"join", address, NULL};
    presence_tracker *b = open_tracker(options);
    presence_owner owner = open_owner(a);
    presence_snapshot *before;
    track(a, owner, "room", "u1", "{}");
    assert_int_equal(presence_list(a, S("room"), &before), 0);
    assert_true(wait_until(has_one, b)); /* the loop threads rest: no sanitizer can fork beside an allocation */
    pid_t child = fork();
    if (child == 0) {
        int code = in_child(a, owner);
        if (presence_snapshot_size(before) != 1) code = 5;
        presence_snapshot_free(before); /* snapshots are only memory */
        presence_tracker_close(b);
        _exit(code);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    track(a, owner, "room", "u2", "{}");
    assert_true(wait_until(has_both, b));
    presence_snapshot_free(before);
    presence_tracker_close(b);
    presence_tracker_close(a);
}

/* A child that ends by exit runs the clean-up of every library, also after names were looked up. */
static void a_child_may_exit_as_usual(void **state) {
    (void)state;
    const char *const options[] = {"join", "no-such-host.invalid:7946", NULL};
    presence_tracker *tracker = open_tracker(options);
    assert_int_equal(presence_wait_synced(tracker, PATIENCE_MS), 1);
    pid_t child = fork();
    if (child == 0) {
        fclose(stdout); /* the report of the tests is the parent's */
        exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status)) fail_msg("the child ended with status %x", (unsigned)status);
    presence_tracker_close(tracker);
}

static void many_forks_while_it_works(void **state) {
    (void)state;
    presence_tracker *tracker = open_tracker(NULL);
    presence_owner owner = open_owner(tracker);
    for (int i = 0; i < 30; i++) {
        char key[16];
        snprintf(key, sizeof key, "u%d", i);
        track(tracker, owner, "room", key, "{}");
        pid_t child = fork();
        if (child == 0) {
            presence_tracker_close(tracker);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_int_equal(count_metas(tracker, "room"), 30);
    presence_tracker_close(tracker);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_is_told_and_the_parent_goes_on),
        cmocka_unit_test(a_child_may_exit_as_usual),
        cmocka_unit_test(many_forks_while_it_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

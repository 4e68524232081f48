/* Every allocation fails once, in turn: calls say ENOMEM or succeed, the fold stays right, nothing leaks. */
#include "shared_heap.h"

static void ok_or_no_memory(int result) {
    if (result != 0 && result != PRESENCE_ENOMEM) fail_msg("%s", presence_error_name(result));
}

static void use(presence_tracker *tracker, presence_owner owner) {
    presence_item items[40];
    static char keys[40][8];
    presence_snapshot *s;
    presence_str json;
    presence_owner another;
    for (int i = 0; i < 40; i++) {
        snprintf(keys[i], sizeof keys[i], "k%d", i);
        items[i] = (presence_item){S(i % 2 ? "room" : "hall"), S(keys[i]), S("{\"a\":1}")};
    }
    int many = presence_track_many(tracker, owner, items, 40, NULL, NULL);
    ok_or_no_memory(many);
    for (int i = 0; i < 39 && many == 0; i += 3) {
        ok_or_no_memory(presence_update(tracker, owner, items[i].topic, items[i].key, S("{\"a\":[2,3]}"), NULL));
        ok_or_no_memory(presence_untrack(tracker, owner, items[i + 1].topic, items[i + 1].key, NULL));
    }
    ok_or_no_memory(presence_owner_open(tracker, &another));
    if (presence_list(tracker, S("room"), &s) == 0) {
        presence_entry entry = {.size = sizeof entry};
        if (presence_snapshot_size(s) > 0) ok_or_no_memory(presence_snapshot_at(s, 0, &entry));
        presence_snapshot_free(s);
    }
    int listed = presence_list_json(tracker, S("room"), &s, &json);
    ok_or_no_memory(listed);
    if (listed == 0) presence_snapshot_free(s);
    if (presence_members(tracker, &s) == 0) presence_snapshot_free(s);
    if (presence_topics(tracker, &s) == 0) presence_snapshot_free(s);
    if (presence_subscribe(tracker, S("hall"), &s) == 0) presence_snapshot_free(s);
}

static bool all_is_folded(void *user) {
    void **pair = user;
    drain_all(pair[0], pair[1]);
    return ((kept *)pair[1])->size == count_metas(pair[0], "room");
}

static void the_nth_request_fails(void **state) {
    (void)state;
    const char *const options[] = {"transport", "memory", NULL};
    for (size_t n = 1; n < 2000; n++) {
        shared_heap s = {.mutex = PTHREAD_MUTEX_INITIALIZER};
        static kept k;
        memset(&k, 0, sizeof k);
        presence_tracker *tracker = open_on(&s, options);
        presence_owner owner = open_owner(tracker);
        assert_int_equal(presence_wait_synced(tracker, PATIENCE_MS), 1);
        assert_int_equal(presence_subscribe(tracker, S("room"), NULL), 0);
        shared_fail(&s, n);
        use(tracker, owner);
        bool failed = shared_failed(&s);
        shared_fail(&s, 0);
        void *pair[] = {tracker, &k};
        assert_true(wait_until(all_is_folded, pair));
        assert_int_equal(presence_unsubscribe(tracker, S("hall")), 0);
        assert_int_equal(presence_owner_close(tracker, owner), 0);
        assert_true(wait_until(all_is_folded, pair));
        assert_folded(tracker, "room", &k);
        presence_tracker_close(tracker);
        assert_int_equal(s.heap.blocks, 0);
        if (!failed) return;
    }
    fail_msg("it never passed without a failure");
}

static bool has_all(void *tracker) { return count_metas(tracker, "room") == 300; }

/* One member is short of memory once while it joins; it still ends with everything, and leaks nothing. */
static void a_member_joins_in_spite_of_it(void **state) {
    (void)state;
    char address[80];
    presence_tracker *a = open_tracker((const char *const[]){"name", "a", "heartbeat_ms", "100", NULL});
    presence_owner owner = open_owner(a);
    assert_int_equal(presence_tracker_address(a, address, sizeof address), 0);
    for (int i = 0; i < 300; i++) {
        char key[16];
        snprintf(key, sizeof key, "u%d", i);
        track(a, owner, "room", key, "{\"a\":\"0123456789\"}");
    }
    const char *const options[] = {"name", "b", "join", address, "heartbeat_ms", "100", NULL};
    for (size_t n = 1; n < 160; n += 7) {
        shared_heap s = {.mutex = PTHREAD_MUTEX_INITIALIZER};
        presence_tracker *b = open_on(&s, options);
        shared_fail(&s, n);
        assert_true(wait_until(has_all, b));
        shared_fail(&s, 0);
        presence_tracker_close(b);
        assert_int_equal(s.heap.blocks, 0);
    }
    presence_tracker_close(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nth_request_fails),
        cmocka_unit_test(a_member_joins_in_spite_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

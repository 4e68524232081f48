/* One member: every call and every error of the public header. */
#include "heap.h"
#include "trackers.h"

static void changes_are_visible_at_once(void **state) {
    (void)state;
    presence_tracker *tracker = open_memory();
    presence_owner owner = open_owner(tracker), other = open_owner(tracker);
    presence_ref first = track(tracker, owner, "room", "u1", "{\"a\":1}"), second, third;
    size_t keys, metas, removed;
    assert_int_equal(strlen(first.text), 22);
    track(tracker, other, "room", "u1", "");
    assert_int_equal(presence_count(tracker, S("room"), &keys, &metas), 0);
    assert_int_equal(keys, 1);
    assert_int_equal(metas, 2);
    assert_int_equal(presence_update(tracker, owner, S("room"), S("u1"), S("{\"a\":2}"), &second), 0);
    assert_string_not_equal(first.text, second.text);
    assert_int_equal(presence_update(tracker, owner, S("room"), S("u1"), S("{\"a\":2}"), &third), 0);
    assert_string_equal(third.text, second.text); /* the same text changes nothing */
    assert_int_equal(presence_untrack(tracker, other, S("room"), S("u1"), &removed), 0);
    assert_int_equal(removed, 1);
    assert_int_equal(presence_untrack(tracker, other, S("room"), S("u1"), &removed), 0);
    assert_int_equal(removed, 0);
    assert_int_equal(count_metas(tracker, "room"), 1);
    presence_tracker_close(tracker);
}

static void a_snapshot_outlives_its_tracker(void **state) {
    (void)state;
    presence_tracker *tracker = open_memory();
    presence_owner owner = open_owner(tracker);
    presence_snapshot *list, *json_list, *members, *topics;
    presence_str json;
    presence_entry entry = {.size = sizeof entry};
    presence_member member = {.size = sizeof member};
    track(tracker, owner, "room", "u1", "{\"a\":1}");
    presence_ref now;
    assert_int_equal(presence_update(tracker, owner, S("room"), S("u1"), S("{\"a\":2}"), &now), 0);
    assert_int_equal(presence_list(tracker, S("room"), &list), 0);
    assert_int_equal(presence_list_json(tracker, S("room"), &json_list, &json), 0);
    assert_int_equal(presence_members(tracker, &members), 0);
    assert_int_equal(presence_topics(tracker, &topics), 0);
    presence_tracker_close(tracker);

    assert_int_equal(presence_snapshot_size(list), 1);
    assert_int_equal(presence_snapshot_at(list, 0, &entry), 0);
    assert_memory_equal(entry.meta.data, "{\"a\":2}", 7);
    assert_string_equal(entry.ref.data, now.text);
    assert_int_equal(entry.owner, owner);
    assert_int_equal(presence_snapshot_at(list, 1, &entry), PRESENCE_EINVAL);
    assert_int_equal(presence_snapshot_member_at(list, 0, &member), PRESENCE_EINVAL);
    assert_non_null(strstr(json.data, now.text));
    assert_int_equal(presence_snapshot_size(members), 1);
    assert_int_equal(presence_snapshot_member_at(members, 0, &member), 0);
    assert_true(member.is_self);
    assert_int_equal(member.status, PRESENCE_MEMBER_UP);
    assert_int_equal(presence_snapshot_at(members, 0, &entry), PRESENCE_EINVAL);
    assert_int_equal(presence_snapshot_size(topics), 1);
    assert_int_equal(presence_snapshot_at(topics, 0, &entry), 0);
    assert_memory_equal(entry.topic.data, "room", 4);
    assert_int_equal(entry.ref.size, 0);
    presence_snapshot_free(list);
    presence_snapshot_free(json_list);
    presence_snapshot_free(members);
    presence_snapshot_free(topics);
}

static void an_older_caller_gets_what_fits(void **state) {
    (void)state;
    presence_tracker *tracker = open_memory();
    presence_snapshot *list;
    struct {
        presence_entry entry;
        char behind[8];
    } small;
    memset(&small, 0x5a, sizeof small);
    track(tracker, open_owner(tracker), "room", "u1", "{}");
    assert_int_equal(presence_list(tracker, S("room"), &list), 0);
    small.entry.size = offsetof(presence_entry, ref);
    assert_int_equal(presence_snapshot_at(list, 0, &small.entry), 0);
    assert_memory_equal(small.entry.key.data, "u1", 2);
    assert_int_equal(small.entry.size, offsetof(presence_entry, ref));
    assert_int_equal(((unsigned char *)&small.entry.ref)[0], 0x5a);
    small.entry.size = 0;
    assert_int_equal(presence_snapshot_at(list, 0, &small.entry), PRESENCE_EINVAL);
    presence_statistics stats = {.size = sizeof stats};
    assert_int_equal(presence_stats(tracker, &stats), 0);
    assert_int_equal(stats.entries, 1);
    assert_int_equal(stats.topics, 1);
    stats.size = 1;
    assert_int_equal(presence_stats(tracker, &stats), PRESENCE_EINVAL);
    presence_snapshot_free(list);
    presence_tracker_close(tracker);
}

static void bad_inputs_have_names(void **state) {
    (void)state;
    presence_tracker *tracker = open_memory();
    presence_owner owner = open_owner(tracker);
    presence_ref ref;
    presence_snapshot *list;
    char text[300];
    memset(text, 'x', sizeof text);
    presence_str long_text = {text, 256}, nothing = {NULL, 0}, broken = {NULL, 3}, zero = {"a\0b", 3};
    assert_int_equal(presence_track(tracker, owner, S(""), S("k"), S("{}"), &ref), PRESENCE_ETOPIC);
    assert_int_equal(presence_track(tracker, owner, nothing, S("k"), S("{}"), &ref), PRESENCE_ETOPIC);
    assert_int_equal(presence_track(tracker, owner, long_text, S("k"), S("{}"), &ref), PRESENCE_ETOPIC);
    assert_int_equal(presence_track(tracker, owner, zero, S("k"), S("{}"), &ref), PRESENCE_ETOPIC);
    assert_int_equal(presence_track(tracker, owner, S("t"), S("\xc0\x80"), S("{}"), &ref), PRESENCE_EKEY);
    assert_int_equal(presence_track(tracker, owner, S("t"), long_text, S("{}"), &ref), PRESENCE_EKEY);
    assert_int_equal(presence_track(tracker, owner, broken, S("k"), S("{}"), &ref), PRESENCE_EINVAL);
    static const char *const metas[] = {"[]",         "1", "{\"a\":1", "{\"a\":1,\"a\":2}", "{\"phx_ref\":\"x\"}",
                                        "{\"a\":NaN}"};
    for (size_t i = 0; i < sizeof metas / sizeof *metas; i++) {
        assert_int_equal(presence_track(tracker, owner, S("t"), S("k"), S(metas[i]), &ref), PRESENCE_EMETA);
    }
    assert_int_equal(presence_track(tracker, 0, S("t"), S("k"), S("{}"), &ref), PRESENCE_EOWNER);
    assert_int_equal(presence_track(tracker, owner + 12345, S("t"), S("k"), S("{}"), &ref), PRESENCE_EOWNER);
    track(tracker, owner, "t", "k", "{}");
    assert_int_equal(presence_track(tracker, owner, S("t"), S("k"), S("{}"), &ref), PRESENCE_ETRACKED);
    assert_int_equal(presence_update(tracker, owner, S("t"), S("z"), S("{}"), &ref), PRESENCE_ENOTTRACKED);
    assert_int_equal(presence_update_if(tracker, owner, S("t"), S("k"), S("bad"), S("{\"a\":1}"), &ref),
                     PRESENCE_ESTALE);
    assert_int_equal(presence_update_if(tracker, owner, S("t"), S("k"), nothing, S("{}"), &ref), PRESENCE_EINVAL);
    assert_int_equal(presence_list(tracker, S(""), &list), PRESENCE_ETOPIC);
    assert_null(list);
    assert_int_equal(presence_get_by_key(tracker, S("t"), S(""), &list), PRESENCE_EKEY);
    assert_int_equal(presence_count(tracker, broken, NULL, NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_subscribe(tracker, long_text, NULL), PRESENCE_ETOPIC);
    assert_int_equal(presence_unsubscribe(tracker, nothing), PRESENCE_ETOPIC);
    assert_int_equal(presence_unsubscribe(tracker, S("never subscribed")), 0);
    assert_int_equal(presence_drain(tracker, 0, NULL, NULL, NULL), PRESENCE_EINVAL);
    presence_tracker_close(tracker);
}

static void nulls_are_invalid_and_never_crash(void **state) {
    (void)state;
    presence_tracker *tracker = open_memory();
    presence_owner owner = open_owner(tracker);
    presence_snapshot *list;
    presence_str json;
    size_t count;
    assert_int_equal(presence_owner_open(NULL, &owner), PRESENCE_EINVAL);
    assert_int_equal(presence_owner_open(tracker, NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_owner_open_lease(tracker, 5, NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_owner_touch(NULL, 1), PRESENCE_EINVAL);
    assert_int_equal(presence_owner_close(NULL, 1), PRESENCE_EINVAL);
    assert_int_equal(presence_track(NULL, 1, S("t"), S("k"), S("{}"), NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_track_many(tracker, owner, NULL, 1, NULL, NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_untrack(NULL, 1, S("t"), S("k"), NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_untrack_owner(NULL, 1, &count), PRESENCE_EINVAL);
    assert_int_equal(presence_list(tracker, S("t"), NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_list(NULL, S("t"), &list), PRESENCE_EINVAL);
    assert_int_equal(presence_list_json(tracker, S("t"), &list, NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_list_json(tracker, S("t"), NULL, &json), PRESENCE_EINVAL);
    assert_int_equal(presence_get_by_key(NULL, S("t"), S("k"), &list), PRESENCE_EINVAL);
    assert_int_equal(presence_topics(NULL, &list), PRESENCE_EINVAL);
    assert_int_equal(presence_topics(tracker, NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_members(NULL, &list), PRESENCE_EINVAL);
    assert_int_equal(presence_members(tracker, NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_stats(tracker, NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_count(NULL, S("t"), NULL, NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_count(tracker, S("t"), NULL, NULL), 0);
    assert_int_equal(presence_subscribe(NULL, S("t"), NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_subscribe_all(NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_unsubscribe(NULL, S("t")), PRESENCE_EINVAL);
    assert_int_equal(presence_set_wake_callback(NULL, NULL, NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_set_diff_callback(NULL, NULL, NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_drain(NULL, 0, keep, NULL, NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_wait_synced(NULL, 0), PRESENCE_EINVAL);
    assert_int_equal(presence_tracker_address(tracker, NULL, 5), PRESENCE_EINVAL);
    assert_int_equal(presence_tracker_stop(NULL, 0), PRESENCE_EINVAL);
    assert_int_equal(presence_snapshot_size(NULL), 0);
    assert_int_equal(presence_snapshot_seq(NULL), 0);
    assert_int_equal(presence_snapshot_at(NULL, 0, NULL), PRESENCE_EINVAL);
    presence_snapshot_free(NULL);
    presence_tracker_close(NULL);
    presence_tracker_close(tracker);
}

static void limits_restrict_local_writes(void **state) {
    (void)state;
    const char *const options[] = {"transport", "memory",      "meta_bytes", "8", "key_bytes",
                                   "3",         "topic_bytes", "4",          NULL};
    presence_tracker *tracker = open_tracker(options);
    presence_owner owner = open_owner(tracker);
    assert_int_equal(presence_track(tracker, owner, S("room"), S("key"), S("{\"a\":1}"), NULL), 0);
    assert_int_equal(presence_track(tracker, owner, S("rooms"), S("key"), S("{}"), NULL), PRESENCE_ELIMIT);
    assert_int_equal(presence_track(tracker, owner, S("room"), S("keys"), S("{}"), NULL), PRESENCE_ELIMIT);
    assert_int_equal(presence_update(tracker, owner, S("room"), S("key"), S("{\"a\":123}"), NULL), PRESENCE_ELIMIT);
    presence_tracker_close(tracker);
}

static void many_is_all_or_nothing(void **state) {
    (void)state;
    presence_tracker *tracker = open_memory();
    presence_owner owner = open_owner(tracker);
    size_t failed = 99;
    presence_ref refs[3];
    presence_item items[3] = {{S("a"), S("k"), S("")}, {S("b"), S("k"), S("{\"x\":1}")}, {S("b"), S("k"), S("{}")}};
    assert_int_equal(presence_track_many(tracker, owner, items, 3, refs, &failed), PRESENCE_ETRACKED);
    assert_int_equal(failed, 2);
    assert_int_equal(count_metas(tracker, "a"), 0);
    items[2].topic = S("c");
    items[1].meta = S("nonsense");
    assert_int_equal(presence_track_many(tracker, owner, items, 3, NULL, &failed), PRESENCE_EMETA);
    assert_int_equal(failed, 1);
    assert_int_equal(count_metas(tracker, "a"), 0);
    items[1].meta = S("{}");
    assert_int_equal(presence_track_many(tracker, owner, items, 3, refs, NULL), 0);
    assert_string_not_equal(refs[0].text, refs[2].text);
    assert_int_equal(presence_track_many(tracker, owner, NULL, 0, NULL, NULL), 0);
    size_t removed;
    assert_int_equal(presence_untrack_owner(tracker, owner, &removed), 0);
    assert_int_equal(removed, 3);
    track(tracker, owner, "a", "k", "{}"); /* the owner stays open */
    presence_tracker_close(tracker);
}

static bool lease_is_over(void *tracker) { return count_metas(tracker, "room") == 0; }

static void owners_end(void **state) {
    (void)state;
    presence_tracker *tracker = open_memory();
    presence_owner owner = open_owner(tracker), lease;
    track(tracker, owner, "room", "u1", "{}");
    assert_int_equal(presence_owner_close(tracker, owner), 0);
    assert_int_equal(count_metas(tracker, "room"), 0);
    assert_int_equal(presence_owner_close(tracker, owner), PRESENCE_EOWNERCLOSED);
    assert_int_equal(presence_owner_touch(tracker, owner), PRESENCE_EOWNERCLOSED);
    assert_int_equal(presence_track(tracker, owner, S("t"), S("k"), S("{}"), NULL), PRESENCE_EOWNERCLOSED);
    assert_int_equal(presence_owner_close(tracker, 0), PRESENCE_EOWNER);
    assert_int_equal(presence_owner_open_lease(tracker, 0, &lease), PRESENCE_EINVAL);
    assert_int_equal(presence_owner_open_lease(tracker, 86400001, &lease), PRESENCE_EINVAL);
    assert_int_equal(presence_owner_open_lease(tracker, 30, &lease), 0);
    kept k = {0};
    assert_int_equal(presence_subscribe(tracker, S("room"), NULL), 0);
    track(tracker, lease, "room", "u2", "{}");
    assert_int_equal(presence_owner_touch(tracker, lease), 0);
    assert_true(wait_until(lease_is_over, tracker));
    assert_int_equal(presence_owner_touch(tracker, lease), PRESENCE_EOWNERCLOSED);
    drain_all(tracker, &k);
    assert_int_equal(k.leaves, 1);
    assert_int_equal(k.last_reason, PRESENCE_REASON_LEASE);
    presence_tracker_close(tracker);
}

static void after_stop_everything_is_closed(void **state) {
    (void)state;
    presence_tracker *tracker = open_memory();
    presence_owner owner = open_owner(tracker);
    presence_snapshot *list, *before;
    char address[80];
    presence_statistics stats = {.size = sizeof stats};
    kept k = {0};
    track(tracker, owner, "room", "u1", "{}");
    assert_int_equal(presence_list(tracker, S("room"), &before), 0);
    assert_int_equal(presence_tracker_stop(tracker, 1000), 0);
    assert_int_equal(presence_tracker_stop(tracker, 0), 0);
    assert_int_equal(presence_track(tracker, owner, S("t"), S("k"), S("{}"), NULL), PRESENCE_ECLOSED);
    assert_int_equal(presence_owner_open(tracker, &owner), PRESENCE_ECLOSED);
    assert_int_equal(presence_list(tracker, S("room"), &list), PRESENCE_ECLOSED);
    assert_int_equal(presence_members(tracker, &list), PRESENCE_ECLOSED);
    assert_int_equal(presence_count(tracker, S("room"), NULL, NULL), PRESENCE_ECLOSED);
    assert_int_equal(presence_subscribe(tracker, S("room"), &list), PRESENCE_ECLOSED);
    assert_int_equal(presence_stats(tracker, &stats), PRESENCE_ECLOSED);
    assert_int_equal(presence_wait_synced(tracker, 10), PRESENCE_ECLOSED);
    assert_int_equal(presence_tracker_address(tracker, address, sizeof address), PRESENCE_ECLOSED);
    drain_all(tracker, &k);
    assert_int_equal(k.stopped, 1);
    assert_int_equal(k.last_error, 0);
    assert_string_equal(k.last_message, "stopped");
    assert_int_equal(k.bad, 0);
    presence_tracker_close(tracker);
    assert_int_equal(presence_snapshot_size(before), 1);
    presence_snapshot_free(before);
}

static void addresses_of_a_member(void **state) {
    (void)state;
    presence_tracker *tracker = open_tracker(NULL);
    char address[80];
    assert_int_equal(presence_tracker_address(tracker, address, 5), PRESENCE_ELIMIT);
    assert_int_equal(presence_tracker_address(tracker, address, sizeof address), 0);
    assert_memory_equal(address, "127.0.0.1:", 10);
    const char *const same[] = {"listen", address, NULL};
    presence_config *config = make_config(same);
    presence_tracker *second;
    assert_int_equal(presence_tracker_open(config, &second), PRESENCE_EADDRINUSE);
    assert_null(second);
    assert_non_null(strstr(presence_config_message(config), address));
    presence_config_free(config);
    presence_tracker_close(tracker);
    const char *const advertised[] = {"advertise", "127.0.0.1:5000,127.0.0.1:5001", NULL};
    tracker = open_tracker(advertised);
    assert_int_equal(presence_tracker_address(tracker, address, sizeof address), 0);
    assert_string_equal(address, "127.0.0.1:5000");
    presence_tracker_close(tracker);
}

static void default_names_differ(void **state) {
    (void)state;
    presence_tracker *a = open_memory(), *b = open_memory();
    presence_snapshot *x, *y;
    presence_member p = {.size = sizeof p}, q = {.size = sizeof q};
    assert_int_equal(presence_members(a, &x), 0);
    assert_int_equal(presence_members(b, &y), 0);
    assert_int_equal(presence_snapshot_member_at(x, 0, &p), 0);
    assert_int_equal(presence_snapshot_member_at(y, 0, &q), 0);
    assert_true(p.name.size != q.name.size || memcmp(p.name.data, q.name.data, p.name.size) != 0);
    assert_true(p.id != q.id);
    presence_snapshot_free(x);
    presence_snapshot_free(y);
    presence_tracker_close(a);
    presence_tracker_close(b);
}

/* The loop thread allocates too, so the n-th request is whoever's; nothing may crash or leak in any case. */
static void no_memory_is_an_error(void **state) {
    (void)state;
    for (size_t n = 1; n < 160; n++) {
        heap h = {0};
        const char *const options[] = {"transport", "memory", NULL};
        presence_config *config = make_config(options);
        presence_tracker *tracker;
        assert_int_equal(presence_config_set_allocator(config, heap_alloc, heap_resize, heap_release, &h), 0);
        heap_fail(&h, n);
        int failed = presence_tracker_open(config, &tracker);
        if (failed) {
            assert_int_equal(failed, PRESENCE_ENOMEM);
            assert_null(tracker);
        } else {
            presence_tracker_close(tracker);
        }
        assert_int_equal(h.blocks, 0);
        presence_config_free(config);
        if (!failed && !h.failed) break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_visible_at_once),
        cmocka_unit_test(a_snapshot_outlives_its_tracker),
        cmocka_unit_test(an_older_caller_gets_what_fits),
        cmocka_unit_test(bad_inputs_have_names),
        cmocka_unit_test(nulls_are_invalid_and_never_crash),
        cmocka_unit_test(limits_restrict_local_writes),
        cmocka_unit_test(many_is_all_or_nothing),
        cmocka_unit_test(owners_end),
        cmocka_unit_test(after_stop_everything_is_closed),
        cmocka_unit_test(addresses_of_a_member),
        cmocka_unit_test(default_names_differ),
        cmocka_unit_test(no_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

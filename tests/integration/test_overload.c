/* Overload in virtual time: a consumer asleep, a peer that does not read, one entry changed without end, a hundred
 * thousand at once. Memory is counted by an allocator of the test's: bounded while it lasts, given back afterwards. */
#include "shared_heap.h"
#include <presence/sim.h>

#define LIMIT_MS 600000
#define MIB      ((size_t)1 << 20)
#define TOPICS   10
#define ENTRIES  1000
#define CHANGES  100000

typedef struct member {
    shared_heap heap;
    presence_tracker *tracker;
    presence_owner owner;
} member;

static void join(presence_sim *sim, member *m, const char *name) {
    memset(m, 0, sizeof *m);
    pthread_mutex_init(&m->heap.mutex, NULL);
    presence_config *config = config_on(&m->heap, (const char *const[]){"name", name, NULL});
    int failed = presence_sim_start(sim, config, &m->tracker);
    if (failed) fail_msg("%s", presence_sim_message(sim));
    presence_config_free(config);
    m->owner = open_owner(m->tracker);
}

static void end(member *m) {
    presence_tracker_close(m->tracker);
    assert_int_equal(m->heap.heap.blocks, 0);
    pthread_mutex_destroy(&m->heap.mutex);
}

static void settle(presence_sim *sim) {
    if (presence_sim_settle(sim, LIMIT_MS) != 0) fail_msg("%s", presence_sim_message(sim));
}

static presence_statistics stats_of(const member *m) {
    presence_statistics stats = {.size = sizeof stats};
    assert_int_equal(presence_stats(m->tracker, &stats), 0);
    return stats;
}

static void topic_name(char *out, size_t room, int entry) { snprintf(out, room, "room:%d", entry % TOPICS); }

static void track_entries(member *m) {
    for (int i = 0; i < ENTRIES; i++) {
        char topic[16], key[16];
        topic_name(topic, sizeof topic, i);
        snprintf(key, sizeof key, "u%d", i);
        track(m->tracker, m->owner, topic, key, "{\"n\":0}");
    }
}

static void change_entries(presence_sim *sim, member *m, int changes) {
    for (int i = 0; i < changes; i++) {
        char topic[16], key[16], meta[32];
        topic_name(topic, sizeof topic, i % ENTRIES);
        snprintf(key, sizeof key, "u%d", i % ENTRIES);
        snprintf(meta, sizeof meta, "{\"n\":%d}", i + 1);
        assert_int_equal(presence_update(m->tracker, m->owner, S(topic), S(key), S(meta), NULL), 0);
        if (i % (changes / 600) == 0) assert_int_equal(presence_sim_run(sim, 100), 0); /* 60 s in all */
    }
}

/* A member that has the same entries and never saw any of it. */
static size_t calm_bytes(presence_sim *sim) {
    member fresh;
    join(sim, &fresh, "calm");
    settle(sim);
    size_t bytes = fresh.heap.heap.bytes;
    assert_int_equal(stats_of(&fresh).entries, ENTRIES);
    end(&fresh);
    settle(sim);
    return bytes;
}

/* ---- a consumer asleep ---- */
typedef struct rooms {
    kept of[TOPICS];
} rooms;

static void keep_room(const presence_event *event, void *user) {
    presence_str topic = presence_event_topic(event);
    if (topic.size) keep(event, &((rooms *)user)->of[topic.data[topic.size - 1] - '0']);
}

static void drain_rooms(member *m, rooms *r) {
    size_t delivered = 1;
    while (delivered) assert_int_equal(presence_drain(m->tracker, 0, keep_room, r, &delivered), 0);
}

static void a_consumer_asleep(void **state) {
    presence_sim *sim = presence_sim_new(1);
    static member writer, sleeper;
    static rooms seen;
    (void)state;
    memset(&seen, 0, sizeof seen);
    join(sim, &writer, "writer");
    join(sim, &sleeper, "sleeper");
    track_entries(&writer);
    assert_int_equal(presence_subscribe_all(sleeper.tracker), 0);
    settle(sim);
    drain_rooms(&sleeper, &seen);
    size_t awake = sleeper.heap.heap.bytes;
    sleeper.heap.heap.peak = 0;
    change_entries(sim, &writer, CHANGES);
    settle(sim);
    assert_true(sleeper.heap.heap.peak < awake + 16 * MIB);
    assert_true(stats_of(&sleeper).queue_bytes < 5 * MIB);
    assert_true(stats_of(&sleeper).resyncs >= TOPICS);
    for (int i = 0; i < TOPICS; i++) seen.of[i].resyncs = seen.of[i].diffs = 0;
    drain_rooms(&sleeper, &seen);
    for (int i = 0; i < TOPICS; i++) {
        char topic[16];
        topic_name(topic, sizeof topic, i);
        assert_int_equal(seen.of[i].resyncs, 1);
        assert_folded(sleeper.tracker, topic, &seen.of[i]);
    }
    size_t calm = calm_bytes(sim);
    if (sleeper.heap.heap.bytes > calm * 6 / 5)
        fail_msg("%zu bytes after it, %zu of a calm member", sleeper.heap.heap.bytes, calm);
    end(&writer), end(&sleeper);
    presence_sim_free(sim);
}

/* ---- a peer that does not read ---- */
static void a_peer_that_does_not_read(void **state) {
    presence_sim *sim = presence_sim_new(2);
    static member writer, deaf, bystander;
    (void)state;
    join(sim, &writer, "writer");
    join(sim, &deaf, "deaf");
    join(sim, &bystander, "bystander");
    track_entries(&writer);
    settle(sim);
    size_t before = writer.heap.heap.bytes;
    writer.heap.heap.peak = 0;
    assert_int_equal(presence_sim_pause(sim, deaf.tracker), 0);
    change_entries(sim, &writer, CHANGES);
    assert_true(writer.heap.heap.peak < before + 16 * MIB);
    assert_int_equal(presence_sim_run(sim, 5000), 0);
    assert_int_equal(count_metas(bystander.tracker, "room:3"), ENTRIES / TOPICS); /* who reads lacks nothing */
    assert_true(stats_of(&bystander).updates >= ENTRIES);
    assert_int_equal(presence_sim_resume(sim, deaf.tracker), 0);
    settle(sim);
    assert_int_equal(stats_of(&deaf).entries, ENTRIES);
    size_t calm = calm_bytes(sim);
    if (deaf.heap.heap.bytes > calm * 6 / 5)
        fail_msg("%zu bytes after it, %zu of a calm member", deaf.heap.heap.bytes, calm);
    end(&writer), end(&deaf), end(&bystander);
    presence_sim_free(sim);
}

/* ---- one entry, again and again ---- */
static void one_entry_costs_one_change_a_flush(void **state) {
    presence_sim *sim = presence_sim_new(3);
    static member writer, reader;
    (void)state;
    join(sim, &writer, "writer");
    join(sim, &reader, "reader");
    track(writer.tracker, writer.owner, "room", "u", "{}");
    settle(sim);
    uint64_t updates = stats_of(&reader).updates, bytes = stats_of(&reader).bytes_in;
    for (int i = 1; i <= 10000; i++) {
        char meta[32];
        snprintf(meta, sizeof meta, "{\"n\":%d}", i);
        assert_int_equal(presence_update(writer.tracker, writer.owner, S("room"), S("u"), S(meta), NULL), 0);
        if (i % 100 == 0) assert_int_equal(presence_sim_run(sim, 10), 0); /* a second in all */
    }
    settle(sim);
    assert_in_range(stats_of(&reader).updates - updates, 1, 201); /* of a burst the first at once, then the last */
    assert_true(stats_of(&reader).bytes_in - bytes < 201 * 150);
    presence_snapshot *snapshot;
    presence_str json;
    assert_int_equal(presence_list_json(reader.tracker, S("room"), &snapshot, &json), 0);
    assert_non_null(strstr(json.data, "{\"n\":10000,"));
    presence_snapshot_free(snapshot);
    end(&writer), end(&reader);
    presence_sim_free(sim);
}

/* ---- a hundred thousand at once, in one topic ---- */
static void a_topic_of_a_hundred_thousand(void **state) {
    presence_sim *sim = presence_sim_new(4);
    static member writer, reader;
    (void)state;
    join(sim, &writer, "writer");
    join(sim, &reader, "reader");
    settle(sim);
    size_t empty = reader.heap.heap.bytes;
    for (int i = 0; i < 100000; i++) {
        char key[16];
        snprintf(key, sizeof key, "u%d", i);
        track(writer.tracker, writer.owner, "room", key, "{}");
    }
    settle(sim);
    size_t keys, metas;
    assert_int_equal(presence_count(reader.tracker, S("room"), &keys, &metas), 0);
    assert_int_equal(keys, 100000);
    assert_int_equal(metas, 100000);
    presence_snapshot *snapshot;
    assert_int_equal(presence_list(reader.tracker, S("room"), &snapshot), 0);
    assert_int_equal(presence_snapshot_size(snapshot), 100000);
    presence_snapshot_free(snapshot);
    assert_true(reader.heap.heap.peak < empty + 100000 * 400);
    assert_int_equal(presence_owner_close(writer.tracker, writer.owner), 0);
    settle(sim);
    assert_int_equal(stats_of(&reader).entries, 0);
    end(&writer), end(&reader);
    presence_sim_free(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_consumer_asleep),
        cmocka_unit_test(a_peer_that_does_not_read),
        cmocka_unit_test(one_entry_costs_one_change_a_flush),
        cmocka_unit_test(a_topic_of_a_hundred_thousand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

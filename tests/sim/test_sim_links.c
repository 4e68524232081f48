/* Links: meshes, duplicates, wrong peers, forged frames, slow readers, large changes (protocol.md 3.6, 3.7, 5). */
#include "sim_cluster.h"

static bool full_mesh(pr_sim *sim, void *user) {
    int count = *(int *)user;
    for (int a = 0; a < count; a++)
        for (int b = a + 1; b < count; b++)
            if (pr_sim_links(sim, a, b) != 1) return false;
    return true;
}

static void one_seed_gives_the_full_mesh(void **state) {
    (void)state;
    int count = 6;
    pr_sim *sim = cluster_new(101);
    cluster_start(sim, count, NULL);
    cluster_wait(sim, full_mesh, &count, 5000, "one link between every two members");
    cluster_run(sim, 20000);
    assert_true(full_mesh(sim, &count));
    assert_int_equal(pr_sim_shown(sim, 5, "room"), 6);
    cluster_free(sim);
}

static void simultaneous_dials_keep_one_link(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        int count = 2;
        pr_sim *sim = cluster_new(200 + seed);
        pr_sim_start(sim, 0, "ann", 2, 0);
        pr_sim_start(sim, 1, "bob", 1, 0);
        cluster_run(sim, 3000);
        assert_true(full_mesh(sim, &count));
        assert_int_equal(pr_sim_count(sim, 0)->downs + pr_sim_count(sim, 1)->downs, 0);
        cluster_free(sim);
    }
}

static void a_cut_link_comes_back_without_a_word(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(102);
    presence_owner owners[2];
    cluster_start(sim, 2, owners);
    pr_sim_cut(sim, 0, 1, PR_SIM_CUT_LATER, 5000);
    pr_sim_track(sim, 0, owners[0], "room", "new", "{}");
    assert_true(wait_shown(sim, 1, 3, 4000) <= 3500);
    cluster_run(sim, 10000);
    assert_int_equal(pr_sim_links(sim, 0, 1), 1);
    assert_int_equal(pr_sim_count(sim, 0)->leaves + pr_sim_count(sim, 1)->leaves, 0);
    cluster_free(sim);
}

static void who_dials_itself_notices(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(103);
    pr_sim_start(sim, 0, "ann", 1 | 2, 0);
    cluster_run(sim, 3000);
    assert_int_equal(pr_engine_synced(pr_sim_engine(sim, 0)), 2);
    pr_sim_start(sim, 1, "bob", 1 | 2, 0);
    wait_settled(sim, 12000);
    assert_int_equal(pr_sim_links(sim, 0, 0), 0);
    cluster_free(sim);
}

static void another_cluster_is_refused(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(104);
    cluster_start(sim, 1, NULL);
    pr_sim_options(sim)->cluster = pr_cstr("other");
    pr_sim_start(sim, 1, "bob", 1, 0);
    cluster_run(sim, 5000);
    assert_int_equal(pr_sim_links(sim, 0, 1), 0);
    assert_int_equal(pr_sim_count(sim, 1)->last_error, PRESENCE_ECLUSTER);
    assert_int_equal(pr_sim_count(sim, 0)->last_error, PRESENCE_ECLUSTER);
    assert_int_equal(pr_sim_status(sim, 0, "bob", NULL), 0);
    uint64_t dials = pr_sim_dials(sim);
    cluster_run(sim, 25000);
    assert_true(pr_sim_dials(sim) <= dials + 1);
    cluster_free(sim);
}

/* Garbage at every stage of a connection: nothing, a preamble, a frame header that lies, half a HELLO. */
static size_t garbage(pr_sim *sim, uint8_t *data, size_t room) {
    size_t size = 1 + pr_sim_random(sim, room - 1), at = 0;
    for (size_t i = 0; i < size; i++) data[i] = (uint8_t)pr_sim_random(sim, 256);
    if (pr_sim_random(sim, 3) != 0 && size > PR_PREAMBLE_SIZE) pr_preamble_write(data), at = PR_PREAMBLE_SIZE;
    if (pr_sim_random(sim, 2) == 0 && size > at + 4) {
        size_t payload = pr_sim_random(sim, size - at);
        data[at] = (uint8_t)payload, data[at + 1] = (uint8_t)(payload >> 8), data[at + 2] = 0;
        data[at + 3] = (uint8_t)pr_sim_random(sim, 13);
    }
    return size;
}

static void garbage_harms_nobody(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(105);
    presence_owner owners[2];
    cluster_start(sim, 2, owners);
    pr_sim_hostile(sim, true);
    size_t memory = pr_sim_memory(sim, 0, false);
    for (int i = 0; i < 300; i++) {
        uint8_t data[300];
        int raw = pr_sim_raw_connect(sim, 0);
        pr_sim_raw_write(sim, raw, data, garbage(sim, data, sizeof data));
        cluster_run(sim, 20);
    }
    cluster_run(sim, 12000); /* also those that said too little are closed */
    pr_sim_track(sim, 0, owners[0], "room", "new", "{}");
    wait_settled(sim, 100);
    assert_int_equal(pr_sim_links(sim, 0, 1), 1);
    assert_int_equal(pr_sim_count(sim, 1)->downs, 0);
    assert_true(pr_sim_memory(sim, 0, false) < memory + 65536);
    cluster_free(sim);
}

static bool raw_is_closed(pr_sim *sim, void *user) { return pr_sim_raw_closed(sim, *(int *)user); }

static void who_says_nothing_is_closed(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(106);
    cluster_start(sim, 1, NULL);
    int raw = pr_sim_raw_connect(sim, 0);
    uint64_t took = cluster_wait(sim, raw_is_closed, &raw, 6000, "a silent peer is closed");
    assert_true(took >= 4500);
    cluster_free(sim);
}

static void forge(pr_sim *sim, int from, int to, pr_message *message) {
    pr_buffer buffer;
    pr_alloc alloc = pr_alloc_default();
    pr_buffer_init(&buffer, &alloc, 1 << 20);
    assert_int_equal(pr_encode(&buffer, message, PR_FRAME_MIN), 0);
    assert_true(pr_sim_forge(sim, from, to, buffer.data, buffer.size));
    pr_buffer_free(&buffer);
}

/* Host `from` claims to relay the log of `inst` and sends an entry of it. */
static void forge_entry(pr_sim *sim, int from, int to, uint64_t inst, uint32_t index) {
    pr_message define = {.type = PR_LOGDEF};
    define.as.logdef = (pr_logdef){.log = index, .inst = inst};
    strcpy(define.as.logdef.name, "forged");
    forge(sim, from, to, &define);
    pr_up up = {.eid = 900, .dot = 900, .topic = pr_cstr("room"), .key = pr_cstr("forged"), .meta = pr_cstr("{}")};
    pr_message segment = {.type = PR_SEGMENT};
    segment.as.segment = (pr_segment){.log = index, .x = 1, .T = 1, .x2 = 900, .T2 = 900, .ups = &up, .ups_size = 1};
    forge(sim, from, to, &segment);
}

static void a_forged_frame_of_the_own_log_closes_the_link(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(107);
    cluster_start(sim, 2, NULL);
    pr_sim_hostile(sim, true);
    uint64_t errors = cluster_stats(sim, 0).protocol_errors;
    forge_entry(sim, 1, 0, pr_sim_inst(sim, 0), 77);
    cluster_run(sim, 20);
    assert_int_equal(cluster_stats(sim, 0).protocol_errors, errors + 1);
    assert_false(pr_sim_shows(sim, 0, "room", "forged"));
    wait_settled(sim, 15000);
    cluster_free(sim);
}

static void a_log_nobody_asked_for_is_dropped_and_counted(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(108);
    cluster_start(sim, 3, NULL);
    cluster_run(sim, 15000);
    uint64_t dropped = cluster_stats(sim, 0).frames_dropped;
    forge_entry(sim, 1, 0, pr_sim_inst(sim, 2), 78);
    cluster_run(sim, 100);
    assert_int_equal(cluster_stats(sim, 0).frames_dropped, dropped + 1);
    assert_false(pr_sim_shows(sim, 0, "room", "forged"));
    assert_int_equal(pr_sim_links(sim, 0, 1), 1);
    cluster_free(sim);
}

static void a_reader_that_stands_still_costs_no_memory(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(109);
    presence_owner owners[3];
    char key[16], meta[600];
    pr_sim_net(sim)->pipe_bytes = 65536;
    cluster_start(sim, 3, owners);
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "k%d", i);
        pr_sim_track(sim, 0, owners[0], "big", key, "{}");
    }
    cluster_run(sim, 100);
    pr_sim_stop_reading(sim, 1, true);
    size_t before = pr_sim_memory(sim, 0, false);
    pr_sim_reset_peak(sim, 0);
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "k%d", i % 50);
        snprintf(meta, sizeof meta, "{\"n\":%d,\"pad\":\"%0500d\"}", i, 0);
        pr_sim_update(sim, 0, owners[0], "big", key, meta);
        if (i % 4 == 0) cluster_run(sim, 1);
    }
    /* 1.5 MB went to the one that reads; the other costs its high water and one frame at most */
    assert_true(pr_sim_memory(sim, 0, true) < before + 262144 + 65536 + 400000);
    pr_sim_stop_reading(sim, 1, false);
    wait_settled(sim, 2000);
    assert_string_equal(pr_sim_meta(sim, 1, "big", "k49"), meta);
    cluster_free(sim);
}

static void a_slow_reader_gets_one_squashed_difference(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(110);
    presence_owner owners[2];
    char meta[600];
    pr_sim_net(sim)->pipe_bytes = 4096;
    pr_sim_options(sim)->high_water = 2000;
    pr_sim_options(sim)->low_water = 500;
    cluster_start(sim, 2, owners);
    pr_sim_slow_reader(sim, 1, 20);
    pr_sim_track(sim, 0, owners[0], "room", "busy", "{}");
    for (int i = 0; i < 2000; i++) {
        snprintf(meta, sizeof meta, "{\"n\":%d,\"pad\":\"%0300d\"}", i, 0);
        pr_sim_update(sim, 0, owners[0], "room", "busy", meta);
        cluster_run(sim, 1);
    }
    wait_settled(sim, 2000);
    assert_true(pr_sim_count(sim, 1)->updates < 400);
    assert_string_equal(pr_sim_meta(sim, 1, "room", "busy"), meta);
    cluster_free(sim);
}

/* A relay that has always something of its own to say serves the logs it relays as well (3.7.3). */
static void a_relayed_log_is_not_starved(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(114);
    presence_owner owners[3];
    char key[16], meta[64];
    pr_sim_net(sim)->pipe_bytes = 300;
    pr_sim_options(sim)->high_water = 200;
    pr_sim_options(sim)->low_water = 50;
    pr_sim_options(sim)->own_log.chunk_target = pr_sim_options(sim)->replica_log.chunk_target = 60;
    pr_sim_forbid(sim, 1, 2, PR_DIAL_TIMEOUT);
    pr_sim_forbid(sim, 2, 1, PR_DIAL_TIMEOUT);
    cluster_start(sim, 3, owners);
    for (int i = 0; i < 60; i++) {
        snprintf(key, sizeof key, "k%d", i);
        pr_sim_track(sim, 0, owners[0], "busy", key, "{}");
    }
    wait_settled(sim, 3000);
    pr_sim_slow_reader(sim, 2, 40);
    for (int i = 0; i < 1500; i++) {
        snprintf(key, sizeof key, "k%d", i % 60);
        snprintf(meta, sizeof meta, "{\"n\":%d}", i);
        pr_sim_update(sim, 0, owners[0], "busy", key, meta);
        if (i == 700) pr_sim_track(sim, 1, owners[1], "room", "relayed", "{}");
        if (i % 3 == 0) cluster_run(sim, 1);
        if (i > 700 && pr_sim_shows(sim, 2, "room", "relayed")) break;
    }
    assert_true(pr_sim_shows(sim, 2, "room", "relayed"));
    assert_false(pr_sim_agreed(sim)); /* the relay's own log is still behind */
    pr_sim_slow_reader(sim, 2, 0);
    wait_settled(sim, 3000);
    cluster_free(sim);
}

static void closing_an_owner_is_one_diff_per_topic(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(111);
    presence_owner owners[2];
    static char topics[1000][16], keys[1000][16];
    static presence_item items[1000];
    cluster_start(sim, 2, owners);
    presence_owner owner = pr_sim_owner(sim, 0, 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(topics[i], sizeof topics[i], "many%d", i % 4);
        snprintf(keys[i], sizeof keys[i], "k%d", i);
        items[i] = (presence_item){pr_cstr(topics[i]), pr_cstr(keys[i]), pr_cstr("{}")};
    }
    assert_int_equal(pr_sim_track_many(sim, 0, owner, items, 1000), 0);
    wait_settled(sim, 1000);
    uint64_t here = pr_sim_count(sim, 0)->diffs, there = pr_sim_count(sim, 1)->diffs;
    pr_sim_owner_close(sim, 0, owner);
    assert_int_equal(pr_sim_count(sim, 0)->diffs, here + 4);
    assert_int_equal(pr_sim_count(sim, 0)->largest_diff, 250);
    wait_settled(sim, 1000);
    assert_int_equal(pr_sim_count(sim, 1)->diffs, there + 4); /* one frame carries all of it */
    assert_int_equal(pr_sim_count(sim, 1)->leaves_by_reason[PRESENCE_REASON_OWNER_CLOSED], 1000);
    cluster_free(sim);
}

static void a_newcomer_gets_a_large_log_in_chunks(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(112);
    pr_sim_net(sim)->pipe_bytes = 4000;
    pr_sim_options(sim)->own_log.chunk_target = 1000;
    pr_sim_options(sim)->replica_log.chunk_target = 1000;
    presence_owner owners[1];
    char key[16];
    cluster_start(sim, 1, owners);
    for (int i = 0; i < 600; i++) {
        snprintf(key, sizeof key, "k%d", i);
        pr_sim_track(sim, 0, owners[0], "big", key, "{\"a\":\"some text of usual length\"}");
    }
    pr_sim_start(sim, 1, "bob", 1, 0);
    while (pr_sim_shown(sim, 1, NULL) < 200) cluster_run(sim, 1);
    pr_sim_cut(sim, 0, 1, PR_SIM_CUT_BOTH, 0); /* the rest comes over a new link, from where the first one ended */
    uint64_t applied = pr_sim_count(sim, 1)->joins;
    wait_settled(sim, 4000);
    assert_in_range(applied, 200, 590);
    assert_int_equal(pr_sim_count(sim, 1)->joins, 601);
    cluster_free(sim);
}

static void heartbeats_are_all_that_is_sent_at_rest(void **state) {
    (void)state;
    pr_sim *sim = cluster_new(113);
    cluster_start(sim, 5, NULL);
    cluster_run(sim, 15000);
    uint64_t frames = pr_sim_frames(sim);
    cluster_run(sim, 30000);
    /* 20 directions: one heartbeat a second, a ping every tenth, and its answer */
    assert_in_range(pr_sim_frames(sim) - frames, 20 * (29 + 4), 20 * (31 + 6) + 20);
    cluster_free(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_seed_gives_the_full_mesh),
        cmocka_unit_test(simultaneous_dials_keep_one_link),
        cmocka_unit_test(a_cut_link_comes_back_without_a_word),
        cmocka_unit_test(who_dials_itself_notices),
        cmocka_unit_test(another_cluster_is_refused),
        cmocka_unit_test(garbage_harms_nobody),
        cmocka_unit_test(who_says_nothing_is_closed),
        cmocka_unit_test(a_forged_frame_of_the_own_log_closes_the_link),
        cmocka_unit_test(a_log_nobody_asked_for_is_dropped_and_counted),
        cmocka_unit_test(a_reader_that_stands_still_costs_no_memory),
        cmocka_unit_test(a_slow_reader_gets_one_squashed_difference),
        cmocka_unit_test(a_relayed_log_is_not_starved),
        cmocka_unit_test(closing_an_owner_is_one_diff_per_topic),
        cmocka_unit_test(a_newcomer_gets_a_large_log_in_chunks),
        cmocka_unit_test(heartbeats_are_all_that_is_sent_at_rest),
    };
    cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}

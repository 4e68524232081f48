/* presence_metrics and the table of counters: every field, several trackers, those that stopped, labels, lag. */
#define _GNU_SOURCE /* memmem */
#include "trackers.h"
#include <presence/sim.h>

#define LIMIT_MS 120000

static presence_tracker *start(presence_sim *sim, const char *name) {
    presence_config *config = make_config((const char *const[]){"name", name, "cluster", "a \"b\" \\", NULL});
    presence_tracker *tracker = NULL;
    int failed = presence_sim_start(sim, config, &tracker);
    if (failed) fail_msg("%s", presence_sim_message(sim));
    presence_config_free(config);
    return tracker;
}

static void assert_holds(presence_str text, const char *line) {
    if (!memmem(text.data, text.size, line, strlen(line)))
        fail_msg("no \"%s\" in\n%.*s", line, (int)text.size, text.data);
}

static void assert_lacks(presence_str text, const char *part) {
    if (memmem(text.data, text.size, part, strlen(part))) fail_msg("\"%s\" in\n%.*s", part, (int)text.size, text.data);
}

#define IS(member) "{cluster=\"a \\\"b\\\" \\\\\",member=\"" member "\""

static void every_field_has_a_row(void **state) {
    presence_statistics stats = {.size = sizeof stats};
    const char *name, *kind, *help;
    size_t rows = 0;
    (void)state;
    for (uint64_t *field = &stats.entries; (void *)field < (void *)(&stats + 1); field++) *field = ++rows;
    for (size_t i = 0; i < rows; i++) {
        assert_non_null(name = presence_statistic_at(i, &kind, &help));
        assert_true(strcmp(kind, "counter") == 0 || strcmp(kind, "gauge") == 0);
        assert_true(strlen(help) > 10);
        assert_int_equal(presence_statistic_value(&stats, i), i + 1);
    }
    assert_null(presence_statistic_at(rows, NULL, NULL));
    assert_string_equal(presence_statistic_at(0, NULL, NULL), "entries");
    assert_string_equal(presence_statistic_at(rows - 1, NULL, NULL), "bytes_saved");
    assert_int_equal(presence_statistic_value(&stats, rows), 0);
    assert_int_equal(presence_statistic_value(NULL, 0), 0);
    stats.size = sizeof stats - sizeof(uint64_t); /* of a caller that was built with an older header */
    assert_int_equal(presence_statistic_value(&stats, rows - 1), 0);
}

static void members_of_one_process(void **state) {
    presence_sim *sim = presence_sim_new(1);
    presence_tracker *both[] = {start(sim, "a"), start(sim, "b")};
    presence_snapshot *page;
    presence_str text;
    (void)state;
    track(both[0], open_owner(both[0]), "room", "u1", "{}");
    assert_int_equal(presence_sim_settle(sim, LIMIT_MS), 0);
    assert_int_equal(presence_metrics(both, 2, &page, &text), 0);
    assert_holds(text, "# TYPE libpresence_entries gauge\nlibpresence_entries" IS("a") "} 1\nlibpresence_entries" IS(
                           "b") "} 1\n");
    assert_holds(text, "# TYPE libpresence_joins_total counter\n");
    assert_holds(text, "libpresence_info" IS("a") ",version=\"");
    assert_holds(text, "libpresence_peers" IS("a") ",status=\"up\"} 1\n");
    assert_holds(text, "libpresence_peers" IS("a") ",status=\"down\"} 0\n");
    assert_holds(text, "libpresence_peer_entries" IS("b") ",peer=\"a\"} 1\n");
    assert_holds(text, "libpresence_peer_lag" IS("b") ",peer=\"a\"} 0\n");
    presence_snapshot_free(page);

    assert_int_equal(presence_tracker_stop(both[1], 1000), 0);
    assert_int_equal(presence_metrics(both, 2, &page, &text), 0);
    assert_holds(text, "libpresence_entries" IS("a") "} 1\n");
    assert_lacks(text, "member=\"b\"");
    assert_int_equal(presence_tracker_stop(both[0], 1000), 0);
    assert_holds(text, "libpresence_entries" IS("a") "} 1\n"); /* it outlives its trackers */
    presence_snapshot_free(page);
    assert_int_equal(presence_metrics(both, 2, &page, &text), 0);
    assert_int_equal(text.size, 0);
    presence_tracker_close(both[0]), presence_tracker_close(both[1]);
    presence_snapshot_free(page);
    presence_sim_free(sim);
}

static uint64_t lag_of(presence_tracker *tracker, const char *name) {
    presence_snapshot *members;
    presence_member member = {.size = sizeof member};
    uint64_t lag = UINT64_MAX;
    assert_int_equal(presence_members(tracker, &members), 0);
    for (size_t i = 0; i < presence_snapshot_size(members); i++) {
        assert_int_equal(presence_snapshot_member_at(members, i, &member), 0);
        if (member.name.size == strlen(name) && memcmp(member.name.data, name, member.name.size) == 0) lag = member.lag;
    }
    presence_snapshot_free(members);
    return lag;
}

/* A heartbeat says how far a log is before the log itself is here. */
static void what_is_known_of_and_not_here_is_lag(void **state) {
    presence_sim *sim = presence_sim_new(2);
    presence_tracker *a = start(sim, "a"), *b = start(sim, "b");
    uint64_t most = 0;
    (void)state;
    presence_owner owner = open_owner(a);
    assert_int_equal(presence_sim_settle(sim, LIMIT_MS), 0);
    assert_int_equal(lag_of(b, "a"), 0);
    assert_int_equal(presence_sim_partition(sim, b, 1), 0);
    for (int i = 0; i < 40; i++) {
        char key[8];
        snprintf(key, sizeof key, "u%d", i);
        track(a, owner, "room", key, "{}");
    }
    assert_int_equal(presence_sim_run(sim, 20000), 0); /* both have given the other up, and meet anew */
    assert_int_equal(presence_sim_latency(sim, 20, 20), 0);
    assert_int_equal(presence_sim_heal(sim), 0);
    while (count_metas(b, "room") < 40) {
        assert_int_equal(presence_sim_run(sim, 1), 0);
        uint64_t lag = lag_of(b, "a");
        most = lag > most ? lag : most;
    }
    assert_in_range(most, 1, 40);
    assert_int_equal(presence_sim_settle(sim, LIMIT_MS), 0);
    assert_int_equal(lag_of(b, "a"), 0);
    assert_int_equal(count_metas(b, "room"), 40);
    presence_tracker_close(a), presence_tracker_close(b);
    presence_sim_free(sim);
}

static void what_is_wrong_has_a_name(void **state) {
    presence_tracker *none = NULL;
    presence_snapshot *page;
    presence_str text;
    (void)state;
    assert_int_equal(presence_metrics(&none, 1, &page, &text), PRESENCE_EINVAL);
    assert_int_equal(presence_metrics(NULL, 1, &page, &text), PRESENCE_EINVAL);
    assert_int_equal(presence_metrics(&none, 0, &page, &text), PRESENCE_EINVAL);
    assert_int_equal(presence_metrics(&none, 1, NULL, &text), PRESENCE_EINVAL);
    assert_int_equal(presence_metrics(&none, 1, &page, NULL), PRESENCE_EINVAL);
    presence_snapshot_free(page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_has_a_row),
        cmocka_unit_test(members_of_one_process),
        cmocka_unit_test(what_is_known_of_and_not_here_is_lag),
        cmocka_unit_test(what_is_wrong_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

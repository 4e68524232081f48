/* Members of several minor versions in one cluster: one that knows less than all features, one of today, one that
 * announces features of later versions; in each order, with one pair that is not linked and so is relayed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine_world.h"

#define OURS                                                                                                           \
    (PR_FEATURE_PATCH | PR_FEATURE_CRC | PR_FEATURE_LZ4 | PR_FEATURE_ZSTD | PR_FEATURE_SUBSCRIBE | PR_FEATURE_SUM)

static const uint64_t versions[] = {
    PR_FEATURE_SUBSCRIBE,                    /* the least that is there */
    PR_FEATURE_PATCH | PR_FEATURE_SUBSCRIBE, /* before crc, compression and sums */
    OURS & ~(uint64_t)PR_FEATURE_LZ4,
    OURS,
    OURS | 0xffffffff00ull << 6, /* later ones */
};
#define VERSIONS (sizeof versions / sizeof *versions)

static void expect_all(world *w, size_t shown) {
    for (int i = 0; i < 3; i++) {
        assert_int_equal(world_shown(w, i, "t"), shown);
        assert_int_equal(w->nodes[i].errors, 0);
        assert_int_equal(w->nodes[i].downs, 0);
    }
}

static void together(const uint64_t *features) {
    static const char *const names[] = {"relay", "left", "right"};
    world *w = world_new();
    w->severed[1][2] = w->severed[2][1] = true;
    for (int i = 0; i < 3; i++) {
        w->nodes[i].options = pr_engine_options_default();
        w->nodes[i].options.features = features[i];
        world_start(w, i, names[i], i ? 1u << 0 : 0);
    }
    world_run(w, 3000);
    presence_owner owners[3];
    for (int i = 0; i < 3; i++) {
        owners[i] = world_owner(w, i);
        assert_int_equal(world_track(w, i, owners[i], "t", names[i], "{\"n\":1}"), 0);
        world_track_some(w, i, owners[i], i * 100, i * 100 + 100);
    }
    world_run(w, 3000);
    expect_all(w, 303);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(world_update(w, i, owners[i], "t", names[i], "{\"n\":2}"), 0);
        assert_int_equal(world_untrack(w, i, owners[i], "t", i == 0 ? "k7" : i == 1 ? "k107" : "k207"), 1);
    }
    world_run(w, 15000);
    expect_all(w, 300);
    for (int i = 0; i < 3; i++) assert_int_equal(w->nodes[i].updates, 3);
    world_kill(w, 2, true);
    w->nodes[2].options.features = OURS;
    world_start(w, 2, "right", 1u << 0); /* a rolling upgrade: it comes back as today's */
    world_run(w, 5000);
    for (int i = 0; i < 3; i++) assert_int_equal(world_shown(w, i, "t"), 200);
    world_free(w);
}

static void every_mixture_agrees(void **state) {
    (void)state;
    for (size_t a = 0; a < VERSIONS; a++)
        for (size_t b = 0; b < VERSIONS; b++)
            for (size_t c = 0; c < VERSIONS; c++) together((const uint64_t[]){versions[a], versions[b], versions[c]});
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_mixture_agrees)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The engine's map and timers against the obvious model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine_map.h"
#include "hash.h"
#include "heap.h"

#define KEYS 300

static void a_map_holds_what_was_put(void **state) {
    (void)state;
    heap h = {0};
    pr_alloc alloc = heap_allocator(&h);
    pr_map map;
    uint64_t model[KEYS + 1] = {0}, random = 7;
    pr_map_init(&map, &alloc, 99);
    assert_int_equal(pr_map_get(&map, 5), 0);
    pr_map_take(&map, 5);
    for (int step = 0; step < 40000; step++) {
        uint64_t key = 1 + pr_random_next(&random) % KEYS;
        if (pr_random_next(&random) % 2) {
            model[key] = 1 + (uint64_t)step;
            assert_int_equal(pr_map_put(&map, key, model[key]), 0);
        } else {
            model[key] = 0;
            pr_map_take(&map, key);
        }
        uint64_t other = 1 + pr_random_next(&random) % KEYS;
        assert_int_equal(pr_map_get(&map, other), model[other]);
    }
    size_t size = 0;
    for (uint64_t key = 1; key <= KEYS; key++) {
        assert_int_equal(pr_map_get(&map, key), model[key]);
        size += model[key] != 0;
    }
    assert_int_equal(map.size, size);
    pr_map_free(&map);
    assert_int_equal(h.blocks, 0);
}

static void a_map_without_memory_stays(void **state) {
    (void)state;
    heap h = {0};
    pr_alloc alloc = heap_allocator(&h);
    pr_map map;
    pr_map_init(&map, &alloc, 1);
    h.fail_in = 1;
    assert_int_equal(pr_map_put(&map, 1, 1), PRESENCE_ENOMEM);
    for (uint64_t key = 1; key < 100; key++) {
        h.fail_in = 1;
        int rc = pr_map_put(&map, key, key);
        h.fail_in = 0;
        if (rc) assert_int_equal(pr_map_get(&map, key), 0);
        if (rc) assert_int_equal(pr_map_put(&map, key, key), 0);
        assert_int_equal(pr_map_get(&map, key / 2), key / 2);
    }
    pr_map_free(&map);
}

static void timers_come_in_order(void **state) {
    (void)state;
    heap h = {0};
    pr_alloc alloc = heap_allocator(&h);
    pr_timers timers;
    pr_timer all[100];
    uint64_t due[100], random = 3, now = 0;
    pr_timers_init(&timers, &alloc);
    assert_int_equal(pr_timers_reserve(&timers, 100), 0);
    for (int i = 0; i < 100; i++) {
        pr_timer_init(&all[i], 1, NULL);
        due[i] = UINT64_MAX;
    }
    for (int step = 0; step < 20000; step++) {
        size_t i = pr_random_next(&random) % 100;
        due[i] = pr_random_next(&random) % 8 ? now + pr_random_next(&random) % 50 : UINT64_MAX;
        pr_timer_set(&timers, &all[i], due[i]);
        uint64_t least = UINT64_MAX;
        for (int k = 0; k < 100; k++)
            if (due[k] < least) least = due[k];
        assert_int_equal(pr_timers_next(&timers), least);
        if (step % 3) continue;
        now += pr_random_next(&random) % 5;
        pr_timer *timer;
        while ((timer = pr_timers_due(&timers, now))) {
            assert_true(due[timer - all] <= now);
            due[timer - all] = UINT64_MAX;
        }
        for (int k = 0; k < 100; k++) assert_true(due[k] > now);
    }
    pr_timers_free(&timers);
    assert_int_equal(h.blocks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_holds_what_was_put),
        cmocka_unit_test(a_map_without_memory_stays),
        cmocka_unit_test(timers_come_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

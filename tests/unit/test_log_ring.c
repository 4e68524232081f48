/* The ring of removals and the stops: positions, trimming, and forgetting what does not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "heap.h"
#include "removal_ring.h"
#include "stops.h"
#include <presence.h>

typedef struct fixture {
    heap heap;
    pr_alloc alloc;
    pr_ring ring;
    pr_stops stops;
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    f->alloc = heap_allocator(&f->heap);
    pr_ring_init(&f->ring, &f->alloc);
    pr_stops_init(&f->stops, &f->alloc, 100);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    pr_ring_free(&f->ring);
    pr_stops_free(&f->stops);
    size_t left = f->heap.bytes;
    free(f);
    return left != 0;
}

/* Versions first .. last in steps, removing eid = version / 2, reason = version % 4. */
static void push_range(pr_ring *r, uint64_t first, uint64_t last, uint64_t step) {
    for (uint64_t v = first; v <= last; v += step) pr_ring_push(r, v, v / 2, v % 4);
}

static void expect_range(pr_ring_reader reader, uint64_t first, uint64_t last, uint64_t step) {
    pr_removed r;
    uint64_t v = first;
    while (pr_ring_next(&reader, &r)) {
        assert_true(reader.version == v && r.eid == v / 2 && r.reason == v % 4);
        v += step;
    }
    assert_int_equal(v, last + step);
}

static void test_ring_holds_in_order(void **state) {
    fixture *f = *state;
    push_range(&f->ring, 10, 10 + 3 * 2000, 3);
    assert_int_equal(f->ring.end - f->ring.begin, 2001);
    expect_range(pr_ring_read(&f->ring, 0), 10, 6010, 3);
    for (uint64_t p = 0; p <= 2001; p += 29) expect_range(pr_ring_read(&f->ring, p), 10 + p * 3, 6010, 3);
    expect_range(pr_ring_read(&f->ring, f->ring.end), 6013, 6010, 3);
}

static void test_ring_from_a_version(void **state) {
    fixture *f = *state;
    push_range(&f->ring, 10, 10 + 3 * 2000, 3);
    for (uint64_t v = 0; v < 6013; v++) {
        uint64_t first = v < 10 ? 10 : 10 + ((v - 10) / 3 + 1) * 3;
        expect_range(pr_ring_read_after_version(&f->ring, v), first, 6010, 3);
    }
}

static void test_ring_trims_from_the_front(void **state) {
    fixture *f = *state;
    for (uint64_t v = 1; v <= 5000; v++) {
        pr_ring_push(&f->ring, v, v / 2, v % 4);
        pr_ring_trim(&f->ring, 700);
        assert_int_equal(f->ring.floor, v > 700 ? v - 700 : 0);
        assert_true(f->ring.size - f->ring.first <= 3);
    }
    assert_int_equal(f->ring.begin, 4300);
    expect_range(pr_ring_read(&f->ring, 4300), 4301, 5000, 1);
    expect_range(pr_ring_read_after_version(&f->ring, 4800), 4801, 5000, 1);
    pr_ring_trim(&f->ring, 0);
    assert_true(f->ring.floor == 5000 && f->ring.begin == f->ring.end && f->ring.size == 0);
    push_range(&f->ring, 5001, 5003, 1);
    expect_range(pr_ring_read(&f->ring, f->ring.begin), 5001, 5003, 1);
}

static void test_ring_forgets_what_does_not_fit(void **state) {
    fixture *f = *state;
    push_range(&f->ring, 1, 10, 1);
    uint64_t version = (uint64_t)UINT32_MAX + 20;
    pr_ring_push(&f->ring, version, 20, 0); /* exactly u32 */
    assert_int_equal(f->ring.end - f->ring.begin, 11);
    pr_ring_push(&f->ring, version + 1, 20, 0);
    assert_true(f->ring.begin == 12 && f->ring.end == 12 && f->ring.floor == version + 1);
    push_range(&f->ring, version + 2, version + 9, 1000);
    pr_ring_push(&f->ring, version + 10, version + 3, 2);
    pr_removed r;
    pr_ring_reader reader = pr_ring_read_after_version(&f->ring, f->ring.floor);
    assert_true(pr_ring_next(&reader, &r));
}

static void test_ring_spans_far_versions(void **state) {
    fixture *f = *state;
    const uint64_t far = (uint64_t)1 << 40;
    for (uint64_t i = 1; i < 100; i++) pr_ring_push(&f->ring, i * far + i, i * far, i % 4);
    assert_int_equal(f->ring.end - f->ring.begin, 99);
    pr_ring_reader reader = pr_ring_read_after_version(&f->ring, 50 * far + 50);
    pr_removed r;
    for (uint64_t i = 51; i < 100; i++) {
        assert_true(pr_ring_next(&reader, &r));
        assert_true(r.eid == i * far && r.reason == i % 4 && reader.version == i * far + i);
    }
    assert_false(pr_ring_next(&reader, &r));
    pr_ring_trim(&f->ring, 10);
    assert_int_equal(f->ring.floor, 89 * far + 89);
}

/* A replica may learn removals of an older version after those of a newer one. */
static void test_ring_takes_older_versions(void **state) {
    fixture *f = *state;
    const uint64_t versions[] = {100, 100, 90, 95, 120, 40};
    for (size_t i = 0; i < 6; i++) pr_ring_push(&f->ring, versions[i], 7 + i, 3);
    pr_ring_reader reader = pr_ring_read(&f->ring, 1);
    pr_removed r;
    for (size_t i = 1; i < 6; i++) {
        assert_true(pr_ring_next(&reader, &r));
        assert_true(r.eid == 7 + i && reader.version == versions[i] && reader.position == i);
    }
    assert_false(pr_ring_next(&reader, &r));
}

static void test_ring_without_memory_forgets(void **state) {
    fixture *f = *state;
    push_range(&f->ring, 1, PR_RING_BLOCK, 1);
    f->heap.fail_in = 1;
    pr_ring_push(&f->ring, 600, 3, 0);
    assert_true(f->ring.floor == 600 && f->ring.begin == f->ring.end && f->ring.end == PR_RING_BLOCK + 1);
    push_range(&f->ring, 601, 610, 1);
    expect_range(pr_ring_read_after_version(&f->ring, 600), 601, 610, 1);
}

static void test_stops_are_found(void **state) {
    fixture *f = *state;
    uint64_t position, version;
    assert_false(pr_stops_find(&f->stops, 5, &position));
    for (uint64_t v = 10; v <= 500; v += 10) pr_stops_add(&f->stops, v, v / 5);
    pr_stops_add(&f->stops, 500, 999); /* not above the last */
    pr_stops_add(&f->stops, 33, 999);
    assert_int_equal(f->stops.size, 50);
    for (uint64_t v = 0; v <= 510; v++) {
        assert_int_equal(pr_stops_find(&f->stops, v, &position), v >= 10 && v <= 500 && v % 10 == 0);
        if (v % 10 == 0 && v >= 10 && v <= 500) assert_int_equal(position, v / 5);
        assert_int_equal(pr_stops_above(&f->stops, v), v < 10 ? 0 : v > 500 ? 50 : v / 10);
    }
    pr_stops_drop_below(&f->stops, 21);
    assert_int_equal(f->stops.size, 40);
    pr_stops_at(&f->stops, 0, &version, &position);
    assert_true(version == 110 && position == 22);
}

static void test_stops_drop_the_oldest(void **state) {
    fixture *f = *state;
    uint64_t version, position;
    for (uint64_t v = 1; v <= 1000; v++) pr_stops_add(&f->stops, v, v);
    assert_int_equal(f->stops.size, 100);
    for (uint32_t i = 0; i < 100; i++) {
        pr_stops_at(&f->stops, i, &version, &position);
        assert_true(version == 901 + i && position == 901 + i);
    }
    f->stops.max = 0;
    pr_stops_add(&f->stops, 2000, 2000);
    assert_int_equal(f->stops.size, 100);
}

static void test_stops_forget_over_u32(void **state) {
    fixture *f = *state;
    const uint64_t far = (uint64_t)1 << 32;
    uint64_t position;
    pr_stops_add(&f->stops, 1, 1);
    pr_stops_add(&f->stops, far, 2); /* still fits */
    assert_int_equal(f->stops.size, 2);
    pr_stops_add(&f->stops, far + 1, 3);
    assert_int_equal(f->stops.size, 1);
    assert_true(pr_stops_find(&f->stops, far + 1, &position) && position == 3);
    pr_stops_add(&f->stops, far + 2, far + 4);
    assert_int_equal(f->stops.size, 1);
    assert_true(pr_stops_find(&f->stops, far + 2, &position) && position == far + 4);
}

static void test_stops_without_memory(void **state) {
    fixture *f = *state;
    uint64_t position;
    f->heap.fail_in = 1;
    pr_stops_add(&f->stops, 1, 1); /* is not noted */
    assert_int_equal(f->stops.size, 0);
    for (uint64_t v = 2; v < 18; v++) pr_stops_add(&f->stops, v, v);
    f->heap.fail_in = 1;
    pr_stops_add(&f->stops, 18, 18); /* takes the place of the oldest */
    assert_int_equal(f->stops.size, 16);
    assert_false(pr_stops_find(&f->stops, 2, &position));
    assert_true(pr_stops_find(&f->stops, 18, &position));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_ring_holds_in_order),         TEST(test_ring_from_a_version),
        TEST(test_ring_trims_from_the_front),   TEST(test_ring_forgets_what_does_not_fit),
        TEST(test_ring_spans_far_versions),     TEST(test_ring_takes_older_versions),
        TEST(test_ring_without_memory_forgets), TEST(test_stops_are_found),
        TEST(test_stops_drop_the_oldest),       TEST(test_stops_forget_over_u32),
        TEST(test_stops_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

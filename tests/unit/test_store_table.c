/* The table of the store against a plain array of what is in it; and a reservation moves a few values, however many
 * there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hash.h"
#include "heap.h"
#include "table.h"

enum { VALUES = 60000, ADDED = 1, REPLACED = 2 };

typedef struct fixture {
    heap heap;
    pr_alloc alloc;
    pr_table table;
    size_t hashed;         /* calls of the hash function */
    uint8_t state[VALUES]; /* of each value; value + VALUES is what may take its place */
} fixture;

static uint32_t hash_of(uint32_t value) { return (uint32_t)pr_fmix64(value % VALUES); }

static uint32_t counted_hash(const void *context, uint32_t value) {
    ((fixture *)context)->hashed++;
    return hash_of(value);
}

static int setup(void **state) {
    fixture *f = *state = calloc(1, sizeof *f);
    f->alloc = heap_allocator(&f->heap);
    pr_table_init(&f->table, &f->alloc, counted_hash, f);
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    pr_table_free(&f->table);
    size_t left = f->heap.blocks;
    free(f);
    return left != 0;
}

static size_t times_found(const pr_table *t, uint32_t value) {
    size_t times = 0;
    for (pr_probe p = pr_probe_start(t, hash_of(value)); pr_probe_next(t, &p);) times += p.value == value;
    return times;
}

/* The next thing that may happen to a value: it comes, another takes its place, it goes. */
static void change(fixture *f, uint32_t value) {
    pr_table *t = &f->table;
    uint32_t other = value + VALUES, held = f->state[value] == REPLACED ? other : value;
    if (!f->state[value]) {
        assert_true(pr_table_reserve(t, 1));
        pr_table_add(t, hash_of(value), value);
        f->state[value] = ADDED;
        return;
    }
    size_t slot = pr_table_slot_of(t, hash_of(value), held);
    if (f->state[value] == ADDED && value % 3 == 0) {
        pr_table_replace(t, slot, other);
        f->state[value] = REPLACED;
    } else {
        pr_table_erase(t, slot);
        f->state[value] = 0;
    }
}

static void check(const fixture *f, uint32_t value) {
    assert_int_equal(times_found(&f->table, value), f->state[value] == ADDED);
    assert_int_equal(times_found(&f->table, value + VALUES), f->state[value] == REPLACED);
}

static void a_table_is_what_was_put_into_it(void **state) {
    fixture *f = *state;
    uint64_t chosen = 7;
    for (uint32_t range = 16; range <= VALUES; range = range * 5 / 2) {
        for (uint32_t i = 0; i < 4 * range; i++) {
            change(f, (uint32_t)(pr_random_next(&chosen) % range));
            check(f, (uint32_t)(pr_random_next(&chosen) % range));
        }
        size_t size = 0;
        for (uint32_t value = 0; value < range; value++) {
            check(f, value);
            size += f->state[value] != 0;
        }
        assert_int_equal(f->table.size, size);
    }
}

static void growing_takes_many_small_steps(void **state) {
    fixture *f = *state;
    size_t grown = 0;
    for (uint32_t value = 0; value < VALUES; value++) {
        size_t room = f->table.slots.room;
        f->hashed = 0;
        change(f, value);
        grown += f->table.slots.room != room && room > 1024;
        assert_true(f->hashed <= (room > 1024 ? 16 : 1024));
        for (uint32_t i = 0; f->table.old.room && value % 997 == 0 && i <= value; i++) check(f, i);
    }
    assert_true(grown >= 6);
    for (uint32_t value = 0; value < VALUES; value++) check(f, value);
}

static void a_growth_without_memory_changes_nothing(void **state) {
    fixture *f = *state;
    uint32_t value = 0;
    while (f->table.left > 0 || value < 20000 || f->table.old.room) change(f, value++);
    heap_fail(&f->heap, 1);
    assert_false(pr_table_reserve(&f->table, 1));
    heap_fail(&f->heap, 0);
    for (uint32_t i = 0; i < value; i++) check(f, i);
}

/* Half of the old values have moved when a reservation wants more than the new slots have left. */
static void a_large_reservation_in_the_middle_of_growing(void **state) {
    fixture *f = *state;
    uint32_t value = 0;
    while (!f->table.old.room || f->table.waiting > f->table.size / 2) change(f, value++);
    assert_true(pr_table_reserve(&f->table, VALUES));
    while (value < VALUES) change(f, value++);
    for (uint32_t i = 0; i < VALUES; i++) check(f, i);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_table_is_what_was_put_into_it, setup, teardown),
        cmocka_unit_test_setup_teardown(growing_takes_many_small_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(a_growth_without_memory_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_reservation_in_the_middle_of_growing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Births and moves: the blocked index against a sorted array, through holes, splits, merges and far keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hash.h"
#include "heap.h"
#include "log_index.h"
#include <presence.h>

enum { MAX = 6000 };

typedef struct pair {
    uint64_t key;
    pr_id entry;
    bool marked;
} pair;

typedef struct fixture {
    heap heap;
    pr_alloc alloc;
    pr_index index;
    pair pairs[MAX]; /* ascending key */
    size_t size;
    uint64_t random;
} fixture;

static uint32_t rnd(fixture *f, uint32_t n) { return (uint32_t)(pr_random_next(&f->random) % n); }

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    f->alloc = heap_allocator(&f->heap);
    pr_index_init(&f->index, &f->alloc);
    f->random = 5;
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    pr_index_free(&f->index);
    size_t left = f->heap.bytes;
    free(f);
    return left != 0;
}

static size_t place(const fixture *f, uint64_t key) {
    size_t i = 0;
    while (i < f->size && f->pairs[i].key < key) i++;
    return i;
}

static bool is_held(const fixture *f, uint64_t key) {
    size_t i = place(f, key);
    return i < f->size && f->pairs[i].key == key;
}

static void note(fixture *f, uint64_t key, pr_id entry) {
    size_t i = place(f, key);
    memmove(f->pairs + i + 1, f->pairs + i, (f->size++ - i) * sizeof(pair));
    f->pairs[i] = (pair){key, entry, false};
}

static void insert(fixture *f, uint64_t key) {
    pr_id entry = 1 + rnd(f, 1u << 30);
    if (is_held(f, key)) {
        assert_int_equal(pr_index_insert(&f->index, key, entry), PRESENCE_EINVAL);
        return;
    }
    assert_int_equal(pr_index_insert(&f->index, key, entry), 0);
    note(f, key, entry);
}

static void remove_at(fixture *f, size_t i) {
    pr_index_remove(&f->index, f->pairs[i].key);
    assert_int_equal(pr_index_find(&f->index, f->pairs[i].key), 0);
    memmove(f->pairs + i, f->pairs + i + 1, (--f->size - i) * sizeof(pair));
}

/* The blocks are in order, none is empty, their counts are true, and the walk gives the array. */
static void compare(const fixture *f, uint64_t after) {
    size_t i = place(f, after), live = 0;
    if (i < f->size && f->pairs[i].key == after) i++;
    for (pr_index_walk w = pr_index_after(&f->index, after); w.entry != 0; pr_index_next(&w), i++) {
        assert_true(i < f->size);
        assert_true(w.key == f->pairs[i].key && w.entry == f->pairs[i].entry && w.marked == f->pairs[i].marked);
    }
    assert_int_equal(i, f->size);
    for (uint32_t b = 0; b < f->index.size; b++) {
        const pr_block *block = &f->index.blocks[b];
        assert_true(block->live > 0 && block->live <= block->size && block->size <= block->room);
        assert_true(block->room <= PR_BLOCK_MAX);
        assert_true(b == 0 || block[-1].base < block->base);
        live += block->live;
    }
    assert_int_equal(live, f->size);
    assert_int_equal(f->index.live, f->size);
}

static void test_empty(void **state) {
    fixture *f = *state;
    assert_int_equal(pr_index_find(&f->index, 1), 0);
    pr_index_remove(&f->index, 1);
    pr_index_mark(&f->index, 1);
    compare(f, 0);
}

static void test_append_fills_blocks(void **state) {
    fixture *f = *state;
    for (uint64_t key = 1; key <= 5 * PR_BLOCK_MAX; key++) insert(f, key);
    compare(f, 0);
    assert_int_equal(f->index.size, 5);
    for (uint64_t after = 500; after < 530; after++) compare(f, after);
}

static void test_append_and_remove_reuses_the_last_block(void **state) {
    fixture *f = *state;
    for (uint64_t key = 1; key <= 20; key++) insert(f, key);
    for (uint64_t key = 21; key <= 20000; key++) {
        insert(f, key);
        remove_at(f, rnd(f, (uint32_t)f->size));
    }
    compare(f, 0);
    assert_int_equal(f->index.size, 1);
    assert_int_equal(f->index.blocks[0].room, 32);
}

static void test_sparse_blocks_are_merged(void **state) {
    fixture *f = *state;
    for (uint64_t key = 1; key <= 10 * PR_BLOCK_MAX; key++) insert(f, key);
    while (f->size > PR_BLOCK_MAX) remove_at(f, rnd(f, (uint32_t)f->size));
    compare(f, 0);
    assert_true(f->index.size <= 5);
    while (f->size > 0) remove_at(f, f->size / 2);
    assert_int_equal(f->index.size, 0);
}

static void test_descending_keys(void **state) {
    fixture *f = *state;
    for (uint64_t key = 3000; key > 0; key--) insert(f, key * 3);
    compare(f, 0);
    assert_true(f->index.size <= 12);
}

static void test_far_keys_begin_blocks(void **state) {
    fixture *f = *state;
    const uint64_t far = (uint64_t)1 << 32;
    const uint64_t keys[] = {far * 7, far * 7 + far - 1, far * 8,     1,           far * 3 + 5, far * 3 + 4,
                             far * 2, UINT64_MAX - 1,    far * 7 - 1, far * 9 - 1, 2,           far * 3 + 6};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        insert(f, keys[i]);
        compare(f, 0);
        compare(f, keys[i]);
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) assert_true(pr_index_find(&f->index, keys[i]) != 0);
    while (f->size > 0) {
        remove_at(f, rnd(f, (uint32_t)f->size));
        compare(f, 0);
    }
}

static void random_step(fixture *f, uint32_t phase, uint64_t spread) {
    if (f->size == 0 || (f->size < MAX - 1 && rnd(f, 100) < (phase % 2 ? 35u : 75u))) {
        uint64_t key = 1 + rnd(f, 4000) * spread + (rnd(f, 5) ? 0 : rnd(f, 3));
        insert(f, key);
        return;
    }
    size_t i = rnd(f, (uint32_t)f->size);
    if (rnd(f, 3) == 0) {
        pr_index_mark(&f->index, f->pairs[i].key);
        f->pairs[i].marked = true;
    } else {
        remove_at(f, i);
    }
}

static void test_random(void **state) {
    fixture *f = *state;
    const uint64_t spreads[] = {1, 3, 1000003, (uint64_t)1 << 24, (uint64_t)1 << 33};
    for (size_t s = 0; s < sizeof spreads / sizeof *spreads; s++) {
        for (uint32_t phase = 0; phase < 8; phase++) {
            for (int i = 0; i < 1500; i++) random_step(f, phase, spreads[s]);
            compare(f, 0);
            compare(f, rnd(f, 4000) * spreads[s]);
        }
        while (f->size > 0) remove_at(f, 0);
    }
    assert_int_equal(f->index.size, 0);
}

static void test_no_memory_changes_nothing(void **state) {
    fixture *f = *state;
    for (int i = 0; i < 6000; i++) {
        uint64_t key = 1 + rnd(f, 1u << 20) * (uint64_t)(rnd(f, 50) ? 1 : 1 << 20);
        if (is_held(f, key) || f->size == MAX) continue;
        heap_fail(&f->heap, 1);
        f->heap.fail_on = true;
        int error = pr_index_insert(&f->index, key, 9);
        heap_fail(&f->heap, 0);
        f->heap.fail_on = false;
        if (error == 0)
            note(f, key, 9);
        else
            assert_int_equal(error, PRESENCE_ENOMEM), insert(f, key);
        if (i % 100 == 0) compare(f, 0);
    }
    f->heap.fail_in = 1; /* removing needs none */
    f->heap.fail_on = true;
    while (f->size > 0) remove_at(f, rnd(f, (uint32_t)f->size));
    assert_int_equal(f->index.size, 0);
}

static void test_walk_by_dot(void **state) {
    fixture *f = *state;
    pr_index moves;
    pr_index_init(&moves, &f->alloc);
    for (uint64_t eid = 1; eid <= 9; eid++) insert(f, eid * 10);
    assert_int_equal(pr_index_insert(&moves, 35, 100), 0); /* the updated 20 */
    pr_index_mark(&f->index, 20);
    assert_int_equal(pr_index_insert(&moves, 95, 101), 0); /* the updated 90 */
    pr_index_mark(&f->index, 90);
    const uint64_t dots[] = {30, 35, 40, 50, 60, 70, 80, 95};
    size_t i = 0;
    for (pr_dot_walk w = pr_dots_after(&f->index, &moves, 10); w.entry != 0; pr_dots_next(&w), i++) {
        assert_true(i < sizeof dots / sizeof *dots && w.dot == dots[i]);
        assert_int_equal(w.moved, dots[i] % 10 == 5);
    }
    assert_int_equal(i, sizeof dots / sizeof *dots);
    pr_index_free(&moves);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_empty),
        TEST(test_append_fills_blocks),
        TEST(test_append_and_remove_reuses_the_last_block),
        TEST(test_sparse_blocks_are_merged),
        TEST(test_descending_keys),
        TEST(test_far_keys_begin_blocks),
        TEST(test_random),
        TEST(test_no_memory_changes_nothing),
        TEST(test_walk_by_dot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Owners: ids that are never given out twice, the entries of each, and leases in order of their deadlines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hash.h"
#include "heap.h"
#include "store.h"

typedef struct fixture {
    heap heap;
    pr_alloc alloc;
    pr_store *store;
} fixture;

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    f->alloc = heap_allocator(&f->heap);
    *state = f;
    return pr_store_new(&f->alloc, &f->store);
}

static int teardown(void **state) {
    fixture *f = *state;
    pr_store_free(f->store);
    size_t left = f->heap.blocks;
    free(f);
    return left != 0;
}

static pr_id insert(fixture *f, uint64_t eid, const char *topic, const char *key, presence_owner owner) {
    pr_id id;
    assert_int_equal(pr_store_insert(f->store, 1, eid, eid, pr_cstr(topic), pr_cstr(key), pr_cstr("{}"), owner, &id),
                     0);
    return id;
}

static presence_owner open_owner(fixture *f, uint64_t deadline) {
    presence_owner owner;
    assert_int_equal(pr_store_owner_open(f->store, deadline, &owner), 0);
    assert_int_not_equal(owner, 0);
    assert_int_equal(pr_store_owner_check(f->store, owner), 0);
    return owner;
}

static void stale_ids_are_told_from_ids_that_never_were(void **state) {
    fixture *f = *state;
    presence_owner a = open_owner(f, 0);
    static const presence_owner never[] = {0, 1, 2, UINT64_MAX, 1ull << 24, 1ull << 32, 1ull << 63};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        assert_int_equal(pr_store_owner_check(f->store, never[i]), PRESENCE_EOWNER);
    pr_store_owner_close(f->store, a);
    assert_int_equal(pr_store_owner_check(f->store, a), PRESENCE_EOWNERCLOSED);
    pr_store_owner_close(f->store, a); /* again: nothing */
    presence_owner b = open_owner(f, 0);
    assert_int_not_equal(a, b);
    assert_int_equal(pr_store_owner_check(f->store, a), PRESENCE_EOWNERCLOSED);
    assert_int_equal(pr_store_owner_check(f->store, b + (1ull << 24)), PRESENCE_EOWNER); /* the next of its record */
    pr_id id;
    assert_int_equal(pr_store_insert(f->store, 1, 1, 1, pr_cstr("t"), pr_cstr("k"), pr_cstr("{}"), a, &id),
                     PRESENCE_EOWNERCLOSED);
    assert_int_equal(pr_store_insert(f->store, 1, 1, 1, pr_cstr("t"), pr_cstr("k"), pr_cstr("{}"), 77, &id),
                     PRESENCE_EOWNER);
    assert_int_equal(id, 0);
    assert_int_equal(pr_store_size(f->store), 0);
}

static void ids_do_not_come_back(void **state) {
    fixture *f = *state;
    presence_owner seen[3000];
    for (size_t i = 0; i < 3000; i++) {
        seen[i] = open_owner(f, 0);
        assert_true(seen[i] < 1ull << 53); /* a number in every language */
        if (i % 3) pr_store_owner_close(f->store, seen[i]);
    }
    for (size_t i = 0; i < 3000; i++) {
        assert_int_equal(pr_store_owner_check(f->store, seen[i]), i % 3 ? PRESENCE_EOWNERCLOSED : 0);
        for (size_t j = i + 1; j < 3000; j++)
            if (seen[i] == seen[j]) fail();
    }
}

static void an_owner_finds_its_own_entries(void **state) {
    fixture *f = *state;
    presence_owner a = open_owner(f, 0), b = open_owner(f, 0);
    pr_id a1 = insert(f, 1, "t", "k", a), b1 = insert(f, 2, "t", "k", b), other = insert(f, 3, "t", "k", 0);
    pr_id a2 = insert(f, 4, "t", "l", a), a3 = insert(f, 5, "u", "k", a);
    assert_int_equal(pr_store_find_owned(f->store, a, pr_cstr("t"), pr_cstr("k")), a1);
    assert_int_equal(pr_store_find_owned(f->store, b, pr_cstr("t"), pr_cstr("k")), b1);
    assert_int_equal(pr_store_find_owned(f->store, a, pr_cstr("u"), pr_cstr("k")), a3);
    assert_int_equal(pr_store_find_owned(f->store, b, pr_cstr("u"), pr_cstr("k")), 0);
    assert_int_equal(pr_store_find_owned(f->store, 0, pr_cstr("t"), pr_cstr("k")), 0);
    assert_int_equal(pr_store_find_owned(f->store, a, pr_cstr("none"), pr_cstr("k")), 0);
    assert_int_equal(pr_store_next_owned(f->store, other), 0);
    assert_int_equal(pr_store_first_owned(f->store, a), a1);
    pr_store_remove(f->store, a2); /* from the middle */
    assert_int_equal(pr_store_next_owned(f->store, a1), a3);
    pr_store_remove(f->store, a1);
    assert_int_equal(pr_store_first_owned(f->store, a), a3);
    pr_store_owner_close(f->store, a); /* not while it owns something */
    assert_int_equal(pr_store_owner_check(f->store, a), 0);
    pr_store_remove(f->store, a3);
    assert_int_equal(pr_store_first_owned(f->store, a), 0);
    pr_store_owner_close(f->store, a);
    assert_int_equal(pr_store_owner_check(f->store, a), PRESENCE_EOWNERCLOSED);
    assert_int_equal(pr_store_first_owned(f->store, a), 0);
}

static void leases_run_out_in_order(void **state) {
    fixture *f = *state;
    enum { N = 500 };
    presence_owner owners[N];
    uint64_t deadlines[N], seed = 3, deadline, last = 0;
    for (size_t i = 0; i < N; i++) {
        deadlines[i] = i % 5 ? 1 + pr_random_next(&seed) % 1000 : 0;
        owners[i] = open_owner(f, deadlines[i]);
    }
    for (size_t i = 0; i < N; i += 3) { /* touched, given a lease, or freed of it */
        deadlines[i] = i % 2 ? 1 + pr_random_next(&seed) % 2000 : 0;
        assert_int_equal(pr_store_owner_lease(f->store, owners[i], deadlines[i]), 0);
    }
    for (size_t i = 0; i < N; i += 7) { /* closed */
        pr_store_owner_close(f->store, owners[i]);
        deadlines[i] = 0;
    }
    size_t left = 0;
    for (size_t i = 0; i < N; i++) left += deadlines[i] != 0;
    for (presence_owner o; (o = pr_store_owner_first_lease(f->store, &deadline)); left--) {
        size_t i = 0;
        while (i < N && owners[i] != o) i++;
        assert_true(i < N);
        assert_int_equal(deadlines[i], deadline);
        assert_true(deadline >= last);
        last = deadline;
        pr_store_owner_close(f->store, o);
    }
    assert_int_equal(left, 0);
    assert_int_equal(deadline, 0);
    assert_int_equal(pr_store_owner_lease(f->store, owners[1], 5), PRESENCE_EOWNERCLOSED);
    assert_int_equal(pr_store_owner_lease(f->store, 12345, 5), PRESENCE_EOWNER);
}

static void without_memory_nothing_changes(void **state) {
    fixture *f = *state;
    presence_owner owner, o = open_owner(f, 0);
    uint64_t deadline;
    heap_fail(&f->heap, 1);
    assert_int_equal(pr_store_owner_lease(f->store, o, 9), PRESENCE_ENOMEM);
    assert_int_equal(pr_store_owner_first_lease(f->store, &deadline), 0);
    heap_fail(&f->heap, 1);
    assert_int_equal(pr_store_owner_open(f->store, 9, &owner), PRESENCE_ENOMEM);
    assert_int_equal(owner, 0);
    assert_int_equal(pr_store_owner_lease(f->store, o, 9), 0);
    assert_int_equal(pr_store_owner_first_lease(f->store, &deadline), o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stale_ids_are_told_from_ids_that_never_were, setup, teardown),
        cmocka_unit_test_setup_teardown(ids_do_not_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(an_owner_finds_its_own_entries, setup, teardown),
        cmocka_unit_test_setup_teardown(leases_run_out_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_nothing_changes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

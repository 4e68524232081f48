/* Allocator, buffer, hashes and error texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "buffer.h"
#include "failure.h"
#include "hash.h"
#include "heap.h"
#include "text.h"

static void assert_text(const pr_buffer *b, const char *text) {
    assert_int_equal(b->failed, 0);
    assert_int_equal(b->size, strlen(text));
    assert_memory_equal(b->data, text, b->size);
}

static void the_default_allocator_zeroes_and_resizes(void **state) {
    pr_alloc alloc = pr_alloc_default();
    (void)state;
    char *block = pr_new(&alloc, 100);
    for (int i = 0; i < 100; i++) assert_int_equal(block[i], 0);
    memset(block, 'x', 100);
    block = pr_resize(&alloc, block, 100, 1000);
    assert_int_equal(block[99], 'x');
    pr_delete(&alloc, block, 1000);
    pr_delete(&alloc, NULL, 0);
    pr_delete(&alloc, pr_new(&alloc, 0), 0);
}

static void a_buffer_grows_up_to_its_maximum(void **state) {
    heap h = {0};
    pr_alloc alloc = heap_allocator(&h);
    pr_buffer b;
    (void)state;
    pr_buffer_init(&b, &alloc, 1000);
    for (int i = 0; i < 1000; i++) pr_buffer_append(&b, "x", 1);
    assert_int_equal(b.failed, 0);
    assert_int_equal(b.size, 1000);
    assert_true(b.room <= 1000);
    pr_buffer_append(&b, "y", 1);
    assert_int_equal(b.failed, PRESENCE_ELIMIT);
    assert_int_equal(pr_buffer_reserve(&b, 0), PRESENCE_ELIMIT);
    pr_buffer_clear(&b);
    assert_int_equal(pr_buffer_reserve(&b, 1001), PRESENCE_ELIMIT);
    pr_buffer_clear(&b);
    assert_int_equal(pr_buffer_reserve(&b, SIZE_MAX), PRESENCE_ELIMIT);
    pr_buffer_clear(&b);
    pr_buffer_text(&b, "again");
    assert_text(&b, "again");
    pr_buffer_free(&b);
    assert_int_equal(h.blocks, 0);
}

static void a_buffer_without_memory_stays_as_it_was(void **state) {
    heap h = {0};
    pr_alloc alloc = heap_allocator(&h);
    pr_buffer b;
    (void)state;
    pr_buffer_init(&b, &alloc, 1 << 20);
    pr_buffer_text(&b, "kept");
    heap_fail(&h, 1);
    assert_int_equal(pr_buffer_reserve(&b, 5000), PRESENCE_ENOMEM);
    pr_buffer_text(&b, "dropped");
    assert_int_equal(b.failed, PRESENCE_ENOMEM);
    assert_int_equal(b.size, 4);
    pr_buffer_clear(&b);
    pr_buffer_text(&b, "new");
    assert_text(&b, "new");
    pr_buffer_free(&b);
    assert_int_equal(h.blocks, 0);
}

static void varints_have_7_bits_per_byte(void **state) {
    static const struct {
        uint64_t value;
        size_t size;
        uint8_t bytes[10];
    } cases[] = {{0, 1, {0}},
                 {127, 1, {127}},
                 {128, 2, {0x80, 1}},
                 {300, 2, {0xAC, 2}},
                 {UINT64_MAX, 10, {255, 255, 255, 255, 255, 255, 255, 255, 255, 1}}};
    pr_alloc alloc = pr_alloc_default();
    pr_buffer b;
    (void)state;
    pr_buffer_init(&b, &alloc, 100);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pr_buffer_clear(&b);
        pr_buffer_varint(&b, cases[i].value);
        assert_int_equal(b.size, cases[i].size);
        assert_memory_equal(b.data, cases[i].bytes, b.size);
    }
    pr_buffer_free(&b);
}

static void json_strings_are_escaped(void **state) {
    pr_alloc alloc = pr_alloc_default();
    pr_buffer b;
    (void)state;
    pr_buffer_init(&b, &alloc, 10000);
    pr_buffer_json_string(&b, pr_str("", 0));
    assert_text(&b, "\"\"");
    pr_buffer_clear(&b);
    pr_buffer_json_string(&b, pr_cstr("plain \xc3\xa4 \xf0\x9f\x98\x80 /\x7f"));
    assert_text(&b, "\"plain \xc3\xa4 \xf0\x9f\x98\x80 /\x7f\"");
    pr_buffer_clear(&b);
    pr_buffer_json_string(&b, pr_cstr("\"\\\b\f\n\r\t\x01\x1f"));
    assert_text(&b, "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\"");
    pr_buffer_free(&b);
}

static void the_state_hash_is_that_of_the_protocol(void **state) {
    (void)state;
    /* from an implementation of XXH64 and fmix64 of its own */
    assert_int_equal(pr_hash_entry(pr_str(NULL, 0), pr_str(NULL, 0), pr_str(NULL, 0)), 0xef6eb604187a17faull);
    assert_int_equal(pr_hash_entry(pr_cstr("t"), pr_cstr("k"), pr_cstr("{}")), 0xb509a80cd4887956ull);
    assert_int_equal(
        pr_hash_entry(pr_cstr("room:lobby"), pr_cstr("user:1"), pr_cstr("{\"status\":\"online\",\"n\":[1,2,3]}")),
        0x54171c0bf15d5d5dull);
    /* topic "t", key "k" and a meta of so many 'x': short enough to be hashed at once, and longer */
    static char xs[1000];
    memset(xs, 'x', sizeof xs);
    assert_int_equal(pr_hash_entry(pr_cstr("t"), pr_cstr("k"), pr_str(xs, 498)), 0xb23b572d9ae3f4c2ull);
    assert_int_equal(pr_hash_entry(pr_cstr("t"), pr_cstr("k"), pr_str(xs, 499)), 0xfd72aaec245582ccull);
    assert_int_equal(pr_hash_entry(pr_cstr("t"), pr_cstr("k"), pr_str(xs, 1000)), 0x691f77db20abac1full);
    assert_int_equal(pr_fmix64(0), 0);
    assert_int_equal(pr_fmix64(1), 0xb456bcfc34c2cb2cull);
    assert_int_equal(pr_fmix64(0x0123456789abcdefull), 0x87cbfbfe89022ceaull);
}

static void random_numbers_follow_the_seed(void **state) {
    uint64_t a = 0, b = 0, c = 1;
    (void)state;
    assert_int_equal(pr_random_next(&a), 0xe220a8397b1dcdafull); /* splitmix64 of 0 */
    assert_int_equal(pr_random_next(&b), 0xe220a8397b1dcdafull);
    assert_int_not_equal(pr_random_next(&c), 0xe220a8397b1dcdafull);
    assert_int_equal(pr_random_next(&a), pr_random_next(&b));
    assert_int_not_equal(pr_hash("ab", 2, 0), pr_hash("ab", 2, 1));
}

static void every_error_has_a_name_and_a_text(void **state) {
    (void)state;
    for (int error = -26; error <= 0; error++) {
        assert_int_equal(strncmp(pr_error_name(error), "PRESENCE_", 9), 0);
        assert_string_not_equal(pr_error_name(error), "PRESENCE_UNKNOWN");
        assert_true(strlen(pr_error_text(error)) > 3);
        for (int other = error + 1; other <= 0; other++)
            assert_string_not_equal(pr_error_name(error), pr_error_name(other));
    }
    assert_string_equal(pr_error_name(PRESENCE_ETOPIC), "PRESENCE_ETOPIC");
    assert_string_equal(pr_error_name(-27), "PRESENCE_UNKNOWN");
    assert_string_equal(pr_error_name(1), "PRESENCE_UNKNOWN");
    assert_string_equal(pr_error_text(-9999), "unknown error");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_allocator_zeroes_and_resizes),
        cmocka_unit_test(a_buffer_grows_up_to_its_maximum),
        cmocka_unit_test(a_buffer_without_memory_stays_as_it_was),
        cmocka_unit_test(varints_have_7_bits_per_byte),
        cmocka_unit_test(json_strings_are_escaped),
        cmocka_unit_test(the_state_hash_is_that_of_the_protocol),
        cmocka_unit_test(random_numbers_follow_the_seed),
        cmocka_unit_test(every_error_has_a_name_and_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

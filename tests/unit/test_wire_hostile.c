/* What a peer must not say in SEG and LIVE: every rule broken alone beside a message that is right; and garbage. */
#include "wire_raw.h"

/* ---- SEG: numbers ---- */
static struct raw *segment(uint64_t asof, uint64_t d_have, uint64_t d_asof, uint64_t r_have) {
    struct raw *r = raw_new();
    raw_number(r, 2, asof);
    raw_number(r, 3, d_have);
    raw_number(r, 4, d_asof);
    raw_number(r, 5, r_have);
    return r;
}

static void versions_do_not_wrap(void **state) {
    (void)state;
    GOOD(PR_SEGMENT, segment(10, 10, 0, 0));
    BAD(PR_SEGMENT, segment(10, 11, 0, 0));
    GOOD(PR_SEGMENT, segment(10, 0, UINT64_MAX - 10, 0));
    BAD(PR_SEGMENT, segment(10, 0, UINT64_MAX - 9, 0));
    GOOD(PR_SEGMENT, segment(10, 3, 5, 8));
    BAD(PR_SEGMENT, segment(10, 3, 5, 9)); /* x' < x */
    BAD(PR_SEGMENT, segment(UINT64_MAX, UINT64_MAX, 1, 0));
}

static struct raw *with_number(unsigned field, uint64_t value) {
    struct raw *r = segment(10, 0, 0, 0);
    raw_number(r, field, value);
    return r;
}

static void numbers_fit_their_type(void **state) {
    (void)state;
    GOOD(PR_SEGMENT, with_number(1, UINT32_MAX));
    BAD(PR_SEGMENT, with_number(1, 1ull << 32));
    GOOD(PR_SEGMENT, with_number(9, UINT32_MAX));
    BAD(PR_SEGMENT, with_number(9, 1ull << 32));
    BAD(PR_SEGMENT, with_number(6, 1)); /* removed as a number */
    GOOD(PR_SEGMENT, with_number(11, 1));
}

static struct raw *with_removed(uint64_t x, const uint64_t *values, size_t count) {
    struct raw *r = segment(x, 0, 100, 100);
    raw_varints(r, 6, values, count);
    return r;
}

static void removed_eids_ascend_to_x(void **state) {
    (void)state;
    GOOD(PR_SEGMENT, with_removed(10, (uint64_t[]){9 << 2 | 3}, 1));
    BAD(PR_SEGMENT, with_removed(10, (uint64_t[]){10 << 2}, 1));
    BAD(PR_SEGMENT, with_removed(0, (uint64_t[]){0}, 1));
    GOOD(PR_SEGMENT, with_removed(10, (uint64_t[]){0, 0, 7 << 2}, 3));
    BAD(PR_SEGMENT, with_removed(10, (uint64_t[]){0, 0, 8 << 2}, 3));
    BAD(PR_SEGMENT, with_removed(10, (uint64_t[]){9 << 2, 0}, 2));
    BAD(PR_SEGMENT, with_removed(10, (uint64_t[]){UINT64_MAX}, 1));
    BAD(PR_SEGMENT, with_removed(UINT64_MAX - 200, (uint64_t[]){UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, 4}, 5));
    struct raw *r = segment(10, 0, 0, 0);
    raw_bytes(r, 6, "\x80", 1); /* a varint without its end */
    BAD(PR_SEGMENT, r);
    r = segment(10, 0, 0, 0);
    raw_bytes(r, 6, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02", 10); /* over 64 bits */
    BAD(PR_SEGMENT, r);
}

/* ---- SEG: entities ---- */
struct up {
    uint64_t topic, back, gap, flags;
    const char *name, *key, *meta; /* NULL: absent */
};

static void add_up(struct raw *r, struct up up) {
    struct raw *e = raw_new();
    if (up.topic) raw_number(e, 1, up.topic);
    if (up.name) raw_text(e, 2, up.name);
    if (up.key) raw_text(e, 3, up.key);
    if (up.meta) raw_text(e, 4, up.meta);
    if (up.back) raw_number(e, 5, up.back);
    if (up.gap) raw_number(e, 6, up.gap);
    if (up.flags) raw_number(e, 7, up.flags);
    raw_bytes(r, 7, e->data, e->size);
    free(e);
}

/* (x 100, T 100) -> (x' 110, T' 110) */
static struct raw *with_ups(const struct up *ups, size_t count) {
    struct raw *r = segment(100, 0, 10, 0);
    for (size_t i = 0; i < count; i++) add_up(r, ups[i]);
    return r;
}

#define UPS(...) with_ups((struct up[]){__VA_ARGS__}, sizeof((struct up[]){__VA_ARGS__}) / sizeof(struct up))
#define FULL     .name = "t", .key = "k", .meta = "{}"
#define NEXT     .key = "k", .meta = "{}"
#define PATCH    .meta = "{}", .back = 5

static void dots_ascend_to_the_end(void **state) {
    (void)state;
    GOOD(PR_SEGMENT, UPS({FULL}));
    GOOD(PR_SEGMENT, UPS({FULL, .gap = 9}));
    BAD(PR_SEGMENT, UPS({FULL, .gap = 10}));
    GOOD(PR_SEGMENT, UPS({FULL, .gap = 8}, {NEXT}));
    BAD(PR_SEGMENT, UPS({FULL, .gap = 9}, {NEXT}));
    BAD(PR_SEGMENT, UPS({FULL, .gap = UINT64_MAX}));
    BAD(PR_SEGMENT, UPS({FULL}, {NEXT, .gap = UINT64_MAX}));
    GOOD(PR_SEGMENT, UPS({FULL, .back = 100}));
    BAD(PR_SEGMENT, UPS({FULL, .back = 101})); /* eid 0 */
    BAD(PR_SEGMENT, UPS({FULL, .back = UINT64_MAX}));
}

static void topics_are_defined_before_use(void **state) {
    (void)state;
    BAD(PR_SEGMENT, UPS({NEXT}));
    BAD(PR_SEGMENT, UPS({NEXT, .topic = 1}));
    BAD(PR_SEGMENT, UPS({PATCH}, {NEXT}));
    GOOD(PR_SEGMENT, UPS({PATCH}, {FULL}, {PATCH}, {NEXT}));
    GOOD(PR_SEGMENT, UPS({FULL}, {FULL}, {NEXT, .topic = 1}, {NEXT, .topic = 2}, {NEXT}));
    BAD(PR_SEGMENT, UPS({FULL}, {FULL}, {NEXT, .topic = 3}));
    BAD(PR_SEGMENT, UPS({FULL}, {NEXT, .topic = UINT64_MAX}));
    BAD(PR_SEGMENT, UPS({FULL}, {FULL, .topic = 1}));
    BAD(PR_SEGMENT, UPS({.name = "", .key = "k", .meta = "{}"}));
}

static void patches_are_only_patches(void **state) {
    (void)state;
    GOOD(PR_SEGMENT, UPS({PATCH}));
    GOOD(PR_SEGMENT, UPS({PATCH, .key = ""}));
    BAD(PR_SEGMENT, UPS({.meta = "{}"})); /* a patch of nothing older */
    BAD(PR_SEGMENT, UPS({FULL}, {PATCH, .topic = 1}));
    BAD(PR_SEGMENT, UPS({PATCH, .name = "t"}));
    BAD(PR_SEGMENT, UPS({PATCH, .name = ""}));
    BAD(PR_SEGMENT, UPS({.back = 5}));
    BAD(PR_SEGMENT, UPS({PATCH, .flags = 1}));
    BAD(PR_SEGMENT, UPS({FULL, .flags = 1ull << 32}));
}

static int with_texts(const char *topic, size_t topic_size, const char *key, size_t key_size, size_t meta_size) {
    struct raw *r = segment(100, 0, 10, 0), *e = raw_new();
    char *meta = malloc(meta_size + 1);
    assert_non_null(meta);
    memset(meta, ' ', meta_size);
    if (meta_size) meta[0] = '{', meta[meta_size - 1] = '}';
    raw_bytes(e, 2, topic, topic_size);
    raw_bytes(e, 3, key, key_size);
    raw_bytes(e, 4, meta, meta_size);
    raw_bytes(r, 7, e->data, e->size);
    free(meta);
    free(e);
    return raw_decode(PR_SEGMENT, r, NULL);
}

static void texts_are_within_their_limits(void **state) {
    (void)state;
    char a[256];
    memset(a, 'a', sizeof a);
    assert_int_equal(with_texts(a, 255, a, 255, 65535), 0);
    assert_int_equal(with_texts(a, 256, a, 255, 2), PRESENCE_EPROTOCOL);
    assert_int_equal(with_texts(a, 255, a, 256, 2), PRESENCE_EPROTOCOL);
    assert_int_equal(with_texts(a, 1, a, 1, 65536), PRESENCE_EPROTOCOL);
    assert_int_equal(with_texts(a, 1, a, 1, 1), PRESENCE_EPROTOCOL);
    assert_int_equal(with_texts(a, 1, a, 1, 0), PRESENCE_EPROTOCOL);
    assert_int_equal(with_texts("a\0b", 3, "k", 1, 2), PRESENCE_EPROTOCOL);
    assert_int_equal(with_texts("t", 1, "\xff", 1, 2), PRESENCE_EPROTOCOL);
    assert_int_equal(with_texts("\xed\xa0\x80", 3, "k", 1, 2), PRESENCE_EPROTOCOL); /* a surrogate */
    assert_int_equal(with_texts("t", 1, "\xc0\x80", 2, 2), PRESENCE_EPROTOCOL);     /* NUL, too long */
}

static void metas_are_objects_at_their_ends(void **state) {
    (void)state;
    BAD(PR_SEGMENT, UPS({.name = "t", .key = "k", .meta = "[]"}));
    BAD(PR_SEGMENT, UPS({.name = "t", .key = "k", .meta = "{]"}));
    BAD(PR_SEGMENT, UPS({.name = "t", .key = "k", .meta = " {}"}));
    BAD(PR_SEGMENT, UPS({.name = "t", .key = "k"}));
}

/* protobuf lets a peer write entities before the numbers they count from */
static void order_of_fields_is_free(void **state) {
    (void)state;
    pr_message out;
    struct raw *r = raw_new();
    add_up(r, (struct up){FULL, .gap = 2});
    raw_number(r, 4, 10);
    raw_varints(r, 6, (uint64_t[]){4 << 2}, 1);
    raw_number(r, 2, 99);
    raw_number(r, 2, 100); /* the last one counts */
    assert_int_equal(raw_decode(PR_SEGMENT, r, &out), 0);
    assert_int_equal(out.as.segment.x, 100);
    assert_int_equal(out.as.segment.x2, 110);
    assert_int_equal(out.as.segment.ups_size, 1);
    assert_int_equal(out.as.segment.removed_size, 1);
}

/* ---- LIVE ---- */
static struct raw *live(uint64_t version, uint64_t lo, uint64_t d_hi) {
    struct raw *r = raw_new();
    raw_number(r, 2, version);
    raw_number(r, 3, lo);
    raw_number(r, 4, d_hi);
    return r;
}

static struct raw *with_gaps(uint64_t lo, uint64_t d_hi, const uint64_t *gaps, size_t count) {
    struct raw *r = live(UINT64_MAX, lo, d_hi);
    raw_varints(r, 5, gaps, count);
    return r;
}

static struct raw *with_bits(uint64_t lo, uint64_t d_hi, const char *bits, size_t size) {
    struct raw *r = live(UINT64_MAX, lo, d_hi);
    raw_bytes(r, 6, bits, size);
    return r;
}

static void live_stays_in_its_range(void **state) {
    (void)state;
    GOOD(PR_LIVE, live(100, 50, 50));
    BAD(PR_LIVE, live(100, 50, 51)); /* beyond the version it speaks of */
    BAD(PR_LIVE, live(100, 101, 0));
    BAD(PR_LIVE, live(UINT64_MAX, 2, UINT64_MAX - 1));
    GOOD(PR_LIVE, with_gaps(50, 10, (uint64_t[]){9}, 1));
    BAD(PR_LIVE, with_gaps(50, 10, (uint64_t[]){10}, 1));
    GOOD(PR_LIVE, with_gaps(50, 10, (uint64_t[]){4, 4}, 2));
    BAD(PR_LIVE, with_gaps(50, 10, (uint64_t[]){4, 5}, 2));
    BAD(PR_LIVE, with_gaps(50, 10, (uint64_t[]){9, 0}, 2));
    BAD(PR_LIVE, with_gaps(50, 0, (uint64_t[]){0}, 1));
    BAD(PR_LIVE, with_gaps(50, 10, (uint64_t[]){UINT64_MAX}, 1));
    GOOD(PR_LIVE, with_bits(50, 10, "\xff\x03", 2));
    BAD(PR_LIVE, with_bits(50, 10, "\xff\x04", 2));
    BAD(PR_LIVE, with_bits(50, 10, "\xff\xff\xff", 3));
    GOOD(PR_LIVE, with_bits(50, 8, "\xff\x00", 2));
    struct raw *both = with_gaps(50, 10, (uint64_t[]){0}, 1);
    raw_bytes(both, 6, "\x01", 1);
    BAD(PR_LIVE, both);
    struct raw *big = live(100, 0, 0);
    raw_number(big, 1, 1ull << 32);
    BAD(PR_LIVE, big);
}

/* ---- lengths that lie, and garbage ---- */
static void lengths_are_checked_before_use(void **state) {
    (void)state;
    static const uint8_t field_of[] = {0, 1, 8, 7, 5, 2, 15, 3, 15, 15, 2, 3, 15};
    static const uint64_t lies[] = {1, 127, 65536, UINT32_MAX, 1ull << 40, UINT64_MAX - 10, UINT64_MAX};
    for (uint8_t type = 1; type <= 12; type++)
        for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
            struct raw *r = raw_new();
            uint8_t *at = pr_put_varint(r->data, PR_TAG(field_of[type], PR_FIELD_BYTES));
            r->size = (size_t)(pr_put_varint(at, lies[i]) - r->data);
            BAD(type, r);
        }
}

static void malformed_protobuf_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *data;
        size_t size;
    } all[] = {{"\x00", 1}, {"\x00\x01", 2},     {"\x07\x01", 2},     {"\x0b", 1},     {"\x0c", 1},
               {"\x80", 1}, {"\x79\x01\x02", 3}, {"\x7d\x01\x02", 3}, {"\x78\xff", 2}, {"\x7a\x05\x01", 3}};
    for (uint8_t type = 1; type <= 12; type++)
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
            struct raw *r = raw_new();
            memcpy(r->data, all[i].data, r->size = all[i].size);
            BAD(type, r);
        }
}

static void garbage_never_crashes(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    sample *s = sample_new(99);
    uint8_t *data = malloc(300);
    assert_non_null(data);
    for (int i = 0; i < 100000; i++) {
        size_t size = (size_t)sample_below(s, 300);
        for (size_t j = 0; j < size; j++) data[j] = (uint8_t)(sample_number(s) & (j % 3 ? 0xff : 0x7f));
        pr_frame_in frame = {.type = (uint8_t)(1 + i % 12), .payload = data + 300 - size, .size = size};
        memmove(data + 300 - size, data, size);
        int result = pr_decode(pair.decoder, &frame, &pair.out);
        assert_true(result == 0 || result == PRESENCE_EPROTOCOL);
    }
    free(data);
    free(s);
    wire_pair_close(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_do_not_wrap),           cmocka_unit_test(numbers_fit_their_type),
        cmocka_unit_test(removed_eids_ascend_to_x),       cmocka_unit_test(dots_ascend_to_the_end),
        cmocka_unit_test(topics_are_defined_before_use),  cmocka_unit_test(patches_are_only_patches),
        cmocka_unit_test(texts_are_within_their_limits),  cmocka_unit_test(metas_are_objects_at_their_ends),
        cmocka_unit_test(order_of_fields_is_free),        cmocka_unit_test(live_stays_in_its_range),
        cmocka_unit_test(lengths_are_checked_before_use), cmocka_unit_test(malformed_protobuf_is_refused),
        cmocka_unit_test(garbage_never_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

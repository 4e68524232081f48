/* UTF-8, names, metas and refs: tables of what is taken and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hash.h"
#include "json_quick.h"
#include "text.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define BYTES(text)                                                                                                    \
    { text, sizeof(text) - 1 }

static void utf8_that_is_well_formed(void **state) {
    static const presence_str good[] = {
        BYTES(""),
        BYTES("plain ascii \x01\x1f\x7f"),
        BYTES("\xc2\x80"),         /* first of two bytes */
        BYTES("\xdf\xbf"),         /* last of two */
        BYTES("\xe0\xa0\x80"),     /* first of three */
        BYTES("\xed\x9f\xbf"),     /* last before the surrogates */
        BYTES("\xee\x80\x80"),     /* first after them */
        BYTES("\xef\xbf\xbf"),     /* a noncharacter is a scalar value */
        BYTES("\xf0\x90\x80\x80"), /* first of four */
        BYTES("\xf4\x8f\xbf\xbf"), /* U+10FFFF */
        BYTES("\xf0\x9f\x98\x80 mixed \xc3\xa4"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!pr_utf8_valid(good[i])) fail_msg("good text %zu was refused", i);
}

static void utf8_that_is_not(void **state) {
    static const presence_str bad[] = {
        BYTES("nul\0"),
        BYTES("\x80"),                 /* a continuation alone */
        BYTES("\xbf"),                 /* likewise */
        BYTES("\xc0\x80"),             /* overlong NUL */
        BYTES("\xc1\xbf"),             /* overlong */
        BYTES("\xe0\x9f\xbf"),         /* overlong */
        BYTES("\xf0\x8f\xbf\xbf"),     /* overlong */
        BYTES("\xed\xa0\x80"),         /* surrogate */
        BYTES("\xed\xbf\xbf"),         /* surrogate */
        BYTES("\xf4\x90\x80\x80"),     /* above U+10FFFF */
        BYTES("\xf5\x80\x80\x80"),     /* no such lead */
        BYTES("\xff"),                 /* never */
        BYTES("a\xc3"),                /* cut */
        BYTES("a\xe2\x82"),            /* cut */
        BYTES("a\xf0\x9f\x98"),        /* cut */
        BYTES("\xc3z"),                /* no continuation */
        BYTES("\xe2\x82z"),            /* no continuation */
        BYTES("\xf0\x9f\x98z"),        /* no continuation */
        BYTES("\xf8\x88\x80\x80\x80"), /* five bytes */
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (pr_utf8_valid(bad[i])) fail_msg("bad text %zu was taken", i);
}

/* Every value of one, two and three bytes against the definition by code point. */
static bool by_code_point(const unsigned char *p, size_t size) {
    uint32_t lead_bits = size == 1 ? 0x7F : size == 2 ? 0x1F : 0x0F, point = p[0] & lead_bits;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0}, mask[] = {0, 0x80, 0xE0, 0xF0};
    static const uint32_t least[] = {0, 1, 0x80, 0x800};
    if ((p[0] & mask[size]) != lead[size]) return false;
    for (size_t i = 1; i < size; i++) {
        if ((p[i] & 0xC0) != 0x80) return false;
        point = point << 6 | (p[i] & 0x3Fu);
    }
    return point >= least[size] && (point < 0xD800 || point > 0xDFFF);
}

static void utf8_of_up_to_three_bytes_follows_the_definition(void **state) {
    (void)state;
    for (uint32_t v = 0; v < 1u << 24; v++) {
        unsigned char p[3] = {(unsigned char)(v >> 16), (unsigned char)(v >> 8), (unsigned char)v};
        bool three = by_code_point(p, 3), one = by_code_point(p, 1);
        bool valid = three || (one && by_code_point(p + 1, 2)) || (by_code_point(p, 2) && by_code_point(p + 2, 1)) ||
                     (one && by_code_point(p + 1, 1) && by_code_point(p + 2, 1));
        if (pr_utf8_valid(pr_str((char *)p, 3)) != valid) fail_msg("%06x", v);
    }
}

static void names_have_1_to_255_bytes(void **state) {
    char text[257];
    (void)state;
    memset(text, 'x', sizeof text);
    assert_int_equal(pr_check_topic(pr_str(text, 0)), PRESENCE_ETOPIC);
    assert_int_equal(pr_check_topic(pr_str(NULL, 0)), PRESENCE_ETOPIC);
    assert_int_equal(pr_check_topic(pr_str(NULL, 3)), PRESENCE_ETOPIC);
    assert_int_equal(pr_check_topic(pr_str(text, 1)), 0);
    assert_int_equal(pr_check_topic(pr_str(text, 255)), 0);
    assert_int_equal(pr_check_topic(pr_str(text, 256)), PRESENCE_ETOPIC);
    assert_int_equal(pr_check_key(pr_str(text, 0)), PRESENCE_EKEY);
    assert_int_equal(pr_check_key(pr_str(text, 255)), 0);
    assert_int_equal(pr_check_key(pr_str(text, 256)), PRESENCE_EKEY);
    assert_int_equal(pr_check_key(pr_str("a\0b", 3)), PRESENCE_EKEY);
    assert_int_equal(pr_check_key(pr_cstr("\xed\xa0\x80")), PRESENCE_EKEY);
}

static void metas_that_are_taken(void **state) {
    static const presence_str good[] = {
        BYTES("{}"),
        BYTES(" \t\r\n{ \t\r\n} \t\r\n"),
        BYTES("{\"a\":1}"),
        BYTES("{\"\":\"\"}"),
        BYTES("{\"a\":[],\"b\":{},\"c\":null,\"d\":true,\"e\":false}"),
        BYTES("{\"big\":123456789012345678901234567890,\"small\":-9223372036854775809}"),
        BYTES("{\"n\":[0,-0,1.5,-1.5e-10,1E+10,2e5]}"),
        BYTES("{\"nul\":\"a\\u0000b\"}"),
        BYTES("{\"esc\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\ud83d\\ude00\"}"),
        BYTES("{\"utf\":\"\xf0\x9f\x98\x80\xc3\xa4\x7f\"}"),
        BYTES("{\"deeper\":{\"phx_ref\":1,\"phx_ref_prev\":2}}"), /* reserved at the top only */
        BYTES("{\"phx_reference\":1,\"Phx_ref\":2}"),
        BYTES("{\"a\":{\"x\":1},\"b\":{\"x\":1}}"), /* one name in two objects */
        BYTES("{\"brackets\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[{{{{{{{\"}"),
        BYTES("{\"__proto__\":{\"x\":1},\"constructor\":2}"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const char *why = NULL;
        if (pr_check_meta(good[i], PR_META_MAX, &why)) fail_msg("good meta %zu was refused: %s", i, why);
        assert_string_equal(why, "");
        assert_int_equal(pr_check_meta(good[i], PR_META_MAX, NULL), 0);
    }
}

static void metas_that_are_refused(void **state) {
    static const presence_str bad[] = {
        BYTES(""),
        BYTES(" "),
        BYTES("[]"),
        BYTES("null"),
        BYTES("1"),
        BYTES("\"a\""),
        BYTES("{"),
        BYTES("}"),
        BYTES("{]"),
        BYTES("{\"a\"}"),
        BYTES("{\"a\":}"),
        BYTES("{\"a\":1,}"),
        BYTES("{,}"),
        BYTES("{a:1}"),
        BYTES("{'a':1}"),
        BYTES("{\"a\":1 \"b\":2}"),
        BYTES("{\"a\":[1,]}"),
        BYTES("{}x"),
        BYTES("{}{}"),
        BYTES("{} //"),
        BYTES("\xef\xbb\xbf{}"), /* byte order mark */
        BYTES("{}\0"),
        BYTES("{\"a\":\"\0\"}"),
        BYTES("{\"a\":1\0,\"b\":2}"), /* which the parser reads over */
        BYTES("{\"a\":NaN}"),
        BYTES("{\"a\":nan}"),
        BYTES("{\"a\":Infinity}"),
        BYTES("{\"a\":-Infinity}"),
        BYTES("{\"a\":01}"),
        BYTES("{\"a\":+1}"),
        BYTES("{\"a\":1.}"),
        BYTES("{\"a\":.5}"),
        BYTES("{\"a\":1e}"),
        BYTES("{\"a\":-}"),
        BYTES("{\"a\":0x10}"),
        BYTES("{\"a\":tru}"),
        BYTES("{\"a\":True}"),
        BYTES("{\"a\":\"\n\"}"),      /* a raw control character */
        BYTES("{\"a\":\"\x1f\"}"),    /* likewise */
        BYTES("{\"a\":\"\\x\"}"),     /* unknown escape */
        BYTES("{\"a\":\"\\u12\"}"),   /* short escape */
        BYTES("{\"a\":\"\\u12g4\"}"), /* no digit */
        BYTES("{\"a\":\"\\ud800\"}"), /* half a pair */
        BYTES("{\"a\":\"\\udc00\"}"), /* the other half */
        BYTES("{\"a\":\"\\ud800\\u0041\"}"),
        BYTES("{\"a\":\"\\ud800x\"}"),
        BYTES("{\"a\":\"\xff\"}"),
        BYTES("{\"a\":\"\xc0\x80\"}"),
        BYTES("{\"a\":\"\xed\xa0\x80\"}"),
        BYTES("{\"a\":\"unterminated}"),
        BYTES("{\"a\":\"\\\"}"),
        BYTES("{\"a\":1,\"a\":2}"),
        BYTES("{\"a\":1,\"\\u0061\":2}"), /* the same name, written otherwise */
        BYTES("{\"x\":[{\"a\":1,\"b\":2,\"a\":1}]}"),
        BYTES("{\"a\\u0000b\":1}"), /* NUL in a name */
        BYTES("{\"phx_ref\":\"x\"}"),
        BYTES("{\"phx_ref_prev\":null}"),
        BYTES("{\"phx\\u005fref\":1}"), /* the same name, written otherwise */
        BYTES("{\"a\":1,\"phx_ref\":{}}"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *why = NULL;
        if (pr_check_meta(bad[i], PR_META_MAX, &why) != PRESENCE_EMETA)
            fail_msg("bad meta %zu was taken: %.*s", i, (int)bad[i].size, bad[i].data);
        assert_true(why && *why);
    }
}

static presence_str nested(char *text, int depth, const char *open, const char *close) {
    char *at = text;
    at += strlen(strcpy(at, "{\"a\":"));
    for (int i = 1; i < depth; i++) at += strlen(strcpy(at, open));
    at += strlen(strcpy(at, "1"));
    for (int i = 1; i < depth; i++) at += strlen(strcpy(at, close));
    at += strlen(strcpy(at, "}"));
    return pr_str(text, (size_t)(at - text));
}

static void metas_are_at_most_32_deep(void **state) {
    char *text = malloc(70000);
    (void)state;
    assert_int_equal(pr_check_meta(nested(text, 32, "[", "]"), PR_META_MAX, NULL), 0);
    assert_int_equal(pr_check_meta(nested(text, 33, "[", "]"), PR_META_MAX, NULL), PRESENCE_EMETA);
    assert_int_equal(pr_check_meta(nested(text, 32, "{\"b\":", "}"), PR_META_MAX, NULL), 0);
    assert_int_equal(pr_check_meta(nested(text, 33, "{\"b\":", "}"), PR_META_MAX, NULL), PRESENCE_EMETA);
    assert_int_equal(pr_check_meta(nested(text, 30000, "[", "]"), PR_META_MAX, NULL), PRESENCE_EMETA);
    memset(text, '[', 65535);
    assert_int_equal(pr_check_meta(pr_str(text, 65535), PR_META_MAX, NULL), PRESENCE_EMETA);
    free(text);
}

static void metas_have_a_size_limit(void **state) {
    char *text = malloc(PR_META_MAX + 1);
    (void)state;
    memset(text, ' ', PR_META_MAX + 1);
    text[0] = '{', text[PR_META_MAX - 1] = '}';
    assert_int_equal(pr_check_meta(pr_str(text, PR_META_MAX), PR_META_MAX, NULL), 0);
    assert_int_equal(pr_check_meta(pr_str(text, PR_META_MAX + 1), PR_META_MAX, NULL), PRESENCE_ELIMIT);
    assert_int_equal(pr_check_meta(pr_cstr("{\"a\":1}"), 6, NULL), PRESENCE_ELIMIT);
    assert_int_equal(pr_check_meta(pr_cstr("{\"a\":1}"), 7, NULL), 0);
    free(text);
}

/* Cutting or changing one byte of a meta never crashes, and a cut one is never taken. */
static void damaged_metas_are_survived(void **state) {
    static const char meta[] =
        "{\"s\":\"\\ud83d\\ude00 \xf0\x9f\x98\x80\",\"n\":[-1.5e+3,{\"t\":true}],\"\\u00e4\":null}";
    uint64_t seed = 5;
    (void)state;
    for (size_t cut = 0; cut < sizeof meta - 1; cut++) {
        char *copy = malloc(cut + 1); /* exact, so that a sanitizer sees reading past the end */
        memcpy(copy, meta, cut);
        assert_int_equal(pr_check_meta(pr_str(copy, cut), PR_META_MAX, NULL), PRESENCE_EMETA);
        free(copy);
    }
    for (int i = 0; i < 20000; i++) {
        char *copy = malloc(sizeof meta - 1);
        memcpy(copy, meta, sizeof meta - 1);
        for (int n = 0; n < 1 + i % 3; n++)
            copy[pr_random_next(&seed) % (sizeof meta - 1)] = (char)pr_random_next(&seed);
        int result = pr_check_meta(pr_str(copy, sizeof meta - 1), PR_META_MAX, NULL);
        assert_true(!result || result == PRESENCE_EMETA);
        free(copy);
    }
}

/* What the parser says, with the rules that are not its own left out. */
static bool parser_takes(presence_str meta) {
    json_t *root =
        json_loadb(meta.data, meta.size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    bool good = json_is_object(root) && !json_object_get(root, "phx_ref") && !json_object_get(root, "phx_ref_prev");
    json_decref(root);
    return good;
}

/* A meta made of the pieces that matter, mostly well formed. */
static presence_str random_json(uint64_t *seed, char *text) {
    static const char *const pieces[] = {
        "{",           "}",    "[",   "]",    ",",    ":",    "\"a\"",        "\"b\"",
        "\"phx_ref\"", "true", "nul", "null", "12",   "-0.5", "01",           "1.",
        "1e5",         "-",    " ",   "\t",   "\"\"", "\n",   "\"\xc3\xa4\"", "\"\\u0061\"",
        "\"\xff\"",    "false"};
    size_t size = 0, n = 1 + pr_random_next(seed) % 14;
    text[size++] = '{';
    for (size_t i = 0; i < n; i++) {
        bool pair = pr_random_next(seed) % 2;
        if (pair) size += strlen(strcpy(text + size, i % 2 ? ",\"c\":" : "\"d\":"));
        const char *piece = pieces[pr_random_next(seed) % (sizeof pieces / sizeof *pieces)];
        size += strlen(strcpy(text + size, piece));
    }
    text[size++] = '}';
    return pr_str(text, size);
}

static void the_quick_look_never_takes_what_the_parser_refuses(void **state) {
    uint64_t seed = 11;
    size_t taken = 0;
    char text[400];
    (void)state;
    for (int i = 0; i < 300000; i++) {
        presence_str meta = random_json(&seed, text);
        char *copy = malloc(meta.size); /* exact, for the sanitizer */
        memcpy(copy, meta.data, meta.size);
        meta.data = copy;
        bool quick = pr_json_quick(meta);
        if (quick && !parser_takes(meta)) fail_msg("taken: %.*s", (int)meta.size, meta.data);
        taken += quick;
        free(copy);
    }
    assert_true(taken > 1000);
    assert_true(pr_json_quick(pr_cstr("{\"status\":\"online\",\"n\":[1,{\"status\":-2.5}],\"z\":{}}")));
    assert_true(pr_json_quick(pr_cstr("{\"n\":{\"z\":1},\"z\":2}"))); /* names of a closed object are free again */
    assert_false(pr_json_quick(pr_cstr("{\"a\":1}x")));
}

/* Texts are looked at eight bytes at a time: what matters is seen wherever it stands. */
static void every_byte_is_seen_at_every_place(void **state) {
    (void)state;
    for (size_t size = 1; size <= 26; size++)
        for (size_t at = 0; at < size; at++)
            for (unsigned c = 0; c < 256; c++) {
                char text[40] = "{\"n\":\"";
                size_t start = strlen(text);
                memset(text + start, 'a', size);
                text[start + at] = (char)c;
                memcpy(text + start + size, "\"}", 2);
                bool plain = c >= 0x20 && c != '"' && c != '\\' && c < 0x80;
                assert_int_equal(pr_json_quick(pr_str(text, start + size + 2)), plain);
                assert_int_equal(pr_utf8_valid(pr_str(text + start, size)), c && c < 0x80);
            }
}

static void refs_are_22_characters_and_come_back(void **state) {
    uint64_t seed = 1, inst, dot;
    presence_ref ref;
    (void)state;
    pr_ref_format(&ref, 0x0123456789abcdefull, 0xfedcba9876543210ull);
    assert_string_equal(ref.text, "ASNFZ4mrze_-3LqYdlQyEA");
    pr_ref_format(&ref, UINT64_MAX, UINT64_MAX);
    assert_string_equal(ref.text, "_____________________w");
    for (int i = 0; i < 10000; i++) {
        uint64_t a = pr_random_next(&seed), b = pr_random_next(&seed) >> pr_random_next(&seed) % 64;
        pr_ref_format(&ref, a, b);
        assert_int_equal(strlen(ref.text), 22);
        assert_true(pr_ref_parse(pr_cstr(ref.text), &inst, &dot));
        assert_int_equal(inst, a);
        assert_int_equal(dot, b);
    }
}

static void other_texts_are_no_refs(void **state) {
    static const char *const bad[] = {"",
                                      "ASNFZ4mrze_-3LqYdlQyE",
                                      "ASNFZ4mrze_-3LqYdlQyEAA",
                                      "ASNFZ4mrze_-3LqYdlQyEB", /* bits left over */
                                      "ASNFZ4mrze+-3LqYdlQyEA",
                                      "ASNFZ4mrze/-3LqYdlQyEA",
                                      "ASNFZ4mrze_-3LqYdlQyE=",
                                      " SNFZ4mrze_-3LqYdlQyEA"};
    uint64_t inst, dot;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(pr_ref_parse(pr_cstr(bad[i]), &inst, &dot));
}

static void strings_compare_by_bytes(void **state) {
    (void)state;
    assert_true(pr_str_compare(pr_cstr("a"), pr_cstr("b")) < 0);
    assert_true(pr_str_compare(pr_cstr("b"), pr_cstr("a")) > 0);
    assert_true(pr_str_compare(pr_cstr("a"), pr_cstr("ab")) < 0);
    assert_true(pr_str_compare(pr_cstr("\x7f"), pr_cstr("\x80")) < 0);
    assert_int_equal(pr_str_compare(pr_str(NULL, 0), pr_cstr("")), 0);
    assert_true(pr_str_equal(pr_str(NULL, 0), pr_cstr("")));
    assert_false(pr_str_equal(pr_cstr("a"), pr_cstr("ab")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_that_is_well_formed),
        cmocka_unit_test(utf8_that_is_not),
        cmocka_unit_test(utf8_of_up_to_three_bytes_follows_the_definition),
        cmocka_unit_test(names_have_1_to_255_bytes),
        cmocka_unit_test(metas_that_are_taken),
        cmocka_unit_test(metas_that_are_refused),
        cmocka_unit_test(metas_are_at_most_32_deep),
        cmocka_unit_test(metas_have_a_size_limit),
        cmocka_unit_test(damaged_metas_are_survived),
        cmocka_unit_test(the_quick_look_never_takes_what_the_parser_refuses),
        cmocka_unit_test(every_byte_is_seen_at_every_place),
        cmocka_unit_test(refs_are_22_characters_and_come_back),
        cmocka_unit_test(other_texts_are_no_refs),
        cmocka_unit_test(strings_compare_by_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

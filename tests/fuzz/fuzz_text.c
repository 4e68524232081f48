/* Any bytes as a name and as a ref: the UTF-8 check agrees with another implementation, refs survive a round trip. */
#include "buffer.h"
#include "fuzz_input.h"
#include "text.h"
#include <jansson.h>

/* jansson knows UTF-8 too; a NUL is a byte like any other to it, but not to us */
static bool jansson_takes(presence_str s) {
    json_t *string = s.size ? json_stringn(s.data, s.size) : NULL;
    json_decref(string);
    return string != NULL && !memchr(s.data, 0, s.size);
}

static void take_escaped(presence_str s) {
    pr_alloc alloc = pr_alloc_default();
    pr_buffer out;
    pr_buffer_init(&out, &alloc, (size_t)1 << 24);
    pr_buffer_json_string(&out, s);
    REQUIRE(!out.failed);
    json_error_t error;
    json_t *back = json_loadb((const char *)out.data, out.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    REQUIRE(back != NULL && pr_str_equal(s, pr_str(json_string_value(back), json_string_length(back))));
    json_decref(back);
    pr_buffer_free(&out);
}

static void take_ref(presence_str s) {
    uint64_t inst = 0, dot = 0;
    presence_ref ref;
    if (!pr_ref_parse(s, &inst, &dot)) return;
    pr_ref_format(&ref, inst, dot);
    REQUIRE(pr_str_equal(s, pr_cstr(ref.text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = malloc(size ? size : 1); /* of just its size */
    REQUIRE(copy != NULL);
    if (size) memcpy(copy, data, size);
    presence_str s = pr_str(copy, size);
    bool valid = pr_utf8_valid(s);
    if (size) REQUIRE(valid == jansson_takes(s));
    REQUIRE((pr_check_topic(s) == 0) == (valid && size >= 1 && size <= PR_TOPIC_MAX));
    REQUIRE((pr_check_key(s) == 0) == (valid && size >= 1 && size <= PR_KEY_MAX));
    if (valid) take_escaped(s);
    take_ref(s);
    free(copy);
    return 0;
}

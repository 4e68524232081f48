/* Any bytes as a meta: what the check takes, the quick one too, is JSON for a real parser, and the JSON written from it
 * is whole. A peer's metas are only known to begin and end with a brace: writing those must not read wrong bytes. */
#include "fuzz_input.h"
#include "json_quick.h"
#include "snapshot.h"
#include <jansson.h>

#define FLAGS (JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL)

/* ---- RFC 8259, recognized by nothing but its grammar ---- */

typedef struct strict {
    const char *at, *end;
} strict;

static bool is(strict *s, const char *set) { return s->at < s->end && *s->at && strchr(set, *s->at); }

static bool eat(strict *s, const char *set) {
    if (!is(s, set)) return false;
    s->at++;
    return true;
}

static void blanks(strict *s) {
    while (eat(s, " \t\r\n")) continue;
}

static bool digits(strict *s) {
    if (!is(s, "0123456789")) return false;
    while (eat(s, "0123456789")) continue;
    return true;
}

static bool number(strict *s) {
    eat(s, "-");
    if (!eat(s, "0") && !digits(s)) return false;
    if (eat(s, ".") && !digits(s)) return false;
    if (!eat(s, "eE")) return true;
    eat(s, "+-");
    return digits(s);
}

static bool string(strict *s) {
    if (!eat(s, "\"")) return false;
    while (s->at < s->end && *s->at != '"') {
        if ((unsigned char)*s->at < 0x20) return false;
        if (*s->at++ != '\\') continue;
        if (eat(s, "u")) {
            for (int i = 0; i < 4; i++)
                if (!eat(s, "0123456789abcdefABCDEF")) return false;
        } else if (!eat(s, "\"\\/bfnrt")) {
            return false;
        }
    }
    return eat(s, "\"");
}

static bool word(strict *s, const char *text) {
    size_t size = strlen(text);
    if ((size_t)(s->end - s->at) < size || memcmp(s->at, text, size)) return false;
    s->at += size;
    return true;
}

static bool value(strict *s, int depth);

static bool container(strict *s, bool object, int depth) {
    const char *close = object ? "}" : "]";
    if (depth > PR_META_DEPTH) return false;
    blanks(s);
    if (eat(s, close)) return true;
    do {
        blanks(s);
        if (object) {
            if (!string(s)) return false;
            blanks(s);
            if (!eat(s, ":")) return false;
        }
        if (!value(s, depth)) return false;
    } while (eat(s, ","));
    return eat(s, close);
}

static bool value(strict *s, int depth) {
    blanks(s);
    bool ok = eat(s, "{")   ? container(s, true, depth + 1)
              : eat(s, "[") ? container(s, false, depth + 1)
              : is(s, "\"") ? string(s)
                            : word(s, "true") || word(s, "false") || word(s, "null") || number(s);
    blanks(s);
    return ok;
}

static bool strictly_json(presence_str text) {
    strict s = {text.data, text.data + text.size};
    return value(&s, 0) && s.at == s.end;
}

/* ---- what is written ---- */

/* One key of two metas and one of one, as JSON text. */
static void write_rows(const pr_alloc *alloc, presence_str key, presence_str meta, pr_buffer *out) {
    pr_rows *rows = calloc(1, sizeof *rows + 3 * sizeof(pr_row));
    REQUIRE(rows != NULL);
    rows->alloc = alloc;
    rows->size = 3;
    for (size_t i = 0; i < 3; i++)
        rows->rows[i] = (pr_row){.topic = {"t", 1},
                                 .key = i < 2 ? key : pr_cstr("z"),
                                 .meta = meta,
                                 .member = {"m", 1},
                                 .inst = 7,
                                 .eid = i + 1,
                                 .dot = i + 5,
                                 .prev_dot = i};
    pr_rows_json(rows, out);
    free(rows);
}

/* The text names the key once, with both metas, each with its ref beside what the user wrote. */
static void check_text(const pr_buffer *out, presence_str key, presence_str meta) {
    REQUIRE(strictly_json(pr_str((const char *)out->data, out->size)));
    json_error_t error;
    json_t *all = json_loadb((const char *)out->data, out->size, FLAGS, &error);
    REQUIRE(all != NULL);
    json_t *metas = json_object_get(json_object_getn(all, key.data, key.size), "metas");
    REQUIRE(json_array_size(metas) == (pr_str_equal(key, pr_cstr("z")) ? 3 : 2));
    json_t *own = json_loadb(meta.data, meta.size, FLAGS, &error), *first = json_array_get(metas, 0);
    REQUIRE(own != NULL && json_object_size(first) == json_object_size(own) + 1);
    REQUIRE(json_object_size(json_array_get(metas, 1)) == json_object_size(own) + 2);
    json_decref(own);
    json_decref(all);
}

static void take(presence_str key, presence_str meta) {
    const char *why = "unset";
    int rc = pr_check_meta(meta, PR_META_MAX, &why);
    REQUIRE(rc == 0 || (rc == PRESENCE_EMETA && *why) || (rc == PRESENCE_ELIMIT && meta.size > PR_META_MAX));
    if (rc == 0 || pr_json_quick(meta)) {
        json_error_t error;
        json_t *root = json_loadb(meta.data, meta.size, FLAGS, &error);
        REQUIRE(rc == 0 && json_is_object(root) && pr_utf8_valid(meta) && strictly_json(meta));
        REQUIRE(!json_object_get(root, "phx_ref") && !json_object_get(root, "phx_ref_prev"));
        json_decref(root);
    }
    bool braces = meta.size >= 2 && meta.data[0] == '{' && meta.data[meta.size - 1] == '}';
    if (pr_check_key(key) || (rc && !braces)) return;
    pr_alloc alloc = pr_alloc_default();
    pr_buffer out;
    pr_buffer_init(&out, &alloc, (size_t)1 << 24);
    write_rows(&alloc, key, meta, &out);
    REQUIRE(!out.failed);
    if (rc == 0) check_text(&out, key, meta);
    pr_buffer_free(&out);
}

/* a length, so many bytes of key, then the meta */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    size_t key_size = fuzz_below(&in, 40);
    presence_str key = fuzz_bytes(&in, key_size), meta = fuzz_bytes(&in, in.size);
    char *copy = malloc(meta.size ? meta.size : 1); /* of just its size */
    REQUIRE(copy != NULL);
    if (meta.size) memcpy(copy, meta.data, meta.size);
    take(key, pr_str(copy, meta.size));
    free(copy);
    return 0;
}

/* The check of metas: one JSON object, of limited depth, without duplicate or reserved names. */
#include "json_quick.h"
#include "text.h"
#include <jansson.h>
#include <string.h>

/* Depth of brackets outside strings, so that the parser is never asked to recurse deeper than it should. */
static size_t nesting(presence_str s) {
    size_t depth = 0, deepest = 0;
    bool quoted = false;
    for (size_t i = 0; i < s.size; i++) {
        char c = s.data[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > deepest) deepest = depth;
        } else if ((c == '}' || c == ']') && depth) {
            depth--;
        }
    }
    return deepest;
}

static const char *describe(const json_error_t *error) {
    switch (json_error_code(error)) {
    case json_error_invalid_utf8: return "not UTF-8";
    case json_error_duplicate_key: return "a name occurs twice in one object";
    case json_error_null_byte_in_key:
    case json_error_null_character: return "a NUL character in a name";
    case json_error_end_of_input_expected: return "text after the object";
    case json_error_premature_end_of_input: return "the text ends too early";
    case json_error_numeric_overflow: return "a number is too large";
    default: return "not valid JSON";
    }
}

/* The parser does not tell a token for which it had no memory from a wrong one. */
static bool has_memory(void) {
    json_t *some = json_array();
    json_decref(some);
    return some != NULL;
}

static int parse_once(presence_str meta, const char **why) {
    json_error_t error;
    /* integers as reals: any number of digits is fine, their value is never used */
    json_t *root =
        json_loadb(meta.data, meta.size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    int result = 0;
    if (!root) {
        *why = describe(&error);
        return json_error_code(&error) == json_error_out_of_memory ? PRESENCE_ENOMEM : PRESENCE_EMETA;
    }
    if (!json_is_object(root)) {
        *why = "not a JSON object";
        result = PRESENCE_EMETA;
    } else if (json_object_get(root, "phx_ref") || json_object_get(root, "phx_ref_prev")) {
        *why = "phx_ref and phx_ref_prev are reserved";
        result = PRESENCE_EMETA;
    }
    json_decref(root);
    return result;
}

/* What is refused while there is memory is refused once more, then it is wrong. */
static int parse(presence_str meta, const char **why) {
    int result = parse_once(meta, why);
    if (result != PRESENCE_EMETA) return result;
    return has_memory() ? parse_once(meta, why) : PRESENCE_ENOMEM;
}

int pr_check_meta(presence_str meta, size_t max, const char **why) {
    const char *ignored;
    if (!why) why = &ignored;
    *why = "";
    if (meta.size > max) {
        *why = "too many bytes";
        return PRESENCE_ELIMIT;
    }
    if (meta.size < 2 || !meta.data) {
        *why = "not a JSON object";
        return PRESENCE_EMETA;
    }
    if (pr_json_quick(meta)) return 0;
    if (memchr(meta.data, 0, meta.size)) { /* the parser reads over one that follows a number */
        *why = "a NUL character";
        return PRESENCE_EMETA;
    }
    if (nesting(meta) > PR_META_DEPTH) {
        *why = "nested more than 32 deep";
        return PRESENCE_EMETA;
    }
    return parse(meta, why);
}

/* One pass over a JSON object without allocating: whatever is rare (escapes, exponents, long numbers, many names) or
 * wrong makes it unsure, and the parser decides. */
#include "json_quick.h"
#include "text.h"
#include <endian.h>
#include <stddef.h>
#include <string.h>

#define QUICK_NAMES  24 /* of all open objects */
#define QUICK_DIGITS 17

typedef struct quick {
    const char *at, *end;
    bool ascii;
    int depth;
    bool object[PR_META_DEPTH + 1];      /* by depth: object or array */
    uint8_t names_at[PR_META_DEPTH + 1]; /* by depth: the first name of the object */
    uint8_t names_size;
    presence_str names[QUICK_NAMES];
} quick;

static void skip_space(quick *q) {
    if (q->at < q->end && (unsigned char)*q->at > ' ') return;
    while (q->at < q->end && (*q->at == ' ' || *q->at == '\n' || *q->at == '\r' || *q->at == '\t')) q->at++;
}

static bool take(quick *q, char c) {
    if (q->at == q->end || *q->at != c) return false;
    q->at++;
    return true;
}

#define EACH 0x0101010101010101ull
#define TOPS 0x8080808080808080ull

/* A top bit for the first byte that is `c`; bits above it mean nothing. */
static uint64_t first_of(uint64_t word, unsigned char c) {
    uint64_t x = word ^ EACH * c;
    return (x - EACH) & ~x & TOPS;
}

/* Skips bytes of a string that need no look, eight at a time. */
static const char *skip_plain(const char *at, const char *end) {
    for (uint64_t word; end - at >= (ptrdiff_t)sizeof word; at += sizeof word) {
        memcpy(&word, at, sizeof word);
        word = le64toh(word);
        uint64_t control = (word - EACH * 0x20) & ~word & TOPS;
        uint64_t stops = first_of(word, '"') | first_of(word, '\\') | control | (word & TOPS);
        if (stops) return at + (__builtin_ctzll(stops) >> 3);
    }
    return at;
}

static bool take_string(quick *q, presence_str *out) {
    if (!take(q, '"')) return false;
    const char *start = q->at, *at = skip_plain(start, q->end);
    for (; at < q->end; at++) {
        unsigned char c = (unsigned char)*at;
        if (c == '"') {
            *out = pr_str(start, (size_t)(at - start));
            q->at = at + 1;
            return true;
        }
        if (c < 0x20 || c == '\\') return false;
        if (c >= 0x80) q->ascii = false;
    }
    return false;
}

static size_t take_digits(quick *q) {
    const char *start = q->at, *at = start;
    while (at < q->end && (unsigned)*at - '0' <= 9) at++;
    q->at = at;
    return (size_t)(at - start);
}

static bool take_number(quick *q) {
    const char *start = q->at;
    take(q, '-');
    bool zero = q->at < q->end && *q->at == '0';
    size_t digits = take_digits(q);
    if (!digits || (zero && digits > 1)) return false;
    if (take(q, '.') && !take_digits(q)) return false;
    if (q->at < q->end && (*q->at == 'e' || *q->at == 'E')) return false;
    return q->at - start <= QUICK_DIGITS;
}

static bool take_word(quick *q, const char *word) {
    size_t size = strlen(word);
    if ((size_t)(q->end - q->at) < size || memcmp(q->at, word, size)) return false;
    q->at += size;
    return true;
}

static bool take_name(quick *q) {
    presence_str name;
    if (q->names_size == QUICK_NAMES || !take_string(q, &name)) return false;
    for (size_t i = q->names_at[q->depth]; i < q->names_size; i++)
        if (pr_str_equal(q->names[i], name)) return false;
    if (q->depth == 1 && name.size >= 7 && !memcmp(name.data, "phx_ref", 7)) return false;
    q->names[q->names_size++] = name;
    skip_space(q);
    if (!take(q, ':')) return false;
    skip_space(q);
    return true;
}

static bool open_container(quick *q, bool object) {
    if (++q->depth > PR_META_DEPTH) return false;
    q->object[q->depth] = object;
    q->names_at[q->depth] = q->names_size;
    return true;
}

static void close_container(quick *q) {
    q->names_size = q->names_at[q->depth];
    q->depth--;
}

/* A value up to its end, or to the first value inside when it is a container that is not empty. */
static bool take_value(quick *q, bool *inside) {
    presence_str ignored;
    *inside = false;
    if (q->at == q->end) return false;
    char c = *q->at;
    if (c == '"') return take_string(q, &ignored);
    if (c == 't') return take_word(q, "true");
    if (c == 'f') return take_word(q, "false");
    if (c == 'n') return take_word(q, "null");
    if (c != '{' && c != '[') return take_number(q);
    q->at++;
    if (!open_container(q, c == '{')) return false;
    skip_space(q);
    if (take(q, c == '{' ? '}' : ']')) {
        close_container(q);
        return true;
    }
    *inside = true;
    return c == '[' || take_name(q);
}

/* What follows a value: closing brackets, then a comma and the way to the next value. *more: there is one. */
static bool take_after(quick *q, bool *more) {
    for (skip_space(q); q->depth; skip_space(q)) {
        if (take(q, ',')) {
            skip_space(q);
            *more = true;
            return !q->object[q->depth] || take_name(q);
        }
        if (!take(q, q->object[q->depth] ? '}' : ']')) return false;
        close_container(q);
    }
    *more = false;
    return q->at == q->end;
}

bool pr_json_quick(presence_str s) {
    quick q;
    q.at = s.data, q.end = s.data + s.size;
    q.ascii = true;
    q.depth = 0;
    q.names_size = 0;
    skip_space(&q);
    if (q.at == q.end || *q.at != '{') return false;
    for (bool more = true, inside; more;) {
        if (!take_value(&q, &inside)) return false;
        if (!inside && !take_after(&q, &more)) return false;
    }
    return q.ascii || pr_utf8_valid(s);
}

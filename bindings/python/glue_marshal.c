/* glue_marshal.c: topics, keys and metas as Python's marshal writes them (version 2), turned into what the core takes.
 * Python needs a third of the time for that text that it needs for JSON, and this file little for the rest.
 *
 * Only the usual kinds are taken: text, ints of up to 60 bits, True, False, None, lists, tuples, and dicts with text as
 * names. Whatever else comes, and all that the core refuses, makes the call fail; Python then makes it once more with
 * JSON of its own making, which either is taken or gives the error that says what is wrong. */
#include "glue.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEPTH = 64,  /* of lists and dicts: more than the core takes */
    GROWTH = 6,  /* bytes of JSON a byte of marshal may become: a control character \u0001, or False with its comma */
    ROOM = 4096, /* on the stack */
    DIGIT_BITS = 15
};

typedef struct {
    const uint8_t *at, *end;
    char *out; /* has room for GROWTH times what is left to read */
} reader;

static bool take_kind(reader *r, char kind) {
    if (r->at == r->end || *r->at != kind) return false;
    r->at++;
    return true;
}

static bool take_number(reader *r, int32_t *number) {
    if (r->end - r->at < 4) return false;
    *number = (int32_t)(r->at[0] | r->at[1] << 8 | r->at[2] << 16 | (uint32_t)r->at[3] << 24);
    r->at += 4;
    return true;
}

static bool take_size(reader *r, size_t *size) {
    int32_t number;
    if (!take_number(r, &number) || number < 0) return false;
    *size = (size_t)number;
    return true;
}

static bool take_text(reader *r, presence_str *text) {
    size_t size;
    if (!take_kind(r, 'u') || !take_size(r, &size) || size > (size_t)(r->end - r->at)) return false;
    *text = (presence_str){(const char *)r->at, size};
    r->at += size;
    return true;
}

/* ---- as JSON ---- */

static void write(reader *r, const char *text, size_t size) {
    memcpy(r->out, text, size);
    r->out += size;
}

static void write_escape(reader *r, unsigned char c) {
    static const char named[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *found = memchr(named, c, sizeof named - 1);
    if (found) {
        write(r, (char[]){'\\', names[found - named]}, 2);
    } else {
        static const char hex[] = "0123456789abcdef";
        write(r, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
    }
}

static bool write_text(reader *r) {
    presence_str text;
    if (!take_text(r, &text)) return false;
    *r->out++ = '"';
    size_t start = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        write(r, text.data + start, i - start);
        write_escape(r, c);
        start = i + 1;
    }
    write(r, text.data + start, text.size - start);
    *r->out++ = '"';
    return true;
}

static void write_number(reader *r, int64_t number) {
    char digits[20];
    size_t first = sizeof digits;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do digits[--first] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (number < 0) *r->out++ = '-';
    write(r, digits + first, sizeof digits - first);
}

static bool write_small(reader *r) {
    int32_t number;
    if (!take_number(r, &number)) return false;
    write_number(r, number);
    return true;
}

/* Digits of 15 bits, the least first; their count has the sign. */
static bool write_large(reader *r) {
    int32_t count;
    int64_t number = 0;
    if (!take_number(r, &count) || count < -4 || count > 4) return false;
    int32_t digits = count < 0 ? -count : count;
    if (r->end - r->at < 2 * digits) return false;
    for (int32_t i = digits; i--;) number = number << DIGIT_BITS | r->at[2 * i] | (int64_t)r->at[2 * i + 1] << 8;
    r->at += 2 * digits;
    write_number(r, count < 0 ? -number : number);
    return true;
}

static bool write_value(reader *r, int depth);

static bool write_list(reader *r, int depth) {
    size_t size;
    if (!take_size(r, &size)) return false;
    *r->out++ = '[';
    for (size_t i = 0; i < size; i++) {
        if (i) *r->out++ = ',';
        if (!write_value(r, depth - 1)) return false;
    }
    *r->out++ = ']';
    return true;
}

static bool write_dict(reader *r, int depth) {
    *r->out++ = '{';
    for (bool first = true; !take_kind(r, '0'); first = false) {
        if (!first) *r->out++ = ',';
        if (!write_text(r)) return false;
        *r->out++ = ':';
        if (!write_value(r, depth - 1)) return false;
    }
    *r->out++ = '}';
    return true;
}

static bool write_word(reader *r, const char *word) {
    write(r, word, strlen(word));
    return true;
}

static bool write_value(reader *r, int depth) {
    if (r->at == r->end || depth == 0) return false;
    if (*r->at == 'u') return write_text(r);
    switch (*r->at++) {
    case 'i': return write_small(r);
    case 'l': return write_large(r);
    case 'T': return write_word(r, "true");
    case 'F': return write_word(r, "false");
    case 'N': return write_word(r, "null");
    case '[':
    case '(': return write_list(r, depth);
    case '{': return write_dict(r, depth);
    default: return false;
    }
}

/* ---- items ---- */

/* (topic, key, meta) or, if the meta may be left out, (topic, key); no meta and None are the empty one. */
static bool take_item(reader *r, bool whole, presence_item *item) {
    size_t size;
    char *start = r->out;
    if (!take_kind(r, '(') || !take_size(r, &size) || size > 3 || size < 2) return false;
    if (!take_text(r, &item->topic) || !take_text(r, &item->key)) return false;
    item->meta = (presence_str){"", 0};
    if (!whole && (size == 2 || take_kind(r, 'N'))) return true;
    if (size == 2 || !take_kind(r, '{') || !write_dict(r, DEPTH)) return false;
    item->meta = (presence_str){start, (size_t)(r->out - start)};
    return true;
}

static int change(presence_tracker *tracker, presence_owner owner, reader r, bool update, char *ref) {
    presence_item item;
    if (!take_item(&r, update, &item) || r.at != r.end) return PRESENCE_EINVAL;
    return update ? presence_update(tracker, owner, item.topic, item.key, item.meta, (presence_ref *)ref)
                  : presence_track(tracker, owner, item.topic, item.key, item.meta, (presence_ref *)ref);
}

int glue_change_plain(presence_tracker *tracker, presence_owner owner, const char *marshal, size_t size, int update,
                      char *ref) {
    char room[ROOM];
    reader r = {.at = (const uint8_t *)marshal, .end = (const uint8_t *)marshal + size, .out = room};
    if (size <= ROOM / GROWTH) return change(tracker, owner, r, update, ref);
    char *large = r.out = malloc(size * GROWTH);
    int rc = large ? change(tracker, owner, r, update, ref) : PRESENCE_ENOMEM;
    free(large);
    return rc;
}

static int track_items(presence_tracker *tracker, presence_owner owner, reader r, presence_item *items, size_t count,
                       char *refs) {
    for (size_t i = 0; i < count; i++) {
        if (!take_item(&r, false, &items[i])) return PRESENCE_EINVAL;
    }
    return r.at == r.end ? presence_track_many(tracker, owner, items, count, (presence_ref *)refs, NULL)
                         : PRESENCE_EINVAL;
}

int glue_track_many_plain(presence_tracker *tracker, presence_owner owner, const char *marshal, size_t size,
                          size_t count, char *refs) {
    reader r = {.at = (const uint8_t *)marshal, .end = (const uint8_t *)marshal + size};
    size_t told;
    if (!take_kind(&r, '[') || !take_size(&r, &told) || told != count) return PRESENCE_EINVAL;
    presence_item *items = calloc(count + 1, sizeof *items);
    char *room = r.out = malloc(size * GROWTH);
    int rc = items && room ? track_items(tracker, owner, r, items, count, refs) : PRESENCE_ENOMEM;
    free(room);
    free(items);
    return rc;
}

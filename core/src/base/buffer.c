/* A growing byte buffer with a hard maximum; the first failure sticks until it is cleared. */
#include "buffer.h"
#include <string.h>

void pr_buffer_init(pr_buffer *b, const pr_alloc *alloc, size_t max) {
    memset(b, 0, sizeof *b);
    b->alloc = alloc;
    b->max = max;
}

void pr_buffer_free(pr_buffer *b) {
    pr_delete(b->alloc, b->data, b->room);
    b->data = NULL;
    b->size = b->room = 0;
    b->failed = 0;
}

void pr_buffer_clear(pr_buffer *b) {
    b->size = 0;
    b->failed = 0;
}

static size_t grown_room(const pr_buffer *b, size_t need) {
    size_t room = b->room < 64 ? 64 : b->room;
    while (room < need) {
        if (room > SIZE_MAX / 2) return need;
        room *= 2;
    }
    return room < b->max ? room : b->max;
}

int pr_buffer_reserve(pr_buffer *b, size_t more) {
    if (b->failed) return b->failed;
    if (more <= b->room - b->size) return 0;
    if (b->size > b->max || more > b->max - b->size) return b->failed = PRESENCE_ELIMIT;
    size_t room = grown_room(b, b->size + more);
    uint8_t *data = pr_resize(b->alloc, b->data, b->room, room);
    if (!data) return b->failed = PRESENCE_ENOMEM;
    b->data = data;
    b->room = room;
    return 0;
}

void pr_buffer_append(pr_buffer *b, const void *data, size_t size) {
    if (!size || pr_buffer_reserve(b, size)) return;
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

void pr_buffer_text(pr_buffer *b, const char *text) { pr_buffer_append(b, text, strlen(text)); }

void pr_buffer_str(pr_buffer *b, presence_str s) { pr_buffer_append(b, s.data, s.size); }

void pr_buffer_varint(pr_buffer *b, uint64_t value) {
    uint8_t bytes[10];
    size_t n = 0;
    while (value >= 0x80) {
        bytes[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    bytes[n++] = (uint8_t)value;
    pr_buffer_append(b, bytes, n);
}

/* What stands for a byte that a JSON string cannot hold as it is. Returns the size of the escape. */
static size_t json_escape(unsigned char c, char out[6]) {
    static const char digits[] = "0123456789abcdef";
    char letter = 0;
    switch (c) {
    case '"': letter = '"'; break;
    case '\\': letter = '\\'; break;
    case '\b': letter = 'b'; break;
    case '\f': letter = 'f'; break;
    case '\n': letter = 'n'; break;
    case '\r': letter = 'r'; break;
    case '\t': letter = 't'; break;
    default: break;
    }
    if (letter) {
        out[0] = '\\', out[1] = letter;
        return 2;
    }
    memcpy(out, "\\u00", 4);
    out[4] = digits[c >> 4], out[5] = digits[c & 15];
    return 6;
}

void pr_buffer_json_string(pr_buffer *b, presence_str s) {
    size_t start = 0;
    char escape[6];
    pr_buffer_append(b, "\"", 1);
    for (size_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        size_t n = json_escape(c, escape);
        pr_buffer_append(b, s.data + start, i - start);
        pr_buffer_append(b, escape, n);
        start = i + 1;
    }
    pr_buffer_append(b, s.data + start, s.size - start);
    pr_buffer_append(b, "\"", 1);
}

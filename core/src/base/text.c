/* Strings, UTF-8, names of topics and keys, and the text form of refs. */
#include "text.h"
#include <string.h>

presence_str pr_cstr(const char *terminated) { return pr_str(terminated, strlen(terminated)); }

bool pr_str_equal(presence_str a, presence_str b) {
    return a.size == b.size && (!a.size || !memcmp(a.data, b.data, a.size));
}

int pr_str_compare(presence_str a, presence_str b) {
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    if (order) return order;
    return (a.size > b.size) - (a.size < b.size);
}

/* Bytes of the sequence at p (1 to 4), or 0 when it is not well formed (Unicode table 3-7). */
static size_t utf8_sequence(const unsigned char *p, size_t left) {
    unsigned char low = 0x80, high = 0xBF;
    size_t size;
    if (p[0] < 0x80) return 1;
    if (p[0] >= 0xC2 && p[0] <= 0xDF)
        size = 2;
    else if (p[0] >= 0xE0 && p[0] <= 0xEF)
        size = 3;
    else if (p[0] >= 0xF0 && p[0] <= 0xF4)
        size = 4;
    else
        return 0;
    if (p[0] == 0xE0) low = 0xA0;  /* overlong */
    if (p[0] == 0xED) high = 0x9F; /* surrogates */
    if (p[0] == 0xF0) low = 0x90;  /* overlong */
    if (p[0] == 0xF4) high = 0x8F; /* above U+10FFFF */
    if (left < size || p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < size; i++)
        if (p[i] < 0x80 || p[i] > 0xBF) return 0;
    return size;
}

/* How many bytes from the start are ASCII without NUL, in steps of eight. */
static size_t plain_bytes(presence_str s) {
    const uint64_t each = 0x0101010101010101ull, tops = 0x8080808080808080ull;
    size_t i = 0;
    for (uint64_t word; i + sizeof word <= s.size; i += sizeof word) {
        memcpy(&word, s.data + i, sizeof word);
        if ((word | (word - each)) & tops) break;
    }
    return i;
}

bool pr_utf8_valid(presence_str s) {
    const unsigned char *p = (const unsigned char *)s.data;
    for (size_t i = plain_bytes(s); i < s.size;) {
        size_t size = p[i] ? utf8_sequence(p + i, s.size - i) : 0;
        if (!size) return false;
        i += size;
    }
    return true;
}

static bool name_valid(presence_str s, size_t max) {
    return s.data && s.size >= 1 && s.size <= max && pr_utf8_valid(s);
}

int pr_check_topic(presence_str s) { return name_valid(s, PR_TOPIC_MAX) ? 0 : PRESENCE_ETOPIC; }

int pr_check_key(presence_str s) { return name_valid(s, PR_KEY_MAX) ? 0 : PRESENCE_EKEY; }

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* 128 bits in 22 characters: 21 of 6 bits, the last of 2 bits and 4 zero bits. */
void pr_ref_format(presence_ref *ref, uint64_t inst, uint64_t dot) {
    char *text = ref->text;
    for (int i = 0; i < 10; i++) text[i] = base64url[inst >> (58 - 6 * i) & 63];
    text[10] = base64url[(inst & 15) << 2 | dot >> 62];
    for (int i = 0; i < 10; i++) text[11 + i] = base64url[dot >> (56 - 6 * i) & 63];
    text[21] = base64url[(dot & 3) << 4];
    memset(text + PR_REF_SIZE, 0, sizeof ref->text - PR_REF_SIZE);
}

static int base64url_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '-') return 62;
    return c == '_' ? 63 : -1;
}

bool pr_ref_parse(presence_str s, uint64_t *inst, uint64_t *dot) {
    unsigned __int128 bits = 0;
    if (s.size != PR_REF_SIZE) return false;
    for (int i = 0; i < 21; i++) {
        int value = base64url_value(s.data[i]);
        if (value < 0) return false;
        bits = bits << 6 | (unsigned)value;
    }
    int last = base64url_value(s.data[21]);
    if (last < 0 || (last & 15)) return false;
    bits = bits << 2 | (unsigned)(last >> 4);
    *inst = (uint64_t)(bits >> 64);
    *dot = (uint64_t)bits;
    return true;
}

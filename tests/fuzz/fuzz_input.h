/* The bytes of a fuzz input, eaten one by one as numbers, choices and texts; at the end there are only zeroes. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <presence.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) fuzz_broken(#condition, __FILE__, __LINE__);                                                 \
    } while (0)

__attribute__((noreturn)) static inline void fuzz_broken(const char *condition, const char *file, int line) {
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

typedef struct fuzz_input {
    const uint8_t *data;
    size_t size;
} fuzz_input;

static inline uint8_t fuzz_byte(fuzz_input *in) {
    if (!in->size) return 0;
    in->size--;
    return *in->data++;
}

static inline uint32_t fuzz_below(fuzz_input *in, uint32_t bound) { return fuzz_byte(in) % bound; }

/* Mostly small; a few values near the ends of their types, which mutation alone would hardly find. */
static inline uint64_t fuzz_number(fuzz_input *in) {
    static const uint64_t far[] = {UINT64_MAX,
                                   UINT64_MAX - 1,
                                   UINT32_MAX,
                                   (uint64_t)UINT32_MAX + 1,
                                   (uint64_t)1 << 60,
                                   ((uint64_t)1 << 60) + 1,
                                   INT64_MAX,
                                   (uint64_t)INT64_MAX + 1,
                                   3600000,
                                   3600001,
                                   4096,
                                   65536};
    uint8_t b = fuzz_byte(in);
    if (b < 224) return b;
    if (b < 224 + sizeof far / sizeof *far) return far[b - 224];
    return (uint64_t)fuzz_byte(in) << 8 | fuzz_byte(in);
}

/* The next bytes, at most size of them, in place. */
static inline presence_str fuzz_bytes(fuzz_input *in, size_t size) {
    if (size > in->size) size = in->size;
    presence_str s = {(const char *)in->data, size};
    in->data += size;
    in->size -= size;
    return s;
}

/* A terminated copy of the bytes up to the next `end` or the end of the input; to be freed. */
static inline char *fuzz_text(fuzz_input *in, char end) {
    const uint8_t *stop = in->size ? memchr(in->data, end, in->size) : NULL;
    presence_str s = fuzz_bytes(in, stop ? (size_t)(stop - in->data) : in->size);
    if (stop) fuzz_byte(in);
    char *copy = malloc(s.size + 1);
    REQUIRE(copy != NULL);
    if (s.size) memcpy(copy, s.data, s.size);
    copy[s.size] = 0;
    return copy;
}

#endif

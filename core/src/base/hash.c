/* Hashing: tables use XXH3, the replicated state hash is XXH64 and fmix64 (protocol.md 3.14 P11). */
#define XXH_INLINE_ALL
#include "hash.h"
#include <endian.h>
#include <string.h>
#include <xxhash.h>

uint64_t pr_hash(const void *data, size_t size, uint64_t seed) { return XXH3_64bits_withSeed(data, size, seed); }

uint64_t pr_fmix64(uint64_t x) {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ull;
    return x ^ x >> 33;
}

static uint8_t *put_part(uint8_t *at, presence_str part) {
    uint32_t length = htole32((uint32_t)part.size);
    memcpy(at, &length, sizeof length);
    if (part.size) memcpy(at + sizeof length, part.data, part.size);
    return at + sizeof length + part.size;
}

/* Apart, or compilers that see four bytes warn of the path for long input. */
static __attribute__((noinline)) void update(XXH64_state_t *state, const void *data, size_t size) {
    XXH64_update(state, data, size);
}

static void hash_part(XXH64_state_t *state, presence_str part) {
    uint32_t length = htole32((uint32_t)part.size);
    update(state, &length, sizeof length);
    if (part.size) update(state, part.data, part.size);
}

static uint64_t hash_long(presence_str topic, presence_str key, presence_str meta) {
    XXH64_state_t state;
    XXH64_reset(&state, 0);
    hash_part(&state, topic);
    hash_part(&state, key);
    hash_part(&state, meta);
    return XXH64_digest(&state);
}

#define HASH_AT_ONCE 512 /* hashing in pieces costs five times as much as copying first */

uint64_t pr_hash_entry(presence_str topic, presence_str key, presence_str meta) {
    uint8_t text[HASH_AT_ONCE], *at = text;
    if (topic.size + key.size + meta.size > HASH_AT_ONCE - 12) return hash_long(topic, key, meta);
    at = put_part(put_part(put_part(at, topic), key), meta);
    return XXH64(text, (size_t)(at - text), 0);
}

uint64_t pr_random_next(uint64_t *state) {
    uint64_t x = *state += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

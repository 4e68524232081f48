/* Hashing: table hashes, and the state hash of P11 (protocol.md 3.14). */
#ifndef PR_HASH_H
#define PR_HASH_H

#include <presence.h>
#include <stdint.h>

uint64_t pr_hash(const void *data, size_t size, uint64_t seed);
uint64_t pr_fmix64(uint64_t); /* finalizer of MurmurHash3 */
/* XXH64, seed 0, over topic, key, meta, each after its u32 LE length */
uint64_t pr_hash_entry(presence_str topic, presence_str key, presence_str meta);
uint64_t pr_random_next(uint64_t *state); /* splitmix64: seeded jitter and choice, never entropy */

#endif

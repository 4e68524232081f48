/* What sending and receiving compressed payloads share (protocol.md 5.1): u8 codec, u32 LE raw length, data. */
#ifndef PR_COMPRESS_H
#define PR_COMPRESS_H

#include "wire.h"

#define PR_COMPRESS_HEAD 5

/* HELLO comes before anything is agreed on; heartbeats and requests are small and must never wait for memory. */
static inline bool pr_compressible(uint8_t type) {
    return type != PR_HELLO && type != PR_HEARTBEAT && type != PR_REQUEST;
}

/* Replaces size bytes of payload by their compressed form, if that is smaller. Returns its size; 0: the payload is as
 * it was (incompressible, too small, or no memory: a frame may always go plain). */
size_t pr_compress(pr_compressor *, enum pr_codec, uint8_t *payload, size_t size);

#endif

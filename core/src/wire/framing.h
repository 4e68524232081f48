/* The header of a frame, and how the encoder completes one (protocol.md 5.1). */
#ifndef PR_FRAMING_H
#define PR_FRAMING_H

#include "wire.h"

#define PR_HEADER_SIZE       4
#define PR_HEADER_LENGTH     0xffffffu
#define PR_HEADER_TYPE_SHIFT 24
#define PR_HEADER_TYPE_MASK  31u
#define PR_HEADER_COMPRESSED (1u << 29)
#define PR_HEADER_CRC        (1u << 30)
#define PR_HEADER_RESERVED   (1u << 31)

/* Numbers of headers, trailers and compressed payloads are little-endian. */
static inline uint32_t pr_read_u32(const uint8_t *in) {
    return in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}
static inline void pr_write_u32(uint8_t *out, uint32_t value) {
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(value >> 8 * i);
}

/* buffer holds PR_HEADER_SIZE bytes from start on, then the payload: fills in the header, appends the trailer.
 * flags: 0 or PR_HEADER_COMPRESSED. */
int pr_frame_finish(pr_buffer *, size_t start, uint8_t type, uint32_t flags, uint32_t max_frame);

#endif

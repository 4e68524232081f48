/* Preamble and frames: where a frame begins and ends, and whether its bytes are whole (protocol.md 5.1). */
#include "framing.h"
#include "crc32c.h"
#include <string.h>

static const uint8_t magic[4] = {'L', 'P', 'R', 'E'};

void pr_preamble_write(uint8_t out[PR_PREAMBLE_SIZE]) {
    memcpy(out, magic, sizeof magic);
    out[4] = PR_PROTO_MIN & 0xff;
    out[5] = PR_PROTO_MIN >> 8;
    out[6] = PR_PROTO_MAX & 0xff;
    out[7] = PR_PROTO_MAX >> 8;
}

int pr_preamble_read(const uint8_t in[PR_PREAMBLE_SIZE], uint32_t *proto) {
    uint32_t low = in[4] | (uint32_t)in[5] << 8, high = in[6] | (uint32_t)in[7] << 8;
    if (memcmp(in, magic, sizeof magic) != 0 || low > high) return PRESENCE_EPROTOCOL;
    uint32_t both = high < PR_PROTO_MAX ? high : PR_PROTO_MAX;
    if (both < low || both < PR_PROTO_MIN) return PRESENCE_EVERSION;
    *proto = both;
    return 0;
}

int pr_frame_read(const uint8_t *data, size_t size, uint32_t max_frame, pr_frame_in *frame, size_t *consumed,
                  size_t *wanted) {
    *wanted = PR_HEADER_SIZE;
    if (size < PR_HEADER_SIZE) return 0;
    uint32_t header = pr_read_u32(data), length = header & PR_HEADER_LENGTH;
    if (header & PR_HEADER_RESERVED || length > max_frame) return PRESENCE_EPROTOCOL;
    size_t checked = PR_HEADER_SIZE + (size_t)length;
    *wanted = checked + (header & PR_HEADER_CRC ? PR_CRC_SIZE : 0);
    if (size < *wanted) return 0;
    if (header & PR_HEADER_CRC && pr_crc32c(data, checked) != pr_read_u32(data + checked)) return PRESENCE_EPROTOCOL;
    frame->type = header >> PR_HEADER_TYPE_SHIFT & PR_HEADER_TYPE_MASK;
    frame->payload = data + PR_HEADER_SIZE;
    frame->size = length;
    frame->compressed = (header & PR_HEADER_COMPRESSED) != 0;
    frame->checked = (header & PR_HEADER_CRC) != 0;
    *consumed = *wanted;
    return 1;
}

int pr_frame_finish(pr_buffer *buffer, size_t start, uint8_t type, uint32_t flags, uint32_t max_frame) {
    if (buffer->failed) return buffer->failed;
    size_t length = buffer->size - start - PR_HEADER_SIZE;
    if (length > max_frame || length > PR_HEADER_LENGTH) return PRESENCE_ELIMIT;
    pr_write_u32(buffer->data + start,
                 (uint32_t)length | (uint32_t)type << PR_HEADER_TYPE_SHIFT | PR_HEADER_CRC | flags);
    uint8_t trailer[PR_CRC_SIZE];
    pr_write_u32(trailer, pr_crc32c(buffer->data + start, PR_HEADER_SIZE + length));
    pr_buffer_append(buffer, trailer, sizeof trailer);
    return buffer->failed;
}

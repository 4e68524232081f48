/* Encoding: a frame is its payload, compressed or not, between a header, filled in at the end, and a crc
 * (protocol.md 5.1). */
#include "compress.h"
#include "encoder.h"
#include "framing.h"

static int encode_payload(pr_buffer *buffer, const pr_message *message, uint32_t max_frame) {
    switch (message->type) {
    case PR_SEGMENT: return pr_encode_segment(buffer, &message->as.segment);
    case PR_LIVE: return pr_encode_live(buffer, &message->as.live);
    default: return pr_encode_cold(buffer, message, max_frame);
    }
}

/* Flags of the header. A payload over max_frame stays as it is, and is refused for it: the limit binds the raw length.
 */
static uint32_t compress(pr_compressor *c, enum pr_codec codec, pr_buffer *buffer, size_t at, uint32_t max_frame) {
    size_t raw = buffer->size - at;
    size_t packed = raw > max_frame ? 0 : pr_compress(c, codec, buffer->data + at, raw);
    if (!packed) return 0;
    buffer->size = at + packed;
    return PR_HEADER_COMPRESSED;
}

int pr_encode_compressed(pr_compressor *c, enum pr_codec codec, pr_buffer *buffer, const pr_message *message,
                         uint32_t max_frame) {
    static const uint8_t header[PR_HEADER_SIZE];
    size_t start = buffer->size;
    uint32_t flags = 0;
    if (c) c->saved = 0;
    pr_buffer_append(buffer, header, sizeof header);
    int failed = buffer->failed;
    if (!failed) failed = encode_payload(buffer, message, max_frame);
    if (!failed && c && pr_compressible(message->type))
        flags = compress(c, codec, buffer, start + PR_HEADER_SIZE, max_frame);
    if (!failed) failed = pr_frame_finish(buffer, start, message->type, flags, max_frame);
    if (failed) buffer->size = start; /* nothing of a frame that is not whole */
    return failed;
}

int pr_encode(pr_buffer *buffer, const pr_message *message, uint32_t max_frame) {
    return pr_encode_compressed(NULL, PR_CODEC_NONE, buffer, message, max_frame);
}

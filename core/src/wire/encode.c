/* Encoding: a frame is its payload between a header, filled in at the end, and a crc (protocol.md 5.1). */
#include "encoder.h"
#include "framing.h"

static int encode_payload(pr_buffer *buffer, const pr_message *message, uint32_t max_frame) {
    switch (message->type) {
    case PR_SEGMENT: return pr_encode_segment(buffer, &message->as.segment);
    case PR_LIVE: return pr_encode_live(buffer, &message->as.live);
    default: return pr_encode_cold(buffer, message, max_frame);
    }
}

int pr_encode(pr_buffer *buffer, const pr_message *message, uint32_t max_frame) {
    static const uint8_t header[PR_HEADER_SIZE];
    size_t start = buffer->size;
    pr_buffer_append(buffer, header, sizeof header);
    int failed = buffer->failed;
    if (!failed) failed = encode_payload(buffer, message, max_frame);
    if (!failed) failed = pr_frame_finish(buffer, start, message->type, max_frame);
    if (failed) buffer->size = start; /* nothing of a frame that is not whole */
    return failed;
}

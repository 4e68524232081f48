/* Any bytes as a stream of frames, and as the payload of a message (the first byte is its type). What decodes must
 * encode, and what was encoded must decode to itself. Built with libFuzzer (PRESENCE_SANITIZE=fuzzer) or with replay.c.
 */
#include "wire.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct work {
    pr_alloc alloc;
    pr_decoder *decoder;
    pr_buffer first, second;
    pr_message message;
};

static void require(int condition) {
    if (!condition) abort();
}

static void encode(struct work *w, pr_buffer *buffer) {
    pr_buffer_clear(buffer);
    require(pr_encode(buffer, &w->message, 0xffffff) == 0);
}

static void decode_again(struct work *w) {
    pr_frame_in frame;
    size_t consumed, wanted;
    require(pr_frame_read(w->first.data, w->first.size, 0xffffff, &frame, &consumed, &wanted) == 1);
    require(consumed == w->first.size);
    require(pr_decode(w->decoder, &frame, &w->message) == 0);
}

static void take(struct work *w, const pr_frame_in *frame) {
    if (pr_decode(w->decoder, frame, &w->message) != 0) return;
    encode(w, &w->first);
    decode_again(w);
    encode(w, &w->second);
    require(w->first.size == w->second.size && memcmp(w->first.data, w->second.data, w->first.size) == 0);
}

static void take_stream(struct work *w, const uint8_t *data, size_t size) {
    pr_frame_in frame;
    size_t consumed, wanted;
    while (pr_frame_read(data, size, PR_FRAME_MIN, &frame, &consumed, &wanted) == 1) {
        take(w, &frame);
        data += consumed;
        size -= consumed;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct work *w = calloc(1, sizeof *w);
    require(w != NULL);
    w->alloc = pr_alloc_default();
    require(pr_decoder_new(&w->alloc, &w->decoder) == 0);
    pr_buffer_init(&w->first, &w->alloc, (size_t)1 << 26);
    pr_buffer_init(&w->second, &w->alloc, (size_t)1 << 26);
    take_stream(w, data, size);
    if (size) take(w, &(pr_frame_in){.type = data[0] & 31, .payload = data + 1, .size = size - 1});
    pr_decoder_free(w->decoder);
    pr_buffer_free(&w->first);
    pr_buffer_free(&w->second);
    free(w);
    return 0;
}

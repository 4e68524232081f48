/* Any bytes as a compressed payload: opened, it is within the limit; it never makes more memory than that. And a SEG
 * whose metas hold the input comes out of each codec as it went in. */
#include "fuzz_decode.h"
#include "heap.h"

enum { LIMIT = 65536 };

static pr_message segment_of(pr_up *ups, size_t size, presence_str meta) {
    pr_message message = {.type = PR_SEGMENT};
    for (size_t i = 0; i < size; i++)
        ups[i] = (pr_up){
            .eid = i + 1, .dot = i + 1, .topic = pr_cstr("t"), .key = pr_cstr("k"), .meta = meta, .topic_id = 1};
    message.as.segment = (pr_segment){.x2 = size, .T2 = size, .ups = ups, .ups_size = size};
    return message;
}

static void check_decoded(const pr_segment *s, size_t size, presence_str meta) {
    REQUIRE(s->ups_size == size && s->x2 == size);
    for (size_t i = 0; i < size; i++)
        REQUIRE(s->ups[i].dot == i + 1 && pr_str_equal(s->ups[i].meta, meta) && !s->ups[i].patch);
}

/* The meta is the input between braces, three times over; both codecs and none. */
static void round_trip(fuzz_decoding *d, enum pr_codec codec, presence_str meta) {
    pr_up ups[3];
    pr_compressor compressor;
    pr_frame_in frame;
    size_t consumed, wanted;
    pr_compressor_init(&compressor, &d->alloc, 16);
    d->message = segment_of(ups, 3, meta);
    pr_buffer_clear(&d->first);
    REQUIRE(pr_encode_compressed(&compressor, codec, &d->first, &d->message, PR_FRAME_MAX) == 0);
    REQUIRE(pr_frame_read(d->first.data, d->first.size, PR_FRAME_MAX, &frame, &consumed, &wanted) == 1);
    REQUIRE(consumed == d->first.size && frame.compressed == (compressor.saved > 0));
    REQUIRE(codec != PR_CODEC_NONE || !frame.compressed);
    REQUIRE(pr_frame_open(d->decoder, &frame, PR_FEATURE_LZ4 | PR_FEATURE_ZSTD, PR_FRAME_MAX) == 0);
    REQUIRE(pr_decode(d->decoder, &frame, &d->message) == 0);
    check_decoded(&d->message.as.segment, 3, meta);
    pr_compressor_free(&compressor);
}

static void round_trips(fuzz_decoding *d, const uint8_t *data, size_t size) {
    if (size > PR_META_MAX - 2) size = PR_META_MAX - 2;
    char *meta = malloc(size + 2);
    REQUIRE(meta != NULL);
    meta[0] = '{';
    memcpy(meta + 1, data, size);
    meta[size + 1] = '}';
    for (int codec = PR_CODEC_NONE; codec <= PR_CODEC_ZSTD; codec++) round_trip(d, codec, pr_str(meta, size + 2));
    free(meta);
}

/* type, then the payload: u8 codec, u32 raw length, data */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    heap h = {0};
    fuzz_decoding *d = fuzz_decoding_new();
    pr_decoder_free(d->decoder);
    pr_alloc counted = heap_allocator(&h);
    REQUIRE(pr_decoder_new(&counted, &d->decoder) == 0);
    pr_frame_in frame = {.type = data[0] & 31, .payload = data + 1, .size = size - 1, .compressed = true};
    fuzz_open(d, &frame, data[0] & 128 ? PR_FEATURE_LZ4 : PR_FEATURE_LZ4 | PR_FEATURE_ZSTD, LIMIT);
    REQUIRE(h.bytes < 64 * (size_t)LIMIT); /* what is decoded of a frame is at most some times larger than it */
    if (data[0] & 64) round_trips(d, data + 1, size - 1);
    fuzz_decoding_free(d);
    REQUIRE(h.blocks == 0);
    return 0;
}

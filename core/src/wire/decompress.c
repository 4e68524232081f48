/* Opening a compressed payload (protocol.md 5.1): every bound is checked before there is memory for it.
 *
 * Happy path: codec and raw length are right, the data becomes exactly as many bytes in the decoder's scratch.
 * Failures, all EPROTOCOL: a type that is never compressed, a codec that is unknown or not agreed on, a raw length
 * beyond max_frame or beyond what the data can hold, data that is cut, goes on, or becomes more or fewer bytes.
 * ENOMEM: nothing has happened, the frame can be opened again.
 */
#include "compress.h"
#include "decoder.h"
#include "framing.h"
#define ZSTD_STATIC_LINKING_ONLY /* a context inside memory of ours */
#include <lz4.h>
#include <zstd.h>

#define RAW_KEPT      ((size_t)1 << 20) /* more than this is given back with the next frame */
#define LZ4_RATIO_MAX 255u              /* a byte of lz4 becomes at most so many */

static int lz4_open(const uint8_t *data, size_t size, uint8_t *raw, size_t raw_size) {
    int got = LZ4_decompress_safe((const char *)data, (char *)raw, (int)size, (int)raw_size);
    return got >= 0 && (size_t)got == raw_size ? 0 : PRESENCE_EPROTOCOL;
}

static int zstd_open(pr_decoder *d, const uint8_t *data, size_t size, uint8_t *raw, size_t raw_size) {
    size_t bytes = ZSTD_estimateDCtxSize();
    if (!pr_scratch_fit(d, &d->zstd, bytes, 1)) return PRESENCE_ENOMEM;
    ZSTD_DCtx *context = ZSTD_initStaticDCtx(d->zstd.data, d->zstd.bytes);
    if (!context) return PRESENCE_EPROTOCOL; /* cannot be: the memory is as it asked for */
    size_t got = ZSTD_decompressDCtx(context, raw, raw_size, data, size);
    return !ZSTD_isError(got) && got == raw_size ? 0 : PRESENCE_EPROTOCOL;
}

static bool agreed(uint8_t codec, uint64_t features) {
    return (codec == PR_CODEC_LZ4 && features & PR_FEATURE_LZ4) ||
           (codec == PR_CODEC_ZSTD && features & PR_FEATURE_ZSTD);
}

int pr_frame_open(pr_decoder *d, pr_frame_in *frame, uint64_t features, uint32_t max_frame) {
    pr_scratch_trim(d, &d->raw, RAW_KEPT);
    if (!frame->compressed) return 0;
    const uint8_t *in = frame->payload;
    if (!pr_compressible(frame->type) || frame->size <= PR_COMPRESS_HEAD || !agreed(in[0], features))
        return PRESENCE_EPROTOCOL;
    size_t raw_size = pr_read_u32(in + 1);
    size_t size = frame->size - PR_COMPRESS_HEAD;
    if (raw_size > max_frame || (in[0] == PR_CODEC_LZ4 && raw_size / LZ4_RATIO_MAX > size)) return PRESENCE_EPROTOCOL;
    uint8_t *raw = pr_scratch_fit(d, &d->raw, raw_size, 1);
    if (!raw) return PRESENCE_ENOMEM;
    in += PR_COMPRESS_HEAD;
    int rc =
        frame->payload[0] == PR_CODEC_LZ4 ? lz4_open(in, size, raw, raw_size) : zstd_open(d, in, size, raw, raw_size);
    if (rc) return rc;
    frame->payload = raw;
    frame->size = raw_size;
    frame->compressed = false;
    return 0;
}

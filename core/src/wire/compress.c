/* Compressing a payload in place, with memory of the tracker's allocator alone (protocol.md 5.1).
 *
 * Happy path: the payload is compressed into a buffer one byte smaller than it, and copied back.
 * Failures: it does not fit there (not worth it), or there is no memory for the workspace: the payload stays as it is.
 * The workspaces are made at the first frame that needs them and kept: lz4 16 KiB, zstd about 0.5 MiB.
 */
#include "compress.h"
#include "framing.h"
#define ZSTD_STATIC_LINKING_ONLY /* contexts inside memory of ours */
#include <lz4.h>
#include <string.h>
#include <zstd.h>

#define ZSTD_LEVEL 1

void pr_compressor_init(pr_compressor *c, const pr_alloc *alloc, uint32_t least) {
    memset(c, 0, sizeof *c);
    c->alloc = alloc;
    c->least = least;
}

void pr_compressor_free(pr_compressor *c) {
    pr_delete(c->alloc, c->lz4, (size_t)LZ4_sizeofState());
    pr_delete(c->alloc, c->zstd, c->zstd_bytes);
    pr_delete(c->alloc, c->out, c->out_bytes);
    pr_compressor_init(c, c->alloc, c->least);
}

enum pr_codec pr_codec_choose(enum pr_codec wanted, uint64_t features) {
    if (wanted == PR_CODEC_ZSTD && features & PR_FEATURE_ZSTD) return PR_CODEC_ZSTD;
    if (wanted != PR_CODEC_NONE && features & PR_FEATURE_LZ4) return PR_CODEC_LZ4;
    return PR_CODEC_NONE;
}

static size_t lz4_compress(pr_compressor *c, const uint8_t *from, size_t size, uint8_t *to, size_t room) {
    if (!c->lz4) c->lz4 = pr_new(c->alloc, (size_t)LZ4_sizeofState());
    if (!c->lz4) return 0;
    return (size_t)LZ4_compress_fast_extState(c->lz4, (const char *)from, (char *)to, (int)size, (int)room, 1);
}

static ZSTD_CCtx *zstd_context(pr_compressor *c) {
    if (c->zstd) return c->zstd_context;
    size_t bytes = ZSTD_estimateCCtxSize(ZSTD_LEVEL);
    c->zstd = pr_new(c->alloc, bytes);
    if (!c->zstd) return NULL;
    c->zstd_bytes = bytes;
    return c->zstd_context = ZSTD_initStaticCCtx(c->zstd, bytes);
}

static size_t zstd_compress(pr_compressor *c, const uint8_t *from, size_t size, uint8_t *to, size_t room) {
    ZSTD_CCtx *context = zstd_context(c);
    size_t packed = context ? ZSTD_compressCCtx(context, to, room, from, size, ZSTD_LEVEL) : 0;
    return ZSTD_isError(packed) ? 0 : packed;
}

static bool make_room(pr_compressor *c, size_t size) {
    if (size <= c->out_bytes) return true;
    uint8_t *out = pr_resize(c->alloc, c->out, c->out_bytes, size);
    if (!out) return false;
    c->out = out;
    c->out_bytes = size;
    return true;
}

size_t pr_compress(pr_compressor *c, enum pr_codec codec, uint8_t *payload, size_t size) {
    if (codec == PR_CODEC_NONE || size <= c->least || size <= PR_COMPRESS_HEAD + 1 || !make_room(c, size)) return 0;
    size_t room = size - 1 - PR_COMPRESS_HEAD; /* what is not smaller is not sent */
    uint8_t *out = c->out + PR_COMPRESS_HEAD;
    size_t packed =
        codec == PR_CODEC_LZ4 ? lz4_compress(c, payload, size, out, room) : zstd_compress(c, payload, size, out, room);
    if (!packed) return 0;
    c->out[0] = (uint8_t)codec;
    pr_write_u32(c->out + 1, (uint32_t)size);
    packed += PR_COMPRESS_HEAD;
    memcpy(payload, c->out, packed);
    c->saved = size - packed;
    return packed;
}

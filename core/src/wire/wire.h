/* Bytes of the protocol: preamble, frames, messages (protocol.md 5). Bytes in, structs out; no sockets.
 *
 * Frame: u32 LE header (bits 0-23 payload size, 24-28 type, 29 compressed, 30 crc, 31 zero), payload, crc32c trailer.
 * Every length is bounded before anything is allocated. Hot messages (SEG, LIVE) are coded by hand (protobuf.h),
 * the others by nanopb. The schema is presence.proto.
 */
#ifndef PR_WIRE_H
#define PR_WIRE_H

#include "buffer.h"
#include "log.h"

#define PR_PREAMBLE_SIZE 8
#define PR_PROTO_MIN     1
#define PR_PROTO_MAX     1
#define PR_CRC_SIZE      4

enum pr_frame_type {
    PR_HELLO = 1,
    PR_HEARTBEAT = 2,
    PR_SEGMENT = 3,
    PR_LIVE = 4,
    PR_REQUEST = 5,
    PR_UNSUB = 6,
    PR_LEAVE = 7,
    PR_PROBE = 8,
    PR_PROBE_ACK = 9,
    PR_ERROR = 10,
    PR_LOGDEF = 11,
    PR_NAK = 12
};
enum pr_feature {
    PR_FEATURE_PATCH = 1,
    PR_FEATURE_CRC = 2,
    PR_FEATURE_LZ4 = 4,
    PR_FEATURE_ZSTD = 8,
    PR_FEATURE_SUBSCRIBE = 16,
    PR_FEATURE_SUM = 32
};
enum pr_error_code {
    PR_ERROR_VERSION = 1,
    PR_ERROR_CLUSTER,
    PR_ERROR_PROTOCOL,
    PR_ERROR_SELF,
    PR_ERROR_DUPLICATE,
    PR_ERROR_LIMIT,
    PR_ERROR_NAME,
    PR_ERROR_STOPPING
};
enum pr_nak_reason { PR_NAK_NOT_COMPLETE = 1, PR_NAK_NOT_UP, PR_NAK_BEHIND, PR_NAK_GONE, PR_NAK_LIMIT };

/* ---- preamble ---- */
void pr_preamble_write(uint8_t out[PR_PREAMBLE_SIZE]);
/* 0 and *proto; EPROTOCOL: not ours; EVERSION: no version in common */
int pr_preamble_read(const uint8_t in[PR_PREAMBLE_SIZE], uint32_t *proto);

/* ---- frames ---- */
typedef struct pr_frame_in {
    uint8_t type;
    const uint8_t *payload;
    size_t size;
    bool compressed; /* the payload is; pr_frame_open comes before pr_decode */
    bool checked;    /* it came with a crc */
} pr_frame_in;
/* Looks for one frame at the start of data. 1: *frame and *consumed are set; 0: *wanted more bytes are needed in all;
 * EPROTOCOL: over max_frame, the reserved bit, bad crc. Unknown types are given out (the caller skips and counts them).
 */
int pr_frame_read(const uint8_t *data, size_t size, uint32_t max_frame, pr_frame_in *frame, size_t *consumed,
                  size_t *wanted);

/* ---- messages ---- */
typedef struct pr_record {
    uint64_t inst, inc, hb, age_ms, version, features;
    uint32_t hops, period_ms, proto;
    uint8_t addresses_size;
    bool left, has_version, observer, fixed; /* fixed: name, addresses, features, proto, observer are there */
    char name[PR_MEMBER_NAME_MAX + 1];
    char addresses[PR_ADDRESSES_MAX][PR_ADDRESS_MAX + 1];
} pr_record;

typedef struct pr_records {
    pr_record *items;
    size_t size;
} pr_records; /* decoded: lives in the pr_decoder */

typedef struct pr_hello {
    char cluster[PR_CLUSTER_MAX + 1];
    pr_record self;
    uint32_t max_frame;
    uint64_t version, to;
    bool has_state;
    pr_state state;
    pr_records records;
} pr_hello;

typedef struct pr_heartbeat {
    uint64_t inc, hb, version, at, sum;
    bool has_at, has_sum;
    uint32_t members, period_ms;
    const uint64_t *unlinked;
    size_t unlinked_size;
    pr_records digest;
    bool has_self; /* on a broker */
    pr_record self;
} pr_heartbeat;

typedef struct pr_request {
    uint64_t inst, from;
    pr_state state;
    bool subscribe;
} pr_request;
typedef struct pr_logdef {
    uint32_t log, lane;
    uint64_t inst;
    char name[PR_MEMBER_NAME_MAX + 1];
} pr_logdef;
typedef struct pr_nak {
    uint64_t inst, version;
    uint32_t reason;
} pr_nak;
typedef struct pr_leave {
    uint64_t inc, inst;
    char name[PR_MEMBER_NAME_MAX + 1];
} pr_leave;
typedef struct pr_probe {
    uint64_t inst;
    uint32_t id;
} pr_probe;
typedef struct pr_probe_ack {
    uint64_t inst;
    uint32_t id, silence_ms;
    bool direct;
} pr_probe_ack;
typedef struct pr_error {
    uint32_t code;
    char text[257];
} pr_error;

/* One decoded or to be encoded message. */
typedef struct pr_message {
    uint8_t type; /* enum pr_frame_type */
    union {
        pr_hello hello;
        pr_heartbeat heartbeat;
        pr_segment segment;
        pr_live live;
        pr_request request;
        uint64_t unsub;
        pr_leave leave;
        pr_probe probe;
        pr_probe_ack probe_ack;
        pr_error error;
        pr_logdef logdef;
        pr_nak nak;
    } as;
} pr_message;

/* Scratch of decoding, reused for frame after frame; what a message points to lives until the next decode. */
typedef struct pr_decoder pr_decoder;
int pr_decoder_new(const pr_alloc *, pr_decoder **out);
void pr_decoder_free(pr_decoder *);
/* 0; EPROTOCOL: does not decode, or a value over the limits of the schema (all sums checked for overflow, order of eids
 * and dots, dictionary rules, patch rules, UTF-8 of topics and keys); ENOMEM. Unknown fields are skipped. Strings of a
 * segment point into frame->payload. An unknown type: EUNSUPPORTED. A payload still compressed: EPROTOCOL. */
int pr_decode(pr_decoder *, const pr_frame_in *frame, pr_message *out);

/* Appends one whole frame (header, payload, crc). 0, ENOMEM, ELIMIT (over max_frame). */
int pr_encode(pr_buffer *, const pr_message *, uint32_t max_frame);

/* ---- compressed payloads (5.1) ---- */
enum pr_codec { PR_CODEC_NONE = 0, PR_CODEC_LZ4 = 1, PR_CODEC_ZSTD = 2 };
#define PR_COMPRESS_LEAST 4096
/* Workspaces of sending; allocated when first needed. */
typedef struct pr_compressor {
    const pr_alloc *alloc;
    uint32_t least; /* payloads up to this size go plain */
    void *lz4, *zstd, *zstd_context;
    uint8_t *out;
    size_t zstd_bytes, out_bytes;
    size_t saved; /* bytes the last pr_encode_compressed took off its frame */
} pr_compressor;
void pr_compressor_init(pr_compressor *, const pr_alloc *, uint32_t least);
void pr_compressor_free(pr_compressor *); /* may be used again */
/* What to send with: wanted if the link has its feature; for zstd else lz4; else none. */
enum pr_codec pr_codec_choose(enum pr_codec wanted, uint64_t features);
/* pr_encode, with the payload compressed where that is allowed and makes it smaller. max_frame binds both sizes. */
int pr_encode_compressed(pr_compressor *, enum pr_codec, pr_buffer *, const pr_message *, uint32_t max_frame);
/* Opens the payload of a frame from a link with these features; a plain one is left alone. Then frame->payload lives in
 * the decoder until the next call. EPROTOCOL: a type, codec or length that may not be, or bad data. ENOMEM: frame is as
 * it was. */
int pr_frame_open(pr_decoder *, pr_frame_in *frame, uint64_t features, uint32_t max_frame);

size_t pr_record_bytes(const pr_record *); /* with tag and length: to keep HELLO and digests within their limits */

#endif

/* The decoder's scratch memory, and the parts of decoding. */
#ifndef PR_DECODER_H
#define PR_DECODER_H

#include "wire.h"

/* An array that grows and is reused for the next message. */
typedef struct pr_scratch {
    void *data;
    size_t bytes;
} pr_scratch;

struct pr_decoder {
    pr_alloc alloc;
    pr_scratch records, unlinked; /* pr_record, uint64_t */
    pr_scratch removed, ups;      /* pr_removed, pr_up */
    pr_scratch topics;            /* presence_str: the dictionary of a SEG */
    pr_scratch eids;              /* uint64_t */
    pr_scratch raw, zstd;         /* a payload that came compressed; the context of zstd, about 100 KiB once needed */
    int failed;                   /* why a nanopb callback gave up: 0 (the message is bad) or PRESENCE_ENOMEM */
};

/* Room for count items, contents kept; NULL: no memory. count is bounded by the bytes of the frame. */
void *pr_scratch_fit(pr_decoder *, pr_scratch *, size_t count, size_t item_size);
void pr_scratch_trim(pr_decoder *, pr_scratch *, size_t kept); /* gives it back when it is greater than kept */

int pr_decode_segment(pr_decoder *, const pr_frame_in *, pr_segment *out);
int pr_decode_live(pr_decoder *, const pr_frame_in *, pr_live *out);
int pr_decode_hello(pr_decoder *, const pr_frame_in *, pr_hello *out);
int pr_decode_heartbeat(pr_decoder *, const pr_frame_in *, pr_heartbeat *out);
/* the rest: messages without arrays */
int pr_decode_small(const pr_frame_in *, pr_message *out);

#endif

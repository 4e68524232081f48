/* Decoding: picks the part for a type, owns the scratch memory. */
#include "decoder.h"
#include <string.h>

#define SCRATCH_KEPT ((size_t)1 << 20) /* more than this is given back before the next message */

int pr_decoder_new(const pr_alloc *alloc, pr_decoder **out) {
    pr_decoder *d = pr_new(alloc, sizeof *d);
    if (!d) return PRESENCE_ENOMEM;
    d->alloc = *alloc;
    *out = d;
    return 0;
}

void pr_scratch_trim(pr_decoder *d, pr_scratch *s, size_t kept) {
    if (s->bytes <= kept) return;
    pr_delete(&d->alloc, s->data, s->bytes);
    *s = (pr_scratch){0};
}

/* raw may hold the payload that is to be decoded: it is trimmed where the next one is opened */
static void trim(pr_decoder *d, size_t kept) {
    pr_scratch *all[] = {&d->records, &d->unlinked, &d->removed, &d->ups, &d->topics, &d->eids};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) pr_scratch_trim(d, all[i], kept);
}

void pr_decoder_free(pr_decoder *d) {
    if (!d) return;
    trim(d, 0);
    pr_scratch_trim(d, &d->raw, 0);
    pr_scratch_trim(d, &d->zstd, 0);
    pr_alloc alloc = d->alloc;
    pr_delete(&alloc, d, sizeof *d);
}

void *pr_scratch_fit(pr_decoder *d, pr_scratch *s, size_t count, size_t item_size) {
    size_t need = (count ? count : 1) * item_size;
    if (need <= s->bytes) return s->data;
    if (need < s->bytes * 2) need = s->bytes * 2;
    void *data = pr_resize(&d->alloc, s->data, s->bytes, need);
    if (!data) return NULL;
    s->data = data;
    s->bytes = need;
    return data;
}

int pr_decode(pr_decoder *d, const pr_frame_in *frame, pr_message *out) {
    trim(d, SCRATCH_KEPT);
    d->failed = 0;
    out->type = frame->type;
    if (frame->compressed) return PRESENCE_EPROTOCOL;
    switch (frame->type) {
    case PR_HELLO: return pr_decode_hello(d, frame, &out->as.hello);
    case PR_HEARTBEAT: return pr_decode_heartbeat(d, frame, &out->as.heartbeat);
    case PR_SEGMENT: return pr_decode_segment(d, frame, &out->as.segment);
    case PR_LIVE: return pr_decode_live(d, frame, &out->as.live);
    default: return pr_decode_small(frame, out);
    }
}

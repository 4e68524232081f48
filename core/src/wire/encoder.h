/* The parts of encoding: each appends the payload of its message. 0, PRESENCE_ENOMEM or PRESENCE_ELIMIT. */
#ifndef PR_ENCODER_H
#define PR_ENCODER_H

#include "wire.h"

int pr_encode_segment(pr_buffer *, const pr_segment *);
int pr_encode_live(pr_buffer *, const pr_live *);
/* all others; size_max: more bytes than this end in ELIMIT */
int pr_encode_cold(pr_buffer *, const pr_message *, size_t size_max);

#endif

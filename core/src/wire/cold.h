/* What the nanopb side shares: a record in the generated form. */
#ifndef PR_COLD_H
#define PR_COLD_H

#include "presence.pb.h"
#include "wire.h"
#include <pb_decode.h>
#include <pb_encode.h>

/* Where a string field is decoded to, with the limit of the schema. */
typedef struct pr_text_field {
    char *out; /* size_max + 1 bytes */
    size_t size_max;
} pr_text_field;
/* The field then takes at most size_max bytes of UTF-8 without NUL. */
void pr_text_read(pb_callback_t *, pr_text_field *);
void pr_text_write(pb_callback_t *, const char *terminated); /* nothing if empty */

/* Before decoding: strings go straight to *out, `name` lives as long. */
void pr_record_read(pr_pb_Record *, pr_text_field *name, pr_record *out);
/* After it: the numbers, and the rules (inst not 0; fixed iff there is a name). */
bool pr_record_take(const pr_pb_Record *, pr_record *out);
void pr_record_write(pr_pb_Record *, const pr_record *);

#endif

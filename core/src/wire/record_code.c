/* A record, what a member says of another, both ways (protocol.md 3.4). */
#include "cold.h"
#include "protobuf.h"
#include <string.h>

static bool read_text(pb_istream_t *stream, const pb_field_iter_t *field, void **arg) {
    (void)field;
    const pr_text_field *text = *arg;
    size_t size = stream->bytes_left;
    if (size > text->size_max || !pb_read(stream, (pb_byte_t *)text->out, size)) return false;
    text->out[size] = 0;
    return pr_utf8_valid(pr_str(text->out, size));
}

void pr_text_read(pb_callback_t *callback, pr_text_field *text) {
    callback->funcs.decode = read_text;
    callback->arg = text;
}

static bool write_text(pb_ostream_t *stream, const pb_field_iter_t *field, void *const *arg) {
    const char *text = *arg;
    size_t size = strlen(text);
    return !size || (pb_encode_tag_for_field(stream, field) && pb_encode_string(stream, (const pb_byte_t *)text, size));
}

void pr_text_write(pb_callback_t *callback, const char *terminated) {
    callback->funcs.encode = write_text;
    callback->arg = (void *)terminated;
}

static bool read_address(pb_istream_t *stream, const pb_field_iter_t *field, void **arg) {
    pr_record *record = *arg;
    if (record->addresses_size == PR_ADDRESSES_MAX || !stream->bytes_left) return false;
    pr_text_field text = {record->addresses[record->addresses_size++], PR_ADDRESS_MAX};
    void *to = &text;
    return read_text(stream, field, &to);
}

static bool write_addresses(pb_ostream_t *stream, const pb_field_iter_t *field, void *const *arg) {
    const pr_record *record = *arg;
    for (size_t i = 0; i < record->addresses_size; i++) {
        void *address = (void *)record->addresses[i];
        if (!write_text(stream, field, &address)) return false;
    }
    return true;
}

void pr_record_read(pr_pb_Record *pb, pr_text_field *name, pr_record *out) {
    *pb = (pr_pb_Record)pr_pb_Record_init_zero;
    *name = (pr_text_field){out->name, PR_MEMBER_NAME_MAX};
    pr_text_read(&pb->name, name);
    pb->addr.funcs.decode = read_address;
    pb->addr.arg = out;
}

/* Without a name the other fixed fields say nothing, whatever was sent. */
static void take_fixed(const pr_pb_Record *pb, pr_record *out) {
    out->fixed = out->name[0] != 0;
    if (out->fixed) {
        out->features = pb->features;
        out->proto = pb->proto;
        out->observer = pb->observer;
    } else
        out->addresses_size = 0;
}

bool pr_record_take(const pr_pb_Record *pb, pr_record *out) {
    out->inst = pb->inst;
    out->inc = pb->inc;
    out->hb = pb->hb;
    out->left = pb->left;
    out->age_ms = pb->age_ms;
    out->hops = pb->hops;
    out->period_ms = pb->period_ms;
    out->has_version = pb->has_version;
    out->version = pb->has_version ? pb->version : 0;
    take_fixed(pb, out);
    return pb->inst != 0;
}

static void write_fixed(pr_pb_Record *pb, const pr_record *record) {
    if (!record->fixed) return;
    pr_text_write(&pb->name, record->name);
    pb->addr.funcs.encode = write_addresses;
    pb->addr.arg = (void *)record;
    pb->features = record->features;
    pb->proto = record->proto;
    pb->observer = record->observer;
}

void pr_record_write(pr_pb_Record *pb, const pr_record *record) {
    *pb = (pr_pb_Record){
        .inst = record->inst,
        .inc = record->inc,
        .hb = record->hb,
        .left = record->left,
        .age_ms = record->age_ms,
        .hops = record->hops,
        .period_ms = record->period_ms,
        .has_version = record->has_version,
        .version = record->version,
    };
    write_fixed(pb, record);
}

/* with tag and length, as it stands in HELLO and HB */
size_t pr_record_bytes(const pr_record *record) {
    pr_pb_Record pb;
    size_t size = 0;
    pr_record_write(&pb, record);
    pb_get_encoded_size(&size, pr_pb_Record_fields, &pb);
    return 1 + pr_varint_size(size) + size;
}

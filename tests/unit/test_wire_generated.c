/* The hand-coded SEG and LIVE against the code generated from presence.proto, with all its bytes as callbacks: our
 * bytes decode there to the same, what is encoded there is byte for byte ours. */
#include "wire_samples.h"

#include "presence.pb.h"
#include <pb_decode.h>
#include <pb_encode.h>

/* ---- bytes and entities as they stand in the generated form ---- */
struct bytes {
    uint8_t data[1 << 17];
    size_t size;
};

struct text {
    const char *data;
    size_t size;
};

static char arena[4 << 20]; /* of the texts of one form */
static size_t arena_used;

struct entity {
    pr_pb_Entry pb;
    struct text topic_name, key, meta;
};

struct form {
    pr_pb_Segment segment;
    pr_pb_Live live;
    struct bytes removed, gaps, bits;
    struct entity *entities;
    size_t size;
};

static bool take_bytes(pb_istream_t *stream, const pb_field_iter_t *field, void **arg) {
    (void)field;
    struct bytes *bytes = *arg;
    bytes->size = stream->bytes_left;
    return bytes->size <= sizeof bytes->data && pb_read(stream, bytes->data, bytes->size);
}

static bool give_bytes(pb_ostream_t *stream, const pb_field_iter_t *field, void *const *arg) {
    const struct bytes *bytes = *arg;
    if (!bytes->size) return true;
    return pb_encode_tag_for_field(stream, field) && pb_encode_string(stream, bytes->data, bytes->size);
}

static bool take_text(pb_istream_t *stream, const pb_field_iter_t *field, void **arg) {
    (void)field;
    struct text *text = *arg;
    size_t size = stream->bytes_left;
    char *to = arena + arena_used;
    *text = (struct text){to, size};
    arena_used += size;
    return arena_used <= sizeof arena && pb_read(stream, (pb_byte_t *)to, size);
}

static bool give_text(pb_ostream_t *stream, const pb_field_iter_t *field, void *const *arg) {
    const struct text *text = *arg;
    if (!text->size) return true;
    return pb_encode_tag_for_field(stream, field) &&
           pb_encode_string(stream, (const pb_byte_t *)text->data, text->size);
}

static void bind_entity(struct entity *e, bool encode) {
    struct {
        pb_callback_t *callback;
        struct text *text;
    } all[] = {{&e->pb.topic_name, &e->topic_name}, {&e->pb.key, &e->key}, {&e->pb.meta, &e->meta}};
    for (size_t i = 0; i < 3; i++) {
        if (encode)
            all[i].callback->funcs.encode = give_text;
        else
            all[i].callback->funcs.decode = take_text;
        all[i].callback->arg = all[i].text;
    }
}

static struct entity *add_entity(struct form *f) {
    assert_true(f->size < SAMPLE_ITEMS);
    struct entity *e = &f->entities[f->size++];
    e->pb = (pr_pb_Entry)pr_pb_Entry_init_zero;
    e->topic_name.size = e->key.size = e->meta.size = 0;
    return e;
}

static bool take_entity(pb_istream_t *stream, const pb_field_iter_t *field, void **arg) {
    (void)field;
    struct entity *e = add_entity(*arg);
    bind_entity(e, false);
    return pb_decode(stream, pr_pb_Entry_fields, &e->pb);
}

static bool give_entities(pb_ostream_t *stream, const pb_field_iter_t *field, void *const *arg) {
    struct form *f = *arg;
    for (size_t i = 0; i < f->size; i++)
        if (!pb_encode_tag_for_field(stream, field) ||
            !pb_encode_submessage(stream, pr_pb_Entry_fields, &f->entities[i].pb))
            return false;
    return true;
}

static void bind_decode(pb_callback_t *callback, struct bytes *bytes) {
    bytes->size = 0;
    callback->funcs.decode = take_bytes;
    callback->arg = bytes;
}

static void bind_encode(pb_callback_t *callback, struct bytes *bytes) {
    callback->funcs.encode = give_bytes;
    callback->arg = bytes;
}

static struct form *form_new(void) {
    struct form *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->entities = calloc(SAMPLE_ITEMS, sizeof *f->entities);
    assert_non_null(f->entities);
    return f;
}

static void form_free(struct form *f) {
    free(f->entities);
    free(f);
}

static uint64_t next_varint(pb_istream_t *stream) {
    uint64_t value;
    assert_true(pb_decode_varint(stream, &value));
    return value;
}

/* ---- SEG: the generated form read as the text of 5.2 says ---- */
static void check_removed(const struct form *f, const pr_segment *s) {
    pb_istream_t stream = pb_istream_from_buffer(f->removed.data, f->removed.size);
    uint64_t eid = 0;
    for (size_t i = 0; i < s->removed_size; i++) {
        uint64_t value = next_varint(&stream);
        eid += (value >> 2) + 1;
        assert_int_equal(eid, s->removed[i].eid);
        assert_int_equal(value & 3, s->removed[i].reason);
    }
    assert_int_equal(stream.bytes_left, 0);
}

static void check_text(const struct text *text, presence_str expected) {
    assert_text(pr_str(text->data, text->size), expected);
}

static void check_entities(const struct form *f, const pr_segment *s) {
    static const struct text *topics[SAMPLE_ITEMS + 1];
    size_t known = 0, last = 0;
    uint64_t dot = s->x;
    assert_int_equal(f->size, s->ups_size);
    for (size_t i = 0; i < f->size; i++) {
        const struct entity *e = &f->entities[i];
        if (e->topic_name.size) {
            assert_int_equal(e->pb.topic, 0);
            topics[last = ++known] = &e->topic_name;
        } else if (e->pb.topic) {
            assert_in_range(e->pb.topic, 1, known);
            last = e->pb.topic;
        }
        dot += 1 + e->pb.gap;
        assert_int_equal(dot, s->ups[i].dot);
        assert_int_equal(dot - e->pb.back, s->ups[i].eid);
        assert_int_equal(e->pb.flags, 0);
        check_text(&e->meta, s->ups[i].meta);
        check_text(&e->key, s->ups[i].key);
        if (!s->ups[i].patch) check_text(topics[last], s->ups[i].topic);
    }
}

static void check_segment(struct form *f, const pr_segment *s, const pr_buffer *frame) {
    pb_istream_t stream = pb_istream_from_buffer(frame->data + 4, frame->size - 8);
    f->segment = (pr_pb_Segment)pr_pb_Segment_init_zero;
    f->size = arena_used = 0;
    bind_decode(&f->segment.removed, &f->removed);
    f->segment.ups.funcs.decode = take_entity;
    f->segment.ups.arg = f;
    assert_true(pb_decode(&stream, pr_pb_Segment_fields, &f->segment));
    assert_int_equal(f->segment.log, s->log);
    assert_int_equal(f->segment.asof, s->T);
    assert_int_equal(f->segment.asof - f->segment.d_have, s->x);
    assert_int_equal(f->segment.asof + f->segment.d_asof, s->T2);
    assert_int_equal(f->segment.asof + f->segment.d_asof - f->segment.r_have, s->x2);
    assert_int_equal(f->segment.more, s->more);
    assert_int_equal(f->segment.count_hint, s->count_hint);
    check_removed(f, s);
    check_entities(f, s);
}

static void check_bytes(const pb_msgdesc_t *fields, const void *pb, const pr_buffer *frame) {
    static uint8_t out[4 << 20];
    pb_ostream_t stream = pb_ostream_from_buffer(out, sizeof out);
    assert_true(pb_encode(&stream, fields, pb));
    assert_int_equal(stream.bytes_written, frame->size - 8);
    assert_memory_equal(out, frame->data + 4, stream.bytes_written);
}

static void segments_equal_the_generated_form(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    struct form *f = form_new();
    sample *s = sample_new(31);
    for (int i = 0; i < 1000; i++) {
        const pr_message *m = sample_next(s, PR_SEGMENT);
        wire_encode(&pair, m);
        check_segment(f, &m->as.segment, &pair.buffer);
        for (size_t j = 0; j < f->size; j++) bind_entity(&f->entities[j], true);
        bind_encode(&f->segment.removed, &f->removed);
        f->segment.ups.funcs.encode = give_entities;
        check_bytes(pr_pb_Segment_fields, &f->segment, &pair.buffer);
    }
    free(s);
    form_free(f);
    wire_pair_close(&pair);
}

/* ---- LIVE ---- */
static void check_gaps(const struct bytes *gaps, const pr_live *live) {
    pb_istream_t stream = pb_istream_from_buffer(gaps->data, gaps->size);
    uint64_t eid = live->lo;
    for (size_t i = 0; i < live->eids_size; i++) {
        eid += 1 + next_varint(&stream);
        assert_int_equal(eid, live->eids[i]);
    }
    assert_int_equal(stream.bytes_left, 0);
}

static void check_bits(const struct bytes *bits, const pr_live *live) {
    size_t found = 0;
    assert_true(bits->data[bits->size - 1] != 0);
    for (size_t i = 0; i < bits->size * 8; i++)
        if (bits->data[i / 8] >> i % 8 & 1) assert_int_equal(live->lo + 1 + i, live->eids[found++]);
    assert_int_equal(found, live->eids_size);
}

static void check_live(struct form *f, const pr_live *live, const pr_buffer *frame) {
    pb_istream_t stream = pb_istream_from_buffer(frame->data + 4, frame->size - 8);
    f->live = (pr_pb_Live)pr_pb_Live_init_zero;
    bind_decode(&f->live.gaps, &f->gaps);
    bind_decode(&f->live.bits, &f->bits);
    assert_true(pb_decode(&stream, pr_pb_Live_fields, &f->live));
    assert_int_equal(f->live.log, live->log);
    assert_int_equal(f->live.version, live->w);
    assert_int_equal(f->live.lo, live->lo);
    assert_int_equal(f->live.lo + f->live.d_hi, live->hi);
    assert_int_equal(f->live.more, live->more);
    assert_true(!f->gaps.size || !f->bits.size);
    if (f->bits.size)
        check_bits(&f->bits, live);
    else
        check_gaps(&f->gaps, live);
}

static void lives_equal_the_generated_form(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    struct form *f = form_new();
    sample *s = sample_new(32);
    int forms[2] = {0};
    for (int i = 0; i < 3000; i++) {
        const pr_message *m = sample_next(s, PR_LIVE);
        wire_encode(&pair, m);
        check_live(f, &m->as.live, &pair.buffer);
        forms[f->bits.size != 0]++;
        bind_encode(&f->live.gaps, &f->gaps);
        bind_encode(&f->live.bits, &f->bits);
        check_bytes(pr_pb_Live_fields, &f->live, &pair.buffer);
    }
    assert_true(forms[0] > 300 && forms[1] > 300);
    free(s);
    form_free(f);
    wire_pair_close(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_equal_the_generated_form),
        cmocka_unit_test(lives_equal_the_generated_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

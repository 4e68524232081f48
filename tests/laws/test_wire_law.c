/* Laws of the wire format over random messages of every frame type (protocol.md 5.1, 5.2, 5.6):
 *
 *   round trip   what is encoded is what is decoded, and what was decoded is encoded to the same bytes
 *   later        fields that this version does not know change nothing, wherever they stand and however deep
 *
 * A run is a function of its seed. At failure the seed is printed:  test_wire_law SEED [COUNT]  replays from it. */
#include "wire_samples.h"

#include "protobuf.h"

enum { TYPES = PR_NAK, ROOM = 1 << 23 };

/* Which messages have others inside; the fields of presence.proto. */
enum kind { PLAIN = 0, STATE, RECORD, ENTRY, HELLO, HEARTBEAT, SEGMENT, REQUEST };

static uint64_t seed = 1, runs = 300, beyond;
static unsigned long frames, strangers;

static enum kind kind_of(uint8_t type) {
    switch (type) {
    case PR_HELLO: return HELLO;
    case PR_HEARTBEAT: return HEARTBEAT;
    case PR_SEGMENT: return SEGMENT;
    case PR_REQUEST: return REQUEST;
    default: return PLAIN;
    }
}

static enum kind inside(enum kind kind, unsigned field) {
    if (kind == HELLO) return field == 6 ? STATE : field == 2 || field == 7 ? RECORD : PLAIN;
    if (kind == HEARTBEAT) return field == 8 || field == 9 ? RECORD : PLAIN;
    if (kind == SEGMENT) return field == 7 ? ENTRY : PLAIN;
    return kind == REQUEST && field == 2 ? STATE : PLAIN;
}

static uint8_t *put(uint8_t *at, const void *data, size_t size) {
    if (size) memcpy(at, data, size);
    return at + size;
}

/* A field of a number that no version of now uses, of any type. */
static uint8_t *put_stranger(sample *s, uint8_t *at) {
    static const uint8_t types[] = {PR_FIELD_VARINT, PR_FIELD_FIXED64, PR_FIELD_BYTES, PR_FIELD_FIXED32};
    uint8_t type = types[sample_below(s, 4)], noise[40];
    unsigned number = 100 + (unsigned)sample_below(s, sample_chance(s, 50) ? 30 : (1u << 29) - 100);
    size_t size = type == PR_FIELD_FIXED64 ? 8 : type == PR_FIELD_FIXED32 ? 4 : (size_t)sample_below(s, sizeof noise);
    for (size_t i = 0; i < size; i++) noise[i] = (uint8_t)sample_number(s);
    strangers++;
    at = pr_put_varint(at, PR_TAG(number, type));
    if (type == PR_FIELD_VARINT) return pr_put_varint(at, sample_sized(s, 64));
    if (type == PR_FIELD_BYTES) at = pr_put_varint(at, size);
    return put(at, noise, size);
}

/* Writes the fields of `from` again, with strangers between them, at most `*left` more. */
static uint8_t *put_mixed(sample *s, uint8_t *at, pr_reader from, enum kind kind, unsigned *left) {
    pr_field field;
    for (const uint8_t *start = from.at;; start = from.at) {
        while (*left && sample_chance(s, 20)) at = put_stranger(s, at), --*left;
        if (pr_field_next(&from, &field) <= 0) return at;
        enum kind in = (field.tag & 7) == PR_FIELD_BYTES ? inside(kind, field.tag >> 3) : PLAIN;
        if (in == PLAIN) {
            at = put(at, start, (size_t)(from.at - start));
            continue;
        }
        size_t whole = (size_t)(field.bytes.end - field.bytes.at);
        uint8_t *part = malloc(whole + 64 * (*left + 1));
        assert_non_null(part);
        size_t size = (size_t)(put_mixed(s, part, field.bytes, in, left) - part);
        at = pr_put_varint(pr_put_varint(at, field.tag), size);
        at = put(at, part, size);
        free(part);
    }
}

static void law_of_strangers(sample *s, wire_pair *pair, const pr_message *in) {
    static uint8_t longer[ROOM];
    unsigned left = 1 + (unsigned)sample_below(s, 20);
    size_t end = pair->buffer.size - 4; /* the crc */
    pr_reader payload = {pair->buffer.data + 4, pair->buffer.data + end};
    uint8_t *at = put_mixed(s, longer, payload, kind_of(in->type), &left);
    size_t size = (size_t)(at - longer);
    uint8_t *block = malloc(size ? size : 1); /* of just its size, for the sanitizer */
    assert_non_null(block);
    put(block, longer, size);
    pr_frame_in frame = {.type = in->type, .payload = block, .size = size};
    assert_int_equal(pr_decode(pair->decoder, &frame, &pair->out), 0);
    assert_messages(in, &pair->out);
    free(block);
}

static void law_of_round_trips(wire_pair *pair, const pr_message *in) {
    pr_buffer again;
    size_t size = wire_encode(pair, in);
    assert_int_equal(wire_decode(pair, pair->buffer.data, size), 0);
    assert_messages(in, &pair->out);
    pr_buffer_init(&again, &pair->alloc, ROOM);
    assert_int_equal(pr_encode(&again, &pair->out, 0xffffff), 0);
    assert_int_equal(again.size, size);
    assert_memory_equal(again.data, pair->buffer.data, size);
    pr_buffer_free(&again);
}

static void laws_of_the_wire(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    printf("from seed %llu, %llu runs\n", (unsigned long long)seed, (unsigned long long)runs);
    for (beyond = seed + runs; seed < beyond; seed++) {
        sample *s = sample_new(seed * 0x9e3779b97f4a7c15u + 1);
        for (uint8_t type = PR_HELLO; type <= TYPES; type++) {
            const pr_message *in = sample_next(s, type);
            law_of_round_trips(&pair, in);
            law_of_strangers(s, &pair, in);
            frames++;
        }
        free(s);
    }
    printf("%lu frames, %lu fields that nobody knows\n", frames, strangers);
    wire_pair_close(&pair);
}

/* What failed inside of the above is told by cmocka; this says with which seed. */
static int say_seed(void **state) {
    (void)state;
    if (seed == beyond) return 0;
    printf("it was seed %llu; replay: test_wire_law %llu 1\n", (unsigned long long)seed, (unsigned long long)seed);
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1) seed = strtoull(argv[1], NULL, 10);
    if (argc > 2) runs = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(laws_of_the_wire, say_seed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

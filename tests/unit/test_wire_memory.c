/* Without memory: every allocation of encoding and decoding fails once; nothing is lost, nothing half written. */
#include "wire_samples.h"

#include "heap.h"

static void decoder_may_not_come_to_be(void **state) {
    (void)state;
    heap h = {.fail_in = 1};
    pr_alloc alloc = heap_allocator(&h);
    pr_decoder *decoder = NULL;
    assert_int_equal(pr_decoder_new(&alloc, &decoder), PRESENCE_ENOMEM);
    pr_decoder_free(NULL);
    assert_int_equal(h.blocks, 0);
}

/* returns how many allocations had to fail before it worked */
static int decode_with_failures(const pr_frame_in *frame, const pr_message *expected) {
    static pr_message out;
    for (size_t fail_at = 1;; fail_at++) {
        heap h = {0};
        pr_alloc alloc = heap_allocator(&h);
        pr_decoder *decoder;
        assert_int_equal(pr_decoder_new(&alloc, &decoder), 0);
        h.fail_in = fail_at;
        int result = pr_decode(decoder, frame, &out);
        h.fail_in = 0;
        assert_true(result == 0 || result == PRESENCE_ENOMEM);
        if (result) assert_int_equal(pr_decode(decoder, frame, &out), 0); /* the decoder is whole */
        assert_messages(expected, &out);
        pr_decoder_free(decoder);
        assert_int_equal(h.blocks, 0);
        if (!result) return (int)fail_at - 1;
    }
}

static void decoding_survives_every_failure(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    sample *s = sample_new(51);
    int failures = 0;
    for (int i = 0; i < 600; i++) {
        const pr_message *m = sample_next(s, (uint8_t)(1 + i % 12));
        size_t size = wire_encode(&pair, m);
        pr_frame_in frame = {.type = m->type, .payload = pair.buffer.data + 4, .size = size - 8};
        failures += decode_with_failures(&frame, m);
    }
    assert_true(failures > 200);
    free(s);
    wire_pair_close(&pair);
}

/* a lack of memory is not remembered when the next frame is bad for its own sake */
static void a_failure_is_told_once(void **state) {
    (void)state;
    heap h = {0};
    pr_alloc alloc = heap_allocator(&h);
    pr_decoder *decoder;
    static pr_message out;
    static const uint8_t unlinked[] = {0x39, 1, 2, 3, 4, 5, 6, 7, 8};
    assert_int_equal(pr_decoder_new(&alloc, &decoder), 0);
    pr_frame_in frame = {.type = PR_HEARTBEAT, .payload = unlinked, .size = sizeof unlinked};
    h.fail_in = 1;
    assert_int_equal(pr_decode(decoder, &frame, &out), PRESENCE_ENOMEM);
    frame.size--;
    assert_int_equal(pr_decode(decoder, &frame, &out), PRESENCE_EPROTOCOL);
    pr_decoder_free(decoder);
    assert_int_equal(h.blocks, 0);
}

static void encode_with_failures(const pr_message *m, const pr_buffer *expected) {
    for (size_t fail_at = 1;; fail_at++) {
        heap h = {0};
        pr_alloc alloc = heap_allocator(&h);
        pr_buffer buffer;
        pr_buffer_init(&buffer, &alloc, (size_t)64 << 20);
        pr_buffer_append(&buffer, "before", 6);
        h.fail_in = fail_at;
        int result = pr_encode(&buffer, m, 0xffffff);
        assert_true(result == 0 || result == PRESENCE_ENOMEM);
        assert_int_equal(buffer.size, 6 + (result ? 0 : expected->size));
        assert_memory_equal(buffer.data, "before", 6);
        if (!result) assert_memory_equal(buffer.data + 6, expected->data, expected->size);
        pr_buffer_free(&buffer);
        assert_int_equal(h.blocks, 0);
        if (!result) return;
    }
}

static void encoding_survives_every_failure(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    sample *s = sample_new(52);
    for (int i = 0; i < 600; i++) {
        const pr_message *m = sample_next(s, (uint8_t)(1 + i % 12));
        wire_encode(&pair, m);
        encode_with_failures(m, &pair.buffer);
    }
    free(s);
    wire_pair_close(&pair);
}

static void a_full_buffer_is_a_limit(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    sample *s = sample_new(53);
    for (int i = 0; i < 300; i++) {
        const pr_message *m = sample_next(s, (uint8_t)(1 + i % 12));
        size_t size = wire_encode(&pair, m);
        pr_buffer small;
        pr_buffer_init(&small, &pair.alloc, size - 1);
        assert_int_equal(pr_encode(&small, m, 0xffffff), PRESENCE_ELIMIT);
        assert_int_equal(small.size, 0);
        pr_buffer_free(&small);
    }
    free(s);
    wire_pair_close(&pair);
}

/* a frame of many small things grows the scratch; it is given back before the next one */
static void scratch_is_bounded_and_given_back(void **state) {
    (void)state;
    heap h = {0};
    pr_alloc alloc = heap_allocator(&h);
    pr_decoder *decoder;
    assert_int_equal(pr_decoder_new(&alloc, &decoder), 0);
    size_t eids = 200000, empty = h.bytes;
    wire_pair pair;
    wire_pair_open(&pair);
    pr_message m = {.type = PR_LIVE}, *out = &pair.out;
    m.as.live = (pr_live){.w = eids, .hi = eids, .eids_size = eids};
    uint64_t *eid_list = malloc(eids * sizeof(uint64_t));
    assert_non_null(eid_list);
    for (uint64_t i = 0; i < eids; i++) eid_list[i] = i + 1;
    m.as.live.eids = eid_list;
    size_t size = wire_encode(&pair, &m);
    for (int i = 0; i < 3; i++) {
        pr_frame_in frame = {.type = PR_LIVE, .payload = pair.buffer.data + 4, .size = size - 8};
        assert_int_equal(pr_decode(decoder, &frame, out), 0);
        assert_lives(&m.as.live, &out->as.live);
    }
    assert_in_range(h.bytes - empty, eids * 8, eids * 8 + 1024); /* counted first, then allocated once */
    m = (pr_message){.type = PR_UNSUB, .as = {.unsub = 1}};
    free(eid_list);
    size = wire_encode(&pair, &m);
    assert_int_equal(
        pr_decode(decoder, &(pr_frame_in){.type = PR_UNSUB, .payload = pair.buffer.data + 4, .size = size - 8}, out),
        0);
    assert_int_equal(h.bytes, empty);
    pr_decoder_free(decoder);
    wire_pair_close(&pair);
    assert_int_equal(h.blocks, 0);
}

/* SEGs that promise much and hold little allocate little */
static void nothing_is_allocated_for_a_promise(void **state) {
    (void)state;
    heap h = {0};
    pr_alloc alloc = heap_allocator(&h);
    pr_decoder *decoder;
    static pr_message out;
    assert_int_equal(pr_decoder_new(&alloc, &decoder), 0);
    static const uint8_t hint[] = {0x48, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x10, 0xff, 0xff, 0xff, 0xff, 0x0f};
    pr_frame_in frame = {.type = PR_SEGMENT, .payload = hint, .size = sizeof hint};
    assert_int_equal(pr_decode(decoder, &frame, &out), 0);
    assert_int_equal(out.as.segment.count_hint, UINT32_MAX);
    assert_true(h.bytes < 4096);
    pr_decoder_free(decoder);
    assert_int_equal(h.blocks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoder_may_not_come_to_be),
        cmocka_unit_test(decoding_survives_every_failure),
        cmocka_unit_test(a_failure_is_told_once),
        cmocka_unit_test(encoding_survives_every_failure),
        cmocka_unit_test(a_full_buffer_is_a_limit),
        cmocka_unit_test(scratch_is_bounded_and_given_back),
        cmocka_unit_test(nothing_is_allocated_for_a_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

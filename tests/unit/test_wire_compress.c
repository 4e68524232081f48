/* Compressed payloads: what goes in comes out, hostile ones are refused before there is memory for them. */
#include "wire_samples.h"

#include "framing.h"
#include "heap.h"
#include "wire_golden.h"

#define BOTH (PR_FEATURE_LZ4 | PR_FEATURE_ZSTD)

static const enum pr_codec codecs[] = {PR_CODEC_LZ4, PR_CODEC_ZSTD};

/* ---- a sender and a receiver, each with a heap of its own ---- */
typedef struct wire_link {
    heap sending, reading;
    pr_alloc sender, reader;
    pr_compressor compressor;
    pr_buffer buffer;
    pr_decoder *decoder;
    pr_message out;
} wire_link;

static void link_open(wire_link *l, uint32_t least) {
    memset(l, 0, sizeof *l);
    l->sender = heap_allocator(&l->sending);
    l->reader = heap_allocator(&l->reading);
    pr_compressor_init(&l->compressor, &l->sender, least);
    pr_buffer_init(&l->buffer, &l->sender, (size_t)64 << 20);
    assert_int_equal(pr_decoder_new(&l->reader, &l->decoder), 0);
}

static void link_close(wire_link *l) {
    pr_compressor_free(&l->compressor);
    pr_buffer_free(&l->buffer);
    pr_decoder_free(l->decoder);
    assert_int_equal(l->sending.blocks + l->reading.blocks, 0);
}

static pr_frame_in link_frame(wire_link *l) {
    pr_frame_in frame;
    size_t consumed, wanted;
    assert_int_equal(pr_frame_read(l->buffer.data, l->buffer.size, 0xffffff, &frame, &consumed, &wanted), 1);
    assert_int_equal(consumed, l->buffer.size);
    return frame;
}

static pr_frame_in link_encode(wire_link *l, enum pr_codec codec, const pr_message *m) {
    pr_buffer_clear(&l->buffer);
    assert_int_equal(pr_encode_compressed(&l->compressor, codec, &l->buffer, m, 0xffffff), 0);
    return link_frame(l);
}

/* a join of count entries in rooms of ten: compressible as a snapshot is */
static pr_message *big_segment(size_t count) {
    struct {
        pr_message message;
        pr_up ups[];
    } *big = calloc(1, sizeof *big + count * (sizeof(pr_up) + 128));
    assert_non_null(big);
    char *text = (char *)(big->ups + count);
    for (size_t i = 0; i < count; i++, text += 128) {
        snprintf(text, 32, "room:%zu", i / 10);
        snprintf(text + 32, 32, "user:%zu", i);
        snprintf(text + 64, 32, "{\"at\":%zu}", 1700000000 + i * 7919);
        big->ups[i] = (pr_up){.eid = i + 1, .dot = i + 1, .topic_id = (pr_id)(1 + i / 10)};
        big->ups[i].topic = pr_cstr(text);
        big->ups[i].key = pr_cstr(text + 32);
        big->ups[i].meta = pr_cstr(text + 64);
    }
    big->message.type = PR_SEGMENT;
    big->message.as.segment = (pr_segment){.x2 = count, .T2 = count, .ups = big->ups, .ups_size = count};
    return &big->message;
}

/* ---- what goes in comes out ---- */
static void every_message_comes_back(void **state) {
    (void)state;
    for (size_t c = 0; c < 2; c++) {
        wire_link l;
        link_open(&l, 0);
        sample *s = sample_new(61 + c);
        size_t compressed = 0, saved = 0;
        for (int i = 0; i < 3000; i++) {
            const pr_message *m = sample_next(s, (uint8_t)(1 + i % 12));
            wire_pair plain;
            wire_pair_open(&plain);
            size_t plain_size = wire_encode(&plain, m);
            pr_frame_in frame = link_encode(&l, codecs[c], m);
            assert_int_equal(l.buffer.size + l.compressor.saved, plain_size);
            assert_int_equal(frame.compressed, l.compressor.saved > 0);
            if (!frame.compressed) assert_memory_equal(l.buffer.data, plain.buffer.data, plain_size);
            if (m->type == PR_HELLO || m->type == PR_HEARTBEAT || m->type == PR_REQUEST) assert_false(frame.compressed);
            compressed += frame.compressed;
            saved += l.compressor.saved;
            assert_int_equal(pr_frame_open(l.decoder, &frame, BOTH, 0xffffff), 0);
            assert_int_equal(pr_decode(l.decoder, &frame, &l.out), 0);
            assert_messages(m, &l.out);
            wire_pair_close(&plain);
        }
        assert_true(compressed > 200 && saved > 1000);
        free(s);
        link_close(&l);
    }
}

static void small_or_incompressible_frames_go_plain(void **state) {
    (void)state;
    wire_link l;
    link_open(&l, PR_COMPRESS_LEAST);
    for (size_t c = 0; c < 2; c++) {
        pr_message *m = big_segment(60);
        pr_frame_in frame = link_encode(&l, codecs[c], m);
        assert_true(frame.size <= PR_COMPRESS_LEAST && !frame.compressed);
        free(m);
        m = big_segment(300);
        assert_true(link_encode(&l, codecs[c], m).compressed);
        assert_false(link_encode(&l, PR_CODEC_NONE, m).compressed);
        assert_int_equal(l.compressor.saved, 0);
        free(m);
        uint64_t random = 7;
        static char noise[8000];
        for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)pr_random_next(&random);
        pr_up up = {.eid = 1, .dot = 1, .patch = true, .meta = pr_str(noise, sizeof noise)};
        pr_message update = {.type = PR_SEGMENT, .as.segment = {.x2 = 1, .T2 = 1, .ups = &up, .ups_size = 1}};
        frame = link_encode(&l, codecs[c], &update);
        assert_true(frame.size > PR_COMPRESS_LEAST && !frame.compressed);
    }
    link_close(&l);
}

static void the_limit_binds_the_raw_length(void **state) {
    (void)state;
    wire_link l;
    link_open(&l, 0);
    pr_message *m = big_segment(100000);
    for (size_t c = 0; c < 2; c++) {
        pr_frame_in frame = link_encode(&l, codecs[c], m);
        size_t raw = frame.size + l.compressor.saved;
        assert_true(frame.compressed && raw > PR_FRAME_MAX);
        pr_frame_in again = frame;
        assert_int_equal(pr_frame_open(l.decoder, &frame, BOTH, (uint32_t)raw - 1), PRESENCE_EPROTOCOL);
        assert_int_equal(pr_frame_open(l.decoder, &again, BOTH, (uint32_t)raw), 0);
        assert_int_equal(again.size, raw);
        pr_buffer_clear(&l.buffer);
        assert_int_equal(pr_encode_compressed(&l.compressor, codecs[c], &l.buffer, m, (uint32_t)raw), 0);
        pr_buffer_clear(&l.buffer);
        assert_int_equal(pr_encode_compressed(&l.compressor, codecs[c], &l.buffer, m, (uint32_t)raw - 1),
                         PRESENCE_ELIMIT);
        assert_int_equal(l.buffer.size, 0);
    }
    free(m);
    link_close(&l);
}

static void the_codec_is_what_both_can(void **state) {
    (void)state;
    assert_int_equal(pr_codec_choose(PR_CODEC_LZ4, BOTH), PR_CODEC_LZ4);
    assert_int_equal(pr_codec_choose(PR_CODEC_LZ4, PR_FEATURE_ZSTD), PR_CODEC_NONE);
    assert_int_equal(pr_codec_choose(PR_CODEC_ZSTD, BOTH), PR_CODEC_ZSTD);
    assert_int_equal(pr_codec_choose(PR_CODEC_ZSTD, PR_FEATURE_LZ4), PR_CODEC_LZ4);
    assert_int_equal(pr_codec_choose(PR_CODEC_ZSTD, PR_FEATURE_PATCH | PR_FEATURE_SUM), PR_CODEC_NONE);
    assert_int_equal(pr_codec_choose(PR_CODEC_NONE, BOTH), PR_CODEC_NONE);
}

/* Compressors may change from version to version, what they once wrote must stay readable. */
static void kept_compressed_frames_are_read(void **state) {
    (void)state;
    static const char *const names[] = {"compressed_lz4", "compressed_zstd"};
    wire_link l;
    link_open(&l, 0);
    pr_message *m = big_segment(40);
    for (size_t c = 0; c < 2; c++) {
        uint8_t kept[4096];
        size_t size = golden_read(names[c], kept, sizeof kept);
        if (!size) {
            link_encode(&l, codecs[c], m);
            for (size_t i = 0; i < l.buffer.size; i++)
                print_message("%02x%s", l.buffer.data[i], i % 32 == 31 || i + 1 == l.buffer.size ? "\n" : " ");
        }
        assert_true(size > 0);
        pr_buffer_clear(&l.buffer);
        pr_buffer_append(&l.buffer, kept, size);
        pr_frame_in frame = link_frame(&l);
        assert_true(frame.compressed);
        assert_int_equal(frame.payload[0], codecs[c]);
        assert_int_equal(pr_frame_open(l.decoder, &frame, BOTH, PR_FRAME_MIN), 0);
        assert_int_equal(pr_decode(l.decoder, &frame, &l.out), 0);
        assert_messages(m, &l.out);
    }
    free(m);
    link_close(&l);
}

/* ---- hostile ---- */
/* payload in a block of just its size, so that a sanitizer sees a read behind it */
static int open_bytes(wire_link *l, uint8_t type, const uint8_t *payload, size_t size, uint64_t features) {
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, payload, size);
    pr_frame_in frame = {.type = type, .payload = copy, .size = size, .compressed = true};
    int result = pr_frame_open(l->decoder, &frame, features, PR_FRAME_MAX);
    if (!result) pr_decode(l->decoder, &frame, &l->out);
    free(copy);
    return result;
}

static void what_was_not_agreed_on_is_refused(void **state) {
    (void)state;
    wire_link l;
    link_open(&l, 0);
    pr_message *m = big_segment(100);
    for (size_t c = 0; c < 2; c++) {
        pr_frame_in frame = link_encode(&l, codecs[c], m);
        uint64_t own = c ? PR_FEATURE_ZSTD : PR_FEATURE_LZ4;
        static uint8_t payload[65536];
        memcpy(payload, frame.payload, frame.size);
        assert_int_equal(open_bytes(&l, PR_SEGMENT, payload, frame.size, own), 0);
        assert_int_equal(open_bytes(&l, PR_SEGMENT, payload, frame.size, BOTH & ~own), PRESENCE_EPROTOCOL);
        assert_int_equal(open_bytes(&l, PR_SEGMENT, payload, frame.size, 0), PRESENCE_EPROTOCOL);
        static const uint8_t never[] = {PR_HELLO, PR_HEARTBEAT, PR_REQUEST};
        for (size_t i = 0; i < sizeof never; i++)
            assert_int_equal(open_bytes(&l, never[i], payload, frame.size, BOTH), PRESENCE_EPROTOCOL);
        for (unsigned codec = 0; codec < 256; codec++) {
            payload[0] = (uint8_t)codec;
            if (codec != codecs[c]) /* the other one finds no data of its own */
                assert_int_equal(open_bytes(&l, PR_SEGMENT, payload, frame.size, UINT64_MAX), PRESENCE_EPROTOCOL);
        }
        assert_int_equal(pr_decode(l.decoder, &frame, &l.out), PRESENCE_EPROTOCOL); /* not opened */
    }
    free(m);
    link_close(&l);
}

static void lengths_that_lie_are_refused(void **state) {
    (void)state;
    wire_link l;
    link_open(&l, 0);
    pr_message *m = big_segment(100);
    for (size_t c = 0; c < 2; c++) {
        pr_frame_in frame = link_encode(&l, codecs[c], m);
        uint32_t raw = (uint32_t)(frame.size + l.compressor.saved);
        static uint8_t payload[65536];
        memcpy(payload, frame.payload, frame.size);
        payload[frame.size] = 0;
        assert_int_equal(open_bytes(&l, PR_SEGMENT, payload, frame.size + 1, BOTH), PRESENCE_EPROTOCOL);
        for (size_t cut = 0; cut < frame.size; cut++)
            assert_int_equal(open_bytes(&l, PR_SEGMENT, payload, cut, BOTH), PRESENCE_EPROTOCOL);
        const uint32_t lies[] = {0, 1, raw - 1, raw + 1, raw * 2, PR_FRAME_MAX, PR_FRAME_MAX + 1, UINT32_MAX};
        for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
            pr_write_u32(payload + 1, lies[i]);
            assert_int_equal(open_bytes(&l, PR_SEGMENT, payload, frame.size, BOTH), PRESENCE_EPROTOCOL);
        }
    }
    assert_true(l.reading.bytes < 3u * PR_FRAME_MAX);
    free(m);
    link_close(&l);
}

static void a_promise_gets_no_memory(void **state) {
    (void)state;
    wire_link l;
    link_open(&l, 0);
    size_t before = l.reading.requests;
    static const uint8_t lz4[] = {PR_CODEC_LZ4, 0, 0, 0x10, 0, 0x1f, 0, 1, 0};  /* 1 MiB out of 4 bytes */
    static const uint8_t beyond[] = {PR_CODEC_ZSTD, 1, 0, 0x10, 0, 1, 2, 3, 4}; /* one byte over max_frame */
    assert_int_equal(open_bytes(&l, PR_SEGMENT, lz4, sizeof lz4, BOTH), PRESENCE_EPROTOCOL);
    assert_int_equal(open_bytes(&l, PR_SEGMENT, beyond, sizeof beyond, BOTH), PRESENCE_EPROTOCOL);
    assert_int_equal(l.reading.requests, before);
    link_close(&l);
}

/* zeroes shrink to almost nothing, and are given as much room as they say, never more than the limit */
static void a_bomb_is_bounded(void **state) {
    (void)state;
    for (size_t c = 0; c < 2; c++) {
        wire_link l;
        link_open(&l, 0);
        size_t count = PR_FRAME_MAX / 2;
        uint64_t *eids = malloc(count * sizeof *eids);
        assert_non_null(eids);
        for (size_t i = 0; i < count; i++) eids[i] = 1 + i * 9; /* gaps of 8, as bytes */
        pr_message live = {.type = PR_LIVE, .as.live = {.w = count * 9, .hi = count * 9, .eids = eids}};
        live.as.live.eids_size = count;
        pr_frame_in frame = link_encode(&l, codecs[c], &live);
        assert_true(frame.size < (frame.size + l.compressor.saved) / 200);
        static uint8_t payload[65536];
        memcpy(payload, frame.payload, frame.size);
        pr_write_u32(payload + 1, 4096); /* it becomes far more */
        assert_int_equal(open_bytes(&l, PR_LIVE, payload, frame.size, BOTH), PRESENCE_EPROTOCOL);
        assert_true(l.reading.bytes < 200000);
        assert_int_equal(pr_frame_open(l.decoder, &frame, BOTH, PR_FRAME_MAX), 0);
        assert_true(l.reading.bytes < PR_FRAME_MAX + 200000);
        free(eids);
        link_close(&l);
    }
}

/* a compressed payload inside a compressed payload is no message */
static void nesting_means_nothing(void **state) {
    (void)state;
    wire_link l;
    link_open(&l, 0);
    pr_message *m = big_segment(2000);
    for (size_t c = 0; c < 2; c++) {
        pr_frame_in frame = link_encode(&l, codecs[c], m);
        uint8_t *inner = malloc(frame.size + 2 * PR_FRAME_MIN), *outer = inner + frame.size;
        assert_non_null(inner);
        memcpy(inner, frame.payload, frame.size);
        /* stored as literals of one lz4 block */
        size_t at = 5, left = frame.size;
        outer[0] = PR_CODEC_LZ4;
        pr_write_u32(outer + 1, (uint32_t)frame.size);
        outer[at++] = 0xf0;
        for (left -= 15; left >= 255; left -= 255) outer[at++] = 255;
        outer[at++] = (uint8_t)left;
        memcpy(outer + at, inner, frame.size);
        pr_frame_in twice = {.type = PR_SEGMENT, .payload = outer, .size = at + frame.size, .compressed = true};
        assert_int_equal(pr_frame_open(l.decoder, &twice, BOTH, PR_FRAME_MAX), 0);
        assert_memory_equal(twice.payload, inner, frame.size);
        assert_int_equal(pr_decode(l.decoder, &twice, &l.out), PRESENCE_EPROTOCOL);
        free(inner);
    }
    free(m);
    link_close(&l);
}

static void flipped_bits_behind_a_right_crc_do_no_harm(void **state) {
    (void)state;
    wire_link l;
    link_open(&l, 0);
    pr_message *m = big_segment(60);
    for (size_t c = 0; c < 2; c++) {
        pr_frame_in frame = link_encode(&l, codecs[c], m);
        static uint8_t payload[65536];
        size_t size = frame.size;
        memcpy(payload, frame.payload, size);
        for (size_t bit = 0; bit < size * 8; bit++) {
            payload[bit / 8] ^= (uint8_t)(1u << bit % 8);
            int result = open_bytes(&l, PR_SEGMENT, payload, size, BOTH);
            assert_true(result == 0 || result == PRESENCE_EPROTOCOL);
            payload[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    free(m);
    link_close(&l);
}

/* ---- without memory ---- */
static void sending_without_memory_sends_plain(void **state) {
    (void)state;
    pr_message *m = big_segment(300);
    size_t plain = 0;
    for (size_t c = 0; c < 2; c++) {
        for (size_t fail_at = 1;; fail_at++) {
            wire_link l;
            link_open(&l, 0);
            assert_int_equal(pr_buffer_reserve(&l.buffer, 1 << 20), 0);
            l.sending.fail_in = fail_at;
            pr_buffer_clear(&l.buffer);
            int result = pr_encode_compressed(&l.compressor, codecs[c], &l.buffer, m, PR_FRAME_MAX);
            bool failed = l.sending.failed > 0;
            l.sending.fail_in = 0;
            if (result == PRESENCE_ENOMEM) { /* encoding itself */
                assert_true(failed && l.buffer.size == 0);
                link_close(&l);
                continue;
            }
            plain += failed;
            pr_frame_in frame = link_frame(&l);
            assert_int_equal(frame.compressed, !failed);
            assert_int_equal(pr_frame_open(l.decoder, &frame, BOTH, PR_FRAME_MAX), 0);
            assert_int_equal(pr_decode(l.decoder, &frame, &l.out), 0);
            assert_messages(m, &l.out);
            if (failed) assert_true(link_encode(&l, codecs[c], m).compressed); /* there is memory again */
            link_close(&l);
            if (!failed) break;
            assert_true(fail_at < 20);
        }
    }
    assert_int_equal(plain, 4); /* for either codec the workspace, and the room for the result */
    free(m);
}

static void opening_without_memory_can_be_done_again(void **state) {
    (void)state;
    pr_message *m = big_segment(300);
    for (size_t c = 0; c < 2; c++) {
        for (size_t fail_at = 1;; fail_at++) {
            wire_link l;
            link_open(&l, 0);
            pr_frame_in frame = link_encode(&l, codecs[c], m), kept = frame;
            l.reading.fail_in = fail_at;
            int result = pr_frame_open(l.decoder, &frame, BOTH, PR_FRAME_MAX);
            l.reading.fail_in = 0;
            if (result) {
                assert_int_equal(result, PRESENCE_ENOMEM);
                assert_true(frame.payload == kept.payload && frame.size == kept.size && frame.compressed);
                assert_int_equal(pr_frame_open(l.decoder, &frame, BOTH, PR_FRAME_MAX), 0);
            }
            assert_int_equal(pr_decode(l.decoder, &frame, &l.out), 0);
            assert_messages(m, &l.out);
            link_close(&l);
            if (!result) break;
            assert_true(fail_at < 10);
        }
    }
    free(m);
}

/* a large payload stays until it is decoded, and is given back with the next frame */
static void large_payloads_are_given_back(void **state) {
    (void)state;
    wire_link l;
    link_open(&l, 0);
    pr_message *m = big_segment(100000);
    pr_frame_in frame = link_encode(&l, PR_CODEC_LZ4, m);
    assert_int_equal(pr_frame_open(l.decoder, &frame, BOTH, 0xffffff), 0);
    assert_int_equal(pr_decode(l.decoder, &frame, &l.out), 0);
    assert_messages(m, &l.out);
    pr_message small = {.type = PR_UNSUB, .as.unsub = 1};
    frame = link_encode(&l, PR_CODEC_LZ4, &small);
    assert_int_equal(pr_frame_open(l.decoder, &frame, BOTH, 0xffffff), 0);
    assert_int_equal(pr_decode(l.decoder, &frame, &l.out), 0);
    assert_true(l.reading.bytes < 4096);
    free(m);
    link_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_back),
        cmocka_unit_test(small_or_incompressible_frames_go_plain),
        cmocka_unit_test(the_limit_binds_the_raw_length),
        cmocka_unit_test(the_codec_is_what_both_can),
        cmocka_unit_test(kept_compressed_frames_are_read),
        cmocka_unit_test(what_was_not_agreed_on_is_refused),
        cmocka_unit_test(lengths_that_lie_are_refused),
        cmocka_unit_test(a_promise_gets_no_memory),
        cmocka_unit_test(a_bomb_is_bounded),
        cmocka_unit_test(nesting_means_nothing),
        cmocka_unit_test(flipped_bits_behind_a_right_crc_do_no_harm),
        cmocka_unit_test(sending_without_memory_sends_plain),
        cmocka_unit_test(opening_without_memory_can_be_done_again),
        cmocka_unit_test(large_payloads_are_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Preamble, frames and crc: what is taken, what is refused, what waits for more. */
#include "wire_samples.h"

#include "crc32c.h"

static void crc_has_the_known_values(void **state) {
    (void)state;
    uint8_t zeros[32] = {0}, ones[32], up[32], all[256 + 8];
    memset(ones, 0xff, sizeof ones);
    for (int i = 0; i < 32; i++) up[i] = (uint8_t)i;
    assert_int_equal(pr_crc32c("123456789", 9), 0xe3069283);
    assert_int_equal(pr_crc32c(zeros, 32), 0x8a9136aa); /* RFC 3720 B.4 */
    assert_int_equal(pr_crc32c(ones, 32), 0x62a8ab43);
    assert_int_equal(pr_crc32c(up, 32), 0x46dd794e);
    assert_int_equal(pr_crc32c(NULL, 0), 0);
    for (size_t i = 0; i < sizeof all; i++) all[i] = (uint8_t)(i * 7 + 1);
    for (size_t from = 0; from < 8; from++) /* every length and alignment, instruction against table */
        for (size_t size = 0; size <= 256; size++)
            assert_int_equal(pr_crc32c(all + from, size), pr_crc32c_table(all + from, size));
}

static void preamble_agrees_on_a_version(void **state) {
    (void)state;
    uint8_t ours[PR_PREAMBLE_SIZE];
    static const uint8_t kept[] = {'L', 'P', 'R', 'E', 1, 0, 1, 0};
    uint32_t proto = 0;
    pr_preamble_write(ours);
    assert_memory_equal(ours, kept, sizeof kept);
    assert_int_equal(pr_preamble_read(ours, &proto), 0);
    assert_int_equal(proto, 1);
}

static int preamble(uint32_t min, uint32_t max, uint32_t *proto) {
    uint8_t in[] = {'L', 'P', 'R', 'E', (uint8_t)min, (uint8_t)(min >> 8), (uint8_t)max, (uint8_t)(max >> 8)};
    return pr_preamble_read(in, proto);
}

static void preamble_refuses_what_is_not_in_common(void **state) {
    (void)state;
    uint32_t proto = 0;
    assert_int_equal(preamble(1, 0xffff, &proto), 0);
    assert_int_equal(proto, 1);
    assert_int_equal(preamble(0, 1, &proto), 0);
    assert_int_equal(preamble(2, 2, &proto), PRESENCE_EVERSION);
    assert_int_equal(preamble(0x101, 0x101, &proto), PRESENCE_EVERSION);
    assert_int_equal(preamble(0, 0, &proto), PRESENCE_EVERSION);
    assert_int_equal(preamble(2, 1, &proto), PRESENCE_EPROTOCOL);
    assert_int_equal(pr_preamble_read((const uint8_t *)"GET / HT", &proto), PRESENCE_EPROTOCOL);
    assert_int_equal(pr_preamble_read((const uint8_t *)"\x16\x03\x01\x02\x00\x01\x00\x01", &proto), PRESENCE_EPROTOCOL);
}

struct read {
    pr_frame_in frame;
    size_t consumed, wanted;
    int result;
};

static struct read read_header(uint32_t header, uint32_t max_frame) {
    uint8_t data[64] = {(uint8_t)header, (uint8_t)(header >> 8), (uint8_t)(header >> 16), (uint8_t)(header >> 24)};
    struct read r = {.consumed = 77};
    r.result = pr_frame_read(data, sizeof data, max_frame, &r.frame, &r.consumed, &r.wanted);
    return r;
}

static void frames_without_crc_are_read(void **state) {
    (void)state;
    for (uint32_t type = 0; type < 32; type++) { /* also unknown ones: the caller skips them */
        struct read r = read_header(type << 24 | 5, PR_FRAME_MIN);
        assert_int_equal(r.result, 1);
        assert_int_equal(r.frame.type, type);
        assert_int_equal(r.frame.size, 5);
        assert_int_equal(r.consumed, 9);
        assert_false(r.frame.compressed);
        assert_true(read_header(1u << 29 | type << 24 | 5, PR_FRAME_MIN).frame.compressed); /* pr_frame_open judges */
    }
}

static void bad_headers_are_refused(void **state) {
    (void)state;
    assert_int_equal(read_header(1u << 31 | 3u << 24, PR_FRAME_MIN).result, PRESENCE_EPROTOCOL);
    assert_int_equal(read_header(1u << 30 | 3u << 24, PR_FRAME_MIN).result, PRESENCE_EPROTOCOL); /* crc of 0 */
    assert_int_equal(read_header(3u << 24 | (PR_FRAME_MIN + 1), PR_FRAME_MIN).result, PRESENCE_EPROTOCOL);
    struct read r = read_header(3u << 24 | PR_FRAME_MIN, PR_FRAME_MIN);
    assert_int_equal(r.result, 0);
    assert_int_equal(r.wanted, 4 + PR_FRAME_MIN);
    r = read_header(1u << 30 | 3u << 24 | 0xffffff, UINT32_MAX);
    assert_int_equal(r.result, 0);
    assert_int_equal(r.wanted, 4 + 0xffffff + 4);
}

static void a_stream_is_cut_into_its_frames(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    sample *s = sample_new(77);
    size_t ends[200];
    for (int i = 0; i < 200; i++) {
        assert_int_equal(pr_encode(&pair.buffer, sample_next(s, (uint8_t)(1 + i % 12)), PR_FRAME_MAX), 0);
        ends[i] = pair.buffer.size;
    }
    size_t at = 0;
    for (int i = 0; i < 200; i++) {
        pr_frame_in frame;
        size_t consumed, wanted;
        assert_int_equal(
            pr_frame_read(pair.buffer.data + at, pair.buffer.size - at, PR_FRAME_MAX, &frame, &consumed, &wanted), 1);
        assert_int_equal(frame.type, 1 + i % 12);
        assert_int_equal(pr_decode(pair.decoder, &frame, &pair.out), 0);
        at += consumed;
        assert_int_equal(at, ends[i]);
    }
    free(s);
    wire_pair_close(&pair);
}

static void encoding_over_max_frame_leaves_nothing(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    sample *s = sample_new(78);
    pr_message unsub = {.type = PR_UNSUB, .as = {.unsub = 1}};
    assert_int_equal(pr_encode(&pair.buffer, &unsub, PR_FRAME_MIN), 0);
    size_t before = pair.buffer.size;
    for (uint8_t type = 1; type <= 12; type++)
        for (int i = 0; i < 20; i++) {
            const pr_message *m = sample_next(s, type);
            pr_buffer_clear(&pair.buffer);
            assert_int_equal(pr_encode(&pair.buffer, m, 0xffffff), 0);
            uint32_t length = (uint32_t)pair.buffer.size - 8;
            pr_buffer_clear(&pair.buffer);
            assert_int_equal(pr_encode(&pair.buffer, &unsub, PR_FRAME_MIN), 0);
            assert_int_equal(pr_encode(&pair.buffer, m, length), 0);
            pair.buffer.size = before;
            if (!length) continue;
            assert_int_equal(pr_encode(&pair.buffer, m, length - 1), PRESENCE_ELIMIT);
            assert_int_equal(pair.buffer.size, before);
            assert_int_equal(pair.buffer.failed, 0);
        }
    free(s);
    wire_pair_close(&pair);
}

static void unknown_types_are_unsupported(void **state) {
    (void)state;
    wire_pair pair;
    wire_pair_open(&pair);
    for (int type = 0; type < 32; type = type ? type + 1 : 13) {
        pr_frame_in frame = {.type = (uint8_t)type, .payload = (const uint8_t *)"", .size = 0};
        pr_message m = {.type = (uint8_t)type};
        assert_int_equal(pr_decode(pair.decoder, &frame, &pair.out), PRESENCE_EUNSUPPORTED);
        assert_int_equal(pr_encode(&pair.buffer, &m, PR_FRAME_MIN), PRESENCE_EUNSUPPORTED);
        assert_int_equal(pair.buffer.size, 0);
    }
    wire_pair_close(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_has_the_known_values),
        cmocka_unit_test(preamble_agrees_on_a_version),
        cmocka_unit_test(preamble_refuses_what_is_not_in_common),
        cmocka_unit_test(frames_without_crc_are_read),
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(a_stream_is_cut_into_its_frames),
        cmocka_unit_test(encoding_over_max_frame_leaves_nothing),
        cmocka_unit_test(unknown_types_are_unsupported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Compression between engines: used where both ends have it, shared between links, refused where it was not agreed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine_peer.h"

enum { MANY = 400 };

static uint64_t saved(const world *w, int i) {
    presence_statistics stats = {.size = sizeof stats};
    pr_engine_stats(w->nodes[i].engine, &stats);
    return stats.bytes_saved;
}

static void start(world *w, int i, const char *name, unsigned seeds, enum pr_codec compression, uint64_t without) {
    w->nodes[i].options = pr_engine_options_default();
    w->nodes[i].options.compression = compression;
    w->nodes[i].options.features &= ~without;
    world_start(w, i, name, seeds);
}

/* the actions are left in the engine */
static void track_many(world *w, int i, const char *prefix) {
    static char keys[MANY][16];
    static presence_item items[MANY];
    for (int k = 0; k < MANY; k++) {
        snprintf(keys[k], sizeof keys[k], "%s%d", prefix, k);
        items[k] = (presence_item){pr_cstr("room"), pr_cstr(keys[k]), pr_cstr("{\"status\":\"online\"}")};
    }
    presence_owner owner = world_owner(w, i);
    assert_int_equal(pr_engine_track_many(w->nodes[i].engine, owner, items, MANY, world_time(w), NULL, NULL, NULL), 0);
}

static void every_mixture_agrees(void **state) {
    (void)state;
    static const uint64_t without[] = {0, PR_FEATURE_LZ4, PR_FEATURE_ZSTD, PR_FEATURE_LZ4 | PR_FEATURE_ZSTD};
    for (int kind = 0; kind < 4; kind++) {
        world *w = world_new();
        start(w, 0, "lz4", 0, PR_CODEC_LZ4, 0);
        start(w, 1, "zstd", 1, PR_CODEC_ZSTD, 0);
        start(w, 2, "off", 1, PR_CODEC_NONE, 0);
        start(w, 3, "odd", 1, PR_CODEC_ZSTD, without[kind]);
        world_run(w, 3000);
        for (int i = 0; i < NODES; i++) track_many(w, i, &"a\0b\0c\0d"[2 * i]);
        world_run(w, 3000);
        for (int i = 0; i < NODES; i++) {
            assert_int_equal(world_shown(w, i, "room"), NODES * MANY);
            assert_int_equal(w->nodes[i].errors, 0);
        }
        assert_true(saved(w, 0) > 0 && saved(w, 1) > 0);
        assert_int_equal(saved(w, 2), 0);
        assert_int_equal(saved(w, 3) > 0, kind != 3);
        world_free(w);
    }
}

static void a_newcomer_gets_it_compressed(void **state) {
    (void)state;
    world *w = world_new();
    start(w, 0, "a", 0, PR_CODEC_LZ4, 0);
    track_many(w, 0, "k");
    world_run(w, 100);
    start(w, 1, "b", 1, PR_CODEC_NONE, 0);
    world_run(w, 3000);
    assert_int_equal(world_shown(w, 1, "room"), MANY);
    assert_true(saved(w, 0) > 0);
    world_free(w);
}

/* one change for three links: two with lz4 share their bytes, the one without has its own */
static void links_of_equal_features_share_the_bytes(void **state) {
    (void)state;
    world *w = world_new();
    start(w, 0, "a", 0, PR_CODEC_LZ4, 0);
    start(w, 1, "b", 1, PR_CODEC_LZ4, 0);
    start(w, 2, "c", 1, PR_CODEC_LZ4, PR_FEATURE_ZSTD);
    start(w, 3, "d", 1, PR_CODEC_LZ4, PR_FEATURE_LZ4);
    world_run(w, 3000);
    track_many(w, 0, "k");
    w->now += 100;
    pr_engine_tick(w->nodes[0].engine, world_time(w));
    pr_bytes *compressed[8], *plain[8];
    size_t compressed_size = 0, plain_size = 0;
    pr_action action;
    while (pr_engine_next_action(w->nodes[0].engine, &action)) {
        if (action.kind == PR_ACTION_DIFF) pr_diff_free(action.as.diff);
        if (action.kind != PR_ACTION_SEND) continue;
        pr_bytes *bytes = action.as.send.bytes;
        if (bytes->size < 1000)
            pr_bytes_release(bytes);
        else if (bytes->saved)
            compressed[compressed_size++] = bytes;
        else
            plain[plain_size++] = bytes;
    }
    assert_int_equal(compressed_size, 2);
    assert_int_equal(plain_size, 1);
    assert_ptr_equal(compressed[0], compressed[1]);
    assert_int_equal(compressed[0]->size + compressed[0]->saved, plain[0]->size);
    assert_int_equal(saved(w, 0), 2 * compressed[0]->saved);
    pr_bytes_release(compressed[0]);
    pr_bytes_release(compressed[1]);
    pr_bytes_release(plain[0]);
    world_free(w);
}

/* the peer of engine_peer.h announces no compression */
static void compressed_without_agreement_closes(void **state) {
    fixture *f = *state;
    link_evil(f);
    static char text[8192];
    memset(text, ' ', sizeof text);
    text[0] = '{', text[sizeof text - 1] = '}';
    pr_up up = {.eid = 1, .dot = 1, .topic = pr_cstr("t"), .key = pr_cstr("k"), .topic_id = 1};
    up.meta = pr_str(text, sizeof text);
    pr_message message = empty(PR_SEGMENT);
    message.as.segment.x2 = message.as.segment.T2 = 1;
    message.as.segment.ups = &up;
    message.as.segment.ups_size = 1;
    pr_compressor compressor;
    pr_buffer buffer;
    pr_compressor_init(&compressor, &f->alloc, PR_COMPRESS_LEAST);
    pr_buffer_init(&buffer, &f->alloc, PR_FRAME_MAX);
    assert_int_equal(pr_encode_compressed(&compressor, PR_CODEC_LZ4, &buffer, &message, PR_FRAME_MAX), 0);
    assert_true(compressor.saved > 0);
    say_bytes(f, buffer.data, buffer.size);
    pr_buffer_free(&buffer);
    pr_compressor_free(&compressor);
    assert_true(f->closed);
    assert_int_equal(f->last_error, PR_ERROR_PROTOCOL);
    assert_int_equal(f->w->nodes[0].last_error, PRESENCE_EPROTOCOL);
    assert_non_null(strstr(f->w->nodes[0].last_text, "compressed"));
    assert_int_equal(world_shown(f->w, 0, "t"), 0);
}

/* both ends have crc32c: a frame that says it has none was damaged, or lies */
static void a_frame_without_crc_closes(void **state) {
    fixture *f = *state;
    link_evil(f);
    static const uint8_t unsub[] = {9, 0, 0, PR_UNSUB, 0x09, 1, 2, 3, 4, 5, 6, 7, 8};
    say_bytes(f, unsub, sizeof unsub);
    assert_true(f->closed);
    assert_int_equal(f->last_error, PR_ERROR_PROTOCOL);
    assert_non_null(strstr(f->w->nodes[0].last_text, "without crc"));
}

/* A receiver without memory for the payload stops reading, and goes on a second later with the same frame (5.4). */
static void without_memory_the_frame_waits(void **state) {
    (void)state;
    for (int codec = PR_CODEC_LZ4; codec <= PR_CODEC_ZSTD; codec++) {
        world *w = world_new();
        start(w, 0, "a", 0, (enum pr_codec)codec, 0);
        start(w, 1, "b", 1, PR_CODEC_NONE, 0);
        world_run(w, 3000);
        track_many(w, 0, "k");
        w->nodes[1].heap.fail_in = 1;
        w->nodes[1].heap.fail_on = true;
        world_run(w, 1500);
        assert_true(w->nodes[1].heap.failed > 0);
        assert_int_equal(world_shown(w, 1, "room"), 0);
        w->nodes[1].heap.fail_in = 0;
        w->nodes[1].heap.fail_on = false;
        world_run(w, 3000);
        assert_int_equal(world_shown(w, 1, "room"), MANY);
        assert_int_not_equal(w->nodes[1].last_error, PRESENCE_EPROTOCOL);
        assert_true(saved(w, 0) > 0);
        world_free(w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mixture_agrees),
        cmocka_unit_test(a_newcomer_gets_it_compressed),
        cmocka_unit_test(links_of_equal_features_share_the_bytes),
        cmocka_unit_test_setup_teardown(compressed_without_agreement_closes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_frame_without_crc_closes, setup, teardown),
        cmocka_unit_test(without_memory_the_frame_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

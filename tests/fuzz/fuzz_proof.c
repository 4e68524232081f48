/* What TLS reads of a peer that has proven nothing. A stranger's bytes to either end, cut anywhere: never a proof, and
 * an end within the bound. Somebody between two members who know the secret, who changes, drops and adds bytes: if both
 * still believe each other, what they say arrives as it was said. */
#include "fuzz_input.h"
#include "tls.h"

#define TURNS 8

static pr_tls *members(void) {
    static pr_tls *tls;
    static pr_alloc alloc;
    pr_tls_settings settings = {"default", "correct horse battery staple", "", "", "", "", ""};
    char why[PR_TLS_WHY_MAX];
    if (tls) return tls;
    alloc = pr_alloc_default();
    REQUIRE(pr_tls_new(&alloc, &settings, &tls, why) == 0);
    return tls;
}

static void drain(pr_tls_link *link, pr_buffer *out) {
    pr_buffer_clear(out);
    REQUIRE(pr_tls_link_output(link, out));
}

static void stranger(fuzz_input *in, bool dialled, pr_buffer *out) {
    pr_tls_link *link = pr_tls_link_new(members(), dialled, "127.0.0.1", true);
    size_t taken = 0;
    REQUIRE(link != NULL);
    enum pr_tls_state state = pr_tls_link_step(link);
    while (in->size && state == PR_TLS_MORE) {
        presence_str part = fuzz_bytes(in, 1 + fuzz_byte(in) * 16u);
        REQUIRE(pr_tls_link_take(link, (const uint8_t *)part.data, part.size));
        taken += part.size;
        state = pr_tls_link_step(link);
        drain(link, out);
        REQUIRE(state != PR_TLS_PROVEN);
        REQUIRE(state == PR_TLS_FAILED || taken <= PR_TLS_BEFORE_PROOF);
    }
    REQUIRE((state == PR_TLS_FAILED) == (pr_tls_link_doubt(link) != PR_TLS_NO_DOUBT));
    REQUIRE((state == PR_TLS_FAILED) == (*pr_tls_link_why(link) != 0));
    pr_tls_link_free(link);
}

/* One flight on its way. */
static void carry(fuzz_input *in, pr_tls_link *from, pr_tls_link *to, pr_buffer *flight) {
    drain(from, flight);
    uint8_t what = fuzz_byte(in);
    size_t at = flight->size ? ((size_t)fuzz_byte(in) << 8 | fuzz_byte(in)) % flight->size : 0;
    if (what % 8 == 1 && flight->size) flight->data[at] ^= (uint8_t)(fuzz_byte(in) | 1);
    if (what % 8 == 2) flight->size = at;
    presence_str more = fuzz_bytes(in, what % 8 == 3 ? fuzz_byte(in) : 0);
    if (flight->size) REQUIRE(pr_tls_link_take(to, flight->data, flight->size));
    REQUIRE(pr_tls_link_take(to, (const uint8_t *)more.data, more.size));
}

static void hear(pr_tls_link *from, pr_tls_link *to, pr_buffer *flight) {
    char got[16];
    if (!pr_tls_link_write(from, "what is said", 12)) return;
    drain(from, flight);
    REQUIRE(pr_tls_link_take(to, flight->data, flight->size));
    ssize_t size = pr_tls_link_read(to, got, sizeof got);
    REQUIRE(size <= 0 || (size == 12 && memcmp(got, "what is said", 12) == 0));
}

static void between(fuzz_input *in, pr_buffer *flight) {
    pr_tls_link *a = pr_tls_link_new(members(), true, "127.0.0.1", true);
    pr_tls_link *b = pr_tls_link_new(members(), false, "127.0.0.1", true);
    REQUIRE(a && b);
    enum pr_tls_state of_a = pr_tls_link_step(a), of_b = PR_TLS_MORE;
    for (int turn = 0; turn < TURNS && of_a != PR_TLS_FAILED && of_b != PR_TLS_FAILED; turn++) {
        carry(in, a, b, flight);
        of_b = pr_tls_link_step(b);
        carry(in, b, a, flight);
        of_a = pr_tls_link_step(a);
    }
    if (of_a == PR_TLS_PROVEN && of_b == PR_TLS_PROVEN) {
        hear(a, b, flight);
        hear(b, a, flight);
    }
    pr_tls_link_free(a);
    pr_tls_link_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const pr_alloc *alloc;
    static pr_alloc heap;
    fuzz_input in = {data, size};
    pr_buffer room;
    if (!alloc) heap = pr_alloc_default(), alloc = &heap;
    pr_buffer_init(&room, alloc, 1u << 22);
    switch (fuzz_byte(&in) % 3) {
    case 0: stranger(&in, false, &room); break;
    case 1: stranger(&in, true, &room); break;
    default: between(&in, &room); break;
    }
    pr_buffer_free(&room);
    return 0;
}

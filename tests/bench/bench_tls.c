/* What proving and sealing cost, two ends in memory: CPU of one handshake (both ends), heap of one idle link (one end),
 * CPU of sealing and opening one heartbeat, and of bulk.
 * usage: bench_tls */
#include "bench_load.h"
#include "tls.h"
#include <malloc.h>

enum { PAIRS = 300, HEARTBEATS = 100000, BEAT_BYTES = 60, FRAME = 65536, FRAMES = 1500 };

typedef struct pair {
    pr_tls_link *dials, *accepts;
} pair;

static pr_alloc heap;
static pr_buffer flight;

static void carry(pr_tls_link *from, pr_tls_link *to) {
    pr_buffer_clear(&flight);
    if (!pr_tls_link_output(from, &flight) || !pr_tls_link_take(to, flight.data, flight.size)) abort();
}

static pair shake(pr_tls *tls) {
    pair p = {pr_tls_link_new(tls, true, "127.0.0.1", true), pr_tls_link_new(tls, false, "127.0.0.1", true)};
    enum pr_tls_state a = PR_TLS_MORE, b = PR_TLS_MORE;
    if (!p.dials || !p.accepts) abort();
    while (a == PR_TLS_MORE || b == PR_TLS_MORE) {
        a = pr_tls_link_step(p.dials);
        carry(p.dials, p.accepts);
        b = pr_tls_link_step(p.accepts);
        carry(p.accepts, p.dials);
    }
    if (a != PR_TLS_PROVEN || b != PR_TLS_PROVEN) abort();
    return p;
}

static void handshakes(pr_tls *tls, pair *pairs) {
    pairs[0] = shake(tls); /* what is made once is not counted */
    size_t before = mallinfo2().uordblks;
    double start = bench_cpu();
    for (int i = 1; i <= PAIRS; i++) pairs[i] = shake(tls);
    bench_report("c.tls.handshake", (bench_cpu() - start) * 1e6 / PAIRS, "us");
    bench_report("c.tls.memory", (double)(mallinfo2().uordblks - before) / (2 * PAIRS), "B");
}

static void pass(const pair *p, size_t size) {
    static char said[FRAME], heard[FRAME];
    if (!pr_tls_link_write(p->dials, said, size)) abort();
    carry(p->dials, p->accepts);
    for (size_t got = 0; got < size;) {
        ssize_t part = pr_tls_link_read(p->accepts, heard, sizeof heard);
        if (part <= 0) abort();
        got += (size_t)part;
    }
}

static double passes(const pair *p, size_t size, int count) {
    double start = bench_cpu();
    for (int i = 0; i < count; i++) pass(p, size);
    return (bench_cpu() - start) / count;
}

int main(void) {
    static pair pairs[PAIRS + 1];
    pr_tls_settings settings = {"default", "correct horse battery staple", "", "", "", "", ""};
    char why[PR_TLS_WHY_MAX];
    pr_tls *tls;
    heap = pr_alloc_default();
    pr_buffer_init(&flight, &heap, 1u << 24);
    bench_check(pr_tls_new(&heap, &settings, &tls, why), "tls");
    handshakes(tls, pairs);
    bench_report("c.tls.heartbeat", passes(&pairs[0], BEAT_BYTES, HEARTBEATS) * 1e6, "us");
    bench_report("c.tls.bulk", FRAME / passes(&pairs[0], FRAME, FRAMES) * 1e-6, "MB/s");
    for (int i = 0; i <= PAIRS; i++) {
        pr_tls_link_free(pairs[i].dials);
        pr_tls_link_free(pairs[i].accepts);
    }
    pr_tls_free(tls);
    pr_buffer_free(&flight);
    return 0;
}

/* From a track in one process to the diff in another. Programs of the same arguments exist in Python and Node.
 * usage: bench_latency read COUNT            prints its address, then p50 and p99 in ms of COUNT joins
 *        bench_latency write COUNT ADDRESS   joins there and tracks, one presence every 5 ms, until its input ends */
#include "bench_load.h"
#include <pthread.h>
#include <unistd.h>

static const presence_str topic = {"latency", 7};

typedef struct reading {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    double *took; /* ms */
    size_t size, room;
} reading;

static void on_event(const presence_event *event, void *user) {
    reading *r = user;
    double now = bench_wall();
    if (presence_event_kind(event) != PRESENCE_EVENT_DIFF) return;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < presence_event_size(event) && r->size < r->room; i++) {
        presence_entry entry = {.size = sizeof entry};
        if (presence_event_at(event, i, &entry) != 0 || entry.kind != PRESENCE_JOIN) continue;
        /* {"t":<nanoseconds>} */
        r->took[r->size++] = now * 1e3 - strtod(entry.meta.data + 5, NULL) * 1e-6;
    }
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static int read_joins(size_t count) {
    char address[80];
    reading r = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .room = count};
    presence_config *config = presence_config_new();
    presence_tracker *tracker = bench_open(config, NULL);
    r.took = malloc(count * sizeof *r.took);
    bench_check(presence_set_diff_callback(tracker, on_event, &r), "set_diff_callback");
    bench_check(presence_subscribe(tracker, topic, NULL), "subscribe");
    bench_check(presence_tracker_address(tracker, address, sizeof address), "address");
    printf("%s\n", address);
    fflush(stdout);
    pthread_mutex_lock(&r.lock);
    while (r.size < r.room) pthread_cond_wait(&r.changed, &r.lock);
    pthread_mutex_unlock(&r.lock);
    presence_tracker_close(tracker);
    double p50 = bench_quantile(r.took, r.size, 0.5);
    printf("%g %g\n", p50, bench_quantile(r.took, r.size, 0.99));
    presence_config_free(config);
    free(r.took);
    return 0;
}

static int write_joins(size_t count, const char *address) {
    const char *const options[] = {"listen", "", "join", address, NULL};
    presence_config *config = presence_config_new();
    presence_tracker *tracker = bench_open(config, options);
    presence_owner owner;
    char key[24], meta[40], end;
    bench_check(presence_wait_synced(tracker, 5000), "synced");
    bench_check(presence_owner_open(tracker, &owner), "owner");
    for (size_t i = 0; i < count; i++) {
        struct timespec rest = {0, 5000000};
        nanosleep(&rest, NULL);
        presence_str k = {key, (size_t)sprintf(key, "k%zu", i)};
        presence_str m = {meta, (size_t)sprintf(meta, "{\"t\":%.0f}", bench_wall() * 1e9)};
        bench_check(presence_track(tracker, owner, topic, k, m, NULL), "track");
    }
    while (read(0, &end, 1) > 0) continue;
    presence_tracker_close(tracker);
    presence_config_free(config);
    return 0;
}

int main(int argc, char **argv) {
    size_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    if (argc == 3 && strcmp(argv[1], "read") == 0) return read_joins(count);
    if (argc == 4 && strcmp(argv[1], "write") == 0) return write_joins(count, argv[3]);
    return fprintf(stderr, "usage: bench_latency read COUNT | write COUNT ADDRESS\n"), 2;
}

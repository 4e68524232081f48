/* Bytes on the wire, as the sender counts them: a join alone and in a batch of 100, a leave, an update, a heartbeat,
 * a snapshot per entry. Two trackers of this process; with few heartbeats but for their own measurement.
 * usage: bench_wire */
#include "bench_load.h"

enum { ALONE = 50, BATCH = 100, SNAPSHOT = 10000 };

typedef struct pair {
    presence_tracker *a, *b;
    presence_owner owner;
} pair;

static void pause_ms(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static presence_statistics stats_of(presence_tracker *tracker) {
    presence_statistics stats = {.size = sizeof stats};
    bench_check(presence_stats(tracker, &stats), "stats");
    return stats;
}

static presence_tracker *open_joined(const char *heartbeat, const char *join) {
    const char *const options[] = {"heartbeat_ms", heartbeat, "join", join, NULL};
    presence_config *config = presence_config_new();
    presence_tracker *tracker = bench_open(config, options);
    presence_config_free(config);
    return tracker;
}

static void join(pair *p, const char *heartbeat) {
    char address[80];
    bench_check(presence_tracker_address(p->a, address, sizeof address), "address");
    p->b = open_joined(heartbeat, address);
    bench_check(presence_wait_synced(p->b, 5000), "synced");
    for (uint64_t links = 0; links == 0; pause_ms(1)) links = stats_of(p->a).links;
    bench_check(presence_owner_open(p->a, &p->owner), "owner");
}

static void part(pair *p) {
    presence_tracker_close(p->b);
    presence_tracker_close(p->a);
}

/* Waits until b has shown so many changes in all. */
static void wait_for(pair *p, uint64_t changes) {
    for (;;) {
        presence_statistics stats = stats_of(p->b);
        if (stats.joins + stats.updates + stats.leaves >= changes) return;
        pause_ms(1);
    }
}

static uint64_t shown(pair *p) {
    presence_statistics stats = stats_of(p->b);
    return stats.joins + stats.updates + stats.leaves;
}

/* The greetings after a join go on for a moment. */
static void settle(pair *p) {
    for (uint64_t before = 1, now = 0; before != now; pause_ms(100)) {
        before = now;
        now = stats_of(p->a).bytes_out;
    }
}

typedef int (*change_fn)(pair *, const bench_texts *);

static int track(pair *p, const bench_texts *t) {
    return presence_track(p->a, p->owner, t->topic, t->key, t->meta, NULL);
}
static int update(pair *p, const bench_texts *t) {
    return presence_update(p->a, p->owner, t->topic, t->key, t->other, NULL);
}
static int untrack(pair *p, const bench_texts *t) { return presence_untrack(p->a, p->owner, t->topic, t->key, NULL); }

/* One change at a time, each seen by the other before the next. */
static void alone(pair *p, const char *name, const bench_texts *texts, change_fn change) {
    uint64_t before = stats_of(p->a).bytes_out;
    for (size_t i = 0; i < ALONE; i++) {
        uint64_t seen = shown(p);
        bench_check(change(p, &texts[i]), name);
        wait_for(p, seen + 1);
    }
    bench_report(name, (double)(stats_of(p->a).bytes_out - before) / ALONE, "B");
}

static void batch(pair *p, const bench_texts *texts) {
    presence_item items[BATCH];
    uint64_t before = stats_of(p->a).bytes_out, seen = shown(p);
    for (size_t i = 0; i < BATCH; i++) items[i] = (presence_item){texts[i].topic, texts[i].key, texts[i].meta};
    bench_check(presence_track_many(p->a, p->owner, items, BATCH, NULL, NULL), "track_many");
    wait_for(p, seen + BATCH);
    bench_report("c.wire.join_batch", (double)(stats_of(p->a).bytes_out - before) / BATCH, "B");
}

static void changes(const bench_texts *texts) {
    pair p = {.a = open_joined("20000", "")};
    join(&p, "20000");
    settle(&p);
    alone(&p, "c.wire.join", texts, track);
    alone(&p, "c.wire.update", texts, update);
    alone(&p, "c.wire.leave", texts, untrack);
    batch(&p, texts + ALONE);
    part(&p);
}

static void heartbeat(void) {
    pair p = {.a = open_joined("100", "")};
    join(&p, "100");
    pause_ms(500);
    presence_statistics before = stats_of(p.a);
    pause_ms(2000);
    presence_statistics after = stats_of(p.a);
    double frames = (double)(after.frames_out - before.frames_out);
    bench_report("c.wire.heartbeat", (double)(after.bytes_out - before.bytes_out) / frames, "B");
    part(&p);
}

static void snapshot(const bench_texts *texts) {
    pair p = {.a = open_joined("20000", "")};
    presence_owner *owners = bench_owners_new(p.a);
    for (size_t i = 0; i < SNAPSHOT; i++) bench_track(p.a, owners, texts, i);
    join(&p, "20000");
    bench_report("c.wire.snapshot", (double)stats_of(p.a).bytes_out / SNAPSHOT, "B");
    part(&p);
    free(owners);
}

int main(void) {
    bench_texts *texts = bench_texts_new(SNAPSHOT);
    changes(texts);
    heartbeat();
    snapshot(texts);
    free(texts);
    return 0;
}

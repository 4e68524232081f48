/* The law of subscribing, through the public header: the state that subscribe gives, and every later diff, is at any
 * moment what list gives; so is the fold from nothing of a topic that was empty; counts, topics and lists agree; and
 * when all faults are over every member lists the same.
 *
 * Random histories of three members in virtual time: changes, partitions, blocked directions, pauses, crashes,
 * restarts, leaves, queues that overflow, consumers that drain late and in parts.
 * A history is a function of its seed. At failure the seed is printed:  test_subscribe_law SEED [COUNT]  replays it. */
#include "trackers.h"
#include <presence/sim.h>

enum { MEMBERS = 3, TOPICS = 3, KEYS = 4, OWNERS = 3, SHOWN = 64, STEPS = 120, LIMIT_MS = 600000 };

typedef struct shown {
    char ref[32], key[16], meta[1100];
} shown;

typedef struct fold {
    bool subscribed;
    uint64_t seq;
    size_t size;
    shown items[SHOWN];
} fold;

typedef struct member {
    presence_tracker *tracker; /* NULL: not running */
    presence_owner owners[OWNERS];
    bool paused;
    fold folds[TOPICS];
} member;

static const char *const topics[TOPICS] = {"lobby", "room:1", "room:2"};
static const char *const names[MEMBERS] = {"a", "b", "c"};
static const char *const keys[KEYS] = {"u1", "u2", "u3", "u4"};
static member members[MEMBERS];
static presence_sim *sim;
static uint64_t seed = 1, runs = 150, random_state, moments, diffs, resyncs, agreed;

static uint32_t rnd(uint32_t n) { /* splitmix64 */
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) % n);
}

#define LAW(condition, what)                                                                                           \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail_msg("%s (line %d); replay: test_subscribe_law %llu 1", what, __LINE__, (unsigned long long)seed);     \
    } while (0)

static bool is_text(const char *held, presence_str text) {
    return strlen(held) == text.size && memcmp(held, text.data, text.size) == 0;
}

static void keep_text(char *to, size_t room, presence_str text) {
    LAW(text.size < room, "a text has room in this test");
    memcpy(to, text.data, text.size);
    to[text.size] = 0;
}

/* ---- a subscriber ---- */

static shown *find(fold *f, presence_str ref) {
    for (size_t i = 0; i < f->size; i++)
        if (is_text(f->items[i].ref, ref)) return &f->items[i];
    return NULL;
}

static void add(fold *f, const presence_entry *e) {
    LAW(f->size < SHOWN && find(f, e->ref) == NULL, "nothing joins twice");
    shown *s = &f->items[f->size++];
    keep_text(s->ref, sizeof s->ref, e->ref);
    keep_text(s->key, sizeof s->key, e->key);
    keep_text(s->meta, sizeof s->meta, e->meta);
}

static void take_away(fold *f, presence_str ref, presence_str key, presence_str meta) {
    shown *s = find(f, ref);
    LAW(s != NULL, "what leaves was shown");
    LAW(is_text(s->key, key) && is_text(s->meta, meta), "it leaves as it was last shown");
    *s = f->items[--f->size];
}

static void change(fold *f, const presence_entry *e) {
    if (e->kind == PRESENCE_LEAVE) take_away(f, e->ref, e->key, e->meta);
    if (e->kind == PRESENCE_UPDATE) take_away(f, e->prev_ref, e->key, e->prev_meta);
    if (e->kind != PRESENCE_LEAVE) add(f, e);
}

static int topic_at(presence_str topic) {
    for (int t = 0; t < TOPICS; t++)
        if (is_text(topics[t], topic)) return t;
    return -1;
}

static void on_event(const presence_event *event, void *user) {
    member *m = user;
    int kind = presence_event_kind(event);
    if (kind != PRESENCE_EVENT_DIFF && kind != PRESENCE_EVENT_RESYNC) return;
    int t = topic_at(presence_event_topic(event));
    fold *f = &m->folds[t < 0 ? 0 : t];
    LAW(t >= 0 && f->subscribed, "only what was subscribed is delivered");
    if (kind == PRESENCE_EVENT_DIFF && presence_event_seq(event) <= f->seq) return; /* in the state already */
    LAW(presence_event_seq(event) >= f->seq, "a resync is no older than what was delivered");
    f->seq = presence_event_seq(event);
    if (kind == PRESENCE_EVENT_RESYNC) f->size = 0, resyncs++;
    diffs += kind == PRESENCE_EVENT_DIFF;
    presence_entry e = {.size = sizeof e};
    for (size_t i = 0; i < presence_event_size(event); i++) {
        LAW(presence_event_at(event, i, &e) == 0, "an event has its items");
        if (kind == PRESENCE_EVENT_DIFF)
            change(f, &e);
        else
            add(f, &e);
    }
}

static void subscribe(member *m, int t) {
    fold *f = &m->folds[t];
    presence_snapshot *state;
    presence_entry e = {.size = sizeof e};
    LAW(presence_subscribe(m->tracker, S(topics[t]), &state) == 0, "subscribe");
    f->subscribed = true;
    f->size = 0;
    f->seq = presence_snapshot_seq(state);
    for (size_t i = 0; i < presence_snapshot_size(state); i++) {
        LAW(presence_snapshot_at(state, i, &e) == 0, "a state has its items");
        add(f, &e);
    }
    presence_snapshot_free(state);
}

static void unsubscribe(member *m, int t) {
    LAW(presence_unsubscribe(m->tracker, S(topics[t])) == 0, "unsubscribe");
    m->folds[t].subscribed = false;
}

/* ---- what must hold once nothing waits ---- */

static void check_topic(member *m, int t) {
    fold *f = &m->folds[t];
    presence_snapshot *list;
    presence_entry e = {.size = sizeof e};
    size_t count_keys, metas;
    LAW(presence_list(m->tracker, S(topics[t]), &list) == 0, "list");
    LAW(presence_count(m->tracker, S(topics[t]), &count_keys, &metas) == 0, "count");
    LAW(metas == presence_snapshot_size(list) && count_keys <= metas, "count is the size of the list");
    LAW(!f->subscribed || f->size == metas, "the fold has as many as the list");
    for (size_t i = 0; f->subscribed && i < metas; i++) {
        LAW(presence_snapshot_at(list, i, &e) == 0, "a list has its items");
        shown *s = find(f, e.ref);
        LAW(s && is_text(s->key, e.key) && is_text(s->meta, e.meta), "the fold is the list");
    }
    moments += f->subscribed;
    presence_snapshot_free(list);
}

static void drain(member *m, size_t max) {
    size_t delivered = 1;
    while (delivered) {
        LAW(presence_drain(m->tracker, max, on_event, m, &delivered) == 0, "drain");
        if (max) return;
    }
    for (int t = 0; t < TOPICS; t++) check_topic(m, t);
}

/* ---- life and faults ---- */

static void start(int i) {
    member *m = &members[i];
    presence_config *config = make_config(NULL);
    memset(m, 0, sizeof *m);
    LAW(presence_config_set(config, "name", names[i]) == 0, "name");
    LAW(presence_config_set(config, "permdown_ms", "60000") == 0, "permdown_ms");
    if (rnd(3) == 0) LAW(presence_config_set(config, "queue_bytes", "16384") == 0, "queue_bytes");
    LAW(presence_sim_start(sim, config, &m->tracker) == 0, presence_sim_message(sim));
    presence_config_free(config);
    for (int o = 0; o < OWNERS; o++) m->owners[o] = open_owner(m->tracker);
    for (int t = 0; t < TOPICS; t++) /* some fold from nothing */
        if (rnd(2)) subscribe(m, t);
}

static void stop(member *m) {
    drain(m, 0);
    switch (rnd(3)) {
    case 0: LAW(presence_tracker_stop(m->tracker, 1000) == 0, "stop"); break;
    case 1: LAW(presence_sim_crash(sim, m->tracker, PRESENCE_SIM_KILL) == 0, "kill"); break;
    default: LAW(presence_sim_crash(sim, m->tracker, PRESENCE_SIM_VANISH) == 0, "vanish"); break;
    }
    presence_tracker_close(m->tracker);
    m->tracker = NULL;
}

static void write_some(member *m) {
    char meta[1100];
    int n = snprintf(meta, sizeof meta, "{\"n\":%u}", rnd(1000));
    if (rnd(4) == 0) { /* what fills a queue */
        memset(meta + n - 1, ' ', 1000);
        meta[n + 999] = '}', meta[n + 1000] = 0;
    }
    presence_owner *owner = &m->owners[rnd(OWNERS)];
    presence_str topic = S(topics[rnd(TOPICS)]), key = S(keys[rnd(KEYS)]);
    uint32_t what = rnd(20);
    int rc = 0;
    if (what < 8)
        rc = presence_track(m->tracker, *owner, topic, key, S(meta), NULL);
    else if (what < 14)
        rc = presence_update(m->tracker, *owner, topic, key, S(meta), NULL);
    else if (what < 18)
        rc = presence_untrack(m->tracker, *owner, topic, key, NULL);
    else if (what < 19)
        rc = presence_untrack_owner(m->tracker, *owner, NULL);
    else if ((rc = presence_owner_close(m->tracker, *owner)) == 0)
        *owner = open_owner(m->tracker);
    LAW(rc == 0 || rc == PRESENCE_ETRACKED || rc == PRESENCE_ENOTTRACKED, presence_strerror(rc));
}

static void fault(int i) {
    member *m = &members[i];
    presence_tracker *other = members[(i + 1 + (int)rnd(MEMBERS - 1)) % MEMBERS].tracker;
    switch (rnd(6)) {
    case 0: LAW(presence_sim_partition(sim, m->tracker, (int)rnd(2)) == 0, "partition"); break;
    case 1: LAW(presence_sim_heal(sim) == 0, "heal"); break;
    case 2: LAW(other == NULL || presence_sim_block(sim, m->tracker, other, rnd(2) == 0) == 0, "block"); break;
    case 3:
        LAW((m->paused ? presence_sim_resume : presence_sim_pause)(sim, m->tracker) == 0, "pause");
        m->paused = !m->paused;
        break;
    case 4: LAW(presence_sim_latency(sim, 1, 1 + rnd(200)) == 0, "latency"); break;
    default: stop(m); break;
    }
}

static void step(void) {
    int i = (int)rnd(MEMBERS), t = (int)rnd(TOPICS);
    member *m = &members[i];
    uint32_t x = rnd(100);
    if (x < 20)
        LAW(presence_sim_run(sim, rnd(4) ? rnd(300) : rnd(20000)) == 0, "time");
    else if (m->tracker == NULL)
        start(i);
    else if (x < 62)
        for (uint32_t n = 1 + rnd(rnd(5) ? 3 : 30); n; n--) write_some(m);
    else if (x < 80)
        drain(m, rnd(3) ? 0 : 1 + rnd(3));
    else if (x < 90)
        subscribe(m, t);
    else if (x < 93)
        unsubscribe(m, t);
    else
        fault(i);
}

/* ---- the end: all faults are over ---- */

static void check_agreement(int t) {
    size_t first = 0, metas;
    for (int i = 0; i < MEMBERS; i++) {
        LAW(presence_count(members[i].tracker, S(topics[t]), NULL, &metas) == 0, "count");
        if (i == 0) first = metas;
        LAW(metas == first, "all members list the same");
    }
    for (int i = 1; i < MEMBERS; i++)
        for (size_t k = 0; k < members[0].folds[t].size; k++) {
            presence_str ref = S(members[0].folds[t].items[k].ref);
            LAW(find(&members[i].folds[t], ref) != NULL, "all folds are the same");
            agreed++;
        }
}

static void finish(void) {
    LAW(presence_sim_heal(sim) == 0, "heal");
    for (int i = 0; i < MEMBERS; i++) {
        if (members[i].tracker == NULL) start(i);
        if (members[i].paused) LAW(presence_sim_resume(sim, members[i].tracker) == 0, "resume");
        for (int t = 0; t < TOPICS; t++)
            if (!members[i].folds[t].subscribed) subscribe(&members[i], t);
    }
    LAW(presence_sim_settle(sim, LIMIT_MS) == 0, presence_sim_message(sim));
    for (int i = 0; i < MEMBERS; i++) drain(&members[i], 0);
    for (int t = 0; t < TOPICS; t++) check_agreement(t);
    for (int i = 0; i < MEMBERS; i++) presence_tracker_close(members[i].tracker);
    presence_sim_free(sim);
}

static void law_of_subscribing(void **state) {
    (void)state;
    printf("from seed %llu, %llu histories\n", (unsigned long long)seed, (unsigned long long)runs);
    for (uint64_t end = seed + runs; seed < end; seed++) {
        random_state = seed * 0x9e3779b97f4a7c15u + 1;
        sim = presence_sim_new(seed);
        LAW(sim != NULL, "a network");
        for (int i = 0; i < MEMBERS; i++) start(i);
        for (int i = 0; i < STEPS; i++) step();
        finish();
    }
    printf("%llu folds compared, %llu diffs, %llu resyncs; %llu presences agreed on\n", (unsigned long long)moments,
           (unsigned long long)diffs, (unsigned long long)resyncs, (unsigned long long)agreed);
    assert_true(runs < 20 || (moments > 10 * runs && diffs > 10 * runs && resyncs && agreed));
}

int main(int argc, char **argv) {
    if (argc > 1) seed = strtoull(argv[1], NULL, 10);
    if (argc > 2) runs = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {cmocka_unit_test(law_of_subscribing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Every public call with its n-th allocation failing, n = 1, 2, … until it passes: ENOMEM and nothing has changed, or
 * it has done all it should; the call repeated gives what it gives with memory; nothing leaks.
 *
 * The program is linked with --wrap for malloc and its like, so that the failure hits whoever asks on the thread of the
 * call: the tracker, the config, the JSON parser. Once alone, and again with everything failing from the n-th on. */
#include "shared_heap.h"

/* ---- the failure ---- */
typedef struct famine {
    size_t fail_in; /* 1: the next request of this thread fails; 0: none does */
    bool fail_on;   /* and all later ones */
    size_t failed;
} famine;
static _Thread_local famine hunger; /* wrapped functions have no other place for it */

void *__real_malloc(size_t);
void *__wrap_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__wrap_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__wrap_realloc(void *, size_t);
char *__real_strdup(const char *);
char *__wrap_strdup(const char *);

static bool starves(void) {
    if (!hunger.fail_in || --hunger.fail_in) return false;
    if (hunger.fail_on) hunger.fail_in = 1;
    hunger.failed++;
    return true;
}

void *__wrap_malloc(size_t size) { return starves() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size) { return starves() ? NULL : __real_calloc(count, size); }
void *__wrap_realloc(void *block, size_t size) { return starves() ? NULL : __real_realloc(block, size); }
char *__wrap_strdup(const char *text) { return starves() ? NULL : __real_strdup(text); }

/* ---- a tracker with something in it ---- */
#define ENTRIES 24

typedef struct fixture {
    shared_heap heap;
    presence_tracker *tracker;
    presence_owner owner, lease, out;
    presence_ref first; /* of u0 */
    presence_snapshot *snapshot;
    presence_str json;
    size_t refused; /* ENOMEM inside of callbacks */
    kept kept;
    char keys[40][8];
    presence_item items[40];
} fixture;

static const char rich[] = "{\"a\":[1,2,{\"b\":\"\\u00e4\"}],\"c\":{\"d\":null}}"; /* not for the quick look alone */

static void set_up(fixture *f) {
    memset(f, 0, sizeof *f);
    pthread_mutex_init(&f->heap.mutex, NULL);
    f->tracker = open_on(&f->heap, (const char *const[]){"transport", "memory", NULL});
    assert_int_equal(presence_wait_synced(f->tracker, PATIENCE_MS), 1);
    f->owner = open_owner(f->tracker);
    assert_int_equal(presence_owner_open_lease(f->tracker, 3600000, &f->lease), 0);
    assert_int_equal(presence_subscribe(f->tracker, S("room"), NULL), 0);
    for (int i = 0; i < ENTRIES; i++) {
        char key[8];
        snprintf(key, sizeof key, "u%d", i);
        presence_ref ref = track(f->tracker, i % 5 ? f->owner : f->lease, i % 3 ? "room" : "hall", key, "{\"x\":1}");
        if (i == 1) f->first = ref;
    }
    for (int i = 0; i < 40; i++) {
        snprintf(f->keys[i], sizeof f->keys[i], "k%d", i);
        f->items[i] = (presence_item){S(i % 2 ? "room" : f->keys[i]), S(f->keys[i]), S(i % 4 ? "" : rich)};
    }
    drain_all(f->tracker, &f->kept);
}

static void tear_down(fixture *f) {
    drain_all(f->tracker, &f->kept);
    assert_folded(f->tracker, "room", &f->kept);
    presence_snapshot_free(f->snapshot);
    presence_tracker_close(f->tracker);
    assert_int_equal(f->heap.heap.blocks, 0);
    pthread_mutex_destroy(&f->heap.mutex);
}

/* ---- what a tracker holds, as sorted lines ---- */
#define LINES_MAX 128
typedef struct picture {
    size_t size, topics, members, entries;
    uint64_t joins, updates, leaves;
    char lines[LINES_MAX][160];
} picture;

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

static void add_topic(presence_tracker *tracker, presence_str topic, bool refs, picture *out) {
    presence_snapshot *list;
    size_t keys, metas;
    assert_int_equal(presence_list(tracker, topic, &list), 0);
    assert_int_equal(presence_count(tracker, topic, &keys, &metas), 0);
    assert_int_equal(presence_snapshot_size(list), metas);
    for (size_t i = 0; i < metas; i++) {
        presence_entry e = {.size = sizeof e};
        assert_int_equal(presence_snapshot_at(list, i, &e), 0);
        assert_true(out->size < LINES_MAX);
        snprintf(out->lines[out->size++], sizeof out->lines[0], "%.*s %.*s %.*s %llu %s", (int)topic.size, topic.data,
                 (int)e.key.size, e.key.data, (int)e.meta.size, e.meta.data, (unsigned long long)e.owner,
                 refs ? e.ref.data : "");
    }
    presence_snapshot_free(list);
}

static void look(presence_tracker *tracker, bool refs, picture *out) {
    presence_snapshot *topics, *members;
    presence_statistics stats = {.size = sizeof stats};
    memset(out, 0, sizeof *out);
    assert_int_equal(presence_topics(tracker, &topics), 0);
    assert_int_equal(presence_members(tracker, &members), 0);
    assert_int_equal(presence_stats(tracker, &stats), 0);
    out->topics = presence_snapshot_size(topics);
    out->members = presence_snapshot_size(members);
    out->entries = stats.entries;
    out->joins = stats.joins, out->updates = stats.updates, out->leaves = stats.leaves;
    for (size_t i = 0; i < out->topics; i++) {
        presence_entry e = {.size = sizeof e};
        assert_int_equal(presence_snapshot_at(topics, i, &e), 0);
        add_topic(tracker, e.topic, refs, out);
    }
    qsort(out->lines, out->size, sizeof out->lines[0], by_text);
    presence_snapshot_free(topics);
    presence_snapshot_free(members);
}

/* ---- the calls ---- */
static int owner_open(fixture *f) { return presence_owner_open(f->tracker, &f->out); }
static int owner_open_lease(fixture *f) { return presence_owner_open_lease(f->tracker, 60000, &f->out); }
static int owner_touch(fixture *f) { return presence_owner_touch(f->tracker, f->lease); }
static int owner_close(fixture *f) { return presence_owner_close(f->tracker, f->owner); }
static int owner_close_lease(fixture *f) { return presence_owner_close(f->tracker, f->lease); }
static int track_one(fixture *f) { return presence_track(f->tracker, f->owner, S("new"), S("k"), S(rich), NULL); }
static int track_many(fixture *f) { return presence_track_many(f->tracker, f->owner, f->items, 40, NULL, NULL); }
static int track_check(fixture *f) {
    const char *option;
    return presence_track_check(f->tracker, f->owner, f->items, 40, NULL, &option);
}
static int update(fixture *f) { return presence_update(f->tracker, f->owner, S("room"), S("u1"), S(rich), NULL); }
static int update_if(fixture *f) {
    return presence_update_if(f->tracker, f->owner, S("room"), S("u1"), S(f->first.text), S(rich), NULL);
}
static int untrack(fixture *f) { return presence_untrack(f->tracker, f->owner, S("room"), S("u1"), NULL); }
static int untrack_owner(fixture *f) { return presence_untrack_owner(f->tracker, f->owner, NULL); }
static int list(fixture *f) { return presence_list(f->tracker, S("room"), &f->snapshot); }
static int list_json(fixture *f) { return presence_list_json(f->tracker, S("room"), &f->snapshot, &f->json); }
static int get_by_key(fixture *f) { return presence_get_by_key(f->tracker, S("room"), S("u1"), &f->snapshot); }
static int topics(fixture *f) { return presence_topics(f->tracker, &f->snapshot); }
static int members(fixture *f) { return presence_members(f->tracker, &f->snapshot); }
static int metrics(fixture *f) { return presence_metrics(&f->tracker, 1, &f->snapshot, &f->json); }
static int count(fixture *f) { return presence_count(f->tracker, S("room"), NULL, NULL); }
static int subscribe(fixture *f) { return presence_subscribe(f->tracker, S("hall"), &f->snapshot); }
static int subscribe_all(fixture *f) { return presence_subscribe_all(f->tracker); }
static int unsubscribe(fixture *f) {
    int result = presence_unsubscribe(f->tracker, S("room"));
    return result ? result : presence_subscribe(f->tracker, S("room"), NULL);
}
static int wait_synced(fixture *f) { return presence_wait_synced(f->tracker, 0) == 1 ? 0 : PRESENCE_EINTERNAL; }
static void nothing(void *user) { (void)user; }
static int wake(fixture *f) { return presence_set_wake_callback(f->tracker, nothing, NULL); }

static int snapshot_at(fixture *f) {
    presence_entry e = {.size = sizeof e};
    if (!f->snapshot && presence_list(f->tracker, S("room"), &f->snapshot)) return PRESENCE_ENOMEM;
    return presence_snapshot_at(f->snapshot, 3, &e);
}

/* Texts are made in callbacks, so they say ENOMEM there: asked again, they are given. */
static void take(const presence_event *event, void *user) {
    fixture *f = user;
    presence_str json;
    presence_entry e = {.size = sizeof e};
    bool texts =
        presence_event_kind(event) == PRESENCE_EVENT_DIFF || presence_event_kind(event) == PRESENCE_EVENT_RESYNC;
    for (int pass = 0; texts && pass < 2; pass++) {
        int wrong[] = {presence_diff_json(event, &json), presence_event_at(event, 0, &e)};
        for (int i = 0; i < 2; i++) {
            if (wrong[i] == PRESENCE_ENOMEM)
                f->refused++;
            else
                assert_int_equal(wrong[i], 0);
        }
    }
    famine kept_back = hunger;
    memset(&hunger, 0, sizeof hunger);
    assert_int_equal(texts ? presence_diff_json(event, &json) : 0, 0);
    keep(event, &f->kept);
    hunger.fail_in = kept_back.fail_in, hunger.fail_on = kept_back.fail_on, hunger.failed = kept_back.failed;
}

static int drain(fixture *f) { return presence_drain(f->tracker, 0, take, f, NULL); }

/* ---- what the calls need before them ---- */
static void events(fixture *f) {
    assert_int_equal(presence_track_many(f->tracker, f->owner, f->items, 20, NULL, NULL), 0);
    assert_int_equal(presence_untrack(f->tracker, f->owner, S("room"), S("u1"), NULL), 0);
}

/* More than the queue takes: the diffs of the topic are one resync. */
static void overflow(fixture *f) {
    static char meta[8000] = "{\"n\":\"";
    presence_config *config =
        config_on(&f->heap, (const char *const[]){"transport", "memory", "queue_bytes", "16384", NULL});
    presence_tracker_close(f->tracker);
    memset(&f->kept, 0, sizeof f->kept);
    assert_int_equal(presence_tracker_open(config, &f->tracker), 0);
    presence_config_free(config);
    assert_int_equal(presence_wait_synced(f->tracker, PATIENCE_MS), 1);
    f->owner = open_owner(f->tracker);
    assert_int_equal(presence_subscribe(f->tracker, S("room"), NULL), 0);
    drain_all(f->tracker, &f->kept);
    memset(meta + 6, 'x', sizeof meta - 9);
    memcpy(meta + sizeof meta - 3, "\"}", 3);
    for (int i = 0; i < 4; i++) track(f->tracker, f->owner, "room", f->keys[i], meta);
}

typedef struct torture {
    const char *name;
    int (*call)(fixture *);
    void (*prepare)(fixture *);
} torture;

static const torture calls[] = {
    {"owner_open", owner_open, NULL},
    {"owner_open_lease", owner_open_lease, NULL},
    {"owner_touch", owner_touch, NULL},
    {"owner_close", owner_close, NULL},
    {"owner_close, a lease", owner_close_lease, NULL},
    {"owner_close, events waiting", owner_close, events},
    {"track", track_one, NULL},
    {"track_many", track_many, NULL},
    {"track_check", track_check, NULL},
    {"update", update, NULL},
    {"update_if", update_if, NULL},
    {"untrack", untrack, NULL},
    {"untrack_owner", untrack_owner, NULL},
    {"list", list, NULL},
    {"list_json", list_json, NULL},
    {"get_by_key", get_by_key, NULL},
    {"topics", topics, NULL},
    {"members", members, NULL},
    {"metrics", metrics, NULL},
    {"count", count, NULL},
    {"snapshot_at", snapshot_at, NULL},
    {"subscribe", subscribe, NULL},
    {"subscribe_all", subscribe_all, NULL},
    {"unsubscribe, subscribe", unsubscribe, NULL},
    {"wait_synced", wait_synced, NULL},
    {"set_wake_callback", wake, events},
    {"drain", drain, events},
    {"drain, a resync", drain, overflow},
};

static void forget_outputs(fixture *f) {
    presence_snapshot_free(f->snapshot);
    f->snapshot = NULL;
    f->out = 0;
}

/* One run; returns whether an allocation failed. `after`: what the tracker holds when the call has been made. */
static bool run(const torture *t, size_t n, bool on, const picture *after) {
    static fixture f; /* large */
    static picture before, now;
    set_up(&f);
    if (t->prepare) t->prepare(&f);
    look(f.tracker, true, &before);
    hunger = (famine){n, on, 0};
    int result = t->call(&f);
    bool failed = hunger.failed > 0;
    memset(&hunger, 0, sizeof hunger);
    if (result == PRESENCE_ENOMEM && failed) {
        if (t->call != snapshot_at) assert_null(f.snapshot);
        assert_int_equal(f.out, 0);
        look(f.tracker, true, &now);
        if (memcmp(&now, &before, sizeof now) != 0) fail_msg("%s has changed something, failing at %zu", t->name, n);
        forget_outputs(&f);
        result = t->call(&f);
    }
    if (result != 0) fail_msg("%s gave %s, failing at %zu", t->name, presence_error_name(result), n);
    look(f.tracker, false, &now);
    now.joins = now.updates = now.leaves = 0; /* what was taken back may have been counted on the way */
    if (after && memcmp(&now, after, sizeof now) != 0) fail_msg("%s is half done, failing at %zu", t->name, n);
    tear_down(&f);
    return failed;
}

static void every_call_without_memory(void **state) {
    static picture after;
    static fixture f;
    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        set_up(&f);
        if (calls[i].prepare) calls[i].prepare(&f);
        assert_int_equal(calls[i].call(&f), 0);
        look(f.tracker, false, &after);
        after.joins = after.updates = after.leaves = 0;
        tear_down(&f);
        for (int on = 0; on < 2; on++) {
            size_t n = 1;
            while (run(&calls[i], n, on, &after)) n++;
            assert_true(n < 2000);
        }
    }
}

/* ---- config and open: libuv's own memory is left out, it ends the process when a table of its cannot grow ---- */
static const char *const options[] = {"name",      "m",
                                      "cluster",   "c",
                                      "join",      "127.0.0.1:9,127.0.0.1:10-14,[::1]:9,localhost:9",
                                      "advertise", "127.0.0.1:5000,127.0.0.1:5001",
                                      "log_level", "debug",
                                      NULL};

static void log_nothing(int level, const char *line, void *user) { (void)level, (void)line, (void)user; }

static void open_without_memory(void **state) {
    (void)state;
    int failed = PRESENCE_ENOMEM;
    for (size_t n = 1; failed; n++) {
        shared_heap s = {.mutex = PTHREAD_MUTEX_INITIALIZER};
        presence_config *config = config_on(&s, options);
        presence_tracker *tracker = (presence_tracker *)config; /* must be NULL afterwards */
        assert_int_equal(presence_config_set_log(config, log_nothing, NULL), 0);
        shared_fail(&s, n);
        failed = presence_tracker_open(config, &tracker);
        shared_fail(&s, 0);
        if (failed) {
            assert_int_equal(failed, PRESENCE_ENOMEM);
            assert_null(tracker);
            assert_int_equal(s.heap.blocks, 0);
            assert_string_not_equal(presence_config_message(config), "");
            assert_int_equal(presence_tracker_open(config, &tracker), 0); /* the config is as good as before */
        }
        assert_true(n < 500);
        presence_tracker_close(tracker);
        presence_config_free(config);
        assert_int_equal(s.heap.blocks, 0);
    }
}

static void a_config_without_memory(void **state) {
    (void)state;
    hunger = (famine){1, false, 0};
    assert_null(presence_config_new());
    presence_config *config = make_config(options);
    hunger = (famine){1, false, 0};
    assert_int_equal(presence_config_set(config, "name", "other"), PRESENCE_ENOMEM);
    assert_non_null(strstr(presence_config_message(config), "name"));
    setenv("LIBPRESENCE_CLUSTER", "garden", 1);
    hunger = (famine){1, false, 0};
    assert_int_equal(presence_config_load_env(config), PRESENCE_ENOMEM);
    assert_non_null(strstr(presence_config_message(config), "LIBPRESENCE_CLUSTER"));
    unsetenv("LIBPRESENCE_CLUSTER");
    assert_int_equal(presence_config_set(config, "name", "other"), 0);
    presence_config_free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_without_memory),
        cmocka_unit_test(open_without_memory),
        cmocka_unit_test(a_config_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Random histories of the store against a plain array: counters, lists, owners, diffs, and the state after every
 * allocation that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hash.h"
#include "records.h"
#include "store_model.h"

typedef struct run {
    heap heap;
    pr_alloc alloc;
    pr_store *store;
    model now, before;
    uint8_t reasons[MODEL_ENTRIES]; /* by slot, of the last hide in the open diff */
    model_fold folds[MODEL_TOPICS];
    bool watched[MODEL_TOPICS], watch_all, failing;
    presence_owner owners[MODEL_OWNERS];
    uint64_t version, seed, jump, seq;
} run;

static size_t pick(run *r, size_t n) { return (size_t)(pr_random_next(&r->seed) % n); }

static uint64_t next_version(run *r) { return r->version += 1 + (r->jump && !pick(r, 4) ? r->jump : 0); }

static void assert_str(presence_str a, presence_str b) {
    if (pr_str_equal(a, b)) return;
    fail_msg("'%.*s' is not '%.*s'", (int)a.size, a.data, (int)b.size, b.data);
}

/* ---- the state, read in every way there is ---- */

static void check_view(run *r, const model_entry *e) {
    pr_view v;
    pr_store_view(r->store, e->id, &v);
    assert_int_equal(v.eid, e->eid);
    assert_int_equal(v.dot, e->dot);
    assert_int_equal(v.prev_dot, e->prev_dot);
    assert_str(v.topic, model_topic(e->topic));
    assert_str(v.key, model_key(e->key));
    assert_str(v.meta, model_meta(e->meta));
    assert_int_equal(v.visible, e->visible);
    assert_int_equal(v.log, e->log);
    assert_int_equal(v.owner, e->owner);
    assert_int_equal(pr_store_dot(r->store, e->id), e->dot);
    if (e->owner) assert_int_equal(pr_store_find_owned(r->store, e->owner, v.topic, v.key), e->id);
}

static void check_row(const pr_row *row, const model_entry *e) {
    assert_non_null(e);
    assert_true(e->visible);
    assert_int_equal(row->dot, e->dot);
    assert_int_equal(row->prev_dot, e->prev_dot);
    assert_int_equal(row->owner, e->owner);
    assert_str(row->topic, model_topic(e->topic));
    assert_str(row->key, model_key(e->key));
    assert_str(row->meta, model_meta(e->meta));
    assert_str(row->member, pr_cstr(model_names[e->log]));
}

/* Each key once, its rows adjacent and in order of (inst, eid). */
static void check_grouping(const pr_rows *rows) {
    for (size_t i = 1; i < rows->size; i++) {
        const pr_row *a = &rows->rows[i - 1], *b = &rows->rows[i];
        if (pr_str_equal(a->key, b->key)) {
            assert_true(a->inst < b->inst || (a->inst == b->inst && a->eid < b->eid));
            continue;
        }
        for (size_t j = i + 1; j < rows->size; j++) assert_false(pr_str_equal(a->key, rows->rows[j].key));
    }
}

static void check_fold(const model_fold *fold, const pr_rows *rows) {
    assert_int_equal(fold->size, rows->size);
    for (size_t i = 0; i < rows->size; i++) {
        const pr_row *row = &rows->rows[i];
        const struct model_shown *shown = NULL;
        for (size_t j = 0; j < fold->size; j++)
            if (fold->shown[j].inst == row->inst && fold->shown[j].eid == row->eid) shown = &fold->shown[j];
        assert_non_null(shown);
        assert_int_equal(shown->dot, row->dot);
        assert_int_equal(shown->prev_dot && row->dot - shown->prev_dot <= UINT32_MAX ? shown->prev_dot : 0,
                         row->prev_dot);
        assert_str(shown->meta, row->meta);
        assert_str(shown->key, row->key);
    }
}

static void check_rows(run *r, const pr_rows *rows, int topic, int key) {
    assert_int_equal(rows->size, model_visible(&r->now, topic, key));
    assert_int_equal(rows->seq, r->seq);
    for (size_t i = 0; i < rows->size; i++)
        check_row(&rows->rows[i], model_find(&r->now, rows->rows[i].inst, rows->rows[i].eid));
    check_grouping(rows);
}

static void check_topic(run *r, int topic) {
    size_t keys, metas;
    pr_rows *rows;
    pr_store_count(r->store, model_topic(topic), &keys, &metas);
    assert_int_equal(keys, model_visible_keys(&r->now, topic));
    assert_int_equal(metas, model_visible(&r->now, topic, -1));
    assert_int_equal(pr_store_list(r->store, model_topic(topic), &rows), 0);
    check_rows(r, rows, topic, -1);
    if (r->watched[topic] || r->watch_all) check_fold(&r->folds[topic], rows);
    pr_rows_free(rows);
    int key = (int)pick(r, MODEL_KEYS);
    assert_int_equal(pr_store_get(r->store, model_topic(topic), model_key(key), &rows), 0);
    check_rows(r, rows, topic, key);
    pr_rows_free(rows);
}

/* The chain of an owner holds its entries in the order they were tracked. */
static void check_owner(run *r, presence_owner owner) {
    uint64_t order = 0;
    size_t chained = 0, owned = 0;
    for (pr_id id = pr_store_first_owned(r->store, owner); id; id = pr_store_next_owned(r->store, id), chained++) {
        const model_entry *e = NULL;
        for (int i = 0; i < MODEL_ENTRIES; i++)
            if (r->now.entries[i].held && r->now.entries[i].id == id) e = &r->now.entries[i];
        assert_non_null(e);
        assert_int_equal(e->owner, owner);
        assert_true(e->order > order);
        order = e->order;
    }
    for (int i = 0; i < MODEL_ENTRIES; i++) owned += r->now.entries[i].held && r->now.entries[i].owner == owner;
    assert_int_equal(chained, owned);
}

static void check_counts(run *r) {
    size_t held = 0, topics = 0, logs[MODEL_LOGS] = {0};
    pr_rows *rows;
    for (int i = 0; i < MODEL_ENTRIES; i++) {
        held += r->now.entries[i].held;
        if (r->now.entries[i].held) logs[r->now.entries[i].log]++;
    }
    for (int t = 0; t < MODEL_TOPICS; t++) topics += model_visible(&r->now, t, -1) > 0;
    assert_int_equal(pr_store_size(r->store), held);
    assert_int_equal(pr_store_topic_count(r->store), topics);
    assert_int_equal(pr_store_topics(r->store, &rows), 0);
    assert_int_equal(rows->size, topics);
    pr_rows_free(rows);
    for (uint16_t l = 0; l < MODEL_LOGS; l++) assert_int_equal(pr_store_log_count(r->store, l), logs[l]);
}

static void check(run *r) {
    size_t waiting = r->heap.fail_in;
    r->heap.fail_in = 0;
    for (int i = 0; i < MODEL_ENTRIES; i++)
        if (r->now.entries[i].held) check_view(r, &r->now.entries[i]);
    for (int t = 0; t < MODEL_TOPICS; t++) check_topic(r, t);
    for (int o = 0; o < MODEL_OWNERS; o++)
        if (r->owners[o]) check_owner(r, r->owners[o]);
    check_counts(r);
    r->heap.fail_in = waiting;
}

/* ---- diffs ---- */

static presence_str stable(presence_str s) { /* the texts of the model live for ever */
    for (int i = 0; i < MODEL_METAS; i++)
        if (pr_str_equal(s, model_meta(i))) return model_meta(i);
    for (int i = 0; i < MODEL_KEYS; i++)
        if (pr_str_equal(s, model_key(i))) return model_key(i);
    fail_msg("unknown text '%.*s'", (int)s.size, s.data);
    return s;
}

static void fold_item(model_fold *fold, const pr_diff_item *item) {
    size_t i = 0;
    while (i < fold->size && (fold->shown[i].inst != item->inst || fold->shown[i].eid != item->eid)) i++;
    if (item->kind == PRESENCE_JOIN) {
        assert_int_equal(i, fold->size++);
    } else {
        assert_true(i < fold->size);
        assert_str(fold->shown[i].meta, item->kind == PRESENCE_UPDATE ? item->prev_meta : item->meta);
        assert_int_equal(fold->shown[i].dot, item->kind == PRESENCE_UPDATE ? item->prev_dot : item->dot);
    }
    if (item->kind == PRESENCE_LEAVE)
        fold->shown[i] = fold->shown[--fold->size];
    else
        fold->shown[i] = (struct model_shown){item->inst,     item->eid,         item->dot,
                                              item->prev_dot, stable(item->key), stable(item->meta)};
}

static void check_item(const pr_diff_item *item, const model_change *c) {
    assert_int_equal(item->kind, c->kind);
    assert_int_equal(item->inst, model_insts[c->entry->log]);
    assert_int_equal(item->eid, c->entry->eid);
    assert_int_equal(item->dot, c->entry->dot);
    assert_int_equal(item->owner, c->entry->owner);
    assert_int_equal(item->reason, c->reason);
    assert_str(item->key, model_key(c->entry->key));
    assert_str(item->meta, model_meta(c->entry->meta));
    assert_str(item->member, pr_cstr(model_names[c->entry->log]));
    assert_int_equal(item->prev_dot, c->old ? c->old->dot : 0);
    assert_str(item->prev_meta, c->old ? model_meta(c->old->meta) : pr_str("", 0));
    assert_int_equal(item->first, c->first);
    assert_int_equal(item->last, c->last);
}

static void check_diff(run *r, int topic, const pr_diff *diff) {
    model_change changes[2 * MODEL_ENTRIES];
    size_t n = model_diff(&r->before, &r->now, r->reasons, topic, changes);
    bool watched = r->watched[topic] || r->watch_all;
    assert_int_equal(diff ? diff->size : 0, watched ? n : 0);
    if (!diff) return;
    for (size_t i = 0; i < n; i++) check_item(&diff->items[i], &changes[i]);
    for (size_t i = 0; i < n; i++) fold_item(&r->folds[topic], &diff->items[i]);
}

static void take_diffs(run *r, pr_diff *diffs) {
    const pr_diff *by_topic[MODEL_TOPICS] = {NULL};
    for (pr_diff *d = diffs; d; d = d->next) {
        assert_int_equal(d->seq, ++r->seq);
        for (int t = 0; t < MODEL_TOPICS; t++) {
            if (!pr_str_equal(d->topic, model_topic(t))) continue;
            assert_null(by_topic[t]);
            by_topic[t] = d;
        }
    }
    for (int t = 0; t < MODEL_TOPICS; t++) check_diff(r, t, by_topic[t]);
    assert_int_equal(pr_store_seq(r->store), r->seq);
    for (pr_diff *next; diffs; diffs = next) {
        next = diffs->next;
        pr_diff_free(diffs);
    }
}

/* ---- steps ---- */

static void arm(run *r) {
    r->heap.fail_on = false;
    heap_fail(&r->heap, r->failing && pick(r, 2) ? 1 + pick(r, 6) : 0);
}

static void disarm(run *r) { heap_fail(&r->heap, 0); }

static model_entry *any(run *r, bool held) {
    size_t start = pick(r, MODEL_ENTRIES);
    for (size_t i = 0; i < MODEL_ENTRIES; i++) {
        model_entry *e = &r->now.entries[(start + i) % MODEL_ENTRIES];
        if (e->held == held) return e;
    }
    return NULL;
}

static bool owned_already(run *r, const model_entry *n) {
    for (int i = 0; i < MODEL_ENTRIES; i++) {
        const model_entry *e = &r->now.entries[i];
        if (e->held && e->owner == n->owner && e->topic == n->topic && e->key == n->key) return true;
    }
    return false;
}

static model_entry *step_insert(run *r) {
    model_entry *slot = any(r, false);
    if (!slot) return NULL;
    model_entry e = {.held = true, .log = (uint16_t)pick(r, MODEL_LOGS), .topic = (int)pick(r, MODEL_TOPICS)};
    e.key = (int)pick(r, MODEL_KEYS);
    e.meta = (int)pick(r, MODEL_METAS);
    e.owner = r->owners[pick(r, MODEL_OWNERS)];
    if (e.owner && owned_already(r, &e)) e.owner = 0;
    e.eid = next_version(r);
    e.dot = pick(r, 3) ? e.eid : next_version(r);
    arm(r);
    int error = pr_store_insert(r->store, e.log, e.eid, e.dot, model_topic(e.topic), model_key(e.key),
                                model_meta(e.meta), e.owner, &e.id);
    assert_int_equal(error, r->heap.failed ? PRESENCE_ENOMEM : 0);
    disarm(r);
    if (error) {
        assert_int_equal(e.id, 0);
        return NULL;
    }
    e.order = ++r->now.inserted;
    *slot = e;
    return slot;
}

static void step_set(run *r, model_entry *e) {
    pr_meta_hold old;
    uint64_t dot = next_version(r), old_dot = e->dot;
    int meta = (int)pick(r, MODEL_METAS);
    arm(r);
    int error = pr_store_set(r->store, e->id, dot, model_meta(meta), &old);
    assert_int_equal(error, r->heap.failed ? PRESENCE_ENOMEM : 0);
    disarm(r);
    if (error) return;
    assert_str(old.meta, model_meta(e->meta));
    if (!pick(r, 5)) { /* taken back */
        pr_store_unset(r->store, e->id, old_dot, &old);
        assert_int_equal(old.handle, 0);
        assert_int_equal(pr_store_dot(r->store, e->id), old_dot);
        return;
    }
    e->dot = dot;
    e->meta = meta;
    if (e->visible) pr_diff_update(r->store, e->id, old_dot, old.meta);
    pr_store_meta_release(r->store, &old);
}

static void step_show(run *r, model_entry *e) {
    pr_diff_show(r->store, e->id);
    e->visible = true;
}

/* The reason is remembered for the slot of the moment before the diff, which the entity still has. */
static void step_hide(run *r, model_entry *e) {
    uint8_t reason = (uint8_t)(1 + pick(r, 7));
    pr_diff_hide(r->store, e->id, reason);
    for (int i = 0; e->visible && i < MODEL_ENTRIES; i++) {
        const model_entry *old = &r->before.entries[i];
        if (old->held && old->log == e->log && old->eid == e->eid) r->reasons[i] = reason;
    }
    e->visible = false;
}

static void step_remove(run *r, model_entry *e) {
    step_hide(r, e);
    pr_store_remove(r->store, e->id);
    e->held = false;
}

static void step(run *r, size_t growth) {
    model_entry *e = pick(r, 10) < growth ? step_insert(r) : any(r, true);
    if (!e || !e->held) return;
    switch (pick(r, 6)) {
    case 0:
    case 1: step_set(r, e); break;
    case 2: step_hide(r, e); break;
    case 3: step_remove(r, e); break;
    default: step_show(r, e); break;
    }
}

static void event(run *r, size_t growth) {
    size_t changes = 1 + pick(r, pick(r, 4) ? 5 : 20);
    r->before = r->now;
    memset(r->reasons, 0, sizeof r->reasons);
    arm(r);
    int error = pr_diff_begin(r->store, changes, changes * (64 + 2 * 1500));
    if (error) assert_true(error == PRESENCE_ENOMEM && r->heap.failed);
    disarm(r);
    if (error) return check(r);
    for (size_t i = 0; i < changes; i++) step(r, growth);
    model_settle(&r->now, &r->before);
    for (int i = 0; i < MODEL_ENTRIES; i++)
        if (r->now.entries[i].held) check_view(r, &r->now.entries[i]); /* as the diff will leave them */
    /* what was reserved at begin is enough */
    r->heap.fail_on = r->failing;
    heap_fail(&r->heap, r->failing);
    pr_diff *diffs = pr_diff_finish(r->store);
    disarm(r);
    take_diffs(r, diffs);
}

static void fill_fold(run *r, int topic) {
    model_fold *fold = &r->folds[topic];
    fold->size = 0;
    for (int i = 0; i < MODEL_ENTRIES; i++) {
        const model_entry *e = &r->now.entries[i];
        if (!model_shows(e) || e->topic != topic) continue;
        fold->shown[fold->size++] = (struct model_shown){
            model_insts[e->log], e->eid, e->dot, e->prev_dot, model_key(e->key), model_meta(e->meta)};
    }
}

static void change_watch(run *r) {
    int topic = (int)pick(r, MODEL_TOPICS);
    if (!pick(r, 6)) {
        r->watch_all = !r->watch_all;
        pr_store_watch_all(r->store, r->watch_all);
        for (int t = 0; t < MODEL_TOPICS; t++) fill_fold(r, t);
    } else if (r->watched[topic]) {
        pr_store_unwatch(r->store, model_topic(topic));
        r->watched[topic] = false;
    } else {
        arm(r);
        int error = pr_store_watch(r->store, model_topic(topic));
        assert_int_equal(error, r->heap.failed ? PRESENCE_ENOMEM : 0);
        disarm(r);
        if (error) return;
        r->watched[topic] = true;
        fill_fold(r, topic);
    }
}

static void change_owner(run *r) {
    size_t i = pick(r, MODEL_OWNERS);
    presence_owner owner = r->owners[i];
    if (!owner) {
        arm(r);
        int error = pr_store_owner_open(r->store, pick(r, 2) * 1000, &r->owners[i]);
        assert_int_equal(error, r->heap.failed ? PRESENCE_ENOMEM : 0);
        disarm(r);
        assert_true(!r->owners[i] == (error != 0));
    } else if (!pr_store_first_owned(r->store, owner)) {
        pr_store_owner_close(r->store, owner);
        assert_int_equal(pr_store_owner_check(r->store, owner), PRESENCE_EOWNERCLOSED);
        r->owners[i] = 0;
    }
}

/* Nothing is left behind in the records that readers do not see. */
static void check_records(const pr_store *s, size_t watched) {
    assert_int_equal(s->topics.count, watched);
    assert_int_equal(s->topic_table.size, watched);
    assert_int_equal(s->entries.count + s->keys.count + s->locals.count + s->wides.count, 0);
    assert_int_equal(s->key_table.size + s->owned_table.size + s->wide_table.size, 0);
}

static void end(run *r) {
    size_t watched = 0;
    r->before = r->now;
    memset(r->reasons, 0, sizeof r->reasons);
    assert_int_equal(pr_diff_begin(r->store, MODEL_ENTRIES, MODEL_ENTRIES * 2000), 0);
    for (int i = 0; i < MODEL_ENTRIES; i++)
        if (r->now.entries[i].held) step_remove(r, &r->now.entries[i]);
    take_diffs(r, pr_diff_finish(r->store));
    check(r);
    assert_int_equal(pr_store_size(r->store), 0);
    for (int t = 0; t < MODEL_TOPICS; t++) watched += r->watched[t];
    check_records(r->store, watched);
    pr_store_free(r->store);
    assert_int_equal(r->heap.blocks, 0);
    assert_int_equal(r->heap.bytes, 0);
}

static void history(uint64_t seed, bool failing) {
    run *r = calloc(1, sizeof *r);
    r->alloc = heap_allocator(&r->heap);
    r->seed = seed;
    r->failing = failing;
    r->jump = pick(r, 4) ? 0 : (uint64_t)1 << (30 + pick(r, 4));
    assert_int_equal(pr_store_new(&r->alloc, &r->store), 0);
    for (uint16_t l = 0; l < MODEL_LOGS; l++)
        assert_int_equal(pr_store_name_log(r->store, l, model_insts[l], pr_cstr(model_names[l])), 0);
    size_t events = 5 + pick(r, 25);
    for (size_t i = 0; i < events; i++) {
        if (!pick(r, 3)) change_watch(r);
        if (!pick(r, 3)) change_owner(r);
        event(r, i < events / 2 ? 6 : 3);
        check(r);
    }
    end(r);
    free(r);
}

enum { HISTORIES = 1000 };

static void histories_equal_the_model(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= HISTORIES; seed++) history(seed, false);
}

static void histories_with_failing_allocations_equal_the_model(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= HISTORIES; seed++) history(seed * 7919, true);
}

/* Each allocation of an insert fails in turn, a thousand times over: the store does not grow by it. */
static void failed_inserts_leave_nothing_behind(void **state) {
    heap h = {0};
    pr_alloc alloc = heap_allocator(&h);
    pr_store *s;
    pr_id first, id;
    presence_owner owner;
    size_t bytes = 0, failed = 0;
    (void)state;
    assert_int_equal(pr_store_new(&alloc, &s), 0);
    assert_int_equal(pr_store_owner_open(s, 0, &owner), 0);
    for (uint64_t round = 0; round < 8000; round++) {
        presence_str meta = model_meta(round % 2 ? 1 : MODEL_METAS - 1);
        uint64_t dot = round % 4 < 2 ? 9 : 1ull << 40;
        assert_int_equal(pr_store_insert(s, 1, 1, 1, pr_cstr("t"), pr_cstr("k"), pr_cstr("{}"), 0, &first), 0);
        heap_fail(&h, 1 + round / 4 % 4);
        int error = pr_store_insert(s, 1, 5, dot, pr_cstr(round % 3 ? "t" : "fresh"), pr_cstr("k"), meta, owner, &id);
        failed += error != 0;
        heap_fail(&h, 0);
        if (!error) pr_store_remove(s, id);
        pr_store_remove(s, first);
        check_records(s, 0);
        if (round == 1000) bytes = h.bytes;
        if (round > 1000) assert_int_equal(h.bytes, bytes);
    }
    assert_true(failed > 100);
    pr_store_free(s);
    assert_int_equal(h.blocks, 0);
}

/* The first room for local entries fails after the text has been copied: the copy is given back each time. */
static void failed_local_inserts_give_their_text_back(void **state) {
    heap h = {0};
    pr_alloc alloc = heap_allocator(&h);
    pr_store *s;
    pr_id id;
    presence_owner owner;
    (void)state;
    assert_int_equal(pr_store_new(&alloc, &s), 0);
    assert_int_equal(pr_store_owner_open(s, 0, &owner), 0);
    assert_int_equal(pr_store_insert(s, 1, 1, 1, pr_cstr("t"), pr_cstr("k"), pr_cstr("{}"), 0, &id), 0);
    pr_store_remove(s, id);
    size_t bytes = h.bytes;
    for (int i = 0; i < 9000; i++) { /* more than a chunk of texts */
        heap_fail(&h, 1);
        int error = pr_store_insert(s, 1, 2, 2, pr_cstr("t"), pr_cstr("k"), pr_cstr("{}"), owner, &id);
        assert_int_equal(error, PRESENCE_ENOMEM);
    }
    heap_fail(&h, 0);
    assert_int_equal(pr_store_insert(s, 1, 3, 3, pr_cstr("t"), pr_cstr("k"), pr_cstr("{}"), 0, &id), 0);
    assert_int_equal(h.bytes, bytes);
    pr_store_free(s);
    assert_int_equal(h.blocks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histories_equal_the_model),
        cmocka_unit_test(failed_inserts_leave_nothing_behind),
        cmocka_unit_test(failed_local_inserts_give_their_text_back),
        cmocka_unit_test(histories_with_failing_allocations_equal_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* One engine under a fuzzer: its links, what it wrote on them, and the fold of its diffs, checked against its list. */
#ifndef FUZZ_MEMBER_H
#define FUZZ_MEMBER_H

#include "engine.h"
#include "fuzz_input.h"
#include "hash.h"
#include "heap.h"

enum { LINKS = 6, DIALS = 16, SHOWN = 512, UNREAD = 1 << 13 };

/* A presence as it was shown last; prev is the dot it had before, as a list tells it. */
typedef struct shown {
    uint64_t inst, eid, dot, hash;
    presence_owner owner;
} shown;

typedef struct link_end {
    pr_link id; /* 0: free */
    bool preamble;
    uint64_t unwritten;   /* bytes the engine sent and was not told of */
    size_t unread;        /* bytes it has not taken yet */
    uint8_t data[UNREAD]; /* those */
} link_end;

typedef struct fuzz_member {
    heap heap;
    pr_alloc alloc, plain;
    pr_engine *engine;
    pr_time now;
    pr_decoder *decoder; /* of what it sends */
    pr_message message;
    uint64_t ids, seq;
    link_end links[LINKS];
    uint64_t dials[DIALS]; /* unanswered */
    size_t dials_size, shown_size;
    shown shown[SHOWN];
    int synced;
    bool crowded; /* more was shown than the fold holds: it is no longer checked */
    bool yielded;
} fuzz_member;

static inline uint64_t shown_hash(presence_str topic, presence_str key, presence_str meta) {
    return pr_hash_entry(topic, key, meta);
}

static inline shown *fuzz_shown(fuzz_member *m, uint64_t inst, uint64_t eid) {
    for (size_t i = 0; i < m->shown_size; i++)
        if (m->shown[i].inst == inst && m->shown[i].eid == eid) return &m->shown[i];
    return NULL;
}

/* ---- diffs: joins of absent, updates and leaves of present ones, as last shown (P5, P8) ---- */

static inline void fuzz_join(fuzz_member *m, const pr_diff *diff, const pr_diff_item *item) {
    REQUIRE(item->prev_dot == 0 && !fuzz_shown(m, item->inst, item->eid));
    if (m->shown_size == SHOWN) {
        m->crowded = true;
        return;
    }
    m->shown[m->shown_size++] =
        (shown){item->inst, item->eid, item->dot, shown_hash(diff->topic, item->key, item->meta), item->owner};
}

static inline void fuzz_fold_item(fuzz_member *m, const pr_diff *diff, const pr_diff_item *item) {
    shown *s = fuzz_shown(m, item->inst, item->eid);
    if (item->kind == PRESENCE_JOIN) {
        fuzz_join(m, diff, item);
    } else if (item->kind == PRESENCE_UPDATE) {
        REQUIRE(s && s->dot == item->prev_dot && item->dot > s->dot);
        REQUIRE(s->hash == shown_hash(diff->topic, item->key, item->prev_meta));
        s->dot = item->dot;
        s->hash = shown_hash(diff->topic, item->key, item->meta);
    } else {
        REQUIRE(item->kind == PRESENCE_LEAVE && item->reason != PRESENCE_REASON_NONE);
        REQUIRE(s && s->dot == item->dot && s->hash == shown_hash(diff->topic, item->key, item->meta));
        *s = m->shown[--m->shown_size];
    }
}

static inline void fuzz_fold(fuzz_member *m, pr_diff *diff) {
    REQUIRE(diff->size > 0 && diff->seq > m->seq);
    m->seq = diff->seq;
    for (size_t i = 0; i < diff->size; i++) {
        const pr_diff_item *item = &diff->items[i], *last = i ? item - 1 : item;
        REQUIRE(item->kind >= last->kind);
        if (!m->crowded) fuzz_fold_item(m, diff, item);
    }
    pr_diff_free(diff);
}

/* The list, all topics of it, is the fold (guarantee 2). */
static inline void fuzz_check_list(fuzz_member *m) {
    const pr_store *store = pr_engine_store(m->engine);
    size_t rows = 0, fail_in = m->heap.fail_in, keys, metas;
    pr_rows *topics, *list;
    m->heap.fail_in = 0;
    REQUIRE(pr_store_topics(store, &topics) == 0 && topics->size == pr_store_topic_count(store));
    for (size_t t = 0; t < topics->size; t++) {
        REQUIRE(pr_store_list(store, topics->rows[t].topic, &list) == 0 && list->size > 0);
        pr_store_count(store, topics->rows[t].topic, &keys, &metas);
        REQUIRE(metas == list->size && keys >= 1 && keys <= metas);
        for (size_t i = 0; i < list->size && !m->crowded; i++) {
            const pr_row *row = &list->rows[i];
            const shown *s = fuzz_shown(m, row->inst, row->eid);
            REQUIRE(s && s->dot == row->dot && s->owner == row->owner);
            REQUIRE(s->hash == shown_hash(row->topic, row->key, row->meta));
        }
        rows += list->size;
        pr_rows_free(list);
    }
    pr_rows_free(topics);
    REQUIRE(m->crowded || rows == m->shown_size);
    m->heap.fail_in = fail_in;
}

/* ---- what it sends: whole frames that decode, on links that are open ---- */

static inline link_end *fuzz_link(fuzz_member *m, pr_link id) {
    for (size_t i = 0; i < LINKS; i++)
        if (id && m->links[i].id == id) return &m->links[i];
    return NULL;
}

static inline void fuzz_check_sent(fuzz_member *m, link_end *l, const pr_bytes *bytes) {
    const uint8_t *at = bytes->data;
    size_t left = bytes->size;
    uint32_t proto;
    REQUIRE(l != NULL && left > 0);
    if (!l->preamble) {
        REQUIRE(left >= PR_PREAMBLE_SIZE && pr_preamble_read(at, &proto) == 0);
        l->preamble = true;
        at += PR_PREAMBLE_SIZE;
        left -= PR_PREAMBLE_SIZE;
    }
    while (left) {
        pr_frame_in frame;
        size_t used, wanted;
        REQUIRE(pr_frame_read(at, left, PR_FRAME_MAX, &frame, &used, &wanted) == 1);
        REQUIRE(pr_decode(m->decoder, &frame, &m->message) == 0);
        at += used;
        left -= used;
    }
    l->unwritten += bytes->size;
}

/* ---- what it publishes: one whole frame with its crc, where it belongs ---- */
static inline void fuzz_check_published(fuzz_member *m, pr_subject subject, const pr_bytes *bytes) {
    pr_frame_in frame;
    size_t used, wanted;
    REQUIRE(subject.kind >= PR_SUBJECT_LOG && subject.kind <= PR_SUBJECT_INBOX);
    REQUIRE((subject.kind == PR_SUBJECT_BEATS) == (subject.inst == 0));
    REQUIRE(pr_frame_read(bytes->data, bytes->size, PR_FRAME_MIN, &frame, &used, &wanted) == 1);
    REQUIRE(used == bytes->size && frame.checked);
    REQUIRE(pr_frame_open(m->decoder, &frame, UINT64_MAX, PR_FRAME_MIN) == 0);
    REQUIRE(pr_decode(m->decoder, &frame, &m->message) == 0);
}

/* ---- actions ---- */

static inline void fuzz_closed(fuzz_member *m, pr_link id) {
    link_end *l = fuzz_link(m, id);
    if (l) l->id = 0;
}

static inline void fuzz_note_dial(fuzz_member *m, const pr_action *action) {
    REQUIRE(action->as.dial.id && action->as.dial.address[0] && action->as.dial.timeout_ms);
    for (size_t i = 0; i < m->dials_size; i++) REQUIRE(m->dials[i] != action->as.dial.id);
    if (m->dials_size < DIALS)
        m->dials[m->dials_size++] = action->as.dial.id;
    else
        pr_engine_dial_failed(m->engine, action->as.dial.id, PR_DIAL_TIMEOUT, m->now);
}

static inline void fuzz_check_info(const pr_member_info *info) {
    REQUIRE(info->name[0] && strlen(info->name) <= PR_MEMBER_NAME_MAX && strlen(info->address) <= PR_ADDRESS_MAX);
    REQUIRE(info->status >= PRESENCE_MEMBER_UP && info->status <= PRESENCE_MEMBER_CONFLICT && info->reason);
}

static inline void fuzz_act(fuzz_member *m) {
    pr_action action;
    while (pr_engine_next_action(m->engine, &action)) switch (action.kind) {
        case PR_ACTION_SEND:
            fuzz_check_sent(m, fuzz_link(m, action.as.send.link), action.as.send.bytes);
            pr_bytes_release(action.as.send.bytes);
            break;
        case PR_ACTION_PUBLISH:
            fuzz_check_published(m, action.as.publish.subject, action.as.publish.bytes);
            pr_bytes_release(action.as.publish.bytes);
            break;
        case PR_ACTION_DIAL: fuzz_note_dial(m, &action); break;
        case PR_ACTION_CLOSE: fuzz_closed(m, action.as.close.link); break;
        case PR_ACTION_DIFF: fuzz_fold(m, action.as.diff); break;
        case PR_ACTION_MEMBER: fuzz_check_info(&action.as.member); break;
        case PR_ACTION_SYNCED:
            REQUIRE(m->synced == 0 && (action.as.synced == 1 || action.as.synced == 2));
            m->synced = action.as.synced;
            break;
        case PR_ACTION_ERROR:
            REQUIRE(action.as.error.code < 0 && action.as.error.text[0]);
            REQUIRE(memchr(action.as.error.text, 0, sizeof action.as.error.text));
            break;
        case PR_ACTION_YIELD:
            REQUIRE(!m->yielded);
            m->yielded = true;
            break;
        default: REQUIRE(!"a kind of action that is one");
        }
}

/* ---- time ---- */

/* A tick at the time that is; the engine never asks for the same moment for ever. */
static inline void fuzz_tick(fuzz_member *m) {
    for (unsigned turns = 0; turns < 4; turns++) {
        pr_engine_tick(m->engine, m->now);
        fuzz_act(m);
        if (pr_engine_deadline(m->engine) > m->now.mono_ms) return;
    }
}

/* Everything an engine must be able to end: memory is there again, no link, all dials fail, time goes on. */
static inline void fuzz_calm_down(fuzz_member *m) {
    m->heap.fail_in = m->heap.fail_on = 0;
    pr_engine_hold_sweeps(m->engine, false);
    for (size_t i = 0; i < LINKS; i++) {
        if (!m->links[i].id) continue;
        pr_engine_link_down(m->engine, m->links[i].id, PR_END_CLOSED, m->now);
        m->links[i].id = 0;
        fuzz_act(m);
    }
    unsigned same = 0;
    for (unsigned turns = 0; turns < 300; turns++) {
        while (m->dials_size) {
            pr_engine_dial_failed(m->engine, m->dials[--m->dials_size], PR_DIAL_REFUSED, m->now);
            fuzz_act(m);
        }
        uint64_t due = pr_engine_deadline(m->engine);
        if (due == UINT64_MAX) return;
        same = due <= m->now.mono_ms ? same + 1 : 0;
        REQUIRE(same < 250); /* slices of sweeps come to an end */
        if (due > m->now.mono_ms) m->now.boot_ms += due - m->now.mono_ms, m->now.mono_ms = due;
        pr_engine_tick(m->engine, m->now);
        fuzz_act(m);
    }
}

#endif

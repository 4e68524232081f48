/* The pump: feeds (cursors) are served round robin while a link takes bytes (protocol.md 3.7.2 to 3.7.4).
 *
 * Happy path: a change of a log makes its feeds ready and queues their links; pr_pump_all serves each ready feed one
 * frame at a time until serve() has nothing more or the link is full. Equal cursors on links of equal features share
 * one buffer, compressed once. A link that is full waits until its low-water mark.
 * Failures: a copy that is not complete makes a subscribed feed wait and ends an unsubscribed one with NAK; no memory
 * leaves the feed ready and is tried again a second later.
 */
#include "engine_state.h"

#define SHARES_MAX 8

/* What the bytes of a frame depend on beside log and cursor. */
typedef struct frame_form {
    uint32_t max_frame;
    enum pr_codec codec;
    bool patches, hinted;
} frame_form;

/* Frames of this pass that other links may get as well. */
typedef struct share {
    pr_copy *copy;
    pr_cursor before, after;
    frame_form form;
    pr_bytes *bytes;
} share;
typedef struct shares {
    share items[SHARES_MAX];
    size_t size, next;
} shares;

static void shares_free(shares *s) {
    for (size_t i = 0; i < s->size; i++) pr_bytes_release(s->items[i].bytes);
    s->size = s->next = 0;
}

static bool same_cursor(const pr_cursor *a, const pr_cursor *b) {
    const pr_state *x = &a->state, *y = &b->state;
    return x->have == y->have && x->asof == y->asof && x->floor == y->floor && x->live_from == y->live_from &&
           x->live_pos == y->live_pos && x->live == y->live && a->base == b->base &&
           a->ring_pos_known == b->ring_pos_known && a->ring_pos == b->ring_pos;
}

static frame_form form_of(const pr_engine *e, const pr_feed *feed) {
    const pr_peer *peer = feed->peer;
    return (frame_form){.max_frame = peer->max_frame,
                        .codec = pr_codec_choose(e->options.compression, peer->features),
                        .patches = (peer->features & PR_FEATURE_PATCH) != 0 || !pr_rule(PR_RULE_patch_feature),
                        .hinted = feed->hinted};
}

static bool same_form(const frame_form *a, const frame_form *b) {
    bool patches = a->patches == b->patches || !pr_rule(PR_RULE_share_features);
    return a->max_frame == b->max_frame && a->codec == b->codec && patches && a->hinted == b->hinted;
}

static share *share_find(shares *s, const pr_feed *feed, const frame_form *form) {
    for (size_t i = 0; i < s->size; i++) {
        share *found = &s->items[i];
        if (found->copy == feed->copy && same_form(&found->form, form) && same_cursor(&found->before, &feed->cursor))
            return found;
    }
    return NULL;
}

static void share_keep(shares *s, const pr_feed *feed, const frame_form *form, const pr_cursor *before,
                       pr_bytes *bytes) {
    share *slot = &s->items[s->next];
    s->next = (s->next + 1) % SHARES_MAX;
    if (s->size < SHARES_MAX)
        s->size++;
    else
        pr_bytes_release(slot->bytes);
    *slot = (share){feed->copy, *before, feed->cursor, *form, bytes};
    bytes->references++;
}

/* ---- feeds ---- */
pr_feed *pr_feed_of(const pr_peer *peer, const pr_copy *copy) {
    if (!copy->wire) return peer->own;
    for (pr_node *n = copy->feeds.next; n != &copy->feeds; n = n->next) {
        pr_feed *feed = n->owner;
        if (feed->peer == peer) return feed;
    }
    return NULL;
}

static pr_feed *feed_new(pr_engine *e, pr_peer *peer, pr_copy *copy) {
    pr_feed *feed = pr_new(e->alloc, sizeof *feed);
    if (!feed) return NULL;
    feed->peer = peer;
    feed->copy = copy;
    pr_node_init(&feed->by_peer, feed);
    pr_node_init(&feed->by_copy, feed);
    pr_node_init(&feed->ready, feed);
    pr_node_append(&peer->feeds, &feed->by_peer);
    pr_node_append(&copy->feeds, &feed->by_copy);
    peer->feeds_size++;
    if (!copy->wire) peer->own = feed;
    return feed;
}

static void feed_wake(pr_engine *e, pr_feed *feed) {
    pr_node *ready = &feed->peer->ready;
    bool ahead = !pr_rule(PR_RULE_round_robin) && !feed->copy->wire && feed != ready->next->owner;
    if (ahead) ready = ready->next; /* the own log before all others */
    if (ahead || !pr_node_linked(&feed->ready)) pr_node_append(ready, &feed->ready);
    pr_peer_wake(e, feed->peer);
}

int pr_feed_make(pr_engine *e, pr_peer *peer, pr_copy *copy, const pr_state *state, bool subscribed) {
    pr_feed *feed = pr_feed_of(peer, copy);
    if (!feed) feed = feed_new(e, peer, copy);
    if (!feed) return PRESENCE_ENOMEM;
    feed->cursor = pr_cursor_from_state(state);
    feed->subscribed = subscribed;
    feed->hinted = false;
    feed_wake(e, feed);
    return 0;
}

void pr_feed_free(pr_engine *e, pr_feed *feed) {
    pr_node_remove(&feed->by_peer);
    pr_node_remove(&feed->by_copy);
    pr_node_remove(&feed->ready);
    feed->peer->feeds_size--;
    if (feed->peer->own == feed) feed->peer->own = NULL;
    pr_delete(e->alloc, feed, sizeof *feed);
}

void pr_peer_wake(pr_engine *e, pr_peer *peer) {
    if (!peer->blocked && pr_node_linked(&peer->ready) && !pr_node_linked(&peer->pump))
        pr_node_append(&e->pumps, &peer->pump);
}

void pr_copy_wake(pr_engine *e, pr_copy *copy) {
    for (pr_node *n = copy->feeds.next; n != &copy->feeds; n = n->next) feed_wake(e, n->owner);
}

/* ---- serving ---- */
static int define(pr_engine *e, pr_feed *feed) {
    if (feed->defined || !feed->copy->wire || !pr_rule(PR_RULE_logdef_first)) return 0;
    pr_message *message = &e->message;
    memset(message, 0, sizeof *message);
    message->type = PR_LOGDEF;
    message->as.logdef.log = feed->copy->wire;
    message->as.logdef.inst = feed->copy->inst;
    memcpy(message->as.logdef.name, feed->copy->name, sizeof feed->copy->name);
    int rc = pr_peer_send(e, feed->peer, message);
    feed->defined = rc == 0;
    return rc;
}

static int encode(pr_engine *e, const pr_feed *feed, const frame_form *form, int kind, pr_served_frame *frame,
                  pr_bytes **out) {
    pr_message *message = &e->message;
    if (kind == PR_SERVED_SEGMENT) {
        message->type = PR_SEGMENT;
        message->as.segment = frame->segment;
        message->as.segment.log = feed->copy->wire;
        if (form->hinted) message->as.segment.count_hint = 0;
    } else {
        message->type = PR_LIVE;
        message->as.live = frame->live;
        message->as.live.log = feed->copy->wire;
    }
    pr_buffer_clear(&e->scratch);
    int rc = pr_encode_compressed(&e->compressor, form->codec, &e->scratch, message, form->max_frame);
    if (rc) return rc;
    *out = pr_bytes_new(e->alloc, e->scratch.data, e->scratch.size);
    if (!*out) return PRESENCE_ENOMEM;
    (*out)->saved = e->compressor.saved;
    return 0;
}

/* 1: a frame was sent, 0: nothing to send, negative: no memory, the cursor stands where it stood. */
static int serve(pr_engine *e, pr_feed *feed, shares *shared) {
    if (!pr_copy_up(feed->copy)) return 0;
    frame_form form = form_of(e, feed);
    share *found = share_find(shared, feed, &form);
    pr_cursor before = feed->cursor;
    pr_bytes *bytes = NULL;
    int rc = 0;
    if (found) {
        bytes = found->bytes;
        bytes->references++;
        feed->cursor = found->after;
    } else {
        pr_served_frame frame;
        memset(&frame, 0, sizeof frame);
        int kind = pr_log_serve(feed->copy->log, &feed->cursor, form.patches, &frame);
        if (kind == PR_SERVED_NONE) return 0;
        rc = kind < 0 ? kind : encode(e, feed, &form, kind, &frame, &bytes);
        if (!rc) share_keep(shared, feed, &form, &before, bytes);
    }
    if (!rc) rc = define(e, feed);
    if (!rc) rc = pr_peer_send_bytes(e, feed->peer, bytes);
    pr_bytes_release(bytes);
    if (rc)
        feed->cursor = before;
    else
        feed->hinted = true;
    return rc ? rc : 1;
}

/* serve() had nothing: a subscribed feed stays, another one ends, with NAK when the peer did not get all. */
static void feed_rests(pr_engine *e, pr_feed *feed) {
    pr_node_remove(&feed->ready);
    if (feed->subscribed && pr_rule(PR_RULE_subscription_kept)) return;
    const pr_copy *copy = feed->copy;
    bool up = pr_copy_up(copy), cut = !up || !pr_log_can_serve(copy->log, &feed->cursor.state);
    if (cut) pr_nak_send(e, feed->peer, copy->inst, up ? PR_NAK_NOT_COMPLETE : PR_NAK_NOT_UP, 0);
    pr_feed_free(e, feed);
}

static bool may_send(const pr_engine *e, const pr_peer *peer) {
    return !pr_peer_full(e, peer) || !pr_rule(PR_RULE_high_water);
}

static bool pump(pr_engine *e, pr_peer *peer, shares *shared) {
    pr_feed *feed;
    while (may_send(e, peer) && (feed = pr_node_first(&peer->ready))) {
        int rc = serve(e, feed, shared);
        if (rc < 0) return false;
        if (rc == 0)
            feed_rests(e, feed);
        else if (pr_rule(PR_RULE_round_robin))
            pr_node_append(&peer->ready, &feed->ready);
    }
    peer->blocked = !may_send(e, peer);
    return true;
}

void pr_pump_all(pr_engine *e) {
    shares shared;
    pr_peer *peer;
    if (!pr_node_linked(&e->pumps)) return; /* the usual end of a local call */
    shared.size = shared.next = 0;
    while ((peer = pr_node_first(&e->pumps))) {
        if (!pump(e, peer, &shared)) {
            e->memory_failed = true;
            pr_timer_set(&e->timers, &e->retry, e->now.mono_ms + PR_MEMORY_MS);
            break;
        }
        pr_node_remove(&peer->pump);
    }
    shares_free(&shared);
}

/* ---- when local changes go out (3.7.4) ---- */
static uint64_t tau(const pr_engine *e) {
    if (e->options.flush_ms >= 0) return (uint64_t)e->options.flush_ms;
    uint64_t ms = (e->members_up + 1) / 20; /* 50 us x N */
    return ms < 1 ? 1 : ms > 50 ? 50 : ms;
}

void pr_flush(pr_engine *e) {
    e->flush_wanted = false;
    pr_timer_clear(&e->timers, &e->flush);
    e->flushed_at = e->now.mono_ms;
    pr_copy_wake(e, &e->own);
    if (e->broker.up && !e->yielded) pr_broker_publish(e);
}

void pr_local_changed(pr_engine *e) {
    bool heard = pr_node_linked(&e->own.feeds) || e->broker.up;
    if (e->flush_wanted || !heard) return; /* a feed made later begins with all there is */
    uint64_t due = e->flushed_at + tau(e);
    e->flush_wanted = true;
    if (due <= e->now.mono_ms)
        pr_flush(e);
    else
        pr_timer_set(&e->timers, &e->flush, due);
}

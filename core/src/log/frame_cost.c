/* Cost of removals and entities in a frame, an upper bound of their encoding (protocol.md 5.2). */
#include "frame_cost.h"
#include <string.h>

#define TOPICS_MIN 64u

size_t pr_cost_varint(uint64_t v) {
    size_t n = 1;
    for (; v >= 128; v >>= 7) n++;
    return n;
}

size_t pr_cost_removed(uint64_t eid) { return eid > UINT64_MAX >> 2 ? 10 : pr_cost_varint(eid << 2 | 3); }

static size_t text_cost(presence_str s) { return 1 + pr_cost_varint(s.size) + s.size; }

/* ---- the set of topics named ---- */

static size_t topics_room(const pr_log *log) { return log->topics.bytes / sizeof(pr_topic_seen); }

/* Puts the topic in; true if it was not there. The table is never full. */
static bool topic_is_new(pr_log *log, pr_id topic) {
    pr_topic_seen *seen = log->topics.data;
    size_t mask = topics_room(log) - 1, i = (topic * 2654435769u) & mask;
    for (; seen[i].round == log->topics_round; i = (i + 1) & mask)
        if (seen[i].topic == topic) return false;
    seen[i] = (pr_topic_seen){topic, log->topics_round};
    return true;
}

/* Twice the room; only the topics of this round are kept. */
static int topics_grow(pr_log *log) {
    size_t room = topics_room(log), more = room ? room * 2 : TOPICS_MIN;
    pr_topic_seen *old = log->topics.data, *seen = pr_new(log->alloc, more * sizeof *seen);
    if (seen == NULL) return PRESENCE_ENOMEM;
    log->topics = (pr_scratch){seen, more * sizeof *seen};
    for (size_t i = 0; i < room; i++)
        if (old[i].round == log->topics_round) topic_is_new(log, old[i].topic);
    pr_delete(log->alloc, old, room * sizeof *old);
    return 0;
}

/* ---- entities ---- */

int pr_up_cost_begin(pr_up_cost *c, pr_log *log, uint64_t x) {
    *c = (pr_up_cost){.log = log, .previous = x};
    if (topics_room(log) == 0 && topics_grow(log) != 0) return PRESENCE_ENOMEM;
    if (++log->topics_round == 0) {
        memset(log->topics.data, 0, log->topics.bytes);
        log->topics_round = 1;
    }
    return 0;
}

static int topic_cost(pr_up_cost *c, const pr_up *u, size_t *bytes) {
    if ((c->topics + 1) * (size_t)2 > topics_room(c->log) && topics_grow(c->log) != 0) return PRESENCE_ENOMEM;
    if (topic_is_new(c->log, u->topic_id)) {
        c->topics++;
        *bytes += text_cost(u->topic);
    } else {
        *bytes += 1 + pr_cost_varint(c->topics); /* its index, were it not the last one named */
    }
    return 0;
}

int pr_up_cost_add(pr_up_cost *c, const pr_up *u, size_t *bytes) {
    uint64_t gap = u->dot - c->previous - 1, back = u->dot - u->eid;
    size_t body = text_cost(u->meta);
    if (!u->patch) {
        body += text_cost(u->key);
        if (topic_cost(c, u, &body) != 0) return PRESENCE_ENOMEM;
    }
    if (back > 0) body += 1 + pr_cost_varint(back);
    if (gap > 0) body += 1 + pr_cost_varint(gap);
    c->previous = u->dot;
    *bytes = 1 + pr_cost_varint(body) + body;
    return 0;
}

/* The truth about one log, kept by a test: History(v) for every v, who died when and why, and the exact size of a frame
 * on the wire, computed from protocol.md 5.2 and not by the library. */
#ifndef LOG_TRUTH_H
#define LOG_TRUTH_H

#include "hash.h"
#include "log.h"
#include <stdio.h>
#include <string.h>

enum { TRUTH_VERSIONS = 420, TRUTH_LIVE = 48, TRUTH_TOPICS = 4, TRUTH_KEYS = 3, TRUTH_META = 120 };

typedef struct truth_cell {
    uint64_t eid, dot;
} truth_cell;

typedef struct truth_moment {
    size_t size;
    truth_cell cells[TRUTH_LIVE]; /* ascending eid */
} truth_moment;

/* The texts depend on eid (topic, key) and dot (meta) alone. */
typedef struct truth {
    uint64_t version;
    truth_moment at[TRUTH_VERSIONS + 1];
    uint64_t death[TRUTH_VERSIONS + 1]; /* by eid; 0 = lives */
    uint8_t reason[TRUTH_VERSIONS + 1];
} truth;

static const char *const truth_topics[TRUTH_TOPICS] = {"a", "room:lobby", "room:17",
                                                       "a-topic-with-a-longer-name:0000001"};
static const char *const truth_keys[TRUTH_KEYS] = {"u", "user:1", "user:a-longer-key"};

static inline presence_str truth_topic(uint64_t eid) { return pr_cstr(truth_topics[pr_fmix64(eid) % TRUTH_TOPICS]); }
static inline presence_str truth_key(uint64_t eid) { return pr_cstr(truth_keys[pr_fmix64(eid + 7) % TRUTH_KEYS]); }

/* {"v":12} and blanks: mostly short, one in eight over 80 bytes. */
static inline presence_str truth_meta(uint64_t dot) {
    static char texts[TRUTH_VERSIONS + 1][TRUTH_META];
    static uint8_t sizes[TRUTH_VERSIONS + 1];
    if (sizes[dot] == 0) {
        int blanks = pr_fmix64(dot) % 8 == 0 ? 80 : (int)(pr_fmix64(dot) % 5);
        sizes[dot] = (uint8_t)snprintf(texts[dot], TRUTH_META, "{\"v\":%u%*s}", (unsigned)dot, blanks, "");
    }
    return pr_str(texts[dot], sizes[dot]);
}

static inline const truth_cell *truth_find(const truth_moment *m, uint64_t eid) {
    for (size_t i = 0; i < m->size; i++)
        if (m->cells[i].eid == eid) return &m->cells[i];
    return NULL;
}

static inline truth_moment *truth_step(truth *t) {
    t->version++;
    t->at[t->version] = t->at[t->version - 1];
    return &t->at[t->version];
}

static inline void truth_track(truth *t) {
    truth_moment *m = truth_step(t);
    m->cells[m->size++] = (truth_cell){t->version, t->version};
}

static inline void truth_update(truth *t, size_t i) {
    truth_moment *m = truth_step(t);
    m->cells[i].dot = t->version;
}

static inline void truth_untrack(truth *t, size_t i, uint8_t reason) {
    truth_moment *m = truth_step(t);
    t->death[m->cells[i].eid] = t->version;
    t->reason[m->cells[i].eid] = reason;
    memmove(m->cells + i, m->cells + i + 1, (--m->size - i) * sizeof *m->cells);
}

/* P11, from the texts */
static inline uint64_t truth_sum(const truth_moment *m) {
    uint64_t sum = 0;
    for (size_t i = 0; i < m->size; i++) {
        const truth_cell *c = &m->cells[i];
        uint64_t h = pr_hash_entry(truth_topic(c->eid), truth_key(c->eid), truth_meta(c->dot));
        sum += pr_fmix64(pr_fmix64(pr_fmix64(c->eid) ^ c->dot) ^ h);
    }
    return sum;
}

/* ---- sizes on the wire ---- */

static inline size_t truth_varint(uint64_t v) { return v < 128 ? 1 : 1 + truth_varint(v >> 7); }
static inline size_t truth_text(size_t size) { return 1 + truth_varint(size) + size; }

static inline size_t truth_removed_size(const pr_segment *f) {
    size_t bytes = 0;
    for (size_t i = 0; i < f->removed_size; i++) {
        uint64_t previous = i ? f->removed[i - 1].eid : 0;
        bytes += truth_varint((f->removed[i].eid - previous - 1) << 2 | f->removed[i].reason);
    }
    return bytes;
}

static inline size_t truth_ups_size(const pr_segment *f) {
    size_t bytes = 0, topics = 0, last = 0;
    presence_str dictionary[TRUTH_TOPICS + 1];
    for (size_t i = 0; i < f->ups_size; i++) {
        const pr_up *u = &f->ups[i];
        uint64_t gap = u->dot - (i ? f->ups[i - 1].dot : f->x) - 1;
        size_t body = truth_text(u->meta.size), index = 1;
        if (!u->patch) {
            body += truth_text(u->key.size);
            while (index <= topics && !pr_str_equal(dictionary[index], u->topic)) index++;
            if (index > topics)
                dictionary[++topics] = u->topic, body += truth_text(u->topic.size);
            else if (index != last)
                body += 1 + truth_varint(index);
            last = index;
        }
        if (u->dot > u->eid) body += 1 + truth_varint(u->dot - u->eid);
        if (gap) body += 1 + truth_varint(gap);
        bytes += 1 + truth_varint(body) + body;
    }
    return bytes;
}

static inline size_t truth_eids_size(const pr_live *f) {
    size_t bytes = 0;
    for (size_t i = 0; i < f->eids_size; i++) bytes += truth_varint(f->eids[i] - (i ? f->eids[i - 1] : f->lo) - 1);
    return bytes;
}

#endif

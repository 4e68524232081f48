/* SEG to bytes: sizes first, then each entity is written once into room that is there (protocol.md 5.2). */
#include "encoder.h"
#include "protobuf.h"
#include <string.h>

enum { LOG = 1, ASOF, D_HAVE, D_ASOF, R_HAVE, REMOVED, UPS, MORE, COUNT_HINT, INST };
enum { TOPIC = 1, TOPIC_NAME, KEY, META, BACK, GAP };

/* ---- dictionary: topic id -> index in this frame ---- */
#define SMALL_SLOTS 64

struct slot {
    pr_id id;
    uint32_t index; /* 1-based; 0: free */
};

struct topics {
    struct slot *slots;
    size_t mask;
    uint32_t size, last; /* last: index of the last full entity's topic */
};

/* The index of a topic; *is_new: it was not there. The table is never more than half full. */
static uint32_t topic_index(struct topics *t, pr_id id, bool *is_new) {
    size_t i = (id * 2654435769u >> 7) & t->mask;
    while (t->slots[i].index && t->slots[i].id != id) i = (i + 1) & t->mask;
    *is_new = t->slots[i].index == 0;
    if (*is_new) t->slots[i] = (struct slot){id, ++t->size};
    return t->slots[i].index;
}

static size_t slots_for(size_t entities) {
    size_t slots = SMALL_SLOTS;
    while (slots < entities * 2) slots *= 2;
    return slots;
}

/* ---- entities ---- */
struct entry {
    uint64_t back, gap;
    uint32_t topic;    /* 0: as before */
    presence_str name; /* defines the next index */
};

static void choose_topic(struct topics *topics, const pr_up *up, struct entry *e) {
    if (up->patch) return;
    bool is_new;
    uint32_t index = topic_index(topics, up->topic_id, &is_new);
    if (is_new)
        e->name = up->topic;
    else if (index != topics->last)
        e->topic = index;
    topics->last = index;
}

static size_t entry_size(const struct entry *e, const pr_up *up) {
    return pr_number_size(e->topic) + pr_bytes_size(e->name.size) + pr_bytes_size(up->patch ? 0 : up->key.size) +
           pr_bytes_size(up->meta.size) + pr_number_size(e->back) + pr_number_size(e->gap);
}

static uint8_t *put_text(uint8_t *at, unsigned number, presence_str text) {
    if (!text.size) return at;
    at = pr_put_bytes_head(at, number, text.size);
    memcpy(at, text.data, text.size);
    return at + text.size;
}

static int put_up(pr_buffer *buffer, struct topics *topics, const pr_up *up, uint64_t previous) {
    struct entry e = {.back = up->dot - up->eid, .gap = up->dot - previous - 1};
    choose_topic(topics, up, &e);
    size_t size = entry_size(&e, up);
    if (pr_buffer_reserve(buffer, pr_bytes_size(size)) != 0) return buffer->failed;
    uint8_t *at = pr_put_bytes_head(buffer->data + buffer->size, UPS, size);
    at = pr_put_number(at, TOPIC, e.topic);
    at = put_text(at, TOPIC_NAME, e.name);
    if (!up->patch) at = put_text(at, KEY, up->key);
    at = put_text(at, META, up->meta);
    at = pr_put_number(at, BACK, e.back);
    at = pr_put_number(at, GAP, e.gap);
    buffer->size = (size_t)(at - buffer->data);
    return 0;
}

static int put_ups_with(pr_buffer *buffer, const pr_segment *s, struct topics *topics) {
    uint64_t previous = s->x;
    for (size_t i = 0; i < s->ups_size; previous = s->ups[i++].dot) {
        int failed = put_up(buffer, topics, &s->ups[i], previous);
        if (failed) return failed;
    }
    return 0;
}

static int put_ups(pr_buffer *buffer, const pr_segment *s) {
    size_t count = slots_for(s->ups_size);
    if (count == SMALL_SLOTS) {
        struct slot slots[SMALL_SLOTS] = {{0}};
        return put_ups_with(buffer, s, &(struct topics){.slots = slots, .mask = count - 1});
    }
    struct slot *slots = pr_new(buffer->alloc, count * sizeof *slots);
    if (!slots) return PRESENCE_ENOMEM;
    int failed = put_ups_with(buffer, s, &(struct topics){.slots = slots, .mask = count - 1});
    pr_delete(buffer->alloc, slots, count * sizeof *slots);
    return failed;
}

/* ---- removals ---- */
#define GAP_MAX (UINT64_MAX >> 2) /* the reason takes two bits: no gap beyond can be written */

/* false: a gap over GAP_MAX */
static bool removed_size(const pr_segment *s, size_t *out) {
    uint64_t previous = 0;
    for (size_t i = 0; i < s->removed_size; previous = s->removed[i++].eid) {
        uint64_t gap = s->removed[i].eid - previous - 1;
        if (gap > GAP_MAX) return false;
        *out += pr_varint_size(gap << 2 | s->removed[i].reason);
    }
    return true;
}

static uint8_t *put_removed(uint8_t *at, const pr_segment *s, size_t size) {
    if (!size) return at;
    at = pr_put_bytes_head(at, REMOVED, size);
    uint64_t previous = 0;
    for (size_t i = 0; i < s->removed_size; previous = s->removed[i++].eid)
        at = pr_put_varint(at, (s->removed[i].eid - previous - 1) << 2 | s->removed[i].reason);
    return at;
}

static int put_head(pr_buffer *buffer, const pr_segment *s, size_t removed) {
    if (pr_buffer_reserve(buffer, removed + 6 * (PR_VARINT_MAX + 1)) != 0) return buffer->failed;
    uint8_t *at = buffer->data + buffer->size;
    at = pr_put_number(at, LOG, s->log);
    at = pr_put_number(at, ASOF, s->T);
    at = pr_put_number(at, D_HAVE, s->T - s->x);
    at = pr_put_number(at, D_ASOF, s->T2 - s->T);
    at = pr_put_number(at, R_HAVE, s->T2 - s->x2);
    at = put_removed(at, s, removed);
    buffer->size = (size_t)(at - buffer->data);
    return 0;
}

static int put_tail(pr_buffer *buffer, const pr_segment *s) {
    if (pr_buffer_reserve(buffer, 3 * (PR_VARINT_MAX + 1)) != 0) return buffer->failed;
    uint8_t *at = buffer->data + buffer->size;
    at = pr_put_number(at, MORE, s->more);
    at = pr_put_number(at, COUNT_HINT, s->count_hint);
    at = pr_put_fixed64(at, INST, s->inst);
    buffer->size = (size_t)(at - buffer->data);
    return 0;
}

int pr_encode_segment(pr_buffer *buffer, const pr_segment *s) {
    size_t removed = 0;
    if (!removed_size(s, &removed)) return PRESENCE_ELIMIT;
    int failed = put_head(buffer, s, removed);
    if (!failed) failed = put_ups(buffer, s);
    return failed ? failed : put_tail(buffer, s);
}

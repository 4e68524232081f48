/* SEG from bytes: every number is checked before it is used, every array is counted before it is allocated
 * (protocol.md 5.2, limits 5.4).
 *
 * Two passes, since protobuf lets fields come in any order: the first takes the numbers and counts the entities, the
 * second reads the entities, whose dots count from x.
 */
#include "decoder.h"
#include "protobuf.h"
#include <string.h>

enum { LOG = 1, ASOF, D_HAVE, D_ASOF, R_HAVE, REMOVED, UPS, MORE, COUNT_HINT, INST };
enum { TOPIC = 1, TOPIC_NAME, KEY, META, BACK, GAP, FLAGS };

#define NUMBER(field) PR_TAG(field, PR_FIELD_VARINT)
#define BYTES(field)  PR_TAG(field, PR_FIELD_BYTES)

struct scan {
    uint64_t log, asof, d_have, d_asof, r_have, more, count_hint, inst;
    pr_reader removed;
    size_t ups;
};

static bool scan_field(struct scan *s, const pr_field *field) {
    switch (field->tag) {
    case NUMBER(LOG): s->log = field->value; break;
    case NUMBER(ASOF): s->asof = field->value; break;
    case NUMBER(D_HAVE): s->d_have = field->value; break;
    case NUMBER(D_ASOF): s->d_asof = field->value; break;
    case NUMBER(R_HAVE): s->r_have = field->value; break;
    case BYTES(REMOVED): s->removed = field->bytes; break;
    case BYTES(UPS): s->ups++; break;
    case NUMBER(MORE): s->more = field->value; break;
    case NUMBER(COUNT_HINT): s->count_hint = field->value; break;
    case PR_TAG(INST, PR_FIELD_FIXED64): s->inst = field->value; break; /* of a broker */
    default: return field->tag >> 3 > INST;                             /* a known number of another type is no SEG */
    }
    return true;
}

static bool scan_frame(pr_reader reader, struct scan *out) {
    pr_field field;
    int found;
    while ((found = pr_field_next(&reader, &field)) == 1)
        if (!scan_field(out, &field)) return false;
    return found == 0;
}

/* (x', T') >= (x, T), and nothing wraps */
static bool take_versions(const struct scan *s, pr_segment *out) {
    if (s->log > UINT32_MAX || s->count_hint > UINT32_MAX) return false;
    if (s->d_have > s->asof || s->d_asof > UINT64_MAX - s->asof) return false;
    out->log = (uint32_t)s->log;
    out->T = s->asof;
    out->x = s->asof - s->d_have;
    out->T2 = s->asof + s->d_asof;
    if (s->r_have > out->T2 - out->x) return false;
    out->x2 = out->T2 - s->r_have;
    out->more = s->more != 0;
    out->count_hint = (uint32_t)s->count_hint;
    out->inst = s->inst;
    return true;
}

static size_t count_varints(pr_reader r) {
    size_t count = 0;
    for (; r.at < r.end; r.at++) count += *r.at < 0x80;
    return count;
}

static int take_removed(pr_decoder *d, pr_reader bytes, pr_segment *out) {
    size_t count = count_varints(bytes);
    out->removed = pr_scratch_fit(d, &d->removed, count, sizeof(pr_removed));
    if (!out->removed) return PRESENCE_ENOMEM;
    uint64_t previous = 0, value;
    while (bytes.at < bytes.end) {
        if (!pr_read_varint(&bytes, &value)) return PRESENCE_EPROTOCOL;
        uint64_t gap = value >> 2;
        if (previous >= out->x || gap > out->x - previous - 1) return PRESENCE_EPROTOCOL;
        previous += 1 + gap;
        out->removed[out->removed_size++] = (pr_removed){previous, value & 3};
    }
    return 0;
}

struct entry {
    uint64_t topic, back, gap, flags;
    pr_reader name, key, meta;
    bool has_name;
};

static bool entry_field(struct entry *e, const pr_field *field) {
    switch (field->tag) {
    case NUMBER(TOPIC): e->topic = field->value; break;
    case BYTES(TOPIC_NAME):
        e->name = field->bytes;
        e->has_name = true;
        break;
    case BYTES(KEY): e->key = field->bytes; break;
    case BYTES(META): e->meta = field->bytes; break;
    case NUMBER(BACK): e->back = field->value; break;
    case NUMBER(GAP): e->gap = field->value; break;
    case NUMBER(FLAGS): e->flags = field->value; break;
    default: return field->tag >> 3 > FLAGS;
    }
    return true;
}

static bool read_entry(pr_reader reader, struct entry *out) {
    pr_field field;
    int found;
    while ((found = pr_field_next(&reader, &field)) == 1)
        if (!entry_field(out, &field)) return false;
    return found == 0 && !out->flags;
}

static presence_str text_of(const pr_reader *r) { return pr_str((const char *)r->at, pr_reader_left(r)); }

/* The dictionary of the frame while its entities are read. */
struct topics {
    presence_str *names;
    size_t size;
    size_t last; /* index + 1 of the last full entity's topic; 0: none yet */
};

static bool take_topic(struct topics *topics, const struct entry *e, pr_up *up) {
    if (e->has_name) {
        presence_str name = text_of(&e->name);
        if (e->topic || pr_check_topic(name) != 0) return false;
        topics->names[topics->size++] = name;
        topics->last = topics->size;
    } else if (e->topic) {
        if (e->topic > topics->size) return false;
        topics->last = (size_t)e->topic;
    }
    if (!topics->last) return false;
    up->topic = topics->names[topics->last - 1];
    up->topic_id = (pr_id)topics->last;
    return true;
}

/* Whether it is an object all through was checked where it was tracked. */
static bool take_meta(const struct entry *e, pr_up *up) {
    up->meta = text_of(&e->meta);
    size_t size = up->meta.size;
    return size >= 2 && size <= PR_META_MAX && up->meta.data[0] == '{' && up->meta.data[size - 1] == '}';
}

static bool take_entry(struct topics *topics, const struct entry *e, pr_up *up) {
    if (!take_meta(e, up)) return false;
    up->key = text_of(&e->key);
    up->patch = up->key.size == 0;
    if (up->patch) return e->back > 0 && !e->topic && !e->has_name;
    return pr_check_key(up->key) == 0 && take_topic(topics, e, up);
}

/* dot = previous + 1 + gap <= x', eid = dot - back > 0 */
static bool take_dot(const struct entry *e, uint64_t previous, uint64_t last, pr_up *up) {
    if (previous >= last || e->gap > last - previous - 1) return false;
    up->dot = previous + 1 + e->gap;
    up->eid = up->dot - e->back;
    return e->back < up->dot;
}

static int take_ups(pr_decoder *d, pr_reader reader, size_t count, pr_segment *out) {
    struct topics topics = {.names = pr_scratch_fit(d, &d->topics, count, sizeof(presence_str))};
    out->ups = pr_scratch_fit(d, &d->ups, count, sizeof(pr_up));
    if (!topics.names || !out->ups) return PRESENCE_ENOMEM;
    uint64_t previous = out->x;
    pr_field field;
    while (pr_field_next(&reader, &field) == 1) {
        if (field.tag != BYTES(UPS)) continue;
        struct entry e = {0};
        pr_up up = {0};
        if (!read_entry(field.bytes, &e) || !take_entry(&topics, &e, &up) || !take_dot(&e, previous, out->x2, &up))
            return PRESENCE_EPROTOCOL;
        previous = up.dot;
        out->ups[out->ups_size++] = up;
    }
    return 0;
}

int pr_decode_segment(pr_decoder *d, const pr_frame_in *frame, pr_segment *out) {
    memset(out, 0, sizeof *out);
    pr_reader reader = {frame->payload, frame->payload + frame->size};
    struct scan scan = {0};
    if (!scan_frame(reader, &scan) || !take_versions(&scan, out)) return PRESENCE_EPROTOCOL;
    int failed = take_removed(d, scan.removed, out);
    return failed ? failed : take_ups(d, reader, scan.ups, out);
}

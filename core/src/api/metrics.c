/* Counters and members of trackers as text for Prometheus: a family at a time, in it every tracker that still runs. */
#include "event.h"
#include "tracker.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct running {
    const presence_tracker *tracker;
    presence_statistics stats;
    presence_snapshot *members;
} running;

typedef struct page {
    pr_buffer *out;
    running *trackers;
    size_t size;
} page;

static void family(page *p, const char *name, const char *suffix, const char *kind, const char *help) {
    char line[256];
    snprintf(line, sizeof line, "# HELP libpresence_%s%s %s\n# TYPE libpresence_%s%s %s\n", name, suffix, help, name,
             suffix, kind);
    pr_buffer_text(p->out, line);
}

/* A label as the format wants it: backslash, quote and new line escaped. */
static void label(page *p, const char *before, const char *name, const char *value) {
    pr_buffer_text(p->out, before);
    pr_buffer_text(p->out, name);
    pr_buffer_text(p->out, "=\"");
    for (const char *c = value; *c; c++) {
        if (*c == '\n') {
            pr_buffer_text(p->out, "\\n");
            continue;
        }
        if (*c == '\\' || *c == '"') pr_buffer_text(p->out, "\\");
        pr_buffer_append(p->out, c, 1);
    }
    pr_buffer_text(p->out, "\"");
}

/* extra NULL: without a third label */
static void series(page *p, const running *of, const char *name, const char *suffix, const char *extra,
                   const char *value, const char *number) {
    pr_buffer_text(p->out, "libpresence_");
    pr_buffer_text(p->out, name);
    pr_buffer_text(p->out, suffix);
    label(p, "{", "cluster", of->tracker->cluster_name);
    label(p, ",", "member", of->tracker->name);
    if (extra) label(p, ",", extra, value);
    pr_buffer_text(p->out, "} ");
    pr_buffer_text(p->out, number);
    pr_buffer_text(p->out, "\n");
}

static void statistics(page *p) {
    const char *name, *kind, *help;
    for (size_t i = 0; (name = presence_statistic_at(i, &kind, &help)) != NULL; i++) {
        const char *suffix = strcmp(kind, "counter") == 0 ? "_total" : "";
        family(p, name, suffix, kind, help);
        for (size_t t = 0; t < p->size; t++) {
            char number[24];
            snprintf(number, sizeof number, "%" PRIu64, presence_statistic_value(&p->trackers[t].stats, i));
            series(p, &p->trackers[t], name, suffix, NULL, NULL, number);
        }
    }
}

static void peers_by_status(page *p) {
    family(p, "peers", "", "gauge", "Other members by what is thought of them; observers are left out.");
    for (size_t t = 0; t < p->size; t++) {
        size_t counts[PRESENCE_MEMBER_CONFLICT + 1] = {0};
        const presence_snapshot *members = p->trackers[t].members;
        for (size_t i = 0; i < members->members_size; i++)
            if (!members->members[i].is_self && !members->members[i].observer) counts[members->members[i].status]++;
        for (int status = PRESENCE_MEMBER_UP; status <= PRESENCE_MEMBER_DOWN; status++) {
            char number[24];
            snprintf(number, sizeof number, "%zu", counts[status]);
            series(p, &p->trackers[t], "peers", "", "status", pr_status_name(status), number);
        }
    }
}

typedef enum peer_fact { PEER_ENTRIES, PEER_LAG, PEER_RTT } peer_fact;

static bool peer_number(const pr_member_info *peer, peer_fact fact, char *out, size_t room) {
    switch (fact) {
    case PEER_ENTRIES: snprintf(out, room, "%" PRIu64, peer->entries); return true;
    case PEER_LAG: snprintf(out, room, "%" PRIu64, peer->lag); return true;
    default: snprintf(out, room, "%" PRId64 ".%03" PRId64, peer->rtt_ms / 1000, peer->rtt_ms % 1000);
    }
    return peer->rtt_ms >= 0;
}

/* Two members may hold one name for a moment: a series may be there once only, so it is the first of them. */
static bool named_before(const presence_snapshot *members, size_t index) {
    for (size_t i = 0; i < index; i++)
        if (strcmp(members->members[i].name, members->members[index].name) == 0) return true;
    return false;
}

static void each_peer(page *p, const char *name, peer_fact fact, const char *help) {
    family(p, name, "", "gauge", help);
    for (size_t t = 0; t < p->size; t++) {
        const presence_snapshot *members = p->trackers[t].members;
        for (size_t i = 0; i < members->members_size; i++) {
            const pr_member_info *peer = &members->members[i];
            char number[32];
            if (peer->is_self || peer->observer || named_before(members, i)) continue;
            if (peer_number(peer, fact, number, sizeof number))
                series(p, &p->trackers[t], name, "", "peer", peer->name, number);
        }
    }
}

static void write_page(page *p) {
    family(p, "info", "", "gauge", "The library; always 1.");
    for (size_t t = 0; t < p->size; t++) series(p, &p->trackers[t], "info", "", "version", presence_version(), "1");
    statistics(p);
    peers_by_status(p);
    each_peer(p, "peer_entries", PEER_ENTRIES, "Presences of another member that are held here.");
    each_peer(p, "peer_lag", PEER_LAG, "Changes of another member that are known of and not here yet.");
    each_peer(p, "peer_rtt_seconds", PEER_RTT, "Round trip to another member, smoothed.");
}

/* Those that have stopped are left out. */
static int read_all(presence_tracker *const *trackers, size_t count, page *p) {
    for (size_t i = 0; i < count; i++) {
        running *next = &p->trackers[p->size];
        next->tracker = trackers[i];
        next->stats.size = sizeof next->stats;
        int failed = trackers[i] ? presence_stats(trackers[i], &next->stats) : PRESENCE_EINVAL;
        if (!failed) failed = presence_members(trackers[i], &next->members);
        if (failed == PRESENCE_ECLOSED || failed == PRESENCE_ENAME) continue;
        if (failed) return failed;
        p->size++;
    }
    return 0;
}

int presence_metrics(presence_tracker *const *trackers, size_t count, presence_snapshot **out, presence_str *text) {
    if (!out || !text) return PRESENCE_EINVAL;
    *out = NULL;
    *text = pr_str("", 0);
    int failed = trackers && count && trackers[0] ? pr_tracker_check(trackers[0]) : PRESENCE_EINVAL;
    if (failed) return failed;
    const pr_alloc *alloc = trackers[0]->alloc;
    page p = {.trackers = pr_new(alloc, count * sizeof *p.trackers)};
    if (!p.trackers) return PRESENCE_ENOMEM;
    memset(p.trackers, 0, count * sizeof *p.trackers);
    failed = read_all(trackers, count, &p);
    if (!failed) failed = pr_snapshot_new(trackers[0]->memory, out);
    if (!failed) {
        p.out = &(*out)->json;
        if (p.size) write_page(&p);
        failed = p.out->failed;
        *text = pr_str((const char *)p.out->data, p.out->size);
    }
    for (size_t i = 0; i < count; i++) presence_snapshot_free(p.trackers[i].members);
    pr_delete(alloc, p.trackers, count * sizeof *p.trackers);
    if (!failed) return 0;
    presence_snapshot_free(*out);
    *out = NULL;
    *text = pr_str("", 0);
    return failed;
}

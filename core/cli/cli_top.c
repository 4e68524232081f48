/* top: a page of members and rates, again and again; on a terminal in place, elsewhere one page after the other. */
#include "cli.h"
#include <inttypes.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct moment {
    presence_statistics stats;
    double seconds;
} moment;

static int look(presence_tracker *tracker, moment *out) {
    struct timespec t;
    out->stats.size = sizeof out->stats;
    clock_gettime(CLOCK_MONOTONIC, &t);
    out->seconds = (double)t.tv_sec + (double)t.tv_nsec / 1e9;
    return presence_stats(tracker, &out->stats);
}

static double rate(uint64_t before, uint64_t now, double seconds) {
    return seconds > 0 && now >= before ? (double)(now - before) / seconds : 0;
}

static void print_head(FILE *out, const moment *before, const moment *now) {
    const presence_statistics *a = &before->stats, *b = &now->stats;
    double seconds = now->seconds - before->seconds;
    fprintf(out, "members %" PRIu64 "  topics %" PRIu64 "  entries %" PRIu64 "  links %" PRIu64 "\n", b->members,
            b->topics, b->entries, b->links);
    fprintf(out, "per second: joins %.1f  updates %.1f  leaves %.1f  in %.1f KB  out %.1f KB  resyncs %.1f\n",
            rate(a->joins, b->joins, seconds), rate(a->updates, b->updates, seconds),
            rate(a->leaves, b->leaves, seconds), rate(a->bytes_in, b->bytes_in, seconds) / 1000,
            rate(a->bytes_out, b->bytes_out, seconds) / 1000, rate(a->resyncs, b->resyncs, seconds));
}

/* A name may hold anything but NUL: what would move the cursor is shown as a question mark. */
static void print_name(FILE *out, presence_str name, int width) {
    int columns = 0;
    for (size_t i = 0; i < name.size; i++) {
        unsigned char c = (unsigned char)name.data[i];
        putc(c < 0x20 || c == 0x7f ? '?' : c, out);
        columns += (c & 0xc0) != 0x80;
    }
    fprintf(out, "%*s", columns < width ? width - columns : 0, "");
}

static void print_member(FILE *out, const presence_member *member) {
    char rtt[24] = "-";
    if (!member->is_self && member->rtt_ms >= 0) snprintf(rtt, sizeof rtt, "%" PRId64 " ms", member->rtt_ms);
    print_name(out, member->name, 32);
    fprintf(out, " %-9s %10" PRIu64 " %8" PRIu64 " %9s %-6s ", cli_status_name(member->status), member->entries,
            member->lag, rtt,
            member->is_self  ? "self"
            : member->linked ? "linked"
                             : "relay");
    print_name(out, member->address, 0);
    putc('\n', out);
}

static int print_page(cli_session *session, const cli_arguments *arguments, const moment *before, const moment *now) {
    FILE *out = session->output.file;
    presence_snapshot *members;
    int failed = presence_members(session->tracker, &members);
    if (failed) return failed;
    if (isatty(STDOUT_FILENO)) fputs("\033[H\033[J", out);
    print_head(out, before, now);
    fprintf(out, "%-32s %-9s %10s %8s %9s %-6s %s\n", "NAME", "STATUS", "ENTRIES", "LAG", "RTT", "LINK", "ADDRESS");
    for (size_t i = 0; i < presence_snapshot_size(members); i++) {
        presence_member member = {.size = sizeof member};
        if (presence_snapshot_member_at(members, i, &member) != 0) continue;
        if (!member.observer || arguments->all) print_member(out, &member);
    }
    putc('\n', out);
    presence_snapshot_free(members);
    return 0;
}

/* Events end a turn early; false: it is time to end. */
static bool wait_for(cli_session *session, double until) {
    for (;;) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        double left = until - ((double)t.tv_sec + (double)t.tv_nsec / 1e9);
        if (left <= 0) return true;
        if (!cli_session_turn(session, (int)(left * 1000) + 1)) return false;
    }
}

int cli_top(cli_session *session, const cli_arguments *arguments) {
    moment before, now;
    int failed = look(session->tracker, &before);
    for (long page = 1; !failed; page++) {
        if (!wait_for(session, before.seconds + arguments->interval_ms / 1000.0)) return cli_session_end(session);
        failed = look(session->tracker, &now);
        if (!failed) failed = print_page(session, arguments, &before, &now);
        if (!failed && !cli_output_flush(&session->output)) return CLI_OK;
        if (page == arguments->count_max) return failed ? cli_report(failed) : CLI_OK;
        before = now;
    }
    return cli_report(failed);
}

/* dump: counters, members and every presence as one JSON object. */
#include "cli.h"
#include <inttypes.h>

static void statistics(FILE *out, const presence_statistics *stats) {
    const char *name;
    fputs("\"stats\":{", out);
    for (size_t i = 0; (name = presence_statistic_at(i, NULL, NULL)) != NULL; i++)
        fprintf(out, "%s\"%s\":%" PRIu64, i ? "," : "", name, presence_statistic_value(stats, i));
    fputs("}", out);
}

static void members(FILE *out, const presence_snapshot *snapshot) {
    size_t printed = 0;
    fputs(",\"members\":[", out);
    for (size_t i = 0; i < presence_snapshot_size(snapshot); i++) {
        presence_member member = {.size = sizeof member};
        if (presence_snapshot_member_at(snapshot, i, &member) != 0) continue;
        if (printed++) fputs(",", out);
        cli_print_member(out, &member, NULL);
    }
    fputs("]", out);
}

/* Topics are read one after the other: what changes meanwhile is seen by the later ones. */
static int topics(FILE *out, presence_tracker *tracker, const presence_snapshot *names) {
    fputs(",\"topics\":{", out);
    for (size_t i = 0; i < presence_snapshot_size(names); i++) {
        presence_entry entry = {.size = sizeof entry};
        presence_snapshot *snapshot;
        presence_str json;
        if (presence_snapshot_at(names, i, &entry) != 0) continue;
        int failed = presence_list_json(tracker, entry.topic, &snapshot, &json);
        if (failed) return failed;
        if (i) fputs(",", out);
        cli_print_text(out, entry.topic);
        fputs(":", out);
        fwrite(json.data, 1, json.size, out);
        presence_snapshot_free(snapshot);
    }
    fputs("}", out);
    return 0;
}

int cli_dump(cli_session *session, const cli_arguments *arguments) {
    FILE *out = session->output.file;
    presence_statistics stats = {.size = sizeof stats};
    presence_snapshot *known = NULL, *names = NULL;
    (void)arguments;
    int failed = presence_stats(session->tracker, &stats);
    if (!failed) failed = presence_members(session->tracker, &known);
    if (!failed) failed = presence_topics(session->tracker, &names);
    if (!failed) {
        fprintf(out, "{\"version\":\"%s\",", presence_version());
        statistics(out, &stats);
        members(out, known);
        failed = topics(out, session->tracker, names);
    }
    presence_snapshot_free(known);
    presence_snapshot_free(names);
    if (failed) return cli_report(failed);
    fputs("}\n", out);
    cli_output_flush(&session->output);
    return CLI_OK;
}

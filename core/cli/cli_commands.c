/* The commands. Each has a session, waits for the first sync, does its work, and closes. */
#include "cli.h"
#include <stdio.h>
#include <string.h>

static presence_str text(const char *s) {
    presence_str out = {s, strlen(s)};
    return out;
}

/* A bad topic, key or meta is a mistake of the caller of the command. */
int cli_report(int error) {
    fprintf(stderr, "presence: %s\n", presence_strerror(error));
    bool usage = error == PRESENCE_ETOPIC || error == PRESENCE_EKEY || error == PRESENCE_EMETA ||
                 error == PRESENCE_ELIMIT || error == PRESENCE_EINVAL;
    return usage ? CLI_USAGE : CLI_FAILED;
}

static bool ready(const cli_session *session) {
    return !session->interrupted && !session->output_closed && !session->stopped;
}

/* ---- list ---- */
static int list(cli_session *session, const cli_arguments *arguments) {
    presence_snapshot *snapshot;
    presence_str json;
    int failed = presence_list_json(session->tracker, text(arguments->words[1]), &snapshot, &json);
    if (failed) return cli_report(failed);
    fwrite(json.data, 1, json.size, session->output.file);
    putc('\n', session->output.file);
    cli_output_flush(&session->output);
    presence_snapshot_free(snapshot);
    return CLI_OK;
}

/* ---- members ---- */
static void print_line(FILE *out, const presence_member *member, const char *event) {
    cli_print_member(out, member, event);
    putc('\n', out);
}

static int members(cli_session *session, const cli_arguments *arguments) {
    presence_snapshot *snapshot;
    int failed = presence_members(session->tracker, &snapshot);
    if (failed) return cli_report(failed);
    for (size_t i = 0; i < presence_snapshot_size(snapshot); i++) {
        presence_member member = {.size = sizeof member};
        if (presence_snapshot_member_at(snapshot, i, &member) != 0) continue;
        if (!member.observer || arguments->all) print_line(session->output.file, &member, NULL);
    }
    cli_output_flush(&session->output);
    presence_snapshot_free(snapshot);
    return CLI_OK;
}

/* ---- watch ---- */
typedef struct watching {
    FILE *out;
    const char *topic;
    uint64_t seq; /* of the state that was printed */
} watching;

static void on_watched(const presence_event *event, void *user) {
    watching *watch = user;
    presence_str json;
    int kind = presence_event_kind(event);
    if (kind != PRESENCE_EVENT_DIFF && kind != PRESENCE_EVENT_RESYNC) return;
    if (presence_event_seq(event) <= watch->seq || presence_diff_json(event, &json) != 0) return;
    bool resync = kind == PRESENCE_EVENT_RESYNC;
    if (resync) watch->seq = presence_event_seq(event);
    cli_print_event(watch->out, watch->topic, resync ? "presence_state" : "presence_diff", json, resync);
}

static int watch(cli_session *session, const cli_arguments *arguments) {
    watching state = {.out = session->output.file, .topic = arguments->words[1]};
    presence_snapshot *snapshot;
    presence_str json, topic = text(arguments->words[1]);
    session->user = &state;
    session->on_event = on_watched;
    int failed = presence_subscribe(session->tracker, topic, NULL);
    if (!failed) failed = presence_list_json(session->tracker, topic, &snapshot, &json);
    if (failed) return cli_report(failed);
    state.seq = presence_snapshot_seq(snapshot);
    cli_print_event(state.out, state.topic, "presence_state", json, false);
    presence_snapshot_free(snapshot);
    return cli_output_flush(&session->output) ? cli_session_run(session) : CLI_OK;
}

/* ---- track ---- */
static int track(cli_session *session, const cli_arguments *arguments) {
    presence_owner owner;
    presence_ref ref;
    presence_str meta = arguments->count > 3 ? text(arguments->words[3]) : text("");
    int failed = presence_owner_open(session->tracker, &owner);
    if (!failed) {
        failed =
            presence_track(session->tracker, owner, text(arguments->words[1]), text(arguments->words[2]), meta, &ref);
    }
    if (failed) return cli_report(failed);
    fprintf(session->output.file, "{\"ref\":\"%s\"}\n", ref.text);
    return cli_output_flush(&session->output) ? cli_session_run(session) : CLI_OK;
}

/* ---- join ---- */
static void on_member(const presence_event *event, void *user) {
    presence_member member = {.size = sizeof member};
    if (presence_event_kind(event) != PRESENCE_EVENT_MEMBER || presence_event_member(event, &member) != 0) return;
    print_line(((cli_session *)user)->output.file, &member, "member");
}

static int join(cli_session *session, const cli_arguments *arguments) {
    char address[80] = "";
    (void)arguments;
    presence_tracker_address(session->tracker, address, sizeof address);
    fprintf(session->output.file, "{\"event\":\"joined\",\"address\":\"%s\",\"synced\":\"%s\"}\n", address,
            session->synced == 2 ? "alone" : "synced");
    return cli_output_flush(&session->output) ? cli_session_run(session) : CLI_OK;
}

/* ---- choosing ---- */
typedef struct command {
    const char *name;
    int least, most; /* words, the command itself included */
    int (*run)(cli_session *, const cli_arguments *);
    presence_event_fn on_event;
} command;

static const command commands[] = {
    {"join", 1, 1, join, on_member}, {"watch", 2, 2, watch, NULL},     {"list", 2, 2, list, NULL},
    {"track", 3, 4, track, NULL},    {"members", 1, 1, members, NULL}, {"top", 1, 1, cli_top, NULL},
    {"dump", 1, 1, cli_dump, NULL},
};

static const command *find_command(const char *name) {
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    }
    return NULL;
}

int cli_run(const cli_arguments *arguments) {
    const command *chosen = find_command(arguments->words[0]);
    if (!chosen || arguments->count < chosen->least || arguments->count > chosen->most) {
        fprintf(stderr, "presence: %s \"%s\". Try presence --help.\n",
                chosen ? "wrong number of arguments for" : "unknown command", arguments->words[0]);
        return CLI_USAGE;
    }
    cli_session session = {.on_event = chosen->on_event, .wake_fd = -1, .signal_fd = -1};
    session.user = &session;
    int code = cli_session_open(&session, arguments);
    if (code == CLI_OK) code = cli_session_sync(&session, arguments);
    if (code == CLI_OK && ready(&session)) code = chosen->run(&session, arguments);
    cli_session_close(&session);
    return code == CLI_OK && session.output.failed ? CLI_FAILED : code;
}

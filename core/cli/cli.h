/* The presence command: parts of one program on the public header alone. */
#ifndef CLI_H
#define CLI_H

#include <presence.h>
#include <stdbool.h>
#include <stdio.h>

enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_NOT_REACHED = 3 };

/* ---- cli_arguments.c ---- */
typedef struct cli_arguments {
    presence_config *config;
    int timeout_ms, interval_ms;
    long count_max;                 /* of top: 0 = until it is ended */
    bool all, listens, named, done; /* named: by --name; done: --help or --version was answered */
    int count;                      /* command and its operands */
    char **words;
} cli_arguments;
int cli_arguments_parse(cli_arguments *, int argc, char **argv); /* CLI_OK, or the exit code with a text on stderr */

/* ---- cli_output.c ---- */
typedef struct cli_output {
    FILE *file;
    int signal_fd;
    bool hurry; /* it is time to end: nobody is waited for */
    bool gone, failed;
} cli_output;
int cli_output_guard(void); /* before anything else is opened */
int cli_output_open(cli_output *, int signal_fd);
bool cli_output_flush(cli_output *); /* false: there is no use in more */
void cli_output_close(cli_output *);

/* ---- cli_session.c: one tracker, its events, signals and the state of stdout, in one poll loop ---- */
typedef struct cli_session {
    presence_tracker *tracker;
    presence_event_fn on_event; /* of the command, for every event but SYNCED and STOPPED; may be NULL */
    void *user;
    cli_output output;
    int wake_fd, signal_fd;
    int synced; /* 0 not yet, 1 synced, 2 alone */
    int stop_code;
    bool stopped, interrupted, output_closed;
} cli_session;
int cli_session_open(cli_session *, const cli_arguments *); /* CLI_OK or the exit code */
int cli_session_sync(cli_session *, const cli_arguments *); /* waits for the first sync: CLI_OK, CLI_NOT_REACHED */
bool cli_session_turn(cli_session *, int timeout_ms);       /* waits, delivers; false: it is time to end */
int cli_session_run(cli_session *);                         /* turns until it is time to end: the exit code */
int cli_session_end(const cli_session *); /* how the end is told: quietly, unless the tracker gave up */
void cli_session_close(cli_session *);

/* ---- cli_lines.c: one JSON object per line ---- */
void cli_print_event(FILE *, const char *topic, const char *event, presence_str payload, bool resync);
void cli_print_member(FILE *, const presence_member *, const char *event); /* no new line after it */
void cli_print_text(FILE *, presence_str);                                 /* quoted and escaped */
const char *cli_status_name(int status);

/* ---- cli_dump.c, cli_top.c: the commands dump and top ---- */
int cli_dump(cli_session *, const cli_arguments *);
int cli_top(cli_session *, const cli_arguments *);
int cli_report(int error); /* says what a call gave; the exit code */

/* ---- cli_commands.c ---- */
int cli_run(const cli_arguments *);

#endif

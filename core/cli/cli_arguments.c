/* Arguments: every option of the library's table, and the few of the command itself. */
#include "cli.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define OPTIONS_MAX 128
#define NAME_MAX    40

enum {
    OPTION_TABLE = 1000,
    OPTION_TIMEOUT = 1,
    OPTION_INTERVAL,
    OPTION_COUNT,
    OPTION_ALL,
    OPTION_HELP,
    OPTION_VERSION
};

static const char usage[] =
    "usage: presence COMMAND [OPTION]...\n"
    "  join                      be a member (with --listen) and print what happens to members\n"
    "  watch TOPIC               print the presences of a topic and every change, one JSON object per line\n"
    "  list TOPIC                print the presences of a topic once\n"
    "  track TOPIC KEY [JSON]    be a member that is present in a topic until the command ends\n"
    "  members                   print the members, one JSON object per line (--all: observers too)\n"
    "  top                       members, lag, entries, rates and round trips, again and again\n"
    "  dump                      all that is known, as one JSON object\n"
    "options:\n"
    "  --timeout SECONDS         for the first sync (5)\n"
    "  --interval SECONDS        of top (1)\n"
    "  --count N                 of top: so many times, then end (0: until it is ended)\n"
    "  --all  --help  --version\n";
static const char notes[] =
    "Without --listen the command only dials, and is named cli-<random> unless --name is given: all commands but\n"
    "track are observers then, which leave no trace and which nobody but their own members sees; track is a member\n"
    "like any other, which everybody sees (--name with --listen only: of two with one name the older stops).\n"
    "LIBPRESENCE_<OPTION> of the environment is read first (LIBPRESENCE_NAME: with --listen only).\n"
    "exit: 0 ok, 1 failed, 2 usage, 3 not reachable or not synced\n";

static void print_help(void) {
    const char *name, *fallback, *help;
    fputs(usage, stdout);
    for (size_t i = 0; (name = presence_option_at(i, &fallback, &help)); i++) {
        char dashed[NAME_MAX];
        if (strcmp(name, "secret") == 0) continue; /* no secret on a command line */
        snprintf(dashed, sizeof dashed, "%s", name);
        for (char *p = dashed; *p; p++) {
            if (*p == '_') *p = '-';
        }
        printf("  --%-23s %s%s%s%s\n", dashed, help, *fallback ? " (" : "", fallback, *fallback ? ")" : "");
    }
    fputs(notes, stdout);
}

/* --heartbeat-ms and --heartbeat_ms are the same option. */
static void make_table(struct option *table, char (*names)[NAME_MAX]) {
    static const struct option own[] = {{"timeout", required_argument, NULL, OPTION_TIMEOUT},
                                        {"interval", required_argument, NULL, OPTION_INTERVAL},
                                        {"count", required_argument, NULL, OPTION_COUNT},
                                        {"all", no_argument, NULL, OPTION_ALL},
                                        {"help", no_argument, NULL, OPTION_HELP},
                                        {"version", no_argument, NULL, OPTION_VERSION}};
    size_t count = 0;
    const char *name;
    for (; count < sizeof own / sizeof *own; count++) table[count] = own[count];
    for (size_t i = 0; (name = presence_option_at(i, NULL, NULL)) && count + 3 < OPTIONS_MAX; i++) {
        table[count++] = (struct option){name, required_argument, NULL, OPTION_TABLE + (int)i};
        if (!strchr(name, '_')) continue;
        snprintf(names[i], NAME_MAX, "%s", name);
        for (char *p = names[i]; *p; p++) {
            if (*p == '_') *p = '-';
        }
        table[count++] = (struct option){names[i], required_argument, NULL, OPTION_TABLE + (int)i};
    }
    memset(&table[count], 0, sizeof table[count]);
}

static int fail(const cli_arguments *arguments) {
    fprintf(stderr, "presence: %s\n", presence_config_message(arguments->config));
    return CLI_USAGE;
}

static int set(cli_arguments *arguments, const char *option, const char *value) {
    if (strcmp(option, "listen") == 0) arguments->listens = *value != 0;
    return presence_config_set(arguments->config, option, value) ? fail(arguments) : CLI_OK;
}

static int set_seconds(const char *option, const char *text, double least, int *out_ms) {
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end || !(seconds >= least) || seconds > 86400) {
        fprintf(stderr, "presence: --%s must be %g to 86400 seconds, not \"%s\"\n", option, least, text);
        return CLI_USAGE;
    }
    *out_ms = (int)(seconds * 1000);
    return CLI_OK;
}

static int set_count(cli_arguments *arguments, const char *text) {
    char *end;
    arguments->count_max = strtol(text, &end, 10);
    if (end != text && !*end && arguments->count_max >= 0 && arguments->count_max <= 1000000000) return CLI_OK;
    fprintf(stderr, "presence: --count must be 0 to 1000000000, not \"%s\"\n", text);
    return CLI_USAGE;
}

static int take_option(cli_arguments *arguments, int option) {
    switch (option) {
    case OPTION_TIMEOUT: return set_seconds("timeout", optarg, 0, &arguments->timeout_ms);
    case OPTION_INTERVAL: return set_seconds("interval", optarg, 0.1, &arguments->interval_ms);
    case OPTION_COUNT: return set_count(arguments, optarg);
    case OPTION_ALL: arguments->all = true; return CLI_OK;
    case OPTION_HELP:
        print_help();
        arguments->done = true;
        return CLI_OK;
    case OPTION_VERSION:
        printf("presence %s\n", presence_version());
        arguments->done = true;
        return CLI_OK;
    default: break;
    }
    if (option < OPTION_TABLE) {
        fputs("Try presence --help.\n", stderr);
        return CLI_USAGE;
    }
    const char *name = presence_option_at((size_t)(option - OPTION_TABLE), NULL, NULL);
    if (strcmp(name, "name") == 0) arguments->named = true;
    if (strcmp(name, "secret") == 0) {
        fputs("presence: everybody can read a command line: use --secret-file, or LIBPRESENCE_SECRET\n", stderr);
        return CLI_USAGE;
    }
    return set(arguments, name, optarg);
}

static int set_random_name(cli_arguments *arguments) {
    unsigned char random[4];
    char name[32];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) memset(random, 0, sizeof random);
    snprintf(name, sizeof name, "cli-%02x%02x%02x%02x", random[0], random[1], random[2], random[3]);
    return set(arguments, "name", name);
}

static int set_defaults(cli_arguments *arguments) {
    int failed = set_random_name(arguments);
    if (!failed) failed = set(arguments, "listen", "");
    if (!failed && presence_config_load_env(arguments->config)) failed = fail(arguments);
    const char *listen = getenv("LIBPRESENCE_LISTEN");
    if (listen) arguments->listens = *listen != 0;
    return failed;
}

/* What is tracked must be seen by all, and observers are seen by their own members alone (protocol.md 3.9.8): track is
 * a member. It may not take the name of another, by a typing error or from the environment of a server: that one would
 * stop. */
static int set_dial_only(cli_arguments *arguments) {
    bool tracks = arguments->count > 0 && strcmp(arguments->words[0], "track") == 0;
    if (tracks && arguments->named) {
        fputs("presence: track takes --name only with --listen: a member of that name would stop\n", stderr);
        return CLI_USAGE;
    }
    int failed = arguments->named ? CLI_OK : set_random_name(arguments);
    return failed ? failed : set(arguments, "observer", tracks ? "0" : "1");
}

int cli_arguments_parse(cli_arguments *arguments, int argc, char **argv) {
    static struct option table[OPTIONS_MAX];
    static char names[OPTIONS_MAX][NAME_MAX];
    int option;
    make_table(table, names);
    int failed = set_defaults(arguments);
    while (!failed && !arguments->done && (option = getopt_long(argc, argv, "", table, NULL)) != -1) {
        failed = take_option(arguments, option);
    }
    arguments->words = argv + optind;
    arguments->count = argc - optind;
    if (!failed && !arguments->done && !arguments->listens) failed = set_dial_only(arguments);
    if (!failed && !arguments->done && arguments->count == 0) {
        fputs(usage, stderr);
        failed = CLI_USAGE;
    }
    return failed;
}

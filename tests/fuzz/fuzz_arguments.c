/* Lines as the arguments of the command: each set of them is taken, answered, or refused as wrong usage. */
#include "cli.h"
#include "fuzz_input.h"
#include <getopt.h>

#define WORDS_MAX 24

static FILE *nowhere;

/* What the parser prints goes nowhere, and getopt begins anew. */
static int parse(cli_arguments *arguments, int argc, char **argv) {
    FILE *out = stdout, *err = stderr;
    if (!nowhere) nowhere = fopen("/dev/null", "w");
    REQUIRE(nowhere != NULL);
    optind = 0;
    stdout = stderr = nowhere;
    int rc = cli_arguments_parse(arguments, argc, argv);
    stdout = out;
    stderr = err;
    return rc;
}

static void check(const cli_arguments *a, int rc, int argc) {
    REQUIRE(rc == CLI_OK || rc == CLI_USAGE);
    if (rc || a->done) return;
    REQUIRE(a->count >= 1 && a->count < argc && a->words[a->count] == NULL);
    REQUIRE(a->timeout_ms >= 0 && a->timeout_ms <= 86400000);
    for (int i = 0; i < a->count; i++) REQUIRE(a->words[i] != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    char *words[WORDS_MAX + 2] = {strdup("presence")}, *order[WORDS_MAX + 2];
    int argc = 1;
    while (in.size && argc <= WORDS_MAX) words[argc++] = fuzz_text(&in, '\n');
    memcpy(order, words, sizeof order); /* getopt moves the operands behind the options */
    cli_arguments arguments = {.config = presence_config_new(), .timeout_ms = 5000};
    REQUIRE(arguments.config != NULL);
    check(&arguments, parse(&arguments, argc, order), argc);
    presence_config_free(arguments.config);
    for (int i = 0; i < argc; i++) free(words[i]);
    return 0;
}

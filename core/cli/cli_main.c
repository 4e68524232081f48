/* presence: look into a cluster from a shell, or be in it. */
#include "cli.h"
#include <stdio.h>

int main(int argc, char **argv) {
    if (cli_output_guard() != CLI_OK) return CLI_FAILED;
    cli_arguments arguments = {.timeout_ms = 5000, .interval_ms = 1000, .config = presence_config_new()};
    if (!arguments.config) {
        fputs("presence: out of memory\n", stderr);
        return CLI_FAILED;
    }
    int code = cli_arguments_parse(&arguments, argc, argv);
    if (code == CLI_OK && !arguments.done) code = cli_run(&arguments);
    presence_config_free(arguments.config);
    if (code != CLI_OK || (fflush(stdout) == 0 && !ferror(stdout))) return code; /* what --help printed */
    perror("presence: standard output");
    return CLI_FAILED;
}

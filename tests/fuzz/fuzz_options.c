/* Lines `option=value` through the setter, the environment and the check of all of them together: a refused value says
 * why, by a code of the table, and leaves the option as it was; an accepted one is within the limits of the table. */
#include "config.h"
#include "fuzz_input.h"
#include <ctype.h>

static void check_code(const presence_config *config, int rc) {
    const char *message = presence_config_message(config);
    REQUIRE(rc == 0 || rc == PRESENCE_EOPTION || rc == PRESENCE_EUNSUPPORTED);
    REQUIRE((rc == 0) == (*message == 0) && strlen(message) < sizeof config->message);
}

static void check_values(const presence_config *config) {
    for (int i = 0; i < PR_OPTIONS; i++) {
        const pr_option_row *row = &pr_option_table[i];
        int64_t size = (int64_t)strlen(pr_config_text(config, i)), number = pr_config_number(config, i);
        if (!row->built) REQUIRE(config->values[i] == NULL);
        if (row->kind == PR_KIND_TEXT && row->built) REQUIRE(size >= row->least && size <= row->greatest);
        if (row->kind == PR_KIND_NUMBER) REQUIRE(number >= row->least && number <= row->greatest);
        if (row->kind == PR_KIND_CHOICE) REQUIRE(number >= 0);
        if (row->kind == PR_KIND_FLAG) REQUIRE(number == 0 || number == 1);
    }
}

static int option_named(const char *name) {
    for (int i = 0; i < PR_OPTIONS; i++)
        if (strcmp(pr_option_table[i].name, name) == 0) return i;
    return -1;
}

static void set(presence_config *config, const char *name, const char *value) {
    int index = option_named(name);
    char before[128] = "";
    if (index >= 0) snprintf(before, sizeof before, "%.127s", pr_config_text(config, index));
    int rc = presence_config_set(config, name, value);
    check_code(config, rc);
    if (index < 0) REQUIRE(rc == PRESENCE_EOPTION);
    if (rc && index >= 0) REQUIRE(strncmp(before, pr_config_text(config, index), 127) == 0);
    if (!rc && pr_option_table[index].built) REQUIRE(strcmp(value, pr_config_text(config, index)) == 0);
}

/* The same line as a variable; all of them are read at the end. */
static void export(const char *name, const char *value, char *variable, size_t room) {
    snprintf(variable, room, "LIBPRESENCE_%s", name);
    for (char *p = variable; *p; p++) *p = (char)toupper((unsigned char)*p);
    if (!strchr(variable, '=')) setenv(variable, value, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    presence_config *config = presence_config_new(), *from_env = presence_config_new();
    REQUIRE(config && from_env);
    char variables[16][80];
    size_t count = 0;
    while (in.size && count < 16) {
        char *line = fuzz_text(&in, '\n'), *value = strchr(line, '=');
        if (value) *value++ = 0;
        set(config, line, value ? value : "");
        export(line, value ? value : "", variables[count++], sizeof variables[0]);
        free(line);
    }
    check_values(config);
    check_code(config, pr_config_check_all(config));
    check_code(from_env, presence_config_load_env(from_env));
    check_values(from_env);
    for (size_t i = 0; i < count; i++)
        if (!strchr(variables[i], '=')) unsetenv(variables[i]);
    presence_config_free(config);
    presence_config_free(from_env);
    return 0;
}

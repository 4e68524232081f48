/* The config object: setting, reading, environment. */
#include "config.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const pr_option_row pr_option_table[PR_OPTIONS] = {
#define OPTION(name, kind, fallback, least, greatest, built, help)                                                     \
    {#name, PR_KIND_##kind, fallback, least, greatest, built, help},
#include "options.def"
#undef OPTION
};

presence_config *presence_config_new(void) {
    presence_config *config = calloc(1, sizeof *config);
    if (config) config->alloc = pr_alloc_default();
    return config;
}

/* One of them is the secret. */
static void release_value(char *value) {
    if (!value) return;
    explicit_bzero(value, strlen(value));
    free(value);
}

void presence_config_free(presence_config *config) {
    if (!config) return;
    for (int i = 0; i < PR_OPTIONS; i++) release_value(config->values[i]);
    free(config);
}

int pr_config_fail(presence_config *config, int code, const char *form, ...) {
    va_list arguments;
    va_start(arguments, form);
    vsnprintf(config->message, sizeof config->message, form, arguments);
    va_end(arguments);
    return code;
}

const char *pr_config_text(const presence_config *config, int option) {
    return config->values[option] ? config->values[option] : pr_option_table[option].fallback;
}

static int64_t choice_index(const char *value, const char *const *choices, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (strcmp(value, choices[i]) == 0) return (int64_t)i;
    }
    return -1;
}

int64_t pr_config_choice(int option, const char *value) {
    static const char *const transports[] = {"mesh", "memory", "nats"};
    static const char *const levels[] = {"", "error", "warning", "info", "debug"};
    static const char *const codecs[] = {"off", "lz4", "zstd"};
    if (option == PR_OPTION_compression) return choice_index(value, codecs, 3);
    return option == PR_OPTION_transport ? choice_index(value, transports, 3) : choice_index(value, levels, 5);
}

int64_t pr_config_number(const presence_config *config, int option) {
    const char *text = pr_config_text(config, option);
    if (pr_option_table[option].kind == PR_KIND_CHOICE) return pr_config_choice(option, text);
    if (pr_option_table[option].kind == PR_KIND_FLAG) return strcmp(text, "1") == 0 || strcmp(text, "true") == 0;
    return strtoll(text, NULL, 10);
}

bool pr_config_next_part(const char **list, char *out, size_t room) {
    const char *from = *list;
    while (isspace((unsigned char)*from) || *from == ',') from++;
    if (*from == 0) return false;
    const char *end = from + strcspn(from, ",");
    *list = end;
    while (end > from && isspace((unsigned char)end[-1])) end--;
    size_t size = (size_t)(end - from);
    if (size >= room) size = 0;
    memcpy(out, from, size);
    out[size] = 0;
    return true;
}

static int find_option(const char *name) {
    for (int i = 0; i < PR_OPTIONS; i++) {
        if (strcmp(pr_option_table[i].name, name) == 0) return i;
    }
    return -1;
}

/* What an option of a later version may be set to: its default, for which a flag has two words. */
static bool is_default(const pr_option_row *row, const char *value) {
    if (row->kind == PR_KIND_FLAG && strcmp(value, "false") == 0) value = "0";
    return strcmp(value, row->fallback) == 0;
}

static int set_value(presence_config *config, int option, const char *value) {
    const pr_option_row *row = &pr_option_table[option];
    if (!row->built) {
        if (is_default(row, value)) return 0;
        return pr_config_fail(config, PRESENCE_EUNSUPPORTED, "option %s is not supported by this version", row->name);
    }
    int failed = pr_config_check_built(config, option, value);
    if (!failed) failed = pr_config_check_value(config, option, value);
    if (failed) return failed;
    char *copy = strdup(value);
    if (!copy) return pr_config_fail(config, PRESENCE_ENOMEM, "option %s: out of memory", row->name);
    release_value(config->values[option]);
    config->values[option] = copy;
    return 0;
}

int presence_config_set(presence_config *config, const char *option, const char *value) {
    if (!config) return PRESENCE_EINVAL;
    config->message[0] = 0;
    if (!option || !value) {
        return pr_config_fail(config, PRESENCE_EINVAL, "%s is NULL", option ? "the value of an option" : "option");
    }
    int index = find_option(option);
    if (index < 0) return pr_config_fail(config, PRESENCE_EOPTION, "unknown option \"%.64s\"", option);
    return set_value(config, index, value);
}

int presence_config_load_env(presence_config *config) {
    if (!config) return PRESENCE_EINVAL;
    config->message[0] = 0;
    for (int i = 0; i < PR_OPTIONS; i++) {
        char variable[64];
        snprintf(variable, sizeof variable, "LIBPRESENCE_%s", pr_option_table[i].name);
        for (char *p = variable; *p; p++) *p = (char)toupper((unsigned char)*p);
        const char *value = getenv(variable);
        if (!value) continue;
        int failed = set_value(config, i, value);
        if (failed) {
            char why[400];
            snprintf(why, sizeof why, "%.399s", config->message);
            return pr_config_fail(config, failed, "%s: %s", variable, why);
        }
    }
    return 0;
}

int presence_config_check(presence_config *config) { return config ? pr_config_check_all(config) : PRESENCE_EINVAL; }

const char *presence_config_message(const presence_config *config) { return config ? config->message : ""; }

int presence_config_set_allocator(presence_config *config, void *(*alloc)(size_t, void *),
                                  void *(*resize)(void *, size_t, size_t, void *),
                                  void (*release)(void *, size_t, void *), void *user) {
    if (!config || !alloc || !resize || !release) return PRESENCE_EINVAL;
    config->alloc = (pr_alloc){alloc, resize, release, user};
    return 0;
}

int presence_config_set_log(presence_config *config, void (*log)(int, const char *, void *), void *user) {
    if (!config) return PRESENCE_EINVAL;
    config->log = log;
    config->log_user = user;
    return 0;
}

const char *presence_option_at(size_t index, const char **default_value, const char **help) {
    if (index >= PR_OPTIONS) return NULL;
    if (default_value) *default_value = pr_option_table[index].fallback;
    if (help) *help = pr_option_table[index].help;
    return pr_option_table[index].name;
}

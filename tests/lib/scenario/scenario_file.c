/* Reading a script: one command per line, indented lines belong to the one above, # starts a comment. */
#include "scenario.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool blank(char c) { return c == ' ' || c == '\t'; }

bool scn_has_word(const char *text, const char *word) {
    size_t size = strlen(word);
    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word))
        if ((at == text || blank(at[-1])) && (at[size] == 0 || blank(at[size]))) return true;
    return false;
}

/* Cuts a comment, which starts with # at the beginning or after a blank, and blanks at the end. */
static void trim(char *line) {
    for (char *at = line; *at != 0; at++)
        if (*at == '#' && (at == line || blank(at[-1]))) *at = 0;
    size_t size = strlen(line);
    while (size > 0 && (blank(line[size - 1]) || line[size - 1] == '\n' || line[size - 1] == '\r')) line[--size] = 0;
}

static scn_command *add(scn_command **list, size_t *size, int number, const char *text) {
    scn_command *more = realloc(*list, (*size + 1) * sizeof *more);
    if (more == NULL) abort();
    *list = more;
    more[*size] = (scn_command){.line = number, .text = strdup(text)};
    return &more[(*size)++];
}

static bool header(scn_script *script, const char *text) {
    if (strncmp(text, "covers ", 7) == 0)
        snprintf(script->covers, sizeof script->covers, "%s", text + 7);
    else if (strncmp(text, "runs ", 5) == 0)
        snprintf(script->runs, sizeof script->runs, "%s", text + 5);
    else if (strncmp(text, "seeds ", 6) == 0)
        script->seeds = (int)strtol(text + 6, NULL, 10);
    else
        return false;
    return true;
}

bool scn_script_read(const char *path, scn_script *out) {
    char line[4096];
    int number = 0;
    memset(out, 0, sizeof *out);
    snprintf(out->path, sizeof out->path, "%s", path);
    out->seeds = 4;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        number++;
        trim(line);
        const char *text = line + strspn(line, " \t");
        if (*text == 0 || header(out, text)) continue;
        if (text == line) {
            add(&out->commands, &out->size, number, text);
        } else if (out->size > 0) {
            scn_command *above = &out->commands[out->size - 1];
            add(&above->block, &above->block_size, number, text);
        }
    }
    fclose(file);
    if (out->covers[0] != 0 && out->runs[0] != 0 && out->seeds > 0) return true;
    fprintf(stderr, "%s: says not what it covers and where it runs\n", path);
    scn_script_free(out);
    return false;
}

void scn_script_free(scn_script *script) {
    for (size_t i = 0; i < script->size; i++) {
        scn_command *command = &script->commands[i];
        for (size_t j = 0; j < command->block_size; j++) free(command->block[j].text);
        free(command->block);
        free(command->text);
    }
    free(script->commands);
    script->commands = NULL;
    script->size = 0;
}

/* The runner: fills in variables, knows refused, as, within and repeat, and hands each command to its verb. */
#include "scenario.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void scn_fail(scn_run *run, const char *format, ...) {
    if (run->failure[0] != 0) return;
    int used = snprintf(run->failure, sizeof run->failure, "%s:%d: ", run->script->path, run->line);
    va_list args;
    va_start(args, format);
    vsnprintf(run->failure + used, sizeof run->failure - (size_t)used, format, args);
    va_end(args);
}

void scn_done(scn_run *run, int result) {
    run->called = true;
    run->result = result;
}

/* ---- small readers ---- */
const char *scn_error_name(int error) {
    switch (error) {
#define ERROR(name, number, python, bases, node, text)                                                                 \
    case number:                                                                                                       \
        return node;
#include "errors.def"
#undef ERROR
    default: return error == 0 ? "nothing" : "an unknown error";
    }
}

bool scn_number(const char *text, uint64_t *out) {
    char *end;
    *out = strtoull(text, &end, 10);
    return isdigit((unsigned char)*text) && *end == 0;
}

bool scn_duration(const char *text, uint64_t *ms) {
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    char *end;
    *ms = strtoull(text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (end != text && strcmp(end, units[i].unit) == 0) {
            *ms *= units[i].ms;
            return true;
        }
    return false;
}

const char *scn_option(const scn_call *call, const char *name) {
    size_t size = strlen(name);
    for (int i = 1; i < call->size; i++)
        if (strncmp(call->words[i], name, size) == 0 && call->words[i][size] == '=') return call->words[i] + size + 1;
    return NULL;
}

bool scn_flag(const scn_call *call, const char *name) {
    for (int i = 1; i < call->size; i++)
        if (strcmp(call->words[i], name) == 0) return true;
    return false;
}

bool scn_compare(uint64_t left, const char *operator, uint64_t right) {
    if (strcmp(operator, "==") == 0) return left == right;
    if (strcmp(operator, "!=") == 0) return left != right;
    if (strcmp(operator, "<=") == 0) return left <= right;
    if (strcmp(operator, ">=") == 0) return left >= right;
    return strcmp(operator, "<") == 0 ? left < right : strcmp(operator, ">") == 0 && left > right;
}

/* ---- variables: $name is a ref, %n the round of a repeat ---- */
static scn_variable *variable(scn_run *run, const char *name, size_t size) {
    for (size_t i = 0; i < run->variables_size; i++)
        if (strlen(run->variables[i].name) == size && memcmp(run->variables[i].name, name, size) == 0)
            return &run->variables[i];
    return NULL;
}

static void set_variable(scn_run *run, const char *name, const char *value) {
    scn_variable *held = variable(run, name, strlen(name));
    if (held == NULL && run->variables_size == 64) {
        scn_fail(run, "too many variables");
        return;
    }
    if (held == NULL) held = &run->variables[run->variables_size++];
    snprintf(held->name, sizeof held->name, "%s", name);
    snprintf(held->value, sizeof held->value, "%s", value);
}

void scn_fill_in(scn_run *run, const char *text, char *out, size_t room) {
    size_t used = 0;
    while (*text != 0 && used + 1 < room) {
        size_t size = 0;
        if (*text == '$' || *text == '%')
            while (isalnum((unsigned char)text[1 + size])) size++;
        scn_variable *held = size > 0 ? variable(run, text, size + 1) : NULL;
        if (held == NULL) {
            out[used++] = *text++;
            continue;
        }
        used += (size_t)snprintf(out + used, room - used, "%s", held->value);
        text += size + 1;
    }
    out[used < room ? used : room - 1] = 0;
}

/* ---- commands ---- */
static void split(scn_run *run, scn_call *call) {
    char *save = NULL;
    call->size = 0;
    for (char *word = strtok_r(call->memory, " \t", &save); word != NULL; word = strtok_r(NULL, " \t", &save)) {
        if (call->size == SCN_WORDS) {
            scn_fail(run, "too many words");
            return;
        }
        call->words[call->size++] = word;
    }
}

static void drop_words(scn_call *call, int first, int count) {
    memmove(&call->words[first], &call->words[first + count],
            (size_t)(call->size - first - count) * sizeof *call->words);
    call->size -= count;
}

static void do_verb(scn_run *run, scn_call *call) {
    for (const scn_verb *verb = run->world->verbs; verb->name != NULL; verb++) {
        if (strcmp(verb->name, call->words[0]) != 0) continue;
        if (call->size < verb->words)
            scn_fail(run, "%s needs more words", verb->name);
        else
            verb->run(run, call);
        return;
    }
    scn_fail(run, "the %s runner has no command \"%s\"", run->world->name, call->words[0]);
}

static void check_result(scn_run *run, const char *refused) {
    if (refused != NULL && !run->called)
        scn_fail(run, "this command cannot be refused");
    else if (refused != NULL && strcasecmp(refused, scn_error_name(run->result)) != 0)
        scn_fail(run, "expected %s, got %s", refused, scn_error_name(run->result));
    else if (refused == NULL && run->called && run->result != 0)
        scn_fail(run, "expected success, got %s", scn_error_name(run->result));
}

static void run_command(scn_run *run, const scn_command *command);

static void repeat(scn_run *run, const scn_command *command, const char *times_text) {
    uint64_t times = 0;
    char round[24];
    if (!scn_number(times_text, &times)) scn_fail(run, "repeat what number of times?");
    for (uint64_t n = 1; n <= times && run->failure[0] == 0; n++) {
        snprintf(round, sizeof round, "%llu", (unsigned long long)n);
        set_variable(run, "%n", round);
        for (size_t i = 0; i < command->block_size && run->failure[0] == 0; i++) run_command(run, &command->block[i]);
    }
}

static void run_command(scn_run *run, const scn_command *command) {
    scn_call call = {.line = command->line, .command = command};
    char *refused = NULL, *as = NULL;
    run->line = command->line;
    run->called = false;
    scn_fill_in(run, command->text, call.memory, sizeof call.memory);
    if (run->trace != NULL) fprintf(run->trace, "---- %d: %s\n", command->line, call.memory);
    const char *as_name = strstr(command->text, " as $"); /* before variables were filled in */
    split(run, &call);
    if (call.size > 2 && strcmp(call.words[0], "refused") == 0) {
        refused = call.words[1];
        drop_words(&call, 0, 2);
    }
    if (call.size > 2 && as_name != NULL && strcmp(call.words[call.size - 2], "as") == 0) {
        as = (char *)as_name + 4;
        call.size -= 2;
    }
    if (call.size > 2 && strcmp(call.words[call.size - 2], "within") == 0) {
        if (!scn_duration(call.words[call.size - 1], &call.within)) scn_fail(run, "within what time?");
        call.size -= 2;
    }
    if (call.size == 2 && strcmp(call.words[0], "repeat") == 0) {
        repeat(run, command, call.words[1]);
        return;
    }
    if (run->failure[0] == 0) do_verb(run, &call);
    if (run->failure[0] == 0) run->world->check(run);
    if (run->failure[0] == 0) check_result(run, refused);
    if (as != NULL && run->failure[0] == 0) set_variable(run, as, run->ref);
}

bool scn_run_script(scn_run *run) {
    run->failure[0] = 0;
    run->variables_size = 0;
    run->state = run->world->open(run);
    for (size_t i = 0; i < run->script->size && run->failure[0] == 0; i++) run_command(run, &run->script->commands[i]);
    run->world->close(run);
    return run->failure[0] == 0;
}

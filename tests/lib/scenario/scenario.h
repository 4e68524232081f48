/* Scenarios: small plain-text scripts of a cluster, run in virtual time (tests/scenarios/README.md has the language).
 *
 * A script is read once, then run with several seeds over a world: the engines of the simulator, or trackers through
 * the public header. The runner knows the words that mean the same everywhere (refused, as, within, repeat); a world
 * has a table of verbs. The first failure is kept as text with file and line.
 */
#ifndef PR_SCENARIO_H
#define PR_SCENARIO_H

#include <presence.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SCN_WORDS 64

/* ---- scripts (scenario_file.c) ---- */
typedef struct scn_command {
    int line;
    char *text;                /* as written, without the comment */
    struct scn_command *block; /* the indented lines below it */
    size_t block_size;
} scn_command;

typedef struct scn_script {
    char path[512];
    char covers[128]; /* "3 R10" */
    char runs[64];    /* "engine api" */
    int seeds;
    scn_command *commands;
    size_t size;
} scn_script;

bool scn_script_read(const char *path, scn_script *out); /* false: says why on stderr */
void scn_script_free(scn_script *);
/* Whether `text`, words with blanks between, has this word. */
bool scn_has_word(const char *text, const char *word);

/* ---- one presence, one change (scenario_item.c): [+ ++ ~ - --]key=meta[<old][(reason)][@ref][^prev] ---- */
typedef struct scn_item {
    char sign;                                    /* + ~ -, 0: a presence of a list */
    bool edge;                                    /* ++: put the key online, --: took it offline */
    char *key, *meta, *old, *reason, *ref, *prev; /* NULL: not said */
    char *memory;
} scn_item;

typedef struct scn_items {
    scn_item *items;
    size_t size, room;
} scn_items;

bool scn_item_parse(const char *text, scn_item *out);
void scn_items_add(scn_items *, const presence_entry *); /* as a library shows it */
bool scn_items_add_text(scn_items *, const char *text);
void scn_items_free(scn_items *);
/* Every expected item meets another actual one, in any order; `in_order`: in this order. */
bool scn_items_match(const scn_items *expected, const scn_items *actual, bool in_order);
void scn_items_print(const scn_items *, char *out, size_t room);
const char *scn_reason_name(int reason);

/* ---- transcripts (scenario_transcript.c): what was seen, line by line ---- */
typedef struct scn_entry {
    char *head; /* topic, direction of a frame, "" */
    scn_items items;
    char *text; /* instead of items */
} scn_entry;

typedef struct scn_transcript {
    scn_entry *entries;
    size_t size, room;
} scn_transcript;

scn_entry *scn_transcript_add(scn_transcript *, const char *head, const char *text);
void scn_transcript_clear(scn_transcript *);
void scn_transcript_free(scn_transcript *);
void scn_transcript_print(const scn_transcript *, char *out, size_t room);

/* ---- running (scenario_run.c) ---- */
typedef struct scn_run scn_run;

typedef struct scn_call {
    int line;
    char *words[SCN_WORDS]; /* with variables filled in; words[0] is the verb */
    int size;
    const scn_command *command; /* for its block */
    uint64_t within;            /* ms, 0: at once */
    char memory[8192];
} scn_call;

typedef struct scn_verb {
    const char *name;
    int words; /* at least, with the verb */
    void (*run)(scn_run *, scn_call *);
} scn_verb;

typedef struct scn_world {
    const char *name; /* as in `runs` */
    void *(*open)(scn_run *);
    void (*close)(scn_run *); /* checks that everything was well to the end */
    /* Whether something outside the script failed; its text goes to scn_fail. */
    void (*check)(scn_run *);
    const scn_verb *verbs; /* ends with a NULL name */
} scn_world;

typedef struct scn_variable {
    char name[24];
    char value[40];
} scn_variable;

struct scn_run {
    const scn_script *script;
    const scn_world *world;
    void *state;
    uint64_t seed;
    FILE *trace; /* NULL: none */
    int line;
    int result;   /* of the last local call */
    char ref[40]; /* of the last track or update */
    bool called;  /* the verb was a local call: result counts */
    scn_variable variables[64];
    size_t variables_size;
    char failure[16384];
};

extern const scn_world scn_engine_world, scn_api_world;

bool scn_run_script(scn_run *); /* script, world, seed and trace are set; false: failure says why */
void scn_fail(scn_run *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void scn_done(scn_run *, int result);  /* a local call gave this */
const char *scn_error_name(int error); /* as in Node: "ALREADY_TRACKED"; scripts write it small */
void scn_fill_in(scn_run *, const char *text, char *out, size_t room); /* variables of a text */
bool scn_duration(const char *text, uint64_t *ms);                     /* 5ms, 2s, 10m, 1h */
bool scn_number(const char *text, uint64_t *out);
const char *scn_option(const scn_call *, const char *name); /* "name=value" among the words; NULL: none */
bool scn_flag(const scn_call *, const char *name);
/* Compares a transcript with the block of the call and empties it; `by_head`: only lines of one head are in order. */
void scn_expect_transcript(scn_run *, const scn_call *, scn_transcript *, bool with_items);
bool scn_compare(uint64_t left, const char *operator, uint64_t right);

#endif

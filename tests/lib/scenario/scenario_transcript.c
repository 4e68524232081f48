/* Transcripts: what a member said or a link carried, in order, compared line by line with a block of the script. */
#include "scenario.h"
#include <stdlib.h>
#include <string.h>

scn_entry *scn_transcript_add(scn_transcript *transcript, const char *head, const char *text) {
    if (transcript->size == transcript->room) {
        transcript->room = transcript->room * 2 + 16;
        transcript->entries = realloc(transcript->entries, transcript->room * sizeof *transcript->entries);
        if (transcript->entries == NULL) abort();
    }
    scn_entry *entry = &transcript->entries[transcript->size++];
    *entry = (scn_entry){.head = strdup(head), .text = text != NULL ? strdup(text) : NULL};
    return entry;
}

void scn_transcript_clear(scn_transcript *transcript) {
    for (size_t i = 0; i < transcript->size; i++) {
        free(transcript->entries[i].head);
        free(transcript->entries[i].text);
        scn_items_free(&transcript->entries[i].items);
    }
    transcript->size = 0;
}

void scn_transcript_free(scn_transcript *transcript) {
    scn_transcript_clear(transcript);
    free(transcript->entries);
    memset(transcript, 0, sizeof *transcript);
}

void scn_transcript_print(const scn_transcript *transcript, char *out, size_t room) {
    size_t used = 0;
    *out = 0;
    if (transcript->size == 0) snprintf(out, room, "    none\n");
    for (size_t i = 0; i < transcript->size && used + 64 < room; i++) {
        const scn_entry *entry = &transcript->entries[i];
        char items[4096] = "";
        if (entry->text == NULL) scn_items_print(&entry->items, items, sizeof items);
        used += (size_t)snprintf(out + used, room - used, "    %s%s%s\n", entry->head, entry->text ? " " : items,
                                 entry->text ? entry->text : "");
    }
}

/* "room:1 ++alice={} …", or "a>b seg a +1": head, then items or text; a stream's lines have no head. */
static bool parse_line(const char *line, bool with_items, scn_transcript *out) {
    char *copy = strdup(line), *rest = copy + strcspn(copy, " ");
    bool good = true, headless = with_items && strchr("+~-", *line) != NULL;
    if (headless) rest = copy;
    if (!headless && *rest != 0) *rest++ = 0;
    scn_entry *entry = scn_transcript_add(out, headless ? "" : copy, with_items ? NULL : rest);
    for (char *save = NULL, *word = with_items ? strtok_r(rest, " ", &save) : NULL; word != NULL && good;
         word = strtok_r(NULL, " ", &save))
        good = strcmp(word, "nobody") == 0 || scn_items_add_text(&entry->items, word);
    free(copy);
    return good;
}

static bool lines_match(const scn_entry *expected, const scn_entry *actual) {
    if (expected->text != NULL) return actual->text != NULL && strcmp(expected->text, actual->text) == 0;
    return scn_items_match(&expected->items, &actual->items, false);
}

/* Lines of one head keep their order, lines of different heads have none. */
static bool same(const scn_transcript *expected, const scn_transcript *actual) {
    bool good = expected->size == actual->size;
    bool *taken = calloc(actual->size + 1, sizeof *taken);
    for (size_t i = 0; i < expected->size && good; i++) {
        size_t j = 0;
        while (j < actual->size && (taken[j] || strcmp(expected->entries[i].head, actual->entries[j].head) != 0)) j++;
        good = j < actual->size && lines_match(&expected->entries[i], &actual->entries[j]);
        if (good) taken[j] = true;
    }
    free(taken);
    return good;
}

void scn_expect_transcript(scn_run *run, const scn_call *call, scn_transcript *actual, bool with_items) {
    scn_transcript expected = {0};
    char line[4096];
    for (size_t i = 0; i < call->command->block_size; i++) {
        scn_fill_in(run, call->command->block[i].text, line, sizeof line);
        if (!parse_line(line, with_items, &expected)) {
            run->line = call->command->block[i].line;
            scn_fail(run, "cannot read \"%s\"", line);
        }
    }
    if (run->failure[0] == 0 && !same(&expected, actual)) {
        static char want[6000], have[6000];
        scn_transcript_print(&expected, want, sizeof want);
        scn_transcript_print(actual, have, sizeof have);
        scn_fail(run, "%s\n  expected\n%s  got\n%s", call->command->text, want, have);
    }
    scn_transcript_free(&expected);
    scn_transcript_clear(actual);
}

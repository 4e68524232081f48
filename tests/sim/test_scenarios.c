/* Every tests/scenarios/ *.scenario that says `runs … engine` or `c`, with several seeds, each file one test.
 *
 * usage: test_scenarios [FILE…]     SCENARIO_SEED=n: that seed alone, with the trace of the simulator
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scenario.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX 256

/* Once more with the trace, of which the end is shown. */
static void show_trace(scn_run *run) {
    enum { END = 12000 };
    char *text = NULL;
    size_t size = 0;
    run->trace = open_memstream(&text, &size);
    scn_run_script(run);
    fclose(run->trace);
    run->trace = NULL;
    fprintf(stderr, "---- the end of the trace, seed %llu\n%s\n", (unsigned long long)run->seed,
            size > END ? text + size - END : text);
    free(text);
}

static void run_file(void **state) {
    static const scn_world *const worlds[] = {&scn_engine_world, &scn_api_world};
    scn_script script;
    const char *only = getenv("SCENARIO_SEED");
    scn_run *run = calloc(1, sizeof *run);
    if (!scn_script_read(*state, &script)) fail_msg("%s cannot be read", (char *)*state);
    run->script = &script;
    for (size_t w = 0; w < sizeof worlds / sizeof *worlds; w++)
        for (int seed = 1; seed <= script.seeds && scn_has_word(script.runs, worlds[w]->name); seed++) {
            run->world = worlds[w];
            run->seed = only != NULL ? strtoull(only, NULL, 10) : (uint64_t)seed;
            run->trace = only != NULL ? stderr : NULL;
            if (scn_run_script(run)) continue;
            fprintf(stderr, "%s\n", run->failure);
            if (run->trace == NULL) show_trace(run);
            print_error("%s (%s, seed %llu)\n", run->failure, run->world->name, (unsigned long long)run->seed);
            fail();
        }
    scn_script_free(&script);
    free(run);
}

static int is_script(const struct dirent *entry) {
    size_t size = strlen(entry->d_name);
    return size > 9 && strcmp(entry->d_name + size - 9, ".scenario") == 0;
}

static size_t find_files(char **files) {
    struct dirent **entries;
    int found = scandir(SCENARIO_FOLDER, &entries, is_script, alphasort);
    size_t size = 0;
    for (int i = 0; i < found; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", SCENARIO_FOLDER, entries[i]->d_name);
        if (size < FILES_MAX) files[size++] = strdup(path);
        free(entries[i]);
    }
    if (found >= 0) free(entries);
    return size;
}

int main(int count, char **arguments) {
    char *files[FILES_MAX];
    struct CMUnitTest tests[FILES_MAX];
    size_t size = 0, used = 0;
    if (count > 1)
        for (int i = 1; i < count && size < FILES_MAX; i++) files[size++] = strdup(arguments[i]);
    else
        size = find_files(files);
    for (size_t i = 0; i < size; i++) {
        scn_script script;
        const char *name = strrchr(files[i], '/');
        if (!scn_script_read(files[i], &script)) return 1;
        if (scn_has_word(script.runs, "engine") || scn_has_word(script.runs, "c"))
            tests[used++] = (struct CMUnitTest){name != NULL ? name + 1 : files[i], run_file, NULL, NULL, files[i]};
        scn_script_free(&script);
    }
    cmocka_set_test_filter(getenv("ONLY"));
    int failed = used == 0 ? 1 : _cmocka_run_group_tests("scenarios", tests, used, NULL, NULL);
    for (size_t i = 0; i < size; i++) free(files[i]);
    return failed;
}

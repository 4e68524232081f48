/* Any test program of a mutants build runs with the rule broken that PRESENCE_MUTANT names. */
#include "mutant.h"
#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void select_mutant(void) {
    const char *name = getenv("PRESENCE_MUTANT");
    if (pr_mutant_select(name) == 0) return;
    fprintf(stderr, "PRESENCE_MUTANT: there is no rule %s\n", name);
    exit(2);
}

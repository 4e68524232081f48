/* The switch of a test build: which rule is broken in this process. Not part of a normal build. */
#include "mutant.h"
#include <presence.h>
#include <string.h>

static const char *const texts[PR_RULES + 1][3] = {
#define RULE(name, section, keeps) {#name, section, keeps},
#include "rules.def"
#undef RULE
};

static int broken = PR_RULES; /* none */

bool pr_rule(enum pr_rule rule) { return (int)rule != broken; }

int pr_mutant_select(const char *name) {
    broken = PR_RULES;
    if (name == NULL || name[0] == 0) return 0;
    for (int i = 0; i < PR_RULES; i++)
        if (strcmp(texts[i][0], name) == 0) broken = i;
    return broken < PR_RULES ? 0 : PRESENCE_EINVAL;
}

const char *pr_mutant_name(size_t index) { return index < PR_RULES ? texts[index][0] : NULL; }
const char *pr_mutant_section(size_t index) { return index < PR_RULES ? texts[index][1] : NULL; }
const char *pr_mutant_keeps(size_t index) { return index < PR_RULES ? texts[index][2] : NULL; }

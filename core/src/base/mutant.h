/* Rules of the protocol that a test build can break, one at a time, to prove that the checks see it.
 *
 * In a normal build pr_rule() is the constant true and leaves no trace. With -DPRESENCE_MUTANTS=ON it reads one switch
 * of the process: it is false for the one rule that was selected. rules.def is the table.
 */
#ifndef PR_MUTANT_H
#define PR_MUTANT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef PRESENCE_MUTANTS

enum pr_rule {
#define RULE(name, section, keeps) PR_RULE_##name,
#include "rules.def"
#undef RULE
    PR_RULES
};

bool pr_rule(enum pr_rule);
int pr_mutant_select(const char *name);      /* NULL or "": all rules hold; PRESENCE_EINVAL: no such rule */
const char *pr_mutant_name(size_t index);    /* NULL past the last */
const char *pr_mutant_section(size_t index); /* of protocol.md */
const char *pr_mutant_keeps(size_t index);   /* what the rule says */
#else
#define pr_rule(rule) true
#endif

#endif

/* A quick look at JSON: most metas are small, plain objects, and need no parser. */
#ifndef PR_JSON_QUICK_H
#define PR_JSON_QUICK_H

#include <presence.h>
#include <stdbool.h>

/* true: surely a meta that pr_check_meta takes. false: unsure, ask the parser. */
bool pr_json_quick(presence_str);

#endif

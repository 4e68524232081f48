/* Error names and texts, from errors.def. */
#ifndef PR_FAILURE_H
#define PR_FAILURE_H

const char *pr_error_name(int error);
const char *pr_error_text(int error);

#endif

/* Facts of the library that need no tracker. */
#include "failure.h"
#include <presence.h>

#define TEXT_OF(x)   #x
#define TEXT(x)      TEXT_OF(x)
#define VERSION_TEXT TEXT(PRESENCE_VERSION_MAJOR) "." TEXT(PRESENCE_VERSION_MINOR) "." TEXT(PRESENCE_VERSION_PATCH)

const char *presence_version(void) { return VERSION_TEXT; }
const char *presence_strerror(int error) { return pr_error_text(error); }
const char *presence_error_name(int error) { return pr_error_name(error); }

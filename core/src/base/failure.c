/* Error names and texts; the numbers of errors.def must be those of presence.h. */
#include "failure.h"
#include <assert.h>
#include <presence.h>
#include <stddef.h>

#define ERROR(name, number, python, bases, node, text)                                                                 \
    static_assert(name == (number), #name " differs from presence.h");
#include "errors.def"
#undef ERROR

const char *pr_error_name(int error) {
    switch (error) {
    case PRESENCE_OK: return "PRESENCE_OK";
#define ERROR(name, number, python, bases, node, text)                                                                 \
    case name:                                                                                                         \
        return #name;
#include "errors.def"
#undef ERROR
    default: return "PRESENCE_UNKNOWN";
    }
}

const char *pr_error_text(int error) {
    switch (error) {
    case PRESENCE_OK: return "no error";
#define ERROR(name, number, python, bases, node, text)                                                                 \
    case name:                                                                                                         \
        return text;
#include "errors.def"
#undef ERROR
    default: return "unknown error";
    }
}

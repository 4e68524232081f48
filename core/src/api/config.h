/* Options as text, checked one by one when set and as a whole when a tracker is opened. */
#ifndef PR_CONFIG_H
#define PR_CONFIG_H

#include "address.h"
#include "alloc.h"
#include <presence.h>
#include <stdbool.h>
#include <stdint.h>

enum pr_option {
#define OPTION(name, kind, fallback, least, greatest, built, help) PR_OPTION_##name,
#include "options.def"
#undef OPTION
    PR_OPTIONS
};
enum pr_option_kind { PR_KIND_TEXT, PR_KIND_NUMBER, PR_KIND_CHOICE, PR_KIND_FLAG, PR_KIND_LISTEN, PR_KIND_ADDRESSES };

typedef struct pr_option_row {
    const char *name;
    int kind;
    const char *fallback;
    int64_t least, greatest;
    bool built;
    const char *help;
} pr_option_row;
extern const pr_option_row pr_option_table[PR_OPTIONS];

struct presence_config {
    pr_alloc alloc;           /* of trackers; the config itself uses malloc, it is older than any allocator set on it */
    char *values[PR_OPTIONS]; /* NULL: the default */
    void (*log)(int level, const char *line, void *user);
    void *log_user;
    char message[512];
};

const char *pr_config_text(const presence_config *, int option);
int64_t pr_config_number(const presence_config *,
                         int option); /* NUMBER, FLAG; CHOICE: its index (compression: enum pr_codec) */
int64_t pr_config_choice(int option, const char *value); /* -1: none of them; log_level: enum presence_log_level */
enum pr_transport_kind { PR_TRANSPORT_MESH = 0, PR_TRANSPORT_MEMORY = 1 };
/* Writes the message and returns code. */
int pr_config_fail(presence_config *, int code, const char *form, ...) __attribute__((format(printf, 3, 4)));

/* security_check.c: which of secret, certificates or neither; what is beyond loopback needs one of them, or insecure */
enum pr_security { PR_SECURITY_NONE, PR_SECURITY_INSECURE, PR_SECURITY_TLS };
enum pr_security pr_config_security(const presence_config *);
int pr_config_check_security(presence_config *);
int pr_config_check_built(presence_config *, int option, const char *value); /* a library without OpenSSL */
int pr_config_check_secret(presence_config *, const char *value);

/* config_check.c: 0, or a code with the message written */
int pr_config_check_value(presence_config *, int option, const char *value);
int pr_config_check_all(presence_config *);

/* Walks a comma list: copies the next part without blanks; false at the end. Parts too long give an empty text. */
bool pr_config_next_part(const char **list, char *out, size_t room);

#endif

/* Which security the options ask for, and whether it is enough for the addresses they name. */
#include "config.h"
#include "tls.h"
#include <string.h>

static bool given(const presence_config *config, int option) { return *pr_config_text(config, option) != 0; }

static bool by_certificate(const presence_config *config) {
    return given(config, PR_OPTION_tls_cert) || given(config, PR_OPTION_tls_key) || given(config, PR_OPTION_tls_ca);
}

static bool by_secret(const presence_config *config) {
    return given(config, PR_OPTION_secret) || given(config, PR_OPTION_secret_file);
}

enum pr_security pr_config_security(const presence_config *config) {
    if (by_secret(config) || by_certificate(config)) return PR_SECURITY_TLS;
    return pr_config_number(config, PR_OPTION_insecure) ? PR_SECURITY_INSECURE : PR_SECURITY_NONE;
}

/* The first address of a list that is beyond loopback. Names count when they are resolved. */
static bool beyond(const char *list, char *part, size_t room) {
    while (pr_config_next_part(&list, part, room)) {
        pr_address address;
        const char *why;
        if (pr_address_parse(part, &address, &why) == 0 && address.numeric && !address.loopback) return true;
    }
    return false;
}

static int check_addresses(presence_config *config) {
    static const int options[] = {PR_OPTION_listen, PR_OPTION_advertise, PR_OPTION_join};
    char part[320];
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        if (!beyond(pr_config_text(config, options[i]), part, sizeof part)) continue;
        return pr_config_fail(config, PRESENCE_EUNSUPPORTED,
                              "option %s: \"%.80s\" is beyond loopback: that needs secret, secret_file or tls_cert, "
                              "tls_key and tls_ca; or insecure=1, which lets everybody in",
                              pr_option_table[options[i]].name, part);
    }
    return 0;
}

int pr_config_check_built(presence_config *config, int option, const char *value) {
    bool needs = option == PR_OPTION_secret || option == PR_OPTION_secret_file || option == PR_OPTION_tls_cert ||
                 option == PR_OPTION_tls_key || option == PR_OPTION_tls_ca || option == PR_OPTION_tls_name;
    if (!needs || *value == 0 || pr_tls_built()) return 0;
    return pr_config_fail(config, PRESENCE_EUNSUPPORTED,
                          "option %s is not supported: this library was built without OpenSSL",
                          pr_option_table[option].name);
}

/* The text says nothing of the value. */
int pr_config_check_secret(presence_config *config, const char *value) {
    char part[PR_TLS_SECRET_MOST + 2];
    size_t count = 0;
    int failed = 0;
    while (!failed && pr_config_next_part(&value, part, sizeof part)) {
        /* one that is too long for the room is empty */
        if (!pr_tls_secret_fits(part, strlen(part)) || ++count > PR_TLS_SECRETS_MAX) {
            failed = pr_config_fail(config, PRESENCE_EOPTION,
                                    "option secret must be 1 to %d secrets of %d to %d bytes of text, between commas",
                                    PR_TLS_SECRETS_MAX, PR_TLS_SECRET_LEAST, PR_TLS_SECRET_MOST);
        }
    }
    explicit_bzero(part, sizeof part);
    return failed;
}

static int check_choice(presence_config *config) {
    bool secret = given(config, PR_OPTION_secret), file = given(config, PR_OPTION_secret_file);
    if (secret && file) {
        return pr_config_fail(config, PRESENCE_EOPTION, "option secret and secret_file exclude each other");
    }
    if (by_secret(config) && by_certificate(config)) {
        return pr_config_fail(config, PRESENCE_EOPTION, "option %s and tls_cert, tls_key, tls_ca exclude each other",
                              secret ? "secret" : "secret_file");
    }
    if (pr_config_security(config) == PR_SECURITY_TLS && pr_config_number(config, PR_OPTION_insecure)) {
        return pr_config_fail(config, PRESENCE_EOPTION, "option insecure excludes %s",
                              by_certificate(config) ? "tls_cert, tls_key and tls_ca"
                              : secret               ? "secret"
                                                     : "secret_file");
    }
    return 0;
}

static int check_certificates(presence_config *config) {
    static const int all[] = {PR_OPTION_tls_cert, PR_OPTION_tls_key, PR_OPTION_tls_ca};
    for (size_t i = 0; by_certificate(config) && i < sizeof all / sizeof *all; i++) {
        if (given(config, all[i])) continue;
        return pr_config_fail(config, PRESENCE_EOPTION,
                              "option %s is missing: tls_cert, tls_key and tls_ca go together",
                              pr_option_table[all[i]].name);
    }
    if (given(config, PR_OPTION_tls_name) && !by_certificate(config)) {
        return pr_config_fail(config, PRESENCE_EOPTION, "option tls_name needs tls_cert, tls_key and tls_ca");
    }
    const char *name = pr_config_text(config, PR_OPTION_tls_name);
    if (*name == '.' || strchr(name, '*')) { /* OpenSSL takes the first for "anything below" */
        return pr_config_fail(config, PRESENCE_EOPTION, "option tls_name must be one whole DNS name, not a pattern");
    }
    return 0;
}

int pr_config_check_security(presence_config *config) {
    int failed = check_choice(config);
    if (!failed) failed = check_certificates(config);
    if (failed) return failed;
    enum pr_security security = pr_config_security(config);
    return security == PR_SECURITY_NONE ? check_addresses(config) : 0;
}

/* What is wrong with a value, and with values together: option, reason and limits in one text. */
#include "config.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int check_text(presence_config *config, const pr_option_row *row, const char *value) {
    size_t size = strlen(value);
    if ((int64_t)size < row->least || (int64_t)size > row->greatest) {
        return pr_config_fail(config, PRESENCE_EOPTION, "option %s must be %" PRId64 " to %" PRId64 " bytes, not %zu",
                              row->name, row->least, row->greatest, size);
    }
    if (size > 0 && !pr_utf8_valid(pr_cstr(value))) {
        return pr_config_fail(config, PRESENCE_EOPTION, "option %s must be UTF-8 text", row->name);
    }
    return 0;
}

static int check_number(presence_config *config, const pr_option_row *row, const char *value) {
    int64_t number = 0;
    const char *p = value;
    for (; *p >= '0' && *p <= '9' && p - value < 12; p++) number = number * 10 + (*p - '0');
    if (p == value || *p != 0 || number < row->least || number > row->greatest) {
        return pr_config_fail(config, PRESENCE_EOPTION,
                              "option %s must be a whole number from %" PRId64 " to %" PRId64 ", not \"%.40s\"",
                              row->name, row->least, row->greatest, value);
    }
    return 0;
}

static int check_choice(presence_config *config, int option, const char *value) {
    const char *name = pr_option_table[option].name;
    int64_t index = pr_config_choice(option, value);
    if (option == PR_OPTION_log_level && index < 1) {
        return pr_config_fail(config, PRESENCE_EOPTION,
                              "option log_level must be error, warning, info or debug, not \"%.40s\"", value);
    }
    if (option == PR_OPTION_compression && index < 0) {
        return pr_config_fail(config, PRESENCE_EOPTION, "option compression must be off, lz4 or zstd, not \"%.40s\"",
                              value);
    }
    if (option == PR_OPTION_transport && index == 2) {
        return pr_config_fail(config, PRESENCE_EUNSUPPORTED, "option transport: nats is not supported by this version");
    }
    if (index < 0) {
        return pr_config_fail(config, PRESENCE_EOPTION, "option %s must be mesh, memory or nats, not \"%.40s\"", name,
                              value);
    }
    return 0;
}

static int check_flag(presence_config *config, const pr_option_row *row, const char *value) {
    static const char *const allowed[] = {"0", "1", "true", "false"};
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        if (strcmp(value, allowed[i]) == 0) return 0;
    }
    return pr_config_fail(config, PRESENCE_EOPTION, "option %s must be 0 or 1 (or false, true), not \"%.40s\"",
                          row->name, value);
}

static int check_address(presence_config *config, const pr_option_row *row, const char *value, pr_address *out) {
    const char *why;
    if (pr_address_parse(value, out, &why) != 0) {
        return pr_config_fail(config, PRESENCE_EOPTION, "option %s: \"%.80s\": %s", row->name, value, why);
    }
    return 0;
}

static int check_listen(presence_config *config, const pr_option_row *row, const char *value) {
    pr_address address;
    if (*value == 0) return 0;
    int failed = check_address(config, row, value, &address);
    if (failed) return failed;
    if (!address.loopback && !address.numeric) {
        return pr_config_fail(config, PRESENCE_EOPTION,
                              "option listen: \"%.80s\": the host must be a numeric address (or localhost)", value);
    }
    return 0;
}

static int check_addresses(presence_config *config, int option, const char *value) {
    const pr_option_row *row = &pr_option_table[option];
    char part[320];
    int64_t count = 0;
    while (pr_config_next_part(&value, part, sizeof part)) {
        pr_address address;
        int failed = check_address(config, row, part, &address);
        if (failed) return failed;
        bool range = address.port_high != address.port_low;
        if (address.port_low == 0 || (range && option == PR_OPTION_advertise)) {
            return pr_config_fail(config, PRESENCE_EOPTION, "option %s: \"%.80s\": the port must be 1 to 65535%s",
                                  row->name, part, option == PR_OPTION_join ? ", or a range of them" : "");
        }
        if (option == PR_OPTION_advertise && strlen(part) > PR_ADDRESS_MAX) {
            return pr_config_fail(config, PRESENCE_EOPTION, "option advertise: an address has at most %d bytes",
                                  PR_ADDRESS_MAX);
        }
        count += address.port_high - address.port_low + 1;
    }
    if (count > row->greatest) {
        return pr_config_fail(config, PRESENCE_EOPTION, "option %s holds at most %" PRId64 " addresses, not %" PRId64,
                              row->name, row->greatest, count);
    }
    return 0;
}

int pr_config_check_value(presence_config *config, int option, const char *value) {
    const pr_option_row *row = &pr_option_table[option];
    switch (row->kind) {
    case PR_KIND_TEXT: {
        int failed = check_text(config, row, value);
        return failed || option != PR_OPTION_secret ? failed : pr_config_check_secret(config, value);
    }
    case PR_KIND_NUMBER: return check_number(config, row, value);
    case PR_KIND_CHOICE: return check_choice(config, option, value);
    case PR_KIND_FLAG: return check_flag(config, row, value);
    case PR_KIND_LISTEN: return check_listen(config, row, value);
    default: return check_addresses(config, option, value);
    }
}

int pr_config_check_all(presence_config *config) {
    int64_t heartbeat = pr_config_number(config, PR_OPTION_heartbeat_ms);
    int64_t suspect = pr_config_number(config, PR_OPTION_suspect_ms);
    int64_t grace = pr_config_number(config, PR_OPTION_grace_ms);
    int64_t permdown = pr_config_number(config, PR_OPTION_permdown_ms);
    int64_t silence = suspect ? suspect : 10 * heartbeat; /* the adaptive one never exceeds it (protocol.md 3.13) */
    bool listens = *pr_config_text(config, PR_OPTION_listen) != 0;
    config->message[0] = 0;
    if (suspect && suspect < 2 * heartbeat) { /* nobody could vouch for a silent member (protocol.md 6.2) */
        return pr_config_fail(config, PRESENCE_EOPTION,
                              "option suspect_ms (%" PRId64 ") must be 0 (adaptive) or at least twice heartbeat_ms "
                              "(%" PRId64 "): every member would be suspected between two heartbeats",
                              suspect, heartbeat);
    }
    if (permdown <= silence + grace) {
        return pr_config_fail(config, PRESENCE_EOPTION,
                              "option permdown_ms (%" PRId64 ") must be greater than the silence until down "
                              "(%" PRId64 " ms: %s) plus grace_ms (%" PRId64 ")",
                              permdown, silence, suspect ? "suspect_ms" : "10 heartbeat_ms", grace);
    }
    if (!listens && *pr_config_text(config, PR_OPTION_advertise)) {
        return pr_config_fail(config, PRESENCE_EOPTION, "option advertise needs listen: nobody could connect");
    }
    if (pr_config_number(config, PR_OPTION_observer) && listens) {
        return pr_config_fail(config, PRESENCE_EOPTION, "option observer needs an empty listen: it is dial-only");
    }
    return pr_config_check_security(config);
}

/* Any text as an address and as a list of them: what is understood, written again, is understood as the same. */
#include "address.h"
#include "config.h"
#include "fuzz_input.h"

static void take_socket(const pr_address *a) {
    struct sockaddr_storage one, two;
    socklen_t size = 0;
    char text[80];
    bool numeric = pr_address_socket(a, a->port_low, &one, &size);
    REQUIRE(numeric == (a->numeric || strcmp(a->host, "localhost") == 0));
    if (!numeric) return;
    REQUIRE(size > 0 && pr_socket_loopback((struct sockaddr *)&one) == a->loopback);
    REQUIRE(pr_socket_text((struct sockaddr *)&one, text, sizeof text));
    const char *why = "unset";
    pr_address again;
    REQUIRE(pr_address_parse(text, &again, &why) == 0 && again.numeric && again.port_high == a->port_low);
    REQUIRE(pr_address_socket(&again, again.port_low, &two, &size));
    REQUIRE(pr_socket_equal((struct sockaddr *)&one, (struct sockaddr *)&two));
}

static void take(const char *text) {
    pr_address a, again;
    const char *why = "unset";
    int rc = pr_address_parse(text, &a, &why);
    REQUIRE(rc == 0 ? why == NULL : rc == -1 && why && *why);
    if (rc) return;
    REQUIRE(a.port_low <= a.port_high && a.port_high - a.port_low < 1024 && *a.host && strlen(a.host) < sizeof a.host);
    REQUIRE(!a.loopback || a.numeric || strcmp(a.host, "localhost") == 0);
    char out[300];
    REQUIRE(pr_address_text(&a, a.port_high, out, sizeof out));
    REQUIRE(pr_address_parse(out, &again, &why) == 0);
    REQUIRE(strcmp(a.host, again.host) == 0 && again.port_low == a.port_high && again.loopback == a.loopback);
    take_socket(&a);
}

static void take_list(const char *list) {
    const char *end = list + strlen(list);
    char part[64];
    for (size_t parts = 0; pr_config_next_part(&list, part, sizeof part); parts++) {
        REQUIRE(list <= end && strlen(part) < sizeof part && parts <= strlen(list) + (size_t)(end - list) + 256 * 256);
        take(part);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    char *text = fuzz_text(&in, 0);
    take(text);
    take_list(text);
    free(text);
    return 0;
}

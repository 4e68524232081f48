/* Lines of JSON. */
#include "cli.h"
#include <inttypes.h>
#include <stdio.h>

void cli_print_json_text(presence_str text) {
    putchar('"');
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '"' || c == '\\') {
            printf("\\%c", c);
        } else if (c < 0x20) {
            printf("\\u%04x", c);
        } else {
            putchar(c);
        }
    }
    putchar('"');
}

void cli_print_event(const char *topic, const char *event, presence_str payload, bool resync) {
    presence_str name = {topic, 0};
    while (topic[name.size]) name.size++;
    fputs("{\"topic\":", stdout);
    cli_print_json_text(name);
    printf(",\"event\":\"%s\",\"payload\":", event);
    fwrite(payload.data, 1, payload.size, stdout);
    fputs(resync ? ",\"resync\":true}\n" : "}\n", stdout);
}

static const char *status_name(int status) {
    switch (status) {
    case PRESENCE_MEMBER_UP: return "up";
    case PRESENCE_MEMBER_SUSPECT: return "suspect";
    case PRESENCE_MEMBER_DOWN: return "down";
    case PRESENCE_MEMBER_PERMDOWN: return "permdown";
    case PRESENCE_MEMBER_LEFT: return "left";
    case PRESENCE_MEMBER_CONFLICT: return "conflict";
    default: return "unknown";
    }
}

void cli_print_member(const presence_member *member, const char *event) {
    fputs("{", stdout);
    if (event) printf("\"event\":\"%s\",", event);
    fputs("\"name\":", stdout);
    cli_print_json_text(member->name);
    printf(",\"id\":\"%016" PRIx64 "\",\"address\":", member->id);
    cli_print_json_text(member->address);
    printf(",\"status\":\"%s\",\"synced\":%s,\"is_self\":%s,\"observer\":%s,\"rtt_ms\":%" PRId64
           ",\"entries\":%" PRIu64,
           status_name(member->status), member->synced ? "true" : "false", member->is_self ? "true" : "false",
           member->observer ? "true" : "false", member->rtt_ms, member->entries);
    if (member->reason.size) {
        fputs(",\"reason\":", stdout);
        cli_print_json_text(member->reason);
    }
    fputs("}\n", stdout);
}

bool cli_flush(void) { return fflush(stdout) == 0 && !ferror(stdout); }

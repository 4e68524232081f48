/* Lines of JSON. */
#include "cli.h"
#include <inttypes.h>
#include <stdio.h>

void cli_print_text(FILE *out, presence_str text) {
    putc('"', out);
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '"' || c == '\\') {
            fprintf(out, "\\%c", c);
        } else if (c < 0x20) {
            fprintf(out, "\\u%04x", c);
        } else {
            putc(c, out);
        }
    }
    putc('"', out);
}

void cli_print_event(FILE *out, const char *topic, const char *event, presence_str payload, bool resync) {
    presence_str name = {topic, 0};
    while (topic[name.size]) name.size++;
    fputs("{\"topic\":", out);
    cli_print_text(out, name);
    fprintf(out, ",\"event\":\"%s\",\"payload\":", event);
    fwrite(payload.data, 1, payload.size, out);
    fputs(resync ? ",\"resync\":true}\n" : "}\n", out);
}

const char *cli_status_name(int status) {
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

static const char *truth(int value) { return value ? "true" : "false"; }

void cli_print_member(FILE *out, const presence_member *member, const char *event) {
    fputs("{", out);
    if (event) fprintf(out, "\"event\":\"%s\",", event);
    fputs("\"name\":", out);
    cli_print_text(out, member->name);
    fprintf(out, ",\"id\":\"%016" PRIx64 "\",\"address\":", member->id);
    cli_print_text(out, member->address);
    fprintf(out,
            ",\"status\":\"%s\",\"synced\":%s,\"is_self\":%s,\"observer\":%s,\"linked\":%s,\"rtt_ms\":%" PRId64
            ",\"entries\":%" PRIu64 ",\"lag\":%" PRIu64,
            cli_status_name(member->status), truth(member->synced), truth(member->is_self), truth(member->observer),
            truth(member->linked), member->rtt_ms, member->entries, member->lag);
    if (member->reason.size) {
        fputs(",\"reason\":", out);
        cli_print_text(out, member->reason);
    }
    fputs("}", out);
}

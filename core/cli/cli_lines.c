/* Lines of JSON. */
#include "cli.h"
#include <inttypes.h>
#include <stdio.h>

static void print_text(FILE *out, presence_str text) {
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
    print_text(out, name);
    fprintf(out, ",\"event\":\"%s\",\"payload\":", event);
    fwrite(payload.data, 1, payload.size, out);
    fputs(resync ? ",\"resync\":true}\n" : "}\n", out);
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

void cli_print_member(FILE *out, const presence_member *member, const char *event) {
    fputs("{", out);
    if (event) fprintf(out, "\"event\":\"%s\",", event);
    fputs("\"name\":", out);
    print_text(out, member->name);
    fprintf(out, ",\"id\":\"%016" PRIx64 "\",\"address\":", member->id);
    print_text(out, member->address);
    fprintf(out,
            ",\"status\":\"%s\",\"synced\":%s,\"is_self\":%s,\"observer\":%s,\"rtt_ms\":%" PRId64
            ",\"entries\":%" PRIu64,
            status_name(member->status), member->synced ? "true" : "false", member->is_self ? "true" : "false",
            member->observer ? "true" : "false", member->rtt_ms, member->entries);
    if (member->reason.size) {
        fputs(",\"reason\":", out);
        print_text(out, member->reason);
    }
    fputs("}\n", out);
}

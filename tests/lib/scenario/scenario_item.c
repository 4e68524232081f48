/* Items: one presence or change as text, and whether what was seen is what the script expects. */
#include "scenario.h"
#include <stdlib.h>
#include <string.h>

const char *scn_reason_name(int reason) {
    static const char *const names[] = {"",         "untrack", "owner_closed", "lease", "member_left", "member_down",
                                        "replaced", "unknown"};
    return reason >= 0 && reason <= PRESENCE_REASON_UNKNOWN ? names[reason] : "?";
}

bool scn_item_parse(const char *text, scn_item *out) {
    memset(out, 0, sizeof *out);
    if (strchr("+~-", *text) != NULL) {
        out->sign = *text++;
        if (out->sign != '~' && *text == out->sign) out->edge = true, text++;
    }
    char *at = out->memory = strdup(text);
    out->key = at;
    at = strchr(at, '=');
    if (at == NULL) {
        free(out->memory);
        return false;
    }
    *at++ = 0;
    out->meta = at;
    while ((at = strpbrk(at, "<(@^")) != NULL) {
        char **part = *at == '<' ? &out->old : *at == '(' ? &out->reason : *at == '@' ? &out->ref : &out->prev;
        *at++ = 0;
        *part = at;
        if (part == &out->reason && (at = strchr(at, ')')) != NULL) *at++ = 0;
        if (at == NULL) break;
    }
    return true;
}

static scn_item *room_for_one(scn_items *items) {
    if (items->size == items->room) {
        items->room = items->room * 2 + 8;
        items->items = realloc(items->items, items->room * sizeof *items->items);
        if (items->items == NULL) abort();
    }
    return &items->items[items->size];
}

bool scn_items_add_text(scn_items *items, const char *text) {
    if (!scn_item_parse(text, room_for_one(items))) return false;
    items->size++;
    return true;
}

static int print_entry(const presence_entry *e, char *out, size_t room) {
    static const char *const signs[] = {"", "+", "~", "-"};
    bool edge = e->first || e->last;
    return snprintf(out, room, "%s%s%.*s=%.*s%s%.*s%s%s%s@%.*s^%.*s", signs[e->kind & 3],
                    edge ? signs[e->kind & 3] : "", (int)e->key.size, e->key.data, (int)e->meta.size, e->meta.data,
                    e->prev_meta.size ? "<" : "", (int)e->prev_meta.size, e->prev_meta.data, e->reason ? "(" : "",
                    e->reason ? scn_reason_name(e->reason) : "", e->reason ? ")" : "", (int)e->ref.size, e->ref.data,
                    (int)e->prev_ref.size, e->prev_ref.data);
}

void scn_items_add(scn_items *items, const presence_entry *entry) {
    int size = print_entry(entry, NULL, 0);
    char *text = malloc((size_t)size + 1);
    if (text == NULL) abort();
    print_entry(entry, text, (size_t)size + 1);
    scn_items_add_text(items, text);
    free(text);
}

void scn_items_free(scn_items *items) {
    for (size_t i = 0; i < items->size; i++) free(items->items[i].memory);
    free(items->items);
    memset(items, 0, sizeof *items);
}

/* What the script does not say is not compared; none: nothing may be there. */
static bool part_matches(const char *expected, const char *actual) {
    if (expected == NULL || strcmp(expected, "*") == 0) return true;
    if (strcmp(expected, "none") == 0) return actual == NULL || *actual == 0;
    return actual != NULL && strcmp(expected, actual) == 0;
}

static bool item_matches(const scn_item *expected, const scn_item *actual) {
    return expected->sign == actual->sign && expected->edge == actual->edge &&
           part_matches(expected->key, actual->key) && part_matches(expected->meta, actual->meta) &&
           part_matches(expected->old, actual->old) && part_matches(expected->reason, actual->reason) &&
           part_matches(expected->ref, actual->ref) && part_matches(expected->prev, actual->prev);
}

/* Items that name a ref choose first: the others would take theirs. */
static bool match_round(const scn_items *expected, const scn_items *actual, bool *taken, bool named) {
    for (size_t i = 0; i < expected->size; i++) {
        const scn_item *item = &expected->items[i];
        size_t j = 0;
        if ((item->ref != NULL || item->prev != NULL) != named) continue;
        while (j < actual->size && (taken[j] || !item_matches(item, &actual->items[j]))) j++;
        if (j == actual->size) return false;
        taken[j] = true;
    }
    return true;
}

bool scn_items_match(const scn_items *expected, const scn_items *actual, bool in_order) {
    if (expected->size != actual->size) return false;
    if (in_order) {
        for (size_t i = 0; i < expected->size; i++)
            if (!item_matches(&expected->items[i], &actual->items[i])) return false;
        return true;
    }
    bool *taken = calloc(actual->size + 1, sizeof *taken);
    if (taken == NULL) abort();
    bool match = match_round(expected, actual, taken, true) && match_round(expected, actual, taken, false);
    free(taken);
    return match;
}

static int print_item(const scn_item *item, char *out, size_t room) {
    char sign[3] = {item->sign, item->edge ? item->sign : (char)0, 0};
    return snprintf(out, room, " %s%s=%s%s%s%s%s%s%s%s%s%s", sign, item->key, item->meta, item->old ? "<" : "",
                    item->old ? item->old : "", item->reason ? "(" : "", item->reason ? item->reason : "",
                    item->reason ? ")" : "", item->ref ? "@" : "", item->ref ? item->ref : "",
                    item->prev && *item->prev ? "^" : "", item->prev ? item->prev : "");
}

void scn_items_print(const scn_items *items, char *out, size_t room) {
    size_t used = 0;
    if (items->size == 0) snprintf(out, room, " nobody");
    for (size_t i = 0; i < items->size && used < room; i++)
        used += (size_t)print_item(&items->items[i], out + used, room - used);
}

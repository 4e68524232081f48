/* JavaScript values to C and back. Readers answer false or NULL for a wrong type; makers answer NULL when JavaScript
 * cannot run any more (the environment is ending), and everybody passes that on. */
#include "addon.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool pn_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *argv) {
    size_t given = count;
    return napi_get_cb_info(env, info, &given, argv, NULL, NULL) == napi_ok;
}

pn_tracker *pn_tracker_of(napi_env env, napi_value handle) {
    void *data = NULL;
    return napi_get_value_external(env, handle, &data) == napi_ok ? data : NULL;
}

presence_tracker *pn_open_of(napi_env env, napi_value handle) {
    pn_tracker *t = pn_tracker_of(env, handle);
    return t ? t->tracker : NULL;
}

bool pn_read_name(napi_env env, napi_value value, pn_name *out) {
    return napi_get_value_string_utf8(env, value, out->data, sizeof(out->data), &out->size) == napi_ok;
}

char *pn_read_text(napi_env env, napi_value value, char *small, size_t capacity, size_t *size) {
    if (napi_get_value_string_utf8(env, value, small, capacity, size) != napi_ok) return NULL;
    if (*size + 4 < capacity) return small; /* with less room left a character may have been cut off */
    if (napi_get_value_string_utf8(env, value, NULL, 0, size) != napi_ok) return NULL;
    char *big = malloc(*size + 1);
    if (big && napi_get_value_string_utf8(env, value, big, *size + 1, size) == napi_ok) return big;
    free(big);
    return NULL;
}

bool pn_read_owner(napi_env env, napi_value value, presence_owner *out) {
    bool lossless;
    return napi_get_value_bigint_uint64(env, value, out, &lossless) == napi_ok && lossless;
}

int32_t pn_read_int(napi_env env, napi_value value, int32_t otherwise) {
    int32_t number;
    return napi_get_value_int32(env, value, &number) == napi_ok ? number : otherwise;
}

bool pn_is_undefined(napi_env env, napi_value value) {
    napi_valuetype type;
    return napi_typeof(env, value, &type) == napi_ok && type == napi_undefined;
}

presence_str pn_name_str(const pn_name *name) {
    presence_str text = {name->data, name->size};
    return text;
}

napi_value pn_number(napi_env env, double number) {
    napi_value value;
    return napi_create_double(env, number, &value) == napi_ok ? value : NULL;
}

napi_value pn_text(napi_env env, presence_str text) {
    napi_value value;
    const char *data = text.data ? text.data : "";
    return napi_create_string_utf8(env, data, text.size, &value) == napi_ok ? value : NULL;
}

napi_value pn_cstring(napi_env env, const char *text) {
    presence_str terminated = {text, text ? strlen(text) : 0};
    return pn_text(env, terminated);
}

napi_value pn_undefined(napi_env env) {
    napi_value value;
    return napi_get_undefined(env, &value) == napi_ok ? value : NULL;
}

napi_value pn_array(napi_env env) {
    napi_value value;
    return napi_create_array(env, &value) == napi_ok ? value : NULL;
}

void pn_push(napi_env env, napi_value array, uint32_t index, napi_value value) {
    if (array && value) napi_set_element(env, array, index, value);
}

napi_value pn_failure(napi_env env, int code, const char *message) {
    napi_value pair = pn_array(env);
    pn_push(env, pair, 0, pn_number(env, code));
    pn_push(env, pair, 1, pn_cstring(env, message));
    return pair;
}

/* in the order node/lib/records.js reads it */
napi_value pn_member(napi_env env, const presence_member *member) {
    char id[17];
    snprintf(id, sizeof(id), "%016" PRIx64, member->id);
    napi_value row = pn_array(env);
    pn_push(env, row, 0, pn_text(env, member->name));
    pn_push(env, row, 1, pn_cstring(env, id));
    pn_push(env, row, 2, pn_text(env, member->address));
    pn_push(env, row, 3, pn_number(env, (double)member->incarnation));
    pn_push(env, row, 4, pn_number(env, member->status));
    pn_push(env, row, 5, pn_number(env, member->synced));
    pn_push(env, row, 6, pn_number(env, member->is_self));
    pn_push(env, row, 7, pn_number(env, (double)member->rtt_ms));
    pn_push(env, row, 8, pn_number(env, (double)member->entries));
    pn_push(env, row, 9, pn_number(env, member->observer));
    pn_push(env, row, 10, pn_number(env, member->linked));
    pn_push(env, row, 11, pn_text(env, member->reason));
    pn_push(env, row, 12, pn_number(env, (double)member->lag));
    return row;
}

/* nine values each, in the order node/lib/records.js reads them */
void pn_push_entry(napi_env env, napi_value rows, uint32_t row, const presence_entry *entry) {
    uint32_t at = row * 9;
    pn_push(env, rows, at, pn_number(env, entry->kind));
    pn_push(env, rows, at + 1, pn_text(env, entry->key));
    pn_push(env, rows, at + 2, pn_text(env, entry->ref));
    pn_push(env, rows, at + 3, pn_text(env, entry->prev_ref));
    pn_push(env, rows, at + 4, pn_text(env, entry->member));
    pn_push(env, rows, at + 5, pn_number(env, entry->reason));
    pn_push(env, rows, at + 6, pn_number(env, (entry->first ? 1 : 0) | (entry->last ? 2 : 0)));
    pn_push(env, rows, at + 7, pn_text(env, entry->meta));
    pn_push(env, rows, at + 8, pn_text(env, entry->prev_meta));
}

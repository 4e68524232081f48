/* Snapshots, and the forms that snapshots and events share. */
#include "event.h"
#include <string.h>

const pr_ref_pair *pr_refs_get(pr_refs *refs, const pr_alloc *alloc, pr_versions (*versions)(const void *of, size_t),
                               const void *of) {
    pr_ref_pair *pairs = atomic_load_explicit(&refs->pairs, memory_order_acquire), *none = NULL;
    if (pairs) return pairs;
    pairs = pr_new(alloc, refs->size * sizeof *pairs);
    if (!pairs) return NULL;
    for (size_t i = 0; i < refs->size; i++) {
        pr_versions v = versions(of, i);
        pr_ref_format(&pairs[i].ref, v.inst, v.dot);
        if (v.prev_dot) pr_ref_format(&pairs[i].prev, v.inst, v.prev_dot);
    }
    if (atomic_compare_exchange_strong_explicit(&refs->pairs, &none, pairs, memory_order_acq_rel,
                                                memory_order_acquire)) {
        return pairs;
    }
    pr_delete(alloc, pairs, refs->size * sizeof *pairs); /* another thread was first */
    return none;
}

void pr_refs_free(pr_refs *refs, const pr_alloc *alloc) {
    pr_delete(alloc, atomic_load(&refs->pairs), refs->size * sizeof(pr_ref_pair));
}

int pr_fill_sized(void *out, const void *from, size_t size) {
    size_t theirs;
    memcpy(&theirs, out, sizeof theirs);
    if (theirs < sizeof theirs) return PRESENCE_EINVAL;
    size_t fits = theirs < size ? theirs : size;
    memcpy((char *)out + sizeof theirs, (const char *)from + sizeof theirs, fits - sizeof theirs);
    return 0;
}

pr_versions pr_row_versions(const void *rows, size_t index) {
    const pr_row *row = &((const pr_rows *)rows)->rows[index];
    pr_versions versions = {row->inst, row->dot, row->prev_dot};
    return versions;
}

void pr_fill_row(presence_entry *out, const pr_row *row, const pr_ref_pair *refs) {
    memset(out, 0, sizeof *out);
    out->topic = row->topic;
    out->key = row->key;
    out->meta = row->meta;
    out->member = row->member;
    out->owner = row->owner;
    if (row->dot == 0) return; /* a row of topics */
    out->ref = pr_cstr(refs->ref.text);
    out->prev_ref = pr_cstr(refs->prev.text);
}

const char *pr_status_name(int status) {
    static const char *const names[] = {"unknown", "up", "suspect", "down", "permdown", "left", "conflict"};
    return status > 0 && status < (int)(sizeof names / sizeof *names) ? names[status] : names[0];
}

void pr_fill_member(presence_member *out, const pr_member_info *info) {
    memset(out, 0, sizeof *out);
    out->name = pr_cstr(info->name);
    out->address = pr_cstr(info->address);
    out->reason = pr_cstr(info->reason ? info->reason : "");
    out->id = info->inst;
    out->incarnation = info->inc;
    out->entries = info->entries;
    out->rtt_ms = info->rtt_ms;
    out->status = info->status;
    out->synced = info->synced;
    out->is_self = info->is_self;
    out->observer = info->observer;
    out->linked = info->linked;
    out->lag = info->lag;
}

int pr_snapshot_new(pr_memory *memory, presence_snapshot **out) {
    presence_snapshot *snapshot = pr_new(&memory->alloc, sizeof *snapshot);
    *out = snapshot;
    if (!snapshot) return PRESENCE_ENOMEM;
    snapshot->memory = pr_memory_hold(memory);
    pr_buffer_init(&snapshot->json, &memory->alloc, SIZE_MAX / 2);
    return 0;
}

void presence_snapshot_free(presence_snapshot *snapshot) {
    if (!snapshot) return;
    pr_memory *memory = snapshot->memory;
    pr_refs_free(&snapshot->refs, &memory->alloc);
    pr_buffer_free(&snapshot->json);
    if (snapshot->rows) pr_rows_free(snapshot->rows);
    pr_delete(&memory->alloc, snapshot->members, snapshot->members_room * sizeof *snapshot->members);
    pr_delete(&memory->alloc, snapshot, sizeof *snapshot);
    pr_memory_release(memory);
}

size_t presence_snapshot_size(const presence_snapshot *snapshot) {
    if (!snapshot) return 0;
    return snapshot->rows ? snapshot->rows->size : snapshot->members_size;
}

uint64_t presence_snapshot_seq(const presence_snapshot *snapshot) { return snapshot ? snapshot->seq : 0; }

int presence_snapshot_at(const presence_snapshot *snapshot, size_t index, presence_entry *out) {
    if (!snapshot || !out || !snapshot->rows || index >= snapshot->rows->size) return PRESENCE_EINVAL;
    presence_snapshot *changing = (presence_snapshot *)(uintptr_t)snapshot; /* only the made-once texts */
    const pr_row *row = &snapshot->rows->rows[index];
    const pr_ref_pair *refs = NULL;
    if (row->dot) {
        refs = pr_refs_get(&changing->refs, &snapshot->memory->alloc, pr_row_versions, snapshot->rows);
        if (!refs) return PRESENCE_ENOMEM;
    }
    presence_entry entry;
    pr_fill_row(&entry, row, refs ? &refs[index] : NULL);
    return pr_fill_sized(out, &entry, sizeof entry);
}

int presence_snapshot_member_at(const presence_snapshot *snapshot, size_t index, presence_member *out) {
    if (!snapshot || !out || snapshot->rows || index >= snapshot->members_size) return PRESENCE_EINVAL;
    presence_member member;
    pr_fill_member(&member, &snapshot->members[index]);
    return pr_fill_sized(out, &member, sizeof member);
}

/* A chained hash table of topic names. */
#include "topic_set.h"
#include "hash.h"
#include <string.h>

void pr_topic_set_init(pr_topic_set *set, const pr_alloc *alloc) {
    memset(set, 0, sizeof *set);
    set->alloc = alloc;
}

void pr_topic_free(pr_topic_set *set, pr_topic *topic) {
    if (topic) pr_delete(set->alloc, topic, sizeof *topic + topic->size);
}

void pr_topic_set_free(pr_topic_set *set) {
    for (size_t i = 0; i < set->room; i++) {
        while (set->buckets[i]) {
            pr_topic *topic = set->buckets[i];
            set->buckets[i] = topic->next;
            pr_topic_free(set, topic);
        }
    }
    pr_delete(set->alloc, set->buckets, set->room * sizeof *set->buckets);
    pr_topic_set_init(set, set->alloc);
}

pr_topic *pr_topic_set_find(const pr_topic_set *set, presence_str name) {
    if (set->size == 0) return NULL;
    uint64_t hash = pr_hash(name.data, name.size, 0);
    for (pr_topic *topic = set->buckets[hash & (set->room - 1)]; topic; topic = topic->next) {
        if (topic->hash == hash && topic->size == name.size && memcmp(topic->name, name.data, name.size) == 0) {
            return topic;
        }
    }
    return NULL;
}

static bool grow(pr_topic_set *set) {
    size_t room = set->room ? set->room * 2 : 16;
    pr_topic **buckets = pr_new(set->alloc, room * sizeof *buckets);
    if (!buckets) return set->room > 0; /* longer chains are slow, not wrong */
    for (size_t i = 0; i < set->room; i++) {
        while (set->buckets[i]) {
            pr_topic *topic = set->buckets[i], **to = &buckets[topic->hash & (room - 1)];
            set->buckets[i] = topic->next;
            topic->next = *to;
            *to = topic;
        }
    }
    pr_delete(set->alloc, set->buckets, set->room * sizeof *buckets);
    set->buckets = buckets;
    set->room = room;
    return true;
}

pr_topic *pr_topic_set_add(pr_topic_set *set, presence_str name) {
    if (set->size >= set->room && !grow(set)) return NULL;
    pr_topic *topic = pr_new(set->alloc, sizeof *topic + name.size);
    if (!topic) return NULL;
    topic->hash = pr_hash(name.data, name.size, 0);
    topic->size = name.size;
    memcpy(topic->name, name.data, name.size);
    pr_topic_set_attach(set, topic);
    return topic;
}

void pr_topic_set_attach(pr_topic_set *set, pr_topic *topic) {
    pr_topic **to = &set->buckets[topic->hash & (set->room - 1)];
    topic->next = *to;
    *to = topic;
    set->size++;
}

void pr_topic_set_detach(pr_topic_set *set, pr_topic *topic) {
    pr_topic **at = &set->buckets[topic->hash & (set->room - 1)];
    while (*at != topic) at = &(*at)->next;
    *at = topic->next;
    set->size--;
}

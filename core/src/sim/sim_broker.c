/* A broker beside the links: subjects, clients, and every way a message can fail (protocol.md 3.7).
 *
 * Happy path: a client attaches one latency after its process starts; what it publishes reaches every other client that
 * hears the subject, in the order of each sender. Failures, all drawn from a stream of their own, so that histories
 * over links stay what they were: a message is lost, doubled, held back, overtaken, or loses a bit; a client is cut
 * off, and is told at once or not; the broker starts again, and whatever was on its way is gone. Blocked and forbidden
 * pairs of hosts hear nothing of each other. Messages to a process that stands still, or does not read, pile up.
 */
#include "hash.h"
#include "sim_state.h"
#include <stdlib.h>
#include <string.h>

void pr_sim_use_broker(pr_sim *sim, uint64_t seed) {
    sim->broker.used = sim->options.broker = true;
    sim->broker.random = pr_fmix64(seed ^ 0x62726f6b6572);
}

pr_sim_broker *pr_sim_broker_settings(pr_sim *sim) { return &sim->broker.settings; }

uint64_t sim_broker_random(pr_sim *sim, uint64_t below) {
    return below == 0 ? 0 : pr_random_next(&sim->broker.random) % below;
}

static bool chance(pr_sim *sim, uint32_t percent) { return percent != 0 && sim_broker_random(sim, 100) < percent; }

static uint64_t latency(pr_sim *sim) {
    const pr_sim_network *net = &sim->network;
    uint64_t span = net->latency_max_ms >= net->latency_min_ms ? net->latency_max_ms - net->latency_min_ms : 0;
    return net->latency_min_ms + sim_broker_random(sim, span + 1);
}

/* ---- what is on its way to a client ---- */
static bool sooner(const sim_letter *a, const sim_letter *b) {
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void heap_push(pr_sim *sim, sim_client *client, sim_letter *letter) {
    if (client->size == client->room) {
        size_t room = client->room * 2 + 16;
        client->heap = sim_resize(sim, client->heap, client->room * sizeof *client->heap, room * sizeof *client->heap);
        client->room = room;
    }
    size_t i = client->size++;
    for (; i > 0 && sooner(letter, client->heap[(i - 1) / 2]); i = (i - 1) / 2)
        client->heap[i] = client->heap[(i - 1) / 2];
    client->heap[i] = letter;
}

static sim_letter *heap_pop(sim_client *client) {
    sim_letter *first = client->heap[0], *last = client->heap[--client->size];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < client->size; i = child) {
        if (child + 1 < client->size && sooner(client->heap[child + 1], client->heap[child])) child++;
        if (!sooner(client->heap[child], last)) break;
        client->heap[i] = client->heap[child];
    }
    if (client->size > 0) client->heap[i] = last;
    return first;
}

static void letter_free(pr_sim *sim, sim_letter *letter) {
    pr_delete(&sim->alloc, letter, sizeof *letter + letter->size);
}

static void drop_all(pr_sim *sim, sim_client *client) {
    while (client->size > 0) letter_free(sim, client->heap[--client->size]);
}

void sim_client_free(pr_sim *sim, sim_client *client) {
    drop_all(sim, client);
    pr_delete(&sim->alloc, client->heap, client->room * sizeof *client->heap);
    memset(client, 0, sizeof *client);
}

/* ---- publishing ---- */
static uint64_t arrival(pr_sim *sim, sim_client *client, int from) {
    const pr_sim_broker *settings = &sim->broker.settings;
    uint64_t at = sim->now + latency(sim) + latency(sim); /* there and back */
    if (chance(sim, settings->late)) at += sim_broker_random(sim, (uint64_t)settings->late_ms + 1);
    if (!settings->reorders && at < client->last_at[from]) at = client->last_at[from];
    client->last_at[from] = at;
    return at;
}

static void carry(pr_sim *sim, const sim_process *from, sim_process *to, pr_subject subject, const pr_bytes *bytes) {
    const pr_sim_broker *settings = &sim->broker.settings;
    if (chance(sim, settings->lost)) return;
    for (int copies = chance(sim, settings->doubled) ? 2 : 1; copies > 0; copies--) {
        sim_letter *letter = sim_resize(sim, NULL, 0, sizeof *letter + bytes->size);
        letter->at = arrival(sim, &to->client, from->host);
        letter->order = sim->broker.order++;
        letter->subject = subject;
        letter->size = bytes->size;
        memcpy(letter->data, bytes->data, bytes->size);
        if (chance(sim, settings->damaged)) {
            letter->data[sim_broker_random(sim, letter->size)] ^= (uint8_t)(1u << sim_broker_random(sim, 8));
            sim_count_fault(sim, PR_SIM_FAULT_CORRUPT);
        }
        heap_push(sim, &to->client, letter);
    }
}

static bool hears(const pr_sim *sim, const sim_process *from, const sim_process *to, pr_subject subject) {
    if (to == from || !to->alive || !to->client.attached) return false;
    if (subject.kind == PR_SUBJECT_INBOX && subject.inst != to->inst) return false;
    return !sim->blocked[from->host][to->host] && sim->forbidden[from->host][to->host] == 0;
}

static const char *subject_name(pr_subject subject) {
    return subject.kind == PR_SUBJECT_LOG ? "log" : subject.kind == PR_SUBJECT_BEATS ? "beats" : "inbox";
}

void sim_publish(pr_sim *sim, sim_process *process, pr_subject subject, const pr_bytes *bytes) {
    sim->frames++;
    sim->frame_bytes += bytes->size;
    if (sim->trace != NULL) {
        sim_say(sim, process, "publishes to %s %04llx%s", subject_name(subject),
                (unsigned long long)(subject.inst & 0xffff), process->client.attached ? "" : ", which is lost");
        sim_trace_bytes(sim, process, 0, bytes->data, bytes->size);
    }
    if (!process->client.attached) return;
    for (int host = 0; host < PR_SIM_HOSTS; host++) {
        sim_process *to = sim_running(sim, host);
        if (to != NULL && hears(sim, process, to, subject)) carry(sim, process, to, subject, bytes);
    }
}

/* ---- clients ---- */
void sim_client_start(pr_sim *sim, sim_process *process) {
    process->client.down_at = SIM_NEVER;
    process->client.up_at = sim->broker.used ? sim->now + latency(sim) : SIM_NEVER;
}

static void cut_off(pr_sim *sim, sim_client *client, uint64_t ms, bool told) {
    client->attached = false;
    client->up_at = sim->now + ms;
    client->down_at = !client->up ? SIM_NEVER : told ? sim->now : client->up_at;
    drop_all(sim, client);
}

void pr_sim_broker_cut(pr_sim *sim, int host, uint64_t ms, bool told) {
    sim_process *process = sim_running(sim, host);
    if (process == NULL) return;
    sim_count_fault(sim, PR_SIM_FAULT_CUT);
    sim_say(sim, process, "is cut off from the broker for %llu ms%s", (unsigned long long)ms,
            told ? "" : ", unnoticed");
    cut_off(sim, &process->client, ms, told);
}

void pr_sim_broker_restart(pr_sim *sim, uint64_t ms) {
    sim_say(sim, NULL, "the broker starts again, gone for %llu ms", (unsigned long long)ms);
    sim_count_fault(sim, PR_SIM_FAULT_CUT);
    for (int host = 0; host < PR_SIM_HOSTS; host++) {
        sim_process *process = sim_running(sim, host);
        if (process != NULL) cut_off(sim, &process->client, ms + sim_broker_random(sim, ms + 1), true);
    }
}

uint64_t sim_client_next(const pr_sim *sim, const sim_process *process) {
    const sim_client *client = &process->client;
    if (client->up && client->down_at != SIM_NEVER) return client->down_at;
    if (!client->up) return client->up_at;
    if (client->size == 0 || sim->hosts[process->host].deaf) return SIM_NEVER;
    return client->heap[0]->at;
}

/* An exact copy is given: a read past its end is seen by the address sanitizer. */
static void deliver(pr_sim *sim, sim_process *process) {
    sim_letter *letter = heap_pop(&process->client);
    uint8_t *data = sim_resize(sim, NULL, 0, letter->size);
    memcpy(data, letter->data, letter->size);
    pr_engine_message(process->engine, letter->subject, data, letter->size, sim_time(sim, process));
    pr_delete(&sim->alloc, data, letter->size);
    letter_free(sim, letter);
}

void sim_client_step(pr_sim *sim, sim_process *process) {
    sim_client *client = &process->client;
    if (client->up && client->down_at != SIM_NEVER) {
        client->up = false;
        client->down_at = SIM_NEVER;
        sim_say(sim, process, "has lost the broker");
        pr_engine_broker_down(process->engine, sim_time(sim, process));
    } else if (!client->up) {
        client->up = client->attached = true;
        client->up_at = SIM_NEVER;
        sim_say(sim, process, "has the broker");
        pr_engine_broker_up(process->engine, sim_time(sim, process));
    } else {
        deliver(sim, process);
    }
    sim_after(sim, process);
}

void pr_sim_inject(pr_sim *sim, int host, pr_subject subject, const void *data, size_t size) {
    sim_process *process = sim_running(sim, host);
    sim_letter *letter = sim_resize(sim, NULL, 0, sizeof *letter + size);
    letter->at = sim->now;
    letter->order = sim->broker.order++;
    letter->subject = subject;
    letter->size = size;
    memcpy(letter->data, data, size);
    heap_push(sim, &process->client, letter);
}

/* The network as a whole: hosts and their addresses, what is blocked, life. */
#include "hash.h"
#include "virtual_state.h"
#include <stdio.h>
#include <string.h>

#define FIRST_PORT 7001

pr_virtual *pr_virtual_new(const pr_alloc *alloc, uint64_t seed) {
    pr_virtual *network = pr_new(alloc, sizeof *network);
    if (!network) return NULL;
    network->alloc = *alloc;
    if (pthread_mutex_init(&network->mutex, NULL) != 0) {
        pr_delete(alloc, network, sizeof *network);
        return NULL;
    }
    atomic_init(&network->references, 1);
    network->random = pr_fmix64(seed + 1); /* neighbours have nothing in common */
    network->next_link = 1;
    network->next_port = FIRST_PORT;
    network->latency_min_ms = 1;
    network->latency_max_ms = 3;
    return network;
}

pr_virtual *pr_virtual_hold(pr_virtual *network) {
    atomic_fetch_add(&network->references, 1);
    return network;
}

void pr_virtual_release(pr_virtual *network) {
    if (!network || atomic_fetch_sub(&network->references, 1) != 1) return;
    pr_virtual_links_free(network);
    for (pr_virtual_host *host = network->hosts, *next; host; host = next) {
        next = host->next;
        pr_delete(&network->alloc, host, sizeof *host);
    }
    pr_delete(&network->alloc, network->blocks, network->blocks_room * sizeof *network->blocks);
    pthread_mutex_destroy(&network->mutex);
    pr_alloc alloc = network->alloc;
    pr_delete(&alloc, network, sizeof *network);
}

void pr_virtual_lock(pr_virtual *network) { pthread_mutex_lock(&network->mutex); }

void pr_virtual_unlock(pr_virtual *network) { pthread_mutex_unlock(&network->mutex); }

uint64_t pr_virtual_now(const pr_virtual *network) { return atomic_load(&network->now); }

uint64_t pr_virtual_draw(pr_virtual *network) { return pr_random_next(&network->random); }

uint64_t pr_virtual_arrival(pr_virtual *network) {
    uint64_t span = network->latency_max_ms - network->latency_min_ms;
    return pr_virtual_now(network) + network->latency_min_ms + pr_virtual_draw(network) % (span + 1);
}

void pr_virtual_latency(pr_virtual *network, uint32_t min_ms, uint32_t max_ms) {
    pr_virtual_lock(network);
    network->latency_min_ms = min_ms;
    network->latency_max_ms = max_ms < min_ms ? min_ms : max_ms;
    pr_virtual_unlock(network);
}

/* ---- hosts ---- */
static bool same_address(const pr_virtual_host *host, const pr_address *address, uint16_t port) {
    pr_address own;
    const char *why;
    struct sockaddr_storage a, b;
    socklen_t size;
    if (!*host->address || pr_address_parse(host->address, &own, &why) != 0) return false;
    if (!pr_address_socket(&own, own.port_low, &a, &size) || !pr_address_socket(address, port, &b, &size)) return false;
    return pr_socket_equal((struct sockaddr *)&a, (struct sockaddr *)&b);
}

static pr_virtual_host *find_address(const pr_virtual *network, const pr_address *address, uint16_t port,
                                     bool running) {
    pr_virtual_host *found = NULL;
    for (pr_virtual_host *host = network->hosts; host; host = host->next) {
        if (!same_address(host, address, port)) continue;
        if (host->member) return host;
        if (!running && !found) found = host;
    }
    return found;
}

pr_virtual_host *pr_virtual_host_at(const pr_virtual *network, const char *text) {
    pr_address address;
    const char *why;
    if (pr_address_parse(text, &address, &why) != 0) return NULL;
    return find_address(network, &address, address.port_low, false);
}

static pr_virtual_host *make_host(pr_virtual *network, const char *name) {
    pr_virtual_host **at = &network->hosts;
    for (; *at; at = &(*at)->next) {
        if (*name && !(*at)->member && strcmp((*at)->name, name) == 0) return *at;
    }
    pr_virtual_host *host = *at = pr_new(&network->alloc, sizeof *host);
    if (host) snprintf(host->name, sizeof host->name, "%s", name);
    return host;
}

/* The port it had, or the next one that nobody has; else the first free one of the range. */
static int choose_port(pr_virtual *network, pr_virtual_host *host, const pr_address *address, char *out, size_t room,
                       const char **why) {
    uint32_t low = address->port_low, high = address->port_high;
    *why = low == high ? "the port is in use" : "every port of the range is in use";
    if (low == 0) {
        pr_address before;
        if (*host->address && pr_address_parse(host->address, &before, why) == 0 &&
            strcmp(before.host, address->host) == 0 && !find_address(network, address, before.port_low, true)) {
            snprintf(out, room, "%s", host->address);
            return 0;
        }
        low = network->next_port, high = UINT16_MAX;
    }
    for (uint32_t port = low; port <= high; port++) {
        if (find_address(network, address, (uint16_t)port, address->port_low != 0)) continue;
        if (address->port_low == 0) network->next_port = (uint16_t)port;
        *why = "the address is too long";
        return pr_address_text(address, (uint16_t)port, out, room) ? 0 : PRESENCE_EADDRESS;
    }
    return PRESENCE_EADDRINUSE;
}

int pr_virtual_join(pr_virtual *network, const pr_alloc *alloc, const pr_transport_hooks *hooks, const char *name,
                    const char *listen, pr_transport **out, const char **why) {
    pr_address address;
    char text[PR_ADDRESS_MAX + 1] = "";
    *out = NULL;
    *why = NULL;
    if (*listen && pr_address_parse(listen, &address, why) != 0) return PRESENCE_EADDRESS;
    pr_virtual_lock(network);
    pr_virtual_host *host = make_host(network, name);
    int failed = host ? 0 : PRESENCE_ENOMEM;
    if (!failed && *listen) failed = choose_port(network, host, &address, text, sizeof text, why);
    pr_virtual_member *member = failed ? NULL : pr_virtual_member_new(network, host, alloc, hooks);
    if (!failed && !member) failed = PRESENCE_ENOMEM;
    if (!failed) {
        snprintf(host->address, sizeof host->address, "%s", text);
        snprintf(member->address, sizeof member->address, "%s", text);
        host->vanished = false;
        pr_virtual_host_back(network, host);
        *out = &member->base;
    }
    pr_virtual_unlock(network);
    return failed;
}

void pr_virtual_addresses(pr_virtual *network, pr_buffer *out) {
    pr_virtual_lock(network);
    for (pr_virtual_member *member = network->members; member; member = member->next) {
        if (member->state != PR_VIRTUAL_RUNNING || !*member->address) continue;
        pr_buffer_text(out, member->address);
        pr_buffer_text(out, ",");
    }
    pr_virtual_unlock(network);
}

/* ---- what is blocked ---- */
bool pr_virtual_blocked(const pr_virtual *network, const pr_virtual_host *from, const pr_virtual_host *to) {
    if (from->side != to->side) return true;
    for (size_t i = 0; i < network->blocks_size; i++) {
        if (network->blocks[i].from == from && network->blocks[i].to == to) return true;
    }
    return false;
}

bool pr_virtual_reaches(const pr_virtual *network, const pr_virtual_member *a, const pr_virtual_member *b) {
    return !pr_virtual_blocked(network, a->host, b->host) && !pr_virtual_blocked(network, b->host, a->host);
}

void pr_virtual_side(pr_virtual *network, pr_virtual_member *member, int side) {
    pr_virtual_lock(network);
    member->host->side = side;
    pr_virtual_unlock(network);
}

static int add_block(pr_virtual *network, const pr_virtual_host *from, const pr_virtual_host *to) {
    int rc = pr_room(&network->alloc, (void **)&network->blocks, &network->blocks_room, network->blocks_size + 1,
                     sizeof *network->blocks);
    if (rc) return rc;
    network->blocks[network->blocks_size++] = (pr_virtual_pair){from, to};
    return 0;
}

int pr_virtual_block(pr_virtual *network, pr_virtual_member *from, pr_virtual_member *to, bool blocked) {
    int failed = 0;
    pr_virtual_lock(network);
    size_t kept = 0;
    for (size_t i = 0; i < network->blocks_size; i++) {
        if (network->blocks[i].from == from->host && network->blocks[i].to == to->host) continue;
        network->blocks[kept++] = network->blocks[i];
    }
    network->blocks_size = kept;
    if (blocked) failed = add_block(network, from->host, to->host);
    pr_virtual_unlock(network);
    return failed;
}

void pr_virtual_heal(pr_virtual *network) {
    pr_virtual_lock(network);
    network->blocks_size = 0;
    for (pr_virtual_host *host = network->hosts; host; host = host->next) host->side = 0;
    pr_virtual_unlock(network);
}

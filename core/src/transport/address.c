/* Parsing and formatting of host:port, without ever asking a resolver. */
#include "address.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static bool parse_port(const char **at, uint16_t *out) {
    const char *p = *at;
    unsigned long value = 0;
    if (*p < '0' || *p > '9') return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        value = value * 10 + (unsigned long)(*p - '0');
        if (value > 65535) return false;
    }
    *at = p;
    *out = (uint16_t)value;
    return true;
}

static bool split_host(const char *text, pr_address *out, const char **port) {
    const char *end, *from = text;
    if (*text == '[') {
        from = text + 1;
        end = strchr(from, ']');
        if (!end || end[1] != ':') return false;
        *port = end + 2;
    } else {
        end = strchr(text, ':');
        if (!end || strchr(end + 1, ':')) return false;
        *port = end + 1;
    }
    size_t size = (size_t)(end - from);
    if (size == 0 || size >= sizeof out->host) return false;
    memcpy(out->host, from, size);
    out->host[size] = 0;
    return true;
}

static bool host_text_valid(const char *host) {
    for (const char *p = host; *p; p++) {
        bool ok = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '.' ||
                  *p == '-' || *p == '_' || *p == ':';
        if (!ok) return false;
    }
    return true;
}

int pr_address_parse(const char *text, pr_address *out, const char **why) {
    const char *port = NULL;
    memset(out, 0, sizeof *out);
    *why = "host:port is expected, IPv6 as [host]:port";
    if (!split_host(text, out, &port)) return -1;
    *why = "the host has characters no host has";
    if (!host_text_valid(out->host)) return -1;
    *why = "the port must be 0 to 65535, or a range low-high";
    if (!parse_port(&port, &out->port_low)) return -1;
    out->port_high = out->port_low;
    if (*port == '-') {
        port++;
        if (!parse_port(&port, &out->port_high)) return -1;
        *why = "a port range must go upward from 1 and hold at most 1024 ports";
        if (out->port_low == 0 || out->port_high < out->port_low || out->port_high - out->port_low >= 1024) return -1;
        *why = "the port must be 0 to 65535, or a range low-high";
    }
    if (*port != 0) return -1;
    struct sockaddr_storage socket_address;
    socklen_t size;
    struct in6_addr scratch;
    out->numeric = inet_pton(AF_INET, out->host, &scratch) == 1 || inet_pton(AF_INET6, out->host, &scratch) == 1;
    out->loopback = pr_address_socket(out, 0, &socket_address, &size) &&
                    pr_socket_loopback((const struct sockaddr *)&socket_address);
    *why = NULL;
    return 0;
}

bool pr_address_socket(const pr_address *address, uint16_t port, struct sockaddr_storage *out, socklen_t *size) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    const char *host = strcmp(address->host, "localhost") == 0 ? "127.0.0.1" : address->host;
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        *size = sizeof *v4;
        return true;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        *size = sizeof *v6;
        return true;
    }
    return false;
}

bool pr_socket_loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) {
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    }
    if (address->sa_family != AF_INET6) return false;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

bool pr_socket_equal(const struct sockaddr *a, const struct sockaddr *b) {
    if (a->sa_family != b->sa_family) return false;
    if (a->sa_family == AF_INET) {
        const struct sockaddr_in *x = (const struct sockaddr_in *)a, *y = (const struct sockaddr_in *)b;
        return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
    }
    if (a->sa_family != AF_INET6) return false;
    const struct sockaddr_in6 *x = (const struct sockaddr_in6 *)a, *y = (const struct sockaddr_in6 *)b;
    return x->sin6_port == y->sin6_port && memcmp(&x->sin6_addr, &y->sin6_addr, sizeof x->sin6_addr) == 0;
}

static bool written_whole(int written, size_t room) { return written > 0 && (size_t)written < room; }

bool pr_socket_text(const struct sockaddr *address, char *out, size_t room) {
    char host[INET6_ADDRSTRLEN];
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        if (!inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host)) return false;
        return written_whole(snprintf(out, room, "%s:%u", host, ntohs(v4->sin_port)), room);
    }
    if (address->sa_family != AF_INET6) return false;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    if (!inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host)) return false;
    return written_whole(snprintf(out, room, "[%s]:%u", host, ntohs(v6->sin6_port)), room);
}

bool pr_address_text(const pr_address *address, uint16_t port, char *out, size_t room) {
    bool v6 = strchr(address->host, ':') != NULL;
    return written_whole(snprintf(out, room, v6 ? "[%s]:%u" : "%s:%u", address->host, port), room);
}

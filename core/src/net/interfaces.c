/* The addresses of this machine that others may dial, for a member that listens on all of them. */
#include "net.h"
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

static bool is_any(const struct sockaddr_storage *address) {
    if (address->ss_family == AF_INET)
        return ((const struct sockaddr_in *)address)->sin_addr.s_addr == htonl(INADDR_ANY);
    return address->ss_family == AF_INET6 &&
           IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

/* Of the same family, running, neither loopback nor an address that means something on one wire alone. */
static bool usable(const struct ifaddrs *a, int family) {
    if (!a->ifa_addr || a->ifa_addr->sa_family != family || !(a->ifa_flags & IFF_UP)) return false;
    if (a->ifa_flags & IFF_LOOPBACK || pr_socket_loopback(a->ifa_addr)) return false;
    return family != AF_INET6 || !IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)a->ifa_addr)->sin6_addr);
}

static void with_port(struct sockaddr_storage *out, const struct sockaddr *address, uint16_t port) {
    bool v4 = address->sa_family == AF_INET;
    memset(out, 0, sizeof *out);
    memcpy(out, address, v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    if (v4)
        ((struct sockaddr_in *)out)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)out)->sin6_port = htons(port);
}

size_t pr_net_interfaces(const char *bound, char (*out)[PR_ADDRESS_MAX + 1], size_t room) {
    struct sockaddr_storage own, found;
    struct ifaddrs *all = NULL;
    pr_address address;
    const char *why;
    socklen_t length;
    size_t count = 0;
    if (pr_address_parse(bound, &address, &why) != 0) return 0;
    if (!pr_address_socket(&address, address.port_low, &own, &length) || !is_any(&own)) return 0;
    if (getifaddrs(&all) != 0) all = NULL;
    for (const struct ifaddrs *a = all; a && count < room; a = a->ifa_next) {
        if (!usable(a, own.ss_family)) continue;
        with_port(&found, a->ifa_addr, address.port_low);
        if (pr_socket_text((struct sockaddr *)&found, out[count], PR_ADDRESS_MAX + 1)) count++;
    }
    if (all) freeifaddrs(all);
    if (count == 0 && room > 0) { /* this machine alone */
        snprintf(out[count++], PR_ADDRESS_MAX + 1, own.ss_family == AF_INET ? "127.0.0.1:%u" : "[::1]:%u",
                 address.port_low);
    }
    return count;
}

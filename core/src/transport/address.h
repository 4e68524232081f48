/* Addresses as text: "127.0.0.1:7946", "[::1]:0", "127.0.0.1:7946-7961", "localhost:7946". */
#ifndef PR_ADDRESS_H
#define PR_ADDRESS_H

#include "text.h"
#include <netinet/in.h>
#include <sys/socket.h>

typedef struct pr_address {
    char host[256]; /* without brackets */
    uint16_t port_low, port_high;
    bool numeric;  /* host is an IP address */
    bool loopback; /* numeric and loopback, or "localhost" */
} pr_address;

/* 0, or -1 with *why (static text) */
int pr_address_parse(const char *text, pr_address *out, const char **why);
/* A numeric address (or localhost) as a socket address; false for names. */
bool pr_address_socket(const pr_address *, uint16_t port, struct sockaddr_storage *out, socklen_t *size);
bool pr_socket_loopback(const struct sockaddr *);
bool pr_socket_equal(const struct sockaddr *, const struct sockaddr *); /* family, address and port */
/* "host:port"; false if room is too small or the family is unknown */
bool pr_socket_text(const struct sockaddr *, char *out, size_t room);
/* "host:port" of one port of a parsed address, IPv6 in brackets */
bool pr_address_text(const pr_address *, uint16_t port, char *out, size_t room);

#endif

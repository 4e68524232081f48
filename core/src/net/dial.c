/* Dialling: one address text, within one time-out.
 *
 * Happy path: DIAL -> numeric (or resolved, one name at a time) -> connect -> open, the engine is told link_up with the
 * id of the DIAL.
 * Failure paths, each ends in one dial_failed:
 *   the text cannot be parsed, or the name does not resolve: unresolved.
 *   the address is beyond loopback and no security is configured: unreachable, with a log line.
 *   the other end cannot prove that it belongs (prove.c): unreachable.
 *   refused; a connection to itself (a free local port that happened to dial itself) counts as refused.
 *   no route and the like: unreachable. The time-out passes, in the resolver's queue too: timeout.
 *   a name with several addresses: the next one is tried; the end of the last is told. A name of a seed is only looked
 * up, and the engine told of all its addresses.
 *   no memory for the connection: unreachable, told through `unmade`.
 */
#include "driver.h"
#include <stdio.h>
#include <string.h>

static void connect_next(pr_conn *);

void pr_net_dial_fail(pr_conn *conn, int end) {
    if (conn->state == PR_CONN_CLOSED) return;
    atomic_fetch_add_explicit(&conn->net->dial_failures, 1, memory_order_relaxed);
    conn->notice.dial_end = end;
    pr_net_conn_notice(conn);
    pr_net_conn_end(conn, 0);
}

static void on_timeout(uv_timer_t *timer) { pr_net_dial_fail(timer->data, PR_DIAL_TIMEOUT); }

static int end_of(int status) {
    if (status == UV_ECONNREFUSED || status == UV_ECONNRESET) return PR_DIAL_REFUSED;
    return status == UV_ETIMEDOUT ? PR_DIAL_TIMEOUT : PR_DIAL_UNREACHABLE;
}

static bool connected_to_itself(pr_conn *conn) {
    struct sockaddr_storage here, there;
    int here_size = sizeof here, there_size = sizeof there;
    memset(&here, 0, sizeof here);
    memset(&there, 0, sizeof there);
    if (uv_tcp_getsockname(&conn->tcp, (struct sockaddr *)&here, &here_size) != 0) return false;
    if (uv_tcp_getpeername(&conn->tcp, (struct sockaddr *)&there, &there_size) != 0) return false;
    return pr_socket_equal((struct sockaddr *)&here, (struct sockaddr *)&there);
}

static void on_reopened(uv_handle_t *handle) {
    pr_conn *conn = handle->data;
    pr_net *net = conn->net;
    conn->handles--;
    conn->started = false;
    if (conn->state == PR_CONN_CONNECTING) {
        connect_next(conn);
        return;
    }
    pr_net_conn_free_if_done(conn);
    pr_net_finish_if_idle(net);
}

static void on_connect(uv_connect_t *connect, int status) {
    pr_conn *conn = connect->data;
    if (conn->state != PR_CONN_CONNECTING) return;
    if (status == 0 && !connected_to_itself(conn)) {
        pr_net_conn_open(conn);
        return;
    }
    conn->last_end = status == 0 ? PR_DIAL_REFUSED : end_of(status);
    if (conn->addresses_at < conn->addresses_size) {
        pr_net_conn_keep(conn, false);
        uv_close((uv_handle_t *)&conn->tcp, on_reopened);
    } else {
        pr_net_dial_fail(conn, conn->last_end);
    }
}

static void connect_next(pr_conn *conn) {
    conn->state = PR_CONN_CONNECTING;
    conn->connect.data = conn;
    const struct sockaddr *address = (const struct sockaddr *)&conn->addresses[conn->addresses_at++];
    conn->near = pr_socket_loopback(address);
    if (pr_net_conn_tcp(conn, address->sa_family) != 0) {
        pr_net_dial_fail(conn, PR_DIAL_UNREACHABLE);
        return;
    }
    pr_net_conn_keep(conn, true); /* before it connects: a child forked meanwhile would hold what becomes a link */
    int failed = uv_tcp_connect(&conn->connect, &conn->tcp, address, on_connect);
    if (failed) pr_net_dial_fail(conn, end_of(failed));
}

static void refuse_remote(pr_conn *conn) {
    char line[400];
    snprintf(line, sizeof line,
             "dial.refused host=%s reason=\"beyond loopback, and neither secret nor certificates are configured\"",
             conn->host);
    conn->net->hooks.log(conn->net->hooks.owner, PRESENCE_LOG_WARNING, line);
    pr_net_dial_fail(conn, PR_DIAL_UNREACHABLE);
}

/* ---- names ---- */
static void set_port(struct sockaddr_storage *address, uint16_t port) {
    if (address->ss_family == AF_INET) ((struct sockaddr_in *)address)->sin_port = htons(port);
    if (address->ss_family == AF_INET6) ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
}

/* All of them, for the engine to dial each. Several protocols of one address are one address. */
static void keep_found(pr_conn *conn, const struct addrinfo *list) {
    pr_buffer *found = &conn->rest; /* no bytes come on this one */
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        struct sockaddr_storage address;
        char text[PR_ADDRESS_MAX + 1];
        if (a->ai_addrlen > sizeof address) continue;
        memcpy(&address, a->ai_addr, a->ai_addrlen);
        set_port(&address, conn->port);
        if (!pr_socket_text((struct sockaddr *)&address, text, sizeof text)) continue;
        pr_buffer_append(found, text, strlen(text) + 1);
    }
    if (found->failed || found->size == 0) {
        pr_net_dial_fail(conn, PR_DIAL_UNRESOLVED);
        return;
    }
    conn->notice.resolved = true;
    pr_net_conn_notice(conn);
    pr_net_conn_end(conn, 0);
}

void pr_net_dial_tell_found(pr_conn *conn, pr_engine *engine, pr_time now) {
    presence_str found[PR_FOUND_MAX];
    size_t size = 0;
    const char *at = (const char *)conn->rest.data, *end = at + conn->rest.size;
    for (; at < end && size < PR_FOUND_MAX; at += strlen(at) + 1) found[size++] = pr_cstr(at);
    pr_engine_resolved(engine, conn->dial, found, size, now);
}

void pr_net_dial_resolved(pr_conn *conn, const struct addrinfo *list) {
    bool any = false;
    if (conn->resolve_only) {
        keep_found(conn, list);
        return;
    }
    for (const struct addrinfo *a = list; a && conn->addresses_size < PR_RESOLVED_MAX; a = a->ai_next) {
        any = true;
        if (a->ai_addrlen > sizeof conn->addresses[0]) continue;
        if (!conn->net->beyond && !pr_socket_loopback(a->ai_addr)) continue;
        memcpy(&conn->addresses[conn->addresses_size], a->ai_addr, a->ai_addrlen);
        set_port(&conn->addresses[conn->addresses_size++], conn->port);
    }
    if (conn->addresses_size > 0) {
        connect_next(conn);
    } else if (any) {
        refuse_remote(conn);
    } else {
        pr_net_dial_fail(conn, PR_DIAL_UNRESOLVED);
    }
}

void pr_net_dial_start(pr_net *net, const pr_action *action) {
    pr_address address;
    const char *why;
    socklen_t size;
    pr_conn *conn = pr_net_conn_new(net);
    if (!conn) {
        net->unmade[net->unmade_size++] = action->as.dial.id;
        return;
    }
    conn->state = PR_CONN_CONNECTING;
    conn->dial = action->as.dial.id;
    conn->timeout_ms = action->as.dial.timeout_ms;
    char text[sizeof action->as.dial.address];
    memcpy(text, action->as.dial.address, sizeof text);
    char *name = strchr(text, ' '); /* whose address it is: what the other end proves itself to be */
    if (name) *name++ = 0;
    if (pr_address_parse(text, &address, &why) != 0 || address.port_low == 0) {
        pr_net_dial_fail(conn, PR_DIAL_UNRESOLVED);
        return;
    }
    snprintf(conn->host, sizeof conn->host, "%s", name ? name : address.host);
    conn->port = address.port_low;
    conn->resolve_only = action->as.dial.resolve;
    uv_timer_start(&conn->timer, on_timeout, conn->timeout_ms, 0);
    if (conn->resolve_only || !pr_address_socket(&address, address.port_low, &conn->addresses[0], &size)) {
        pr_net_resolve(conn);
    } else if (!address.loopback && !net->beyond) {
        refuse_remote(conn);
    } else {
        conn->addresses_size = 1;
        connect_next(conn);
    }
}

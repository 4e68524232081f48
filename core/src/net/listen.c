/* Listening: bound before the thread starts, accepted by hand.
 *
 * Happy path: bind the first free port of the range -> listen -> readable: accept until nothing waits, each becomes an
 * open connection.
 * Failure paths:
 *   every port of the range is taken: EADDRINUSE. Any other failure of bind: EADDRESS with its reason.
 *   accept fails for want of descriptors or memory: nobody is accepted for a while (what waits stays in the queue of
 *   the kernel), then again. This is why accept is ours: libuv would drop who waits, or spin.
 *   accept fails because that peer is gone again: the next one is taken.
 *   no memory for a connection: that one is closed; the peer dials again.
 */
#define _GNU_SOURCE 1 /* accept4 */
#include "driver.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG    256
#define ACCEPT_RUN 64 /* at most so many per turn */

static int bind_port(const pr_address *address, uint16_t port, int *fd) {
    struct sockaddr_storage to;
    socklen_t size;
    int on = 1, failed;
    if (!pr_address_socket(address, port, &to, &size)) return EADDRNOTAVAIL;
    *fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0) return errno;
    setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (to.ss_family == AF_INET6) setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(*fd, (struct sockaddr *)&to, size) == 0 && listen(*fd, BACKLOG) == 0) return 0;
    failed = errno;
    close(*fd);
    *fd = -1;
    return failed;
}

static int bind_first_free(pr_net *net, const pr_address *address, const char **why) {
    int failed = 0;
    for (uint32_t port = address->port_low; port <= address->port_high; port++) {
        failed = bind_port(address, (uint16_t)port, &net->listen_fd);
        if (failed != EADDRINUSE) break;
    }
    if (failed == 0) return 0;
    if (failed == EADDRINUSE) {
        *why = address->port_low == address->port_high ? "the port is in use" : "every port of the range is in use";
        return PRESENCE_EADDRINUSE;
    }
    *why = failed == EACCES                       ? "no permission to bind the port"
           : failed == EADDRNOTAVAIL              ? "the host is no numeric address of this machine"
           : failed == EMFILE || failed == ENFILE ? "no descriptor is free"
           : failed == EAFNOSUPPORT               ? "the machine has no such address family"
                                                  : "the address cannot be bound";
    return PRESENCE_EADDRESS;
}

int pr_net_listen_bind(pr_net *net, const char *text, const char **why) {
    pr_address address;
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    if (pr_address_parse(text, &address, why) != 0) return PRESENCE_EADDRESS;
    int failed = bind_first_free(net, &address, why);
    if (failed) return failed;
    memset(&bound, 0, sizeof bound);
    if (getsockname(net->listen_fd, (struct sockaddr *)&bound, &size) != 0 ||
        !pr_socket_text((struct sockaddr *)&bound, net->address, sizeof net->address)) {
        *why = "the bound address cannot be read";
        return PRESENCE_EINTERNAL;
    }
    return 0;
}

static void on_acceptable(uv_poll_t *, int, int);

static void on_pause_over(uv_timer_t *timer) {
    pr_net *net = timer->data;
    uv_poll_start(&net->accept_poll, UV_READABLE, on_acceptable);
}

static void pause_accepting(pr_net *net, int failed) {
    const char *line = failed == EMFILE || failed == ENFILE ? "accept.paused reason=\"no descriptor is free\""
                                                            : "accept.paused reason=\"no memory\"";
    uv_poll_stop(&net->accept_poll);
    uv_timer_start(&net->accept_timer, on_pause_over, PR_ACCEPT_PAUSE, 0);
    net->hooks.log(net->hooks.owner, PRESENCE_LOG_WARNING, line);
}

/* Whose connection it is, for the log, and for the name in its certificate. */
static void note_peer(pr_conn *conn, const struct sockaddr *from) {
    char text[PR_ADDRESS_MAX + 1];
    pr_address address;
    const char *why;
    if (!pr_socket_text(from, text, sizeof text) || pr_address_parse(text, &address, &why) != 0) return;
    memcpy(conn->host, address.host, sizeof conn->host);
    conn->port = address.port_low;
    conn->near = address.loopback;
}

static void adopt(pr_net *net, int fd, const struct sockaddr *from) {
    pr_conn *conn = pr_net_conn_new(net);
    if (!conn) {
        close(fd);
        return;
    }
    if (pr_net_conn_tcp(conn, AF_UNSPEC) != 0 || uv_tcp_open(&conn->tcp, fd) != 0) {
        close(fd);
        pr_net_conn_end(conn, 0);
        return;
    }
    if (net->tls) note_peer(conn, from);
    pr_net_conn_open(conn);
}

static bool peer_is_gone(int failed) {
    return failed == ECONNABORTED || failed == EINTR || failed == EPROTO || failed == EPERM || failed == ENETDOWN ||
           failed == EHOSTDOWN || failed == EHOSTUNREACH || failed == ENETUNREACH || failed == ENOPROTOOPT;
}

static void on_acceptable(uv_poll_t *poll, int status, int events) {
    pr_net *net = poll->data;
    (void)events;
    if (status != 0) {
        pause_accepting(net, 0);
        return;
    }
    for (int i = 0; i < ACCEPT_RUN; i++) {
        struct sockaddr_storage from;
        socklen_t size = sizeof from;
        memset(&from, 0, sizeof from);
        int fd = accept4(net->listen_fd, (struct sockaddr *)&from, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            adopt(net, fd, (struct sockaddr *)&from);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (!peer_is_gone(errno)) {
            pause_accepting(net, errno);
            return;
        }
    }
}

int pr_net_listen_start(pr_net *net) {
    if (uv_poll_init(&net->loop, &net->accept_poll, net->listen_fd) != 0) return -1;
    uv_timer_init(&net->loop, &net->accept_timer);
    net->accept_poll.data = net->accept_timer.data = net;
    net->accepting = true;
    return uv_poll_start(&net->accept_poll, UV_READABLE, on_acceptable);
}

/* The socket closes after the handle that polls it. */
static void on_poll_closed(uv_handle_t *handle) {
    pr_net *net = handle->data;
    close(net->listen_fd);
    net->listen_fd = -1;
    pr_net_finish_if_idle(net);
}

void pr_net_listen_close(pr_net *net) {
    if (net->listen_fd < 0) return;
    if (!net->accepting) {
        close(net->listen_fd);
        net->listen_fd = -1;
        return;
    }
    if (uv_is_closing((uv_handle_t *)&net->accept_poll)) return;
    uv_close((uv_handle_t *)&net->accept_poll, on_poll_closed);
    uv_close((uv_handle_t *)&net->accept_timer, NULL);
}

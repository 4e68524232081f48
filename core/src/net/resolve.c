/* Looking up names, one at a time, on a thread that lives as long as one look-up.
 *
 * Not libuv's pool: its threads stay, are shared by the whole process, and its clean-up at exit crashes a forked child.
 * Happy path: queued -> the thread asks and tells the loop -> the loop joins it -> the dial goes on -> the next.
 * Failure paths:
 *   no thread can be started, or the name is unknown: an empty answer, the dial fails as unresolved.
 *   the dial times out or the tracker stops meanwhile: the answer is dropped when it comes. The thread cannot be
 *   cancelled: stopping waits for it.
 */
#include "driver.h"
#include <string.h>

#define STACK_BYTES (1024u * 1024u) /* resolvers of the system are not frugal */

static void resolve_next(pr_net *);

static void *look_up(void *argument) {
    pr_resolver *resolver = argument;
    struct addrinfo hints;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    resolver->list = NULL;
    if (getaddrinfo(resolver->host, NULL, &hints, &resolver->list) != 0) resolver->list = NULL;
    uv_async_send(&resolver->done);
    return NULL;
}

static void on_done(uv_async_t *async) {
    pr_net *net = async->data;
    pr_resolver *resolver = &net->resolver;
    if (!resolver->running) return;
    pthread_join(resolver->thread, NULL);
    pr_conn *conn = resolver->current;
    resolver->running = false;
    resolver->current = NULL;
    if (conn) pr_net_dial_resolved(conn, resolver->list);
    if (resolver->list) freeaddrinfo(resolver->list);
    resolve_next(net);
    pr_net_finish_if_idle(net);
}

int pr_net_resolve_init(pr_net *net) {
    net->resolver.done.data = net;
    return uv_async_init(&net->loop, &net->resolver.done, on_done);
}

/* The loop's own mask, everything blocked, is inherited. */
static bool start(pr_resolver *resolver, const pr_conn *conn) {
    pthread_attr_t attributes;
    memcpy(resolver->host, conn->host, sizeof resolver->host);
    if (pthread_attr_init(&attributes) != 0) return false;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int failed = pthread_create(&resolver->thread, &attributes, look_up, resolver);
    pthread_attr_destroy(&attributes);
    return failed == 0;
}

static void resolve_next(pr_net *net) {
    pr_resolver *resolver = &net->resolver;
    while (!resolver->running && resolver->first && !net->closing) {
        pr_conn *conn = resolver->first;
        resolver->first = conn->next_resolve;
        if (!start(resolver, conn)) {
            pr_net_dial_resolved(conn, NULL);
            continue;
        }
        resolver->running = true;
        resolver->current = conn;
    }
}

void pr_net_resolve_forget(pr_conn *conn) {
    pr_conn **at = &conn->net->resolver.first;
    while (*at && *at != conn) at = &(*at)->next_resolve;
    if (*at) *at = conn->next_resolve;
    if (conn->net->resolver.current == conn) conn->net->resolver.current = NULL;
}

void pr_net_resolve(pr_conn *conn) {
    pr_conn **end = &conn->net->resolver.first;
    while (*end) end = &(*end)->next_resolve;
    conn->state = PR_CONN_RESOLVING;
    conn->next_resolve = NULL;
    *end = conn;
    resolve_next(conn->net);
}

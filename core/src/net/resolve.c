/* Looking up names, one at a time, on a thread that lives as long as one look-up.
 *
 * Not libuv's pool: its threads stay, are shared by the whole process, and its clean-up at exit crashes a forked child.
 * Happy path: queued -> the thread asks and tells the loop -> the loop joins it -> the dial goes on -> the next.
 * Failure paths:
 *   no memory, no thread can be started, or the name is unknown: an empty answer, the dial fails as unresolved.
 *   the dial times out meanwhile: the answer is dropped when it comes.
 *   the tracker stops meanwhile: the thread cannot be cancelled and may hang for as long as the system's resolver
 * likes, so it is left alone with its look-up, which knows the loop no more; it frees the look-up when the resolver
 * returns.
 */
#include "driver.h"
#include <string.h>

#define STACK_BYTES (1024u * 1024u) /* resolvers of the system are not frugal */

/* What the thread and the loop share. It may outlive the tracker and its allocator, so it is of the default one. */
struct pr_lookup {
    pthread_mutex_t mutex;
    uv_async_t *done; /* guarded; NULL: nobody waits for the answer any more */
    bool answered;    /* guarded */
    pthread_t thread;
    char host[256];
    struct addrinfo *list; /* written by the thread, read after joining it */
};

static void resolve_next(pr_net *);

static pr_lookup *lookup_new(const pr_conn *conn) {
    pr_alloc alloc = pr_alloc_default();
    pr_lookup *lookup = pr_new(&alloc, sizeof *lookup);
    if (!lookup) return NULL;
    pthread_mutex_init(&lookup->mutex, NULL);
    lookup->done = &conn->net->resolver.done;
    memcpy(lookup->host, conn->host, sizeof lookup->host);
    return lookup;
}

static void lookup_free(pr_lookup *lookup) {
    pr_alloc alloc = pr_alloc_default();
    if (lookup->list) freeaddrinfo(lookup->list);
    pthread_mutex_destroy(&lookup->mutex);
    pr_delete(&alloc, lookup, sizeof *lookup);
}

static void *look_up(void *argument) {
    pr_lookup *lookup = argument;
    struct addrinfo hints;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(lookup->host, NULL, &hints, &lookup->list) != 0) lookup->list = NULL;
    pthread_mutex_lock(&lookup->mutex);
    bool wanted = lookup->done != NULL;
    lookup->answered = true;
    if (wanted) uv_async_send(lookup->done);
    pthread_mutex_unlock(&lookup->mutex);
    if (!wanted) lookup_free(lookup);
    return NULL;
}

static void on_done(uv_async_t *async) {
    pr_net *net = async->data;
    pr_resolver *resolver = &net->resolver;
    pr_lookup *lookup = resolver->lookup;
    if (!lookup) return;
    pthread_join(lookup->thread, NULL);
    pr_conn *conn = resolver->current;
    resolver->lookup = NULL;
    resolver->current = NULL;
    if (conn) pr_net_dial_resolved(conn, lookup->list);
    lookup_free(lookup);
    resolve_next(net);
}

int pr_net_resolve_init(pr_net *net) {
    net->resolver.done.data = net;
    return uv_async_init(&net->loop, &net->resolver.done, on_done);
}

/* The loop's own mask, everything blocked, is inherited. */
static bool start_thread(pr_lookup *lookup) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return false;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int failed = pthread_create(&lookup->thread, &attributes, look_up, lookup);
    pthread_attr_destroy(&attributes);
    return failed == 0;
}

static pr_lookup *lookup_start(const pr_conn *conn) {
    pr_lookup *lookup = lookup_new(conn);
    if (!lookup || start_thread(lookup)) return lookup;
    lookup_free(lookup);
    return NULL;
}

static void resolve_next(pr_net *net) {
    pr_resolver *resolver = &net->resolver;
    while (!resolver->lookup && resolver->first && !net->closing) {
        pr_conn *conn = resolver->first;
        resolver->first = conn->next_resolve;
        resolver->lookup = lookup_start(conn);
        if (resolver->lookup) {
            resolver->current = conn;
        } else {
            pr_net_dial_resolved(conn, NULL);
        }
    }
}

void pr_net_resolve_forget(pr_conn *conn) {
    pr_conn **at = &conn->net->resolver.first;
    while (*at && *at != conn) at = &(*at)->next_resolve;
    if (*at) *at = conn->next_resolve;
    if (conn->net->resolver.current == conn) conn->net->resolver.current = NULL;
}

void pr_net_resolve_abandon(pr_net *net) {
    pr_lookup *lookup = net->resolver.lookup;
    if (!lookup) return;
    net->resolver.lookup = NULL;
    pthread_t thread = lookup->thread;
    pthread_mutex_lock(&lookup->mutex);
    bool answered = lookup->answered;
    lookup->done = NULL;
    pthread_mutex_unlock(&lookup->mutex); /* if it has not answered, the look-up may be gone from here on */
    if (!answered) {
        pthread_detach(thread);
        return;
    }
    pthread_join(thread, NULL);
    lookup_free(lookup);
}

void pr_net_resolve(pr_conn *conn) {
    pr_conn **end = &conn->net->resolver.first;
    while (*end) end = &(*end)->next_resolve;
    conn->state = PR_CONN_RESOLVING;
    conn->next_resolve = NULL;
    *end = conn;
    resolve_next(conn->net);
}

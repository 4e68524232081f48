/* Connections that have not proven that they belong: TLS before anything else (protocol.md 5.1), within bounds.
 *
 * Happy path: connected or accepted -> PROVING: bytes go to TLS and what it answers is written -> PROVEN: the engine is
 * told link_up, from here on links.c reads and writes through TLS.
 * Nothing of this reaches the engine, and a peer that only connects costs a socket: TLS begins with its first byte.
 * Failure paths; each tells why, with the address (refusals.c):
 *   the proof fails, or takes over PR_TLS_BEFORE_PROOF bytes: an alert is written, the connection lingers shortly.
 *   not proven within PR_PROVE_MS (who dials: within the time-out of the dial): closed.
 *   more than PR_PROVING_ADDRESS of one address, or PR_PROVING_MAX in all: the oldest of them is closed, so silent ones
 *   cannot keep newcomers out.
 *   lost before proof: closed; a dial that fails here is no proof that nobody lives there.
 */
#include "driver.h"
#include <stdio.h>
#include <string.h>

#define PR_PROVE_MS 5000
#define REFUSED_MS  200 /* the alert is written and read meanwhile */
#define FILES_MS    1000

/* ---- who waits ---- */
static void list_add(pr_conn *conn) {
    pr_proving *all = &conn->net->proving;
    conn->older = all->newest;
    if (all->newest) all->newest->newer = conn;
    if (!all->oldest) all->oldest = conn;
    all->newest = conn;
    all->size++;
    conn->proving = true;
}

void pr_net_prove_forget(pr_conn *conn) {
    pr_proving *all = &conn->net->proving;
    if (!conn->proving) return;
    *(conn->older ? &conn->older->newer : &all->oldest) = conn->newer;
    *(conn->newer ? &conn->newer->older : &all->newest) = conn->older;
    conn->older = conn->newer = NULL;
    conn->proving = false;
    all->size--;
}

static bool same_host(const pr_conn *a, const pr_conn *b) { return strcmp(a->host, b->host) == 0; }

/* Who has to go for a newcomer: the oldest of its address if there are many, the oldest of all if there are too many.
 */
static pr_conn *one_too_many(const pr_conn *newcomer) {
    const pr_proving *all = &newcomer->net->proving;
    pr_conn *first = NULL;
    size_t alike = 0;
    for (pr_conn *c = all->oldest; c; c = c->newer) {
        if (!same_host(c, newcomer)) continue;
        if (!first) first = c;
        alike++;
    }
    if (alike >= PR_PROVING_ADDRESS) return first;
    return all->size >= PR_PROVING_MAX ? all->oldest : NULL;
}

/* ---- refusing ---- */
/* Closes it without a word to the engine, after what TLS has to say is written. */
static void part(pr_conn *conn) {
    pr_net *net = conn->net;
    if (conn->dial) {
        atomic_fetch_add_explicit(&net->dial_failures, 1, memory_order_relaxed);
        conn->notice.dial_end = PR_DIAL_UNREACHABLE;
        pr_net_conn_notice(conn);
    }
    pr_net_conn_linger(conn, REFUSED_MS);
}

static void refuse(pr_conn *conn) {
    enum pr_tls_doubt doubt = pr_tls_link_doubt(conn->tls);
    pr_net_refusal_tell(conn, (enum pr_doubt)doubt, pr_tls_link_why(conn->tls));
    pr_net_conn_flush(conn);
    if (conn->state == PR_CONN_PROVING) part(conn);
}

void pr_net_prove_doubt(pr_conn *conn) {
    enum pr_tls_doubt doubt = pr_tls_link_doubt(conn->tls);
    if (doubt) pr_net_refusal_tell(conn, (enum pr_doubt)doubt, pr_tls_link_why(conn->tls));
}

void pr_net_prove_lost(pr_conn *conn) {
    if (conn->dial) {
        pr_net_dial_fail(conn, PR_DIAL_UNREACHABLE);
    } else {
        bool told = conn->tls && pr_tls_link_doubt(conn->tls);
        if (!told) pr_net_refusal_tell(conn, PR_DOUBT_GONE, "it went without proving that it belongs");
        pr_net_conn_end(conn, 0);
    }
}

static void on_late(uv_timer_t *timer) {
    pr_conn *conn = timer->data;
    if (conn->state != PR_CONN_PROVING) return;
    pr_net_refusal_tell(conn, PR_DOUBT_LATE, "it did not prove within 5 s that it belongs");
    pr_net_conn_end(conn, 0);
}

/* ---- proving ---- */
static bool begin(pr_conn *conn) {
    if (!conn->tls) conn->tls = pr_tls_link_new(conn->net->tls, conn->dial != 0, conn->host, conn->near);
    return conn->tls != NULL;
}

static void step(pr_conn *conn) {
    switch (pr_tls_link_step(conn->tls)) {
    case PR_TLS_FAILED: refuse(conn); return;
    case PR_TLS_MORE: pr_net_conn_flush(conn); return;
    default: break;
    }
    pr_net_prove_forget(conn);
    pr_net_conn_flush(conn);
    if (conn->state != PR_CONN_PROVING) return;
    pr_net_conn_up(conn);
}

void pr_net_prove_read(pr_conn *conn, const uint8_t *data, size_t size) {
    if (!begin(conn) || !pr_tls_link_take(conn->tls, data, size)) {
        pr_net_prove_lost(conn);
        return;
    }
    step(conn);
}

/* Its socket is connected; host and port say whose it is. */
void pr_net_prove(pr_conn *conn) {
    conn->state = PR_CONN_PROVING;
    if (conn->dial) {
        if (!begin(conn) || !pr_net_conn_listen(conn)) {
            pr_net_prove_lost(conn);
            return;
        }
        step(conn);
        return;
    }
    pr_conn *crowd = one_too_many(conn);
    if (crowd) {
        if (crowd->state == PR_CONN_PROVING) /* else it was told of, and lingers */
            pr_net_refusal_tell(crowd, PR_DOUBT_CROWD, "too many connections that prove nothing");
        pr_net_conn_end(crowd, 0);
    }
    list_add(conn);
    uv_timer_start(&conn->timer, on_late, PR_PROVE_MS, 0);
    if (!pr_net_conn_listen(conn)) pr_net_conn_end(conn, 0);
}

/* ---- rotation: files are looked at now and then ---- */
static void on_files(uv_timer_t *timer) {
    pr_net *net = timer->data;
    char why[PR_TLS_WHY_MAX], line[PR_TLS_WHY_MAX + 64];
    int found = pr_tls_refresh(net->tls, why);
    if (found > 0) net->hooks.log(net->hooks.owner, PRESENCE_LOG_INFO, "tls.reloaded");
    if (found >= 0) return;
    snprintf(line, sizeof line, "the old secrets and certificates stay in force: %s", why);
    net->hooks.error(net->hooks.owner, PRESENCE_EOPTION, line);
}

void pr_net_prove_watch(pr_net *net) {
    if (!net->tls || !pr_tls_has_files(net->tls)) return;
    uv_timer_start(&net->files, on_files, FILES_MS, FILES_MS);
}

/* Acting on what the engine asked for, without the lock. Nothing here calls the engine: what fails becomes a notice. */
#include "driver.h"

/* A SEND to a link that is gone: its bytes can only be released under the lock, so the action stays in the batch. */
#define ORPHAN (-1)

static void act(pr_net *net, pr_action *action) {
    pr_conn *conn;
    switch (action->kind) {
    case PR_ACTION_SEND:
        conn = pr_net_conn_find(net, action->as.send.link);
        if (conn && conn->state == PR_CONN_OPEN && pr_net_conn_send(conn, action->as.send.bytes)) break;
        action->kind = ORPHAN;
        net->orphans++;
        break;
    case PR_ACTION_DIAL:
        if (net->closing) break;
        atomic_fetch_add_explicit(&net->dials, 1, memory_order_relaxed);
        pr_net_dial_start(net, action);
        break;
    case PR_ACTION_CLOSE:
        conn = pr_net_conn_find(net, action->as.close.link);
        if (conn && conn->state == PR_CONN_OPEN) pr_net_conn_linger(conn, PR_LINGER_MS);
        break;
    default: break;
    }
}

void pr_net_run_batch(pr_net *net) {
    while (net->batch_at < net->batch.size && net->unmade_size < PR_UNMADE_MAX) {
        act(net, &net->batch.actions[net->batch_at++]);
    }
}

void pr_net_release_orphans(pr_net *net) {
    for (size_t i = 0; i < net->batch_at && net->orphans > 0; i++) {
        if (net->batch.actions[i].kind != ORPHAN) continue;
        pr_bytes_release(net->batch.actions[i].as.send.bytes);
        net->batch.actions[i].kind = PR_ACTION_NONE;
        net->orphans--;
    }
}

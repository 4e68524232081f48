/* The loop thread: turns, holds of the lock, the timer, stopping.
 *
 * Happy path: new -> start -> turns -> stop -> ended -> join -> free.
 *   A turn: libuv runs callbacks (reads, writes, connects, accepts). What they learn becomes notices on connections;
 *   bytes are fed at once. `check`, after the callbacks, holds the lock once more if there are notices, a pull (another
 *   thread posted something) or a deadline that has come, and then acts on the batch. `prepare` keeps the loop from
 *   sleeping while anything of this is left.
 * Failure paths:
 *   the thread cannot be started: start fails, nothing runs, free releases all.
 *   no memory for a post: the action stays in the engine (reserve comes first) and is taken in a later turn.
 *   stop: listener and dials close at once, links after what was sent is written or the limit passed; when no
 *   connection is left uv_run returns. The handles by which other threads wake the loop stay until free. A look-up
 *   under way is left to itself: it cannot be cancelled, and the system may take its time.
 */
#include "driver.h"
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define STACK_BYTES  (512u * 1024u)
#define TIMER_CAP_MS 60000u

void pr_net_begin(pr_net *net) {
    net->hooks.lock(net->hooks.owner);
    pr_net_release_orphans(net);
}

/* Moves the outbox behind what is left of the batch. */
static void take_outbox(pr_net *net) {
    if (net->batch_at == net->batch.size) {
        pr_outbox spare = net->batch;
        net->batch = net->outbox;
        net->outbox = spare;
        net->outbox.size = 0;
        net->batch_at = 0;
    } else if (net->outbox.size > 0) {
        net->pull = true; /* the rest first, in order; then these */
    }
}

void pr_net_end(pr_net *net) {
    net->hooks.settle(net->hooks.owner);
    take_outbox(net);
    net->armed = net->deadline = pr_engine_deadline(net->engine);
    net->woken = false;
    bool stop = net->stop_wanted && net->outbox.size == 0; /* the last words are in this batch */
    net->linger_ms = stop ? net->stop_flush_ms : PR_LINGER_MS;
    net->hooks.unlock(net->hooks.owner);
    pr_net_run_batch(net);
    net->hooks.turn(net->hooks.owner);
    if (stop && net->batch_at == net->batch.size) net->stopping = true;
}

static void stop_all(pr_net *net) {
    net->closing = true;
    pr_net_listen_close(net);
    pr_net_resolve_abandon(net);
    for (size_t i = 0; i < net->slots_room; i++) {
        pr_conn *conn = net->slots[i].conn;
        if (!conn) continue;
        if (conn->state == PR_CONN_OPEN || conn->state == PR_CONN_CLOSING) {
            /* nothing that matters is under way to one that said no HELLO, or that the engine was done with */
            bool linked = conn->state == PR_CONN_OPEN && conn->taken > PR_PREAMBLE_SIZE;
            uint32_t limit_ms = linked || net->linger_ms < PR_STRANGER_MS ? net->linger_ms : PR_STRANGER_MS;
            pr_net_conn_linger(conn, limit_ms);
        } else {
            pr_net_conn_end(conn, 0);
        }
    }
}

void pr_net_finish_if_idle(pr_net *net) {
    if (!net->closing || net->conns > 0) return;
    if (net->listen_fd < 0) uv_stop(&net->loop);
}

static void on_idle(uv_idle_t *idle) { (void)idle; }
static void on_timer(uv_timer_t *timer) { (void)timer; }
static void on_async(uv_async_t *async) { ((pr_net *)async->data)->pull = true; }

static bool has_work(const pr_net *net, uint64_t now_ms) {
    return net->pull || net->notices || net->orphans || net->unmade_size || net->deadline <= now_ms ||
           net->batch_at < net->batch.size || (net->stopping && !net->closing);
}

static void on_prepare(uv_prepare_t *prepare) {
    pr_net *net = prepare->data;
    uint64_t now = pr_clock_now().mono_ms;
    if (has_work(net, now)) {
        uv_idle_start(&net->idle, on_idle);
        return;
    }
    uv_idle_stop(&net->idle);
    uint64_t due = net->held && net->look_at < net->deadline ? net->look_at : net->deadline;
    if (due == UINT64_MAX) {
        uv_timer_stop(&net->timer);
        return;
    }
    uint64_t wait = due > now ? due - now : 0;
    uv_timer_start(&net->timer, on_timer, wait < TIMER_CAP_MS ? wait : TIMER_CAP_MS, 0);
}

/* Sweeps wait while a consumer is working off what the last ones made: else the DOWN of a large member would always
 * end in resyncs (protocol.md 4.6). One that takes nothing for a while is not waited for. The rest of a tick goes on.
 */
static void look_at_consumer(pr_net *net, uint64_t now_ms) {
    if (net->held ? now_ms < net->look_at : net->deadline > now_ms) return;
    bool hold = net->hooks.congested(net->hooks.owner, now_ms);
    net->look_at = now_ms + PR_CONGESTED_STEP;
    if (hold == net->held) return;
    net->held = hold;
    net->pull = true; /* the engine is told, and its deadline changes */
}

static void on_check(uv_check_t *check) {
    pr_net *net = check->data;
    net->read_since = 0;
    pr_time now = pr_clock_now();
    look_at_consumer(net, now.mono_ms);
    if (has_work(net, now.mono_ms)) {
        net->pull = false;
        pr_net_begin(net);
        pr_engine_hold_sweeps(net->engine, net->held);
        pr_net_conn_tell(net, now);
        if (net->deadline <= now.mono_ms) pr_engine_tick(net->engine, now);
        pr_net_end(net);
    }
    if (net->stopping && !net->closing) stop_all(net);
    pr_net_finish_if_idle(net);
}

static void *run(void *argument) {
    pr_net *net = argument;
    net->pull = true;
    uv_run(&net->loop, UV_RUN_DEFAULT);
    net->hooks.ended(net->hooks.owner);
    return NULL;
}

/* The first loop of a process opens a pipe for signals, and libuv ends the process if it cannot. Any loop needs as many
 * descriptors as are tried here, so nobody is refused who could have been served. */
static bool has_descriptors(void) {
    uv_file pipes[2][2];
    size_t made = 0;
    while (made < 2 && uv_pipe(pipes[made], 0, 0) == 0) made++;
    for (size_t i = 0; i < made; i++) {
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
    return made == 2;
}

static int loop_init(pr_net *net) {
    if (!has_descriptors()) return PRESENCE_EINTERNAL;
    if (uv_loop_init(&net->loop) != 0) return PRESENCE_EINTERNAL;
    if (uv_async_init(&net->loop, &net->async, on_async) != 0 || pr_net_resolve_init(net) != 0) {
        uv_loop_close(&net->loop);
        return PRESENCE_EINTERNAL;
    }
    net->loop_ready = true;
    net->loop.data = net->async.data = net->prepare.data = net->check.data = net;
    uv_timer_init(&net->loop, &net->timer);
    uv_timer_init(&net->loop, &net->files);
    net->files.data = net;
    uv_idle_init(&net->loop, &net->idle);
    uv_prepare_init(&net->loop, &net->prepare);
    uv_check_init(&net->loop, &net->check);
    net->prepare.data = net->check.data = net;
    uv_prepare_start(&net->prepare, on_prepare);
    uv_check_start(&net->check, on_check);
    return 0;
}

static pr_net *of(pr_transport *transport) { return (pr_net *)transport; }

static const pr_net *seen(const pr_transport *transport) { return (const pr_net *)transport; }

static void address(const pr_transport *transport, char *out, size_t room) {
    const char *bound = seen(transport)->address;
    if (room == 0) return;
    size_t size = strlen(bound);
    if (size >= room) size = room - 1;
    memcpy(out, bound, size);
    out[size] = 0;
}

/* No signal of the program is handled on this thread; SIGPIPE stays blocked for good. */
static int start_thread(pr_net *net) {
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0) return PRESENCE_ENOMEM;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&net->thread, &attributes, run, net);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failed ? PRESENCE_EINTERNAL : 0;
}

static int start(pr_transport *transport, pr_engine *engine) {
    pr_net *net = of(transport);
    net->engine = engine;
    if (net->tls && !(net->opened = pr_new(net->alloc, PR_READ_ROOM))) return PRESENCE_ENOMEM;
    if (net->listen_fd >= 0 && pr_net_listen_start(net) != 0) return PRESENCE_EINTERNAL;
    pr_net_prove_watch(net);
    int failed = start_thread(net);
    net->started = failed == 0;
    return failed;
}

static bool is_thread(const pr_transport *transport) {
    const pr_net *net = seen(transport);
    return net->started && pthread_equal(net->thread, pthread_self());
}

static void join(pr_transport *transport) {
    pr_net *net = of(transport);
    if (!net->started || net->joined) return;
    pthread_join(net->thread, NULL);
    net->joined = true;
}

/* Only here, when no other thread can wake it any more: sending to a closed async handle ends the process. */
static void close_loop(pr_net *net) {
    uv_handle_t *own[] = {(uv_handle_t *)&net->async,   (uv_handle_t *)&net->timer, (uv_handle_t *)&net->idle,
                          (uv_handle_t *)&net->prepare, (uv_handle_t *)&net->check, (uv_handle_t *)&net->resolver.done,
                          (uv_handle_t *)&net->files};
    pr_net_listen_close(net);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) uv_close(own[i], NULL);
    uv_run(&net->loop, UV_RUN_DEFAULT);
    uv_loop_close(&net->loop);
}

static void free_net(pr_transport *transport) {
    pr_net *net = of(transport);
    if (net->loop_ready) close_loop(net);
    pr_net_release_orphans(net);
    pr_outbox_free(&net->batch, net->alloc, net->batch_at);
    pr_outbox_free(&net->outbox, net->alloc, 0);
    pr_delete(net->alloc, net->slots, net->slots_room * sizeof *net->slots);
    pr_delete(net->alloc, net->opened, PR_READ_ROOM);
    pr_tls_free(net->tls);
    pr_delete(net->alloc, net, sizeof *net);
}

/* The loop's structures may be half changed by a thread that does not exist here: only descriptors are closed, so that
 * this process does not keep the port and the links of its parent open when that one dies. */
static void forget(pr_transport *transport) {
    pr_net *net = of(transport);
    if (net->listen_fd >= 0) close(net->listen_fd);
    for (size_t i = 0; i < PR_DESCRIPTORS_MAX; i++) {
        int fd = atomic_load(&net->descriptors[i]) - 1;
        if (fd >= 0) close(fd);
    }
    close(uv_backend_fd(&net->loop));
}

static pr_time now_of(const pr_transport *transport) {
    (void)transport;
    return pr_clock_now();
}

static uint64_t wall_ms(const pr_transport *transport) {
    (void)transport;
    return pr_clock_wall_ms();
}

static bool draw(pr_transport *transport, void *out, size_t size) {
    (void)transport;
    return pr_clock_draw(out, size);
}

static bool advance(pr_transport *transport, uint64_t until_ms) {
    (void)transport, (void)until_ms;
    return false;
}

static int reserve(pr_transport *transport) {
    pr_net *net = of(transport);
    return pr_outbox_reserve(&net->outbox, net->alloc);
}

static void post(pr_transport *transport, const pr_action *action) { pr_outbox_add(&of(transport)->outbox, action); }

static bool needs_wake(pr_transport *transport, bool anyway) {
    pr_net *net = of(transport);
    if (net->woken) return false;
    net->woken = anyway || net->outbox.size > 0 || pr_engine_deadline(net->engine) < net->armed;
    return net->woken;
}

static void stop(pr_transport *transport, uint32_t flush_ms) {
    pr_net *net = of(transport);
    net->stop_wanted = true;
    net->stop_flush_ms = flush_ms < PR_LINGER_MS ? flush_ms : PR_LINGER_MS;
}

static void wake(pr_transport *transport) { uv_async_send(&of(transport)->async); }

static void count(const pr_transport *transport, pr_transport_counts *out) {
    const pr_net *net = seen(transport);
    out->links = atomic_load_explicit(&net->links, memory_order_relaxed);
    out->bytes_in = atomic_load_explicit(&net->bytes_in, memory_order_relaxed);
    out->bytes_out = atomic_load_explicit(&net->bytes_out, memory_order_relaxed);
    out->dials = atomic_load_explicit(&net->dials, memory_order_relaxed);
    out->dial_failures = atomic_load_explicit(&net->dial_failures, memory_order_relaxed);
}

static const pr_transport_calls calls = {address, start,   is_thread, join, free_net,   forget, now_of, wall_ms,
                                         draw,    advance, reserve,   post, needs_wake, stop,   wake,   count};

int pr_net_new(const pr_alloc *alloc, const pr_transport_hooks *hooks, const char *listen, pr_transport **out,
               const char **why) {
    pr_net *net = pr_new(alloc, sizeof *net);
    *out = NULL;
    *why = NULL;
    if (!net) return PRESENCE_ENOMEM;
    net->base.calls = &calls;
    net->alloc = alloc;
    net->hooks = *hooks;
    net->listen_fd = -1;
    net->armed = net->deadline = UINT64_MAX;
    int failed = loop_init(net);
    if (failed) *why = "the event loop could not be made (descriptors?)";
    if (!failed && *listen) failed = pr_net_listen_bind(net, listen, why);
    if (failed) {
        free_net(&net->base);
        return failed;
    }
    *out = &net->base;
    return 0;
}

void pr_net_secure(pr_transport *transport, pr_tls *tls, bool beyond) {
    of(transport)->tls = tls;
    of(transport)->beyond = beyond;
}

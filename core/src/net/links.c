/* One connection: made by a dial or an accept, read, written, closed.
 *
 * Happy path: open (the engine is told link_up) -> reads feed whole frames, the rest waits in `rest` -> sends are
 * written in order, one request at a time -> the engine says CLOSE -> what was sent is written -> our half is shut ->
 * the peer closes -> both handles close -> freed.
 * Failure paths:
 *   end or reset by the peer, a write that fails: link_down with the reason, close at once, what was not written is
 *   released without being counted as written.
 *   no memory for the rest of a frame or for a send: as a reset; the engine's own want of memory (a whole frame that
 *   it does not take) stops reading for a second, then the same bytes are offered again.
 *   the peer does not take or close within the limit after CLOSE: closed anyway.
 * A connection is freed when its handles are closed, its bytes are released and it is on no list.
 */
#include "driver.h"
#include <netinet/tcp.h>
#include <string.h>

static void on_read(uv_stream_t *, ssize_t, const uv_buf_t *);
static void write_next(pr_conn *);

pr_conn *pr_net_conn_find(pr_net *net, pr_link id) {
    uint32_t index = (uint32_t)(id & 0xffffffffu), generation = (uint32_t)(id >> 32);
    if (index == 0 || index > net->slots_room) return NULL;
    pr_slot *slot = &net->slots[index - 1];
    return slot->generation == generation && slot->conn && slot->conn->id == id ? slot->conn : NULL;
}

static bool slot_room(pr_net *net, uint32_t *out) {
    for (size_t i = net->free_from; i < net->slots_room; i++) {
        if (!net->slots[i].conn) {
            *out = (uint32_t)i;
            net->free_from = i + 1;
            return true;
        }
    }
    size_t room = net->slots_room ? net->slots_room * 2 : 16;
    pr_slot *grown = pr_resize(net->alloc, net->slots, net->slots_room * sizeof *grown, room * sizeof *grown);
    if (!grown) return false;
    memset(grown + net->slots_room, 0, (room - net->slots_room) * sizeof *grown);
    *out = (uint32_t)net->slots_room;
    net->free_from = net->slots_room + 1;
    net->slots = grown;
    net->slots_room = room;
    return true;
}

pr_conn *pr_net_conn_new(pr_net *net) {
    uint32_t slot;
    pr_conn *conn = pr_new(net->alloc, sizeof *conn);
    if (!conn) return NULL;
    if (!slot_room(net, &slot)) {
        pr_delete(net->alloc, conn, sizeof *conn);
        return NULL;
    }
    conn->net = net;
    conn->slot = slot;
    conn->handles = 1;
    pr_buffer_init(&conn->rest, net->alloc, PR_FRAME_MAX + 2 * PR_READ_ROOM);
    pr_buffer_init(&conn->sealed, net->alloc, PR_SEALED_MAX);
    uv_timer_init(&net->loop, &conn->timer);
    conn->timer.data = conn;
    net->slots[slot].conn = conn;
    net->conns++;
    return conn;
}

int pr_net_conn_tcp(pr_conn *conn, int family) {
    if (uv_tcp_init_ex(&conn->net->loop, &conn->tcp, (unsigned)family) != 0) return -1;
    conn->tcp.data = conn;
    conn->started = true;
    conn->handles++;
    return 0;
}

void pr_net_conn_notice(pr_conn *conn) {
    if (conn->notice.listed) return;
    conn->notice.listed = true;
    conn->next_notice = conn->net->notices;
    conn->net->notices = conn;
}

/* ---- telling the engine (locked) ---- */
static void tell(pr_conn *conn, pr_time now) {
    pr_engine *engine = conn->net->engine;
    pr_notice *notice = &conn->notice;
    if (notice->resolved) pr_net_dial_tell_found(conn, engine, now);
    if (notice->dial_end) pr_engine_dial_failed(engine, conn->dial, (enum pr_dial_end)notice->dial_end, now);
    if (notice->up) pr_engine_link_up(engine, conn->id, conn->dial, now);
    if (notice->written) pr_engine_written(engine, conn->id, notice->written, now);
    if (notice->down) pr_engine_link_down(engine, conn->id, (enum pr_link_end)notice->down, now);
    memset(notice, 0, sizeof *notice);
    size_t until = conn->state == PR_CONN_CLOSED && conn->handles == 0 ? conn->out_size : conn->sent;
    while (conn->first < until) pr_bytes_release(conn->out[conn->first++]);
}

void pr_net_conn_tell(pr_net *net, pr_time now) {
    while (net->unmade_size > 0) {
        pr_engine_dial_failed(net->engine, net->unmade[--net->unmade_size], PR_DIAL_UNREACHABLE, now);
    }
    while (net->notices) {
        pr_conn *conn = net->notices;
        net->notices = conn->next_notice;
        tell(conn, now);
        pr_net_conn_free_if_done(conn);
    }
}

void pr_net_conn_free_if_done(pr_conn *conn) {
    pr_net *net = conn->net;
    if (conn->handles > 0 || conn->notice.listed) return;
    if (conn->first < conn->out_size) {
        pr_net_conn_notice(conn); /* bytes to release under the lock */
        return;
    }
    net->slots[conn->slot].conn = NULL;
    if (conn->slot < net->free_from) net->free_from = conn->slot;
    net->conns--;
    pr_buffer_free(&conn->rest);
    pr_buffer_free(&conn->sealed);
    pr_tls_link_free(conn->tls);
    pr_delete(net->alloc, conn->out, conn->out_room * sizeof *conn->out);
    pr_delete(net->alloc, conn, sizeof *conn);
}

/* ---- opening ---- */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out) {
    pr_net *net = ((pr_conn *)handle->data)->net;
    (void)suggested;
    *out = uv_buf_init(net->read_room, sizeof net->read_room);
}

/* A forked child finds it here; it is taken out before the descriptor can mean anything else. */
static void keep_descriptor(pr_conn *conn, int fd) {
    if (conn->slot < PR_DESCRIPTORS_MAX) atomic_store(&conn->net->descriptors[conn->slot], fd + 1);
}

void pr_net_conn_keep(pr_conn *conn, bool open) {
    uv_os_fd_t fd;
    if (!open)
        keep_descriptor(conn, -1);
    else if (uv_fileno((uv_handle_t *)&conn->tcp, &fd) == 0)
        keep_descriptor(conn, fd);
}

static void tune(pr_conn *conn) {
    uv_os_fd_t fd;
    uv_tcp_nodelay(&conn->tcp, 1);
    if (uv_fileno((uv_handle_t *)&conn->tcp, &fd) != 0) return;
    keep_descriptor(conn, fd);
#ifdef TCP_NOTSENT_LOWAT
    int low = 131072; /* heartbeats wait behind at most so much (protocol.md 5.4) */
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low, sizeof low);
#endif
}

bool pr_net_conn_listen(pr_conn *conn) {
    int failed = uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read);
    return failed == 0 || failed == UV_EALREADY;
}

void pr_net_conn_open(pr_conn *conn) {
    tune(conn);
    if (conn->net->tls)
        pr_net_prove(conn);
    else
        pr_net_conn_up(conn);
}

void pr_net_conn_up(pr_conn *conn) {
    pr_net *net = conn->net;
    uv_timer_stop(&conn->timer);
    conn->state = PR_CONN_OPEN;
    conn->id = ((uint64_t)++net->slots[conn->slot].generation << 32) | (conn->slot + 1u);
    conn->notice.up = true;
    pr_net_conn_notice(conn);
    atomic_fetch_add_explicit(&net->links, 1, memory_order_relaxed);
    if (!pr_net_conn_listen(conn)) pr_net_conn_end(conn, PR_END_RESET);
}

/* ---- closing ---- */
static void on_closed(uv_handle_t *handle) {
    pr_conn *conn = handle->data;
    conn->handles--;
    pr_net *net = conn->net;
    pr_net_conn_free_if_done(conn);
    pr_net_finish_if_idle(net);
}

void pr_net_conn_end(pr_conn *conn, int down) {
    if (conn->state == PR_CONN_CLOSED) return;
    if (conn->id) atomic_fetch_sub_explicit(&conn->net->links, 1, memory_order_relaxed);
    if (down && conn->state == PR_CONN_OPEN) {
        conn->notice.down = down;
        pr_net_conn_notice(conn);
    }
    if (conn->state == PR_CONN_RESOLVING) pr_net_resolve_forget(conn);
    pr_net_prove_forget(conn);
    conn->state = PR_CONN_CLOSED;
    keep_descriptor(conn, -1);
    uv_close((uv_handle_t *)&conn->timer, on_closed);
    if (conn->started && !uv_is_closing((uv_handle_t *)&conn->tcp)) uv_close((uv_handle_t *)&conn->tcp, on_closed);
}

static void lost(pr_conn *conn, int down) {
    if (conn->state == PR_CONN_PROVING)
        pr_net_prove_lost(conn);
    else
        pr_net_conn_end(conn, down);
}

static void on_linger_over(uv_timer_t *timer) { pr_net_conn_end(timer->data, 0); }

static void on_shut(uv_shutdown_t *shutdown, int status) {
    pr_conn *conn = shutdown->data;
    if (status != 0 && conn->state == PR_CONN_CLOSING) pr_net_conn_end(conn, 0);
}

/* Our half is shut and the peer's end awaited: closing with its bytes unread would reset the connection and could
 * destroy what it has not read yet. */
static void shut_when_written(pr_conn *conn) {
    if (conn->state != PR_CONN_CLOSING || conn->writing || conn->sent < conn->out_size || conn->shut) return;
    if (conn->peer_ended) {
        pr_net_conn_end(conn, 0);
        return;
    }
    conn->shut = true;
    conn->shutdown.data = conn;
    if (uv_shutdown(&conn->shutdown, (uv_stream_t *)&conn->tcp, on_shut) != 0) pr_net_conn_end(conn, 0);
}

void pr_net_conn_linger(pr_conn *conn, uint32_t limit_ms) {
    if (conn->state != PR_CONN_OPEN && conn->state != PR_CONN_CLOSING && conn->state != PR_CONN_PROVING) return;
    conn->state = PR_CONN_CLOSING;
    uv_timer_start(&conn->timer, on_linger_over, limit_ms, 0);
    uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read); /* if it was paused; else it reads already */
    shut_when_written(conn);
}

/* ---- reading ---- */
static void on_pause_over(uv_timer_t *timer);
static void take_opened(pr_conn *);

static bool paused(const pr_conn *conn) { return uv_is_active((const uv_handle_t *)&conn->timer) != 0; }

static bool turn_is_long(const pr_net *net) {
    return net->read_since && uv_hrtime() - net->read_since >= PR_READ_TURN_NS;
}

static void pause_reading(pr_conn *conn, uint64_t ms) {
    uv_read_stop((uv_stream_t *)&conn->tcp);
    uv_timer_start(&conn->timer, on_pause_over, ms, 0);
}

/* A whole frame that was not taken: the engine has no memory for it (protocol.md 5.4). */
static bool whole_frame(const uint8_t *data, size_t size) {
    if (size < 8) return false;
    uint32_t header = data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
    size_t trailer = header >> 30 & 1 ? PR_CRC_SIZE : 0;
    return size >= 4 + (header & 0xffffffu) + trailer;
}

/* Offers frame after frame, each in a hold of its own; returns how many bytes were taken. */
static size_t feed(pr_conn *conn, const uint8_t *data, size_t size) {
    pr_net *net = conn->net;
    size_t taken = 0;
    int more = 1;
    while (more == 1 && taken < size && conn->state == PR_CONN_OPEN) {
        size_t consumed = 0;
        pr_time now = pr_clock_now();
        pr_net_begin(net);
        pr_net_conn_tell(net, now);
        more = pr_engine_bytes(net->engine, conn->id, data + taken, size - taken, &consumed, now);
        pr_net_end(net);
        taken += consumed;
        conn->taken += consumed;
    }
    if (more == 0 && conn->state == PR_CONN_OPEN && whole_frame(data + taken, size - taken))
        pause_reading(conn, PR_READ_PAUSE);
    return taken;
}

static void feed_rest(pr_conn *conn) {
    size_t taken = feed(conn, conn->rest.data, conn->rest.size);
    if (taken == 0) return; /* there may be no buffer at all */
    memmove(conn->rest.data, conn->rest.data + taken, conn->rest.size - taken);
    conn->rest.size -= taken;
}

static void on_pause_over(uv_timer_t *timer) {
    pr_conn *conn = timer->data;
    if (conn->state != PR_CONN_OPEN) return;
    feed_rest(conn);
    if (conn->state == PR_CONN_OPEN && conn->tls && !paused(conn)) take_opened(conn);
    if (conn->state != PR_CONN_OPEN || paused(conn)) return;
    uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read);
}

static void take(pr_conn *conn, const uint8_t *data, size_t size) {
    if (conn->rest.size == 0) {
        size_t taken = feed(conn, data, size);
        data += taken, size -= taken;
        if (size == 0 || conn->state != PR_CONN_OPEN) return;
        pr_buffer_append(&conn->rest, data, size);
    } else {
        pr_buffer_append(&conn->rest, data, size);
        if (!conn->rest.failed) feed_rest(conn);
    }
    if (conn->rest.failed && conn->state == PR_CONN_OPEN) pr_net_conn_end(conn, PR_END_RESET);
}

/* What TLS has opened of the bytes it was given; they stay there while reading pauses. */
static void take_opened(pr_conn *conn) {
    char *to = conn->net->opened;
    ssize_t size = 1;
    while (size > 0 && conn->state == PR_CONN_OPEN && !paused(conn)) {
        size = pr_tls_link_read(conn->tls, to, PR_READ_ROOM);
        if (size > 0) take(conn, (const uint8_t *)to, (size_t)size);
        if (conn->state == PR_CONN_OPEN && turn_is_long(conn->net) && !paused(conn)) pause_reading(conn, 0);
    }
    if (conn->state != PR_CONN_OPEN) return;
    if (size < 0) {
        pr_net_prove_doubt(conn);
        pr_net_conn_end(conn, PR_END_CLOSED);
        return;
    }
    pr_net_conn_flush(conn);
}

static void take_sealed(pr_conn *conn, const uint8_t *data, size_t size) {
    if (conn->state == PR_CONN_PROVING) {
        pr_net_prove_read(conn, data, size);
    } else if (!pr_tls_link_take(conn->tls, data, size)) {
        pr_net_conn_end(conn, PR_END_RESET);
    }
    if (conn->state == PR_CONN_OPEN) take_opened(conn);
}

static int end_of(ssize_t error) {
    if (error == UV_EOF) return PR_END_CLOSED;
    return error == UV_ETIMEDOUT ? PR_END_TIMEOUT : PR_END_RESET;
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *from) {
    pr_conn *conn = stream->data;
    if (size == 0) return;
    if (size == UV_EOF && conn->state == PR_CONN_CLOSING && conn->sent < conn->out_size) {
        conn->peer_ended = true; /* both say good-bye at once: ours is still written */
        uv_read_stop(stream);
        return;
    }
    if (size < 0) {
        lost(conn, end_of(size));
        return;
    }
    atomic_fetch_add_explicit(&conn->net->bytes_in, (uint64_t)size, memory_order_relaxed);
    uint64_t *since = &conn->net->read_since;
    if (*since == 0) *since = uv_hrtime();
    if (conn->state == PR_CONN_PROVING || (conn->state == PR_CONN_OPEN && conn->tls))
        take_sealed(conn, (const uint8_t *)from->base, (size_t)size);
    else if (conn->state == PR_CONN_OPEN)
        take(conn, (const uint8_t *)from->base, (size_t)size);
    if (conn->state == PR_CONN_OPEN && turn_is_long(conn->net) && !paused(conn)) pause_reading(conn, 0);
}

/* ---- writing ---- */
static bool out_reserve(pr_conn *conn) {
    if (conn->out_size < conn->out_room) return true;
    if (conn->first > 0) {
        memmove(conn->out, conn->out + conn->first, (conn->out_size - conn->first) * sizeof *conn->out);
        conn->sent -= conn->first, conn->out_size -= conn->first, conn->first = 0;
        return true;
    }
    size_t room = conn->out_room ? conn->out_room * 2 : 8;
    pr_bytes **grown = pr_resize(conn->net->alloc, conn->out, conn->out_room * sizeof *grown, room * sizeof *grown);
    if (!grown) return false;
    conn->out = grown;
    conn->out_room = room;
    return true;
}

bool pr_net_conn_send(pr_conn *conn, pr_bytes *bytes) {
    if (!out_reserve(conn)) {
        pr_net_conn_end(conn, PR_END_RESET); /* nothing may be left out of a stream */
        return false;
    }
    conn->out[conn->out_size++] = bytes;
    write_next(conn);
    return true;
}

static void on_written(uv_write_t *write, int status) {
    pr_conn *conn = write->data;
    size_t size = 0;
    conn->writing = false;
    if (status != 0) {
        lost(conn, status == UV_ETIMEDOUT ? PR_END_TIMEOUT : PR_END_RESET);
        return;
    }
    for (size_t i = 0; i < conn->flying; i++) size += conn->out[conn->sent + i]->size;
    conn->sent += conn->flying;
    if (conn->flying > 0) pr_net_conn_notice(conn);
    conn->flying = 0;
    conn->notice.written += size;
    atomic_fetch_add_explicit(&conn->net->bytes_out, conn->tls ? conn->sealed.size : size, memory_order_relaxed);
    if (conn->state == PR_CONN_CLOSED) return;
    write_next(conn);
    if (!conn->writing && conn->sealed.room > PR_SEALED_KEPT) pr_buffer_free(&conn->sealed);
    shut_when_written(conn);
}

/* The next frames as one buffer of ciphertext, after what TLS itself has to say. Returns how many buffers: 0 or 1. */
static size_t seal(pr_conn *conn, uv_buf_t *out) {
    size_t count = 0, size = 0;
    pr_buffer_clear(&conn->sealed);
    while (conn->sent + count < conn->out_size && size < PR_WRITE_TARGET) {
        pr_bytes *bytes = conn->out[conn->sent + count++];
        if (!pr_tls_link_write(conn->tls, bytes->data, bytes->size)) break;
        if (!pr_tls_link_output(conn->tls, &conn->sealed)) break;
        size += bytes->size;
    }
    if (!pr_tls_link_output(conn->tls, &conn->sealed) || (count > 0 && pr_tls_link_doubt(conn->tls))) {
        lost(conn, PR_END_RESET);
        return 0;
    }
    conn->flying = count;
    *out = uv_buf_init((char *)conn->sealed.data, (unsigned)conn->sealed.size);
    return conn->sealed.size > 0;
}

static size_t gather(pr_conn *conn, uv_buf_t *out) {
    size_t count = 0, size = 0;
    while (count < PR_WRITE_BUFFERS && conn->sent + count < conn->out_size && size < PR_WRITE_TARGET) {
        pr_bytes *bytes = conn->out[conn->sent + count];
        out[count++] = uv_buf_init((char *)bytes->data, (unsigned)bytes->size);
        size += bytes->size;
    }
    conn->flying = count;
    return count;
}

static void write_next(pr_conn *conn) {
    uv_buf_t buffers[PR_WRITE_BUFFERS];
    if (conn->writing) return;
    size_t count = conn->tls ? seal(conn, buffers) : gather(conn, buffers);
    if (count == 0) return;
    conn->writing = true;
    conn->write.data = conn;
    if (uv_write(&conn->write, (uv_stream_t *)&conn->tcp, buffers, (unsigned)count, on_written) == 0) return;
    conn->writing = false;
    lost(conn, PR_END_RESET);
}

void pr_net_conn_flush(pr_conn *conn) {
    if (conn->state != PR_CONN_CLOSED) write_next(conn);
}

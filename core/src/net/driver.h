/* Inside net: the driver and its connections. Only the loop thread touches them, but for what is marked. */
#ifndef PR_DRIVER_H
#define PR_DRIVER_H

#include "address.h"
#include "net.h"
#include "outbox.h"
#include "tls.h"
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#define PR_READ_ROOM       65536   /* the one read buffer of a loop */
#define PR_READ_TURN_NS    3000000 /* after so long a turn, links read on in the next one: timers come in between */
#define PR_WRITE_BUFFERS   16
#define PR_WRITE_TARGET    131072 /* bytes of one write: small, so that progress is seen (protocol.md 3.7.5) */
#define PR_LINGER_MS       1000
#define PR_ACCEPT_PAUSE    200 /* ms without accepting after EMFILE and its like */
#define PR_READ_PAUSE      1000
#define PR_STRANGER_MS     100 /* as PR_LINGER_MS, at the end of everything, for links that are no members' */
#define PR_CONGESTED_STEP  2   /* ms between two looks at a consumer that sweeps wait for */
#define PR_RESOLVED_MAX    4
#define PR_FOUND_MAX       256 /* addresses of a seed that is a name */
#define PR_UNMADE_MAX      32
#define PR_DESCRIPTORS_MAX 1024
#define PR_PROVING_MAX     256   /* connections that were accepted and have proven nothing yet */
#define PR_PROVING_ADDRESS 64    /* of these from one address */
#define PR_TOLD_MAX        64    /* kinds of doubt and addresses with a line of their own */
#define PR_SEALED_KEPT     65536 /* of its room by a link that has nothing to write */
#define PR_SEALED_MAX      (2 * PR_WRITE_TARGET + 2 * PR_FRAME_MAX)

enum pr_net_conn_state {
    PR_CONN_RESOLVING = 1, /* waits for the resolver */
    PR_CONN_CONNECTING,
    PR_CONN_PROVING, /* TLS; the engine knows nothing of it */
    PR_CONN_OPEN,
    PR_CONN_CLOSING, /* the engine is done with it: writes what was sent, waits for the end of the peer */
    PR_CONN_CLOSED   /* handles are being closed */
};

/* What the engine must still be told; told in the next hold, in this order. */
typedef struct pr_notice {
    bool listed, up, resolved; /* resolved: the rest of the connection is a list of addresses */
    int dial_end, down;        /* enum pr_dial_end, enum pr_link_end; 0 = none */
    size_t written;
} pr_notice;

typedef struct pr_conn {
    struct pr_net *net;
    struct pr_conn *next_notice, *next_resolve;
    uint64_t id;   /* of the link, 0 before it is open */
    uint64_t dial; /* of the DIAL action, 0 = accepted */
    uint32_t slot;
    int state, handles; /* handles not closed yet */
    bool started;       /* tcp was made, so it must be closed */
    bool resolve_only;  /* a name to look up, nothing to connect */
    uv_tcp_t tcp;
    uv_timer_t timer; /* connect time-out, linger, pause */
    uv_connect_t connect;
    uv_write_t write;
    uv_shutdown_t shutdown;
    bool writing, shut, peer_ended;
    pr_notice notice;
    pr_buffer rest;                /* the beginning of a frame */
    pr_tls_link *tls;              /* NULL: plain, or nothing was said yet */
    pr_buffer sealed;              /* what is being written, with TLS */
    bool proving, near;            /* is on the list of those who have proven nothing; the other end is loopback */
    struct pr_conn *older, *newer; /* of that list */
    uint64_t taken;                /* bytes the engine took */
    /* out[first, sent) is written and to be released under the lock, [sent, sent + flying) is being written */
    pr_bytes **out;
    size_t out_room, first, sent, flying, out_size;
    uint16_t port;
    char host[256];
    struct sockaddr_storage addresses[PR_RESOLVED_MAX]; /* still to try */
    size_t addresses_size, addresses_at;
    int last_end; /* of the last address tried: enum pr_dial_end */
    uint32_t timeout_ms;
} pr_conn;

typedef struct pr_slot {
    pr_conn *conn;
    uint32_t generation;
} pr_slot;

/* Why a connection is refused: those of TLS, and a few more. */
enum pr_doubt { PR_DOUBT_LATE = PR_TLS_DOUBTS, PR_DOUBT_GONE, PR_DOUBT_CROWD, PR_DOUBTS };

typedef struct pr_told {
    uint64_t at, untold; /* mono ms of the last line, 0 = never; how many went without one since */
    int kind;            /* enum pr_doubt */
    char host[64];       /* as much of it as fits */
} pr_told;

typedef struct pr_proving {
    pr_conn *oldest, *newest;
    size_t size;
    pr_told told[PR_TOLD_MAX], others[PR_DOUBTS]; /* of whom lines were written; of those who find no room there */
} pr_proving;

/* The name that is looked up, one at a time. */
typedef struct pr_lookup pr_lookup;
typedef struct pr_resolver {
    pr_conn *first;    /* those who wait */
    pr_conn *current;  /* whose name it is, if it still cares */
    pr_lookup *lookup; /* under way */
    uv_async_t done;
} pr_resolver;

typedef struct pr_net {
    pr_transport base;
    const pr_alloc *alloc;
    pr_transport_hooks hooks;
    pr_engine *engine;
    pthread_t thread;
    bool started, joined, loop_ready;
    uv_loop_t loop;
    uv_async_t async;
    uv_timer_t timer;
    uv_idle_t idle;
    uv_prepare_t prepare;
    uv_check_t check;
    /* the listener */
    int listen_fd;  /* -1: none */
    bool accepting; /* its handles are made */
    uv_poll_t accept_poll;
    uv_timer_t accept_timer;
    char address[PR_ADDRESS_MAX + 1];
    /* under the tracker's lock */
    pr_outbox outbox;
    uint64_t armed; /* deadline the loop knows of */
    bool woken, stop_wanted;
    uint32_t stop_flush_ms;
    /* loop thread alone */
    pr_outbox batch;
    size_t batch_at, orphans;
    uint64_t unmade[PR_UNMADE_MAX]; /* dials that failed for want of memory */
    size_t unmade_size;
    uint64_t deadline, look_at;
    uint64_t read_since; /* hrtime of the first read of this turn; 0: none yet */
    bool held;           /* sweeps wait for a consumer; it is looked at again at look_at */
    bool pull, stopping, closing;
    uint32_t linger_ms;
    pr_conn *notices;
    pr_slot *slots;
    size_t slots_room, conns, free_from;
    pr_resolver resolver;
    pr_tls *tls; /* NULL: links are plain */
    bool beyond; /* addresses beyond loopback may be dialled */
    pr_proving proving;
    uv_timer_t files;                            /* of tls: looked at now and then */
    char *opened;                                /* PR_READ_ROOM plain bytes, with tls */
    _Atomic int descriptors[PR_DESCRIPTORS_MAX]; /* of open links by slot, + 1; for a forked child */
    char read_room[PR_READ_ROOM];
    _Atomic uint64_t links, bytes_in, bytes_out, dials, dial_failures;
} pr_net;

/* loop.c */
void pr_net_begin(pr_net *);          /* locks */
void pr_net_end(pr_net *);            /* takes the actions, unlocks, acts */
void pr_net_finish_if_idle(pr_net *); /* stopping and nothing left: ends the turns */

/* actions.c */
void pr_net_run_batch(pr_net *);
void pr_net_release_orphans(pr_net *); /* locked */

/* links.c */
pr_conn *pr_net_conn_new(pr_net *); /* NULL: no memory */
pr_conn *pr_net_conn_find(pr_net *, pr_link);
int pr_net_conn_tcp(pr_conn *, int family);            /* its handle; with a family, its socket too */
void pr_net_conn_keep(pr_conn *, bool open);           /* a child forked meanwhile finds its descriptor, or no more */
void pr_net_conn_open(pr_conn *);                      /* connected: proves itself, or is up */
void pr_net_conn_up(pr_conn *);                        /* tells the engine, reads */
bool pr_net_conn_listen(pr_conn *);                    /* bytes are read from now on; false: they cannot */
void pr_net_conn_flush(pr_conn *);                     /* writes what TLS has to say */
void pr_net_conn_end(pr_conn *, int down);             /* lost: down = enum pr_link_end, 0 = the engine knows */
void pr_net_conn_linger(pr_conn *, uint32_t limit_ms); /* closes after what was sent is written */
void pr_net_conn_notice(pr_conn *);                    /* puts it on the list */
void pr_net_conn_tell(pr_net *, pr_time);              /* locked: tells all notices to the engine */
bool pr_net_conn_send(pr_conn *, pr_bytes *); /* takes the reference; false: no memory, it does not, the link ended */
void pr_net_conn_free_if_done(pr_conn *);

/* prove.c */
void pr_net_prove(pr_conn *); /* its socket is connected; host and port say whose it is */
void pr_net_prove_read(pr_conn *, const uint8_t *data, size_t size);
void pr_net_prove_lost(pr_conn *);
void pr_net_prove_doubt(pr_conn *); /* an open link broke: tells why, if TLS knows */
void pr_net_prove_forget(pr_conn *);
void pr_net_prove_watch(pr_net *);

/* refusals.c */
void pr_net_refusal_tell(pr_conn *, enum pr_doubt, const char *why);

/* dial.c */
void pr_net_dial_start(pr_net *, const pr_action *);
void pr_net_dial_fail(pr_conn *, int end);                     /* enum pr_dial_end */
void pr_net_dial_resolved(pr_conn *, const struct addrinfo *); /* NULL: nothing was found */
void pr_net_dial_tell_found(pr_conn *, pr_engine *, pr_time);  /* locked */

/* resolve.c */
int pr_net_resolve_init(pr_net *);
void pr_net_resolve(pr_conn *);        /* queued; ends in pr_net_dial_resolved */
void pr_net_resolve_forget(pr_conn *); /* it waits no longer */
void pr_net_resolve_abandon(pr_net *); /* the end of the loop: a look-up under way goes on without it */

/* listen.c */
int pr_net_listen_bind(pr_net *, const char *text, const char **why);
int pr_net_listen_start(pr_net *);
void pr_net_listen_close(pr_net *);

#endif

/* What the files of the virtual network share: hosts, members, connections, dials. */
#ifndef PR_VIRTUAL_STATE_H
#define PR_VIRTUAL_STATE_H

#include "address.h"
#include "outbox.h"
#include "virtual.h"
#include <pthread.h>
#include <stdatomic.h>

#define PR_VIRTUAL_NEVER UINT64_MAX

/* A host stays for the life of the network: what was sent from it may still be under way when its member is gone. */
typedef struct pr_virtual_host {
    struct pr_virtual_host *next;
    pr_virtual_member *member; /* NULL: none runs */
    char name[PR_MEMBER_NAME_MAX + 1];
    char address[PR_ADDRESS_MAX + 1]; /* "": dial-only */
    int side;
    bool vanished;
} pr_virtual_host;

enum pr_virtual_state { PR_VIRTUAL_NEW = 1, PR_VIRTUAL_RUNNING, PR_VIRTUAL_ENDED };

struct pr_virtual_member {
    pr_transport base;
    const pr_alloc *alloc;
    pr_virtual *network;
    pr_virtual_host *host;
    pr_virtual_member *next;
    pr_transport_hooks hooks;
    pr_engine *engine;
    int state;
    bool paused;
    char address[PR_ADDRESS_MAX + 1];
    uint64_t ticked_at; /* no second tick in the same moment */
    /* under both locks when written, under either when read */
    uint64_t deadline; /* of its engine, as of the last hold */
    /* under the tracker's lock */
    pr_outbox outbox;
    /* any thread */
    atomic_bool dirty; /* there may be something in the outbox */
    atomic_bool stop_wanted;
    _Atomic uint64_t links, bytes_in, bytes_out, dials, dial_failures;
};

typedef struct pr_virtual_piece {
    struct pr_virtual_piece *next;
    uint64_t at; /* when it is there */
    size_t size;
    uint8_t data[];
} pr_virtual_piece;

enum pr_virtual_end_state { PR_VIRTUAL_WAITING = 1, PR_VIRTUAL_OPEN, PR_VIRTUAL_DONE };

/* One end of a connection, and what is on its way to it. */
typedef struct pr_virtual_end {
    pr_virtual_host *host;
    pr_virtual_member *member; /* NULL once it is DONE */
    int state;
    pr_link link;
    uint64_t dial, up_at;
    pr_virtual_piece *first, **last;
    uint64_t last_at;
    int fin; /* enum pr_link_end: what it is told after the pieces; 0: nothing */
    uint64_t fin_at;
    pr_buffer rest;    /* read, and not taken yet */
    uint64_t retry_at; /* what was not taken for want of memory is offered again; 0: nothing is */
} pr_virtual_end;

typedef struct pr_virtual_conn {
    struct pr_virtual_conn *next;
    pr_virtual_end end[2]; /* 0: who dialled */
} pr_virtual_conn;

typedef struct pr_virtual_dial {
    struct pr_virtual_dial *next;
    pr_virtual_member *member;
    pr_virtual_host *to; /* NULL: nobody has such an address */
    uint64_t id, at, give_up_at;
    int end; /* enum pr_dial_end; 0: on its way */
} pr_virtual_dial;

typedef struct pr_virtual_pair {
    const pr_virtual_host *from, *to;
} pr_virtual_pair;

struct pr_virtual {
    pr_alloc alloc;
    pthread_mutex_t mutex;
    atomic_uint references;
    _Atomic uint64_t now;
    uint64_t random, next_link;
    uint32_t latency_min_ms, latency_max_ms;
    uint16_t next_port;
    pr_virtual_host *hosts;
    pr_virtual_member *members;
    pr_virtual_conn *conns;
    pr_virtual_dial *dials;
    pr_virtual_pair *blocks;
    size_t blocks_size, blocks_room;
};

/* ---- virtual_network.c ---- */
uint64_t pr_virtual_draw(pr_virtual *);
uint64_t pr_virtual_arrival(pr_virtual *); /* now and one latency */
bool pr_virtual_blocked(const pr_virtual *, const pr_virtual_host *from, const pr_virtual_host *to);
pr_virtual_host *pr_virtual_host_at(const pr_virtual *, const char *address); /* NULL: none ever was */

/* ---- virtual_member.c ---- */
pr_virtual_member *pr_virtual_member_new(pr_virtual *, pr_virtual_host *, const pr_alloc *, const pr_transport_hooks *);
/* One hold of a member's lock: begin, touch its engine, end (what it then wants goes to the network). */
void pr_virtual_begin(pr_virtual_member *);
void pr_virtual_end_hold(pr_virtual_member *);
pr_time pr_virtual_time(const pr_virtual *);

/* ---- virtual_links.c ---- */
void pr_virtual_take_outbox(pr_virtual_member *);            /* the tracker's lock is held too */
void pr_virtual_links_end(pr_virtual_member *, bool vanish); /* the member is over */
/* Its new kernel knows nothing of the connections of a member that vanished: RST. */
void pr_virtual_host_back(pr_virtual *, const pr_virtual_host *);
void pr_virtual_dial_arrives(pr_virtual *, pr_virtual_dial *);     /* becomes a connection, or is refused */
void pr_virtual_dial_drop(pr_virtual *, pr_virtual_dial *);        /* forgets it */
void pr_virtual_finish(pr_virtual *, pr_virtual_end *, bool told); /* this end is DONE; told: the other hears of it */
void pr_virtual_sweep(pr_virtual *);                               /* frees connections that are over */
pr_virtual_end *pr_virtual_other(pr_virtual_conn *, const pr_virtual_end *);
void pr_virtual_piece_drop(pr_virtual *, pr_virtual_end *); /* the first */
void pr_virtual_links_free(pr_virtual *);

#endif

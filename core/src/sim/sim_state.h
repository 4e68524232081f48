/* What the simulator's files share: processes, pipes, connections, dials, and the oracle's memory. */
#ifndef PR_SIM_STATE_H
#define PR_SIM_STATE_H

#include "sim.h"
#include "sim_broker.h"
#include "sim_oracle.h"

#define SIM_NEVER UINT64_MAX

typedef struct sim_process sim_process;

typedef struct sim_bytes {
    uint8_t *data;
    size_t head, size, room; /* size: unread bytes from head on */
} sim_bytes;

typedef struct sim_piece {
    uint64_t at;
    size_t size;
} sim_piece;

/* What one SEND was, for the checks of frames. */
typedef struct sim_fact {
    size_t size; /* bytes not read yet */
    uint64_t inst, reader;
    const char *to;        /* name of the reader */
    uint64_t x, T, x2, T2; /* of a segment; of LIVE its w as T2 */
    bool segment, relayed; /* relayed: not of the sender's own log */
} sim_fact;

/* A segment about to be read whole, and the state it meets. */
typedef struct sim_expected {
    const sim_fact *fact;
    pr_state before;
} sim_expected;

/* One direction of a connection. queue: SENDs not yet taken by the kernel; flight: on the way; inbox: in the kernel of
 * the reader; user: read, an incomplete frame. */
typedef struct sim_pipe {
    sim_bytes queue, flight, inbox, user;
    sim_piece *pieces;
    size_t pieces_head, pieces_size, pieces_room;
    uint64_t last_at, read_at, retry_at;
    int end; /* enum pr_link_end, as the reader will be told; 0: open */
    uint64_t end_at;
    bool end_local;  /* the reader's own kernel says so: no block holds it up */
    bool lost;       /* nothing arrives any more */
    size_t forged;   /* bytes of the queue that its engine did not send */
    bool unfollowed; /* bytes were forged: frames are not checked */
    sim_fact *facts;
    size_t facts_head, facts_size, facts_room;
    uint64_t *logs; /* by index on the wire: whose log */
    size_t logs_room;
} sim_pipe;

enum sim_end_state { SIM_END_WAITING = 1, SIM_END_OPEN, SIM_END_CLOSING, SIM_END_DONE };

typedef struct sim_end {
    int host;
    int process; /* index; -1: a raw peer */
    pr_link link;
    uint64_t dial, up_at, close_by;
    int state;
} sim_end;

typedef struct sim_conn {
    sim_end end[2];
    sim_pipe pipe[2]; /* pipe[i] leads to end[i] */
    bool used;
} sim_conn;

typedef struct sim_dial {
    int process, to;
    uint64_t id, at, give_up_at;
    int end; /* 0: the SYN is on its way */
    bool used;
} sim_dial;

struct sim_process {
    int host;
    char name[PR_MEMBER_NAME_MAX + 1];
    uint64_t inst;
    pr_engine *engine;
    pr_alloc alloc;
    size_t memory, peak;
    uint64_t starve_random;
    uint32_t starve; /* one of so many allocations fails */
    int64_t mono_offset, boot_offset;
    bool alive, paused, leaving, yielded, dial_only, observer, waited, starved; /* the last two: at any time */
    uint64_t paused_at, leave_by, turns, turn_at;
    size_t chunk_target[2]; /* own log, replicas */
    uint32_t permdown_ms;
    pr_sim_counts counts;
    sim_client client;
    sim_view view;
    presence_owner *owners;
    size_t owners_size;
};

typedef struct sim_host {
    int process; /* index of the last one, -1: none yet */
    bool vanished, deaf;
    int64_t clock_shift;
    uint32_t read_rate;
} sim_host;

struct pr_sim {
    pr_alloc alloc;
    uint64_t random, now, next_link, steps_now, steps;
    pr_sim_network network;
    pr_engine_options options;
    bool hostile;
    bool calm; /* links and processes are prompt: nobody may accuse who lives, or yield */
    FILE *trace;
    pr_sim_listener listener;
    void *listener_user;
    pr_decoder *decoder;
    char failure[1024];
    sim_host hosts[PR_SIM_HOSTS];
    bool blocked[PR_SIM_HOSTS][PR_SIM_HOSTS];
    int forbidden[PR_SIM_HOSTS][PR_SIM_HOSTS];
    sim_process **processes;
    size_t processes_size;
    sim_conn **conns;
    size_t conns_size, conns_end; /* those from the end on are done */
    sim_dial *dials;
    size_t dials_size, dials_end; /* those from the end on are not used */
    uint64_t frames, frame_bytes, dial_count;
    sim_broker broker;
    sim_oracle oracle;
    pr_sim_totals totals;
};

/* ---- sim_world.c ---- */
void *sim_resize(pr_sim *, void *block, size_t old_size, size_t size); /* never NULL: the simulator gives up */
sim_process *sim_running(const pr_sim *, int host);                    /* NULL: none */
pr_time sim_time(const pr_sim *, const sim_process *);
void sim_after(pr_sim *, sim_process *); /* takes the actions of the last call and checks */
void sim_end_process(pr_sim *, sim_process *, bool vanish);
void sim_add_totals(pr_sim *, const sim_process *);
void sim_say(pr_sim *, const sim_process *, const char *format, ...) __attribute__((format(printf, 3, 4)));
uint64_t sim_latency(pr_sim *);
static inline bool sim_conn_done(const sim_conn *conn) {
    return !conn->used || (conn->end[0].state == SIM_END_DONE && conn->end[1].state == SIM_END_DONE);
}
static inline void sim_count_fault(pr_sim *sim, enum pr_sim_fault fault) { sim->totals.faults[fault]++; }

/* ---- sim_network.c ---- */
void sim_bytes_append(pr_sim *, sim_bytes *, const void *data, size_t size);
void sim_bytes_drop(sim_bytes *, size_t size);
sim_end *sim_find_link(pr_sim *, const sim_process *, pr_link, sim_conn **conn, int *side);
void sim_send(pr_sim *, sim_process *, pr_link, const uint8_t *data, size_t size);
void sim_close(pr_sim *, sim_process *, pr_link);
void sim_dial_start(pr_sim *, sim_process *, const pr_action *);
void sim_network_free(pr_sim *);
void sim_network_process_ended(pr_sim *, int process, bool vanish);
void sim_network_host_back(pr_sim *, int host);
void sim_dial_arrives(pr_sim *, sim_dial *);
bool sim_network_flushed(const pr_sim *, int process);

/* ---- sim_broker.c ---- */
uint64_t sim_broker_random(pr_sim *, uint64_t below);
void sim_publish(pr_sim *, sim_process *, pr_subject, const pr_bytes *);
void sim_client_start(pr_sim *, sim_process *);
void sim_client_free(pr_sim *, sim_client *);
uint64_t sim_client_next(const pr_sim *, const sim_process *); /* when something reaches it; SIM_NEVER */
void sim_client_step(pr_sim *, sim_process *);

/* ---- sim_broker_history.c ---- */
void sim_broker_draw(pr_sim *, bool damaged);
void sim_broker_calm(pr_sim *);
void sim_broker_fault(pr_sim *, int hosts);
void sim_broker_heal(pr_sim *);

/* ---- sim_frames.c: what each frame of data must be ---- */
void sim_frame_sent(pr_sim *, const sim_process *, sim_conn *, int side, const uint8_t *data, size_t size);
/* Before bytes are given to an engine; true: they begin with a whole segment, sim_frame_taken is called after it was
 * taken. */
bool sim_frame_expect(const pr_sim *, const sim_process *, const sim_pipe *, sim_expected *out);
void sim_frame_taken(pr_sim *, const sim_process *, const sim_expected *);
void sim_frame_consumed(sim_pipe *, size_t size);

/* ---- sim_events.c: what can happen next ---- */
bool sim_step(pr_sim *, uint64_t until); /* false: nothing happens up to `until` */

/* ---- sim_trace.c ---- */
void sim_trace_bytes(pr_sim *, const sim_process *, pr_link, const uint8_t *data, size_t size);

#endif

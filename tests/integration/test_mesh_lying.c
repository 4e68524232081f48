/* A member that knows the secret and lies, over real sockets and real bytes: it can speak for itself alone. */
#include "tls.h"
#include "trackers.h"
#include "wire_hello.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECRET "correct horse battery staple"

static pr_alloc heap;

typedef struct liar {
    int fd;
    bool ended;
    pr_tls *tls;
    pr_tls_link *link;
    pr_decoder *decoder;
    pr_buffer in;       /* plain bytes of the other end */
    uint64_t inst, inc; /* of the other end, from its HELLO */
    uint32_t error;     /* of its ERROR frame */
} liar;

static void liar_send(liar *l) {
    pr_buffer out;
    pr_buffer_init(&out, &heap, 1u << 24);
    assert_true(pr_tls_link_output(l->link, &out));
    for (size_t sent = 0; sent < out.size;) {
        ssize_t size = send(l->fd, out.data + sent, out.size - sent, MSG_NOSIGNAL);
        if (size <= 0) break; /* it closes: what it said first is read below */
        sent += (size_t)size;
    }
    pr_buffer_free(&out);
}

/* Waits for bytes, and takes them. */
static void liar_hear(liar *l) {
    uint8_t bytes[16384];
    struct pollfd ready = {l->fd, POLLIN, 0};
    if (poll(&ready, 1, PATIENCE_MS) != 1) fail_msg("nothing comes");
    ssize_t size = recv(l->fd, bytes, sizeof bytes, 0);
    l->ended = size <= 0;
    if (size > 0) assert_true(pr_tls_link_take(l->link, bytes, (size_t)size));
}

static void take_message(liar *l, const pr_message *message) {
    if (message->type == PR_ERROR) l->error = message->as.error.code;
    if (message->type != PR_HELLO) return;
    l->inst = message->as.hello.self.inst;
    l->inc = message->as.hello.self.inc;
}

static void liar_read(liar *l) {
    uint8_t plain[16384];
    size_t used, wanted;
    pr_frame_in frame;
    pr_message message;
    liar_hear(l);
    for (ssize_t size; (size = pr_tls_link_read(l->link, plain, sizeof plain)) > 0;)
        pr_buffer_append(&l->in, plain, (size_t)size);
    if (l->in.size >= PR_PREAMBLE_SIZE && memcmp(l->in.data, "LPRE", 4) == 0)
        memmove(l->in.data, l->in.data + PR_PREAMBLE_SIZE, l->in.size -= PR_PREAMBLE_SIZE);
    while (l->in.size && pr_frame_read(l->in.data, l->in.size, PR_FRAME_MAX, &frame, &used, &wanted) == 1) {
        if (pr_decode(l->decoder, &frame, &message) == 0) take_message(l, &message);
        memmove(l->in.data, l->in.data + used, l->in.size -= used);
    }
}

static void say_bytes(liar *l, const void *bytes, size_t size) {
    assert_true(pr_tls_link_write(l->link, bytes, size));
    liar_send(l);
}

static void say(liar *l, const pr_message *message) {
    pr_buffer buffer;
    pr_buffer_init(&buffer, &heap, PR_FRAME_MAX);
    assert_int_equal(pr_encode(&buffer, message, PR_FRAME_MAX), 0);
    say_bytes(l, buffer.data, buffer.size);
    pr_buffer_free(&buffer);
}

static void say_hello(liar *l, const char *name, uint64_t inst) {
    uint8_t preamble[PR_PREAMBLE_SIZE];
    pr_message message = wire_hello(name, inst);
    pr_preamble_write(preamble);
    say_bytes(l, preamble, sizeof preamble);
    say(l, &message);
}

/* A member as good as any, until it lies. */
static void liar_join(liar *l, const char *address, const char *name, uint64_t inst) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    pr_tls_settings settings = {"default", SECRET, "", "", "", "", ""};
    char why[PR_TLS_WHY_MAX];
    memset(l, 0, sizeof *l);
    to.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(l->fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(pr_tls_new(&heap, &settings, &l->tls, why), 0);
    l->link = pr_tls_link_new(l->tls, true, "127.0.0.1", true);
    assert_int_equal(pr_decoder_new(&heap, &l->decoder), 0);
    pr_buffer_init(&l->in, &heap, 1u << 22);
    while (pr_tls_link_step(l->link) == PR_TLS_MORE) {
        liar_send(l);
        liar_hear(l);
    }
    assert_int_equal(pr_tls_link_step(l->link), PR_TLS_PROVEN);
    say_hello(l, name, inst);
    while (l->inst == 0) liar_read(l);
}

static void liar_end(liar *l) {
    close(l->fd);
    pr_tls_link_free(l->link);
    pr_tls_free(l->tls);
    pr_decoder_free(l->decoder);
    pr_buffer_free(&l->in);
}

static void expect_thrown_out(liar *l) {
    while (!l->ended) liar_read(l);
    assert_int_equal(l->error, PR_ERROR_PROTOCOL);
    liar_end(l);
}

static pr_message of_type(uint8_t type) {
    pr_message message;
    memset(&message, 0, sizeof message);
    message.type = type;
    return message;
}

/* One forged presence in the log of an instance. */
static void say_forged(liar *l, uint64_t inst, const char *name) {
    pr_message message = of_type(PR_LOGDEF);
    message.as.logdef.log = 7;
    message.as.logdef.inst = inst;
    strcpy(message.as.logdef.name, name);
    say(l, &message);
    pr_up up = {.eid = 1, .dot = 1, .topic_id = 1};
    up.topic = S("room"), up.key = S("forged"), up.meta = S("{}");
    message = of_type(PR_SEGMENT);
    message.as.segment.log = 7;
    message.as.segment.x2 = message.as.segment.T2 = 1000;
    message.as.segment.ups = &up;
    message.as.segment.ups_size = 1;
    say(l, &message);
}

typedef struct stage {
    presence_tracker *a, *b;
    char a_address[80], b_address[80];
    kept seen; /* by a */
} stage;

static bool both_here(void *tracker) { return count_metas(tracker, "room") == 2; }

static int set_up(void **state) {
    static stage s;
    heap = pr_alloc_default();
    memset(&s, 0, sizeof s);
    const char *const a[] = {"secret", SECRET, "name", "a", NULL};
    s.a = open_tracker(a);
    assert_int_equal(presence_tracker_address(s.a, s.a_address, sizeof s.a_address), 0);
    const char *const b[] = {"secret", SECRET, "name", "b", "join", s.a_address, "connect_timeout_ms", "10000", NULL};
    s.b = open_tracker(b);
    assert_int_equal(presence_tracker_address(s.b, s.b_address, sizeof s.b_address), 0);
    track(s.a, open_owner(s.a), "room", "a", "{}");
    track(s.b, open_owner(s.b), "room", "b", "{}");
    assert_true(wait_until(both_here, s.a));
    assert_true(wait_until(both_here, s.b));
    presence_snapshot *snapshot;
    assert_int_equal(presence_subscribe(s.a, S("room"), &snapshot), 0);
    presence_snapshot_free(snapshot);
    *state = &s;
    return 0;
}

/* Nothing was shown or hidden by the lies. */
static int tear_down(void **state) {
    stage *s = *state;
    size_t delivered;
    presence_drain(s->a, 0, keep, &s->seen, &delivered);
    assert_int_equal(s->seen.joins + s->seen.updates + s->seen.leaves, 0);
    assert_true(both_here(s->a));
    assert_true(both_here(s->b));
    presence_tracker_close(s->b);
    presence_tracker_close(s->a);
    return 0;
}

static void the_log_of_its_receiver(void **state) {
    stage *s = *state;
    liar l;
    liar_join(&l, s->a_address, "liar", 0xE711);
    say_forged(&l, l.inst, "a");
    expect_thrown_out(&l);
}

static void the_end_of_another(void **state) {
    stage *s = *state;
    liar l, spy;
    liar_join(&spy, s->b_address, "spy", 0xE712);
    liar_join(&l, s->a_address, "liar", 0xE711);
    pr_message message = of_type(PR_LEAVE);
    message.as.leave.inst = spy.inst;
    message.as.leave.inc = spy.inc;
    strcpy(message.as.leave.name, "b");
    say(&l, &message);
    expect_thrown_out(&l);
    liar_end(&spy);
}

/* Dropped, not punished: it may have been asked for a moment ago. The next lie is heard, so the first was read. */
static void presences_of_another_unasked(void **state) {
    stage *s = *state;
    liar l, spy;
    liar_join(&spy, s->b_address, "spy", 0xE712);
    liar_join(&l, s->a_address, "liar", 0xE711);
    say_forged(&l, spy.inst, "b");
    assert_int_equal(l.error, 0);
    say_forged(&l, l.inst, "a");
    expect_thrown_out(&l);
    liar_end(&spy);
}

static void frames_that_are_none(void **state) {
    stage *s = *state;
    liar l;
    liar_join(&l, s->a_address, "liar", 0xE711);
    say_bytes(&l, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    expect_thrown_out(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_log_of_its_receiver, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_end_of_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(presences_of_another_unasked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(frames_that_are_none, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* roster.c: a line-based presence server; roster.py and roster.mjs are the same in Python and Node.
 *
 *     roster PORT [OPTION=VALUE …]        e.g. roster 7001 name=c listen=127.0.0.1:7946 join=127.0.0.1:7947
 *
 * A connection says, one line each:
 *     join ROOM NAME [JSON]   be in a room; first its state comes back, then every change, as JSON lines
 *     update JSON             change what the others see
 *     leave                   leave the room
 *     list ROOM | members     ask this member what it sees
 * A connection owns what it joined: however it ends, its presence leaves, on every member of the cluster.
 */
#define _GNU_SOURCE /* pipe2 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <presence.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1024, LINE_MAX_BYTES = 16384, OUTPUT_MAX_BYTES = 1 << 20 };

typedef struct {
    int fd; /* -1 = free */
    presence_owner owner;
    bool joined, failed;
    char room[256], name[256];
    uint64_t seq; /* of the state it was given: older changes are in it already */
    char in[LINE_MAX_BYTES];
    size_t in_size;
    char *out;
    size_t out_size;
} connection;

typedef struct {
    presence_tracker *tracker;
    connection *connections[CONNECTIONS_MAX];
    int wake[2];
} server;

static presence_str text(const char *terminated) { return (presence_str){terminated, strlen(terminated)}; }

static void say(connection *c, const char *data, size_t size) {
    char *grown = c->out_size + size > OUTPUT_MAX_BYTES ? NULL : realloc(c->out, c->out_size + size);
    if (!grown) { /* a client that does not read: it is closed and may come back */
        c->failed = true;
        return;
    }
    memcpy(grown + c->out_size, data, size);
    c->out = grown;
    c->out_size += size;
}

static void say_str(connection *c, presence_str s) { say(c, s.data, s.size); }

static void say_quoted(connection *c, presence_str s) {
    say(c, "\"", 1);
    for (size_t i = 0; i < s.size; i++) {
        unsigned char byte = (unsigned char)s.data[i];
        char escaped[8];
        if (byte == '"' || byte == '\\') {
            say(c, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\%c", byte));
        } else if (byte < 32) {
            say(c, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", byte));
        } else {
            say(c, s.data + i, 1);
        }
    }
    say(c, "\"", 1);
}

static void say_event(connection *c, presence_str topic, const char *event, presence_str payload) {
    say_str(c, text("{\"topic\":"));
    say_quoted(c, topic);
    say_str(c, text(",\"event\":\""));
    say_str(c, text(event));
    say_str(c, text("\",\"payload\":"));
    say_str(c, payload);
    say_str(c, text("}\n"));
}

static void say_error(connection *c, const char *reason) {
    say_str(c, text("{\"event\":\"error\",\"payload\":{\"reason\":"));
    say_quoted(c, text(reason));
    say_str(c, text("}}\n"));
}

/* ---- commands ---- */
static void stop_listening(server *s, connection *c) {
    c->joined = false;
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        connection *other = s->connections[i];
        if (other && other->joined && !strcmp(other->room, c->room)) return; /* the subscription is the tracker's */
    }
    presence_unsubscribe(s->tracker, text(c->room));
}

static int leave(server *s, connection *c) {
    if (!c->joined) return 0;
    stop_listening(s, c);
    return presence_untrack(s->tracker, c->owner, text(c->room), text(c->name), NULL);
}

static int join(server *s, connection *c, const char *room, const char *name, const char *meta) {
    if (c->joined) leave(s, c);
    int error = presence_track(s->tracker, c->owner, text(room), text(name), text(meta), NULL);
    if (error) return error;
    snprintf(c->room, sizeof c->room, "%s", room);
    snprintf(c->name, sizeof c->name, "%s", name);
    c->joined = true;
    presence_snapshot *snapshot;
    presence_str json;
    error = presence_subscribe(s->tracker, text(room), NULL);
    if (!error) error = presence_list_json(s->tracker, text(room), &snapshot, &json);
    if (error) return error;
    c->seq = presence_snapshot_seq(snapshot);
    say_event(c, text(room), "presence_state", json);
    presence_snapshot_free(snapshot);
    return 0;
}

static int list(server *s, connection *c, const char *room) {
    presence_snapshot *snapshot;
    presence_str json;
    size_t keys, metas;
    char counts[64];
    int error = presence_list_json(s->tracker, text(room), &snapshot, &json);
    if (!error) error = presence_count(s->tracker, text(room), &keys, &metas);
    if (error) return error;
    snprintf(counts, sizeof counts, "{\"event\":\"list\",\"keys\":%zu,\"metas\":%zu,\"payload\":", keys, metas);
    say_str(c, text(counts));
    say_str(c, json);
    say_str(c, text("}\n"));
    presence_snapshot_free(snapshot);
    return 0;
}

static int members(server *s, connection *c) {
    static const char *const status[] = {"", "up", "suspect", "down", "permdown", "left", "conflict"};
    presence_snapshot *snapshot;
    int error = presence_members(s->tracker, &snapshot);
    if (error) return error;
    say_str(c, text("{\"event\":\"members\",\"payload\":{"));
    for (size_t i = 0; i < presence_snapshot_size(snapshot); i++) {
        presence_member member = {.size = sizeof member};
        presence_snapshot_member_at(snapshot, i, &member);
        if (i) say_str(c, text(","));
        say_quoted(c, member.name);
        say_str(c, text(":"));
        say_quoted(c, text(status[member.status]));
    }
    say_str(c, text("}}\n"));
    presence_snapshot_free(snapshot);
    return 0;
}

static void run_line(server *s, connection *c, char *line) {
    char *rest = line;
    const char *command = strsep(&rest, " ");
    int error = 0;
    if (!strcmp(command, "join") && rest && strchr(rest, ' ')) {
        const char *room = strsep(&rest, " "), *name = strsep(&rest, " ");
        error = join(s, c, room, name, rest ? rest : "{}");
    } else if (!strcmp(command, "update") && rest) {
        error = c->joined ? presence_update(s->tracker, c->owner, text(c->room), text(c->name), text(rest), NULL)
                          : PRESENCE_ENOTTRACKED;
    } else if (!strcmp(command, "leave")) {
        error = leave(s, c);
    } else if (!strcmp(command, "list") && rest) {
        error = list(s, c, rest);
    } else if (!strcmp(command, "members")) {
        error = members(s, c);
    } else {
        say_error(c, "say join ROOM NAME [JSON], update JSON, leave, list ROOM or members");
    }
    if (error) say_error(c, presence_strerror(error));
}

/* ---- connections ---- */
static void hang_up(server *s, int i) {
    connection *c = s->connections[i];
    if (c->joined) stop_listening(s, c);
    presence_owner_close(s->tracker, c->owner); /* whatever it owned leaves */
    close(c->fd);
    free(c->out);
    free(c);
    s->connections[i] = NULL;
}

static void welcome(server *s, int listener) {
    int fd = accept(listener, NULL, NULL), i = 0, on = 1;
    while (i < CONNECTIONS_MAX && s->connections[i]) i++;
    connection *c = i < CONNECTIONS_MAX && fd >= 0 ? calloc(1, sizeof *c) : NULL;
    if (!c || presence_owner_open(s->tracker, &c->owner)) {
        free(c);
        if (fd >= 0) close(fd);
        return;
    }
    c->fd = fd;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    s->connections[i] = c;
}

static void hear(server *s, connection *c) {
    ssize_t got = read(c->fd, c->in + c->in_size, sizeof c->in - c->in_size);
    if (got <= 0) {
        c->failed = got == 0 || (errno != EAGAIN && errno != EINTR);
        return;
    }
    c->in_size += (size_t)got;
    char *start = c->in, *end;
    while ((end = memchr(start, '\n', c->in_size - (size_t)(start - c->in)))) {
        if (memchr(start, 0, (size_t)(end - start))) c->failed = true; /* a NUL is no text */
        *end = 0;
        if (end > start && end[-1] == '\r') end[-1] = 0;
        run_line(s, c, start);
        start = end + 1;
    }
    c->in_size -= (size_t)(start - c->in);
    memmove(c->in, start, c->in_size);
    if (c->in_size == sizeof c->in) c->failed = true; /* a line that long is nobody we know */
}

static void speak(connection *c) {
    ssize_t sent = write(c->fd, c->out, c->out_size);
    if (sent < 0) {
        c->failed = errno != EAGAIN && errno != EINTR;
        return;
    }
    c->out_size -= (size_t)sent;
    memmove(c->out, c->out + sent, c->out_size);
}

/* ---- changes: the tracker wakes us, we drain on our own thread ---- */
static void wake(void *user) {
    server *s = user;
    if (write(s->wake[1], "!", 1) < 0) return; /* full: we wake anyhow */
}

static void on_event(const presence_event *event, void *user) {
    server *s = user;
    int kind = presence_event_kind(event);
    if (kind != PRESENCE_EVENT_DIFF && kind != PRESENCE_EVENT_RESYNC) return;
    presence_str topic = presence_event_topic(event), json;
    if (presence_diff_json(event, &json)) return;
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        connection *c = s->connections[i];
        if (!c || !c->joined || strlen(c->room) != topic.size || memcmp(c->room, topic.data, topic.size)) continue;
        if (presence_event_seq(event) <= c->seq) continue;
        say_event(c, topic, kind == PRESENCE_EVENT_DIFF ? "presence_diff" : "presence_state", json);
    }
}

static volatile sig_atomic_t ended;
static int ended_fd; /* the wake pipe: a signal just before poll must not be lost */
static void end(int signal_number) {
    (void)signal_number;
    ended = 1;
    if (write(ended_fd, "!", 1) < 0) return; /* full: poll returns anyhow */
}

static void serve(server *s, int listener) {
    while (!ended) {
        struct pollfd polls[CONNECTIONS_MAX + 2] = {{listener, POLLIN, 0}, {s->wake[0], POLLIN, 0}};
        int who[CONNECTIONS_MAX + 2], n = 2;
        for (int i = 0; i < CONNECTIONS_MAX; i++) {
            connection *c = s->connections[i];
            if (c && c->failed) hang_up(s, i);
            if (!s->connections[i]) continue;
            who[n] = i;
            polls[n++] = (struct pollfd){c->fd, (short)(POLLIN | (c->out_size ? POLLOUT : 0)), 0};
        }
        if (poll(polls, (nfds_t)n, -1) < 0) continue;
        if (polls[1].revents) {
            char bytes[64];
            if (read(s->wake[0], bytes, sizeof bytes) > 0) presence_drain(s->tracker, 0, on_event, s, NULL);
        }
        if (polls[0].revents) welcome(s, listener);
        for (int p = 2; p < n; p++) {
            connection *c = s->connections[who[p]];
            if (polls[p].revents & (POLLIN | POLLHUP | POLLERR)) hear(s, c);
            if (c->out_size && !c->failed) speak(c);
        }
    }
}

static int fail(const char *what, const char *why) {
    fprintf(stderr, "roster: %s: %s\n", what, why);
    return 1;
}

static presence_config *configure(int count, char **settings) {
    presence_config *config = presence_config_new();
    for (int i = 0; i < count; i++) {
        char *value = strchr(settings[i], '=');
        if (value) *value++ = 0;
        if (presence_config_set(config, settings[i], value ? value : "")) {
            fail("option", presence_config_message(config));
            presence_config_free(config);
            return NULL;
        }
    }
    return config;
}

static int listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 128)) return -1;
    return fd;
}

int main(int argc, char **argv) {
    static server s;
    if (argc < 2 || argv[1][strspn(argv[1], "0123456789")]) return fail("usage", "roster PORT [OPTION=VALUE …]");
    presence_config *config = configure(argc - 2, argv + 2);
    if (!config) return 1;
    int error = presence_tracker_open(config, &s.tracker);
    if (error) fail("open", presence_config_message(config));
    presence_config_free(config);
    if (error) return 1;
    int listener = listen_on((int)strtol(argv[1], NULL, 10));
    if (listener < 0) return fail("listen", strerror(errno));
    if (pipe2(s.wake, O_NONBLOCK | O_CLOEXEC)) return fail("pipe", strerror(errno));
    ended_fd = s.wake[1];
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, end);
    signal(SIGINT, end);
    presence_set_wake_callback(s.tracker, wake, &s);
    struct sockaddr_in bound;
    socklen_t size = sizeof bound;
    getsockname(listener, (struct sockaddr *)&bound, &size);
    char address[128];
    presence_tracker_address(s.tracker, address, sizeof address);
    printf("ready %d %s\n", ntohs(bound.sin_port), address);
    fflush(stdout);
    serve(&s, listener);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        if (s.connections[i]) hang_up(&s, i);
    presence_tracker_stop(s.tracker, 2000);
    presence_tracker_close(s.tracker);
    return 0;
}

/* One tracker in a poll loop.
 *
 * Happy path: open -> sync -> turns: events are drained when the library wakes us -> an end -> stop, close.
 * Ends: SIGINT or SIGTERM (read from a descriptor, so nothing runs in a handler), stdout cannot be written any more,
 * the tracker stopped by itself (a younger member took its name: failure).
 */
#include "cli.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

static void on_wake(void *user) {
    uint64_t one = 1;
    ssize_t written = write(((cli_session *)user)->wake_fd, &one, sizeof one);
    (void)written; /* a full counter wakes as well */
}

static void on_any_event(const presence_event *event, void *user) {
    cli_session *session = user;
    switch (presence_event_kind(event)) {
    case PRESENCE_EVENT_SYNCED: session->synced = presence_event_error(event) ? 2 : 1; break;
    case PRESENCE_EVENT_STOPPED:
        session->stopped = true;
        session->stop_code = presence_event_error(event);
        break;
    case PRESENCE_EVENT_ERROR: {
        presence_str text = presence_event_message(event);
        fprintf(stderr, "presence: %.*s\n", (int)text.size, text.data);
        break;
    }
    default:
        if (session->on_event) session->on_event(event, session->user);
    }
}

static int open_descriptors(cli_session *session) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    session->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    session->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    bool opened = session->wake_fd >= 0 && session->signal_fd >= 0;
    if (opened && cli_output_open(&session->output, session->signal_fd) == CLI_OK) return CLI_OK;
    perror("presence");
    return CLI_FAILED;
}

int cli_session_open(cli_session *session, const cli_arguments *arguments) {
    int failed = open_descriptors(session);
    if (failed) return failed;
    failed = presence_tracker_open(arguments->config, &session->tracker);
    if (failed) {
        fprintf(stderr, "presence: %s\n", presence_config_message(arguments->config));
        return failed == PRESENCE_EOPTION || failed == PRESENCE_EUNSUPPORTED ? CLI_USAGE : CLI_FAILED;
    }
    presence_set_wake_callback(session->tracker, on_wake, session);
    return CLI_OK;
}

bool cli_session_turn(cli_session *session, int timeout_ms) {
    struct pollfd fds[] = {{session->wake_fd, POLLIN, 0}, {session->signal_fd, POLLIN, 0}, {STDOUT_FILENO, 0, 0}};
    struct signalfd_siginfo info;
    uint64_t count;
    if (poll(fds, 3, timeout_ms) < 0 && errno != EINTR) return false;
    if (read(session->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        session->interrupted = session->output.hurry = true;
    if (fds[2].revents & (POLLERR | POLLNVAL)) session->output_closed = true;
    if (read(session->wake_fd, &count, sizeof count) == (ssize_t)sizeof count) {
        presence_drain(session->tracker, 256, on_any_event, session, NULL);
        if (!cli_output_flush(&session->output)) session->output_closed = true;
    }
    return !session->interrupted && !session->output_closed && !session->stopped;
}

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* How an end is told: quietly, unless the tracker gave up. */
int cli_session_end(const cli_session *session) {
    if (!session->stopped || session->stop_code == 0) return CLI_OK;
    fprintf(stderr, "presence: %s\n", presence_strerror(session->stop_code));
    return CLI_FAILED;
}

int cli_session_sync(cli_session *session, const cli_arguments *arguments) {
    int64_t deadline = now_ms() + arguments->timeout_ms, left = arguments->timeout_ms;
    while (session->synced == 0 && left >= 0 && cli_session_turn(session, (int)left)) left = deadline - now_ms();
    if (session->synced == 1 || (session->synced == 2 && arguments->listens)) return CLI_OK;
    if (session->interrupted || session->output_closed || session->stopped) return cli_session_end(session);
    fprintf(stderr, "presence: %s\n",
            session->synced ? "no member could be reached (see --join)" : "not synced within --timeout");
    return CLI_NOT_REACHED;
}

int cli_session_run(cli_session *session) {
    while (cli_session_turn(session, -1)) {}
    return cli_session_end(session);
}

void cli_session_close(cli_session *session) {
    cli_output_close(&session->output);
    if (session->tracker) {
        presence_tracker_stop(session->tracker, 1000);
        presence_tracker_close(session->tracker);
    }
    if (session->wake_fd > 0) close(session->wake_fd);
    if (session->signal_fd > 0) close(session->signal_fd);
}

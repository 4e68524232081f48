/* What commands print, on its way to stdout.
 *
 * Happy path: lines are collected, a flush writes them in pieces that a pipe with room takes without blocking.
 * Failures: the reader is away: gone, quietly. It stands still and a signal comes: what is left is dropped. Anything
 * else (no space, a closed descriptor): failed, with a text.
 */
#define _GNU_SOURCE 1 /* fopencookie */
#include "cli.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* A descriptor of the library must not become the standard output: one that is closed gets one that cannot be used. */
int cli_output_guard(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
        if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) return CLI_FAILED;
    }
    return CLI_OK;
}

/* false: it stands still, and it is time to end. */
static bool wait_for_room(cli_output *output) {
    struct pollfd fds[] = {{STDOUT_FILENO, POLLOUT, 0}, {output->signal_fd, POLLIN, 0}};
    int ready = poll(fds, 2, output->hurry ? 0 : -1);
    if (ready < 0) return errno == EINTR;
    if (fds[0].revents) return true;
    output->hurry = true;
    return false;
}

static ssize_t put(void *cookie, const char *data, size_t size) {
    cli_output *output = cookie;
    size_t done = 0;
    while (done < size && !output->gone && !output->failed) {
        if (!wait_for_room(output)) return 0;
        size_t piece = size - done < PIPE_BUF ? size - done : PIPE_BUF;
        ssize_t written = write(STDOUT_FILENO, data + done, piece);
        if (written >= 0) {
            done += (size_t)written;
        } else if (errno == EPIPE) {
            output->gone = true;
        } else if (errno != EINTR && errno != EAGAIN) {
            output->failed = true;
            fprintf(stderr, "presence: standard output: %s\n", strerror(errno));
        }
    }
    return done < size ? 0 : (ssize_t)size;
}

int cli_output_open(cli_output *output, int signal_fd) {
    output->signal_fd = signal_fd;
    output->file = fopencookie(output, "w", (cookie_io_functions_t){.write = put});
    return output->file ? CLI_OK : CLI_FAILED;
}

bool cli_output_flush(cli_output *output) { return fflush(output->file) == 0 && !ferror(output->file); }

void cli_output_close(cli_output *output) {
    if (output->file) fclose(output->file);
    output->file = NULL;
}

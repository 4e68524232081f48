/* Histories on several cores: each job is a child that takes every n-th seed and hands its sums back through a pipe.
 *
 * Happy path: the children run out of histories or time, write their sums and exit 0; the parent adds the sums up.
 * Failures: a child finds a broken invariant, prints it, writes its sums and exits 1: the parent ends the others, which
 * lose what they counted. A child that dies without sums (a crash of the library) counts as a failure, with its seeds.
 */
#include "simulator.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

double simulator_seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void add(simulator_sums *sums, const simulator_sums *more) {
    sums->histories += more->histories;
    sums->events += more->events;
    sums->steps += more->steps;
    sums->virtual_ms += more->virtual_ms;
    sums->compared += more->compared;
    if (more->converged_ms > sums->converged_ms) sums->converged_ms = more->converged_ms;
    sums->processor_seconds += more->processor_seconds;
    pr_sim_totals_add(&sums->totals, &more->totals);
}

static void add_outcome(simulator_sums *sums, const pr_sim_outcome *outcome) {
    simulator_sums one = {.histories = 1,
                          .events = outcome->events,
                          .steps = outcome->steps,
                          .virtual_ms = outcome->virtual_ms,
                          .compared = outcome->compared,
                          .converged_ms = outcome->compared ? outcome->converged_ms : 0,
                          .totals = outcome->totals};
    add(sums, &one);
}

bool simulator_run(const simulator_arguments *arguments, uint64_t job, simulator_sums *sums) {
    double start = simulator_seconds(CLOCK_MONOTONIC), processor = simulator_seconds(CLOCK_PROCESS_CPUTIME_ID);
    bool held = true;
    memset(sums, 0, sizeof *sums);
    for (uint64_t i = job; held; i += arguments->jobs) {
        if (arguments->runs > 0 && i >= arguments->runs) break;
        if (arguments->seconds > 0 && simulator_seconds(CLOCK_MONOTONIC) - start >= arguments->seconds) break;
        pr_sim_plan plan = arguments->plan;
        plan.seed += i;
        pr_sim_outcome outcome;
        held = pr_sim_history(&plan, &outcome);
        add_outcome(sums, &outcome);
        if (!held) simulator_report_failure(arguments, &plan, &outcome);
    }
    sums->processor_seconds = simulator_seconds(CLOCK_PROCESS_CPUTIME_ID) - processor;
    return held;
}

/* ---- children ---- */
typedef struct child {
    pid_t pid; /* 0: has ended */
    int pipe;
} child;

static bool write_all(int fd, const void *data, size_t size) {
    for (const char *at = data; size > 0;) {
        ssize_t written = write(fd, at, size);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        at += written;
        size -= (size_t)written;
    }
    return true;
}

static bool read_all(int fd, void *data, size_t size) {
    for (char *at = data; size > 0;) {
        ssize_t got = read(fd, at, size);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += got;
        size -= (size_t)got;
    }
    return true;
}

static bool start_child(const simulator_arguments *arguments, uint64_t job, child *c) {
    int ends[2];
    fflush(stdout);
    if (pipe(ends) != 0) return false;
    c->pipe = ends[0];
    c->pid = fork();
    if (c->pid < 0) {
        close(ends[0]);
        close(ends[1]);
        return false;
    }
    if (c->pid == 0) {
        close(ends[0]);
        simulator_sums sums;
        bool held = simulator_run(arguments, job, &sums);
        bool told = write_all(ends[1], &sums, sizeof sums) && fflush(stdout) == 0;
        _exit(held && told ? SIMULATOR_HELD : SIMULATOR_BROKEN);
    }
    close(ends[1]);
    return true;
}

static void end_all(child *children, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        if (children[i].pid > 0) kill(children[i].pid, SIGTERM);
}

/* The pipe holds the sums of a child that has ended. */
static bool collect(child *c, int status, bool stopping, simulator_sums *sums) {
    simulator_sums more;
    bool told = read_all(c->pipe, &more, sizeof more);
    close(c->pipe);
    if (told) add(sums, &more);
    if (WIFSIGNALED(status) && !stopping)
        printf("FAILED a job was ended by signal %d; --jobs 1 with the same seeds shows where\n", WTERMSIG(status));
    c->pid = 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool simulator_run_jobs(const simulator_arguments *arguments, simulator_sums *sums) {
    child children[SIMULATOR_JOBS_MAX];
    uint64_t count = 0, ended = 0;
    bool held = true;
    memset(sums, 0, sizeof *sums);
    for (; count < arguments->jobs && held; count++) held = start_child(arguments, count, &children[count]);
    if (!held) {
        perror("presence-sim: fork");
        end_all(children, --count);
    }
    for (int status; ended < count; ended++) {
        pid_t pid = waitpid(-1, &status, 0);
        uint64_t i = 0;
        while (i < count && children[i].pid != pid) i++;
        if (i == count) break;
        bool fine = collect(&children[i], status, !held, sums);
        if (!fine && held) end_all(children, count);
        held &= fine;
    }
    return held;
}

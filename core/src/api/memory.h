/* The allocator of one tracker and of its snapshots, which may outlive it: counted. And the mark a fork wipes. */
#ifndef PR_MEMORY_H
#define PR_MEMORY_H

#include "alloc.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct pr_memory {
    pr_alloc alloc;
    atomic_size_t references;
} pr_memory;

pr_memory *pr_memory_new(const pr_alloc *); /* one reference; NULL: no memory */
pr_memory *pr_memory_hold(pr_memory *);
void pr_memory_release(pr_memory *); /* NULL ok */

/* Tells in every call, without a system call, whether this process is a forked child of the one that opened. */
typedef struct pr_fork_mark {
    volatile unsigned char *page; /* the kernel wipes it in a child; NULL: the kernel cannot, pids are compared */
    size_t size;
    pid_t pid;
} pr_fork_mark;
void pr_fork_mark_set(pr_fork_mark *);
bool pr_fork_mark_lost(const pr_fork_mark *);
void pr_fork_mark_free(pr_fork_mark *);

#endif

/* Counted allocator, fork mark. */
#define _GNU_SOURCE 1 /* MADV_WIPEONFORK */
#include "memory.h"
#include <sys/mman.h>
#include <unistd.h>

pr_memory *pr_memory_new(const pr_alloc *alloc) {
    pr_memory *memory = pr_new(alloc, sizeof *memory);
    if (!memory) return NULL;
    memory->alloc = *alloc;
    atomic_init(&memory->references, 1);
    return memory;
}

pr_memory *pr_memory_hold(pr_memory *memory) {
    atomic_fetch_add_explicit(&memory->references, 1, memory_order_relaxed);
    return memory;
}

void pr_memory_release(pr_memory *memory) {
    if (!memory || atomic_fetch_sub_explicit(&memory->references, 1, memory_order_acq_rel) != 1) return;
    pr_alloc alloc = memory->alloc;
    pr_delete(&alloc, memory, sizeof *memory);
}

void pr_fork_mark_set(pr_fork_mark *mark) {
    long size = sysconf(_SC_PAGESIZE);
    mark->pid = getpid();
    mark->page = NULL;
    mark->size = size > 0 ? (size_t)size : 4096;
#ifdef MADV_WIPEONFORK
    void *page = mmap(NULL, mark->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return;
    if (madvise(page, mark->size, MADV_WIPEONFORK) != 0) {
        munmap(page, mark->size);
        return;
    }
    mark->page = page;
    mark->page[0] = 1;
#endif
}

bool pr_fork_mark_lost(const pr_fork_mark *mark) { return mark->page ? mark->page[0] != 1 : getpid() != mark->pid; }

void pr_fork_mark_free(pr_fork_mark *mark) {
    if (mark->page) munmap((void *)mark->page, mark->size);
    mark->page = NULL;
}

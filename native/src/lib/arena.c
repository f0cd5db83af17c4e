/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/arena.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* MPOL_BIND of linux/mempolicy.h, which musl systems do not all have. */
enum { BIND = 2 };

enum { SAMPLE_PAGES = 64, MAX_NODES = 1024, LONG_BITS = sizeof(long) * CHAR_BIT };

int np_arena_open(struct np_arena *arena, size_t bytes)
{
    const size_t huge = NP_HUGE_PAGE_BYTES;
    *arena = (struct np_arena){0};
    if (bytes == 0 || bytes > SIZE_MAX - 2 * huge)
        return -EINVAL;
    bytes = (bytes + huge - 1) / huge * huge;
    void *map = mmap(NULL, bytes + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return -errno;
    *arena = (struct np_arena){
        .base = (void *)(((uintptr_t)map + huge - 1) / huge * huge),
        .bytes = bytes,
        .map = map,
        .map_bytes = bytes + huge,
    };
    /* A kernel without huge pages refuses; base pages then serve, and the result says so. */
    (void)madvise(arena->base, bytes, MADV_HUGEPAGE);
    return 0;
}

void np_arena_close(struct np_arena *arena)
{
    if (arena->map != NULL)
        munmap(arena->map, arena->map_bytes);
    *arena = (struct np_arena){0};
}

int np_arena_bind(const struct np_arena *arena, unsigned int node)
{
    unsigned long mask[MAX_NODES / LONG_BITS] = {0};
    if (node >= MAX_NODES)
        return -EINVAL;
    mask[node / LONG_BITS] |= 1UL << (node % LONG_BITS);
    /* The kernel reads one bit less than it is told: mm/mempolicy.c, get_nodes(). */
    return syscall(SYS_mbind, arena->base, arena->bytes, BIND, mask, MAX_NODES + 1UL, 0UL) ? -errno : 0;
}

int np_arena_local_share(const struct np_arena *arena, unsigned int node, double *share)
{
    void *pages[SAMPLE_PAGES];
    int status[SAMPLE_PAGES];
    const size_t step = arena->bytes / SAMPLE_PAGES / 4096 * 4096;
    size_t local = 0;
    for (size_t i = 0; i < SAMPLE_PAGES; i++)
        pages[i] = (char *)arena->base + i * step;
    /* Without target nodes move_pages(2) moves nothing and says where each page is. */
    if (syscall(SYS_move_pages, 0, (unsigned long)SAMPLE_PAGES, pages, NULL, status, 0))
        return -errno;
    for (size_t i = 0; i < SAMPLE_PAGES; i++)
        local += status[i] == (int)node;
    *share = (double)local / SAMPLE_PAGES;
    return 0;
}

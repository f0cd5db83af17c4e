/* SPDX-License-Identifier: Apache-2.0 */
#include "uring.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * What the kernel promises in linux/io_uring.h. Distributions of today ship that header without parts
 * of what their own kernel can do, or without the header; musl systems may have no kernel headers at all.
 */
struct uring_entry {
    uint8_t opcode;
    uint8_t flags;
    uint16_t priority;
    int32_t fd;
    uint64_t offset;
    uint64_t address;
    uint32_t bytes;
    uint32_t operation_flags;
    uint64_t tag;
    uint64_t unused[3];
};

struct uring_answer {
    uint64_t tag;
    int32_t result;
    uint32_t flags;
};

struct send_offsets {
    uint32_t head, tail, mask, entries, flags, dropped, order, reserved;
    uint64_t user_address;
};

struct answer_offsets {
    uint32_t head, tail, mask, entries, overflow, answers, flags, reserved;
    uint64_t user_address;
};

struct uring_parameters {
    uint32_t send_entries, answer_entries, flags, send_cpu, send_idle, features, workers_fd, reserved[3];
    struct send_offsets send;
    struct answer_offsets answer;
};

_Static_assert(sizeof(struct uring_entry) == 64 && sizeof(struct uring_answer) == 16 &&
                   sizeof(struct uring_parameters) == 120,
               "the layout is the kernel's");

enum { SYSCALL_SETUP = 425, SYSCALL_ENTER = 426 };
enum { OP_READ = 22, OP_WRITE = 23 };
enum { ENTER_GETEVENTS = 1 };
enum { OFFSET_RINGS = 0, OFFSET_ENTRIES = 0x10000000 };

/* The two queues in one mapping (5.4), and the plain read and write operations (5.6 brought both these). */
enum { FEATURE_SINGLE_MMAP = 1 << 0, FEATURE_RW_CUR_POS = 1 << 3 };

static void *map(int fd, size_t bytes, off_t offset)
{
    return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
}

static int map_queues(struct uring *ring, const struct uring_parameters *p)
{
    const size_t send_bytes = p->send.order + p->send_entries * sizeof(uint32_t);
    const size_t answer_bytes = p->answer.answers + p->answer_entries * sizeof(struct uring_answer);
    ring->rings_bytes = send_bytes > answer_bytes ? send_bytes : answer_bytes;
    ring->rings = map(ring->fd, ring->rings_bytes, OFFSET_RINGS);
    if (ring->rings == MAP_FAILED)
        return -errno;
    ring->entries_bytes = p->send_entries * sizeof(struct uring_entry);
    ring->entries = map(ring->fd, ring->entries_bytes, OFFSET_ENTRIES);
    if (ring->entries == MAP_FAILED)
        return -errno;
    char *base = ring->rings;
    ring->send_tail = (_Atomic uint32_t *)(base + p->send.tail);
    ring->send_order = (uint32_t *)(base + p->send.order);
    ring->send_mask = *(uint32_t *)(base + p->send.mask);
    ring->answer_head = (_Atomic uint32_t *)(base + p->answer.head);
    ring->answer_tail = (_Atomic uint32_t *)(base + p->answer.tail);
    ring->answers = (const struct uring_answer *)(base + p->answer.answers);
    ring->answer_mask = *(uint32_t *)(base + p->answer.mask);
    return 0;
}

int uring_open(struct uring *ring, uint32_t depth)
{
    struct uring_parameters parameters = {0};
    const uint32_t needed = FEATURE_SINGLE_MMAP | FEATURE_RW_CUR_POS;
    *ring = (struct uring){.fd = -1, .depth = depth, .rings = MAP_FAILED, .entries = MAP_FAILED};
    ring->fd = (int)syscall(SYSCALL_SETUP, depth, &parameters);
    if (ring->fd < 0)
        return -errno;
    const int rc = (parameters.features & needed) == needed ? map_queues(ring, &parameters) : -ENOSYS;
    if (rc != 0)
        uring_close(ring);
    return rc;
}

void uring_close(struct uring *ring)
{
    if (ring->entries != MAP_FAILED)
        munmap(ring->entries, ring->entries_bytes);
    if (ring->rings != MAP_FAILED)
        munmap(ring->rings, ring->rings_bytes);
    if (ring->fd >= 0)
        close(ring->fd);
    *ring = (struct uring){.fd = -1, .rings = MAP_FAILED, .entries = MAP_FAILED};
}

void uring_put(struct uring *ring, const struct uring_request *request)
{
    const uint32_t tail = atomic_load_explicit(ring->send_tail, memory_order_relaxed);
    const uint32_t index = tail & ring->send_mask;
    ring->entries[index] = (struct uring_entry){
        .opcode = request->is_write ? OP_WRITE : OP_READ,
        .fd = request->fd,
        .offset = request->offset,
        .address = (uintptr_t)request->buffer,
        .bytes = request->bytes,
        .tag = request->tag,
    };
    ring->send_order[index] = index;
    atomic_store_explicit(ring->send_tail, tail + 1, memory_order_release);
    ring->unsent++;
}

int uring_wait(struct uring *ring)
{
    const long sent = syscall(SYSCALL_ENTER, ring->fd, ring->unsent, 1U, (unsigned int)ENTER_GETEVENTS, NULL, 0UL);
    if (sent < 0)
        return -errno;
    ring->unsent -= (uint32_t)sent;
    return 0;
}

bool uring_take(struct uring *ring, uint64_t *tag, int *result)
{
    const uint32_t head = atomic_load_explicit(ring->answer_head, memory_order_relaxed);
    if (head == atomic_load_explicit(ring->answer_tail, memory_order_acquire))
        return false;
    const struct uring_answer *answer = &ring->answers[head & ring->answer_mask];
    *tag = answer->tag;
    *result = answer->result;
    atomic_store_explicit(ring->answer_head, head + 1, memory_order_release);
    return true;
}

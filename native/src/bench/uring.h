/* SPDX-License-Identifier: Apache-2.0 */
/* io_uring by its three system calls: one request is one system call, and many are one as well. */
#ifndef NODEPROOF_BENCH_URING_H
#define NODEPROOF_BENCH_URING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uring_entry;
struct uring_answer;

/** Queues that are shared with the kernel. To be used by one thread. */
struct uring {
    int fd;
    uint32_t depth;
    uint32_t unsent; /**< put, but not handed over */
    void *rings;
    size_t rings_bytes;
    struct uring_entry *entries;
    size_t entries_bytes;
    _Atomic uint32_t *send_tail;
    uint32_t *send_order;
    uint32_t send_mask;
    _Atomic uint32_t *answer_head, *answer_tail;
    const struct uring_answer *answers;
    uint32_t answer_mask;
};

/**
 * Make queues for up to `depth` requests at a time.
 *
 * Returns 0 or -errno: -ENOSYS, -EPERM or -ENOMEM where the kernel is too old (before 5.6), or forbids it by
 * kernel.io_uring_disabled, seccomp or RLIMIT_MEMLOCK.
 */
int uring_open(struct uring *ring, uint32_t depth);

void uring_close(struct uring *ring);

struct uring_request {
    int fd;
    bool is_write;
    void *buffer;
    uint32_t bytes;
    uint64_t offset;
    uint64_t tag; /**< comes back with the answer */
};

/** Put a request into the queue; uring_wait hands it over. */
void uring_put(struct uring *ring, const struct uring_request *request);

/** Hand over what was put, and wait for an answer. Returns 0 or -errno; a signal may end the wait: -EINTR. */
int uring_wait(struct uring *ring);

/** Take an answer if there is one: the bytes moved or -errno. */
bool uring_take(struct uring *ring, uint64_t *tag, int *result);

#endif

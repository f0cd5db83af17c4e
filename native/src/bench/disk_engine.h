/* SPDX-License-Identifier: Apache-2.0 */
/* Keep a file busy with a number of requests at a time: through io_uring, or by a thread for each where that is
 * forbidden. */
#ifndef NODEPROOF_BENCH_DISK_ENGINE_H
#define NODEPROOF_BENCH_DISK_ENGINE_H

#include "nodeproof/clock.h"
#include "uring.h"

enum { DISK_MOST_DEPTH = 32 };

struct disk_engine {
    bool has_ring;
    struct uring ring;
};

/** A request, `begin` and `end` in ticks. */
struct disk_io {
    size_t slot; /**< 0 to depth - 1: of no two requests at the same time */
    bool is_write;
    char *buffer;
    uint32_t bytes;
    uint64_t offset;
    uint64_t begin, end;
};

/** What to do to a file. Of both functions only one is called at a time. */
struct disk_load {
    int fd;
    size_t depth;
    const struct np_clock *clock;
    void *state;
    /** Fill in the next request of a slot. Returns false if there is to be none. */
    bool (*next)(void *state, struct disk_io *io);
    void (*done)(void *state, const struct disk_io *io);
    _Atomic uint64_t *answers; /**< counts on with each request done */
};

/** Choose io_uring, or threads where the kernel does not let us have it. */
void disk_engine_open(struct disk_engine *engine);

void disk_engine_close(struct disk_engine *engine);

/** `io_uring` or `pread`. */
const char *disk_engine_name(const struct disk_engine *engine);

/** Threads that keep `depth` requests going. */
size_t disk_engine_threads(const struct disk_engine *engine, size_t depth);

/** Keep all slots busy until there is no next request for any. Returns 0, or -errno of the first that failed. */
int disk_engine_run(struct disk_engine *engine, const struct disk_load *load);

#endif

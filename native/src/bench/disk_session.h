/* SPDX-License-Identifier: Apache-2.0 */
/* A file full of known data, and everything that it takes to measure the disk below it. */
#ifndef NODEPROOF_BENCH_DISK_SESSION_H
#define NODEPROOF_BENCH_DISK_SESSION_H

#include "bench.h"
#include "disk_data.h"
#include "disk_engine.h"
#include "disk_file.h"
#include "disk_mount.h"
#include "nodeproof/arena.h"

struct disk_session;
typedef int disk_session_fn(struct disk_session *session);

struct disk_session {
    const struct bench_request *request;
    disk_session_fn *work;
    struct disk_file file;
    uint64_t seed;
    struct disk_data data;
    struct disk_mount mount;
    struct disk_engine engine;
    struct np_arena buffers; /**< a chunk for each slot */
    _Atomic uint64_t answers;
    const char *engine_name;
    const char *pages; /**< of the buffers: `huge`, `mixed` or `base` */
    size_t threads;    /**< the most that did requests at the same time */
    uint64_t own_bytes;
    bool has_device; /**< the kernel counts what the disk does */
    uint64_t device_bytes;
    uint64_t verified_blocks, wrong_blocks;
    double seconds;
    char why[BENCH_WHY_BYTES];
};

/**
 * Make the file, fill it and work on it, in a thread that is given up if the disk does not answer.
 *
 * Returns 0 or -errno, with one sentence in `why`. `*is_abandoned`: the session may not be freed.
 */
int disk_session_run(struct disk_session *session, const struct bench_request *request, disk_session_fn *work,
                     bool *is_abandoned, char why[BENCH_WHY_BYTES]);

/** The buffer of a slot: a chunk. */
char *disk_session_buffer(const struct disk_session *session, size_t slot);

/** Keep the file busy with `load`, and count what others do to the disk meanwhile. Returns 0 or -errno. */
int disk_session_drive(struct disk_session *session, struct disk_load *load);

/** Plant a fault if the program for tests was asked to: the first chunk without its stamps, or no answer ever. Returns
 * 0 or -errno. */
int disk_session_plant(struct disk_session *session);

/** Note whether what was read into `buffer` is right. */
void disk_session_verify(struct disk_session *session, const char *buffer, uint64_t offset, size_t bytes);

/** Write what both benchmarks say. */
void disk_session_put(const struct disk_session *session, struct np_json *out);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Move through the file from its beginning to its end, chunk by chunk, many at a time. */
#ifndef NODEPROOF_BENCH_DISK_SEQUENTIAL_H
#define NODEPROOF_BENCH_DISK_SEQUENTIAL_H

#include "disk_session.h"
#include "nodeproof/sampling.h"

/** Write the whole file once, or as much of it as can be written in `most_s`: that is its size then. Returns 0 or
 * -errno. */
int disk_sequential_fill(struct disk_session *session, double most_s);

/**
 * Read or write for `seconds`, over and over, and find the rate in windows of at most a tenth of a second.
 *
 * Returns 0 or -errno.
 */
int disk_sequential_measure(struct disk_session *session, bool is_write, double seconds, struct np_samples *rates);

/** How many requests at a time: one for each slot, but never two for the same chunk. */
size_t disk_sequential_depth(const struct disk_session *session);

#endif

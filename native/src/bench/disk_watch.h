/* SPDX-License-Identifier: Apache-2.0 */
/* Work that may never come back: a thread that waits for a dead disk can be neither woken nor ended. */
#ifndef NODEPROOF_BENCH_DISK_WATCH_H
#define NODEPROOF_BENCH_DISK_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef int disk_watch_fn(void *state);

/**
 * Do the work in a thread of its own and wait for it, but not for long once it is cancelled or `*answers` stands still.
 *
 * Returns 0 or -errno: its own, or with `*is_abandoned` -ECANCELED or -ETIMEDOUT. All that it uses has to outlive us
 * then.
 */
int disk_watch(disk_watch_fn *work, void *state, const atomic_bool *is_cancelled, const _Atomic uint64_t *answers,
               bool *is_abandoned);

#endif

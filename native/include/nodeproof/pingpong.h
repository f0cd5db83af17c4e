/* SPDX-License-Identifier: Apache-2.0 */
/* A cache line that two CPUs pass back and forth: how far apart they are. */
#ifndef NODEPROOF_PINGPONG_H
#define NODEPROOF_PINGPONG_H

#include <stdatomic.h>

#include "nodeproof/clock.h"
#include "nodeproof/sampling.h"

/** The line, alone on its page: a neighbour line may be fetched with it. */
struct np_ball {
    _Alignas(4096) _Atomic uint64_t count;
    atomic_bool is_over;
};

/** Throw the ball back until `is_over`, in the thread of the other CPU. */
void np_pingpong_answer(struct np_ball *ball);

/**
 * Pass the ball `batches` times `passes` there and back, and add the one-way time of each batch to `samples`.
 *
 * The other thread has to run np_pingpong_answer; it is sent home at the end. Returns 0, or -ECANCELED if
 * `*is_cancelled` or if `most_s` was over before the first batch: the other CPU does not answer.
 */
int np_pingpong_serve(struct np_ball *ball, const struct np_clock *clock, const atomic_bool *is_cancelled,
                      size_t batches, size_t passes, double most_s, struct np_samples *samples);

#endif

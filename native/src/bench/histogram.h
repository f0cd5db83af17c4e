/* SPDX-License-Identifier: Apache-2.0 */
/* How samples of a time are spread, in few numbers: what a comparison of ports needs, and what a person draws. */
#ifndef NODEPROOF_BENCH_HISTOGRAM_H
#define NODEPROOF_BENCH_HISTOGRAM_H

#include "nodeproof/json.h"
#include "nodeproof/sampling.h"

/**
 * Write `histogram` of positive times in ascending order: an array of [upper edge in seconds, count], without the bins
 * that are empty.
 *
 * A time belongs to the first bin whose edge is not below it. Edges are powers of 2^(1/16): a bin is 4.4 % wide, and
 * the same in every result.
 */
void histogram_put(struct np_json *out, const struct np_samples *sorted);

#endif

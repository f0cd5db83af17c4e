/* SPDX-License-Identifier: Apache-2.0 */
/* The slow end of times: what a job that waits for the last answer of many sees. */
#ifndef NODEPROOF_BENCH_TAIL_H
#define NODEPROOF_BENCH_TAIL_H

#include "nodeproof/json.h"
#include "nodeproof/sampling.h"

/** Write p99_s and p999_s, null if there are too few samples to know. Sorts them. */
void tail_put(struct np_json *out, struct np_samples *times);

#endif

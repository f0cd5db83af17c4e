/* SPDX-License-Identifier: Apache-2.0 */
/* How far apart the CPUs of a result are: on a virtual machine the host may move them between runs. */
#ifndef NODEPROOF_BENCH_FINGERPRINT_H
#define NODEPROOF_BENCH_FINGERPRINT_H

#include "bench.h"
#include "nodeproof/sampling.h"

/**
 * Measure how long a cache line takes from one CPU to the other, one way, for at most `most_s`.
 *
 * Returns 0 or -errno; -ECANCELED if they did not meet in that time.
 */
int fingerprint_pair(const struct bench_request *request, unsigned int cpu, unsigned int other, double most_s,
                     struct np_samples *samples);

/** Write `fingerprint_s`, the median over pairs of neighbours in the set, or null with a single CPU. */
void fingerprint_put(const struct bench_request *request, const struct np_cpuset *cpus, struct np_json *out);

#endif

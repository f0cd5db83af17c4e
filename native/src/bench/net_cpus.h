/* SPDX-License-Identifier: Apache-2.0 */
/* On which CPUs the ends of a connection are. */
#ifndef NODEPROOF_BENCH_NET_CPUS_H
#define NODEPROOF_BENCH_NET_CPUS_H

#include "bench.h"

/** Two CPUs for the two ends on this host, of different cores if there are any. Returns 0 or -errno, with a sentence.
 */
int net_cpus_for_two(const struct bench_request *request, unsigned int cpus[2], char why[BENCH_WHY_BYTES]);

/**
 * A CPU for connection `index`, which goes through `device`: of --cpus in turn, else next to the device if it has a
 * place, else the first of ours.
 *
 * Returns 0 or -errno, with one sentence.
 */
int net_cpus_for(const struct bench_request *request, const char *device, size_t index, unsigned int *cpu,
                 char why[BENCH_WHY_BYTES]);

#endif

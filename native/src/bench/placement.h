/* SPDX-License-Identifier: Apache-2.0 */
/* Which CPUs and whose memory a benchmark uses. */
#ifndef NODEPROOF_BENCH_PLACEMENT_H
#define NODEPROOF_BENCH_PLACEMENT_H

#include "bench.h"

struct placement {
    struct np_cpuset cpuset;
    int node;          /**< of the memory; -1 on a kernel without NUMA */
    size_t cores;      /**< of the node; 0 if the kernel does not say */
    size_t cores_used; /**< of those, how many have a CPU in `cpuset` */
};

/**
 * Choose what was asked for, else one CPU of each core of the node, else of the first node that
 * has both memory and CPUs of ours: always within the affinity of this process.
 *
 * Returns 0 or -errno, with one sentence in `why`.
 */
int placement_find(const struct bench_request *request, struct placement *place, char why[BENCH_WHY_BYTES]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_BENCH_NUMA_H
#define NODEPROOF_BENCH_NUMA_H

#include "bench.h"

bench_fn numa_bandwidth;
bench_fn numa_latency;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_BENCH_RDMA_H
#define NODEPROOF_BENCH_RDMA_H

#include "bench.h"

bench_fn rdma_latency;
bench_fn rdma_bandwidth;

#endif

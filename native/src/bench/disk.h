/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_BENCH_DISK_H
#define NODEPROOF_BENCH_DISK_H

#include "bench.h"

bench_fn disk_bandwidth;
bench_fn disk_latency;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_BENCH_MEMORY_H
#define NODEPROOF_BENCH_MEMORY_H

#include "bench.h"

bench_fn memory_read;
bench_fn memory_write;
bench_fn memory_copy;
bench_fn memory_scale;
bench_fn memory_add;
bench_fn memory_triad;
bench_fn memory_triad_regular;
bench_fn memory_latency;
bench_fn memory_loaded_latency;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_BENCH_GPU_H
#define NODEPROOF_BENCH_GPU_H

#include "bench.h"

bench_fn gpu_hbm_bandwidth;
bench_fn gpu_pcie_bandwidth;
bench_fn gpu_pcie_latency;
bench_fn gpu_p2p_bandwidth;
bench_fn gpu_gemm;
bench_fn gpu_memtest;
bench_fn gpu_compute_check;
bench_fn gpu_burn;

#endif

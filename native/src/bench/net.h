/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_BENCH_NET_H
#define NODEPROOF_BENCH_NET_H

#include "bench.h"

bench_fn net_loopback;
bench_fn net_latency;
bench_fn net_bandwidth;

#endif

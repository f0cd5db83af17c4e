/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_BENCH_VERIFY_H
#define NODEPROOF_BENCH_VERIFY_H

#include "bench.h"

bench_fn cpu_verify;
bench_fn memory_verify;

#endif

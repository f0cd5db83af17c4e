/* SPDX-License-Identifier: Apache-2.0 */
/* For CPUs that we have no intrinsics for. The compiler vectorises it, but stores fill the cache. */
#define TARGET
#define VECTOR double
#define LANES 1
#define SET(s) (s)
#define LOAD(p) (*(p))
#define STORE(p, v) (*(p) = (v))
#define AROUND(p, v) (*(p) = (v))
#define ADD(x, y) ((x) + (y))
#define MULTIPLY(x, y) ((x) * (y))
#define FUSED(x, y, z) ((x) * (y) + (z))
#define SUM(v) (v)
#define FENCE() ((void)0)

#include "kernels.h"

np_stream_fn *const np_stream_generic[NP_STREAM_OP_COUNT] = STREAM_TABLE;

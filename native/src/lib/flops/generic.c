/* SPDX-License-Identifier: Apache-2.0 */
/* For CPUs that we have no instructions for: what the compiler makes of it. */
#include "table.h"

#define EACH(m) m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7)

#define NAME fp64
#define TARGET
#define VECTOR double
#define BYTES (int)sizeof(double)
#define OPERANDS const double factor = NP_FLOPS_FACTOR
#define FIRST(v) (v)
#define STEP(x) (x) += (x) * factor
#define SAVE(p, x) (*(double *)(void *)(p) = (x))
#include "kernel.h"

#undef BYTES
#define NAME fp32
#define TARGET
#define VECTOR float
#define BYTES (int)sizeof(float)
#define OPERANDS const float factor = NP_FLOPS_FACTOR
#define FIRST(v) (v)
#define STEP(x) (x) += (x) * factor
#define SAVE(p, x) (*(float *)(void *)(p) = (x))
#include "kernel.h"

np_flops_table np_flops_generic = {
    [NP_FP64] = {{.run = fp64, .vectors = 8, .vector_bytes = sizeof(double), .products = 1}},
    [NP_FP32] = {{.run = fp32, .vectors = 8, .vector_bytes = sizeof(float), .products = 1}},
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Our kernels as PTX text, which the driver compiles for its GPU: native/gpu/NAME.ptx, put here by the build. */
#ifndef NODEPROOF_BENCH_GPU_PTX_H
#define NODEPROOF_BENCH_GPU_PTX_H

extern const char gpu_ptx_plain[];
extern const char gpu_ptx_tensor[];
extern const char gpu_ptx_fp8[];

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels.h"

static const struct np_verify_kernel *const KERNELS[] = {
    &np_verify_gemm_fp64,     &np_verify_gemm_fp32, &np_verify_gemm_fma_fp64,
    &np_verify_gemm_fma_fp32, &np_verify_fft_fp64,  &np_verify_nbody_fp64,
    &np_verify_svd_fp64,      &np_verify_aes,       &np_verify_sha256,
    &np_verify_crc32c,        &np_verify_lz,        &np_verify_permute,
    &np_verify_transpose,     &np_verify_gather,    &np_verify_compact,
    &np_verify_copy,          &np_verify_multiply,  &np_verify_copy_string,
    &np_verify_integer,
};

const struct np_verify_kernel *const *np_verify_kernels(size_t *count)
{
    *count = NP_COUNT(KERNELS);
    return KERNELS;
}

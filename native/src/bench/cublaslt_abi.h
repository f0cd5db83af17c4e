/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What we use of the binary interface of libcublasLt.so, NVIDIA's library of matrix products, declared by ourselves as
 * that of the driver is (cuda_abi.h).
 *
 * Names are those of NVIDIA's cublasLt.h, cublas_api.h and library_types.h with np_ before them, the values those of
 * CUDA 13.1. Those of CUDA 11.6 are the same; FP8 and its fast sums came with 11.8, and an older library refuses them
 * by their number. A test compares all of it with the real header where there is one.
 */
#ifndef NODEPROOF_BENCH_CUBLASLT_ABI_H
#define NODEPROOF_BENCH_CUBLASLT_ABI_H

#include <stddef.h>
#include <stdint.h>

/* In the headers, pointers to structures that nobody else looks into. */
typedef struct np_cublaslt_context_st *np_cublaslt_handle;
typedef struct np_cublaslt_operation_st *np_cublaslt_operation;
typedef struct np_cublaslt_layout_st *np_cublaslt_layout;
typedef struct np_cublaslt_preference_st *np_cublaslt_preference;

/** cublasStatus_t */
enum {
    NP_CUBLAS_SUCCESS = 0,
    NP_CUBLAS_NOT_INITIALIZED = 1,
    NP_CUBLAS_ALLOC_FAILED = 3,
    NP_CUBLAS_INVALID_VALUE = 7,
    NP_CUBLAS_ARCH_MISMATCH = 8,
    NP_CUBLAS_MAPPING_ERROR = 11,
    NP_CUBLAS_EXECUTION_FAILED = 13,
    NP_CUBLAS_INTERNAL_ERROR = 14,
    NP_CUBLAS_NOT_SUPPORTED = 15,
    NP_CUBLAS_LICENSE_ERROR = 16,
};

/** cudaDataType */
enum { NP_CUDA_R_32F = 0, NP_CUDA_R_64F = 1, NP_CUDA_R_16BF = 14, NP_CUDA_R_8F_E4M3 = 28 };

/** cublasComputeType_t: what factors are multiplied in, and sums added up in. */
enum { NP_CUBLAS_COMPUTE_32F = 68, NP_CUBLAS_COMPUTE_64F = 70, NP_CUBLAS_COMPUTE_32F_FAST_TF32 = 77 };

/** cublasOperation_t: a matrix as it is, or its transpose. */
enum { NP_CUBLAS_OP_N = 0, NP_CUBLAS_OP_T = 1 };

/** cublasLtMatmulDescAttributes_t: an int32_t, the last one an int8_t. */
enum { NP_CUBLASLT_TRANSA = 3, NP_CUBLASLT_TRANSB = 4, NP_CUBLASLT_FAST_ACCUM = 25 };

/** cublasLtMatmulPreferenceAttributes_t: a uint64_t. */
enum { NP_CUBLASLT_MAX_WORKSPACE_BYTES = 1 };

/** cublasLtMatmulAlgo_t: a way to compute a product, as the library writes it down. */
struct np_cublaslt_algorithm {
    uint64_t data[8];
};

/** cublasLtMatmulHeuristicResult_t: what it found for one. */
struct np_cublaslt_found {
    struct np_cublaslt_algorithm algorithm;
    size_t workspace_bytes;
    int status;
    float waves;
    int reserved[4];
};

_Static_assert(sizeof(struct np_cublaslt_found) == 96, "as the header has it");

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What we use of the binary interface of libcuda.so.1, the driver API, declared by ourselves: the library is loaded at
 * run time, and its header is not needed to build.
 *
 * Names are those of NVIDIA's cuda.h with np_ before them. A function that cuda.h maps to a versioned symbol
 * (cuMemAlloc to cuMemAlloc_v2) has to be found by that one: without a version it is the 32-bit one of CUDA 3.1.
 * cuEventElapsedTime and what takes no address never changed. A test compares all of it with the real header where
 * there is one.
 */
#ifndef NODEPROOF_BENCH_CUDA_ABI_H
#define NODEPROOF_BENCH_CUDA_ABI_H

#include <stddef.h>
#include <stdint.h>

typedef int np_cu_device;
typedef unsigned long long np_cu_deviceptr;

/* In the header, pointers to structures that nobody else knows. */
typedef struct np_cu_context_st *np_cu_context;
typedef struct np_cu_module_st *np_cu_module;
typedef struct np_cu_function_st *np_cu_function;
typedef struct np_cu_stream_st *np_cu_stream;
typedef struct np_cu_event_st *np_cu_event;

/** CUresult, of those that are told apart here. */
enum {
    NP_CUDA_SUCCESS = 0,
    NP_CUDA_ERROR_OUT_OF_MEMORY = 2,
    NP_CUDA_ERROR_NO_DEVICE = 100,
    NP_CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
    NP_CUDA_ERROR_INVALID_PTX = 218,
    NP_CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222,
    NP_CUDA_ERROR_NOT_READY = 600,
    NP_CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED = 704,
};

/** CUdevice_attribute */
enum {
    NP_CU_MULTIPROCESSOR_COUNT = 16,
    NP_CU_COMPUTE_MODE = 20,
    NP_CU_L2_CACHE_SIZE = 38,
    NP_CU_COMPUTE_CAPABILITY_MAJOR = 75,
    NP_CU_COMPUTE_CAPABILITY_MINOR = 76,
    NP_CU_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97,
    NP_CU_HOST_NUMA_ID = 134, /**< since CUDA 12.2; -1 without NUMA */
};

/** CUcomputemode */
enum { NP_CU_COMPUTEMODE_PROHIBITED = 2 };

/** CUfunction_attribute */
enum { NP_CU_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8 };

/** CUjit_option, an enum: its values go in an array of int, the options' own in one of pointers. */
enum { NP_CU_JIT_ERROR_LOG_BUFFER = 5, NP_CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6 };

enum { NP_CU_STREAM_NON_BLOCKING = 1, NP_CU_EVENT_DEFAULT = 0 };

/** Flags of cuMemHostRegister: pinned for all contexts, and in the address space of GPUs. */
enum { NP_CU_MEMHOSTREGISTER_PORTABLE = 1, NP_CU_MEMHOSTREGISTER_DEVICEMAP = 2 };

/** A PCI address as the driver writes it, such as `0000:1B:00.0`; a domain may have eight digits. */
enum { NP_CU_PCI_BYTES = 32 };

_Static_assert(sizeof(void *) == 8 && sizeof(np_cu_deviceptr) == 8, "64-bit machines only");

#endif

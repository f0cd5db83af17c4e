/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kernels need beyond plain C++: instructions without a name in it, each wrapped in one function.
 *
 * Tests compile the same kernels for the CPU, where cpu_device.h does the same in other ways.
 */
#ifndef NODEPROOF_GPU_DEVICE_H
#define NODEPROOF_GPU_DEVICE_H

typedef unsigned int u32;
typedef unsigned long long u64;

#ifndef __CUDACC__
#include "cpu_device.h"
#else

#define KERNEL extern "C" __global__ void
#define DEVICE static __device__ __forceinline__
#define DEVICE_MEMBER __device__ __forceinline__

/** So many threads in a block, and as few registers as so many blocks on a multiprocessor need. */
#define BOUNDS(threads, blocks) __launch_bounds__(threads, blocks)

/** The memory that the launch gives each block beyond what it declares. */
#define DYNAMIC_SHARED(name) extern __shared__ __align__(128) char name[]

/** The multiprocessor that this thread runs on. */
DEVICE u32 multiprocessor(void)
{
    u32 number;
    asm volatile("mov.u32 %0, %%smid;" : "=r"(number));
    return number;
}

/** Data that is used once should not push other data out of the caches. */
template <typename T> DEVICE T load_once(const T *from)
{
    return __ldcs(from);
}

template <typename T> DEVICE void store_once(T *to, T value)
{
    __stcs(to, value);
}

/** Memory that the host looks at meanwhile. */
DEVICE u32 load_shared_with_host(const u32 *from)
{
    const u32 value = *(const volatile u32 *)from;
    __threadfence_system();
    return value;
}

DEVICE void store_shared_with_host(u32 *to, u32 value)
{
    __threadfence_system();
    *(volatile u32 *)to = value;
}

/** a * b + c, rounded once: a compiler that fuses what is written apart would give other bits. */
DEVICE float fused(float a, float b, float c)
{
    return __fmaf_rn(a, b, c);
}

DEVICE double fused(double a, double b, double c)
{
    return __fma_rn(a, b, c);
}

DEVICE float product(float a, float b)
{
    return __fmul_rn(a, b);
}

DEVICE double product(double a, double b)
{
    return __dmul_rn(a, b);
}

#if __CUDA_ARCH__ >= 800

/** 16 bytes from global to shared memory, without waiting for them. */
DEVICE void copy_async(void *to, const void *from)
{
    const u32 address = (u32)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" : : "r"(address), "l"(from) : "memory");
}

/** All copies since the last time are one group. */
DEVICE void copy_commit(void)
{
    asm volatile("cp.async.commit_group;" : : : "memory");
}

/** Wait until at most so many groups (0 to 2) are on their way. */
DEVICE void copy_wait(int groups)
{
    if (groups == 0)
        asm volatile("cp.async.wait_group 0;" : : : "memory");
    else if (groups == 1)
        asm volatile("cp.async.wait_group 1;" : : : "memory");
    else
        asm volatile("cp.async.wait_group 2;" : : : "memory");
}

/**
 * Four matrices of eight rows of 16 bytes: lanes 0-7 say where the rows of the first one are, and so on. A lane gets
 * word `lane % 4` of row `lane / 4` of each.
 */
DEVICE void load_matrices(u32 words[4], const void *row)
{
    const u32 address = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(address)
                 : "memory");
}

#define MULTIPLY(shape_and_types)                                                                                      \
    asm volatile("mma.sync.aligned." shape_and_types " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "                 \
                 "{%0, %1, %2, %3};"                                                                                   \
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])                                              \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))

/*
 * A tensor core adds to 16 x 8 sums the product of 16 rows and 8 columns of 32 bytes each. What lanes hold is the same
 * for all types (PTX ISA, "Matrix Fragments for mma"): of a, word lane % 4 of the low and the high 16 bytes of rows
 * lane / 4 and that + 8; of b, of column lane / 4; of the sums, columns 2 * (lane % 4) and the next of those two rows.
 */
struct Bf16 {
    static DEVICE_MEMBER void multiply(float sum[4], const u32 a[4], const u32 b[2])
    {
        MULTIPLY("m16n8k16.row.col.f32.bf16.bf16.f32");
    }
};

struct Tf32 {
    static DEVICE_MEMBER void multiply(float sum[4], const u32 a[4], const u32 b[2])
    {
        MULTIPLY("m16n8k8.row.col.f32.tf32.tf32.f32");
    }
};

#if __CUDA_ARCH__ >= 890
struct E4m3 {
    static DEVICE_MEMBER void multiply(float sum[4], const u32 a[4], const u32 b[2])
    {
        MULTIPLY("m16n8k32.row.col.f32.e4m3.e4m3.f32");
    }
};
#endif

/** One column of 8 x 8 sums of doubles: a lane holds column lane % 4 of row lane / 4 of a, and of b transposed. */
DEVICE void multiply_double(double sum[2], double a, double b)
{
    asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
                 : "+d"(sum[0]), "+d"(sum[1])
                 : "d"(a), "d"(b));
}

#endif
#endif

/** Scatter the bits of a word: the finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA 2014). */
DEVICE u64 scattered(u64 x)
{
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

/** The sum over all threads of the block, in its first thread; `words` has one word for each of them. */
DEVICE u64 block_sum(u64 value, u64 *words)
{
    words[threadIdx.x] = value;
    for (u32 half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            words[threadIdx.x] += words[threadIdx.x + half];
    }
    return words[0];
}

#endif

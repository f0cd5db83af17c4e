/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elements of the matrices that are multiplied: whole numbers, so that every sum is exact and its order does not
 * matter.
 *
 * They are as many different ones as the type holds well, for few bits that change draw less power than a real matrix.
 * The sums of 16384 products are far below 2^24, those of FP8, whose tensor cores keep fewer bits, below 2^13.
 */
#ifndef NODEPROOF_GPU_ELEMENTS_H
#define NODEPROOF_GPU_ELEMENTS_H

#include "device.h"

/** By the number that gpu_gemm.h has for them. */
enum { TYPE_BF16, TYPE_TF32, TYPE_FP64, TYPE_E4M3 };

/** How far apart the seeds of two matrices are: no element of one is in the other at a place near by. */
#define SEED_OF_B (1ULL << 32)

/** Element `index` of a matrix: -64 to 63, of FP8 -3 to 3. */
DEVICE int element_of(u64 index, u64 seed, u32 type)
{
    const u32 bits = (u32)(scattered(seed + index) >> 57);
    return type == TYPE_E4M3 ? (int)(bits % 7) - 3 : (int)bits - 64;
}

/** -3 to 3 in E4M3 (OCP 8-bit floating point specification): sign, 4 bits of exponent with bias 7, 3 of mantissa. */
DEVICE unsigned char e4m3_of(int value)
{
    const int size = value < 0 ? -value : value;
    const u32 bits = size == 0 ? 0 : size == 1 ? 0x38 : size == 2 ? 0x40 : 0x44;
    return (unsigned char)(bits | (value < 0 ? 0x80 : 0));
}

#endif

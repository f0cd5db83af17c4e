/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernels share. The table of all of them is in table.c. */
#ifndef NODEPROOF_LIB_VERIFY_KERNELS_H
#define NODEPROOF_LIB_VERIFY_KERNELS_H

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "nodeproof/verify.h"

#define NP_COUNT(array) (sizeof(array) / sizeof *(array))

extern const struct np_verify_kernel np_verify_gemm_fp64, np_verify_gemm_fp32;
extern const struct np_verify_kernel np_verify_gemm_fma_fp64, np_verify_gemm_fma_fp32;
extern const struct np_verify_kernel np_verify_fft_fp64, np_verify_nbody_fp64, np_verify_svd_fp64;
extern const struct np_verify_kernel np_verify_aes, np_verify_sha256, np_verify_crc32c, np_verify_lz;
extern const struct np_verify_kernel np_verify_permute, np_verify_transpose, np_verify_gather, np_verify_compact;
extern const struct np_verify_kernel np_verify_copy, np_verify_copy_string;
extern const struct np_verify_kernel np_verify_multiply, np_verify_integer;

/* What this CPU has. Those of an ISA are np_isa_is_supported; the others belong to single kernels. */
bool np_verify_has_generic(void);
bool np_verify_has_sse2(void);
bool np_verify_has_avx2(void);
bool np_verify_has_avx512(void);
bool np_verify_has_neon(void);
bool np_verify_has_sve(void);
bool np_verify_has_shuffle(void);
bool np_verify_has_vbmi(void);
bool np_verify_has_crc(void);
bool np_verify_has_aes(void);
bool np_verify_has_vaes256(void);
bool np_verify_has_vaes512(void);
bool np_verify_has_sha(void);

/* Number `index` of the sequence that begins with `seed`: Steele, Lea, Flood, "Fast splittable
   pseudorandom number generators", 2014. It keeps no state, so that any part can be made again. */
static inline uint64_t np_verify_random(uint64_t seed, uint64_t index)
{
    uint64_t z = seed + (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Fill `bytes`, a multiple of eight. */
void np_verify_fill(uint64_t seed, void *data, size_t bytes);

/* Of either sign, from 1/16 to 16, all bits of the fraction in use. */
void np_verify_fill_fp64(uint64_t seed, double *values, size_t count);
void np_verify_fill_fp32(uint64_t seed, float *values, size_t count);

/* For the published test vectors: encrypt or decrypt blocks of 16 bytes, hash whole blocks of 64 bytes into
   `state`, continue a CRC. Return 0, or -ENOTSUP if there is no such variant or this CPU cannot run it. */
int np_verify_aes_apply(enum np_isa isa, bool decrypts, const uint8_t key[16], const uint8_t *in, uint8_t *out,
                        size_t blocks);
int np_verify_sha256_apply(enum np_isa isa, uint32_t state[8], const uint8_t *data, size_t blocks);
int np_verify_crc32c_apply(enum np_isa isa, uint32_t *crc, const uint8_t *data, size_t bytes);

/* For the tests of what no hash can say: this is a Fourier transform, and that a compressor. */
enum { NP_FFT_POINTS = 1024, NP_LZ_BYTES = 16 << 10 };

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <arm_sve.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

bool np_verify_has_generic(void)
{
    return true;
}

bool np_verify_has_sse2(void)
{
    return np_isa_is_supported(NP_ISA_SSE2);
}

bool np_verify_has_avx2(void)
{
    return np_isa_is_supported(NP_ISA_AVX2);
}

bool np_verify_has_avx512(void)
{
    return np_isa_is_supported(NP_ISA_AVX512);
}

bool np_verify_has_neon(void)
{
    return np_isa_is_supported(NP_ISA_NEON);
}

#if defined(__x86_64__)

/* Leaf 7 of CPUID, Intel SDM volume 2A: clang's __builtin_cpu_supports does not know these two. */
enum { EBX_SHA = 1 << 29, ECX_VAES = 1 << 9 };

static bool has_leaf7(unsigned int ebx, unsigned int ecx)
{
    unsigned int a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & ebx) == ebx && (c & ecx) == ecx;
}

bool np_verify_has_sve(void)
{
    return false;
}

bool np_verify_has_shuffle(void)
{
    return __builtin_cpu_supports("ssse3");
}

bool np_verify_has_vbmi(void)
{
    return np_verify_has_avx512() && __builtin_cpu_supports("avx512vbmi");
}

bool np_verify_has_crc(void)
{
    return __builtin_cpu_supports("sse4.2");
}

bool np_verify_has_aes(void)
{
    return __builtin_cpu_supports("aes");
}

bool np_verify_has_vaes256(void)
{
    return np_verify_has_avx2() && has_leaf7(0, ECX_VAES);
}

bool np_verify_has_vaes512(void)
{
    return np_verify_has_avx512() && has_leaf7(0, ECX_VAES);
}

bool np_verify_has_sha(void)
{
    return __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3") && has_leaf7(EBX_SHA, 0);
}

#elif defined(__aarch64__)

static bool has_hwcap(unsigned long bits)
{
    return (getauxval(AT_HWCAP) & bits) == bits;
}

bool np_verify_has_sve(void)
{
    return np_isa_is_supported(NP_ISA_SVE);
}

bool np_verify_has_crc(void)
{
    return has_hwcap(HWCAP_CRC32);
}

bool np_verify_has_aes(void)
{
    return has_hwcap(HWCAP_AES);
}

bool np_verify_has_sha(void)
{
    return has_hwcap(HWCAP_SHA2);
}

#endif

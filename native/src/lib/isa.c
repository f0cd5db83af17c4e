/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/isa.h"

#include <errno.h>
#include <string.h>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

/* Kernels divide their arrays evenly. The first edition of SVE allowed vectors of 384 bits and the like as well. */
static bool has_even_vectors(void)
{
    const int bytes = prctl(PR_SVE_GET_VL) & PR_SVE_VL_LEN_MASK;
    return (bytes & (bytes - 1)) == 0;
}
#endif

static const char *const NAMES[NP_ISA_COUNT] = {
    [NP_ISA_GENERIC] = "generic", [NP_ISA_SSE2] = "sse2", [NP_ISA_AVX2] = "avx2",
    [NP_ISA_AVX512] = "avx512",   [NP_ISA_NEON] = "neon", [NP_ISA_SVE] = "sve",
};

const char *np_isa_name(enum np_isa isa)
{
    return NAMES[isa];
}

bool np_isa_is_supported(enum np_isa isa)
{
    switch (isa) {
    case NP_ISA_GENERIC:
        return true;
#if defined(__x86_64__)
    case NP_ISA_SSE2:
        return true;
    case NP_ISA_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case NP_ISA_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#elif defined(__aarch64__)
    case NP_ISA_NEON:
        return true;
    case NP_ISA_SVE:
        return (getauxval(AT_HWCAP) & HWCAP_SVE) && has_even_vectors();
#endif
    default:
        return false;
    }
}

int np_isa_find(const char *name, enum np_isa *isa)
{
    for (int i = 0; i < NP_ISA_COUNT; i++) {
        if (strcmp(name, NAMES[i]) != 0)
            continue;
        *isa = (enum np_isa)i;
        return 0;
    }
    return -ENOENT;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of bodies that attract each other: the divisions and square roots that a matrix product does not have. */
#include "kernels.h"
#include "vectors.h"

enum { BODIES = 128, STEPS = 4 };

struct bodies {
    double x[BODIES], y[BODIES], z[BODIES];
    double vx[BODIES], vy[BODIES], vz[BODIES];
};

/* A vector of bodies against every body in turn, in the same order whatever the width. */
#define STEP(ISA)                                                                                                      \
    TARGET_##ISA static void step_##ISA(const double *mass, const struct bodies *now, struct bodies *next)             \
    {                                                                                                                  \
        const fp64_##ISA one = fp64_##ISA##_all(1), time = fp64_##ISA##_all(0.0078125);                                \
        for (size_t i = 0; i < BODIES; i += fp64_##ISA##_lanes) {                                                      \
            const fp64_##ISA x = fp64_##ISA##_load(&now->x[i]), y = fp64_##ISA##_load(&now->y[i]);                     \
            const fp64_##ISA z = fp64_##ISA##_load(&now->z[i]);                                                        \
            fp64_##ISA vx = fp64_##ISA##_load(&now->vx[i]), vy = fp64_##ISA##_load(&now->vy[i]);                       \
            fp64_##ISA vz = fp64_##ISA##_load(&now->vz[i]);                                                            \
            for (size_t j = 0; j < BODIES; j++) {                                                                      \
                const fp64_##ISA dx = fp64_##ISA##_all(now->x[j]) - x, dy = fp64_##ISA##_all(now->y[j]) - y;           \
                const fp64_##ISA dz = fp64_##ISA##_all(now->z[j]) - z;                                                 \
                const fp64_##ISA square = one + dx * dx + dy * dy + dz * dz;                                           \
                const fp64_##ISA pull = fp64_##ISA##_all(mass[j]) / (square * fp64_##ISA##_sqrt(square));              \
                vx = vx + pull * dx;                                                                                   \
                vy = vy + pull * dy;                                                                                   \
                vz = vz + pull * dz;                                                                                   \
            }                                                                                                          \
            fp64_##ISA##_store(&next->vx[i], vx);                                                                      \
            fp64_##ISA##_store(&next->vy[i], vy);                                                                      \
            fp64_##ISA##_store(&next->vz[i], vz);                                                                      \
            fp64_##ISA##_store(&next->x[i], x + vx * time);                                                            \
            fp64_##ISA##_store(&next->y[i], y + vy * time);                                                            \
            fp64_##ISA##_store(&next->z[i], z + vz * time);                                                            \
        }                                                                                                              \
    }                                                                                                                  \
    static void run_##ISA(uint64_t seed, void *scratch, void *output)                                                  \
    {                                                                                                                  \
        struct bodies *start = scratch, *states = output;                                                              \
        double *mass = (double *)(start + 1);                                                                          \
        np_verify_fill_fp64(seed, start->x, sizeof *start / sizeof(double) + BODIES);                                  \
        for (size_t s = 0; s < STEPS; s++)                                                                             \
            step_##ISA(mass, s == 0 ? start : &states[s - 1], &states[s]);                                             \
    }

STEP(generic)
#if defined(__x86_64__)
STEP(sse2)
STEP(avx2)
STEP(avx512)
#elif defined(__aarch64__)
STEP(neon)
#endif

static const struct np_verify_variant VARIANTS[] = {
    {NP_ISA_GENERIC, np_verify_has_generic, run_generic},
#if defined(__x86_64__)
    {NP_ISA_SSE2, np_verify_has_sse2, run_sse2},
    {NP_ISA_AVX2, np_verify_has_avx2, run_avx2},
    {NP_ISA_AVX512, np_verify_has_avx512, run_avx512},
#elif defined(__aarch64__)
    {NP_ISA_NEON, np_verify_has_neon, run_neon},
#endif
};

const struct np_verify_kernel np_verify_nbody_fp64 = {
    .name = "nbody_fp64",
    .output_bytes = STEPS * sizeof(struct bodies),
    .scratch_bytes = sizeof(struct bodies) + BODIES * sizeof(double),
    .standard_hash = UINT64_C(0x244ad34b6cf83b2d),
    .variant_count = NP_COUNT(VARIANTS),
    .variants = VARIANTS,
};

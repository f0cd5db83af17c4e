/* SPDX-License-Identifier: Apache-2.0 */
/* Scalar integers: division of all widths and magnitudes, long multiplication, powers, bit counts. Plain C only. */
#include "kernels.h"

enum { COUNT = 512, LIMBS = 16 };

struct result {
    uint64_t quotient[COUNT], remainder[COUNT];
    uint64_t quotient_of_128[COUNT], remainder_of_128[COUNT];
    int32_t signed_quotient[COUNT], signed_remainder[COUNT];
    uint64_t power[COUNT];
    uint64_t bits[COUNT];
    uint64_t product[COUNT / LIMBS][2 * LIMBS];
};

__extension__ typedef unsigned __int128 wide;

static uint64_t power_of(uint64_t base, uint64_t exponent, uint64_t modulus)
{
    uint64_t power = 1;
    for (; exponent != 0; exponent >>= 1) {
        if (exponent & 1)
            power = (uint64_t)((wide)power * base % modulus);
        base = (uint64_t)((wide)base * base % modulus);
    }
    return power;
}

/* Schoolbook, with the carries that cryptography lives on. */
static void multiply(const uint64_t *a, const uint64_t *b, uint64_t *product)
{
    memset(product, 0, 2 * LIMBS * sizeof *product);
    for (size_t i = 0; i < LIMBS; i++) {
        uint64_t carry = 0;
        for (size_t j = 0; j < LIMBS; j++) {
            const wide sum = (wide)a[i] * b[j] + product[i + j] + carry;
            product[i + j] = (uint64_t)sum;
            carry = (uint64_t)(sum >> 64);
        }
        product[i + LIMBS] = carry;
    }
}

static void divide(const uint64_t *random, size_t i, struct result *result)
{
    const uint64_t a = random[i], b = random[i + COUNT], divisor = b >> (a & 63) | 1;
    const wide dividend = (wide)(b % divisor) << 64 | a;
    const int32_t x = (int32_t)(a >> 32), y = (int32_t)(b >> (34 + (a & 15))) + 1;
    result->quotient[i] = a / divisor;
    result->remainder[i] = a % divisor;
    result->quotient_of_128[i] = (uint64_t)(dividend / divisor);
    result->remainder_of_128[i] = (uint64_t)(dividend % divisor);
    result->signed_quotient[i] = x / y;
    result->signed_remainder[i] = x % y;
    result->power[i] = power_of(a, b >> 58, divisor);
    result->bits[i] = (uint64_t)__builtin_popcountll(a) << 32 | (uint64_t)__builtin_clzll(divisor) << 16 |
                      (uint64_t)__builtin_ctzll(a | 1);
}

static void run_generic(uint64_t seed, void *scratch, void *output)
{
    uint64_t *random = scratch;
    struct result *result = output;
    np_verify_fill(seed, random, 2 * COUNT * sizeof *random);
    for (size_t i = 0; i < COUNT; i++)
        divide(random, i, result);
    for (size_t i = 0; i < COUNT; i += LIMBS)
        multiply(random + i, random + COUNT + i, result->product[i / LIMBS]);
}

static const struct np_verify_variant VARIANTS[] = {{NP_ISA_GENERIC, np_verify_has_generic, run_generic}};

const struct np_verify_kernel np_verify_integer = {
    .name = "integer",
    .output_bytes = sizeof(struct result),
    .scratch_bytes = 2 * COUNT * sizeof(uint64_t),
    .standard_hash = UINT64_C(0xf02153879e897848),
    .variant_count = NP_COUNT(VARIANTS),
    .variants = VARIANTS,
};

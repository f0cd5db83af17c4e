/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of all kernels, included once for each, after
 *
 *   NAME      of the function                     TARGET      its attribute: the instructions that it uses
 *   VECTOR    type of an accumulator              EACH(m)     m(0) m(1) ...: one for each accumulator
 *   FIRST(v)  v in all its elements               BYTES       its size
 *   OPERANDS  declarations of what STEP reads     STEP(x)     what a round does to accumulator x
 *   SAVE(p, x) store it
 *
 * EACH and BYTES stay for the next kernel. Accumulators are named variables, for vectors of SVE cannot be in
 * arrays. STEP is one instruction in volatile asm where it can be: compilers would otherwise fold, reorder
 * or spill what they take for a useless loop, each in its own way.
 */
#include <stdint.h>

#define NP_DECLARE(i) VECTOR x##i = FIRST(1 + i);
#define NP_STEP(i) STEP(x##i);
#define NP_SAVE(i) SAVE(to + (i) * BYTES, x##i);

TARGET static void NAME(uint64_t rounds, void *output)
{
    char *to = output;
    OPERANDS;
    EACH(NP_DECLARE)
    for (uint64_t round = 0; round < rounds; round++) {
        EACH(NP_STEP)
    }
    EACH(NP_SAVE)
}

#undef NP_DECLARE
#undef NP_STEP
#undef NP_SAVE
#undef NAME
#undef TARGET
#undef OPERANDS
#undef VECTOR
#undef FIRST
#undef STEP
#undef SAVE

/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/chain.h"

/* What is added is in a register: Golden Cove and its successors make additions of a constant when they
   rename registers, several in a cycle. The loop counts apart from the sum: a comparison with the sum would take
   the unit of the next addition now and then, a cycle each time and up to 1 % of the clock. */
uint64_t np_chain_run(uint64_t adds)
{
    const uint64_t one = 1, groups = adds > 0 ? (adds + NP_CHAIN_GROUP - 1) / NP_CHAIN_GROUP : 1;
    uint64_t sum = 0;
    for (uint64_t left = groups; left > 0; left--) {
#if defined(__x86_64__)
        __asm__ volatile(".rept 64\n\tadd %1, %0\n\t.endr" : "+r"(sum) : "r"(one) : "cc");
#elif defined(__aarch64__)
        __asm__ volatile(".rept 64\n\tadd %0, %0, %1\n\t.endr" : "+r"(sum) : "r"(one));
#else
        for (int i = 0; i < NP_CHAIN_GROUP; i++) {
            sum += one;
            __asm__ volatile("" : "+r"(sum));
        }
#endif
    }
    return sum;
}

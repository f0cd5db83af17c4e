/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels for two cores at once: atomic operations, a lock, and cache lines passed to and fro. */
#ifndef NODEPROOF_VERIFY_PAIR_H
#define NODEPROOF_VERIFY_PAIR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { NP_VERIFY_PAIR_LINES = 128, NP_VERIFY_PAIR_TOTALS = 8, NP_VERIFY_PAIR_WORDS = 8 };

/** np_verify_hash of the output of NP_VERIFY_SEED. */
#define NP_VERIFY_PAIR_HASH UINT64_C(0xda035f90c243f490)

/** What each of the two threads gives: the lines that it received, then the totals that both arrived at. */
enum { NP_VERIFY_PAIR_OUTPUT_BYTES = (NP_VERIFY_PAIR_LINES * NP_VERIFY_PAIR_WORDS + NP_VERIFY_PAIR_TOTALS) * 8 };

/** A line that one thread fills and the other empties: `turn` is even while it is the sender's. */
struct np_verify_line {
    _Alignas(64) uint64_t words[NP_VERIFY_PAIR_WORDS];
    _Alignas(64) atomic_uint_fast64_t turn;
};

/** What the two threads share, aligned to 64 bytes. */
struct np_verify_pair {
    struct np_verify_line lines[2];
    _Alignas(64) atomic_uint_fast64_t sum;
    atomic_uint_fast64_t parity;
    atomic_uint_fast64_t greatest;
    atomic_uint_fast64_t swapped;
    _Alignas(64) atomic_uint_fast64_t lock;
    uint64_t guarded[NP_VERIFY_PAIR_TOTALS - 4]; /**< changed under the lock only */
    _Alignas(64) atomic_uint_fast64_t done;
};

/** Make ready for one run of both threads. */
void np_verify_pair_init(struct np_verify_pair *pair);

/**
 * Run side 0 or 1 while another thread runs the other.
 *
 * Fills NP_VERIFY_PAIR_OUTPUT_BYTES, the same for both sides and for every pair of healthy cores.
 * Returns 0, -ECANCELED, or -ETIMEDOUT if the other side gave no sign while this one spun for `patience_s`.
 */
int np_verify_pair_run(struct np_verify_pair *pair, unsigned int side, uint64_t seed, double patience_s,
                       const atomic_bool *is_cancelled, uint64_t *output);

/** What np_verify_pair_run gives, found by one thread alone. */
void np_verify_pair_expected(uint64_t seed, uint64_t *output);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_CHAIN_H
#define NODEPROOF_CHAIN_H

#include <stdint.h>

/** Additions come in groups of this many. */
enum { NP_CHAIN_GROUP = 64 };

/**
 * Make at least `adds` additions of which each needs the last one's result.
 *
 * Such an addition takes one cycle on every core built in the last decades: the time taken tells the
 * clock of the core without its counters, which need privileges and which virtual machines lack. Returns how many were
 * made.
 */
uint64_t np_chain_run(uint64_t adds);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time that a thread loses to others while it does nothing but read the clock: interrupts, other
 * processes, firmware, the hypervisor.
 *
 * A step between two readings that is far longer than usual is a detour: "selfish detour" of
 * Beckman et al., The influence of operating systems on the performance of collective operations, 2006.
 */
#ifndef NODEPROOF_DETOUR_H
#define NODEPROOF_DETOUR_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "nodeproof/clock.h"

enum { NP_DETOURS_LONGEST = 8 };

/** In ticks of the clock. */
struct np_detour {
    uint64_t at; /**< the last reading before it */
    uint64_t ticks;
};

struct np_detours {
    uint64_t usual;     /**< what a step takes undisturbed */
    uint64_t threshold; /**< a step that takes longer is a detour */
    uint64_t count;
    uint64_t lost; /**< what the detours took beyond a usual step, all together */
    size_t longest_count;
    struct np_detour longest[NP_DETOURS_LONGEST]; /**< the longest first */
};

/**
 * Find out what a step takes on this CPU, and call one a detour that takes `least_s` longer.
 *
 * The threshold is higher where a step itself takes about that long: a clock read through the kernel.
 */
void np_detours_init(struct np_detours *detours, const struct np_clock *clock, double least_s);

/** Take note of a step between two readings. */
void np_detours_step(struct np_detours *detours, uint64_t from, uint64_t to);

/** Read the clock from reading `from` to `until`, or until `*is_cancelled`. Returns the last reading. */
uint64_t np_detours_spin(struct np_detours *detours, const struct np_clock *clock, const atomic_bool *is_cancelled,
                         uint64_t from, uint64_t until);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measure a rate of several threads without a barrier between their passes.
 *
 * Each thread works in blocks so short that many of them fit into a slice of the scheduler, stamps
 * each block, and spreads its work over bins of time. A bin counts only if all threads were
 * on their CPUs throughout it: what a foreign process takes away is then missing from the sample,
 * not from the rate.
 */
#ifndef NODEPROOF_WINDOW_H
#define NODEPROOF_WINDOW_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "nodeproof/clock.h"
#include "nodeproof/team.h"

/** Bins of one thread: work done in each, and for how many seconds of it the thread had its CPU. */
struct np_sheet {
    double bin_s;
    size_t bins;
    double *work;
    double *on_cpu_s;
};

/** Returns 0 or -ENOMEM. */
int np_sheet_open(struct np_sheet *sheet, double bin_s, size_t bins);
void np_sheet_close(struct np_sheet *sheet);

/** Spread `work` evenly over the bins from `begin_s` to `end_s`, of which the thread had its CPU for `on_cpu_s`. */
void np_sheet_add(struct np_sheet *sheet, double begin_s, double end_s, double work, double on_cpu_s);

/**
 * Write the rate of all threads together in each bin in which all of them had their CPUs.
 *
 * `rates` has room for as many as a sheet has bins. With `any` the other bins count as well.
 * Returns how many were written.
 */
size_t np_sheets_rates(const struct np_sheet *sheets, size_t count, bool any, double *rates);

/** Do about `units` of work. Returns how much was done, at least 1. */
typedef uint64_t np_block_fn(void *state, uint64_t units);

/** How to measure. Warm-up lets the clock of the CPU rise and finds how many units make a block. */
struct np_window {
    const struct np_clock *clock;
    const atomic_bool *is_cancelled;
    double warmup_s;
    double block_s;
    double bin_s;
    size_t bins;
};

/**
 * Work for `warmup_s` from `from` on.
 *
 * Returns how many units take `block_s`, by the fastest block: slow ones were disturbed.
 */
uint64_t np_window_warm_up(const struct np_window *window, uint64_t from, np_block_fn *block, void *state);

/**
 * Measure in one thread of a team, for `bins` times `bin_s`; all of them must call it.
 *
 * Returns 0 or -ECANCELED.
 */
int np_window_run(const struct np_window *window, struct np_gate *gate, np_block_fn *block, void *state,
                  struct np_sheet *sheet);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* When cores work and when they rest: many defects show only while temperature or voltage change. */
#ifndef NODEPROOF_BENCH_VERIFY_LOAD_H
#define NODEPROOF_BENCH_VERIFY_LOAD_H

#include <stdint.h>

enum load_phase {
    LOAD_HOT,      /**< all cores without a pause */
    LOAD_COLD,     /**< a pause of milliseconds before each run: the core comes out of a deep sleep */
    LOAD_STEPPING, /**< all cores rest and begin together, 100 times a second down to once: the supply voltage droops */
    LOAD_PHASES,
};

const char *load_phase_name(enum load_phase phase);

/** The phase `at_s` into a run of `run_s`, and how long to rest before the next piece of work. */
enum load_phase load_plan(double at_s, double run_s, uint64_t random, double *rest_s);

#endif

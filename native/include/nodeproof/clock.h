/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_CLOCK_H
#define NODEPROOF_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

/** A clock that all CPUs agree on. `hz` is ticks per second. */
struct np_clock {
    double hz;
    bool is_counter; /**< a counter of the CPU that can be read without the kernel */
};

/**
 * Choose the clock, and calibrate a counter for 20 ms against CLOCK_MONOTONIC_RAW.
 *
 * The counter is used if `may_use_counter` and the CPU says that it neither changes its rate nor stops
 * in deep sleep; otherwise ticks are nanoseconds of CLOCK_MONOTONIC_RAW. CNTVCT_EL0 of aarch64 may be as
 * coarse as 40 ns: what is timed has to be much longer than that. Returns 0 or -errno.
 */
int np_clock_init(struct np_clock *clock, bool may_use_counter);

/** The clock's name in results: `tsc`, `cntvct` or `clock_gettime`. */
const char *np_clock_name(const struct np_clock *clock);

static inline uint64_t np_clock_raw_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/** Time now, in ticks. Nothing before or after it is moved across by the CPU. */
static inline uint64_t np_clock_now(const struct np_clock *clock)
{
#if defined(__x86_64__)
    if (clock->is_counter) {
        unsigned int cpu;
        _mm_lfence();
        const uint64_t ticks = __rdtscp(&cpu);
        _mm_lfence();
        return ticks;
    }
#elif defined(__aarch64__)
    if (clock->is_counter) {
        uint64_t ticks;
        __asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(ticks) : : "memory");
        return ticks;
    }
#else
    (void)clock;
#endif
    return np_clock_raw_ns();
}

/** Seconds from `begin` to `end`; negative if `end` was first. */
static inline double np_clock_seconds(const struct np_clock *clock, uint64_t begin, uint64_t end)
{
    return (double)(int64_t)(end - begin) / clock->hz;
}

static inline uint64_t np_clock_ticks(const struct np_clock *clock, double seconds)
{
    return (uint64_t)(seconds * clock->hz);
}

#endif

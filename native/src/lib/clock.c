/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/clock.h"

#include <errno.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* AMD64 Programmer's Manual volume 3 and Intel SDM volume 2A, CPUID leaves 8000_0001h and 8000_0007h. */
enum { EXTENDED_FEATURES = 0x80000001, POWER_MANAGEMENT = 0x80000007 };
enum { HAS_RDTSCP = 1 << 27, HAS_INVARIANT_TSC = 1 << 8 };

static bool has_counter(void)
{
    unsigned int a, b, c, d;
    if (!__get_cpuid(EXTENDED_FEATURES, &a, &b, &c, &d) || !(d & HAS_RDTSCP))
        return false;
    return __get_cpuid(POWER_MANAGEMENT, &a, &b, &c, &d) && (d & HAS_INVARIANT_TSC);
}
#elif defined(__aarch64__)
static bool has_counter(void)
{
    return true; /* CNTVCT_EL0 is part of the architecture, its rate is fixed, and Linux lets everybody read it */
}
#else
static bool has_counter(void)
{
    return false;
}
#endif

enum { CALIBRATION_NS = 20000000, CALIBRATION_TRIES = 8 };

struct moment {
    uint64_t ticks;
    uint64_t ns;
};

/* Both clocks at one moment: of several tries the one that took least, for an interrupt may come between. */
static struct moment both_clocks(void)
{
    const struct np_clock counter = {.hz = 1, .is_counter = true};
    struct moment best = {0, 0};
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < CALIBRATION_TRIES; i++) {
        const uint64_t before = np_clock_now(&counter);
        const uint64_t ns = np_clock_raw_ns();
        const uint64_t took = np_clock_now(&counter) - before;
        if (took < least) {
            least = took;
            best = (struct moment){.ticks = before + took / 2, .ns = ns};
        }
    }
    return best;
}

/* Also on aarch64: CNTFRQ_EL0, which should say the rate, is written by firmware, and not always rightly. */
static int calibrate(double *hz)
{
    const struct moment begin = both_clocks();
    const struct timespec pause = {.tv_nsec = CALIBRATION_NS};
    nanosleep(&pause, NULL); /* if a signal cuts it short, the span is measured all the same */
    const struct moment end = both_clocks();
    if (end.ns <= begin.ns || end.ticks <= begin.ticks)
        return -ERANGE;
    *hz = (double)(end.ticks - begin.ticks) * 1e9 / (double)(end.ns - begin.ns);
    return 0;
}

int np_clock_init(struct np_clock *clock, bool may_use_counter)
{
    *clock = (struct np_clock){.hz = 1e9, .is_counter = false};
    if (may_use_counter && has_counter()) {
        const int rc = calibrate(&clock->hz);
        clock->is_counter = rc == 0;
        return rc;
    }
    struct timespec now;
    return clock_gettime(CLOCK_MONOTONIC_RAW, &now) ? -errno : 0;
}

const char *np_clock_name(const struct np_clock *clock)
{
#if defined(__aarch64__)
    return clock->is_counter ? "cntvct" : "clock_gettime";
#else
    return clock->is_counter ? "tsc" : "clock_gettime";
#endif
}

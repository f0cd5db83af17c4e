/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/clock.h"

#include <errno.h>

#if defined(__x86_64__)
#include <cpuid.h>

enum { CALIBRATION_NS = 20000000, CALIBRATION_TRIES = 8 };

/* AMD64 Programmer's Manual volume 3 and Intel SDM volume 2A, CPUID leaves 8000_0001h and 8000_0007h. */
enum { EXTENDED_FEATURES = 0x80000001, POWER_MANAGEMENT = 0x80000007 };
enum { HAS_RDTSCP = 1 << 27, HAS_INVARIANT_TSC = 1 << 8 };

struct moment {
    uint64_t tsc;
    uint64_t ns;
};

static bool is_tsc_invariant(void)
{
    unsigned int a, b, c, d;
    if (!__get_cpuid(EXTENDED_FEATURES, &a, &b, &c, &d) || !(d & HAS_RDTSCP))
        return false;
    return __get_cpuid(POWER_MANAGEMENT, &a, &b, &c, &d) && (d & HAS_INVARIANT_TSC);
}

/* Both clocks at one moment: of several tries the one that took least, for an interrupt may come between. */
static struct moment both_clocks(void)
{
    const struct np_clock tsc = {.hz = 1, .is_counter = true};
    struct moment best = {0, 0};
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < CALIBRATION_TRIES; i++) {
        const uint64_t before = np_clock_now(&tsc);
        const uint64_t ns = np_clock_raw_ns();
        const uint64_t took = np_clock_now(&tsc) - before;
        if (took < least) {
            least = took;
            best = (struct moment){.tsc = before + took / 2, .ns = ns};
        }
    }
    return best;
}

static int calibrate(double *hz)
{
    const struct moment begin = both_clocks();
    const struct timespec pause = {.tv_nsec = CALIBRATION_NS};
    nanosleep(&pause, NULL); /* if a signal cuts it short, the span is measured all the same */
    const struct moment end = both_clocks();
    if (end.ns <= begin.ns || end.tsc <= begin.tsc)
        return -ERANGE;
    *hz = (double)(end.tsc - begin.tsc) * 1e9 / (double)(end.ns - begin.ns);
    return 0;
}
#endif

int np_clock_init(struct np_clock *clock, bool may_use_counter)
{
    *clock = (struct np_clock){.hz = 1e9, .is_counter = false};
#if defined(__x86_64__)
    if (may_use_counter && is_tsc_invariant()) {
        const int rc = calibrate(&clock->hz);
        clock->is_counter = rc == 0;
        return rc;
    }
#elif defined(__aarch64__)
    uint64_t hz;
    __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz)); /* set by firmware; the kernel trusts it as well */
    if (may_use_counter && hz > 0) {
        *clock = (struct np_clock){.hz = (double)hz, .is_counter = true};
        return 0;
    }
#else
    (void)may_use_counter;
#endif
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

/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "nodeproof/clock.h"
#include "test.h"

/* Both ends are read within microseconds of each other; a busy machine may part them once, not ten times. */
static void agrees_with_the_kernel(const struct np_clock *clock)
{
    double best = INFINITY;
    for (int i = 0; i < 10 && !(best < 1e-3); i++) {
        const uint64_t begin_ns = np_clock_raw_ns(), begin = np_clock_now(clock);
        const struct timespec pause = {.tv_nsec = 50000000};
        nanosleep(&pause, NULL);
        const double took_s = np_clock_seconds(clock, begin, np_clock_now(clock));
        const double took_raw_s = 1e-9 * (double)(np_clock_raw_ns() - begin_ns);
        const double error = fabs(took_s / took_raw_s - 1);
        best = error < best ? error : best;
    }
    CHECK(best < 1e-3);
}

int main(void)
{
    struct np_clock clock;
    CHECK(np_clock_init(&clock, false) == 0);
    CHECK(!clock.is_counter && clock.hz == 1e9);
    agrees_with_the_kernel(&clock);

    CHECK(np_clock_init(&clock, true) == 0);
    CHECK(clock.hz >= 1e6);
    agrees_with_the_kernel(&clock);

    const uint64_t now = np_clock_now(&clock);
    CHECK(np_clock_now(&clock) >= now);
    CHECK(np_clock_seconds(&clock, now, now - np_clock_ticks(&clock, 1)) < 0);
    return EXIT_SUCCESS;
}

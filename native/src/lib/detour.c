/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/detour.h"

#include <stdlib.h>

/* A step of several times the usual one is no detour as long as a reading itself takes that long now and then. */
enum { FIRST_STEPS = 1001, LEAST_TIMES_USUAL = 8 };

static int compare(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* The median: of a counter as coarse as 40 ns some steps are 0 ticks and some are 1. */
static uint64_t usual_step(const struct np_clock *clock)
{
    uint64_t steps[FIRST_STEPS];
    uint64_t last = np_clock_now(clock);
    for (int i = 0; i < FIRST_STEPS; i++) {
        const uint64_t now = np_clock_now(clock);
        steps[i] = now - last;
        last = now;
    }
    qsort(steps, FIRST_STEPS, sizeof steps[0], compare);
    return steps[FIRST_STEPS / 2];
}

void np_detours_init(struct np_detours *detours, const struct np_clock *clock, double least_s)
{
    const uint64_t usual = usual_step(clock), least = np_clock_ticks(clock, least_s);
    const uint64_t beyond = least > LEAST_TIMES_USUAL * usual ? least : LEAST_TIMES_USUAL * usual;
    *detours = (struct np_detours){.usual = usual, .threshold = usual + beyond};
}

static void keep_if_long(struct np_detours *detours, struct np_detour detour)
{
    size_t i = detours->longest_count;
    if (i == NP_DETOURS_LONGEST && detour.ticks <= detours->longest[--i].ticks)
        return;
    if (detours->longest_count < NP_DETOURS_LONGEST)
        detours->longest_count++;
    for (; i > 0 && detours->longest[i - 1].ticks < detour.ticks; i--)
        detours->longest[i] = detours->longest[i - 1];
    detours->longest[i] = detour;
}

void np_detours_step(struct np_detours *detours, uint64_t from, uint64_t to)
{
    /* A clock that goes back is no detour. */
    const int64_t step = (int64_t)(to - from);
    if (step <= (int64_t)detours->threshold)
        return;
    const struct np_detour detour = {.at = from, .ticks = (uint64_t)step - detours->usual};
    detours->count++;
    detours->lost += detour.ticks;
    keep_if_long(detours, detour);
}

uint64_t np_detours_spin(struct np_detours *detours, const struct np_clock *clock, const atomic_bool *is_cancelled,
                         uint64_t from, uint64_t until)
{
    while ((int64_t)(until - from) > 0 && !atomic_load_explicit(is_cancelled, memory_order_relaxed)) {
        const uint64_t now = np_clock_now(clock);
        np_detours_step(detours, from, now);
        from = now;
    }
    return from;
}

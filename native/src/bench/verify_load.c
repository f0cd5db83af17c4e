/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_load.h"

#include <math.h>

/* The phases take turns; a cycle is long enough for the slowest step. */
static const double CYCLE_S = 5, HOT_SHARE = 0.4, COLD_SHARE = 0.2;
static const double FASTEST_HZ = 100, SLOWEST_HZ = 1;
static const double SHORTEST_REST_S = 0.5e-3, LONGEST_REST_S = 8e-3;

static const char *const NAMES[LOAD_PHASES] = {
    [LOAD_HOT] = "hot",
    [LOAD_COLD] = "cold",
    [LOAD_STEPPING] = "stepping",
};

const char *load_phase_name(enum load_phase phase)
{
    return NAMES[phase];
}

/* Steps, the first half of each at rest, whose frequency falls by the same factor in the same time:
   after t seconds of T there were f T / ln r (r^(t/T) - 1) of them, r being the last frequency over the first, f. */
static double rest_of_step(double at_s, double all_s)
{
    const double last_hz = fmin(fmax(SLOWEST_HZ, 2 / all_s), FASTEST_HZ / 2);
    const double fall = log(last_hz / FASTEST_HZ), scale = FASTEST_HZ * all_s / fall;
    const double steps = scale * (exp(fall * at_s / all_s) - 1);
    const double middle = floor(steps) + 0.5;
    if (steps >= middle)
        return 0;
    const double left = 1 + middle / scale;
    const double until_s = left > 0 ? all_s * log(left) / fall : all_s;
    return fmax(fmin(until_s, all_s) - at_s, 0);
}

enum load_phase load_plan(double at_s, double run_s, uint64_t random, double *rest_s)
{
    const double cycle_s = fmin(run_s, CYCLE_S), in_s = fmod(at_s, cycle_s);
    const double hot_s = HOT_SHARE * cycle_s, cold_s = COLD_SHARE * cycle_s;
    *rest_s = 0;
    if (in_s < hot_s)
        return LOAD_HOT;
    if (in_s < hot_s + cold_s) {
        *rest_s = SHORTEST_REST_S + (LONGEST_REST_S - SHORTEST_REST_S) * (double)(random >> 11) * 0x1p-53;
        return LOAD_COLD;
    }
    *rest_s = rest_of_step(in_s - hot_s - cold_s, cycle_s - hot_s - cold_s);
    return LOAD_STEPPING;
}

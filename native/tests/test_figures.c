/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>

#include "nodeproof/figures.h"
#include "test.h"

static void ranks(size_t count, double q, size_t expected_low, size_t expected_high)
{
    size_t low, high;
    CHECK(np_quantile_ranks(count, q, &low, &high) == 0);
    CHECK(low == expected_low && high == expected_high);
}

int main(void)
{
    struct np_figures figures;
    size_t low, high;
    double rates[101], times[101];
    /* The published table for the median: Conover, Practical Nonparametric Statistics, table A3 with p = 0.5. */
    ranks(10, 0.5, 2, 9);
    ranks(20, 0.5, 6, 15);
    ranks(100, 0.5, 40, 61);
    /* scipy.stats.binom.ppf(0.025, 100, 0.9), and one above ppf(0.975, …) */
    ranks(100, 0.9, 84, 96);
    ranks(100, 0.1, 5, 17);
    CHECK(np_quantile_ranks(5, 0.5, &low, &high) == -ERANGE);
    CHECK(np_quantile_ranks(20, 0.9, &low, &high) == -ERANGE);
    CHECK(np_quantile_ranks(0, 0.5, &low, &high) == -ERANGE);
    CHECK(np_quantile_ranks(100, 1, &low, &high) == -ERANGE);

    for (int i = 0; i <= 100; i++)
        rates[100 - i] = times[i] = 100 + i;
    CHECK(np_figures_find(rates, 101, NP_RATE, &figures) == 0);
    CHECK(figures.capability == 190 && figures.sustained == 150 && figures.samples == 101);
    CHECK(fabs(figures.stability - 110.0 / 190) < 1e-12);
    CHECK(figures.has_interval && figures.low < 190 && figures.high > 190 && !figures.is_converged);
    CHECK(np_figures_find(times, 101, NP_TIME, &figures) == 0);
    CHECK(figures.capability == 110 && figures.low < 110 && figures.high > 110);

    for (int i = 0; i <= 100; i++)
        rates[i] = 100 + 1e-3 * i;
    CHECK(np_figures_find(rates, 101, NP_RATE, &figures) == 0 && figures.is_converged);
    CHECK(np_figures_find(rates, 9, NP_RATE, &figures) == 0 && !figures.has_interval && !figures.is_converged);
    CHECK(np_figures_find(rates, 0, NP_RATE, &figures) == -EINVAL);
    rates[3] = 0;
    CHECK(np_figures_find(rates, 101, NP_RATE, &figures) == -EINVAL);
    rates[0] = rates[3] = 1;
    rates[50] = NAN;
    CHECK(np_figures_find(rates, 101, NP_RATE, &figures) == -EINVAL);
    return EXIT_SUCCESS;
}

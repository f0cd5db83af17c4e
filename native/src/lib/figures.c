/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/figures.h"

#include <errno.h>
#include <math.h>

#include "nodeproof/quantile.h"

static const double TAIL = 0.025, PRECISION = 0.005;

/* lgamma() itself writes a global. */
static double log_factorial(size_t n)
{
    int sign;
    return lgamma_r((double)n + 1, &sign);
}

/* P(X = k) of the binomial distribution, by logarithms: factorials of hundreds have no double. */
static double binomial(size_t n, size_t k, double p)
{
    const double ways = log_factorial(n) - log_factorial(k) - log_factorial(n - k);
    return exp(ways + (double)k * log(p) + (double)(n - k) * log1p(-p));
}

int np_quantile_ranks(size_t count, double q, size_t *low, size_t *high)
{
    double below = 0, above = 0;
    size_t k = 0;
    if (!(q > 0 && q < 1))
        return -ERANGE;
    /* The quantile lies below the sample of rank r exactly if fewer than r samples lie below the quantile. */
    for (k = 0; k < count; k++) {
        below += binomial(count, k, q);
        if (below > TAIL)
            break;
    }
    *low = k;
    for (k = count; k > 0; k--) {
        above += binomial(count, k, q);
        if (above > TAIL)
            break;
    }
    *high = k + 1;
    return *low >= 1 && *high <= count ? 0 : -ERANGE;
}

int np_figures_find(double *samples, size_t count, enum np_kind kind, struct np_figures *figures)
{
    const double q = kind == NP_RATE ? 0.9 : 0.1;
    double p10, p90;
    size_t low, high;
    *figures = (struct np_figures){.samples = count};
    if (count == 0)
        return -EINVAL;
    for (size_t i = 0; i < count; i++)
        if (!(samples[i] > 0))
            return -EINVAL;
    np_sort(samples, count);
    (void)np_quantile(samples, count, 0.1, &p10);
    (void)np_quantile(samples, count, 0.9, &p90);
    (void)np_quantile(samples, count, 0.5, &figures->sustained);
    figures->capability = kind == NP_RATE ? p90 : p10;
    figures->stability = p10 / p90;
    figures->has_interval = np_quantile_ranks(count, q, &low, &high) == 0;
    if (!figures->has_interval)
        return 0;
    figures->low = samples[low - 1];
    figures->high = samples[high - 1];
    figures->is_converged =
        figures->low >= figures->capability * (1 - PRECISION) && figures->high <= figures->capability * (1 + PRECISION);
    return 0;
}

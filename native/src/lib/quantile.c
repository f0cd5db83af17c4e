/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/quantile.h"

#include <errno.h>
#include <stdlib.h>

static int compare(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

void np_sort(double *values, size_t count)
{
    if (count > 1)
        qsort(values, count, sizeof *values, compare);
}

int np_quantile(const double *sorted, size_t count, double q, double *value)
{
    if (count == 0 || !(q >= 0 && q <= 1))
        return -EINVAL;
    const double position = q * (double)(count - 1);
    const size_t below = (size_t)position;
    const size_t above = below + 1 < count ? below + 1 : below;
    *value = sorted[below] + (position - (double)below) * (sorted[above] - sorted[below]);
    return 0;
}

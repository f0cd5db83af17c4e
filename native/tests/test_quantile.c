/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>

#include "nodeproof/quantile.h"
#include "test.h"

static void is(const double *values, size_t count, double q, double expected)
{
    double value;
    CHECK(np_quantile(values, count, q, &value) == 0);
    CHECK(fabs(value - expected) < 1e-12);
}

int main(void)
{
    double values[] = {5, 1, 4, 2, 3}, none;
    np_sort(values, 5);
    is(values, 5, 0, 1);
    is(values, 5, 0.5, 3);
    is(values, 5, 1, 5);
    is(values, 5, 0.9, 4.6); /* numpy.quantile([1, 2, 3, 4, 5], 0.9) */
    is(values, 5, 0.1, 1.4);
    is(values, 4, 0.5, 2.5);
    is(values, 1, 0.9, 1);
    CHECK(np_quantile(values, 0, 0.5, &none) == -EINVAL);
    CHECK(np_quantile(values, 5, 1.01, &none) == -EINVAL);
    CHECK(np_quantile(values, 5, -0.01, &none) == -EINVAL);
    CHECK(np_quantile(values, 5, NAN, &none) == -EINVAL);
    np_sort(values, 0);
    return EXIT_SUCCESS;
}

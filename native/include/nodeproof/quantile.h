/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_QUANTILE_H
#define NODEPROOF_QUANTILE_H

#include <stddef.h>

/** Sort in ascending order. */
void np_sort(double *values, size_t count);

/**
 * Quantile `q` (0 to 1) of sorted values, linear between neighbours as numpy's default.
 *
 * Returns 0, or -EINVAL without values or with `q` outside 0 to 1.
 */
int np_quantile(const double *sorted, size_t count, double q, double *value);

#endif

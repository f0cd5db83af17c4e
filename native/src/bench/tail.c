/* SPDX-License-Identifier: Apache-2.0 */
#include "tail.h"

#include "nodeproof/quantile.h"

/* With fewer, the quantile is the extreme: the kernel's as often as the hardware's. */
enum { LEAST_FOR_P99 = 100, LEAST_FOR_P999 = 1000 };

static void put(struct np_json *out, const char *key, const struct np_samples *sorted, double q, size_t least)
{
    double value_s;
    if (sorted->count >= least && np_quantile(sorted->values, sorted->count, q, &value_s) == 0)
        np_json_number(out, key, value_s);
    else
        np_json_null(out, key);
}

void tail_put(struct np_json *out, struct np_samples *times)
{
    np_sort(times->values, times->count);
    put(out, "p99_s", times, 0.99, LEAST_FOR_P99);
    put(out, "p999_s", times, 0.999, LEAST_FOR_P999);
}

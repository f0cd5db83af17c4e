/* SPDX-License-Identifier: Apache-2.0 */
#include "histogram.h"

#include <math.h>

static const double BINS_PER_OCTAVE = 16;

/* An edge itself belongs to the bin that it ends, however log2() rounds. */
static double upper_edge_s(double time_s)
{
    double bin = ceil(log2(time_s) * BINS_PER_OCTAVE);
    while (exp2(bin / BINS_PER_OCTAVE) < time_s)
        bin++;
    while (exp2((bin - 1) / BINS_PER_OCTAVE) >= time_s)
        bin--;
    return exp2(bin / BINS_PER_OCTAVE);
}

static void put_bin(struct np_json *out, double edge_s, size_t count)
{
    np_json_open_array(out, NULL);
    np_json_number(out, NULL, edge_s);
    np_json_integer(out, NULL, count);
    np_json_close_array(out);
}

void histogram_put(struct np_json *out, const struct np_samples *sorted)
{
    np_json_open_array(out, "histogram");
    for (size_t i = 0; i < sorted->count;) {
        const double edge_s = upper_edge_s(sorted->values[i]);
        const size_t first = i;
        while (i < sorted->count && sorted->values[i] <= edge_s)
            i++;
        put_bin(out, edge_s, i - first);
    }
    np_json_close_array(out);
}

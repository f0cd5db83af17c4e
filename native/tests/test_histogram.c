/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "bench/histogram.h"
#include "test.h"

static char text[1 << 16];

/* The histogram of these times, as JSON. */
static const char *put(double *times_s, size_t count)
{
    struct np_json json;
    const struct np_samples samples = {.values = times_s, .count = count, .size = count};
    np_json_begin(&json, text, sizeof text);
    histogram_put(&json, &samples);
    CHECK(np_json_end(&json) == 0);
    return text;
}

/* Take the next bin out of the text. Returns false after the last one. */
static int next_bin(const char **rest, double *edge_s, size_t *count)
{
    const char *bin = strstr(*rest, "[");
    if (bin == NULL || sscanf(bin, "[%lf, %zu]", edge_s, count) != 2)
        return 0;
    *rest = strchr(bin, ']');
    return 1;
}

static void bins_hold_their_times(double *times_s, size_t count)
{
    const char *rest = put(times_s, count) + strlen("{\"histogram\": [");
    size_t done = 0, in_bin;
    double edge_s, last_edge_s = 0;
    while (next_bin(&rest, &edge_s, &in_bin)) {
        CHECK(edge_s > last_edge_s);
        CHECK(in_bin > 0);
        for (size_t i = done; i < done + in_bin; i++) {
            CHECK(times_s[i] <= edge_s * (1 + 1e-9)); /* edges are written with ten digits */
            CHECK(times_s[i] > edge_s / 1.05);
            CHECK(times_s[i] > last_edge_s * (1 - 1e-9));
        }
        done += in_bin;
        last_edge_s = edge_s;
    }
    CHECK(done == count);
}

int main(void)
{
    enum { TIMES = 5000 };
    static double times_s[TIMES];
    for (size_t i = 0; i < TIMES; i++)
        times_s[i] = 1e-9 * pow(1.0051, (double)i); /* 1 ns to 100 s */
    bins_hold_their_times(times_s, TIMES);
    double same_s[] = {2e-6, 2e-6, 2e-6};
    bins_hold_their_times(same_s, 3);
    double edges_s[] = {0.25, 0.25, 0.2500001, 0.5}; /* an edge is in the bin that it ends */
    CHECK(strcmp(put(edges_s, 4), "{\"histogram\": [[0.25, 2], [0.2610684456, 1], [0.5, 1]]}") == 0);
    CHECK(strcmp(put(edges_s, 0), "{\"histogram\": []}") == 0);
    return EXIT_SUCCESS;
}

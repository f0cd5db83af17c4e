/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>

#include "bench.h"

int bench_why(char why[BENCH_WHY_BYTES], int rc, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, BENCH_WHY_BYTES, format, arguments);
    va_end(arguments);
    return rc;
}

void bench_put_figures(struct np_json *out, const struct np_figures *figures, double scale)
{
    np_json_number(out, "value", figures->capability * scale);
    np_json_number(out, "sustained", figures->sustained * scale);
    np_json_number(out, "stability", figures->stability);
    if (figures->has_interval) {
        np_json_open_array(out, "interval");
        np_json_number(out, NULL, figures->low * scale);
        np_json_number(out, NULL, figures->high * scale);
        np_json_close_array(out);
    } else {
        np_json_null(out, "interval");
    }
    np_json_bool(out, "is_converged", figures->is_converged);
    np_json_integer(out, "samples", figures->samples);
}

void bench_put_cpus(struct np_json *out, const struct np_cpuset *cpus)
{
    char list[NP_CPULIST_BYTES];
    if (np_cpulist_format(cpus, list, sizeof list) == 0)
        np_json_string(out, "cpus", list);
    np_json_integer(out, "threads", np_cpuset_count(cpus));
}

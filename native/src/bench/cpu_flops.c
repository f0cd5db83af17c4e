/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peak arithmetic of all cores at once, in each precision that the instructions have.
 *
 * Operations in a second are the clock times the operations in a clock: a core that is slow is either of
 * low clock (power, heat) or of few operations in a clock (a busy sibling, a limit of its licence), and both are told.
 */

#include "cpu.h"
#include "fingerprint.h"

static void put_point(struct np_json *out, enum np_precision precision, const struct cpu_rates *rates)
{
    np_json_open_object(out, NULL);
    np_json_string(out, "precision", np_precision_name(precision));
    np_json_string(out, "unit", precision == NP_INT8 ? "OP/s" : "FLOP/s");
    bench_put_figures(out, &rates->flops, 1);
    cpu_put_flops_per_clock(out, rates->flops_per_clock);
    np_json_number(out, "clock_hz", rates->clock_hz.sustained);
    np_json_bool(out, "is_contended", rates->is_contended);
    np_json_close_object(out);
}

static size_t count_precisions(enum np_isa isa)
{
    struct np_flops_kernel kernel;
    size_t count = 0;
    for (int precision = 0; precision < NP_PRECISION_COUNT; precision++)
        count += np_flops_find((enum np_precision)precision, isa, &kernel) == 0;
    return count;
}

/* The figures of fp64 are the line's; those of all precisions go to points. */
static int measure(const struct bench_request *request, const struct cpu_list *list, enum np_isa isa,
                   struct np_json *out, struct cpu_rates *fp64, double *seconds)
{
    const double share_s = request->seconds / (double)count_precisions(isa);
    int rc = 0;
    np_json_open_array(out, "points");
    for (int i = 0; i < NP_PRECISION_COUNT && rc == 0; i++) {
        const enum np_precision precision = (enum np_precision)i;
        struct np_flops_kernel kernel;
        struct cpu_rates rates;
        if (np_flops_find(precision, isa, &kernel) != 0)
            continue;
        rc = cpu_measure(request, list, &kernel, share_s, &rates);
        if (rc != 0)
            break;
        put_point(out, precision, &rates);
        *seconds += rates.seconds;
        if (precision == NP_FP64)
            *fp64 = rates;
    }
    np_json_close_array(out);
    return rc;
}

int cpu_flops(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct cpu_list list;
    struct cpu_rates fp64;
    enum np_isa isa;
    double seconds = 0;
    int rc = cpu_list_open(&list, request, true, why);
    rc = rc != 0 ? rc : cpu_choose_isa(request, &isa, why);
    if (rc != 0)
        goto out;
    fingerprint_put(request, &list.set, out);
    rc = measure(request, &list, isa, out, &fp64, &seconds);
    if (rc != 0) {
        rc = cpu_why(why, rc);
        goto out;
    }
    bench_put_figures(out, &fp64.flops, 1);
    cpu_put_flops_per_clock(out, fp64.flops_per_clock);
    np_json_number(out, "clock_hz", fp64.clock_hz.sustained);
    np_json_integer(out, "slowest_cpu", fp64.slowest_cpu);
    np_json_number(out, "slowest_clock_hz", fp64.slowest_hz);
    np_json_number(out, "seconds", seconds);
    np_json_bool(out, "is_contended", fp64.is_contended);
    bench_put_cpus(out, &list.set);
    np_json_string(out, "isa", np_isa_name(isa));
out:
    cpu_list_close(&list);
    return rc;
}

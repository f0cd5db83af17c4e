/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock of the cores, all at once, under additions alone and under the load of each width of vectors.
 *
 * Wide vectors cost clock on many CPUs, by licence or by power. The chain of additions that tells the clock
 * takes turns with the load every ten microseconds, sooner than a core changes its clock again.
 */

#include "cpu.h"

struct load {
    const char *name;
    bool has_kernel;
    struct np_flops_kernel kernel;
};

/* From the lightest to the heaviest: what a load leaves behind in heat must not meet a lighter one. */
static size_t find_loads(struct load loads[1 + NP_ISA_COUNT], enum np_isa *widest)
{
    size_t count = 0;
    loads[count++] = (struct load){.name = "scalar"};
    *widest = NP_ISA_GENERIC;
    for (int isa = NP_ISA_SSE2 + 1; isa < NP_ISA_COUNT; isa++) {
        struct load *load = &loads[count];
        *load = (struct load){.name = np_isa_name((enum np_isa)isa), .has_kernel = true};
        if (np_flops_find(NP_FP64, (enum np_isa)isa, &load->kernel) != 0)
            continue;
        *widest = (enum np_isa)isa;
        count++;
    }
    return count;
}

static void put_point(struct np_json *out, const struct load *load, const struct cpu_rates *rates)
{
    np_json_open_object(out, NULL);
    np_json_string(out, "load", load->name);
    bench_put_figures(out, &rates->clock_hz, 1);
    np_json_integer(out, "slowest_cpu", rates->slowest_cpu);
    np_json_number(out, "slowest_clock_hz", rates->slowest_hz);
    np_json_bool(out, "is_contended", rates->is_contended);
    np_json_close_object(out);
}

int cpu_frequency(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct cpu_list list;
    struct load loads[1 + NP_ISA_COUNT];
    struct cpu_rates rates[1 + NP_ISA_COUNT];
    enum np_isa widest;
    double seconds = 0;
    bool is_contended = false;
    const size_t count = find_loads(loads, &widest);
    int rc = cpu_list_open(&list, request, true, why);
    if (rc != 0)
        goto out;
    np_json_open_array(out, "points");
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = cpu_measure(request, &list, loads[i].has_kernel ? &loads[i].kernel : NULL,
                         request->seconds / (double)count, &rates[i]);
        if (rc != 0)
            break;
        put_point(out, &loads[i], &rates[i]);
        seconds += rates[i].seconds;
        is_contended = is_contended || rates[i].is_contended;
    }
    np_json_close_array(out);
    if (rc != 0) {
        rc = cpu_why(why, rc);
        goto out;
    }
    bench_put_figures(out, &rates[0].clock_hz, 1);
    np_json_number(out, "drop", rates[count - 1].clock_hz.capability / rates[0].clock_hz.capability);
    np_json_number(out, "seconds", seconds);
    np_json_bool(out, "is_contended", is_contended);
    bench_put_cpus(out, &list.set);
    np_json_string(out, "isa", np_isa_name(widest));
out:
    cpu_list_close(&list);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "placement.h"
#include "system.h"

static int choose(const struct bench_request *request, bool one_per_core, struct np_cpuset *set,
                  char why[BENCH_WHY_BYTES])
{
    struct placement place;
    if (request->has_cpus) {
        const int rc = placement_find(request, &place, why);
        *set = place.cpuset;
        return rc;
    }
    const int rc = np_affinity_get(set);
    if (rc != 0)
        return bench_why(why, rc, "cannot read the CPU affinity: %s", strerror(-rc));
    if (one_per_core)
        system_one_per_core(set);
    return 0;
}

int cpu_list_open(struct cpu_list *list, const struct bench_request *request, bool one_per_core,
                  char why[BENCH_WHY_BYTES])
{
    *list = (struct cpu_list){0};
    const int rc = choose(request, one_per_core, &list->set, why);
    if (rc != 0)
        return rc;
    list->count = np_cpuset_count(&list->set);
    list->cpus = calloc(list->count, sizeof *list->cpus);
    if (list->cpus == NULL)
        return bench_why(why, -ENOMEM, "out of memory");
    np_cpuset_list(&list->set, list->cpus, list->count);
    return 0;
}

void cpu_list_close(struct cpu_list *list)
{
    free(list->cpus);
    *list = (struct cpu_list){0};
}

int cpu_why(char why[BENCH_WHY_BYTES], int rc)
{
    if (rc == -ETIMEDOUT || rc == -EINVAL) /* no samples */
        return bench_why(why, -ETIMEDOUT, "other processes had the CPUs all the time");
    return bench_why(why, rc, "%s", strerror(-rc));
}

unsigned int cpu_package(unsigned int cpu)
{
    char path[80], text[32];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/topology/physical_package_id", cpu);
    if (system_read_text(path, text, sizeof text) != 0 || text[0] < '0' || text[0] > '9') /* "-1": unknown */
        return 0;
    return (unsigned int)strtoul(text, NULL, 10);
}

double cpu_thread_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int cpu_choose_isa(const struct bench_request *request, enum np_isa *isa, char why[BENCH_WHY_BYTES])
{
    struct np_flops_kernel kernel;
    *isa = request->has_isa ? request->isa : np_flops_widest();
    if (np_flops_find(NP_FP64, *isa, &kernel) == 0)
        return 0;
    return bench_why(why, -ENOTSUP, "this CPU does not support %s", np_isa_name(*isa));
}

void cpu_put_flops_per_clock(struct np_json *out, double flops_per_clock)
{
    if (flops_per_clock > 0)
        np_json_number(out, "flops_per_clock", flops_per_clock);
    else
        np_json_null(out, "flops_per_clock");
}

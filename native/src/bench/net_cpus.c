/* SPDX-License-Identifier: Apache-2.0 */
#include "net_cpus.h"

#include <errno.h>

#include "net_interface.h"
#include "placement.h"

int net_cpus_for_two(const struct bench_request *request, unsigned int cpus[2], char why[BENCH_WHY_BYTES])
{
    struct placement place;
    struct np_cpuset allowed;
    int rc = placement_find(request, &place, why);
    if (rc != 0)
        return rc;
    if (np_cpuset_list(&place.cpuset, cpus, 2) >= 2)
        return 0;
    if (request->has_cpus)
        return bench_why(why, -EINVAL, "--cpus: two CPUs are needed");
    rc = np_affinity_get(&allowed);
    if (rc == 0 && np_cpuset_list(&allowed, cpus, 2) >= 2)
        return 0;
    return bench_why(why, -ENOTSUP, "needs two CPUs, and this process may use one only");
}

int net_cpus_for(const struct bench_request *request, const char *device, size_t index, unsigned int *cpu,
                 char why[BENCH_WHY_BYTES])
{
    static const size_t MOST = 64;
    unsigned int list[64];
    struct placement place;
    struct np_cpuset near;
    const int rc = placement_find(request, &place, why);
    if (rc != 0)
        return rc;
    if (request->has_cpus) {
        const size_t count = np_cpuset_list(&place.cpuset, list, MOST);
        *cpu = list[index % (count < MOST ? count : MOST)];
        return 0;
    }
    net_interface_cpus(device, &near);
    struct np_cpuset allowed = place.cpuset;
    if (np_affinity_get(&allowed) == 0)
        np_cpuset_intersect(&near, &allowed);
    *cpu = np_cpuset_first(np_cpuset_count(&near) > 0 ? &near : &place.cpuset);
    return 0;
}

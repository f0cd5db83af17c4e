/* SPDX-License-Identifier: Apache-2.0 */
#include "placement.h"

#include <errno.h>
#include <string.h>

#include "system.h"

/* CPUs that the caller names must be ours; SMT siblings among them are the caller's wish. */
static int as_asked(const struct bench_request *request, struct placement *place, const struct np_cpuset *allowed,
                    char why[BENCH_WHY_BYTES])
{
    char list[64];
    unsigned int missing;
    place->cpuset = request->cpus;
    if (np_cpuset_is_within(&place->cpuset, allowed, &missing))
        return 0;
    const int rc = np_cpulist_format(allowed, list, sizeof list);
    return bench_why(why, -ENOTSUP, "CPU %u is not in this process's cpuset (%s)", missing, rc == 0 ? list : "...");
}

/* One CPU of each core of the node, or of the first node that has any of ours. */
static int on_node(struct placement *place, const struct np_cpuset *allowed, const struct np_cpuset *nodes,
                   char why[BENCH_WHY_BYTES])
{
    for (unsigned int node = 0; node < NP_MAX_CPUS; node++) {
        if (!np_cpuset_has(nodes, node) || (place->node >= 0 && node != (unsigned int)place->node))
            continue;
        const int rc = system_node_cpus(node, &place->cpuset);
        if (rc != 0)
            return bench_why(why, rc, "cannot read the CPUs of NUMA node %u: %s", node, strerror(-rc));
        np_cpuset_intersect(&place->cpuset, allowed);
        if (np_cpuset_count(&place->cpuset) == 0)
            continue;
        system_one_per_core(&place->cpuset);
        place->node = (int)node;
        return 0;
    }
    if (place->node < 0)
        return bench_why(why, -ENOTSUP, "no NUMA node with memory has a CPU in this process's cpuset");
    return bench_why(why, -ENOTSUP, "no CPU of NUMA node %d is in this process's cpuset", place->node);
}

static int choose(const struct bench_request *request, struct placement *place, char why[BENCH_WHY_BYTES])
{
    struct np_cpuset allowed, nodes;
    const int rc = np_affinity_get(&allowed);
    if (rc != 0)
        return bench_why(why, rc, "cannot read the CPU affinity: %s", strerror(-rc));
    place->node = request->node;
    const bool is_numa = system_memory_nodes(&nodes) == 0;
    if (place->node > 0 || (place->node == 0 && is_numa))
        if (!is_numa || !np_cpuset_has(&nodes, (unsigned int)place->node))
            return bench_why(why, -ENOTSUP, "there is no NUMA node %d with memory", place->node);
    if (!is_numa)
        place->node = -1; /* the kernel sees one node and does not number it */
    if (request->has_cpus)
        return as_asked(request, place, &allowed, why);
    if (is_numa)
        return on_node(place, &allowed, &nodes, why);
    place->cpuset = allowed;
    system_one_per_core(&place->cpuset);
    return 0;
}

/* What a part of the cores can move says nothing of the node: count both. */
static void count_cores(struct placement *place)
{
    struct np_cpuset all, used = place->cpuset;
    if ((place->node >= 0 ? system_node_cpus((unsigned int)place->node, &all) : system_online_cpus(&all)) != 0)
        return;
    np_cpuset_intersect(&used, &all);
    system_one_per_core(&used);
    system_one_per_core(&all);
    place->cores = np_cpuset_count(&all);
    place->cores_used = np_cpuset_count(&used);
}

int placement_find(const struct bench_request *request, struct placement *place, char why[BENCH_WHY_BYTES])
{
    *place = (struct placement){.node = -1};
    const int rc = choose(request, place, why);
    if (rc == 0)
        count_cores(place);
    return rc;
}

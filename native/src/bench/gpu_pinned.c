/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu_pinned.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "system.h"

int gpu_pinned_open(struct gpu_pinned *pinned, struct gpu *gpu, uint64_t bytes, int node, char why[BENCH_WHY_BYTES])
{
    *pinned = (struct gpu_pinned){.gpu = gpu, .node = node};
    int rc = np_arena_open(&pinned->arena, bytes);
    if (rc != 0)
        return bench_why(why, rc, "no memory to pin: %s", strerror(-rc));
    if (node >= 0) {
        rc = np_arena_bind(&pinned->arena, (unsigned int)node);
        if (rc == -ENOSYS || rc == -EPERM)
            pinned->node = -1;
        else if (rc != 0)
            return bench_why(why, rc, "cannot have memory of NUMA node %d: %s", node, strerror(-rc));
    }
    memset(pinned->arena.base, 1, pinned->arena.bytes);
    rc =
        gpu_check(gpu,
                  gpu->gpus->driver.mem_host_register(pinned->arena.base, pinned->arena.bytes,
                                                      NP_CU_MEMHOSTREGISTER_PORTABLE | NP_CU_MEMHOSTREGISTER_DEVICEMAP),
                  "cannot pin memory of the host (ulimit -l)", why);
    pinned->is_registered = rc == 0;
    if (rc == 0)
        rc = gpu_check(gpu, gpu->gpus->driver.mem_host_get_device_pointer(&pinned->device, pinned->arena.base, 0),
                       "does not see pinned memory", why);
    return rc;
}

void gpu_pinned_close(struct gpu_pinned *pinned, int rc)
{
    if (pinned->is_registered && rc != 0)
        return; /* the GPU may still write to it */
    if (pinned->is_registered)
        (void)pinned->gpu->gpus->driver.mem_host_unregister(pinned->arena.base);
    np_arena_close(&pinned->arena);
}

/* How far each node is from this one, as the kernel lists it: one number for each node that is online, in order. */
int gpu_far_node(const struct gpu *gpu)
{
    char path[96], text[4096], *at = text;
    struct np_cpuset nodes;
    long farthest = -1;
    int far = -1;
    snprintf(path, sizeof path, "/sys/devices/system/node/node%d/distance", gpu->node);
    if (gpu->node < 0 || system_memory_nodes(&nodes) != 0 || system_read_text(path, text, sizeof text) != 0)
        return -1;
    for (int node = 0; node < NP_MAX_CPUS; node++) {
        char *end;
        if (!np_cpuset_has(&nodes, (unsigned int)node))
            continue;
        const long distance = strtol(at, &end, 10);
        if (end == at)
            break;
        at = end;
        if (node != gpu->node && distance > farthest) {
            farthest = distance;
            far = node;
        }
    }
    return far;
}

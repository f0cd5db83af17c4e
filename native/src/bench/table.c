/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "memory.h"

enum { MEMORY_TAKES = TAKES_CPUS | TAKES_NODE | TAKES_ISA | TAKES_BYTES };

#define STREAM_NEEDS "free memory of 24 times the last-level cache"

const struct benchmark BENCHMARKS[] = {
    {
        .name = "memory.read",
        .unit = "B/s",
        .seconds = 1.6,
        .takes = MEMORY_TAKES,
        .title = "memory bandwidth of one NUMA node: sum of b",
        .needs = STREAM_NEEDS,
        .run = memory_read,
    },
    {
        .name = "memory.write",
        .unit = "B/s",
        .seconds = 1.6,
        .takes = MEMORY_TAKES,
        .title = "memory bandwidth of one NUMA node: a = s",
        .needs = STREAM_NEEDS,
        .run = memory_write,
    },
    {
        .name = "memory.copy",
        .unit = "B/s",
        .seconds = 1.6,
        .takes = MEMORY_TAKES,
        .title = "memory bandwidth of one NUMA node: a = b",
        .needs = STREAM_NEEDS,
        .run = memory_copy,
    },
    {
        .name = "memory.scale",
        .unit = "B/s",
        .seconds = 1.6,
        .takes = MEMORY_TAKES,
        .title = "memory bandwidth of one NUMA node: a = s * b",
        .needs = STREAM_NEEDS,
        .run = memory_scale,
    },
    {
        .name = "memory.add",
        .unit = "B/s",
        .seconds = 1.6,
        .takes = MEMORY_TAKES,
        .title = "memory bandwidth of one NUMA node: a = b + c",
        .needs = STREAM_NEEDS,
        .run = memory_add,
    },
    {
        .name = "memory.triad",
        .unit = "B/s",
        .seconds = 1.6,
        .takes = MEMORY_TAKES,
        .title = "memory bandwidth of one NUMA node: a = b + s * c",
        .needs = STREAM_NEEDS,
        .run = memory_triad,
    },
    {
        .name = "memory.triad_regular",
        .unit = "B/s",
        .seconds = 1.6,
        .takes = MEMORY_TAKES,
        .title = "memory bandwidth of one NUMA node: a = b + s * c with stores that fill the cache",
        .needs = STREAM_NEEDS,
        .run = memory_triad_regular,
    },
    {.name = NULL},
};

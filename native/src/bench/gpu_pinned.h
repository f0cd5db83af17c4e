/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the host that GPUs reach: pinned, on a NUMA node of our choice. */
#ifndef NODEPROOF_BENCH_GPU_PINNED_H
#define NODEPROOF_BENCH_GPU_PINNED_H

#include "gpu_device.h"
#include "nodeproof/arena.h"

struct gpu_pinned {
    struct gpu *gpu;
    struct np_arena arena;
    int node;               /**< -1: whatever first touch gave */
    np_cu_deviceptr device; /**< where the GPU sees it */
    bool is_registered;
};

/**
 * Pin `bytes` on a node; with -1, or where the kernel does not let us choose, wherever first touch puts them.
 *
 * Returns 0 or -errno, with one sentence in `why`.
 */
int gpu_pinned_open(struct gpu_pinned *pinned, struct gpu *gpu, uint64_t bytes, int node, char why[BENCH_WHY_BYTES]);

/** Give it back; after an error `rc` of the GPU without asking the driver, which may never answer. */
void gpu_pinned_close(struct gpu_pinned *pinned, int rc);

/** The node with memory that is farthest from the GPU's; -1 if there is only one, or nobody knows which is near. */
int gpu_far_node(const struct gpu *gpu);

#endif

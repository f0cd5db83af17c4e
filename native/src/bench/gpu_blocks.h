/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measure what a GPU does, in blocks that its own clock times.
 *
 * Blocks are given to the GPU in batches with an event between each two, so that it never waits for the host; between
 * batches the host looks at what came of it.
 */
#ifndef NODEPROOF_BENCH_GPU_BLOCKS_H
#define NODEPROOF_BENCH_GPU_BLOCKS_H

#include "gpu_device.h"
#include "nodeproof/sampling.h"

/** Give one block of work to the GPU's stream. Returns a CUresult. */
typedef int gpu_block_fn(void *state, struct gpu *gpu);

struct gpu_blocks {
    gpu_block_fn *give;
    void *state;
    double work; /**< of a block, in what the rate counts */
    double most_s;
};

/** Returns the rates of all blocks in `samples`, which is empty before. Returns 0, -ECANCELED, or -errno with `why`. */
int gpu_blocks_measure(struct gpu *gpu, const struct gpu_blocks *blocks, struct np_samples *samples,
                       struct gpu_seen *seen, char why[BENCH_WHY_BYTES]);

/** One part of a result: an operation on one GPU, or from one to another. */
struct gpu_part {
    struct gpu *gpu;
    const struct gpu *peer; /**< the same GPU where there is no other */
    const char *operation;
    uint64_t bytes;     /**< that the operation works on */
    const char *access; /**< between GPUs: `peer` or `staged`; NULL */
    int node;           /**< of the host's memory; -1: whatever first touch gave */
    bool is_on_host;    /**< part of it is memory of the host */
};

/** Parts as they are written, and the worst of them, which is the figure of the node. */
struct gpu_points {
    struct np_json *out;
    enum np_kind kind;
    const char *operation; /**< of the first part: the others measure something else */
    struct np_figures worst;
    double seconds;
    uint64_t wrong;
};

void gpu_points_begin(struct gpu_points *points, struct np_json *out, enum np_kind kind);

/** Write a part. Returns 0 or -errno. */
int gpu_points_add(struct gpu_points *points, const struct gpu_part *part, const struct np_samples *samples,
                   const struct gpu_seen *seen, char why[BENCH_WHY_BYTES]);

/**
 * Close the GPUs; before, if `rc` is 0, write the end of the parts, the figures of the whole, and which GPUs these are.
 *
 * Returns `rc`, or -ENOTSUP with `why` if there was no part.
 */
int gpu_points_end(const struct gpu_points *points, struct gpus *gpus, int rc, char why[BENCH_WHY_BYTES]);

/** What gpu_blocks_measure and gpu_points_add do, for one part. */
int gpu_points_measure(struct gpu_points *points, const struct gpu_part *part, const struct gpu_blocks *blocks,
                       char why[BENCH_WHY_BYTES]);

/** Measure the parts of one GPU, for so long. Returns 0, -ECANCELED, or -errno with `why`. */
typedef int gpu_measure_fn(struct gpu_points *points, struct gpu *gpu, double most_s, char why[BENCH_WHY_BYTES]);

/** A whole benchmark: one GPU after the other is measured, each for its share of the time. Returns as a bench_fn. */
int gpu_points_of_each(const struct bench_request *request, struct np_json *out, enum np_kind kind,
                       gpu_measure_fn *measure, char why[BENCH_WHY_BYTES]);

#endif

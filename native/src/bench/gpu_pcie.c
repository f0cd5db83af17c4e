/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bandwidth between the memory of the host and that of a GPU: there, back, and both ways at once.
 *
 * The copy engines move pinned memory, once on the NUMA node of the GPU and once on the farthest one: what a job loses
 * that is bound to the wrong socket. The last copy of each way is compared with what was sent.
 */
#include <errno.h>
#include <string.h>

#include "gpu.h"
#include "gpu_blocks.h"
#include "gpu_pinned.h"

/* A copy takes about a millisecond: what starting it costs is below a hundredth. */
enum { USUAL_BYTES = 64 << 20, LEAST_BYTES = 4096, SHARE_DIVISOR = 4 };

enum way { H2D, D2H, BOTH, WAYS };

enum { NEAR, FAR, PLACES };

static const char *const NAMES[PLACES][WAYS] = {{"h2d", "d2h", "both"}, {"h2d_far", "d2h_far", "both_far"}};

struct pcie {
    struct gpu_pinned out, back; /* what is sent, and where it comes back to */
    np_cu_deviceptr there, from;
    uint64_t bytes;
    enum way way;
};

/* The second stream works beside the first, within the time that the first one's events enclose. */
static int give_both(struct pcie *pcie, struct gpu *gpu)
{
    const struct gpu_driver *driver = &gpu->gpus->driver;
    int error = driver->event_record(gpu->fork, gpu->stream);
    if (error == NP_CUDA_SUCCESS)
        error = driver->stream_wait_event(gpu->second_stream, gpu->fork, 0);
    if (error == NP_CUDA_SUCCESS)
        error = driver->memcpy_htod_async(pcie->there, pcie->out.arena.base, pcie->bytes, gpu->stream);
    if (error == NP_CUDA_SUCCESS)
        error = driver->memcpy_dtoh_async(pcie->back.arena.base, pcie->from, pcie->bytes, gpu->second_stream);
    if (error == NP_CUDA_SUCCESS)
        error = driver->event_record(gpu->join, gpu->second_stream);
    return error == NP_CUDA_SUCCESS ? driver->stream_wait_event(gpu->stream, gpu->join, 0) : error;
}

static int give(void *state, struct gpu *gpu)
{
    struct pcie *pcie = state;
    const struct gpu_driver *driver = &gpu->gpus->driver;
    if (pcie->way == H2D)
        return driver->memcpy_htod_async(pcie->there, pcie->out.arena.base, pcie->bytes, gpu->stream);
    if (pcie->way == D2H)
        return driver->memcpy_dtoh_async(pcie->back.arena.base, pcie->from, pcie->bytes, gpu->stream);
    return give_both(pcie, gpu);
}

/* Words that differ between places, so that a piece that came from elsewhere is seen. */
static void fill(void *to, uint64_t bytes, uint64_t first)
{
    uint64_t *words = to;
    for (uint64_t i = 0; i < bytes / sizeof *words; i++)
        words[i] = first + i;
}

/* Send it there and fetch it back by way of both buffers of the GPU: nothing of it may have changed. */
static int verify(struct pcie *pcie, struct gpu *gpu, uint64_t *wrong, char why[BENCH_WHY_BYTES])
{
    const struct gpu_driver *driver = &gpu->gpus->driver;
    const uint64_t *sent = pcie->out.arena.base, *returned = pcie->back.arena.base;
    int error = driver->memcpy_dtoh_async(pcie->back.arena.base, pcie->there, pcie->bytes, gpu->stream);
    int rc = gpu_check(gpu, error, "cannot copy", why);
    if (rc == 0)
        rc = gpu_finish(gpu, why);
    for (uint64_t i = 0; i < pcie->bytes / sizeof *sent && rc == 0; i++)
        *wrong += sent[i] != returned[i];
    return rc;
}

static int measure_way(struct pcie *pcie, struct gpu_points *points, struct gpu *gpu, const char *name, double most_s,
                       char why[BENCH_WHY_BYTES])
{
    const struct gpu_part part = {
        .gpu = gpu, .peer = gpu, .operation = name, .bytes = pcie->bytes, .is_on_host = true, .node = pcie->out.node};
    const struct gpu_blocks blocks = {.give = give,
                                      .state = pcie,
                                      .work = (double)(pcie->way == BOTH ? 2 * pcie->bytes : pcie->bytes),
                                      .most_s = most_s};
    const int rc = gpu_points_measure(points, &part, &blocks, why);
    return rc != 0 || pcie->way == D2H ? rc : verify(pcie, gpu, &points->wrong, why);
}

static int measure_place(struct pcie *pcie, struct gpu_points *points, struct gpu *gpu, int place, double most_s,
                         char why[BENCH_WHY_BYTES])
{
    const int node = place == FAR ? gpu_far_node(gpu) : gpu->node;
    int rc = gpu_pinned_open(&pcie->out, gpu, pcie->bytes, node, why);
    if (rc == 0)
        rc = gpu_pinned_open(&pcie->back, gpu, pcie->bytes, node, why);
    if (rc == 0)
        fill(pcie->out.arena.base, pcie->bytes, (uint64_t)gpu->index << 32);
    for (int way = 0; way < WAYS && rc == 0; way++) {
        pcie->way = (enum way)way;
        rc = measure_way(pcie, points, gpu, NAMES[place][way], most_s, why);
    }
    gpu_pinned_close(&pcie->out, rc);
    gpu_pinned_close(&pcie->back, rc);
    return rc;
}

static int measure(struct gpu_points *points, struct gpu *gpu, double most_s, char why[BENCH_WHY_BYTES])
{
    const int places = gpu_far_node(gpu) >= 0 ? PLACES : 1;
    struct pcie pcie = {.bytes = 0};
    uint64_t free_bytes = 0;
    int rc = gpu_use(gpu, why);
    if (rc == 0)
        rc = gpu_free_bytes(gpu, &free_bytes, why);
    const uint64_t asked = gpu->gpus->request->bytes, most = free_bytes / SHARE_DIVISOR;
    pcie.bytes = (asked != 0 ? asked : USUAL_BYTES < most ? USUAL_BYTES : most) / LEAST_BYTES * LEAST_BYTES;
    if (rc == 0 && pcie.bytes == 0)
        return bench_why(why, -ENOTSUP, "GPU %d (%s): too little free memory, or --bytes is below 4K", gpu->index,
                         gpu->address);
    if (rc == 0)
        rc = gpu_alloc(gpu, pcie.bytes, &pcie.there, why);
    if (rc == 0)
        rc = gpu_alloc(gpu, pcie.bytes, &pcie.from, why);
    if (rc == 0)
        rc = gpu_clear(gpu, pcie.from, pcie.bytes, why);
    for (int place = 0; place < places && rc == 0; place++)
        rc = measure_place(&pcie, points, gpu, place, most_s / (places * WAYS), why);
    return rc;
}

int gpu_pcie_bandwidth(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    return gpu_points_of_each(request, out, NP_RATE, measure, why);
}

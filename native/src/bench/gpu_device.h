/* SPDX-License-Identifier: Apache-2.0 */
/* GPUs that a benchmark works on: found, opened, and given work by one thread of the host. */
#ifndef NODEPROOF_BENCH_GPU_DEVICE_H
#define NODEPROOF_BENCH_GPU_DEVICE_H

#include "gpu_driver.h"
#include "gpu_sensors.h"

enum { GPUS_MOST = 64, GPU_NAME_BYTES = 96 };

/** Most blocks that are timed in one go: an event lies between each two of them. */
enum { GPU_BATCH_MOST = 16 };

/** Our own kernels, by the GPUs that they need (native/gpu). */
enum gpu_module { GPU_PLAIN, GPU_TENSOR, GPU_FP8, GPU_MODULES };

struct gpus;

struct gpu {
    struct gpus *gpus;
    np_cu_device device;
    int index;                     /**< as nvidia-smi counts */
    char address[NP_CU_PCI_BYTES]; /**< on the PCI bus, as sysfs writes it: `0000:1b:00.0` */
    char name[GPU_NAME_BYTES];
    int capability; /**< compute capability, 90 for 9.0 */
    unsigned int multiprocessors;
    uint64_t l2_bytes;
    unsigned int shared_bytes; /**< that a block may have */
    int node;                  /**< NUMA node that it hangs on; -1: not known */
    unsigned int cpu;          /**< from which it is given work */
    uint64_t memory_bytes;
    np_cu_context context;
    np_cu_stream stream, second_stream;
    np_cu_event events[GPU_BATCH_MOST + 1], fork, join;
    np_cu_module modules[GPU_MODULES];
    struct gpu_sensor sensor;
};

struct gpus {
    const struct bench_request *request;
    struct gpu_driver driver;
    int driver_version; /**< the newest CUDA that it knows: 12040 for 12.4 */
    struct gpu_sensors sensors;
    struct np_cpuset cpus; /**< from which any of them is given work */
    struct gpu *list;
    size_t count;
};

/**
 * Open the GPUs that were asked for, else all.
 *
 * Returns 0 or -errno, with one sentence in `why`: -ENOTSUP without driver or GPU. gpus_close() is to be called anyhow.
 */
int gpus_open(struct gpus *gpus, const struct bench_request *request, char why[BENCH_WHY_BYTES]);

/**
 * Give back memory, and with `rc` 0 the GPUs' as well.
 *
 * After an error they are left to the end of the process: a call to a GPU that is lost may never return.
 */
void gpus_close(struct gpus *gpus, int rc);

/** Write which GPUs these are, the CPUs that gave them work, and their instructions. */
void gpus_put(const struct gpus *gpus, struct np_json *out);

/** What calls without a GPU in their arguments are about from now on; the thread moves to a CPU beside it. */
int gpu_use(struct gpu *gpu, char why[BENCH_WHY_BYTES]);

/** Returns 0, or -errno for an error of the driver, with the GPU, what failed and the driver's words in `why`. */
int gpu_check(const struct gpu *gpu, int error, const char *what, char why[BENCH_WHY_BYTES]);

/** Find a kernel; its module is compiled by the driver when it is first asked for. Returns 0 or -errno. */
int gpu_kernel(struct gpu *gpu, enum gpu_module module, const char *name, np_cu_function *kernel,
               char why[BENCH_WHY_BYTES]);

/** Start a kernel in the GPU's stream. Returns a CUresult. */
int gpu_launch(struct gpu *gpu, np_cu_function kernel, unsigned int blocks, unsigned int threads,
               unsigned int shared_bytes, void **parameters);

/** Wait for an event, in naps. Returns 0, -ECANCELED, or -errno with `why`. */
int gpu_wait(struct gpu *gpu, np_cu_event event, char why[BENCH_WHY_BYTES]);

/** Wait until all is done that was given to the GPU's stream. Returns as gpu_wait. */
int gpu_finish(struct gpu *gpu, char why[BENCH_WHY_BYTES]);

/** Free memory of the GPU, in bytes, less what the driver needs. Returns 0 or -errno. */
int gpu_free_bytes(struct gpu *gpu, uint64_t *bytes, char why[BENCH_WHY_BYTES]);

/** Returns 0 or -errno. Memory goes back with gpus_close() at the latest. */
int gpu_alloc(struct gpu *gpu, uint64_t bytes, np_cu_deviceptr *address, char why[BENCH_WHY_BYTES]);

/** Set memory to zeros, copy a little of it to the host, or there. Returns 0 or -errno. */
int gpu_clear(struct gpu *gpu, np_cu_deviceptr address, uint64_t bytes, char why[BENCH_WHY_BYTES]);
int gpu_fetch(struct gpu *gpu, void *to, np_cu_deviceptr from, size_t bytes, char why[BENCH_WHY_BYTES]);

#endif

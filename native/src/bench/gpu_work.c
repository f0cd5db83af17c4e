/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gpu_device.h"
#include "gpu_ptx.h"

/* Work is timed by the GPU: how soon the host notices its end does not matter. */
enum { NAP_NS = 20000, LOG_BYTES = 256 };

/* What the driver itself may want of free memory while kernels run. */
enum { RESERVED_BYTES = 64 << 20 };

/* The oldest driver that reads the kernels: that of the CUDA version which brought their PTX version. */
static const struct {
    const char *text, *driver;
    int capability;
} MODULES[GPU_MODULES] = {
    [GPU_PLAIN] = {gpu_ptx_plain, "418", 70},
    [GPU_TENSOR] = {gpu_ptx_tensor, "450", 80},
    [GPU_FP8] = {gpu_ptx_fp8, "550", 89},
};

int gpu_check(const struct gpu *gpu, int error, const char *what, char why[BENCH_WHY_BYTES])
{
    char words[128];
    if (error == NP_CUDA_SUCCESS)
        return 0;
    if (*gpu->address != '\0')
        snprintf(words, sizeof words, "GPU %d (%s): %s", gpu->index, gpu->address, what);
    else
        snprintf(words, sizeof words, "GPU %d: %s", gpu->index, what);
    return gpu_driver_why(&gpu->gpus->driver, error, words, why);
}

int gpu_use(struct gpu *gpu, char why[BENCH_WHY_BYTES])
{
    (void)np_affinity_pin(gpu->cpu); /* elsewhere the host's part takes longer, and no more */
    return gpu_check(gpu, gpu->gpus->driver.ctx_set_current(gpu->context), "cannot be used", why);
}

static int load(struct gpu *gpu, enum gpu_module which, char why[BENCH_WHY_BYTES])
{
    char log[LOG_BYTES] = "";
    int options[] = {NP_CU_JIT_ERROR_LOG_BUFFER, NP_CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)(uintptr_t)sizeof log};
    const int error =
        gpu->gpus->driver.module_load_data_ex(&gpu->modules[which], MODULES[which].text, 2, options, values);
    if (error == NP_CUDA_ERROR_UNSUPPORTED_PTX_VERSION)
        return bench_why(why, -ENOTSUP, "unavailable: the driver is too old for these kernels, which need %s or newer",
                         MODULES[which].driver);
    log[sizeof log - 1] = '\0';
    log[strcspn(log, "\n")] = '\0';
    const int rc = gpu_check(gpu, error, "the driver cannot compile our kernels", why);
    if (rc != 0 && *log != '\0') {
        const size_t used = strlen(why);
        snprintf(why + used, BENCH_WHY_BYTES - used, ": %s", log);
    }
    return rc;
}

int gpu_kernel(struct gpu *gpu, enum gpu_module module, const char *name, np_cu_function *kernel,
               char why[BENCH_WHY_BYTES])
{
    char what[64];
    if (gpu->capability < MODULES[module].capability)
        return bench_why(
            why, -ENOTSUP,
            "unavailable: GPU %d (%s, compute capability %d.%d) is older than our kernels, which need %d.%d",
            gpu->index, gpu->name, gpu->capability / 10, gpu->capability % 10, MODULES[module].capability / 10,
            MODULES[module].capability % 10);
    const int rc = gpu->modules[module] != NULL ? 0 : load(gpu, module, why);
    if (rc != 0) {
        gpu->modules[module] = NULL;
        return rc;
    }
    snprintf(what, sizeof what, "no kernel %s", name);
    return gpu_check(gpu, gpu->gpus->driver.module_get_function(kernel, gpu->modules[module], name), what, why);
}

int gpu_launch(struct gpu *gpu, np_cu_function kernel, unsigned int blocks, unsigned int threads,
               unsigned int shared_bytes, void **parameters)
{
    return gpu->gpus->driver.launch_kernel(kernel, blocks, 1, 1, threads, 1, 1, shared_bytes, gpu->stream, parameters,
                                           NULL);
}

int gpu_wait(struct gpu *gpu, np_cu_event event, char why[BENCH_WHY_BYTES])
{
    const struct timespec nap = {.tv_nsec = NAP_NS};
    for (;;) {
        const int error = gpu->gpus->driver.event_query(event);
        if (error == NP_CUDA_SUCCESS)
            return 0;
        if (error != NP_CUDA_ERROR_NOT_READY)
            return gpu_check(gpu, error, "its work failed", why);
        if (bench_is_cancelled(gpu->gpus->request))
            return -ECANCELED;
        nanosleep(&nap, NULL);
    }
}

int gpu_finish(struct gpu *gpu, char why[BENCH_WHY_BYTES])
{
    const int rc = gpu_check(gpu, gpu->gpus->driver.event_record(gpu->join, gpu->stream), "its work failed", why);
    return rc != 0 ? rc : gpu_wait(gpu, gpu->join, why);
}

int gpu_free_bytes(struct gpu *gpu, uint64_t *bytes, char why[BENCH_WHY_BYTES])
{
    size_t free_bytes = 0, total_bytes = 0;
    const int rc =
        gpu_check(gpu, gpu->gpus->driver.mem_get_info(&free_bytes, &total_bytes), "its memory is not known", why);
    const size_t reserved = total_bytes / 16 < RESERVED_BYTES ? total_bytes / 16 : RESERVED_BYTES;
    *bytes = free_bytes > reserved ? free_bytes - reserved : 0;
    return rc;
}

int gpu_alloc(struct gpu *gpu, uint64_t bytes, np_cu_deviceptr *address, char why[BENCH_WHY_BYTES])
{
    char what[64];
    snprintf(what, sizeof what, "cannot have %llu bytes of memory", (unsigned long long)bytes);
    return gpu_check(gpu, gpu->gpus->driver.mem_alloc(address, bytes), what, why);
}

int gpu_clear(struct gpu *gpu, np_cu_deviceptr address, uint64_t bytes, char why[BENCH_WHY_BYTES])
{
    return gpu_check(gpu, gpu->gpus->driver.memset_d8_async(address, 0, bytes, gpu->stream), "cannot set its memory",
                     why);
}

int gpu_fetch(struct gpu *gpu, void *to, np_cu_deviceptr from, size_t bytes, char why[BENCH_WHY_BYTES])
{
    const int rc = gpu_finish(gpu, why);
    return rc != 0 ? rc : gpu_check(gpu, gpu->gpus->driver.memcpy_dtoh(to, from, bytes), "cannot read its memory", why);
}

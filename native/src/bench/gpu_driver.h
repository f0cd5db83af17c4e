/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA driver, loaded at run time. Neither a toolkit nor the runtime library is needed. */
#ifndef NODEPROOF_BENCH_GPU_DRIVER_H
#define NODEPROOF_BENCH_GPU_DRIVER_H

#include "bench.h"
#include "cuda_abi.h"

/** The functions of the library, as documented in the CUDA Driver API reference. Each returns a CUresult. */
struct gpu_driver {
    int (*init)(unsigned int flags);
    int (*driver_get_version)(int *version);
    int (*get_error_name)(int error, const char **name);
    int (*get_error_string)(int error, const char **text);
    int (*device_get_count)(int *count);
    int (*device_get)(np_cu_device *device, int ordinal);
    int (*device_get_name)(char *name, int bytes, np_cu_device device);
    int (*device_get_pci_bus_id)(char *address, int bytes, np_cu_device device);
    int (*device_get_attribute)(int *value, int attribute, np_cu_device device);
    int (*device_can_access_peer)(int *can, np_cu_device device, np_cu_device peer);
    int (*device_primary_ctx_retain)(np_cu_context *context, np_cu_device device);
    int (*device_primary_ctx_release)(np_cu_device device);
    int (*ctx_set_current)(np_cu_context context);
    int (*ctx_enable_peer_access)(np_cu_context peer, unsigned int flags);
    int (*module_load_data_ex)(np_cu_module *module, const void *image, unsigned int count, int *options,
                               void **values);
    int (*module_get_function)(np_cu_function *function, np_cu_module module, const char *name);
    int (*func_set_attribute)(np_cu_function function, int attribute, int value);
    int (*launch_kernel)(np_cu_function function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                         unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int shared_bytes,
                         np_cu_stream stream, void **parameters, void **extra);
    int (*mem_get_info)(size_t *free_bytes, size_t *total_bytes);
    int (*mem_alloc)(np_cu_deviceptr *address, size_t bytes);
    int (*mem_host_register)(void *data, size_t bytes, unsigned int flags);
    int (*mem_host_unregister)(void *data);
    int (*mem_host_get_device_pointer)(np_cu_deviceptr *address, void *data, unsigned int flags);
    int (*memcpy_htod)(np_cu_deviceptr to, const void *from, size_t bytes);
    int (*memcpy_dtoh)(void *to, np_cu_deviceptr from, size_t bytes);
    int (*memcpy_htod_async)(np_cu_deviceptr to, const void *from, size_t bytes, np_cu_stream stream);
    int (*memcpy_dtoh_async)(void *to, np_cu_deviceptr from, size_t bytes, np_cu_stream stream);
    int (*memcpy_peer_async)(np_cu_deviceptr to, np_cu_context to_context, np_cu_deviceptr from,
                             np_cu_context from_context, size_t bytes, np_cu_stream stream);
    int (*memset_d8_async)(np_cu_deviceptr to, unsigned char value, size_t bytes, np_cu_stream stream);
    int (*stream_create)(np_cu_stream *stream, unsigned int flags);
    int (*stream_query)(np_cu_stream stream);
    int (*stream_wait_event)(np_cu_stream stream, np_cu_event event, unsigned int flags);
    int (*event_create)(np_cu_event *event, unsigned int flags);
    int (*event_record)(np_cu_event event, np_cu_stream stream);
    int (*event_query)(np_cu_event event);
    int (*event_elapsed_time)(float *milliseconds, np_cu_event begin, np_cu_event end);
};

/**
 * Load and initialise the driver. GPUs are numbered in the order of their PCI addresses, as nvidia-smi does.
 *
 * Returns 0, -ENOTSUP without the library or without a GPU, -EIO if it does not initialise; with one sentence in `why`.
 */
int gpu_driver_load(struct gpu_driver *driver, char why[BENCH_WHY_BYTES]);

/** Write what failed and the driver's words on it. Returns -EIO, or -ENOMEM without memory. */
int gpu_driver_why(const struct gpu_driver *driver, int error, const char *what, char why[BENCH_WHY_BYTES]);

#endif

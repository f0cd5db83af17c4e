/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu_driver.h"

#include <errno.h>
#include <stdlib.h>

#include "library.h"

#define LIBRARY "libcuda.so.1"

#define SYMBOL(symbol, field) {.name = symbol, .offset = offsetof(struct gpu_driver, field)}

static const struct library_symbol SYMBOLS[] = {
    SYMBOL("cuInit", init),
    SYMBOL("cuDriverGetVersion", driver_get_version),
    SYMBOL("cuGetErrorName", get_error_name),
    SYMBOL("cuGetErrorString", get_error_string),
    SYMBOL("cuDeviceGetCount", device_get_count),
    SYMBOL("cuDeviceGet", device_get),
    SYMBOL("cuDeviceGetName", device_get_name),
    SYMBOL("cuDeviceGetPCIBusId", device_get_pci_bus_id),
    SYMBOL("cuDeviceGetAttribute", device_get_attribute),
    SYMBOL("cuDeviceCanAccessPeer", device_can_access_peer),
    SYMBOL("cuDevicePrimaryCtxRetain", device_primary_ctx_retain),
    SYMBOL("cuDevicePrimaryCtxRelease_v2", device_primary_ctx_release),
    SYMBOL("cuCtxSetCurrent", ctx_set_current),
    SYMBOL("cuCtxEnablePeerAccess", ctx_enable_peer_access),
    SYMBOL("cuModuleLoadDataEx", module_load_data_ex),
    SYMBOL("cuModuleGetFunction", module_get_function),
    SYMBOL("cuFuncSetAttribute", func_set_attribute),
    SYMBOL("cuLaunchKernel", launch_kernel),
    SYMBOL("cuMemGetInfo_v2", mem_get_info),
    SYMBOL("cuMemAlloc_v2", mem_alloc),
    SYMBOL("cuMemHostRegister_v2", mem_host_register),
    SYMBOL("cuMemHostUnregister", mem_host_unregister),
    SYMBOL("cuMemHostGetDevicePointer_v2", mem_host_get_device_pointer),
    SYMBOL("cuMemcpyHtoD_v2", memcpy_htod),
    SYMBOL("cuMemcpyDtoH_v2", memcpy_dtoh),
    SYMBOL("cuMemcpyHtoDAsync_v2", memcpy_htod_async),
    SYMBOL("cuMemcpyDtoHAsync_v2", memcpy_dtoh_async),
    SYMBOL("cuMemcpyPeerAsync", memcpy_peer_async),
    SYMBOL("cuMemsetD8Async", memset_d8_async),
    SYMBOL("cuStreamCreate", stream_create),
    SYMBOL("cuStreamQuery", stream_query),
    SYMBOL("cuStreamWaitEvent", stream_wait_event),
    SYMBOL("cuEventCreate", event_create),
    SYMBOL("cuEventRecord", event_record),
    SYMBOL("cuEventQuery", event_query),
    SYMBOL("cuEventElapsedTime", event_elapsed_time),
};

int gpu_driver_why(const struct gpu_driver *driver, int error, const char *what, char why[BENCH_WHY_BYTES])
{
    const char *name = NULL, *text = NULL;
    (void)driver->get_error_name(error, &name);
    (void)driver->get_error_string(error, &text);
    return bench_why(why, error == NP_CUDA_ERROR_OUT_OF_MEMORY ? -ENOMEM : -EIO, "%s: %s (%s, %d)", what,
                     text != NULL ? text : "the driver has no words for it", name != NULL ? name : "CUresult", error);
}

int gpu_driver_load(struct gpu_driver *driver, char why[BENCH_WHY_BYTES])
{
    char cause[BENCH_WHY_BYTES];
    *driver = (struct gpu_driver){0};
    int rc = library_load(LIBRARY, SYMBOLS, sizeof SYMBOLS / sizeof *SYMBOLS, driver, cause);
    if (rc != 0)
        return bench_why(why, -ENOTSUP, "unavailable: %.*s", BENCH_WHY_BYTES - 32, cause);
    /* Otherwise the fastest is the first, and no number is what nvidia-smi says. */
    (void)setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", 1);
    rc = driver->init(0);
    if (rc == NP_CUDA_ERROR_NO_DEVICE)
        return bench_why(why, -ENOTSUP, "unavailable: the driver sees no GPU");
    return rc == NP_CUDA_SUCCESS ? 0 : gpu_driver_why(driver, rc, "the CUDA driver does not initialise", why);
}

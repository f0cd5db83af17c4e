/* That cuda_abi.h and gpu_driver.h say what NVIDIA's header says: compiled only, where there is one. */
#include <cuda.h>

#include "gpu_driver.h"

#define SAME(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), #theirs)

SAME(NP_CUDA_SUCCESS, CUDA_SUCCESS);
SAME(NP_CUDA_ERROR_OUT_OF_MEMORY, CUDA_ERROR_OUT_OF_MEMORY);
SAME(NP_CUDA_ERROR_NO_DEVICE, CUDA_ERROR_NO_DEVICE);
SAME(NP_CUDA_ERROR_NO_BINARY_FOR_GPU, CUDA_ERROR_NO_BINARY_FOR_GPU);
SAME(NP_CUDA_ERROR_INVALID_PTX, CUDA_ERROR_INVALID_PTX);
SAME(NP_CUDA_ERROR_UNSUPPORTED_PTX_VERSION, CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
SAME(NP_CUDA_ERROR_NOT_READY, CUDA_ERROR_NOT_READY);
SAME(NP_CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
SAME(NP_CU_MULTIPROCESSOR_COUNT, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
SAME(NP_CU_COMPUTE_MODE, CU_DEVICE_ATTRIBUTE_COMPUTE_MODE);
SAME(NP_CU_L2_CACHE_SIZE, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
SAME(NP_CU_COMPUTE_CAPABILITY_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
SAME(NP_CU_COMPUTE_CAPABILITY_MINOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
SAME(NP_CU_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
SAME(NP_CU_HOST_NUMA_ID, CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID);
SAME(NP_CU_COMPUTEMODE_PROHIBITED, CU_COMPUTEMODE_PROHIBITED);
SAME(NP_CU_MAX_DYNAMIC_SHARED_SIZE_BYTES, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
SAME(NP_CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER);
SAME(NP_CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES);
SAME(NP_CU_STREAM_NON_BLOCKING, CU_STREAM_NON_BLOCKING);
SAME(NP_CU_EVENT_DEFAULT, CU_EVENT_DEFAULT);
SAME(NP_CU_MEMHOSTREGISTER_PORTABLE, CU_MEMHOSTREGISTER_PORTABLE);
SAME(NP_CU_MEMHOSTREGISTER_DEVICEMAP, CU_MEMHOSTREGISTER_DEVICEMAP);
SAME(sizeof(np_cu_device), sizeof(CUdevice));
SAME(sizeof(np_cu_deviceptr), sizeof(CUdeviceptr));
SAME(sizeof(int), sizeof(CUresult));
SAME(sizeof(int), sizeof(CUjit_option));
SAME(sizeof(int), sizeof(CUdevice_attribute));

#define TEXT(...) #__VA_ARGS__
#define NAME(symbol) TEXT(symbol)

/* The header's name of a function, which is a macro where its symbol has a version, is the symbol that we look for. */
#define SYMBOL(ours, theirs) _Static_assert(__builtin_strcmp(ours, NAME(theirs)) == 0, ours)

SYMBOL("cuDevicePrimaryCtxRelease_v2", cuDevicePrimaryCtxRelease);
SYMBOL("cuMemGetInfo_v2", cuMemGetInfo);
SYMBOL("cuMemAlloc_v2", cuMemAlloc);
SYMBOL("cuMemHostRegister_v2", cuMemHostRegister);
SYMBOL("cuMemHostGetDevicePointer_v2", cuMemHostGetDevicePointer);
SYMBOL("cuMemcpyHtoD_v2", cuMemcpyHtoD);
SYMBOL("cuMemcpyDtoH_v2", cuMemcpyDtoH);
SYMBOL("cuMemcpyHtoDAsync_v2", cuMemcpyHtoDAsync);
SYMBOL("cuMemcpyDtoHAsync_v2", cuMemcpyDtoHAsync);
SYMBOL("cuInit", cuInit);
SYMBOL("cuDriverGetVersion", cuDriverGetVersion);
SYMBOL("cuDeviceGetPCIBusId", cuDeviceGetPCIBusId);
SYMBOL("cuDeviceGetAttribute", cuDeviceGetAttribute);
SYMBOL("cuDevicePrimaryCtxRetain", cuDevicePrimaryCtxRetain);
SYMBOL("cuCtxSetCurrent", cuCtxSetCurrent);
SYMBOL("cuCtxEnablePeerAccess", cuCtxEnablePeerAccess);
SYMBOL("cuModuleLoadDataEx", cuModuleLoadDataEx);
SYMBOL("cuModuleGetFunction", cuModuleGetFunction);
SYMBOL("cuFuncSetAttribute", cuFuncSetAttribute);
SYMBOL("cuLaunchKernel", cuLaunchKernel);
SYMBOL("cuMemHostUnregister", cuMemHostUnregister);
SYMBOL("cuMemcpyPeerAsync", cuMemcpyPeerAsync);
SYMBOL("cuMemsetD8Async", cuMemsetD8Async);
SYMBOL("cuStreamCreate", cuStreamCreate);
SYMBOL("cuStreamQuery", cuStreamQuery);
SYMBOL("cuStreamWaitEvent", cuStreamWaitEvent);
SYMBOL("cuEventCreate", cuEventCreate);
SYMBOL("cuEventRecord", cuEventRecord);
SYMBOL("cuEventQuery", cuEventQuery);

/* Each pointer takes what the function takes; handles are pointers to structures of other names. */
#define TAKES(field, function, result, ...)                                                                            \
    _Static_assert(_Generic(&function, result (*)(__VA_ARGS__): 1, default: 0), #function);                            \
    _Static_assert(sizeof((struct gpu_driver){0}.field) == sizeof(void *), #field)

TAKES(init, cuInit, CUresult, unsigned int);
TAKES(device_get_name, cuDeviceGetName, CUresult, char *, int, CUdevice);
TAKES(device_get_pci_bus_id, cuDeviceGetPCIBusId, CUresult, char *, int, CUdevice);
TAKES(module_load_data_ex, cuModuleLoadDataEx, CUresult, CUmodule *, const void *, unsigned int, CUjit_option *, void **);
TAKES(func_set_attribute, cuFuncSetAttribute, CUresult, CUfunction, CUfunction_attribute, int);
TAKES(launch_kernel, cuLaunchKernel, CUresult, CUfunction, unsigned int, unsigned int, unsigned int, unsigned int,
      unsigned int, unsigned int, unsigned int, CUstream, void **, void **);
TAKES(mem_get_info, cuMemGetInfo, CUresult, size_t *, size_t *);
TAKES(mem_alloc, cuMemAlloc, CUresult, CUdeviceptr *, size_t);
TAKES(mem_host_register, cuMemHostRegister, CUresult, void *, size_t, unsigned int);
TAKES(mem_host_get_device_pointer, cuMemHostGetDevicePointer, CUresult, CUdeviceptr *, void *, unsigned int);
TAKES(memcpy_htod, cuMemcpyHtoD, CUresult, CUdeviceptr, const void *, size_t);
TAKES(memcpy_dtoh, cuMemcpyDtoH, CUresult, void *, CUdeviceptr, size_t);
TAKES(memcpy_htod_async, cuMemcpyHtoDAsync, CUresult, CUdeviceptr, const void *, size_t, CUstream);
TAKES(memcpy_dtoh_async, cuMemcpyDtoHAsync, CUresult, void *, CUdeviceptr, size_t, CUstream);
TAKES(memcpy_peer_async, cuMemcpyPeerAsync, CUresult, CUdeviceptr, CUcontext, CUdeviceptr, CUcontext, size_t, CUstream);
TAKES(memset_d8_async, cuMemsetD8Async, CUresult, CUdeviceptr, unsigned char, size_t, CUstream);
TAKES(stream_create, cuStreamCreate, CUresult, CUstream *, unsigned int);
TAKES(stream_wait_event, cuStreamWaitEvent, CUresult, CUstream, CUevent, unsigned int);
TAKES(event_create, cuEventCreate, CUresult, CUevent *, unsigned int);
TAKES(event_record, cuEventRecord, CUresult, CUevent, CUstream);
TAKES(device_can_access_peer, cuDeviceCanAccessPeer, CUresult, int *, CUdevice, CUdevice);
TAKES(ctx_enable_peer_access, cuCtxEnablePeerAccess, CUresult, CUcontext, unsigned int);

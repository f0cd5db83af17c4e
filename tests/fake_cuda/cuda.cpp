/*
 * A libcuda.so.1 without a GPU: what nodeproof-bench calls, with the kernels of native/gpu run by the CPU.
 *
 * Work is done when it is given; streams and events have a time of their own. Words of FAKE_CUDA, separated by spaces:
 * gpus=COUNT (2), sms=COUNT (4), memory_kib=SIZE (8192), capability=90, driver=13000, ptx=90 (the newest version of PTX
 * that it reads, 90 for 9.0), shared=BYTES a block may have, node=NUMBER (NUMA node of all of them), prohibited=1,
 * fail=FUNCTION:CODE:CALLS (it fails from call CALLS on, counted from 0), hang=GPU (its work never ends),
 * crash=FUNCTION, lost=GPU:LAUNCHES (after so many, nothing works any more), flip=GPU:OFFSET:BIT (a bit of memory that
 * is always one), wrong_sm=GPU:NUMBER (a multiprocessor that computes wrongly), wrong_copy=1 (copies to and between
 * GPUs lose a bit), h2d=, d2h=, d2d=, peer= and staged=BYTES_PER_S (of copies; otherwise as fast as the CPU), slow=GPU:FACTOR
 * (everything takes it longer), apart=1 (no GPU reaches another's memory). Signatures: NVIDIA CUDA Driver API reference.
 */
#include <cstdio>
#include <sys/mman.h>

#include "gpu.h"

extern "C" {

int cuInit(unsigned) { return begin_call(__func__); }

int cuDriverGetVersion(int *version) {
  *version = (int)number_of("driver", 13000);
  return begin_call(__func__);
}

int cuGetErrorName(int error, const char **name) {
  static char names[32];
  snprintf(names, sizeof names, "CUDA_ERROR_%d", error);
  *name = names;
  return 0;
}

int cuGetErrorString(int, const char **text) {
  *text = "an error of the fake driver";
  return 0;
}

int cuDeviceGetCount(int *count) {
  *count = gpu_count();
  return begin_call(__func__);
}

int cuDeviceGet(np_cu_device *device, int ordinal) {
  CALL();
  *device = ordinal;
  return ordinal < gpu_count() ? 0 : 101;
}

int cuDeviceGetName(char *name, int bytes, np_cu_device) {
  CALL();
  snprintf(name, (size_t)bytes, "Fake GPU");
  return 0;
}

/* In a domain of the PCI bus that no machine has: sysfs knows nothing of it. */
int cuDeviceGetPCIBusId(char *address, int bytes, np_cu_device device) {
  CALL();
  snprintf(address, (size_t)bytes, "FFFF:%02X:00.0", 0x1b + device);
  return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, np_cu_device) {
  CALL();
  const int capability = (int)number_of("capability", 90);
  switch (attribute) {
  case NP_CU_MULTIPROCESSOR_COUNT:
    return *value = multiprocessors(), 0;
  case NP_CU_COMPUTE_MODE:
    return *value = word_of("prohibited") ? NP_CU_COMPUTEMODE_PROHIBITED : 0, 0;
  case NP_CU_L2_CACHE_SIZE:
    return *value = 16 << 10, 0;
  case NP_CU_COMPUTE_CAPABILITY_MAJOR:
    return *value = capability / 10, 0;
  case NP_CU_COMPUTE_CAPABILITY_MINOR:
    return *value = capability % 10, 0;
  case NP_CU_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
    return *value = (int)number_of("shared", 227 << 10), 0;
  case NP_CU_HOST_NUMA_ID:
    return *value = (int)number_of("node", -1), 0;
  default:
    return INVALID_VALUE;
  }
}

int cuDeviceCanAccessPeer(int *can, np_cu_device, np_cu_device) {
  *can = !word_of("apart");
  return begin_call(__func__);
}

int cuDevicePrimaryCtxRetain(np_cu_context *context, np_cu_device device) {
  static np_cu_context_st contexts[MOST_GPUS];
  CALL();
  Gpu *gpu = &gpus[device];
  gpu->index = device;
  gpu->bytes = (size_t)number_of("memory_kib", 8192) << 10;
  gpu->memory = (char *)mmap(nullptr, gpu->bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  gpu->is_retained = true;
  contexts[device].gpu = gpu;
  *context = &contexts[device];
  return gpu->memory == MAP_FAILED ? NP_CUDA_ERROR_OUT_OF_MEMORY : 0;
}

int cuDevicePrimaryCtxRelease_v2(np_cu_device device) {
  CALL();
  munmap(gpus[device].memory, gpus[device].bytes);
  gpus[device] = Gpu();
  return 0;
}

int cuCtxSetCurrent(np_cu_context context) {
  CALL();
  used_gpu = context->gpu;
  return 0;
}

int cuCtxEnablePeerAccess(np_cu_context peer, unsigned) {
  static bool is_enabled[MOST_GPUS][MOST_GPUS];
  CALL();
  bool &is_known = is_enabled[used_gpu->index][peer->gpu->index];
  if (is_known)
    return NP_CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
  is_known = true;
  return 0;
}

int cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes) {
  CALL();
  *free_bytes = used_gpu->bytes - used_gpu->used;
  *total_bytes = used_gpu->bytes;
  return 0;
}

int cuMemAlloc_v2(np_cu_deviceptr *address, size_t bytes) {
  CALL();
  const size_t rounded = (bytes + 511) / 512 * 512;
  if (rounded > used_gpu->bytes - used_gpu->used)
    return NP_CUDA_ERROR_OUT_OF_MEMORY;
  *address = (np_cu_deviceptr)(used_gpu->memory + used_gpu->used);
  used_gpu->used += rounded;
  return 0;
}

int cuMemHostRegister_v2(void *data, size_t, unsigned) {
  CALL();
  return (size_t)data % 4096 == 0 ? 0 : INVALID_VALUE;
}

int cuMemHostUnregister(void *) { return begin_call(__func__); }

int cuMemHostGetDevicePointer_v2(np_cu_deviceptr *address, void *data,
                                 unsigned) {
  *address = (np_cu_deviceptr)data;
  return begin_call(__func__);
}

int cuStreamCreate(np_cu_stream *stream, unsigned) {
  static np_cu_stream_st streams[4 * MOST_GPUS];
  static size_t count;
  CALL();
  *stream = &streams[count++ % (4 * MOST_GPUS)];
  **stream = {used_gpu, 0};
  return 0;
}

int cuStreamSynchronize(np_cu_stream) { return begin_call(__func__); }

int cuStreamQuery(np_cu_stream) { return begin_call(__func__); }

int cuStreamWaitEvent(np_cu_stream stream, np_cu_event event, unsigned) {
  CALL();
  stream->now = stream->now > event->at ? stream->now : event->at;
  return 0;
}

int cuEventCreate(np_cu_event *event, unsigned) {
  static np_cu_event_st events[64 * MOST_GPUS];
  static size_t count;
  CALL();
  *event = &events[count++ % (64 * MOST_GPUS)];
  **event = {used_gpu, 0, false};
  return 0;
}

int cuEventRecord(np_cu_event event, np_cu_stream stream) {
  CALL();
  if (event->gpu != stream->gpu)
    return 400; /* CUDA_ERROR_INVALID_HANDLE */
  event->at = stream->now;
  event->is_recorded = true;
  return 0;
}

int cuEventQuery(np_cu_event event) {
  CALL();
  return part_of("hang", 0) == event->gpu->index ? NP_CUDA_ERROR_NOT_READY : 0;
}

int cuEventElapsedTime(float *milliseconds, np_cu_event begin,
                       np_cu_event end) {
  CALL();
  *milliseconds = (float)(1e-6 * (end->at - begin->at));
  return begin->is_recorded && end->is_recorded ? 0 : 400;
}
}

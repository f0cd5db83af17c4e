/* What moves and computes: copies, and launches of the kernels of native/gpu. */
#include <cstdio>
#include <csignal>
#include <sched.h>
#include <thread>
#include <time.h>

#include "fibers.h"
#include "gpu.h"
#include "kernels.h"

Gpu gpus[MOST_GPUS];
thread_local Gpu *used_gpu;

int begin_call(const char *name) {
  static int calls;
  const auto is = [name](const char *word) {
    const char *found = word_of(word);
    const size_t length = strlen(name);
    return found && !strncmp(found, name, length) &&
           strchr(" :", found[length]);
  };
  if (is("crash"))
    raise(SIGSEGV);
  if (used_gpu && part_of("lost", 0) == used_gpu->index &&
      used_gpu->launches > part_of("lost", 1))
    return LAUNCH_FAILED;
  return is("fail") && calls++ >= part_of("fail", 2) ? (int)part_of("fail", 1)
                                                     : 0;
}

bool is_given(np_cu_deviceptr address, size_t bytes) {
  const char *at = (const char *)address;
  for (const Gpu &gpu : gpus)
    if (gpu.memory && at >= gpu.memory && at + bytes <= gpu.memory + gpu.used)
      return true;
  return false;
}

void stick(Gpu *gpu) {
  if (part_of("flip", 0) == gpu->index)
    gpu->memory[part_of("flip", 1)] |= (char)(1 << part_of("flip", 2));
}

void pass_time(np_cu_stream_st *stream, double ns) {
  const bool is_slow = part_of("slow", 0) == stream->gpu->index;
  stream->now += ns * (is_slow ? (double)part_of("slow", 1) : 1);
}

double now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

/* Copy, and lose a bit if that is asked for. */
static int copy(void *to, const void *from, size_t bytes, np_cu_stream stream,
                const char *rate, bool is_to_gpu) {
  const double begin = now_ns(), bytes_per_s = number_of(rate, 0);
  memcpy(to, from, bytes);
  if (is_to_gpu && word_of("wrong_copy"))
    *(char *)to ^= 4;
  if (used_gpu)
    stick(used_gpu);
  if (stream)
    pass_time(stream, bytes_per_s > 0 ? 1e9 * (double)bytes / bytes_per_s
                                      : now_ns() - begin);
  return 0;
}

struct np_cu_function_st {
  const Kernel *kernel;
  int shared_bytes;
};

/* What is behind a word of the text, as 64 for `.version 6.4` and 70 for `.target sm_70`. */
static int number_behind(const char *text, const char *word) {
  int major = 0, minor = 0;
  const char *at = strstr(text, word);
  if (!at)
    return -1;
  return sscanf(at + strlen(word), "%d.%d", &major, &minor) == 2
             ? 10 * major + minor
             : major;
}

extern "C" {

int cuModuleLoadDataEx(np_cu_module *module, const void *image, unsigned count,
                       int *options, void **values) {
  CALL();
  const char *text = (const char *)image;
  if (number_behind(text, ".version ") > number_of("ptx", 90))
    return NP_CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
  if (number_behind(text, ".target sm_") > number_of("capability", 90))
    return NP_CUDA_ERROR_NO_BINARY_FOR_GPU;
  if (word_of("jit")) {
    for (unsigned i = 0; i < count; i++)
      if (options[i] == NP_CU_JIT_ERROR_LOG_BUFFER)
        strcpy((char *)values[i], "ptxas: a word that nobody knows\nmore");
    return NP_CUDA_ERROR_INVALID_PTX;
  }
  *module = (np_cu_module)image;
  return 0;
}

int cuModuleGetFunction(np_cu_function *function, np_cu_module module,
                        const char *name) {
  static np_cu_function_st functions[64];
  CALL();
  char entry[96];
  snprintf(entry, sizeof entry, ".entry %s(", name);
  if (!strstr((const char *)module, entry))
    return 500; /* CUDA_ERROR_NOT_FOUND */
  for (size_t i = 0; i < KERNEL_COUNT; i++)
    if (!strcmp(KERNELS[i].name, name)) {
      functions[i] = {&KERNELS[i], 48 << 10};
      *function = &functions[i];
      return 0;
    }
  return 500;
}

int cuFuncSetAttribute(np_cu_function function, int attribute, int value) {
  CALL();
  if (attribute != NP_CU_MAX_DYNAMIC_SHARED_SIZE_BYTES ||
      value > number_of("shared", 227 << 10))
    return INVALID_VALUE;
  function->shared_bytes = value;
  return 0;
}

int cuLaunchKernel(np_cu_function function, unsigned grid_x, unsigned,
                   unsigned, unsigned block_x, unsigned, unsigned,
                   unsigned shared_bytes, np_cu_stream stream,
                   void **parameters, void **) {
  CALL();
  const Kernel *kernel = function->kernel;
  Gpu *gpu = stream->gpu;
  if ((int)shared_bytes > function->shared_bytes || !grid_x || gpu != used_gpu)
    return INVALID_VALUE;
  gpu->launches++;
  if (part_of("hang", 0) == gpu->index)
    return 0;
  if (kernel->is_concurrent) {
    void *copies[4];
    memcpy(copies, parameters, sizeof copies);
    auto *words = new np_cu_deviceptr[4];
    for (int i = 0; i < 4; i++)
      memcpy(words + i, copies[i], i < 2 ? 8 : 4);
    std::thread([kernel, words] {
      cpu_set_t all; /* the GPU is none of the CPUs that its user is bound to */
      memset(&all, 0xff, sizeof all);
      sched_setaffinity(0, sizeof all, &all);
      void *own[] = {words, words + 1, words + 2, words + 3};
      kernel->call(own);
      delete[] words;
    }).detach();
    return 0;
  }
  const double begin = now_ns();
  gridDim = {grid_x, 1, 1};
  blockDim = {block_x, 1, 1};
  for (unsigned block = 0; block < grid_x; block++) {
    blockIdx = {block, 0, 0};
    current_multiprocessor = block % (unsigned)multiprocessors();
    is_multiprocessor_wrong = part_of("wrong_sm", 0) == gpu->index &&
                              part_of("wrong_sm", 1) == (long)current_multiprocessor;
    struct Body {
      const Kernel *kernel;
      void **parameters;
    } body = {kernel, parameters};
    run_block(
        block_x, kernel->is_waiting,
        [](void *state) {
          ((Body *)state)->kernel->call(((Body *)state)->parameters);
        },
        &body);
  }
  stick(gpu);
  pass_time(stream, now_ns() - begin);
  return 0;
}

int cuMemcpyHtoD_v2(np_cu_deviceptr to, const void *from, size_t bytes) {
  CALL();
  return is_given(to, bytes) ? copy((void *)to, from, bytes, nullptr, "h2d", true)
                             : INVALID_VALUE;
}

int cuMemcpyDtoH_v2(void *to, np_cu_deviceptr from, size_t bytes) {
  CALL();
  return is_given(from, bytes)
             ? copy(to, (const void *)from, bytes, nullptr, "d2h", false)
             : INVALID_VALUE;
}

int cuMemcpyHtoDAsync_v2(np_cu_deviceptr to, const void *from, size_t bytes,
                         np_cu_stream stream) {
  CALL();
  return is_given(to, bytes) ? copy((void *)to, from, bytes, stream, "h2d", true)
                             : INVALID_VALUE;
}

int cuMemcpyDtoHAsync_v2(void *to, np_cu_deviceptr from, size_t bytes,
                         np_cu_stream stream) {
  CALL();
  return is_given(from, bytes)
             ? copy(to, (const void *)from, bytes, stream, "d2h", false)
             : INVALID_VALUE;
}

int cuMemcpyDtoDAsync_v2(np_cu_deviceptr to, np_cu_deviceptr from,
                         size_t bytes, np_cu_stream stream) {
  CALL();
  const bool is_any = is_given(to, bytes) && is_given(from, bytes);
  return is_any ? copy((void *)to, (const void *)from, bytes, stream, "d2d", true)
                : INVALID_VALUE;
}

int cuMemcpyPeerAsync(np_cu_deviceptr to, np_cu_context, np_cu_deviceptr from,
                      np_cu_context, size_t bytes, np_cu_stream stream) {
  CALL();
  const bool is_any = is_given(to, bytes) && is_given(from, bytes);
  return is_any ? copy((void *)to, (const void *)from, bytes, stream,
                       word_of("apart") ? "staged" : "peer", true)
                : INVALID_VALUE;
}

int cuMemsetD8Async(np_cu_deviceptr to, unsigned char value, size_t bytes,
                    np_cu_stream stream) {
  CALL();
  if (!is_given(to, bytes))
    return INVALID_VALUE;
  memset((void *)to, value, bytes);
  stick(stream->gpu);
  return 0;
}
}

/* One GPU of the fake library: its memory, its clock, and what is wrong with it. */
#pragma once

#include <cstddef>

#define _Static_assert static_assert
extern "C" {
#include "cuda_abi.h"
}

#include "words.h"

enum { MOST_GPUS = 8, INVALID_VALUE = 1, LAUNCH_FAILED = 719 };

struct Gpu {
  int index;
  char *memory;
  size_t bytes, used;
  int launches;
  bool is_retained;
};

/* Streams and events have times of the GPU's own clock, in nanoseconds. */
struct np_cu_stream_st {
  Gpu *gpu;
  double now;
};

struct np_cu_event_st {
  Gpu *gpu;
  double at;
  bool is_recorded;
};

struct np_cu_context_st {
  Gpu *gpu;
};

extern Gpu gpus[MOST_GPUS];
extern thread_local Gpu *used_gpu;

static inline int gpu_count() { return (int)number_of("gpus", 2); }

static inline int multiprocessors() { return (int)number_of("sms", 4); }

/* What a call of this name returns, if nothing else is wrong: FAKE_CUDA has fail=NAME:CODE:CALLS, hang=NAME, crash=NAME. */
int begin_call(const char *name);

/* Whether all of `bytes` from `address` on are memory that was given away. */
bool is_given(np_cu_deviceptr address, size_t bytes);

/* A bit that is always one, after anything wrote to memory: flip=GPU:OFFSET:BIT. */
void stick(Gpu *gpu);

/* Work was done that took so long. */
void pass_time(np_cu_stream_st *stream, double ns);

double now_ns();

#define CALL()                                                                 \
  if (const int code_ = begin_call(__func__))                                  \
  return code_

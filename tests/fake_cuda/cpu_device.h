/*
 * What native/gpu/device.h has for GPUs, for the CPU: the same kernels, compiled as C++.
 *
 * Threads of a block that wait for each other are fibers of one thread of the CPU (fibers.h). A lane of a warp waits
 * for the other 31 where an instruction is the warp's; the last one to come does it for all. A multiprocessor that is
 * told to be wrong gives each product a wrong last bit.
 */
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <sched.h>

#include "fibers.h"

#define KERNEL extern "C" void
#define DEVICE static inline
#define DEVICE_MEMBER inline
#define BOUNDS(threads, blocks)
#define __shared__ static
#define DYNAMIC_SHARED(name) char *name = dynamic_shared

struct ulonglong2 {
  u64 x, y;
};

struct double2 {
  double x, y;
};

struct float2 {
  float x, y;
};

static inline u32 multiprocessor() { return current_multiprocessor; }

template <typename T> static inline T load_once(const T *from) { return *from; }

template <typename T> static inline void store_once(T *to, T value) {
  *to = value;
}

static inline u32 load_shared_with_host(const u32 *from) {
  sched_yield();
  return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

static inline void store_shared_with_host(u32 *to, u32 value) {
  __atomic_store_n(to, value, __ATOMIC_RELEASE);
}

static inline u64 atomicAdd(u64 *to, u64 value) {
  const u64 before = *to;
  *to += value;
  return before;
}

template <typename To, typename From> static inline To bits_as(From value) {
  static_assert(sizeof(To) == sizeof(From), "the same bits");
  To out;
  memcpy(&out, &value, sizeof out);
  return out;
}

static inline u32 __float_as_uint(float value) { return bits_as<u32>(value); }

static inline long long __double_as_longlong(double value) {
  return bits_as<long long>(value);
}

static inline float spoilt(float value) {
  return is_multiprocessor_wrong ? bits_as<float>(bits_as<u32>(value) ^ 1)
                                 : value;
}

static inline double spoilt(double value) {
  return is_multiprocessor_wrong ? bits_as<double>(bits_as<u64>(value) ^ 1)
                                 : value;
}

static inline float fused(float a, float b, float c) {
  return spoilt(std::fmaf(a, b, c));
}

static inline double fused(double a, double b, double c) {
  return spoilt(std::fma(a, b, c));
}

static inline float product(float a, float b) { return a * b; }

static inline double product(double a, double b) { return a * b; }

static inline void copy_async(void *to, const void *from) {
  memcpy(to, from, 16);
}

static inline void copy_commit() {}

static inline void copy_wait(int) {}

/* What each lane brings to an instruction of its warp; it stands on the lane's own stack until all have come. */
struct Lane {
  void *sums;
  const void *a, *b;
};

static inline void load_for_all(Lane *lanes) {
  for (int matrix = 0; matrix < 4; matrix++)
    for (int lane = 0; lane < 32; lane++) {
      const char *row = (const char *)lanes[8 * matrix + lane / 4].a;
      memcpy((u32 *)lanes[lane].sums + matrix, row + lane % 4 * 4, 4);
    }
}

static inline void load_matrices(u32 words[4], const void *row) {
  as_warp(Lane{words, row, nullptr}, load_for_all);
}

/* 32 bytes of a row, put together from what its four lanes hold: `low` is the word of the first 16 bytes. */
static inline void gather(const Lane *lanes, int row, bool is_a, int low,
                          int high, char bytes[32]) {
  for (int part = 0; part < 4; part++) {
    const Lane &lane = lanes[4 * row + part];
    const u32 *words = (const u32 *)(is_a ? lane.a : lane.b);
    memcpy(bytes + 4 * part, words + low, 4);
    memcpy(bytes + 16 + 4 * part, words + high, 4);
  }
}

template <typename Type> static inline void multiply_for_all(Lane *lanes) {
  float a[16][Type::DEPTH], b[8][Type::DEPTH], sums[16][8] = {};
  char bytes[32];
  for (int row = 0; row < 8; row++) {
    gather(lanes, row, true, 0, 2, bytes);
    Type::read(bytes, a[row]);
    gather(lanes, row, true, 1, 3, bytes);
    Type::read(bytes, a[row + 8]);
    gather(lanes, row, false, 0, 1, bytes);
    Type::read(bytes, b[row]);
  }
  for (int k = 0; k < Type::DEPTH; k++)
    for (int row = 0; row < 16; row++)
      for (int column = 0; column < 8; column++)
        sums[row][column] += a[row][k] * b[column][k];
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < 4; i++) {
      float &sum = ((float *)lanes[lane].sums)[i];
      sum = spoilt(sum + sums[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2]);
    }
}

struct Bf16 {
  enum { DEPTH = 16 };
  static void read(const char *bytes, float *out) {
    uint16_t words[DEPTH];
    memcpy(words, bytes, sizeof words);
    for (int i = 0; i < DEPTH; i++)
      out[i] = bits_as<float>((u32)words[i] << 16);
  }
  static void multiply(float sum[4], const u32 a[4], const u32 b[2]) {
    as_warp(Lane{sum, a, b}, multiply_for_all<Bf16>);
  }
};

/* A tensor core drops the last 13 bits of the mantissa. */
struct Tf32 {
  enum { DEPTH = 8 };
  static void read(const char *bytes, float *out) {
    u32 words[DEPTH];
    memcpy(words, bytes, sizeof words);
    for (int i = 0; i < DEPTH; i++)
      out[i] = bits_as<float>(words[i] & ~0x1fffu);
  }
  static void multiply(float sum[4], const u32 a[4], const u32 b[2]) {
    as_warp(Lane{sum, a, b}, multiply_for_all<Tf32>);
  }
};

/* OCP 8-bit floating point specification: bias 7, three bits of mantissa. */
struct E4m3Values {
  float of[256];
  E4m3Values() {
    for (int byte = 0; byte < 256; byte++) {
      const int exponent = byte >> 3 & 15, mantissa = byte & 7;
      const float size = exponent ? std::ldexp(8.0f + mantissa, exponent - 10)
                                  : std::ldexp((float)mantissa, -9);
      of[byte] = byte & 0x80 ? -size : size;
    }
  }
};

static const E4m3Values E4M3_VALUES;

struct E4m3 {
  enum { DEPTH = 32 };
  static void read(const char *bytes, float *out) {
    for (int i = 0; i < DEPTH; i++)
      out[i] = E4M3_VALUES.of[(unsigned char)bytes[i]];
  }
  static void multiply(float sum[4], const u32 a[4], const u32 b[2]) {
    as_warp(Lane{sum, a, b}, multiply_for_all<E4m3>);
  }
};

static inline void multiply_double_for_all(Lane *lanes) {
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < 2; i++) {
      double sum = ((double *)lanes[lane].sums)[i];
      for (int k = 0; k < 4; k++)
        sum += *(const double *)lanes[lane / 4 * 4 + k].a *
               *(const double *)lanes[(lane % 4 * 2 + i) * 4 + k].b;
      ((double *)lanes[lane].sums)[i] = spoilt(sum);
    }
}

static inline void multiply_double(double sum[2], double a, double b) {
  as_warp(Lane{sum, &a, &b}, multiply_double_for_all);
}

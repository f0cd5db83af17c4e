/* What the parts of the fake library share: error codes, words of FAKE_NVML,
 * generations of GPUs. */
#pragma once

#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  SUCCESS = 0,
  INVALID_ARGUMENT = 2,
  NOT_SUPPORTED = 3,
  NO_PERMISSION = 4,
  NOT_FOUND = 6,
  INSUFFICIENT_SIZE = 7,
  TIMEOUT = 10,
  CORRUPTED_INFOROM = 14,
  GPU_IS_LOST = 15,
  ARGUMENT_VERSION_MISMATCH = 25,
  UNKNOWN = 999,
  NONE = -2,
  MIG_DEVICES = 1000 /* numbers of MIG devices: those of GPU 0 from here on */
};

/* What differs between generations, as their data sheets and the NVML API
 * reference have it. */
typedef struct {
  const char *word, *name, *vbios, *inforom;
  int links, link_mb_per_s, nvlink, sm_mhz, power_mw, pcie_generation;
  bool has_fabric, has_margin, has_rows, has_mig;
} generation_t;

static const generation_t GENERATIONS[] = {
    {"H100", "NVIDIA H100 80GB HBM3", "96.00.99.00.01", "G520.0200.00.05", 18,
     26562, 4, 1980, 700000, 5, true, true, true, true},
    {"V100", "Tesla V100-SXM2-32GB", "88.00.98.00.02", "G503.0201.00.03", 6,
     25781, 2, 1530, 300000, 3, false, false, false, false},
    {"A100", "NVIDIA A100-SXM4-80GB", "92.00.45.00.05", "G506.0210.00.04", 12,
     25000, 3, 1410, 400000, 4, false, false, true, true},
    {"B200", "NVIDIA B200", "97.00.88.00.07", "G548.0301.00.02", 18, 53125, 5,
     1965, 1000000, 5, true, true, true, true},
};

/* Return what follows NAME= in FAKE_NVML, or NULL. */
static const char *word_of(const char *name) {
  const char *words = getenv("FAKE_NVML");
  size_t length = strlen(name);
  for (const char *word = words; word && *word;
       word = strchr(word, ' ') ? strchr(word, ' ') + 1 : NULL)
    if (!strncmp(word, name, length) && word[length] == '=')
      return word + length + 1;
  return NULL;
}

static int option(const char *name, int otherwise) {
  const char *word = word_of(name);
  return word ? atoi(word) : otherwise;
}

static const generation_t *generation(void) {
  const char *word = word_of("generation");
  for (size_t i = 0; word && i < sizeof GENERATIONS / sizeof *GENERATIONS; i++)
    if (!strncmp(word, GENERATIONS[i].word, strlen(GENERATIONS[i].word)))
      return &GENERATIONS[i];
  return &GENERATIONS[0];
}

static bool is(const char *name, const int *gpu) {
  return option(name, NONE) == *gpu;
}

/* What a function has to return for a GPU, if nothing is wrong with its answer.
 */
static int result_of(const char *function, const int *gpu) {
  const char *fails = word_of("fails");
  const size_t length = strlen(function);
  if (is("lost", gpu))
    return GPU_IS_LOST;
  return fails && !strncmp(fails, function, length) &&
                 (fails[length] == ' ' || !fails[length]) && is("failing", gpu)
             ? UNKNOWN
             : SUCCESS;
}

static int say_of(const char *function, const int *gpu, char *out,
                  unsigned size, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static int say_of(const char *function, const int *gpu, char *out,
                  unsigned size, const char *format, ...) {
  va_list values;
  const int error = gpu ? result_of(function, gpu) : SUCCESS;
  if (error)
    return error;
  va_start(values, format);
  vsnprintf(out, size, format, values);
  va_end(values);
  return SUCCESS;
}

static int set_of(const char *function, const int *gpu, unsigned *out,
                  unsigned value) {
  *out = value;
  return result_of(function, gpu);
}

/* The function that is called knows its own name. */
#define result(gpu) result_of(__func__, gpu)
#define say(gpu, ...) say_of(__func__, gpu, __VA_ARGS__)
#define set(gpu, out, value) set_of(__func__, gpu, out, value)

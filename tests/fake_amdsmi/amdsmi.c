/*
 * A libamd_smi.so without a GPU: what nodeproof asks, answered from the
 * environment variable FAKE_AMDSMI as eight MI300X would.
 *
 * Words, separated by spaces: gpus=8 (how many), init=CODE (amdsmi_init fails),
 * hang=INDEX and crash=INDEX (when that GPU's address is asked for; -1: in
 * amdsmi_init), refused=INDEX code=CODE (no address), divided=1 (a second part
 * of each GPU, which is on no bus). Of one GPU, each as WORD=INDEX: uncorrected
 * (errors in memory), cache (errors elsewhere), narrow (x8), hot, hot_memory,
 * low_power, no_ecc, retired, retired_many, retired_pending, link_down, apart
 * (no peer access), garbled (a name that is not UTF-8), failing (in what
 * fails=FUNCTION says, with error IO). old=1: a library of ROCm 6.0, without
 * the states of links. Signatures and structures: amd_smi/amdsmi.h.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  SUCCESS = 0,
  INVAL = 1,
  NOT_SUPPORTED = 2,
  IO = 12,
  NOT_FOUND = 31,
  NONE = -2,
  MOST = 32,
};

typedef struct {
  uint64_t correctable, uncorrectable, deferred, reserved[5];
} error_count;

typedef struct {
  uint16_t max_width;
  uint32_t max_speed, version, slot_type, max_version;
  uint64_t static_reserved[9];
  uint16_t width;
  uint32_t speed, bandwidth;
  uint64_t replays, reserved[64];
} pcie_info;

typedef struct {
  uint64_t cap, default_cap, dpm, least, most, reserved[3];
} power_cap;

typedef struct {
  uint64_t address, size;
  uint32_t status;
} page;

typedef struct {
  uint32_t count, status[8];
  uint64_t reserved[7];
} link_status;

/* Return what follows NAME= in FAKE_AMDSMI, or NULL. */
static const char *word_of(const char *name) {
  const char *words = getenv("FAKE_AMDSMI");
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

static bool is(const char *name, const int *gpu) {
  return option(name, NONE) == *gpu;
}

static int result_of(const char *function, const int *gpu) {
  const char *fails = word_of("fails");
  const size_t length = strlen(function);
  return fails && !strncmp(fails, function, length) &&
                 (fails[length] == ' ' || !fails[length]) && is("failing", gpu)
             ? IO
             : SUCCESS;
}

#define result(gpu) result_of(__func__, gpu)

static void misbehave(int where) {
  if (option("hang", NONE) == where)
    for (;;)
      pause();
  if (option("crash", NONE) == where)
    raise(SIGSEGV);
}

static bool is_initialised;

int amdsmi_init(uint64_t flags) {
  enum { GPUS = 2 };
  misbehave(-1);
  if (flags != GPUS)
    return INVAL;
  is_initialised = true;
  return option("init", SUCCESS);
}

/* One socket for each GPU, as the library has it. */
int amdsmi_get_socket_handles(uint32_t *count, int **out) {
  static int sockets[MOST];
  const uint32_t room = *count;
  if (!is_initialised)
    return INVAL;
  *count = (uint32_t)option("gpus", 8);
  for (uint32_t i = 0; out && i < *count && i < room; i++) {
    sockets[i] = (int)i;
    out[i] = &sockets[i];
  }
  return SUCCESS;
}

int amdsmi_get_processor_handles(const int *socket, uint32_t *count,
                                 int **out) {
  static int gpus[2 * MOST];
  const uint32_t room = *count;
  *count = option("divided", 0) ? 2 : 1;
  for (uint32_t part = 0; out && part < *count && part < room; part++) {
    int *gpu = &gpus[*socket + (int)part * MOST];
    *gpu = *socket + (int)part * MOST;
    out[part] = gpu;
  }
  return SUCCESS;
}

int amdsmi_get_gpu_device_bdf(const int *gpu, uint64_t *out) {
  const uint64_t function = *gpu / MOST, bus = 0x1b + *gpu % MOST;
  misbehave(*gpu);
  *out = function | bus << 8;
  return is("refused", gpu) ? option("code", NOT_FOUND) : SUCCESS;
}

int amdsmi_get_gpu_driver_info(const int *gpu, char *out) {
  strcpy(out, "6.12.12");
  return result(gpu);
}

int amdsmi_get_gpu_asic_info(const int *gpu, char *out) {
  strcpy(out, is("garbled", gpu) ? "\xff\xfe" : "AMD Instinct MI300X");
  return result(gpu);
}

int amdsmi_get_gpu_device_uuid(const int *gpu, uint32_t *size, char *out) {
  snprintf(out, *size, "aeff74a1-0000-1000-80%02x-000000000000", *gpu);
  return result(gpu);
}

int amdsmi_get_pcie_info(const int *gpu, pcie_info *out) {
  *out = (pcie_info){.max_width = 16,
                     .max_speed = 32,
                     .width = is("narrow", gpu) ? 8 : 16,
                     .speed = 32000};
  return result(gpu);
}

int amdsmi_get_gpu_pci_replay_counter(const int *gpu, uint64_t *out) {
  *out = 3;
  return result(gpu);
}

int amdsmi_get_gpu_ecc_enabled(const int *gpu, uint64_t *out) {
  *out = is("no_ecc", gpu) ? 0 : 0x7;
  return result(gpu);
}

int amdsmi_get_gpu_ecc_count(const int *gpu, uint64_t block, error_count *out) {
  enum { MEMORY = 1 };
  if (block != MEMORY)
    return NOT_SUPPORTED;
  *out = (error_count){.correctable = 5,
                       .uncorrectable = is("uncorrected", gpu) ? 2 : 0};
  return result(gpu);
}

int amdsmi_get_gpu_total_ecc_count(const int *gpu, error_count *out) {
  *out = (error_count){.correctable = 6,
                       .uncorrectable = (is("uncorrected", gpu) ? 2u : 0u) +
                                        (is("cache", gpu) ? 1u : 0u)};
  return result(gpu);
}

int amdsmi_get_power_cap_info(const int *gpu, uint32_t sensor, power_cap *out) {
  if (sensor)
    return INVAL;
  *out = (power_cap){.cap = is("low_power", gpu) ? 375000000 : 750000000,
                     .default_cap = 750000000};
  return result(gpu);
}

int amdsmi_get_temp_metric(const int *gpu, int kind, int metric, int64_t *out) {
  enum { HOTSPOT = 1, MEMORY, CURRENT = 0, CRITICAL = 5, EMERGENCY = 7 };
  if (kind != HOTSPOT && kind != MEMORY)
    return NOT_SUPPORTED;
  switch (metric) {
  case CURRENT:
    *out = kind == MEMORY ? (is("hot_memory", gpu) ? 105 : 41)
                          : (is("hot", gpu) ? 99 : 45);
    return result(gpu);
  case CRITICAL:
    *out = kind == MEMORY ? 105 : 100;
    return result(gpu);
  case EMERGENCY:
    *out = 110;
    return result(gpu);
  default:
    return NOT_SUPPORTED;
  }
}

int amdsmi_get_gpu_bad_page_info(const int *gpu, uint32_t *count, page *out) {
  enum { RESERVED, PENDING };
  const uint32_t room = *count;
  *count = is("retired_many", gpu)      ? 300
           : is("retired", gpu)         ? 20
           : is("retired_pending", gpu) ? 1
                                        : 0;
  for (uint32_t i = 0; out && i < *count && i < room; i++)
    out[i] = (page){.address = 0x1000 * i,
                    .size = 4096,
                    .status = is("retired_pending", gpu) ? PENDING : RESERVED};
  return result(gpu);
}

int amdsmi_get_gpu_bad_page_threshold(const int *gpu, uint32_t *out) {
  *out = 256;
  return result(gpu);
}

int amdsmi_get_gpu_xgmi_link_status(const int *gpu, link_status *out) {
  enum { DOWN, UP, DISABLED };
  if (option("old", 0))
    return NOT_SUPPORTED;
  *out = (link_status){.count = 8, .status = {UP, UP, UP, UP, UP, UP, UP}};
  out->status[7] = DISABLED; /* to itself */
  if (is("link_down", gpu))
    out->status[3] = DOWN;
  return result(gpu);
}

int amdsmi_is_P2P_accessible(const int *a, const int *b, bool *out) {
  *out = !is("apart", a) && !is("apart", b);
  return SUCCESS;
}

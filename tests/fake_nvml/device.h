/* What the fake library says of one GPU. Signatures and structures: NVIDIA NVML
 * API reference. */
#pragma once

#include "common.h"

typedef struct {
  char bus_id_legacy[16];
  unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
  char bus_id[32];
} pci_info;

typedef struct {
  unsigned max, high, partial, low, none;
} histogram;

typedef struct {
  unsigned version;
  unsigned long long aggregate[3], volatile_[3], buckets[5];
  unsigned is_threshold_exceeded;
} sram_status;

typedef struct {
  unsigned pid;
  unsigned long long used_bytes;
  unsigned gpu_instance, compute_instance;
} process_info;

typedef struct {
  unsigned version;
  int sensor, celsius;
} temperature;

typedef struct {
  unsigned version;
  int celsius;
} margin;

int nvmlDeviceGetPciInfo_v3(const int *gpu, pci_info *out) {
  /* from memory that the driver keeps: a lost GPU still has its address */
  memset(out, 0, sizeof *out);
  snprintf(out->bus_id, sizeof out->bus_id, "00000000:%02X:00.0", 0x1b + *gpu);
  return SUCCESS;
}

int nvmlDeviceGetName(const int *gpu, char *out, unsigned size) {
  return say(gpu, out, size, "%s",
             is("garbled", gpu) ? "\xff\xfe" : generation()->name);
}

int nvmlDeviceGetUUID(const int *gpu, char *out, unsigned size) {
  if (*gpu >= MIG_DEVICES)
    return say(NULL, out, size, "MIG-%d-%d", *gpu / MIG_DEVICES - 1,
               *gpu % MIG_DEVICES);
  return say(gpu, out, size, "GPU-00000000-0000-0000-0000-%012d", *gpu);
}

int nvmlDeviceGetMinorNumber(const int *gpu, unsigned *out) {
  return set(gpu, out, (unsigned)*gpu);
}

int nvmlDeviceGetMaxMigDeviceCount(const int *gpu, unsigned *out) {
  return set(gpu, out, 7);
}

/* Places 1 and 4 hold a device. */
int nvmlDeviceGetMigDeviceHandleByIndex(const int *gpu, unsigned place,
                                        int **out) {
  static int devices[7];
  if (place != 1 && place != 4)
    return NOT_FOUND;
  devices[place] = (*gpu + 1) * MIG_DEVICES + (int)place;
  *out = &devices[place];
  return result(gpu);
}

int nvmlDeviceGetSerial(const int *gpu, char *out, unsigned size) {
  return say(gpu, out, size, "165092300000%d", *gpu);
}

int nvmlDeviceGetVbiosVersion(const int *gpu, char *out, unsigned size) {
  return say(gpu, out, size, "%s",
             is("other_vbios", gpu) ? "96.00.11.00.01" : generation()->vbios);
}

int nvmlDeviceGetGspFirmwareVersion(const int *gpu, char *out) {
  return say(gpu, out, 64, "570.86.15");
}

int nvmlDeviceGetInforomImageVersion(const int *gpu, char *out, unsigned size) {
  return say(gpu, out, size, "%s",
             is("other_inforom", gpu) ? "G520.0100.00.01"
                                      : generation()->inforom);
}

int nvmlDeviceGetInforomVersion(const int *gpu, int object, char *out,
                                unsigned size) {
  return say(gpu, out, size, "%d.16", object + 5);
}

int nvmlDeviceGetInforomConfigurationChecksum(const int *gpu, unsigned *out) {
  return set(gpu, out, 0xC0FFEE);
}

int nvmlDeviceValidateInforom(const int *gpu) {
  return is("corrupt_inforom", gpu) ? CORRUPTED_INFOROM : result(gpu);
}

int nvmlDeviceGetCurrPcieLinkWidth(const int *gpu, unsigned *out) {
  return set(gpu, out, is("narrow", gpu) ? 8 : 16);
}

int nvmlDeviceGetMaxPcieLinkWidth(const int *gpu, unsigned *out) {
  return set(gpu, out, 16);
}

int nvmlDeviceGetCurrPcieLinkGeneration(const int *gpu, unsigned *out) {
  return set(gpu, out, 1);
}

int nvmlDeviceGetMaxPcieLinkGeneration(const int *gpu, unsigned *out) {
  return set(gpu, out, (unsigned)generation()->pcie_generation);
}

int nvmlDeviceGetPcieReplayCounter(const int *gpu, unsigned *out) {
  return set(gpu, out, 7);
}

int nvmlDeviceGetPersistenceMode(const int *gpu, unsigned *out) {
  return set(gpu, out, !is("no_persistence", gpu));
}

int nvmlDeviceGetAccountingMode(const int *gpu, unsigned *out) {
  return set(gpu, out, 0);
}

int nvmlDeviceGetComputeMode(const int *gpu, unsigned *out) {
  return set(gpu, out, 0);
}

int nvmlDeviceGetEccMode(const int *gpu, unsigned *current, unsigned *pending) {
  *pending = !is("no_ecc", gpu) && !is("ecc_pending", gpu);
  return set(gpu, current, !is("no_ecc", gpu));
}

int nvmlDeviceGetMigMode(const int *gpu, unsigned *current, unsigned *pending) {
  if (!generation()->has_mig)
    return NOT_SUPPORTED;
  *pending = is("mig", gpu) || is("mig_pending", gpu);
  return set(gpu, current, is("mig", gpu));
}

int nvmlDeviceGetMemoryErrorCounter(const int *gpu, int kind, int lifetime,
                                    int place, unsigned long long *out) {
  enum { UNCORRECTED = 1, VOLATILE = 0, DRAM = 2 };
  *out = kind == UNCORRECTED && lifetime == VOLATILE && place == DRAM &&
                 is("uncorrected", gpu)
             ? 2
             : 0;
  return is("no_ecc", gpu) ? NOT_SUPPORTED : result(gpu);
}

int nvmlDeviceGetSramEccErrorStatus(const int *gpu, sram_status *out) {
  if (out->version != (sizeof *out | 1u << 24))
    return ARGUMENT_VERSION_MISMATCH;
  out->is_threshold_exceeded = is("sram_threshold", gpu);
  return generation()->has_rows ? result(gpu) : NOT_SUPPORTED;
}

int nvmlDeviceGetRemappedRows(const int *gpu, unsigned *correctable,
                              unsigned *uncorrectable, unsigned *pending,
                              unsigned *failed) {
  *correctable = is("worn", gpu) ? 11 : 0;
  *uncorrectable = (unsigned)(is("pending", gpu) || is("failed", gpu));
  *pending = is("pending", gpu);
  *failed = is("failed", gpu);
  if (is("mig", gpu) || !generation()->has_rows)
    return NOT_SUPPORTED;
  return is("forbidden", gpu) ? NO_PERMISSION : result(gpu);
}

int nvmlDeviceGetRowRemapperHistogram(const int *gpu, histogram *out) {
  unsigned exhausted = is("exhausted", gpu) ? 2 : 0;
  *out = (histogram){.max = 640 - exhausted, .none = exhausted};
  return is("mig", gpu) || !generation()->has_rows ? NOT_SUPPORTED
                                                   : result(gpu);
}

int nvmlDeviceGetCurrentClocksEventReasons(const int *gpu,
                                           unsigned long long *out) {
  enum { IDLE = 0x1, HARDWARE = 0x8, THERMAL = 0x20, POWER_BRAKE = 0x80 };
  *out = is("power_brake", gpu) ? HARDWARE | POWER_BRAKE
         : is("thermal", gpu)   ? THERMAL
                                : IDLE;
  return result(gpu);
}

int nvmlDeviceGetClockInfo(const int *gpu, int kind, unsigned *out) {
  return set(gpu, out, kind == 2 ? 1593 : 210);
}

int nvmlDeviceGetMaxClockInfo(const int *gpu, int kind, unsigned *out) {
  return set(gpu, out, kind == 2 ? 1593 : (unsigned)generation()->sm_mhz);
}

int nvmlDeviceGetApplicationsClock(const int *gpu, int kind, unsigned *out) {
  (void)kind;
  return set(gpu, out, is("slow_clocks", gpu) ? 900 : 1200);
}

int nvmlDeviceGetDefaultApplicationsClock(const int *gpu, int kind,
                                          unsigned *out) {
  (void)kind;
  return set(gpu, out, 1200);
}

int nvmlDeviceGetPowerUsage(const int *gpu, unsigned *out) {
  return set(gpu, out, 72000);
}

int nvmlDeviceGetEnforcedPowerLimit(const int *gpu, unsigned *out) {
  return set(gpu, out,
             (unsigned)generation()->power_mw / (is("low_power", gpu) ? 2 : 1));
}

int nvmlDeviceGetPowerManagementDefaultLimit(const int *gpu, unsigned *out) {
  return set(gpu, out, (unsigned)generation()->power_mw);
}

int nvmlDeviceGetTemperatureV(const int *gpu, temperature *out) {
  out->celsius = is("hot", gpu) ? 89 : 34;
  return result(gpu);
}

int nvmlDeviceGetMarginTemperature(const int *gpu, margin *out) {
  out->celsius = is("hot", gpu) ? 0 : 53;
  return generation()->has_margin ? result(gpu) : NOT_SUPPORTED;
}

int nvmlDeviceGetTemperatureThreshold(const int *gpu, int which,
                                      unsigned *out) {
  static const unsigned limits[] = {92, 89, 95,
                                    87}; /* shutdown, slowdown, memory, core */
  return which > 3 ? NOT_SUPPORTED : set(gpu, out, limits[which]);
}

int nvmlDeviceGetComputeRunningProcesses_v3(const int *gpu, unsigned *count,
                                            process_info *out) {
  unsigned room = *count;
  *count = is("process", gpu);
  if (room < *count)
    return INSUFFICIENT_SIZE;
  if (*count)
    *out = (process_info){.pid = 4711, .used_bytes = 1ULL << 30};
  return result(gpu);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(const int *gpu, unsigned *count,
                                             process_info *out) {
  (void)out;
  *count = 0;
  return result(gpu);
}

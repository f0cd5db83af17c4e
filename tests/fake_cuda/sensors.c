/*
 * A libnvidia-ml.so.1 that says of each GPU of the fake libcuda.so.1 how it works: what nodeproof-bench calls.
 *
 * Words of FAKE_CUDA: sm_mhz=1980, watts=650, celsius=61, reasons=0 (of clocks), sensors_fail=CODE (all of it).
 * Signatures: NVIDIA NVML API reference.
 */
#include <stdlib.h>
#include <string.h>

static unsigned number(const char *name, unsigned otherwise) {
  const char *words = getenv("FAKE_CUDA");
  const size_t length = strlen(name);
  for (const char *word = words; word && *word;
       word = strchr(word, ' ') ? strchr(word, ' ') + 1 : NULL)
    if (!strncmp(word, name, length) && word[length] == '=')
      return (unsigned)atol(word + length + 1);
  return otherwise;
}

int nvmlInit_v2(void) { return (int)number("sensors_fail", 0); }

int nvmlDeviceGetHandleByPciBusId_v2(const char *address, void **device) {
  static int devices[8];
  const long bus = strncmp(address, "ffff:", 5) ? 0 : strtol(address + 5, NULL, 16);
  *device = bus >= 0x1b && bus < 0x1b + 8 ? &devices[bus - 0x1b] : NULL;
  return *device ? 0 : 6; /* NVML_ERROR_NOT_FOUND */
}

int nvmlDeviceGetClockInfo(void *device, int type, unsigned *mhz) {
  (void)device;
  *mhz = type == 1 ? number("sm_mhz", 1980) : 2619;
  return 0;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) {
  (void)device;
  *milliwatts = 1000 * number("watts", 650);
  return 0;
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius) {
  (void)device;
  *celsius = sensor == 0 ? number("celsius", 61) : 0;
  return 0;
}

/* The name that drivers before 535 have for it. */
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device,
                                              unsigned long long *reasons) {
  (void)device;
  *reasons = number("reasons", 0);
  return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, power and temperature of GPUs while they work, as far as NVML says: without it all of them are unknown. */
#ifndef NODEPROOF_BENCH_GPU_SENSORS_H
#define NODEPROOF_BENCH_GPU_SENSORS_H

#include "bench.h"

/** The functions of libnvidia-ml.so.1, as documented in the NVML API reference. Each returns an nvmlReturn_t. */
struct gpu_sensors {
    int (*init)(void);
    int (*device_by_address)(const char *address, void **device);
    int (*clock)(void *device, int type, unsigned int *mhz);
    int (*power)(void *device, unsigned int *milliwatts);
    int (*temperature)(void *device, int sensor, unsigned int *celsius);
    int (*reasons)(void *device, unsigned long long *reasons);
    bool is_there;
};

/** What is said of one GPU: how often a value was given, its sum, and its extremes. */
struct gpu_value {
    unsigned int count;
    double sum, least, most;
};

struct gpu_seen {
    struct gpu_value sm_hz, memory_hz, power_w, celsius;
    unsigned int reasons_count;
    uint64_t reasons; /**< all that slowed it down at any time */
    uint64_t looked;  /**< when, by the clock of the benchmark; 0: never */
};

struct gpu_sensor {
    const struct gpu_sensors *sensors;
    void *device; /**< NULL: not known to NVML */
};

void gpu_sensors_open(struct gpu_sensors *sensors);

/** Find a GPU by its PCI address. */
void gpu_sensor_open(struct gpu_sensor *sensor, const struct gpu_sensors *sensors, const char *address);

/** Look, unless the last look was less than `every_s` ago. */
void gpu_look(const struct gpu_sensor *sensor, const struct np_clock *clock, double every_s, struct gpu_seen *seen);

/** Write clocks and power (the mean and the worst), the highest temperature, and what slowed the GPU; null: unknown. */
void gpu_seen_put(const struct gpu_seen *seen, struct np_json *out);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu_sensors.h"

#include "library.h"

enum { SM_CLOCK = 1, MEMORY_CLOCK = 2, CORE_SENSOR = 0 };

#define SYMBOL(symbol, older, field) {symbol, older, offsetof(struct gpu_sensors, field), true}

static const struct library_symbol SYMBOLS[] = {
    SYMBOL("nvmlInit_v2", NULL, init),
    SYMBOL("nvmlDeviceGetHandleByPciBusId_v2", NULL, device_by_address),
    SYMBOL("nvmlDeviceGetClockInfo", NULL, clock),
    SYMBOL("nvmlDeviceGetPowerUsage", NULL, power),
    SYMBOL("nvmlDeviceGetTemperature", NULL, temperature),
    SYMBOL("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons", reasons),
};

/* nvml.h, nvmlClocksEventReason…: bits that say that the GPU could run faster if it was let. Being idle, and clocks
   that somebody chose, are none. */
static const struct {
    uint64_t bit;
    const char *word;
} REASONS[] = {
    {0x4, "power_cap"},         {0x8, "hardware_slowdown"}, {0x10, "sync_boost"},
    {0x20, "software_thermal"}, {0x40, "hardware_thermal"}, {0x80, "power_brake"},
};

void gpu_sensors_open(struct gpu_sensors *sensors)
{
    char why[BENCH_WHY_BYTES];
    *sensors = (struct gpu_sensors){0};
    const int rc = library_load("libnvidia-ml.so.1", SYMBOLS, sizeof SYMBOLS / sizeof *SYMBOLS, sensors, why);
    sensors->is_there = rc == 0 && sensors->init != NULL && sensors->device_by_address != NULL && sensors->init() == 0;
}

void gpu_sensor_open(struct gpu_sensor *sensor, const struct gpu_sensors *sensors, const char *address)
{
    *sensor = (struct gpu_sensor){.sensors = sensors};
    if (!sensors->is_there || sensors->device_by_address(address, &sensor->device) != 0)
        sensor->device = NULL;
}

static void note(struct gpu_value *value, double found)
{
    value->least = value->count == 0 || found < value->least ? found : value->least;
    value->most = value->count == 0 || found > value->most ? found : value->most;
    value->sum += found;
    value->count++;
}

void gpu_look(const struct gpu_sensor *sensor, const struct np_clock *clock, double every_s, struct gpu_seen *seen)
{
    const struct gpu_sensors *nvml = sensor->sensors;
    const uint64_t now = np_clock_now(clock);
    unsigned int value;
    unsigned long long reasons;
    if (sensor->device == NULL || (seen->looked != 0 && np_clock_seconds(clock, seen->looked, now) < every_s))
        return;
    seen->looked = now;
    if (nvml->clock != NULL && nvml->clock(sensor->device, SM_CLOCK, &value) == 0)
        note(&seen->sm_hz, 1e6 * value);
    if (nvml->clock != NULL && nvml->clock(sensor->device, MEMORY_CLOCK, &value) == 0)
        note(&seen->memory_hz, 1e6 * value);
    if (nvml->power != NULL && nvml->power(sensor->device, &value) == 0)
        note(&seen->power_w, 1e-3 * value);
    if (nvml->temperature != NULL && nvml->temperature(sensor->device, CORE_SENSOR, &value) == 0)
        note(&seen->celsius, value);
    if (nvml->reasons != NULL && nvml->reasons(sensor->device, &reasons) == 0) {
        seen->reasons |= reasons;
        seen->reasons_count++;
    }
}

static void put_value(struct np_json *out, const char *key, const struct gpu_value *value, double number)
{
    if (value->count > 0)
        np_json_number(out, key, number);
    else
        np_json_null(out, key);
}

static double mean(const struct gpu_value *value)
{
    return value->count > 0 ? value->sum / value->count : 0;
}

void gpu_seen_put(const struct gpu_seen *seen, struct np_json *out)
{
    put_value(out, "sm_hz", &seen->sm_hz, mean(&seen->sm_hz));
    put_value(out, "sm_hz_least", &seen->sm_hz, seen->sm_hz.least);
    put_value(out, "memory_hz", &seen->memory_hz, mean(&seen->memory_hz));
    put_value(out, "power_w", &seen->power_w, mean(&seen->power_w));
    put_value(out, "power_w_most", &seen->power_w, seen->power_w.most);
    put_value(out, "celsius", &seen->celsius, seen->celsius.most);
    if (seen->reasons_count == 0) {
        np_json_null(out, "slowed_by");
        return;
    }
    np_json_open_array(out, "slowed_by");
    for (size_t i = 0; i < sizeof REASONS / sizeof *REASONS; i++)
        if (seen->reasons & REASONS[i].bit)
            np_json_string(out, NULL, REASONS[i].word);
    np_json_close_array(out);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu_device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "system.h"

enum { MOST_MULTIPROCESSORS = 4096, MOST_SHARED_BYTES = 1 << 20 };

struct pci_address {
    unsigned int domain, bus, device, function;
};

/* Read `0000:1B:00.0`, or `1b:00.0` of the first domain; nvidia-smi writes the domain with eight digits. */
static bool read_address(const char *text, struct pci_address *address)
{
    int used = 0;
    *address = (struct pci_address){0};
    if (sscanf(text, "%8x:%2x:%2x.%1x%n", &address->domain, &address->bus, &address->device, &address->function,
               &used) == 4 &&
        text[used] == '\0')
        return true;
    address->domain = 0;
    return sscanf(text, "%2x:%2x.%1x%n", &address->bus, &address->device, &address->function, &used) == 3 &&
           text[used] == '\0';
}

/* A number that a working GPU has; a driver that is out of its mind must not make us ask for terabytes. */
static unsigned int attribute(const struct gpu *gpu, int which, int least, int most, int otherwise)
{
    int value;
    const int error = gpu->gpus->driver.device_get_attribute(&value, which, gpu->device);
    return (unsigned int)(error == NP_CUDA_SUCCESS && value >= least && value <= most ? value : otherwise);
}

/* As the kernel says; in a container without sysfs of the device, as a newer driver does. */
static int node_of(const struct gpu *gpu)
{
    char path[96], text[32], *end;
    int node;
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/numa_node", gpu->address);
    if (system_read_text(path, text, sizeof text) == 0) {
        const long number = strtol(text, &end, 10);
        if (end > text && number >= 0 && number < NP_MAX_CPUS)
            return (int)number;
    }
    const int error = gpu->gpus->driver.device_get_attribute(&node, NP_CU_HOST_NUMA_ID, gpu->device);
    return error == NP_CUDA_SUCCESS && node >= 0 && node < NP_MAX_CPUS ? node : -1;
}

/* A CPU of the GPU's node that we may use, else any. */
static unsigned int cpu_beside(const struct gpu *gpu, const struct np_cpuset *allowed)
{
    struct np_cpuset near;
    if (gpu->node >= 0 && system_node_cpus((unsigned int)gpu->node, &near) == 0) {
        np_cpuset_intersect(&near, allowed);
        if (np_cpuset_count(&near) > 0)
            return np_cpuset_first(&near);
    }
    return np_cpuset_first(allowed);
}

static int describe(struct gpu *gpu, const struct np_cpuset *allowed, char why[BENCH_WHY_BYTES])
{
    const struct gpu_driver *driver = &gpu->gpus->driver;
    char address[NP_CU_PCI_BYTES] = "";
    struct pci_address pci;
    int rc = gpu_check(gpu, driver->device_get_name(gpu->name, sizeof gpu->name, gpu->device), "no name", why);
    if (rc == 0)
        rc = gpu_check(gpu, driver->device_get_pci_bus_id(address, sizeof address, gpu->device), "no PCI address", why);
    if (rc != 0)
        return rc;
    gpu->name[sizeof gpu->name - 1] = '\0';
    address[sizeof address - 1] = '\0';
    if (!read_address(address, &pci))
        return bench_why(why, -EIO, "GPU %d: the driver says no PCI address that is one", gpu->index);
    snprintf(gpu->address, sizeof gpu->address, "%04x:%02x:%02x.%x", pci.domain, pci.bus, pci.device, pci.function);
    const unsigned int major = attribute(gpu, NP_CU_COMPUTE_CAPABILITY_MAJOR, 1, 99, 0);
    gpu->capability = (int)(10 * major + attribute(gpu, NP_CU_COMPUTE_CAPABILITY_MINOR, 0, 9, 0));
    gpu->multiprocessors = attribute(gpu, NP_CU_MULTIPROCESSOR_COUNT, 1, MOST_MULTIPROCESSORS, 1);
    gpu->l2_bytes = attribute(gpu, NP_CU_L2_CACHE_SIZE, 0, INT32_MAX, 0);
    gpu->shared_bytes = attribute(gpu, NP_CU_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 0, MOST_SHARED_BYTES, 48 << 10);
    gpu->node = node_of(gpu);
    gpu->cpu = cpu_beside(gpu, allowed);
    return 0;
}

/* What it takes to time work in the GPU's stream. */
static int open_events(struct gpu *gpu)
{
    const struct gpu_driver *driver = &gpu->gpus->driver;
    int error = driver->stream_create(&gpu->stream, NP_CU_STREAM_NON_BLOCKING);
    if (error == NP_CUDA_SUCCESS)
        error = driver->stream_create(&gpu->second_stream, NP_CU_STREAM_NON_BLOCKING);
    for (size_t i = 0; i <= GPU_BATCH_MOST && error == NP_CUDA_SUCCESS; i++)
        error = driver->event_create(&gpu->events[i], NP_CU_EVENT_DEFAULT);
    if (error == NP_CUDA_SUCCESS)
        error = driver->event_create(&gpu->fork, NP_CU_EVENT_DEFAULT);
    return error == NP_CUDA_SUCCESS ? driver->event_create(&gpu->join, NP_CU_EVENT_DEFAULT) : error;
}

static int open_gpu(struct gpu *gpu, char why[BENCH_WHY_BYTES])
{
    const struct gpu_driver *driver = &gpu->gpus->driver;
    size_t free_bytes = 0, total_bytes = 0;
    if (attribute(gpu, NP_CU_COMPUTE_MODE, 0, 9, 0) == NP_CU_COMPUTEMODE_PROHIBITED)
        return bench_why(why, -ENOTSUP, "GPU %d (%s) is in the compute mode that prohibits all work", gpu->index,
                         gpu->address);
    int rc = gpu_check(gpu, driver->device_primary_ctx_retain(&gpu->context, gpu->device), "no context", why);
    if (rc != 0)
        gpu->context = NULL;
    if (rc == 0)
        rc = gpu_use(gpu, why);
    if (rc == 0)
        rc = gpu_check(gpu, driver->mem_get_info(&free_bytes, &total_bytes), "its memory is not known", why);
    if (rc == 0)
        rc = gpu_check(gpu, open_events(gpu), "no stream", why);
    gpu->memory_bytes = total_bytes;
    np_cpuset_add(&gpu->gpus->cpus, gpu->cpu);
    gpu_sensor_open(&gpu->sensor, &gpu->gpus->sensors, gpu->address);
    return rc;
}

/* The GPU of one entry of --device: a number or a PCI address. Returns NULL if there is none of that name. */
static const struct gpu *find_named(const struct gpu *all, size_t count, const char *word)
{
    struct pci_address wanted, own;
    const bool is_number = strspn(word, "0123456789") == strlen(word);
    if (!is_number && !read_address(word, &wanted))
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (is_number && (size_t)all[i].index == strtoul(word, NULL, 10))
            return &all[i];
        if (!is_number && read_address(all[i].address, &own) && memcmp(&own, &wanted, sizeof own) == 0)
            return &all[i];
    }
    return NULL;
}

/* Keep those GPUs that --device names, in its order, at the start of the list. */
static int choose(struct gpus *gpus, char why[BENCH_WHY_BYTES])
{
    struct gpu *chosen = calloc(GPUS_MOST, sizeof *chosen);
    size_t count = 0;
    int rc = chosen == NULL ? bench_why(why, -ENOMEM, "%s", strerror(ENOMEM)) : 0;
    for (const char *at = gpus->request->devices; rc == 0 && at != NULL;) {
        char word[NP_CU_PCI_BYTES] = "";
        const size_t length = strcspn(at, ",");
        memcpy(word, at, length < sizeof word ? length : 0);
        const struct gpu *found = find_named(gpus->list, gpus->count, word);
        if (*word == '\0')
            rc = bench_why(why, -EINVAL, "--device takes a list such as 0,3 or 0000:1b:00.0, not \"%.*s\"",
                           (int)(length < 64 ? length : 64), at);
        else if (found == NULL)
            rc = bench_why(why, -ENOTSUP, "there is no GPU %s", word);
        for (size_t i = 0; i < count && rc == 0; i++)
            if (chosen[i].index == found->index)
                rc = bench_why(why, -EINVAL, "--device names GPU %d twice", found->index);
        if (rc == 0)
            chosen[count++] = *found;
        at = at[length] == ',' ? at + length + 1 : NULL;
    }
    if (rc == 0) {
        memcpy(gpus->list, chosen, count * sizeof *chosen);
        gpus->count = count;
    }
    free(chosen);
    return rc;
}

int gpus_open(struct gpus *gpus, const struct bench_request *request, char why[BENCH_WHY_BYTES])
{
    struct np_cpuset allowed;
    int found = 0;
    *gpus = (struct gpus){.request = request};
    int rc = gpu_driver_load(&gpus->driver, why);
    if (rc == 0)
        rc = np_affinity_get(&allowed) == 0 ? 0 : bench_why(why, -EIO, "cannot read the CPU affinity");
    if (rc != 0)
        return rc;
    (void)gpus->driver.driver_get_version(&gpus->driver_version);
    gpu_sensors_open(&gpus->sensors);
    int error = gpus->driver.device_get_count(&found);
    if (error != NP_CUDA_SUCCESS)
        return gpu_driver_why(&gpus->driver, error, "cannot count GPUs", why);
    if (found <= 0)
        return bench_why(why, -ENOTSUP, "unavailable: the driver sees no GPU");
    gpus->list = calloc(GPUS_MOST, sizeof *gpus->list);
    if (gpus->list == NULL)
        return bench_why(why, -ENOMEM, "%s", strerror(ENOMEM));
    for (int i = 0; i < found && i < GPUS_MOST && rc == 0; i++) {
        struct gpu *gpu = &gpus->list[gpus->count++];
        *gpu = (struct gpu){.gpus = gpus, .index = i};
        rc = gpu_check(gpu, gpus->driver.device_get(&gpu->device, i), "not there", why);
        rc = rc != 0 ? rc : describe(gpu, &allowed, why);
    }
    if (rc == 0 && request->devices != NULL)
        rc = choose(gpus, why);
    for (size_t i = 0; i < gpus->count && rc == 0; i++)
        rc = open_gpu(&gpus->list[i], why);
    return rc;
}

void gpus_close(struct gpus *gpus, int rc)
{
    for (size_t i = 0; i < gpus->count && rc == 0; i++)
        if (gpus->list[i].context != NULL)
            (void)gpus->driver.device_primary_ctx_release(gpus->list[i].device);
    free(gpus->list);
    gpus->list = NULL;
}

static void put_gpu(const struct gpu *gpu, struct np_json *out)
{
    np_json_open_object(out, NULL);
    np_json_integer(out, "index", (uint64_t)gpu->index);
    np_json_string(out, "device", gpu->address);
    np_json_string(out, "name", gpu->name);
    np_json_integer(out, "capability", (uint64_t)gpu->capability);
    np_json_integer(out, "multiprocessors", gpu->multiprocessors);
    np_json_integer(out, "memory_bytes", gpu->memory_bytes);
    np_json_integer(out, "l2_bytes", gpu->l2_bytes);
    if (gpu->node >= 0)
        np_json_integer(out, "host_node", (uint64_t)gpu->node);
    else
        np_json_null(out, "host_node");
    np_json_close_object(out);
}

void gpus_put(const struct gpus *gpus, struct np_json *out)
{
    char list[NP_CPULIST_BYTES], isa[16];
    np_json_open_array(out, "gpus");
    for (size_t i = 0; i < gpus->count; i++)
        put_gpu(&gpus->list[i], out);
    np_json_close_array(out);
    np_json_integer(out, "driver_version", gpus->driver_version > 0 ? (uint64_t)gpus->driver_version : 0);
    if (np_cpulist_format(&gpus->cpus, list, sizeof list) == 0)
        np_json_string(out, "cpus", list);
    np_json_integer(out, "threads", 1);
    snprintf(isa, sizeof isa, "sm_%d", gpus->list[0].capability);
    np_json_string(out, "isa", isa);
    np_json_bool(out, "is_contended", false);
}

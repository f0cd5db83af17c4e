/* SPDX-License-Identifier: Apache-2.0 */
#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define NODES "/sys/devices/system/node"
#define CPUS "/sys/devices/system/cpu"

enum { TEXT_BYTES = 1 << 15, MAX_CACHE_INDEX = 16 };

int system_read_text(const char *path, char *text, size_t size)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t n = 1;
    if (fd < 0)
        return -errno;
    while (n > 0 && used + 1 < size) {
        n = read(fd, text + used, size - 1 - used);
        used += n > 0 ? (size_t)n : 0;
    }
    const int rc = n < 0 ? -errno : 0;
    close(fd);
    text[used] = '\0';
    return rc;
}

static int read_cpulist(const char *path, struct np_cpuset *set)
{
    char text[NP_CPULIST_BYTES + 1];
    const int rc = system_read_text(path, text, sizeof text);
    return rc != 0 ? rc : np_cpulist_parse(text, set);
}

/* The number in a file, or `otherwise` if there is none ("max" in a cgroup, or no such file). */
static uint64_t read_number(const char *path, uint64_t otherwise)
{
    char text[64], *end;
    if (system_read_text(path, text, sizeof text) != 0)
        return otherwise;
    const uint64_t value = strtoull(text, &end, 10);
    return end > text ? value : otherwise;
}

/* The number behind a key in a file, or 0. */
static uint64_t read_value(const char *path, const char *key)
{
    char text[TEXT_BYTES];
    const char *line = system_read_text(path, text, sizeof text) == 0 ? strstr(text, key) : NULL;
    return line != NULL ? strtoull(line + strlen(key), NULL, 10) : 0;
}

/* The value of a `Key:   123 kB` line in bytes, or 0. */
static uint64_t kilobytes(const char *text, const char *key)
{
    const char *line = strstr(text, key);
    return line != NULL ? strtoull(line + strlen(key), NULL, 10) * 1024 : 0;
}

int system_node_cpus(unsigned int node, struct np_cpuset *cpus)
{
    char path[64];
    snprintf(path, sizeof path, NODES "/node%u/cpulist", node);
    return read_cpulist(path, cpus);
}

int system_online_cpus(struct np_cpuset *cpus)
{
    return read_cpulist(CPUS "/online", cpus);
}

int system_memory_nodes(struct np_cpuset *nodes)
{
    return read_cpulist(NODES "/has_memory", nodes);
}

void system_one_per_core(struct np_cpuset *cpus)
{
    for (unsigned int cpu = 0; cpu < NP_MAX_CPUS; cpu++) {
        struct np_cpuset siblings;
        char path[80];
        if (!np_cpuset_has(cpus, cpu))
            continue;
        snprintf(path, sizeof path, CPUS "/cpu%u/topology/thread_siblings_list", cpu);
        if (read_cpulist(path, &siblings) != 0)
            continue;
        np_cpuset_intersect(&siblings, cpus);
        for (unsigned int other = cpu + 1; other < NP_MAX_CPUS; other++)
            if (np_cpuset_has(&siblings, other))
                cpus->word[other / 64] &= ~(UINT64_C(1) << (other % 64));
    }
}

struct cache {
    uint64_t level;
    uint64_t bytes;
    struct np_cpuset shared;
};

/* Take the cache of this index, unless it is one of instructions. Returns false after the last. */
static bool read_cache(unsigned int cpu, int index, struct cache *cache)
{
    char path[96], type[32];
    *cache = (struct cache){0};
    snprintf(path, sizeof path, CPUS "/cpu%u/cache/index%d/type", cpu, index);
    if (system_read_text(path, type, sizeof type) != 0)
        return false;
    if (strncmp(type, "Instruction", 11) == 0)
        return true;
    snprintf(path, sizeof path, CPUS "/cpu%u/cache/index%d/level", cpu, index);
    cache->level = read_number(path, 0);
    snprintf(path, sizeof path, CPUS "/cpu%u/cache/index%d/size", cpu, index);
    cache->bytes = read_number(path, 0) * 1024; /* the kernel writes "32768K" */
    snprintf(path, sizeof path, CPUS "/cpu%u/cache/index%d/shared_cpu_list", cpu, index);
    if (read_cpulist(path, &cache->shared) != 0)
        *cache = (struct cache){0};
    return true;
}

static struct cache last_level_cache(unsigned int cpu)
{
    struct cache last = {0}, found;
    for (int index = 0; index < MAX_CACHE_INDEX && read_cache(cpu, index, &found); index++)
        if (found.level > last.level)
            last = found;
    return last;
}

void system_cache_siblings(unsigned int cpu, struct np_cpuset *cpus)
{
    *cpus = last_level_cache(cpu).shared;
    np_cpuset_add(cpus, cpu);
}

uint64_t system_data_cache_bytes(unsigned int cpu, unsigned int level)
{
    struct cache found;
    for (int index = 0; index < MAX_CACHE_INDEX && read_cache(cpu, index, &found); index++)
        if (found.level == level)
            return found.bytes;
    return 0;
}

uint64_t system_cache_bytes(const struct np_cpuset *cpus)
{
    struct np_cpuset counted = {{0}};
    uint64_t bytes = 0;
    for (unsigned int cpu = 0; cpu < NP_MAX_CPUS; cpu++) {
        if (!np_cpuset_has(cpus, cpu) || np_cpuset_has(&counted, cpu))
            continue;
        const struct cache last = last_level_cache(cpu);
        bytes += last.bytes;
        for (size_t i = 0; i < NP_MAX_CPUS / 64; i++)
            counted.word[i] |= last.shared.word[i];
    }
    return bytes;
}

/* Where a version of cgroups says how much memory a group may have and has. */
struct cgroup {
    const char *line;
    const char *root;
    const char *limit;
    const char *usage;
    const char *cached; /* in memory.stat: pages of files that the kernel drops when memory is short */
};

static const struct cgroup CGROUPS[] = {
    {"0::", "/sys/fs/cgroup", "memory.max", "memory.current", "\ninactive_file "},
    {":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "\ntotal_inactive_file "},
};

/* Least room in our group and all that it is in: exceeding one has the process killed. */
static uint64_t cgroup_room(const struct cgroup *cgroup, const char *memberships)
{
    uint64_t room = UINT64_MAX;
    const char *line = strstr(memberships, cgroup->line);
    if (line == NULL)
        return room;
    const char *group = line + strlen(cgroup->line);
    int length = (int)strcspn(group, "\n");
    for (;;) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s%.*s/%s", cgroup->root, length, group, cgroup->limit);
        const uint64_t limit = read_number(path, UINT64_MAX);
        snprintf(path, sizeof path, "%s%.*s/%s", cgroup->root, length, group, cgroup->usage);
        const uint64_t usage = read_number(path, 0);
        snprintf(path, sizeof path, "%s%.*s/memory.stat", cgroup->root, length, group);
        const uint64_t cached = read_value(path, cgroup->cached);
        const uint64_t held = usage > cached ? usage - cached : 0;
        const uint64_t left = limit > held ? limit - held : 0;
        room = left < room ? left : room;
        if (length <= 0)
            return room;
        do
            length--;
        while (length > 0 && group[length] != '/');
    }
}

uint64_t system_available_bytes(int node)
{
    char text[TEXT_BYTES], path[64];
    struct sysinfo info;
    uint64_t available = 0;
    if (system_read_text("/proc/meminfo", text, sizeof text) == 0)
        available = kilobytes(text, "MemAvailable:");
    else if (sysinfo(&info) == 0) /* free only, without what caches could give back */
        available = (uint64_t)info.freeram * info.mem_unit;
    snprintf(path, sizeof path, NODES "/node%d/meminfo", node);
    if (node >= 0 && system_read_text(path, text, sizeof text) == 0) {
        const uint64_t free_bytes = kilobytes(text, "MemFree:") + kilobytes(text, "Inactive(file):");
        available = free_bytes < available ? free_bytes : available;
    }
    if (system_read_text("/proc/self/cgroup", text, sizeof text) != 0)
        return available;
    for (size_t i = 0; i < sizeof CGROUPS / sizeof *CGROUPS; i++) {
        const uint64_t room = cgroup_room(&CGROUPS[i], text);
        available = room < available ? room : available;
    }
    return available;
}

uint64_t system_huge_bytes(void)
{
    char text[TEXT_BYTES];
    return system_read_text("/proc/self/smaps_rollup", text, sizeof text) == 0 ? kilobytes(text, "AnonHugePages:") : 0;
}

bool system_may_use_counter(void)
{
    char text[256];
    const int rc =
        system_read_text("/sys/devices/system/clocksource/clocksource0/available_clocksource", text, sizeof text);
    /* The kernel takes a counter that it distrusts off this list: kernel/time/clocksource.c. */
    for (char *rest = text, *word; rc == 0 && (word = strtok_r(rest, " \n", &rest)) != NULL;)
        if (strcmp(word, "tsc") == 0 || strcmp(word, "arch_sys_counter") == 0)
            return true;
    return false;
}

void system_volunteer_for_oom(void)
{
    const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    const ssize_t written = write(fd, "1000", 4);
    (void)written; /* best effort: without it the kernel chooses by size */
    close(fd);
}

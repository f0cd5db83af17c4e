/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/cpuset.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

size_t np_cpuset_count(const struct np_cpuset *set)
{
    size_t count = 0;
    for (size_t i = 0; i < NP_MAX_CPUS / 64; i++)
        count += (size_t)__builtin_popcountll(set->word[i]);
    return count;
}

unsigned int np_cpuset_first(const struct np_cpuset *set)
{
    unsigned int cpu = 0;
    while (cpu < NP_MAX_CPUS && !np_cpuset_has(set, cpu))
        cpu++;
    return cpu;
}

void np_cpuset_intersect(struct np_cpuset *set, const struct np_cpuset *other)
{
    for (size_t i = 0; i < NP_MAX_CPUS / 64; i++)
        set->word[i] &= other->word[i];
}

void np_cpuset_remove(struct np_cpuset *set, const struct np_cpuset *other)
{
    for (size_t i = 0; i < NP_MAX_CPUS / 64; i++)
        set->word[i] &= ~other->word[i];
}

bool np_cpuset_is_within(const struct np_cpuset *set, const struct np_cpuset *other, unsigned int *missing)
{
    for (*missing = 0; *missing < NP_MAX_CPUS; ++*missing)
        if (np_cpuset_has(set, *missing) && !np_cpuset_has(other, *missing))
            return false;
    return true;
}

size_t np_cpuset_list(const struct np_cpuset *set, unsigned int *cpus, size_t size)
{
    size_t count = 0;
    for (unsigned int cpu = 0; cpu < NP_MAX_CPUS; cpu++) {
        if (!np_cpuset_has(set, cpu))
            continue;
        if (count < size)
            cpus[count] = cpu;
        count++;
    }
    return count;
}

/* strtoul would take spaces, signs and numbers of any length. */
static int number(const char **text, unsigned int *value)
{
    const char *c = *text;
    unsigned int n = 0;
    if (*c < '0' || *c > '9')
        return -EINVAL;
    for (; *c >= '0' && *c <= '9'; c++) {
        n = n * 10 + (unsigned int)(*c - '0');
        if (n >= NP_MAX_CPUS)
            return -ERANGE;
    }
    *text = c;
    *value = n;
    return 0;
}

int np_cpulist_parse(const char *text, struct np_cpuset *set)
{
    memset(set, 0, sizeof *set);
    if (*text == '\0' || strcmp(text, "\n") == 0)
        return 0;
    for (;;) {
        unsigned int low, high;
        int rc = number(&text, &low);
        if (rc != 0)
            return rc;
        high = low;
        if (*text == '-') {
            text++;
            rc = number(&text, &high);
            if (rc != 0)
                return rc;
        }
        if (high < low)
            return -EINVAL;
        for (unsigned int cpu = low; cpu <= high; cpu++)
            np_cpuset_add(set, cpu);
        if (*text != ',')
            break;
        text++;
    }
    return *text == '\0' || strcmp(text, "\n") == 0 ? 0 : -EINVAL;
}

int np_cpulist_format(const struct np_cpuset *set, char *text, size_t size)
{
    size_t used = 0;
    if (size == 0)
        return -ENOSPC;
    text[0] = '\0';
    for (unsigned int low = 0; low < NP_MAX_CPUS; low++) {
        if (!np_cpuset_has(set, low))
            continue;
        unsigned int high = low;
        while (np_cpuset_has(set, high + 1))
            high++;
        const char *comma = used > 0 ? "," : "";
        const int n = high > low ? snprintf(text + used, size - used, "%s%u-%u", comma, low, high)
                                 : snprintf(text + used, size - used, "%s%u", comma, low);
        if (n < 0 || (size_t)n >= size - used)
            return -ENOSPC;
        used += (size_t)n;
        low = high;
    }
    return 0;
}

/* cpu_set_t stops at 1024 CPUs, but the calls take masks of any size: bits of longs, as ours are. */
int np_affinity_get(struct np_cpuset *set)
{
    memset(set, 0, sizeof *set);
    return sched_getaffinity(0, sizeof *set, (cpu_set_t *)set->word) ? -errno : 0;
}

int np_affinity_pin(unsigned int cpu)
{
    struct np_cpuset set = {{0}};
    if (cpu >= NP_MAX_CPUS)
        return -EINVAL;
    np_cpuset_add(&set, cpu);
    return sched_setaffinity(0, sizeof set, (const cpu_set_t *)set.word) ? -errno : 0;
}

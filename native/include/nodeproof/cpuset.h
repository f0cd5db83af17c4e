/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_CPUSET_H
#define NODEPROOF_CPUSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The largest NR_CPUS that Linux can be built with. */
enum { NP_MAX_CPUS = 8192 };

/** A set of CPU numbers: a plain value, in the layout of the kernel's affinity masks. */
struct np_cpuset {
    uint64_t word[NP_MAX_CPUS / 64];
};

/** Longest text of a set: every second CPU, five characters each. */
enum { NP_CPULIST_BYTES = NP_MAX_CPUS / 2 * 5 + 1 };

static inline bool np_cpuset_has(const struct np_cpuset *set, unsigned int cpu)
{
    return cpu < NP_MAX_CPUS && (set->word[cpu / 64] >> (cpu % 64) & 1);
}

static inline void np_cpuset_add(struct np_cpuset *set, unsigned int cpu)
{
    set->word[cpu / 64] |= UINT64_C(1) << (cpu % 64);
}

size_t np_cpuset_count(const struct np_cpuset *set);

/** The lowest CPU of the set, or NP_MAX_CPUS. */
unsigned int np_cpuset_first(const struct np_cpuset *set);

void np_cpuset_intersect(struct np_cpuset *set, const struct np_cpuset *other);

void np_cpuset_remove(struct np_cpuset *set, const struct np_cpuset *other);

/** True if each CPU of `set` is in `other`; else `*missing` is the first that is not. */
bool np_cpuset_is_within(const struct np_cpuset *set, const struct np_cpuset *other, unsigned int *missing);

/** Write the CPUs in ascending order to `cpus`, at most `size`. Returns how many there are. */
size_t np_cpuset_list(const struct np_cpuset *set, unsigned int *cpus, size_t size);

/**
 * Read a kernel list such as `0-3,8,10-11`. An empty text is an empty set; one newline may end it.
 *
 * Returns 0, -EINVAL if it is no such list, or -ERANGE if a CPU number is too large.
 */
int np_cpulist_parse(const char *text, struct np_cpuset *set);

/** Write the set as a kernel list. Returns 0, or -ENOSPC if `size` bytes are too few. */
int np_cpulist_format(const struct np_cpuset *set, char *text, size_t size);

/** The CPUs that the calling thread may run on: what cpuset and affinity leave. Returns 0 or -errno. */
int np_affinity_get(struct np_cpuset *set);

/** Keep the calling thread on one CPU. Returns 0 or -errno. */
int np_affinity_pin(unsigned int cpu);

#endif

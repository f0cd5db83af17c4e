/* SPDX-License-Identifier: Apache-2.0 */
/* What benchmarks read from sysfs and procfs: files that are missing give the answer of a plain machine. */
#ifndef NODEPROOF_BENCH_SYSTEM_H
#define NODEPROOF_BENCH_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nodeproof/cpuset.h"

/** Read a small file whole, ended by a NUL; what does not fit is left out. Returns 0 or -errno. */
int system_read_text(const char *path, char *text, size_t size);

/** CPUs of a NUMA node. Returns 0 or -errno. */
int system_node_cpus(unsigned int node, struct np_cpuset *cpus);

/** CPUs that are online. Returns 0 or -errno. */
int system_online_cpus(struct np_cpuset *cpus);

/** NUMA nodes that have memory, as a set of node numbers. Returns 0 or -errno. */
int system_memory_nodes(struct np_cpuset *nodes);

/** CPUs that share the last-level cache with `cpu`; only itself if the kernel does not say. */
void system_cache_siblings(unsigned int cpu, struct np_cpuset *cpus);

/** Size of the data cache of `level` (1, 2, …) that `cpu` uses, in bytes; 0 if there is none or the kernel does not
 * say. */
uint64_t system_data_cache_bytes(unsigned int cpu, unsigned int level);

/** Keep of each core only the lowest CPU. */
void system_one_per_core(struct np_cpuset *cpus);

/** Sum of the last-level caches that these CPUs use, in bytes; 0 if the kernel does not say. */
uint64_t system_cache_bytes(const struct np_cpuset *cpus);

/** Memory that may be taken without swapping, in bytes: of `node` (-1: the machine), and of our cgroups. */
uint64_t system_available_bytes(int node);

/** Memory of this process that is on transparent huge pages, in bytes. */
uint64_t system_huge_bytes(void);

/** True unless the kernel has found the CPU's counter unfit (unsynchronised, drifting). */
bool system_may_use_counter(void);

/** Be the first whom the kernel kills when memory runs out, before any job. */
void system_volunteer_for_oom(void);

#endif

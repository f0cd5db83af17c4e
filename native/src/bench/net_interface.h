/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of a network interface. */
#ifndef NODEPROOF_BENCH_NET_INTERFACE_H
#define NODEPROOF_BENCH_NET_INTERFACE_H

#include <net/if.h>

#include "bench.h"
#include "endpoint.h"

/** True if an interface may be called so: dev_valid_name() of net/core/dev.c, without what is no printable ASCII. */
bool net_interface_is_name(const char *name);

/**
 * An address of an interface, of the family if it has one of it, a global one if it has one.
 *
 * Returns 0 or -errno, with one sentence: -ENOTSUP if it is not up, or has none.
 */
int net_interface_address(const char *name, int family, struct endpoint *address, char why[BENCH_WHY_BYTES]);

/** The interface that has this address, or "". */
void net_interface_of(const struct endpoint *address, char name[IFNAMSIZ]);

/** A number from sysfs, such as `mtu` in bytes or `speed` in Mb/s; 0 if the interface does not say. */
uint64_t net_interface_number(const char *name, const char *file);

/** The CPUs next to the interface's device; none if it has no place. */
void net_interface_cpus(const char *name, struct np_cpuset *cpus);

#endif

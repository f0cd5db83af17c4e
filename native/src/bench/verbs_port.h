/* SPDX-License-Identifier: Apache-2.0 */
/* Ports of RDMA devices: which there are, and what a benchmark has to know of one. */
#ifndef NODEPROOF_BENCH_VERBS_PORT_H
#define NODEPROOF_BENCH_VERBS_PORT_H

#include "verbs.h"

/** A device's name, a slash, three digits and a NUL. */
enum { VERBS_PORT_NAME_BYTES = NP_IBV_NAME_BYTES + 5, VERBS_MOST_PORTS = 64 };

struct verbs_port {
    struct np_ibv_device *device;
    uint8_t number;
    char name[VERBS_PORT_NAME_BYTES]; /**< `mlx5_0/1` */
    struct np_ibv_port_attr attr;
    bool is_ethernet;
    bool has_gid;
    uint8_t gid_index; /**< of the table of the port */
    union np_ibv_gid gid;
    double rate_bits_per_s; /**< nominal, of the link; 0: the kernel does not say */
    struct np_cpuset near;  /**< CPUs next to the device; empty: the kernel does not say */
    int node;               /**< NUMA node of the device; -1: the kernel does not say */
};

struct verbs_ports {
    const struct verbs *verbs;
    struct np_ibv_device **list;
    struct verbs_port ports[VERBS_MOST_PORTS];
    size_t count;
};

/**
 * Find the ports that the request names, else all that are active.
 *
 * Returns 0 or -errno, with one sentence in `why`: -EINVAL if a name is none, -ENOTSUP without any active port. The
 * ports may be closed in any case.
 */
int verbs_ports_open(struct verbs_ports *ports, const struct verbs *verbs, const struct bench_request *request,
                     char why[BENCH_WHY_BYTES]);

void verbs_ports_close(struct verbs_ports *ports);

/** The MTU of a verbs number (1 to 5), in bytes; 0 if it is none. */
static inline unsigned int verbs_mtu_bytes(int mtu)
{
    return mtu >= 1 && mtu <= 5 ? 128U << mtu : 0;
}

#endif

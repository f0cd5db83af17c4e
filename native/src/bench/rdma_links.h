/* SPDX-License-Identifier: Apache-2.0 */
/* The connections that are measured: of each port with itself, with the next one, or with one of another host. */
#ifndef NODEPROOF_BENCH_RDMA_LINKS_H
#define NODEPROOF_BENCH_RDMA_LINKS_H

#include "rdma_wait.h"
#include "verbs_end.h"

/** Who begins, and who answers. */
enum { RDMA_CALLER, RDMA_ANSWERER, RDMA_SIDES };

struct rdma_link {
    const struct verbs_port *port;
    char device[VERBS_PORT_NAME_BYTES]; /**< of the end that begins */
    char peer[VERBS_PORT_NAME_BYTES];
    struct verbs_end ends[RDMA_SIDES]; /**< between hosts, only our own is open */
    unsigned int cpus[RDMA_SIDES];     /**< next to the ports */
};

struct rdma_links {
    const struct bench_request *request;
    struct verbs verbs;
    struct verbs_ports ports;
    struct rdma_link *links;
    size_t count;
    bool is_between_hosts;
    struct rendezvous met; /**< with the other host */
    struct np_cpuset cpus; /**< all that are used */
};

/**
 * Open what the request asks for, and connect it: the other host must have as many ports.
 *
 * Returns 0 or -errno, with one sentence in `why`. They may be closed in any case.
 */
int rdma_links_open(struct rdma_links *links, const struct bench_request *request, const char *benchmark,
                    const struct verbs_shape *shape, char why[BENCH_WHY_BYTES]);

void rdma_links_close(struct rdma_links *links);

/** The side that this host has, when there are two. */
static inline int rdma_links_own_side(const struct rdma_links *links)
{
    return links->met.is_server ? RDMA_ANSWERER : RDMA_CALLER;
}

/** The end of a link that a side drives here. */
static inline struct verbs_end *rdma_links_end(const struct rdma_links *links, size_t index, int side)
{
    return &links->links[index].ends[links->is_between_hosts ? 0 : side];
}

/** Write `between` and `peer_host`. */
void rdma_links_put(const struct rdma_links *links, struct np_json *out);

/** Write what a point says of its link: device, peer, operation, message_bytes, rate_bits_per_s and mtu_bytes. */
void rdma_link_put(const struct rdma_link *link, const char *operation, struct np_json *out);

/** Say in words why a wait has ended. Returns `rc`. */
int rdma_link_why(const struct rdma_link *link, int rc, char why[BENCH_WHY_BYTES]);

#endif

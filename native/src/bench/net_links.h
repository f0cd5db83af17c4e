/* SPDX-License-Identifier: Apache-2.0 */
/* The connections that are measured between two hosts: one for each pair of interfaces. */
#ifndef NODEPROOF_BENCH_NET_LINKS_H
#define NODEPROOF_BENCH_NET_LINKS_H

#include "net_interface.h"
#include "rendezvous.h"

enum { NET_MOST_LINKS = 32 };

/** A pair of interfaces. */
struct net_link {
    char device[IFNAMSIZ]; /**< of this end, "": whatever routing chose */
    char peer[IFNAMSIZ];
    int fd;
    uint64_t speed_mbit; /**< 0: unknown */
    uint64_t mtu_bytes;  /**< 0: unknown */
};

struct net_links {
    size_t count;
    struct net_link links[NET_MOST_LINKS];
};

/** Take the names of --device, or one nameless link. Returns 0 or -EINVAL, with one sentence. */
int net_links_name(const struct bench_request *request, struct net_links *links, char why[BENCH_WHY_BYTES]);

/**
 * Connect all pairs with the other host, which does the same.
 *
 * Both must want the same: seconds, size of messages and number of interfaces. Returns 0 or -errno, with one sentence;
 * the connections may be closed in any case.
 */
int net_links_open(struct net_links *links, struct rendezvous *met, const char *benchmark, size_t message_bytes,
                   char why[BENCH_WHY_BYTES]);

/** Find out speed and MTU of the interface that a connection goes through. */
void net_link_look(struct net_link *link);

void net_links_close(struct net_links *links);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The result of a benchmark over TCP as JSON. */
#ifndef NODEPROOF_BENCH_NET_POINTS_H
#define NODEPROOF_BENCH_NET_POINTS_H

#include "net_job.h"
#include "net_links.h"

struct net_outcome {
    const struct net_job *job;
    const struct net_links *links;
    struct net_end *end;   /**< of who leads, with its samples */
    const char *peer_host; /**< NULL: one host */
    bool is_contended;
};

/** Write figures and points: slot `i` is operation `i % count` over link `i / count`. Returns 0 or -errno. */
int net_points_put(const struct net_outcome *outcome, struct np_json *out);

#endif

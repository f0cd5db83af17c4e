/* SPDX-License-Identifier: Apache-2.0 */
/* A benchmark over TCP: between the two ends of a connection on this host, or with another host. */
#ifndef NODEPROOF_BENCH_NET_JOB_H
#define NODEPROOF_BENCH_NET_JOB_H

#include "net_slots.h"

/** What is measured over each connection. */
struct net_operation {
    const char *name;
    bool is_spinning;
};

enum { NET_MOST_OPERATIONS = 2 };

struct net_job {
    const char *benchmark;
    const char *unit;
    enum np_kind kind;
    struct net_operation operations[NET_MOST_OPERATIONS]; /**< the result's own figures are of the first */
    size_t count;
    net_end_fn *lead, *follow;
    size_t message_bytes; /**< unless --bytes says so */
    size_t least_bytes, most_bytes;
    double block_s, window_s;
    double scale; /**< from what is measured to what is said */
    size_t samples;
};

/** Run it and write the result. Returns 0 or -errno, with one sentence. */
int net_job_run(const struct net_job *job, const struct bench_request *request, struct np_json *out,
                char why[BENCH_WHY_BYTES]);

#endif

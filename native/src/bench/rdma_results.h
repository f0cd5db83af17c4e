/* SPDX-License-Identifier: Apache-2.0 */
/* What the rdma benchmarks have in common around measuring: threads, results, and what they are told as. */
#ifndef NODEPROOF_BENCH_RDMA_RESULTS_H
#define NODEPROOF_BENCH_RDMA_RESULTS_H

#include "nodeproof/sampling.h"
#include "nodeproof/team.h"
#include "rdma_links.h"

#define RDMA_BYTES_RULE "--bytes: a message has a multiple of 8 bytes, 16 MiB at most"

/** One operation on one link. */
struct rdma_result {
    const struct rdma_link *link;
    const char *operation;
    struct np_samples samples;
};

/** What the threads leave: each has an element of its own. */
struct rdma_sides {
    atomic_bool is_off; /**< one of them has failed */
    char whys[RDMA_SIDES][BENCH_WHY_BYTES];
    int rcs[RDMA_SIDES];
    double on_cpu_shares[RDMA_SIDES];
    uint64_t wrong[RDMA_SIDES]; /**< messages that were not what was sent */
    double seconds;             /**< how long was measured */
};

/** The size of messages: asked for or the default; 0 if it is against the rule. */
uint32_t rdma_message_bytes(const struct bench_request *request, uint32_t chosen);

/** Processor time of this thread, in seconds. */
double rdma_cpu_seconds(void);

/** Make the results of `points`; a link has `operations`. Returns 0 or -ENOMEM; they may be closed in any case. */
int rdma_results_open(struct rdma_result **results, const struct rdma_links *links, const char *const *operations,
                      size_t operation_count, size_t samples);

void rdma_results_close(struct rdma_result *results, size_t count);

/** How a thread of these waits. */
struct rdma_wait rdma_sides_wait(const struct rdma_sides *sides, const struct rdma_links *links);

/** Note how a thread ends that has worked since `began`; if it failed, the other one learns of it. */
void rdma_sides_end(struct rdma_sides *sides, const struct bench_request *request, int side, int rc, uint64_t began,
                    double cpu_began_s);

/** Run `count` threads on the CPUs of the first link. Returns 0 or -errno, with the sentence of who failed. */
int rdma_sides_run(struct rdma_sides *sides, const struct rdma_links *links, size_t count, np_team_fn *work,
                   void *state, char why[BENCH_WHY_BYTES]);

/**
 * Write the result, which between hosts both know in the end: who answered learns it from who called.
 *
 * Returns 0 or -errno, with one sentence in `why`.
 */
int rdma_results_put(struct rdma_links *links, struct rdma_sides *sides, enum np_kind kind, struct rdma_result *results,
                     size_t count, struct np_json *out, char why[BENCH_WHY_BYTES]);

#endif

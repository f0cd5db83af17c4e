/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays in the memory of a NUMA node, the threads that stream through them, and the rate at which they do. */
#ifndef NODEPROOF_BENCH_STREAMS_H
#define NODEPROOF_BENCH_STREAMS_H

#include "bench.h"
#include "nodeproof/arena.h"
#include "nodeproof/stream.h"
#include "nodeproof/window.h"

/** CPUs that share a last-level cache, and arrays large enough to get past it: b is a's where there is one only. */
struct stream_domain {
    struct np_arena arena;
    double *a, *b, *c;
    size_t elements; /**< in each array */
    unsigned int *cpus;
    size_t cpu_count;
};

struct streams {
    const struct bench_request *request;
    enum np_stream_op op;
    size_t arrays; /**< that the operation has */
    int node;      /**< of the memory; -1 on a kernel without NUMA */
    enum np_isa isa;
    struct stream_domain *domains;
    size_t domain_count;
    size_t cpu_count;
    uint64_t cache_bytes; /**< last-level caches of all domains, at least what is assumed */
    uint64_t array_bytes; /**< of each array, all domains together */
    const char *pages;    /**< `huge`, `mixed` or `base` */
    bool has_local_share;
    double local_share; /**< of the memory, on `node`, 0 to 1 */
    uint64_t wrong_elements;
};

struct stream_result {
    struct np_figures figures; /**< in bytes per second */
    size_t threads;
    double seconds;
    bool is_contended; /**< foreign processes had our CPUs so long that there is no clean sample */
};

/**
 * Reserve the arrays of `op` on `node` (-1: by first touch) for the threads on `cpus`, and have each touched by its
 * user.
 *
 * An array is four times the last-level cache, or has `request->bytes`; less if memory is scarce.
 * Returns 0 or -errno, with one sentence in `why`.
 */
int streams_open(struct streams *streams, const struct bench_request *request, enum np_stream_op op,
                 const struct np_cpuset *cpus, int node, char why[BENCH_WHY_BYTES]);

void streams_close(struct streams *streams);

/** Have every part of the arrays touched first, and filled, by a thread that will use it. Returns 0 or -errno. */
int streams_touch(struct streams *streams);

/** The most CPUs that any domain has. */
size_t streams_widest(const struct streams *streams);

/**
 * Measure with `per_domain` threads for each last-level cache, for at most `most_s`, and verify what was computed.
 *
 * Returns 0 or -errno.
 */
int streams_measure(struct streams *streams, size_t per_domain, double most_s, struct stream_result *result);

/** Write isa, node and what there is to say of the memory. */
void streams_put(const struct streams *streams, struct np_json *out);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A chain of pointers through the memory of a NUMA node, and how long a load takes that follows it. */
#ifndef NODEPROOF_BENCH_CHAINS_H
#define NODEPROOF_BENCH_CHAINS_H

#include "bench.h"
#include "nodeproof/arena.h"

/** Three data caches, and the memory behind them. */
enum { CHAIN_LEVELS = 4 };

/** The data caches of a CPU. */
struct chain_caches {
    uint64_t bytes[CHAIN_LEVELS - 1]; /**< of the first, second, third level; 0: there is none */
    uint64_t last_bytes;              /**< of the last-level cache, at least what is assumed */
};

struct chain {
    const struct bench_request *request;
    int node; /**< of the memory; -1 on a kernel without NUMA */
    struct np_arena arena;
    struct chain_caches caches; /**< of the CPU that opened it */
    uint64_t bytes;             /**< of the arena, linked */
    const char *pages;          /**< `huge`, `mixed` or `base` */
    bool has_local_share;
    double local_share; /**< of the memory, on `node`, 0 to 1 */
};

struct chain_result {
    struct np_figures figures; /**< in seconds for each load */
    double seconds;
    bool is_contended; /**< foreign processes had the CPU nearly all of the time */
};

/** Caches as the kernel names them; if it names none, assumed ones. */
void chain_find_caches(unsigned int cpu, struct chain_caches *caches);

/**
 * Choose a working set far beyond a last-level cache: `request->bytes`, else four times the cache and at least half a
 * gibibyte, or `allowed` if that is less.
 *
 * Returns 0 or -errno, with one sentence in `why`.
 */
int chain_choose_bytes(const struct bench_request *request, uint64_t cache_bytes, uint64_t allowed, uint64_t *bytes,
                       char why[BENCH_WHY_BYTES]);

/**
 * Reserve memory on `node` (-1: by first touch) and have a thread on `cpu` touch it.
 *
 * Returns 0 or -errno, with one sentence in `why`.
 */
int chain_open(struct chain *chain, const struct bench_request *request, unsigned int cpu, int node, uint64_t bytes,
               char why[BENCH_WHY_BYTES]);

void chain_close(struct chain *chain);

/** Have a thread on `cpu` link the first `bytes` in a random order. Returns 0 or -errno. */
int chain_link(struct chain *chain, unsigned int cpu, uint64_t bytes);

/** Follow the chain in the calling thread for at most `most_s`. Returns 0 or -errno. */
int chain_follow(struct chain *chain, double most_s, struct chain_result *result);

/** Have a thread on `cpu` follow the chain. Returns 0 or -errno. */
int chain_measure(struct chain *chain, unsigned int cpu, double most_s, struct chain_result *result);

/** Write bytes, level (the smallest cache that holds them), pattern and pages: no latency means anything without. */
void chain_put_set(const struct chain *chain, struct np_json *out);

/** Write cache_bytes and is_cache_bound: whether the working set is too small to get past the last-level cache. */
void chain_put_caches(const struct chain *chain, struct np_json *out);

/** Write node and local share. */
void chain_put_memory(const struct chain *chain, struct np_json *out);

/** Write the local share, null if it cannot be known. */
void chain_put_local_share(const struct chain *chain, struct np_json *out);

#endif

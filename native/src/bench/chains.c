/* SPDX-License-Identifier: Apache-2.0 */
#include "chains.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "conditions.h"
#include "nodeproof/chase.h"
#include "nodeproof/sampling.h"
#include "system.h"

/* Each run links the same cycle: what differs between runs is then the machine. */
static const uint64_t SEED = 0x6e6f646570726f66;

/* Warm-up is long enough for a clock that has to rise, and for a third level to be filled. */
static const double WARMUP_S = 25e-3, BLOCK_S = 1e-3;

/* Of the time, even if the interval is narrow sooner: a CPU's clock needs some to settle (caches have a tenth of a
   second and little more), and how much others ask of memory changes from one tenth of a second to the next. */
static const double LEAST_SHARE = 0.8, LEAST_SHARE_OF_MEMORY = 0.5;

enum { FEWEST_SAMPLES = 8, MOST_SAMPLES = 1 << 20 };

enum { PAST_CACHES = 4, BASE_PAGE_BYTES = 4096 };

static const uint64_t LEAST_BYTES = UINT64_C(512) << 20;

/* A VM may hide most of a large cache. */
static const uint64_t LEAST_CACHE_BYTES = UINT64_C(32) << 20;

static const uint64_t ASSUMED_BYTES[CHAIN_LEVELS - 1] = {32 << 10, 512 << 10, 32 << 20};

static const char *const LEVELS[CHAIN_LEVELS] = {"l1", "l2", "l3", "memory"};

void chain_find_caches(unsigned int cpu, struct chain_caches *caches)
{
    struct np_cpuset alone = {{0}};
    uint64_t known_bytes = 0;
    np_cpuset_add(&alone, cpu);
    for (unsigned int i = 0; i < CHAIN_LEVELS - 1; i++)
        known_bytes += caches->bytes[i] = system_data_cache_bytes(cpu, i + 1);
    if (known_bytes == 0)
        memcpy(caches->bytes, ASSUMED_BYTES, sizeof ASSUMED_BYTES);
    caches->last_bytes = system_cache_bytes(&alone);
    if (caches->last_bytes < LEAST_CACHE_BYTES)
        caches->last_bytes = LEAST_CACHE_BYTES;
}

static int find_level(const struct chain *chain)
{
    int level = 0;
    while (level < CHAIN_LEVELS - 1 && chain->bytes > chain->caches.bytes[level])
        level++;
    return level;
}

int chain_choose_bytes(const struct bench_request *request, uint64_t cache_bytes, uint64_t allowed, uint64_t *bytes,
                       char why[BENCH_WHY_BYTES])
{
    const uint64_t past_bytes = PAST_CACHES * cache_bytes;
    const uint64_t own_bytes = past_bytes > LEAST_BYTES ? past_bytes : LEAST_BYTES;
    const uint64_t whole_bytes = allowed / NP_HUGE_PAGE_BYTES * NP_HUGE_PAGE_BYTES;
    *bytes = request->bytes > 0        ? (request->bytes + NP_LINE_BYTES - 1) / NP_LINE_BYTES * NP_LINE_BYTES
             : own_bytes < whole_bytes ? own_bytes
                                       : whole_bytes;
    if (*bytes > 0 && *bytes <= whole_bytes)
        return 0;
    return bench_why(why, -ENOTSUP, "%" PRIu64 " bytes do not fit into the %" PRIu64 " that may be used here",
                     *bytes > 0 ? *bytes : NP_HUGE_PAGE_BYTES, whole_bytes);
}

/* Every page, so that none is missing when it is asked where they are: chains may end before the last does. */
static int touch(void *state, size_t index, struct np_gate *gate)
{
    const struct chain *chain = state;
    volatile char *base = chain->arena.base;
    (void)index, (void)gate;
    for (size_t at = 0; at < chain->arena.bytes; at += BASE_PAGE_BYTES) {
        base[at] = 0;
        if (at % NP_HUGE_PAGE_BYTES == 0 && bench_is_cancelled(chain->request))
            return -ECANCELED;
    }
    return 0;
}

static void look_at_pages(struct chain *chain, uint64_t huge_before_bytes)
{
    const uint64_t huge_bytes = system_huge_bytes() - huge_before_bytes;
    chain->pages = huge_bytes >= chain->arena.bytes / 10 * 9 ? "huge"
                   : huge_bytes >= chain->arena.bytes / 10   ? "mixed"
                                                             : "base";
    chain->has_local_share =
        chain->node >= 0 && np_arena_local_share(&chain->arena, (unsigned int)chain->node, &chain->local_share) == 0;
}

/* A container may forbid to bind: first touch does the same, if the CPU is one of that node. */
static int place_memory(const struct chain *chain, unsigned int cpu)
{
    struct np_cpuset cpus;
    if (chain->node < 0)
        return 0;
    const int rc = np_arena_bind(&chain->arena, (unsigned int)chain->node);
    const bool is_local = system_node_cpus((unsigned int)chain->node, &cpus) == 0 && np_cpuset_has(&cpus, cpu);
    return (rc == -ENOSYS || rc == -EPERM) && is_local ? 0 : rc;
}

int chain_open(struct chain *chain, const struct bench_request *request, unsigned int cpu, int node, uint64_t bytes,
               char why[BENCH_WHY_BYTES])
{
    const uint64_t huge_before_bytes = system_huge_bytes();
    *chain = (struct chain){.request = request, .node = node};
    int rc = np_arena_open(&chain->arena, bytes);
    if (rc != 0)
        return bench_why(why, rc, "cannot reserve %" PRIu64 " bytes: %s", bytes, strerror(-rc));
    rc = place_memory(chain, cpu);
    if (rc != 0) { /* a container forbids the call, or its cpuset this node */
        chain_close(chain);
        return bench_why(why, rc == -ENOMEM ? rc : -ENOTSUP, "cannot place memory on NUMA node %d: %s", node,
                         strerror(-rc));
    }
    rc = conditions_team_run(&cpu, 1, touch, chain);
    if (rc != 0) {
        chain_close(chain);
        return bench_why(why, rc, "cannot use %" PRIu64 " bytes on CPU %u: %s", bytes, cpu, strerror(-rc));
    }
    chain_find_caches(cpu, &chain->caches);
    look_at_pages(chain, huge_before_bytes);
    return 0;
}

void chain_close(struct chain *chain)
{
    np_arena_close(&chain->arena);
    *chain = (struct chain){0};
}

struct errand {
    struct chain *chain;
    double most_s;
    struct chain_result *result;
};

static int link_lines(void *state, size_t index, struct np_gate *gate)
{
    const struct chain *chain = state;
    (void)index, (void)gate;
    return np_chase_link(chain->arena.base, chain->bytes / NP_LINE_BYTES, SEED, chain->request->is_cancelled);
}

int chain_link(struct chain *chain, unsigned int cpu, uint64_t bytes)
{
    chain->bytes = bytes;
    return conditions_team_run(&cpu, 1, link_lines, chain);
}

int chain_follow(struct chain *chain, double most_s, struct chain_result *result)
{
    const bool is_memory = find_level(chain) == CHAIN_LEVELS - 1;
    const struct np_sampling sampling = {
        .clock = &chain->request->clock,
        .is_cancelled = chain->request->is_cancelled,
        .kind = NP_TIME,
        .warmup_s = WARMUP_S,
        .block_s = BLOCK_S,
        .least_s = most_s * (is_memory ? LEAST_SHARE_OF_MEMORY : LEAST_SHARE),
        .most_s = most_s,
    };
    const double blocks = 2 * most_s / BLOCK_S + FEWEST_SAMPLES;
    struct np_chase chase = {.at = chain->arena.base};
    struct np_samples samples;
    *result = (struct chain_result){0};
    int rc = np_samples_open(&samples, blocks < MOST_SAMPLES ? (size_t)blocks : MOST_SAMPLES);
    rc = rc != 0 ? rc : np_sampling_run(&sampling, np_chase_follow, &chase, &samples);
    rc = rc != 0 ? rc : np_samples_figures(&samples, NP_TIME, &result->figures);
    result->seconds = samples.seconds;
    result->is_contended = samples.count < FEWEST_SAMPLES;
    np_samples_close(&samples);
    return rc;
}

static int follow(void *state, size_t index, struct np_gate *gate)
{
    const struct errand *errand = state;
    (void)index, (void)gate;
    return chain_follow(errand->chain, errand->most_s, errand->result);
}

int chain_measure(struct chain *chain, unsigned int cpu, double most_s, struct chain_result *result)
{
    struct errand errand = {.chain = chain, .most_s = most_s, .result = result};
    return conditions_team_run(&cpu, 1, follow, &errand);
}

void chain_put_set(const struct chain *chain, struct np_json *out)
{
    np_json_integer(out, "bytes", chain->bytes);
    np_json_string(out, "level", LEVELS[find_level(chain)]);
    np_json_string(out, "pattern", "full random");
    np_json_string(out, "pages", chain->pages);
}

void chain_put_caches(const struct chain *chain, struct np_json *out)
{
    np_json_integer(out, "cache_bytes", chain->caches.last_bytes);
    np_json_bool(out, "is_cache_bound", chain->bytes < PAST_CACHES * chain->caches.last_bytes);
}

void chain_put_local_share(const struct chain *chain, struct np_json *out)
{
    if (chain->has_local_share)
        np_json_number(out, "local_share", chain->local_share);
    else
        np_json_null(out, "local_share");
}

void chain_put_memory(const struct chain *chain, struct np_json *out)
{
    if (chain->node >= 0)
        np_json_integer(out, "node", (uint64_t)chain->node);
    else
        np_json_null(out, "node");
    chain_put_local_share(chain, out);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load-to-use latency of the caches and of the memory behind them, as one CPU sees it.
 *
 * A working set of half a cache stays in it whatever else the core needs; one of four times the last
 * cache is served by memory. Both leave the cycle through all lines as random as it can be: a smaller window
 * of pages would measure a TLB that hits, more pages one that misses.
 */
#include <errno.h>
#include <string.h>

#include "chains.h"
#include "memory.h"
#include "placement.h"
#include "system.h"

/* Of the time, for a set that some cache holds: its latency is certain soon. */
static const double SHARE_OF_CACHE = 0.15;

/* Working sets in ascending order. */
struct sets {
    unsigned int cpu;
    uint64_t bytes[CHAIN_LEVELS];
    size_t count;
    uint64_t last_cache_bytes;
};

static int choose_cpu(const struct bench_request *request, struct placement *place, char why[BENCH_WHY_BYTES])
{
    char list[64];
    if (request->has_cpus && np_cpuset_count(&request->cpus) > 1) {
        const int rc = np_cpulist_format(&request->cpus, list, sizeof list);
        return bench_why(why, -EINVAL, "runs on one CPU, --cpus names several (%s)", rc == 0 ? list : "...");
    }
    const int rc = placement_find(request, place, why);
    if (rc != 0)
        return rc;
    const unsigned int cpu = np_cpuset_first(&place->cpuset);
    place->cpuset = (struct np_cpuset){{0}};
    np_cpuset_add(&place->cpuset, cpu);
    return 0;
}

static int choose_sets(const struct bench_request *request, const struct placement *place, struct sets *sets,
                       char why[BENCH_WHY_BYTES])
{
    struct chain_caches caches;
    uint64_t most_bytes;
    *sets = (struct sets){.cpu = np_cpuset_first(&place->cpuset)};
    chain_find_caches(sets->cpu, &caches);
    sets->last_cache_bytes = caches.last_bytes;
    const int rc =
        chain_choose_bytes(request, caches.last_bytes, system_available_bytes(place->node) / 2, &most_bytes, why);
    for (int i = 0; i < CHAIN_LEVELS - 1 && rc == 0 && request->bytes == 0; i++) {
        const uint64_t bytes = caches.bytes[i] / 2, before = i > 0 ? caches.bytes[i - 1] : 0;
        if (bytes > before && bytes < most_bytes)
            sets->bytes[sets->count++] = bytes;
    }
    sets->bytes[sets->count++] = most_bytes;
    return rc;
}

static void put_point(const struct chain *chain, const struct chain_result *result, struct np_json *out)
{
    np_json_open_object(out, NULL);
    chain_put_set(chain, out);
    bench_put_figures(out, &result->figures, 1);
    np_json_bool(out, "is_contended", result->is_contended);
    np_json_close_object(out);
}

/* Each set in turn; one in memory has all the time that the others left, at least half of all. */
static int measure_sets(struct chain *chain, const struct sets *sets, struct chain_result *last, struct np_json *out)
{
    const double most_s = chain->request->seconds;
    double seconds = 0;
    int rc = 0;
    np_json_open_array(out, "points");
    for (size_t i = 0; i < sets->count && rc == 0; i++) {
        const double left_s = most_s - seconds > most_s / 2 ? most_s - seconds : most_s / 2;
        const bool is_cached = sets->bytes[i] <= sets->last_cache_bytes / 2;
        rc = chain_link(chain, sets->cpu, sets->bytes[i]);
        if (rc == 0)
            rc = chain_measure(chain, sets->cpu, is_cached ? SHARE_OF_CACHE * most_s : left_s, last);
        if (rc == 0)
            put_point(chain, last, out);
        seconds += last->seconds;
    }
    np_json_close_array(out);
    last->seconds = seconds;
    return rc;
}

static void put_result(const struct chain *chain, const struct chain_result *last, struct np_json *out)
{
    bench_put_figures(out, &last->figures, 1);
    np_json_number(out, "seconds", last->seconds);
    np_json_bool(out, "is_contended", last->is_contended);
    chain_put_memory(chain, out);
    np_json_string(out, "isa", np_isa_name(NP_ISA_GENERIC));
    chain_put_set(chain, out);
    chain_put_caches(chain, out);
}

int memory_latency(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct placement place;
    struct sets sets;
    struct chain chain;
    struct chain_result last = {.seconds = 0};
    int rc = choose_cpu(request, &place, why);
    if (rc == 0)
        rc = choose_sets(request, &place, &sets, why);
    if (rc == 0)
        rc = chain_open(&chain, request, sets.cpu, place.node, sets.bytes[sets.count - 1], why);
    if (rc != 0)
        return rc;
    rc = measure_sets(&chain, &sets, &last, out);
    if (rc == 0) {
        put_result(&chain, &last, out);
        bench_put_cpus(out, &place.cpuset);
    } else {
        bench_why(why, rc, "%s", strerror(-rc));
    }
    chain_close(&chain);
    return rc;
}

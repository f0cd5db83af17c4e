/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Latency of memory while it is busy: one CPU follows a chain, the other cores of the node read at a
 * rising rate.
 *
 * A load level is the share of its time in which each of them reads, in bursts of microseconds: at 100 they
 * read without a pause. How much that moves is part of the result, for latency is a function of it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "chains.h"
#include "conditions.h"
#include "fingerprint.h"
#include "memory.h"
#include "nodeproof/stream.h"
#include "placement.h"
#include "system.h"

static const unsigned int LOADS_PERCENT[] = {0, 10, 25, 50, 75, 100};

enum { LOADS = sizeof LOADS_PERCENT / sizeof *LOADS_PERCENT };

/* A burst is far shorter than a sample of the latency, and far longer than reading the clock takes. */
enum { BURST_BYTES = 32 << 10, CACHES_FOR_LOADS = 4 };

/* Of a burst that took longer the CPU was taken away; a pause in proportion would leave memory idle. */
static const double LONGEST_BURST_S = 50e-6;

/* A loader that had its CPU for less than this did not load as it should. */
static const double LEAST_ON_CPU = 0.75;

/* Alone on its cache lines: it counts while it reads. */
struct loader {
    _Alignas(128) const double *part;
    uint64_t bytes;
    double seconds;
    double on_cpu_s;
};

struct load {
    const struct bench_request *request;
    enum np_isa isa;
    unsigned int cpus[NP_MAX_CPUS]; /**< the first follows the chain, the others load */
    size_t count;
    struct chain chain;
    struct np_arena arena; /**< what the loaders read */
    size_t part_bytes;
    struct loader *loaders;
    unsigned int percent;
    double most_s;
    atomic_bool is_over;
    struct chain_result *result;
};

static bool is_over(const struct load *load)
{
    return atomic_load_explicit(&load->is_over, memory_order_relaxed) || bench_is_cancelled(load->request);
}

static double on_cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Read in bursts with pauses between them until it is over. */
static void read_on(const struct load *load, struct loader *loader)
{
    const struct np_clock *clock = &load->request->clock;
    np_stream_fn *read = np_stream_kernel(NP_STREAM_READ, load->isa);
    const size_t burst = BURST_BYTES / sizeof(double), elements = load->part_bytes / sizeof(double);
    const double pauses = (100.0 - load->percent) / load->percent;
    const uint64_t longest = np_clock_ticks(clock, LONGEST_BURST_S), start = np_clock_now(clock);
    const double cpu_begin_s = on_cpu_s();
    uint64_t now = start;
    *loader = (struct loader){.part = loader->part};
    for (size_t at = 0; !is_over(load); at = at + burst < elements ? at + burst : 0) {
        read(NULL, loader->part + at, NULL, 0, burst);
        const uint64_t end = np_clock_now(clock);
        const uint64_t took = end - now < longest ? end - now : longest;
        const uint64_t resume = end + (uint64_t)((double)took * pauses);
        loader->bytes += BURST_BYTES;
        now = end;
        while ((int64_t)(resume - now) > 0)
            now = np_clock_now(clock);
    }
    loader->seconds = np_clock_seconds(clock, start, np_clock_now(clock));
    loader->on_cpu_s = on_cpu_s() - cpu_begin_s;
}

static int work(void *state, size_t index, struct np_gate *gate)
{
    struct load *load = state;
    uint64_t opened;
    int rc = np_gate_meet(gate, &load->request->clock, &opened);
    if (rc != 0)
        return rc;
    if (index > 0) {
        read_on(load, &load->loaders[index - 1]);
        return 0;
    }
    rc = chain_follow(&load->chain, load->most_s, load->result);
    atomic_store(&load->is_over, true);
    return rc;
}

/* Touched first by its reader. Pages that were only read would all be the kernel's one page of zeros. */
static int touch(void *state, size_t index, struct np_gate *gate)
{
    struct load *load = state;
    char *part = (char *)load->arena.base + index * load->part_bytes;
    (void)gate;
    for (size_t at = 0; at < load->part_bytes; at += BURST_BYTES) {
        if (bench_is_cancelled(load->request))
            return -ECANCELED;
        memset(part + at, 0, BURST_BYTES);
    }
    load->loaders[index].part = (const double *)part;
    return 0;
}

static int open_loaders(struct load *load, const struct placement *place, uint64_t allowed, char why[BENCH_WHY_BYTES])
{
    const size_t loaders = load->count - 1;
    uint64_t cache_bytes = system_cache_bytes(&place->cpuset);
    cache_bytes = cache_bytes > load->chain.caches.last_bytes ? cache_bytes : load->chain.caches.last_bytes;
    const uint64_t wanted = load->request->bytes > 0 ? load->request->bytes : CACHES_FOR_LOADS * cache_bytes;
    const uint64_t bytes = wanted < allowed ? wanted : allowed;
    load->part_bytes = (bytes / loaders + BURST_BYTES - 1) / BURST_BYTES * BURST_BYTES;
    load->loaders = aligned_alloc(_Alignof(struct loader), loaders * sizeof *load->loaders);
    if (load->loaders == NULL)
        return bench_why(why, -ENOMEM, "out of memory");
    int rc = np_arena_open(&load->arena, loaders * load->part_bytes);
    if (rc == 0 && place->node >= 0)
        rc = np_arena_bind(&load->arena, (unsigned int)place->node);
    if (rc == 0 || rc == -ENOSYS || rc == -EPERM) /* then first touch decides */
        rc = conditions_team_run(load->cpus + 1, loaders, touch, load);
    return rc == 0 ? 0
                   : bench_why(why, rc == -EINVAL ? -ENOTSUP : rc, "cannot use %" PRIu64 " bytes: %s", bytes,
                               strerror(-rc));
}

/* Choose CPUs, instructions and memory, and link the chain. */
static int open_load(struct load *load, const struct placement *place, char why[BENCH_WHY_BYTES])
{
    const struct bench_request *request = load->request;
    struct chain_caches caches;
    uint64_t bytes;
    const uint64_t allowed = system_available_bytes(place->node) / 2 / 2; /* the chain, and as much for the loads */
    load->count = np_cpuset_list(&place->cpuset, load->cpus, NP_MAX_CPUS);
    if (load->count < 2)
        return bench_why(why, -ENOTSUP, "needs two cores: one for the chain, others for the load");
    load->isa = request->has_isa ? request->isa : np_stream_widest();
    if (np_stream_kernel(NP_STREAM_READ, load->isa) == NULL || !np_isa_is_supported(load->isa))
        return bench_why(why, -ENOTSUP, "this CPU does not support %s", np_isa_name(load->isa));
    chain_find_caches(load->cpus[0], &caches);
    int rc = chain_choose_bytes(request, caches.last_bytes, allowed, &bytes, why);
    if (rc == 0)
        rc = chain_open(&load->chain, request, load->cpus[0], place->node, bytes, why);
    if (rc == 0)
        rc = open_loaders(load, place, allowed, why);
    if (rc != 0)
        return rc;
    rc = chain_link(&load->chain, load->cpus[0], bytes);
    return rc == 0 ? 0 : bench_why(why, rc, "cannot link the chain: %s", strerror(-rc));
}

static void close_load(struct load *load)
{
    chain_close(&load->chain);
    np_arena_close(&load->arena);
    free(load->loaders);
}

static void put_point(const struct load *load, struct np_json *out)
{
    double bytes_per_s = 0;
    for (size_t i = 0; load->percent > 0 && i < load->count - 1; i++) {
        const struct loader *loader = &load->loaders[i];
        bytes_per_s += loader->seconds > 0 ? (double)loader->bytes / loader->seconds : 0;
        load->result->is_contended |= loader->on_cpu_s < LEAST_ON_CPU * loader->seconds;
    }
    np_json_open_object(out, NULL);
    np_json_integer(out, "load_percent", load->percent);
    np_json_number(out, "bytes_per_s", bytes_per_s);
    bench_put_figures(out, &load->result->figures, 1);
    np_json_bool(out, "is_contended", load->result->is_contended);
    np_json_close_object(out);
}

static int measure_loads(struct load *load, struct np_json *out)
{
    double seconds = 0;
    int rc = 0;
    load->most_s = load->request->seconds / LOADS;
    np_json_open_array(out, "points");
    for (size_t i = 0; i < LOADS && rc == 0; i++) {
        load->percent = LOADS_PERCENT[i];
        atomic_store(&load->is_over, false);
        rc = conditions_team_run(load->cpus, load->percent > 0 ? load->count : 1, work, load);
        seconds += load->result->seconds;
        if (rc == 0)
            put_point(load, out);
    }
    np_json_close_array(out);
    load->result->seconds = seconds;
    return rc;
}

static void put_result(const struct load *load, const struct np_cpuset *cpus, struct np_json *out)
{
    bench_put_figures(out, &load->result->figures, 1);
    np_json_number(out, "seconds", load->result->seconds);
    np_json_bool(out, "is_contended", load->result->is_contended);
    bench_put_cpus(out, cpus);
    np_json_string(out, "isa", np_isa_name(load->isa));
    chain_put_memory(&load->chain, out);
    chain_put_set(&load->chain, out);
    np_json_integer(out, "load_bytes", load->arena.bytes);
    chain_put_caches(&load->chain, out);
}

int memory_loaded_latency(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct placement place;
    struct chain_result result = {.seconds = 0};
    struct load load = {.request = request, .result = &result};
    int rc = placement_find(request, &place, why);
    if (rc == 0)
        rc = open_load(&load, &place, why);
    if (rc == 0) {
        fingerprint_put(request, &place.cpuset, out);
        rc = measure_loads(&load, out);
        if (rc == 0)
            put_result(&load, &place.cpuset, out);
        else
            bench_why(why, rc, "%s", strerror(-rc));
    }
    close_load(&load);
    return rc;
}

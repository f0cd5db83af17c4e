/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory bandwidth of one NUMA node: a[i] = b[i] + s * c[i] on all its cores at once.
 *
 * Three rates come out of one window. Capability (the 90th percentile of the bins) is what the hardware does
 * when nobody disturbs it, sustained (the median) is what a job sees, stability (10th over 90th) is how
 * far apart these are. The maximum is of no use: a bin served by the cache raises it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "nodeproof/arena.h"
#include "nodeproof/quantile.h"
#include "nodeproof/triad.h"
#include "nodeproof/window.h"
#include "placement.h"
#include "system.h"

static const double SCALE = 3;
static const double DEFAULT_SECONDS = 0.3, WARMUP_S = 0.025, BLOCK_S = 0.4e-3, BIN_S = 2e-3;

/* Below four times the last-level cache, what stays in it raised the rate by 7 % and more. */
enum { CACHES_PER_ARRAY = 4, ARRAYS = 3 };

/* Assumed where the kernel names no cache; also the least, for a VM may hide most of a large one. */
static const uint64_t LEAST_CACHE_BYTES = UINT64_C(32) << 20;

/* A window in which foreign processes left fewer shared bins than this is followed by another. */
enum { ENOUGH_SAMPLES = 64, FEWEST_SAMPLES = 8, MAX_WINDOWS = 3 };

struct worker {
    struct np_arena arena;
    struct np_sheet sheet;
    double *a, *b, *c;
    size_t elements; /* in each array */
    size_t next;     /* where the next block begins */
    uint64_t done;
    uint64_t wrong;
    np_triad_fn *triad;
};

struct triad_run {
    const struct bench_request *request;
    const struct np_triad_kernel *kernel;
    struct placement place;
    unsigned int *cpus;
    size_t count;
    uint64_t cache_bytes;
    struct np_window window;
    struct worker *workers;
    double *rates; /* in the bins in which nobody else had one of our CPUs */
    size_t samples;
    double *all_rates;
    size_t bins;
    bool is_contended;
};

/* Bytes of one array of one thread: whole huge pages, within half of the memory that is free. */
static size_t share_bytes(const struct triad_run *run)
{
    const size_t page = NP_HUGE_PAGE_BYTES;
    const uint64_t wanted = CACHES_PER_ARRAY * run->cache_bytes / run->count;
    const uint64_t allowed = system_available_bytes(run->place.node) / 2 / ARRAYS / run->count / page * page;
    const uint64_t rounded = (wanted + page - 1) / page * page;
    return rounded < allowed ? rounded : allowed;
}

static int reserve(struct triad_run *run, char why[BENCH_WHY_BYTES])
{
    const size_t bytes = share_bytes(run);
    const double seconds = run->request->seconds > 0 ? run->request->seconds : DEFAULT_SECONDS;
    const size_t bins = (size_t)(seconds / BIN_S) > 0 ? (size_t)(seconds / BIN_S) : 1;
    if (bytes == 0)
        return bench_why(why, -ENOMEM, "too little free memory for %zu threads", run->count);
    run->window = (struct np_window){
        .clock = &run->request->clock,
        .is_cancelled = run->request->is_cancelled,
        .warmup_s = WARMUP_S,
        .block_s = BLOCK_S,
        .bin_s = BIN_S,
        .bins = bins,
    };
    run->rates = calloc(bins * MAX_WINDOWS, sizeof *run->rates);
    run->all_rates = calloc(bins * MAX_WINDOWS, sizeof *run->all_rates);
    int rc = run->rates != NULL && run->all_rates != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; i < run->count && rc == 0; i++) {
        struct worker *worker = &run->workers[i];
        rc = np_arena_open(&worker->arena, ARRAYS * bytes);
        if (rc != 0)
            break;
        worker->a = worker->arena.base;
        worker->b = worker->a + bytes / sizeof(double);
        worker->c = worker->b + bytes / sizeof(double);
        worker->elements = bytes / sizeof(double);
        worker->triad = run->kernel->run;
        if (run->place.node >= 0)
            rc = np_arena_bind(&worker->arena, (unsigned int)run->place.node);
        if (rc == -ENOSYS || rc == -EPERM)
            rc = 0; /* a container that forbids it: first touch by the pinned thread does the same */
    }
    return rc != 0 ? bench_why(why, rc, "cannot reserve %zu bytes: %s", ARRAYS * bytes, strerror(-rc)) : 0;
}

/* Touched first by the thread that uses it, hence on its node. */
static int fill(void *state, size_t index, struct np_gate *gate)
{
    const struct triad_run *run = state;
    struct worker *worker = &run->workers[index];
    const size_t step = NP_HUGE_PAGE_BYTES / sizeof(double);
    (void)gate;
    for (size_t i = 0; i < worker->elements; i += step) {
        if (atomic_load_explicit(run->request->is_cancelled, memory_order_relaxed))
            return -ECANCELED;
        np_triad_fill(worker->a, worker->b, worker->c, i, step);
    }
    return 0;
}

static uint64_t block(void *state, uint64_t units)
{
    struct worker *worker = state;
    const uint64_t left = worker->elements - worker->next;
    const uint64_t whole = (units + NP_TRIAD_GROUP - 1) / NP_TRIAD_GROUP * NP_TRIAD_GROUP;
    const size_t count = whole < left ? whole : left;
    worker->triad(worker->a + worker->next, worker->b + worker->next, worker->c + worker->next, SCALE, count);
    worker->next = count < left ? worker->next + count : 0;
    worker->done += count;
    return count;
}

static int measure(void *state, size_t index, struct np_gate *gate)
{
    const struct triad_run *run = state;
    struct worker *worker = &run->workers[index];
    return np_window_run(&run->window, gate, block, worker, &worker->sheet);
}

static int verify(void *state, size_t index, struct np_gate *gate)
{
    const struct triad_run *run = state;
    struct worker *worker = &run->workers[index];
    (void)gate;
    worker->wrong = np_triad_wrong(worker->a, SCALE, worker->done < worker->elements ? worker->done : worker->elements);
    return 0;
}

/* One window, added to the rates. */
static int measure_once(struct triad_run *run)
{
    struct np_sheet *sheets = calloc(run->count, sizeof *sheets);
    int rc = sheets != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; i < run->count && rc == 0; i++)
        rc = np_sheet_open(&run->workers[i].sheet, BIN_S, run->window.bins);
    if (rc == 0)
        rc = np_team_run(run->cpus, run->count, measure, run);
    for (size_t i = 0; i < run->count && rc == 0; i++)
        sheets[i] = run->workers[i].sheet;
    if (rc == 0) {
        run->samples += np_sheets_rates(sheets, run->count, false, run->rates + run->samples);
        run->bins += np_sheets_rates(sheets, run->count, true, run->all_rates + run->bins);
    }
    for (size_t i = 0; i < run->count; i++)
        np_sheet_close(&run->workers[i].sheet);
    free(sheets);
    return rc;
}

/* Measure until there are enough bins in which nobody else had one of our CPUs. */
static int measure_all(struct triad_run *run)
{
    const size_t enough = run->window.bins < 2 * ENOUGH_SAMPLES ? run->window.bins / 2 : ENOUGH_SAMPLES;
    int rc = 0;
    for (int i = 0; i < MAX_WINDOWS && rc == 0 && (i == 0 || run->samples < enough); i++)
        rc = measure_once(run);
    run->is_contended = run->samples < FEWEST_SAMPLES;
    if (run->is_contended) { /* then what can be had at all, marked as such */
        memcpy(run->rates, run->all_rates, run->bins * sizeof *run->rates);
        run->samples = run->bins;
    }
    return rc;
}

static const char *page_kind(uint64_t wanted_bytes)
{
    const uint64_t huge_bytes = system_huge_bytes();
    if (huge_bytes >= wanted_bytes / 10 * 9)
        return "huge";
    return huge_bytes >= wanted_bytes / 10 ? "mixed" : "base";
}

static void report_memory(const struct triad_run *run, const char *pages, struct np_json *out)
{
    const uint64_t array_bytes = run->count * run->workers[0].elements * sizeof(double);
    uint64_t wrong = 0;
    double local = 0, share;
    int rc = run->place.node >= 0 ? 0 : -ENOTSUP;
    for (size_t i = 0; i < run->count; i++) {
        wrong += run->workers[i].wrong;
        rc = rc != 0 ? rc : np_arena_local_share(&run->workers[i].arena, (unsigned int)run->place.node, &share);
        local += rc == 0 ? share / (double)run->count : 0;
    }
    np_json_integer(out, "array_bytes", array_bytes);
    np_json_integer(out, "cache_bytes", run->cache_bytes);
    np_json_bool(out, "is_cache_bound", array_bytes < CACHES_PER_ARRAY * run->cache_bytes);
    np_json_string(out, "pages", pages);
    if (rc == 0)
        np_json_number(out, "local_share", local);
    else
        np_json_null(out, "local_share");
    np_json_integer(out, "wrong_elements", wrong);
}

static int report(struct triad_run *run, const char *pages, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    char list[NP_CPULIST_BYTES];
    double low, middle, high;
    np_sort(run->rates, run->samples);
    int rc = np_quantile(run->rates, run->samples, 0.1, &low);
    rc = rc != 0 ? rc : np_quantile(run->rates, run->samples, 0.5, &middle);
    rc = rc != 0 ? rc : np_quantile(run->rates, run->samples, 0.9, &high);
    rc = rc != 0 ? rc : np_cpulist_format(&run->place.cpuset, list, sizeof list);
    if (rc != 0 || !(high > 0))
        return bench_why(why, -EIO, "the threads did no work in %zu bins", run->bins);
    np_json_number(out, "value", high * NP_TRIAD_BYTES);
    np_json_number(out, "sustained", middle * NP_TRIAD_BYTES);
    np_json_number(out, "stability", low / high);
    np_json_integer(out, "samples", run->samples);
    np_json_number(out, "seconds", (double)run->bins * BIN_S);
    np_json_bool(out, "is_contended", run->is_contended);
    np_json_string(out, "cpus", list);
    np_json_integer(out, "threads", run->count);
    np_json_integer(out, "cores", run->place.cores);
    np_json_bool(out, "is_partial", run->place.cores_used < run->place.cores);
    if (run->place.node >= 0)
        np_json_integer(out, "node", (uint64_t)run->place.node);
    else
        np_json_null(out, "node");
    np_json_string(out, "isa", run->kernel->isa);
    report_memory(run, pages, out);
    return 0;
}

static int prepare(struct triad_run *run, char why[BENCH_WHY_BYTES])
{
    int rc = np_triad_find(run->request->isa, &run->kernel);
    if (rc == -ENOENT)
        return bench_why(why, -EINVAL, "there is no kernel for \"%s\"", run->request->isa);
    if (rc != 0)
        return bench_why(why, rc, "this CPU does not support %s", run->request->isa);
    rc = placement_find(run->request, &run->place, why);
    if (rc != 0)
        return rc;
    run->count = np_cpuset_count(&run->place.cpuset);
    run->cpus = calloc(run->count, sizeof *run->cpus);
    run->workers = calloc(run->count, sizeof *run->workers);
    if (run->cpus == NULL || run->workers == NULL)
        return bench_why(why, -ENOMEM, "out of memory");
    np_cpuset_list(&run->place.cpuset, run->cpus, run->count);
    run->cache_bytes = system_cache_bytes(&run->place.cpuset);
    if (run->cache_bytes < LEAST_CACHE_BYTES)
        run->cache_bytes = LEAST_CACHE_BYTES;
    return reserve(run, why);
}

int memory_triad(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct triad_run run = {.request = request};
    int rc = prepare(&run, why);
    if (rc != 0)
        goto out;
    rc = np_team_run(run.cpus, run.count, fill, &run);
    const char *pages = rc == 0 ? page_kind(run.count * run.workers[0].arena.bytes) : "";
    rc = rc != 0 ? rc : measure_all(&run);
    rc = rc != 0 ? rc : np_team_run(run.cpus, run.count, verify, &run);
    rc = rc != 0 ? bench_why(why, rc, "%s", strerror(-rc)) : report(&run, pages, out, why);
out:
    for (size_t i = 0; run.workers != NULL && i < run.count; i++)
        np_arena_close(&run.workers[i].arena);
    free(run.workers);
    free(run.cpus);
    free(run.rates);
    free(run.all_rates);
    return rc;
}

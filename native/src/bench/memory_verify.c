/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does memory keep what is written to it? Patterns over a share of the free memory, written around the caches by
 * all cores at once, and read back when everything has been written.
 *
 * How much is tested is bounded by time as well: what there was no time for is left out and reported. The value is
 * the number of words that were wrong; a word that was is written and read again to see whether it stays so.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "conditions.h"
#include "cpu.h"
#include "memory_words.h"
#include "nodeproof/arena.h"
#include "placement.h"
#include "system.h"
#include "verify.h"

static const double DEFAULT_SHARE = 0.1;

/* Filling for the first time has this share of the time that is left: the kernel has to find and clear the pages. */
static const double FILL_SHARE = 1.0 / 3;

/* Less could be read from the last-level cache; lines are then put out of it by hand, which is slow. */
enum { PAST_CACHES = 4 };

enum { CHUNK_BYTES = NP_HUGE_PAGE_BYTES, CHUNK_WORDS = CHUNK_BYTES / 8 };

/* Lock pages as they are touched, mlock(2): the test is of memory, not of swap. */
enum { LOCK_ON_FAULT = 1 };

enum operation { FILL, CHECK, INVERT_UPWARDS, INVERT_DOWNWARDS };

struct pass {
    enum operation operation;
    enum np_pattern pattern; /* that is written, or expected */
};

static const struct pass PASSES[] = {
    {FILL, NP_PATTERN_RANDOM},
    {CHECK, NP_PATTERN_RANDOM},
    {INVERT_UPWARDS, NP_PATTERN_RANDOM},
    {INVERT_DOWNWARDS, NP_PATTERN_RANDOM_INVERSE},
    {CHECK, NP_PATTERN_RANDOM},
    {FILL, NP_PATTERN_ADDRESS},
    {CHECK, NP_PATTERN_ADDRESS},
    {FILL, NP_PATTERN_ADDRESS_INVERSE},
    {CHECK, NP_PATTERN_ADDRESS_INVERSE},
    {FILL, NP_PATTERN_CHECKERBOARD},
    {CHECK, NP_PATTERN_CHECKERBOARD},
    {FILL, NP_PATTERN_CHECKERBOARD_INVERSE},
    {CHECK, NP_PATTERN_CHECKERBOARD_INVERSE},
    {FILL, NP_PATTERN_WALKING_ONE},
    {CHECK, NP_PATTERN_WALKING_ONE},
    {FILL, NP_PATTERN_WALKING_ZERO},
    {CHECK, NP_PATTERN_WALKING_ZERO},
    {FILL, NP_PATTERN_ZEROS},
    {CHECK, NP_PATTERN_ZEROS},
    {FILL, NP_PATTERN_ONES},
    {CHECK, NP_PATTERN_ONES},
};

enum { PASS_COUNT = sizeof PASSES / sizeof *PASSES };

/* What one thread tests, in courses: as much as can be filled in a third of the time that is left, by all passes. */
struct slice {
    size_t first_chunk, chunks; /* of the course; behind it are those that have not been touched */
    size_t untouched_chunks;
    size_t tested_chunks;    /* read back at least once */
    uint64_t checked_chunks; /* all passes together */
    size_t passes;           /* that were finished in the first course */
    bool is_complete;
};

struct memory_run {
    const struct bench_request *request;
    struct cpu_list list;
    struct np_arena arena;
    struct words words;
    struct slice *slices;
    size_t chunks; /* that were reserved */
    bool must_flush, is_locked;
    double seconds;
};

static struct np_pattern_part part_of(struct memory_run *run, size_t chunk, enum np_pattern pattern)
{
    return (struct np_pattern_part){.pattern = pattern,
                                    .seed = run->words.seed,
                                    .first = (uint64_t)chunk * CHUNK_WORDS,
                                    .words = (uint64_t *)run->arena.base + chunk * CHUNK_WORDS,
                                    .count = CHUNK_WORDS};
}

static void work_on(struct memory_run *run, size_t index, size_t chunk, const struct pass *pass)
{
    const struct np_pattern_part part = part_of(run, chunk, pass->pattern);
    struct np_pattern_error errors[WORDS_FINDINGS_MOST];
    const unsigned int cpu = run->list.cpus[index];
    size_t wrong = 0;
    if (pass->operation == FILL)
        np_pattern_fill(&part);
    else if (pass->operation == CHECK)
        wrong = np_pattern_check(&part, errors, WORDS_FINDINGS_MOST);
    else
        wrong = np_pattern_invert(&part, pass->operation == INVERT_DOWNWARDS, errors, WORDS_FINDINGS_MOST);
    words_note(&run->words, cpu, &part, pass->operation != CHECK, errors, wrong);
    if (pass->operation != CHECK) {
        words_plant(&run->words, part.words, CHUNK_BYTES);
        if (run->must_flush)
            np_pattern_flush(part.words, CHUNK_BYTES);
    }
}

/* Returns how many chunks of the slice were done by then: at least one. */
static size_t do_pass(struct memory_run *run, size_t index, const struct pass *pass, uint64_t until)
{
    const struct slice *slice = &run->slices[index];
    const bool is_downwards = pass->operation == INVERT_DOWNWARDS;
    size_t done = 0;
    while (done < slice->chunks && !bench_is_cancelled(run->request)) {
        const size_t chunk = is_downwards ? slice->chunks - 1 - done : done;
        work_on(run, index, slice->first_chunk + chunk, pass);
        done++;
        if ((int64_t)(np_clock_now(&run->request->clock) - until) >= 0)
            break;
    }
    return done;
}

/* Returns how many passes were finished by then. */
static size_t take_course(struct memory_run *run, size_t index, uint64_t until)
{
    struct slice *slice = &run->slices[index];
    const uint64_t now = np_clock_now(&run->request->clock);
    const double left = (int64_t)(until - now) > 0 ? (double)(until - now) : 0;
    slice->chunks = slice->untouched_chunks;
    slice->chunks = do_pass(run, index, &PASSES[0], now + (uint64_t)(FILL_SHARE * left));
    slice->untouched_chunks -= slice->chunks;
    for (size_t passes = 1; passes < PASS_COUNT; passes++) {
        const struct pass *pass = &PASSES[passes];
        const size_t done = do_pass(run, index, pass, until);
        slice->checked_chunks += pass->operation != FILL ? done : 0;
        slice->tested_chunks += passes == 1 ? done : 0;
        if (done < slice->chunks)
            return passes;
    }
    return PASS_COUNT;
}

static int test_slice(void *state, size_t index, struct np_gate *gate)
{
    struct memory_run *run = state;
    struct slice *slice = &run->slices[index];
    const struct np_clock *clock = &run->request->clock;
    uint64_t start;
    const int rc = np_gate_meet(gate, clock, &start);
    if (rc != 0)
        return rc;
    const uint64_t until = start + np_clock_ticks(clock, run->request->seconds);
    size_t passes = slice->passes = take_course(run, index, until);
    while (passes == PASS_COUNT && slice->untouched_chunks > 0 && !bench_is_cancelled(run->request) &&
           (int64_t)(until - np_clock_now(clock)) > 0) {
        slice->first_chunk += slice->chunks;
        passes = take_course(run, index, until);
    }
    slice->is_complete = passes == PASS_COUNT && slice->untouched_chunks == 0;
    return bench_is_cancelled(run->request) ? -ECANCELED : 0;
}

static int choose_cpus(struct memory_run *run, char why[BENCH_WHY_BYTES])
{
    struct bench_request request = *run->request;
    struct placement place;
    if (request.node >= 0) {
        const int rc = placement_find(&request, &place, why);
        if (rc != 0)
            return rc;
        request.has_cpus = true;
        request.cpus = place.cpuset;
    }
    return cpu_list_open(&run->list, &request, true, why);
}

static uint64_t wanted_bytes(const struct bench_request *request, uint64_t available)
{
    const double share = request->share > 0 ? request->share : DEFAULT_SHARE;
    return request->bytes > 0 ? request->bytes : (uint64_t)(share * (double)available);
}

static int reserve(struct memory_run *run, char why[BENCH_WHY_BYTES])
{
    const struct bench_request *request = run->request;
    const uint64_t available = system_available_bytes(request->node), bytes = wanted_bytes(request, available);
    const size_t threads = run->list.count, each = bytes / CHUNK_BYTES / threads;
    if (bytes > available)
        return bench_why(why, -ENOTSUP, "%" PRIu64 " bytes do not fit into the %" PRIu64 " that are free", bytes,
                         available);
    if (each == 0)
        return bench_why(why, -ENOTSUP, "%" PRIu64 " bytes are too few: %zu threads need 2 MiB each", bytes, threads);
    run->chunks = each * threads;
    run->slices = calloc(threads, sizeof *run->slices);
    if (run->slices == NULL)
        return bench_why(why, -ENOMEM, "out of memory");
    for (size_t i = 0; i < threads; i++)
        run->slices[i] = (struct slice){.first_chunk = i * each, .untouched_chunks = each};
    int rc = np_arena_open(&run->arena, run->chunks * CHUNK_BYTES);
    if (rc == 0 && request->node >= 0)
        rc = np_arena_bind(&run->arena, (unsigned int)request->node);
    if (rc != 0)
        return bench_why(why, rc == -EPERM || rc == -ENOSYS || rc == -EINVAL ? -ENOTSUP : rc,
                         "cannot reserve memory: %s", strerror(-rc));
    run->is_locked = syscall(SYS_mlock2, run->arena.base, run->arena.bytes, LOCK_ON_FAULT) == 0;
    uint64_t cache_bytes = system_cache_bytes(&run->list.set);
    run->must_flush = cache_bytes == 0 || run->chunks * CHUNK_BYTES < PAST_CACHES * cache_bytes;
#if !defined(__x86_64__)
    run->must_flush = true; /* stores around the cache are no more than a hint there */
#endif
    return 0;
}

static void put_result(const struct memory_run *run, struct np_json *out)
{
    uint64_t tested = 0, checked = 0;
    size_t passes = PASS_COUNT;
    bool is_complete = true;
    for (size_t i = 0; i < run->list.count; i++) {
        const struct slice *slice = &run->slices[i];
        tested += slice->tested_chunks;
        checked += slice->checked_chunks;
        passes = slice->passes < passes ? slice->passes : passes;
        is_complete = is_complete && slice->is_complete;
    }
    np_json_integer(out, "value", words_wrong(&run->words));
    np_json_integer(out, "samples", checked);
    np_json_number(out, "seconds", run->seconds);
    np_json_bool(out, "is_contended", false);
    bench_put_cpus(out, &run->list.set);
    if (run->request->node >= 0)
        np_json_integer(out, "node", (uint64_t)run->request->node);
    else
        np_json_null(out, "node");
#if defined(__x86_64__)
    np_json_string(out, "isa", np_isa_name(NP_ISA_SSE2));
#else
    np_json_string(out, "isa", np_isa_name(NP_ISA_GENERIC));
#endif
    np_json_integer(out, "seed", run->words.seed);
    np_json_integer(out, "bytes", run->chunks * CHUNK_BYTES);
    np_json_integer(out, "bytes_tested", tested * CHUNK_BYTES);
    np_json_integer(out, "bytes_checked", checked * CHUNK_BYTES);
    np_json_integer(out, "passes", passes);
    np_json_integer(out, "passes_planned", PASS_COUNT);
    np_json_bool(out, "is_complete", is_complete);
    np_json_bool(out, "is_flushed", run->must_flush);
    np_json_bool(out, "is_locked", run->is_locked);
    words_put(&run->words, out);
}

static int test_memory(struct memory_run *run, char why[BENCH_WHY_BYTES])
{
    const struct np_clock *clock = &run->request->clock;
    const uint64_t start = np_clock_now(clock);
    const int rc = conditions_team_run(run->list.cpus, run->list.count, test_slice, run);
    run->seconds = np_clock_seconds(clock, start, np_clock_now(clock));
    return rc != 0 ? bench_why(why, rc, "%s", strerror(-rc)) : 0;
}

int memory_verify(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct memory_run run = {.request = request};
    int rc = choose_cpus(&run, why);
    rc = rc != 0 ? rc : reserve(&run, why);
    rc = rc != 0 ? rc : words_open(&run.words, request, run.arena.base, run.arena.bytes, why);
    rc = rc != 0 ? rc : test_memory(&run, why);
    if (rc == 0)
        put_result(&run, out);
    words_close(&run.words);
    np_arena_close(&run.arena);
    free(run.slices);
    cpu_list_close(&run.list);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "cpu.h"
#include "nodeproof/chain.h"
#include "nodeproof/quantile.h"
#include "nodeproof/window.h"

/* A core of the Xeon Scalable generations raises its clock within 50 us when wide vectors pause, by 6 %: the chain must
   be over before. It takes little of a slice, so that power and heat are those of the kernel. */
static const double CHAIN_S = 2e-6, KERNEL_S = 8e-6, BLOCK_S = 0.4e-3, CHAIN_WARMUP_S = 1e-3;

/* A clock of 25 MHz, as many ARM systems have, would tell two microseconds to a fiftieth: slices are then longer. */
enum { LEAST_TICKS = 2000, MOST_SLICES = 40, LOOKS = 1000 };

/* An interrupt may take this much of a block before the thread counts as having lost its CPU. */
static const double LEAST_ON_CPU = 0.95;

/* Slices that are this much shorter than planned were planned while something held the core up: they are so short, or
   what looking costs was found so large, that they tell nothing. It is planned anew, but not for ever. */
static const double LEAST_OF_PLAN = 0.7;

enum { MOST_PLANS = 4 };

/* Blocks may turn out shorter than planned: warm-up found their length, perhaps while the clock still rose.
   Seven minutes of them are enough in any case. */
enum { ROOM = 4, MOST_BLOCKS = 1 << 20 };

int cpu_work_open(struct cpu_work *work)
{
    const double size = ROOM * (work->most_s / BLOCK_S + 1);
    work->size = size < MOST_BLOCKS ? (size_t)size : MOST_BLOCKS;
    work->blocks = calloc(work->size, sizeof *work->blocks);
    return work->blocks != NULL ? 0 : -ENOMEM;
}

void cpu_work_close(struct cpu_work *work)
{
    free(work->blocks);
    work->blocks = NULL;
}

struct errand {
    const struct cpu_work *work;
    void *output;
};

static uint64_t run_chain(void *state, uint64_t units)
{
    (void)state;
    return np_chain_run(units);
}

static uint64_t run_kernel(void *state, uint64_t units)
{
    const struct errand *errand = state;
    errand->work->kernel->run(units, errand->output);
    return units;
}

/* The least of many: what a disturbance adds is no cost of looking. */
static uint64_t cost_of_looking(const struct np_clock *clock)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < LOOKS; i++) {
        const uint64_t begin = np_clock_now(clock), ticks = np_clock_now(clock) - begin;
        least = ticks < least ? ticks : least;
    }
    return least;
}

/* Let the clock rise, and find out how much work makes a slice. */
static void warm_up(struct cpu_work *work, struct errand *errand, uint64_t opened)
{
    const struct np_clock *clock = &work->request->clock;
    struct np_window window = {.clock = clock, .is_cancelled = work->request->is_cancelled};
    const double longer = fmax(1, LEAST_TICKS / (CHAIN_S * clock->hz));
    window.block_s = work->kernel != NULL ? longer * CHAIN_S : BLOCK_S;
    work->planned = np_clock_ticks(clock, window.block_s);
    window.warmup_s = work->kernel != NULL ? CHAIN_WARMUP_S : work->warmup_s;
    const uint64_t adds =
        np_window_warm_up(&window, work->kernel != NULL ? np_clock_now(clock) : opened, run_chain, errand);
    work->adds = (adds + NP_CHAIN_GROUP - 1) / NP_CHAIN_GROUP * NP_CHAIN_GROUP; /* as it is done */
    work->looking = cost_of_looking(clock);
    work->slices = 1;
    if (work->kernel == NULL)
        return;
    const double slices = BLOCK_S / (longer * (CHAIN_S + KERNEL_S));
    work->slices = slices < 1 ? 1 : slices < MOST_SLICES ? (size_t)slices : MOST_SLICES;
    window.block_s = longer * KERNEL_S;
    window.warmup_s = work->warmup_s;
    work->rounds = np_window_warm_up(&window, opened, run_kernel, errand);
}

static uint64_t between(const struct cpu_work *work, uint64_t begin, uint64_t end)
{
    return end > begin + work->looking ? end - begin - work->looking : 1;
}

static void run_block(const struct cpu_work *work, struct errand *errand, struct cpu_block *block)
{
    const struct np_clock *clock = &work->request->clock;
    double shares[MOST_SLICES];
    uint64_t now = np_clock_now(clock);
    *block = (struct cpu_block){.begin = now};
    for (size_t i = 0; i < work->slices; i++) {
        const uint64_t begin = now;
        (void)run_chain(errand, work->adds);
        const uint64_t middle = np_clock_now(clock), chain = between(work, begin, middle);
        now = middle;
        block->chain += chain;
        if (work->kernel == NULL)
            continue;
        (void)run_kernel(errand, work->rounds);
        now = np_clock_now(clock);
        block->kernel += between(work, middle, now);
        shares[i] = (double)chain / (double)between(work, middle, now);
    }
    block->end = now;
    if (work->kernel == NULL)
        return;
    np_sort(shares, work->slices);
    (void)np_quantile(shares, work->slices, 0.5, &block->chain_share);
}

static bool is_as_planned(const struct cpu_work *work, const struct cpu_block *block)
{
    return (double)block->chain >= LEAST_OF_PLAN * (double)work->slices * (double)work->planned;
}

static bool is_over(const struct cpu_work *work, size_t clean)
{
    const struct np_clock *clock = &work->request->clock;
    const double now_s = np_clock_seconds(clock, work->start, np_clock_now(clock));
    return work->count > 0 && now_s >= (clean < work->enough ? work->most_s : work->least_s);
}

int cpu_work_run(struct cpu_work *work, struct np_gate *gate)
{
    _Alignas(NP_FLOPS_ALIGNMENT) unsigned char output[NP_FLOPS_OUTPUT_BYTES];
    const struct np_clock *clock = &work->request->clock;
    struct errand errand = {.work = work, .output = output};
    uint64_t opened;
    const int rc = np_gate_meet(gate, clock, &opened);
    if (rc != 0)
        return rc;
    warm_up(work, &errand, opened);
    work->start = opened + np_clock_ticks(clock, work->warmup_s);
    work->count = 0;
    double cpu_s = cpu_thread_seconds();
    int plans = 1;
    for (size_t clean = 0; work->count < work->size && !is_over(work, clean) && !bench_is_cancelled(work->request);) {
        struct cpu_block *block = &work->blocks[work->count];
        run_block(work, &errand, block);
        if (!is_as_planned(work, block) && plans++ < MOST_PLANS) {
            warm_up(work, &errand, np_clock_now(clock));
            work->count = clean = 0;
            cpu_s = cpu_thread_seconds();
            continue;
        }
        const double cpu_before_s = cpu_s;
        cpu_s = cpu_thread_seconds();
        block->on_cpu_s = cpu_s - cpu_before_s;
        clean += cpu_block_is_clean(work, work->count++);
    }
    return bench_is_cancelled(work->request) ? -ECANCELED : 0;
}

double cpu_work_seconds(const struct cpu_work *work, uint64_t ticks)
{
    return np_clock_seconds(&work->request->clock, 0, ticks > 0 ? ticks : 1);
}

bool cpu_block_is_clean(const struct cpu_work *work, size_t i)
{
    const struct cpu_block *block = &work->blocks[i];
    return is_as_planned(work, block) &&
           block->on_cpu_s >= LEAST_ON_CPU * cpu_work_seconds(work, block->end - block->begin);
}

double cpu_block_clock_hz(const struct cpu_work *work, size_t i)
{
    return (double)work->slices * (double)work->adds / cpu_work_seconds(work, work->blocks[i].chain);
}

double cpu_block_flops(const struct cpu_work *work, size_t i)
{
    const double operations = (double)work->rounds * (double)work->kernel->operations;
    return (double)work->slices * operations / cpu_work_seconds(work, work->blocks[i].kernel);
}

void cpu_work_flops_per_clock(const struct cpu_work *work, struct np_samples *samples)
{
    const double operations = (double)work->rounds * (double)work->kernel->operations;
    for (size_t i = 0; i < work->count; i++)
        if (is_as_planned(work, &work->blocks[i]))
            np_samples_add(samples, operations / (double)work->adds * work->blocks[i].chain_share);
}

/* What shares a core, such as a busy SMT sibling, slows the kernel and hardly the chain: of the blocks, those in which
   nothing did are what the core can do. */
int cpu_flops_per_clock(const struct np_samples *samples, double *flops_per_clock)
{
    struct np_figures figures;
    *flops_per_clock = 0;
    if (samples->count == 0)
        return 0;
    const int rc = np_samples_figures(samples, NP_RATE, &figures);
    *flops_per_clock = rc == 0 ? figures.capability : 0;
    return rc;
}

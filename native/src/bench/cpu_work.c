/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "cpu.h"
#include "nodeproof/chain.h"
#include "nodeproof/window.h"

/* The chain takes little of a block, so that power and heat are those of the kernel, but so long that
   reading the clock before and after is nothing to it. */
static const double CHAIN_S = 0.08e-3, KERNEL_S = 0.32e-3, CHAIN_WARMUP_S = 1e-3;

/* An interrupt may take this much of a block before the thread counts as having lost its CPU. */
static const double LEAST_ON_CPU = 0.95;

/* Blocks may turn out shorter than planned: warm-up found their length, perhaps while the clock still rose.
   Seven minutes of them are enough in any case. */
enum { ROOM = 4, MOST_BLOCKS = 1 << 20 };

enum { GROUP = 16 };

int cpu_work_open(struct cpu_work *work)
{
    const double size = ROOM * (work->most_s / (CHAIN_S + KERNEL_S) + 1);
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

/* Let the clock rise, and find out how much work makes a block. */
static void warm_up(struct cpu_work *work, struct errand *errand, uint64_t opened)
{
    const struct np_clock *clock = &work->request->clock;
    struct np_window window = {.clock = clock, .is_cancelled = work->request->is_cancelled};
    window.block_s = work->kernel != NULL ? CHAIN_S : CHAIN_S + KERNEL_S;
    window.warmup_s = work->kernel != NULL ? CHAIN_WARMUP_S : work->warmup_s;
    const uint64_t adds =
        np_window_warm_up(&window, work->kernel != NULL ? np_clock_now(clock) : opened, run_chain, errand);
    work->adds = (adds + NP_CHAIN_GROUP - 1) / NP_CHAIN_GROUP * NP_CHAIN_GROUP; /* as it is done */
    if (work->kernel == NULL)
        return;
    window.block_s = KERNEL_S;
    window.warmup_s = work->warmup_s;
    work->rounds = np_window_warm_up(&window, opened, run_kernel, errand);
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
    for (size_t clean = 0; work->count < work->size && !is_over(work, clean) && !bench_is_cancelled(work->request);) {
        struct cpu_block *block = &work->blocks[work->count];
        block->begin = np_clock_now(clock);
        (void)np_chain_run(work->adds);
        block->end = block->middle = np_clock_now(clock);
        if (work->kernel != NULL) {
            work->kernel->run(work->rounds, output);
            block->end = np_clock_now(clock);
        }
        const double cpu_before_s = cpu_s;
        cpu_s = cpu_thread_seconds();
        block->on_cpu_s = cpu_s - cpu_before_s;
        clean += cpu_block_is_clean(work, work->count++);
    }
    return bench_is_cancelled(work->request) ? -ECANCELED : 0;
}

static double seconds(const struct cpu_work *work, uint64_t begin, uint64_t end)
{
    return np_clock_seconds(&work->request->clock, begin, end > begin ? end : begin + 1);
}

bool cpu_block_is_clean(const struct cpu_work *work, size_t i)
{
    const struct cpu_block *block = &work->blocks[i];
    return block->on_cpu_s >= LEAST_ON_CPU * seconds(work, block->begin, block->end);
}

double cpu_block_clock_hz(const struct cpu_work *work, size_t i)
{
    return (double)work->adds / seconds(work, work->blocks[i].begin, work->blocks[i].middle);
}

double cpu_block_flops(const struct cpu_work *work, size_t i)
{
    const double operations = (double)work->rounds * (double)work->kernel->operations;
    return operations / seconds(work, work->blocks[i].middle, work->blocks[i].end);
}

/* A disturbance makes a block slower, never faster: the best chain and the best kernel of some milliseconds, in which
   the clock hardly changes, are what the core does. Medians of pairs were 10 % off under a busy SMT sibling. */
void cpu_work_flops_per_clock(const struct cpu_work *work, struct np_samples *samples)
{
    for (size_t first = 0; first + GROUP <= work->count; first += GROUP) {
        double clock_hz = 0, flops = 0;
        for (size_t i = first; i < first + GROUP; i++) {
            clock_hz = fmax(clock_hz, cpu_block_clock_hz(work, i));
            flops = fmax(flops, cpu_block_flops(work, i));
        }
        np_samples_add(samples, flops / clock_hz);
    }
}

int cpu_flops_per_clock(const struct np_samples *samples, double *flops_per_clock)
{
    struct np_figures figures;
    *flops_per_clock = 0;
    if (samples->count == 0)
        return 0;
    const int rc = np_samples_figures(samples, NP_RATE, &figures);
    *flops_per_clock = rc == 0 ? figures.sustained : 0;
    return rc;
}

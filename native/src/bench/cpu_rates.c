/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "conditions.h"
#include "cpu.h"
#include "nodeproof/window.h"

static const double WINDOW_S = 0.1, FIRST_WARMUP_S = 0.02, WARMUP_S = 0.005, BIN_S = 1e-3;

enum { LEAST_BINS = 12, ENOUGH_SAMPLES = 96, FEWEST_SAMPLES = 8, MOST_WINDOWS = 10000, MOST_RATIOS = 1 << 18 };

/* Windows more, if a thread had no CPU time in any of them. */
enum { PATIENCE = 20 };

struct crew {
    const struct bench_request *request;
    const struct cpu_list *list;
    const struct np_flops_kernel *kernel;
    struct cpu_work *works;
    struct np_sheet *sheets;
    size_t bins;
};

/* Rates of many windows: bins in which nobody else had one of our CPUs, and all bins. */
struct tally {
    struct np_samples flops, clock_hz;
    struct np_samples any_flops, any_clock_hz;
    struct np_samples flops_per_clock;
};

static int tally_open(struct tally *tally, const struct crew *crew, size_t windows)
{
    const size_t size = windows * crew->bins, ratios = 4 * size * crew->list->count;
    int rc = np_samples_open(&tally->flops, size);
    rc = rc != 0 ? rc : np_samples_open(&tally->clock_hz, size);
    rc = rc != 0 ? rc : np_samples_open(&tally->any_flops, size);
    rc = rc != 0 ? rc : np_samples_open(&tally->any_clock_hz, size);
    return rc != 0 ? rc : np_samples_open(&tally->flops_per_clock, ratios < MOST_RATIOS ? ratios : MOST_RATIOS);
}

static void tally_close(struct tally *tally)
{
    np_samples_close(&tally->flops);
    np_samples_close(&tally->clock_hz);
    np_samples_close(&tally->any_flops);
    np_samples_close(&tally->any_clock_hz);
    np_samples_close(&tally->flops_per_clock);
}

static int work(void *state, size_t index, struct np_gate *gate)
{
    return cpu_work_run(&((struct crew *)state)->works[index], gate);
}

/* Operations, or cycles, in each bin. Had a thread its CPU throughout, then what it did in its own part of a block
   stands for the whole: the other part has the same rate. Otherwise only what was really done counts. */
static int fill_sheet(const struct crew *crew, const struct cpu_work *thread, bool is_clock, struct np_sheet *sheet)
{
    const struct np_clock *clock = &crew->request->clock;
    const int rc = np_sheet_open(sheet, BIN_S, crew->bins);
    for (size_t i = 0; i < thread->count && rc == 0; i++) {
        const struct cpu_block *block = &thread->blocks[i];
        const uint64_t begin = i > 0 ? block[-1].end : block->begin; /* reading the CPU time takes a little */
        const double begin_s = np_clock_seconds(clock, thread->start, begin);
        const double end_s = np_clock_seconds(clock, thread->start, block->end);
        const double rate = is_clock ? cpu_block_clock_hz(thread, i) : cpu_block_flops(thread, i);
        const double own_s = cpu_work_seconds(thread, is_clock ? block->chain : block->kernel);
        const double counts_s = cpu_block_is_clean(thread, i) ? end_s - begin_s : own_s;
        np_sheet_add(sheet, begin_s, end_s, rate * counts_s, block->on_cpu_s);
    }
    return rc;
}

static void add_rates(const struct crew *crew, bool any, double scale, struct np_samples *samples)
{
    double *rates = samples->values + samples->count;
    const size_t count = np_sheets_rates(crew->sheets, crew->list->count, any, rates);
    for (size_t i = 0; i < count; i++)
        if (rates[i] > 0) /* else a thread had not come yet */
            samples->values[samples->count++] = rates[i] * scale;
}

static int add_window(struct crew *crew, bool is_clock, struct np_samples *clean, struct np_samples *all)
{
    const double scale = is_clock ? 1 / (double)crew->list->count : 1;
    int rc = 0;
    for (size_t i = 0; i < crew->list->count && rc == 0; i++)
        rc = fill_sheet(crew, &crew->works[i], is_clock, &crew->sheets[i]);
    if (rc == 0) {
        add_rates(crew, false, scale, clean);
        add_rates(crew, true, scale, all);
    }
    for (size_t i = 0; i < crew->list->count; i++)
        np_sheet_close(&crew->sheets[i]);
    return rc;
}

/* The CPU whose clock is lowest, by its median. */
static int find_slowest(const struct crew *crew, struct cpu_rates *rates)
{
    int rc = 0;
    rates->slowest_hz = 0;
    for (size_t i = 0; i < crew->list->count && rc == 0; i++) {
        struct np_samples samples;
        struct np_figures figures;
        rc = np_samples_open(&samples, crew->works[i].count);
        for (size_t k = 0; k < crew->works[i].count && rc == 0; k++)
            np_samples_add(&samples, cpu_block_clock_hz(&crew->works[i], k));
        if (rc == 0 && np_samples_figures(&samples, NP_RATE, &figures) == 0 &&
            (rates->slowest_hz == 0 || figures.sustained < rates->slowest_hz)) {
            rates->slowest_hz = figures.sustained;
            rates->slowest_cpu = crew->list->cpus[i];
        }
        np_samples_close(&samples);
    }
    return rc;
}

/* One window, added to the tally. */
static int measure_once(struct crew *crew, double warmup_s, struct tally *tally, struct cpu_rates *rates)
{
    const double window_s = (double)crew->bins * BIN_S;
    int rc = 0;
    for (size_t i = 0; i < crew->list->count; i++)
        crew->works[i] = (struct cpu_work){.request = crew->request,
                                           .kernel = crew->kernel,
                                           .warmup_s = warmup_s,
                                           .least_s = window_s,
                                           .most_s = window_s};
    for (size_t i = 0; i < crew->list->count && rc == 0; i++)
        rc = cpu_work_open(&crew->works[i]);
    rc = rc != 0 ? rc : conditions_team_run(crew->list->cpus, crew->list->count, work, crew);
    rc = rc != 0 ? rc : add_window(crew, true, &tally->clock_hz, &tally->any_clock_hz);
    rc = rc != 0 || crew->kernel == NULL ? rc : add_window(crew, false, &tally->flops, &tally->any_flops);
    rc = rc != 0 ? rc : find_slowest(crew, rates);
    for (size_t i = 0; i < crew->list->count; i++) {
        if (rc == 0 && crew->kernel != NULL)
            cpu_work_flops_per_clock(&crew->works[i], &tally->flops_per_clock);
        cpu_work_close(&crew->works[i]);
    }
    rates->seconds += window_s;
    return rc;
}

/* Returns 0, -ENOMEM, or -EINVAL if there is nothing yet: a thread had no CPU time at all. */
static int find_figures(const struct tally *tally, bool has_kernel, struct cpu_rates *rates)
{
    rates->is_contended = tally->clock_hz.count < FEWEST_SAMPLES;
    const bool any = rates->is_contended; /* then what can be had at all, marked as such */
    int rc = np_samples_figures(any ? &tally->any_clock_hz : &tally->clock_hz, NP_RATE, &rates->clock_hz);
    if (rc != 0 || !has_kernel)
        return rc;
    rc = np_samples_figures(any ? &tally->any_flops : &tally->flops, NP_RATE, &rates->flops);
    return rc != 0 ? rc : cpu_flops_per_clock(&tally->flops_per_clock, &rates->flops_per_clock);
}

static int measure_all(struct crew *crew, size_t windows, struct cpu_rates *rates)
{
    struct tally tally = {0};
    const struct np_figures *figures = crew->kernel != NULL ? &rates->flops : &rates->clock_hz;
    bool is_enough = false;
    int found = -EINVAL;
    int rc = tally_open(&tally, crew, windows + PATIENCE);
    for (size_t i = 0; i < windows + (found != 0 ? PATIENCE : 0) && rc == 0 && !is_enough; i++) {
        rc = measure_once(crew, i == 0 ? FIRST_WARMUP_S : WARMUP_S, &tally, rates);
        if (rc == 0)
            found = find_figures(&tally, crew->kernel != NULL, rates);
        is_enough = rc == 0 && found == 0 && !rates->is_contended && figures->is_converged &&
                    figures->samples >= ENOUGH_SAMPLES;
    }
    tally_close(&tally);
    return rc != 0 ? rc : found;
}

int cpu_measure(const struct bench_request *request, const struct cpu_list *list, const struct np_flops_kernel *kernel,
                double most_s, struct cpu_rates *rates)
{
    const double most = most_s / WINDOW_S;
    const size_t windows = most < 1 ? 1 : most < MOST_WINDOWS ? (size_t)most : MOST_WINDOWS;
    const size_t bins = (size_t)(most_s / (double)windows / BIN_S);
    struct crew crew = {
        .request = request,
        .list = list,
        .kernel = kernel,
        .works = calloc(list->count, sizeof *crew.works),
        .sheets = calloc(list->count, sizeof *crew.sheets),
        .bins = bins > LEAST_BINS ? bins : LEAST_BINS,
    };
    int rc = -ENOMEM;
    *rates = (struct cpu_rates){0};
    if (crew.works != NULL && crew.sheets != NULL)
        rc = measure_all(&crew, windows, rates);
    free(crew.works);
    free(crew.sheets);
    return rc;
}

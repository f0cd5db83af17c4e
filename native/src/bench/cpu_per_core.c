/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same short work on every core alone, in fp64: the slow core by its number.
 *
 * Packages share neither power nor caches, so one core of each works at a time. What is compared is what
 * a core can do; a core whose time others take, a limit on CPU time for instance, has a low share of it instead.
 */
#include <errno.h>
#include <stdlib.h>

#include "conditions.h"
#include "cpu.h"

static const double WARMUP_S = 0.005, LEAST_S = 0.02, PATIENCE = 4;

enum { ENOUGH_BLOCKS = 24, FEWEST_BLOCKS = 8 };

struct core {
    unsigned int cpu;
    unsigned int package;
    bool is_done;
    struct np_figures figures;
    double clock_hz;
    double flops_per_clock;
    double on_cpu_share;
    bool is_contended;
};

struct scan {
    const struct bench_request *request;
    struct np_flops_kernel kernel;
    struct core *cores;
    size_t count;
    size_t rounds; /**< cores of the package that has most */
    double seconds;
};

/* Cores that work at the same time, one of each package. */
struct shift {
    struct core **cores;
    struct cpu_work *works;
    unsigned int *cpus;
    size_t count;
};

static int scan_open(struct scan *scan, const struct cpu_list *list)
{
    scan->count = list->count;
    scan->cores = calloc(list->count, sizeof *scan->cores);
    if (scan->cores == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < list->count; i++) {
        size_t same = 1;
        scan->cores[i] = (struct core){.cpu = list->cpus[i], .package = cpu_package(list->cpus[i])};
        for (size_t k = 0; k < i; k++)
            same += scan->cores[k].package == scan->cores[i].package;
        scan->rounds = same > scan->rounds ? same : scan->rounds;
    }
    return 0;
}

static void choose_shift(struct scan *scan, struct shift *shift)
{
    const double share_s = scan->request->seconds / (double)scan->rounds - WARMUP_S;
    const double least_s = share_s > LEAST_S ? share_s : LEAST_S;
    shift->count = 0;
    for (size_t i = 0; i < scan->count; i++) {
        bool is_taken = scan->cores[i].is_done;
        for (size_t k = 0; k < shift->count && !is_taken; k++)
            is_taken = shift->cores[k]->package == scan->cores[i].package;
        if (is_taken)
            continue;
        scan->cores[i].is_done = true;
        shift->works[shift->count] = (struct cpu_work){.request = scan->request,
                                                       .kernel = &scan->kernel,
                                                       .warmup_s = WARMUP_S,
                                                       .least_s = least_s,
                                                       .most_s = PATIENCE * least_s,
                                                       .enough = ENOUGH_BLOCKS};
        shift->cpus[shift->count] = scan->cores[i].cpu;
        shift->cores[shift->count++] = &scan->cores[i];
    }
}

static int work(void *state, size_t index, struct np_gate *gate)
{
    return cpu_work_run(&((struct shift *)state)->works[index], gate);
}

static int median(const struct cpu_work *done, double (*rate)(const struct cpu_work *, size_t), bool any,
                  struct np_figures *figures)
{
    struct np_samples samples;
    int rc = np_samples_open(&samples, done->count);
    for (size_t i = 0; i < done->count && rc == 0; i++)
        if (any || cpu_block_is_clean(done, i))
            np_samples_add(&samples, rate(done, i));
    rc = rc != 0 ? rc : np_samples_figures(&samples, NP_RATE, figures);
    np_samples_close(&samples);
    return rc;
}

static int judge(const struct cpu_work *done, struct core *core)
{
    struct np_samples ratios = {0};
    struct np_figures clock_hz;
    double on_cpu_s = 0, all_s = 0;
    size_t clean = 0;
    for (size_t i = 0; i < done->count; i++) {
        clean += cpu_block_is_clean(done, i);
        on_cpu_s += done->blocks[i].on_cpu_s;
    }
    if (done->count > 0)
        all_s = np_clock_seconds(&done->request->clock, done->blocks[0].begin, done->blocks[done->count - 1].end);
    core->on_cpu_share = all_s > 0 && on_cpu_s < all_s ? on_cpu_s / all_s : 1;
    core->is_contended = clean < FEWEST_BLOCKS;
    int rc = median(done, cpu_block_flops, core->is_contended, &core->figures);
    rc = rc != 0 ? rc : median(done, cpu_block_clock_hz, core->is_contended, &clock_hz);
    rc = rc != 0 ? rc : np_samples_open(&ratios, done->count);
    if (rc == 0) {
        core->clock_hz = clock_hz.sustained;
        cpu_work_flops_per_clock(done, &ratios);
        rc = cpu_flops_per_clock(&ratios, &core->flops_per_clock);
    }
    np_samples_close(&ratios);
    return rc;
}

static int run_shift(struct scan *scan, struct shift *shift)
{
    int rc = 0;
    for (size_t i = 0; i < shift->count && rc == 0; i++)
        rc = cpu_work_open(&shift->works[i]);
    rc = rc != 0 ? rc : conditions_team_run(shift->cpus, shift->count, work, shift);
    for (size_t i = 0; i < shift->count; i++) {
        rc = rc != 0 ? rc : judge(&shift->works[i], shift->cores[i]);
        cpu_work_close(&shift->works[i]);
    }
    scan->seconds += shift->count > 0 ? shift->works[0].least_s : 0;
    return rc;
}

static int run_all(struct scan *scan)
{
    struct shift shift = {.cores = calloc(scan->count, sizeof *shift.cores),
                          .works = calloc(scan->count, sizeof *shift.works),
                          .cpus = calloc(scan->count, sizeof *shift.cpus)};
    int rc = shift.cores != NULL && shift.works != NULL && shift.cpus != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; i < scan->rounds && rc == 0; i++) {
        choose_shift(scan, &shift);
        rc = run_shift(scan, &shift);
    }
    free(shift.cores);
    free(shift.works);
    free(shift.cpus);
    return rc;
}

/* A core that others had is the slowest only if they had all of them. */
static const struct core *find_slowest(const struct scan *scan)
{
    const struct core *slowest = &scan->cores[0];
    for (size_t i = 1; i < scan->count; i++) {
        const struct core *core = &scan->cores[i];
        const bool is_slower = core->figures.capability < slowest->figures.capability;
        if (core->is_contended == slowest->is_contended ? is_slower : slowest->is_contended)
            slowest = core;
    }
    return slowest;
}

static void put_all(const struct scan *scan, struct np_json *out)
{
    const struct core *slowest = find_slowest(scan);
    bool is_contended = false;
    np_json_open_array(out, "points");
    for (size_t i = 0; i < scan->count; i++) {
        const struct core *core = &scan->cores[i];
        np_json_open_object(out, NULL);
        np_json_integer(out, "cpu", core->cpu);
        np_json_integer(out, "package", core->package);
        bench_put_figures(out, &core->figures, 1);
        np_json_number(out, "clock_hz", core->clock_hz);
        cpu_put_flops_per_clock(out, core->flops_per_clock);
        np_json_number(out, "on_cpu_share", core->on_cpu_share);
        np_json_bool(out, "is_contended", core->is_contended);
        np_json_close_object(out);
        is_contended = is_contended || core->is_contended;
    }
    np_json_close_array(out);
    bench_put_figures(out, &slowest->figures, 1);
    np_json_integer(out, "slowest_cpu", slowest->cpu);
    np_json_number(out, "seconds", scan->seconds);
    np_json_bool(out, "is_contended", is_contended);
}

int cpu_per_core(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct cpu_list list;
    struct scan scan = {.request = request};
    enum np_isa isa;
    int rc = cpu_list_open(&list, request, true, why);
    rc = rc != 0 ? rc : cpu_choose_isa(request, &isa, why);
    if (rc != 0)
        goto out;
    rc = np_flops_find(NP_FP64, isa, &scan.kernel);
    rc = rc != 0 ? rc : scan_open(&scan, &list);
    rc = rc != 0 ? rc : run_all(&scan);
    if (rc != 0) {
        rc = cpu_why(why, rc);
        goto out;
    }
    put_all(&scan, out);
    bench_put_cpus(out, &list.set);
    np_json_string(out, "isa", np_isa_name(isa));
out:
    free(scan.cores);
    cpu_list_close(&list);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The share of time that the operating system, firmware and others take from a program that wants all CPUs.
 *
 * A thread on every CPU, SMT siblings included, does nothing but read the clock: like a job that fills the
 * node it leaves no CPU to the daemons. Never at a real-time priority: the kernel would stop the
 * threads for 50 ms of each second (sched_rt_runtime_us), and that would look like the hardware's doing.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "conditions.h"
#include "cpu.h"
#include "nodeproof/detour.h"
#include "nodeproof/quantile.h"

static const double LEAST_S = 1e-6, WARMUP_S = 5e-3, SPAN_S = 10e-3, CONTENDED_SHARE = 0.9;

/* Figures are made of positive samples only. */
static const double NOTHING = 1e-9;

enum { MOST_SPANS = 1000 };

struct listener {
    unsigned int cpu;
    struct np_detours detours;
    struct np_samples left; /**< share of the time that was left to the thread, in each span */
    uint64_t start;         /**< ticks of the clock, the same for all CPUs */
    double seconds;
    double on_cpu_share;
    uint64_t switches;
    double lost;              /**< share of the time */
    struct np_figures spread; /**< of `left` */
};

struct chorus {
    const struct bench_request *request;
    struct listener *listeners;
    size_t count;
    uint64_t span;
};

static uint64_t involuntary_switches(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) == 0 ? (uint64_t)usage.ru_nivcsw : 0;
}

/* Listen in spans of equal length. One that a single detour swallowed is part of the next. */
static void listen(const struct chorus *chorus, struct listener *listener)
{
    const struct np_clock *clock = &chorus->request->clock;
    struct np_detours *detours = &listener->detours;
    const uint64_t switches = involuntary_switches();
    const double cpu_s = cpu_thread_seconds();
    const uint64_t begin = np_clock_now(clock);
    uint64_t last = begin;
    for (size_t i = 1; i <= listener->left.size && !bench_is_cancelled(chorus->request); i++) {
        const uint64_t from = last, lost = detours->lost;
        const bool is_late = i == listener->left.size && listener->left.count == 0; /* had no CPU until now */
        const uint64_t until = is_late ? from + chorus->span : listener->start + i * chorus->span;
        last = np_detours_spin(detours, clock, chorus->request->is_cancelled, from, until);
        if (last > from)
            np_samples_add(&listener->left, fmax(NOTHING, 1 - (double)(detours->lost - lost) / (double)(last - from)));
    }
    listener->seconds = np_clock_seconds(clock, begin, last);
    const double share = (cpu_thread_seconds() - cpu_s) / listener->seconds;
    listener->on_cpu_share = share < 1 ? share : 1;
    listener->switches = involuntary_switches() - switches;
    listener->lost = (double)detours->lost / (double)(last - begin);
}

static int work(void *state, size_t index, struct np_gate *gate)
{
    const struct chorus *chorus = state;
    struct listener *listener = &chorus->listeners[index];
    const struct np_clock *clock = &chorus->request->clock;
    struct np_detours warmup;
    uint64_t opened;
    const int rc = np_gate_meet(gate, clock, &opened);
    if (rc != 0)
        return rc;
    listener->start = opened + np_clock_ticks(clock, WARMUP_S);
    np_detours_init(&listener->detours, clock, LEAST_S);
    warmup = listener->detours;
    np_detours_spin(&warmup, clock, chorus->request->is_cancelled, np_clock_now(clock), listener->start);
    listen(chorus, listener);
    if (bench_is_cancelled(chorus->request))
        return -ECANCELED;
    return np_samples_figures(&listener->left, NP_RATE, &listener->spread);
}

static int chorus_open(struct chorus *chorus, const struct cpu_list *list)
{
    const double seconds = chorus->request->seconds;
    size_t spans = seconds < MOST_SPANS * SPAN_S ? (size_t)(seconds / SPAN_S) : MOST_SPANS;
    spans = spans > 0 ? spans : 1;
    chorus->span = np_clock_ticks(&chorus->request->clock, seconds / (double)spans);
    chorus->count = list->count;
    chorus->listeners = calloc(list->count, sizeof *chorus->listeners);
    int rc = chorus->listeners != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; i < list->count && rc == 0; i++) {
        chorus->listeners[i].cpu = list->cpus[i];
        rc = np_samples_open(&chorus->listeners[i].left, spans);
    }
    return rc;
}

static void chorus_close(struct chorus *chorus)
{
    for (size_t i = 0; i < chorus->count && chorus->listeners != NULL; i++)
        np_samples_close(&chorus->listeners[i].left);
    free(chorus->listeners);
}

static void put_point(const struct chorus *chorus, const struct listener *listener, struct np_json *out)
{
    const struct np_clock *clock = &chorus->request->clock;
    const struct np_detours *detours = &listener->detours;
    np_json_open_object(out, NULL);
    np_json_integer(out, "cpu", listener->cpu);
    np_json_number(out, "value", listener->lost);
    np_json_number(out, "sustained", 1 - listener->spread.sustained);
    np_json_number(out, "stability", listener->spread.stability);
    np_json_integer(out, "samples", listener->spread.samples);
    np_json_number(out, "detours_per_s", (double)detours->count / listener->seconds);
    np_json_number(out, "threshold_s", (double)detours->threshold / clock->hz);
    np_json_number(out, "on_cpu_share", listener->on_cpu_share);
    np_json_integer(out, "involuntary_switches", listener->switches);
    np_json_number(out, "longest_s", detours->longest_count > 0 ? (double)detours->longest[0].ticks / clock->hz : 0);
    np_json_open_array(out, "longest");
    for (size_t i = 0; i < detours->longest_count; i++) {
        np_json_open_object(out, NULL);
        np_json_number(out, "at_s", np_clock_seconds(clock, listener->start, detours->longest[i].at));
        np_json_number(out, "seconds", (double)detours->longest[i].ticks / clock->hz);
        np_json_close_object(out);
    }
    np_json_close_array(out);
    np_json_close_object(out);
}

static double median(double *values, size_t count)
{
    double value = 0;
    np_sort(values, count);
    (void)np_quantile(values, count, 0.5, &value);
    return value;
}

/* The line is the median CPU: one that is worse than all others is named besides. */
static int put_summary(const struct chorus *chorus, struct np_json *out)
{
    const struct listener *worst = &chorus->listeners[0];
    double *lost = calloc(3 * chorus->count, sizeof *lost);
    double *sustained = lost + chorus->count, *stability = sustained + chorus->count, seconds = 0;
    size_t samples = 0;
    bool is_contended = false;
    if (lost == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < chorus->count; i++) {
        const struct listener *listener = &chorus->listeners[i];
        lost[i] = listener->lost;
        sustained[i] = 1 - listener->spread.sustained;
        stability[i] = listener->spread.stability;
        samples += listener->spread.samples;
        worst = listener->lost > worst->lost ? listener : worst;
        seconds = listener->seconds > seconds ? listener->seconds : seconds;
        is_contended = is_contended || listener->on_cpu_share < CONTENDED_SHARE;
    }
    np_json_number(out, "value", median(lost, chorus->count));
    np_json_number(out, "sustained", median(sustained, chorus->count));
    np_json_number(out, "stability", median(stability, chorus->count));
    np_json_null(out, "interval");
    np_json_bool(out, "is_converged", false);
    np_json_integer(out, "samples", samples);
    np_json_integer(out, "worst_cpu", worst->cpu);
    np_json_number(out, "worst", worst->lost);
    np_json_number(out, "seconds", seconds);
    np_json_bool(out, "is_contended", is_contended);
    free(lost);
    return 0;
}

int cpu_jitter(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct cpu_list list;
    struct chorus chorus = {.request = request};
    int rc = cpu_list_open(&list, request, false, why);
    if (rc != 0)
        goto out;
    rc = chorus_open(&chorus, &list);
    rc = rc != 0 ? rc : conditions_team_run(list.cpus, list.count, work, &chorus);
    if (rc == 0) {
        np_json_open_array(out, "points");
        for (size_t i = 0; i < chorus.count; i++)
            put_point(&chorus, &chorus.listeners[i], out);
        np_json_close_array(out);
        rc = put_summary(&chorus, out);
    }
    if (rc != 0) {
        rc = cpu_why(why, rc);
        goto out;
    }
    bench_put_cpus(out, &list.set);
    np_json_string(out, "isa", np_isa_name(NP_ISA_GENERIC));
out:
    chorus_close(&chorus);
    cpu_list_close(&list);
    return rc;
}

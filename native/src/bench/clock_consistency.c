/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the clock is the same on all CPUs, and whether it keeps step with the kernel's.
 *
 * A CPU asks another for its time: the answer was read after the question and before it came back. Thousands of
 * such rounds leave a narrow range in which the difference of the two clocks must be. An answer from outside
 * its own round is a time warp: a program that moves between the two CPUs would see time go back.
 */
#include <errno.h>
#include <stdlib.h>

#include "conditions.h"
#include "cpu.h"
#include "nodeproof/quantile.h"

enum { SPINS_PER_LOOK = 1 << 14, ENOUGH_ROUNDS = 20000, MOMENT_TRIES = 8 };

static const uint64_t OVER = UINT64_MAX;

static const double LEAST_S = 2e-3;

/* Wait so long for the first answers of all CPUs together, if their share of the time was too short. */
static const double PATIENCE_S = 2;

struct exchange {
    const struct bench_request *request;
    double most_s;
    double patience_s; /**< and so long for the first answer */
    int64_t low, high; /**< ticks that the other's clock is ahead: at least and at most */
    uint64_t rounds;
    uint64_t warps;
    _Alignas(4096) _Atomic uint64_t question; /**< number of the round */
    _Alignas(4096) _Atomic uint64_t answer;   /**< the same, when the time is there */
    _Atomic uint64_t time;                    /**< on the line of the answer: they come together */
};

/* What is known of one CPU, compared with the first. */
struct comparison {
    unsigned int cpu;
    double offset_s;
    double uncertainty_s;
    double beyond_s; /**< of the offset, what cannot be uncertainty */
    uint64_t rounds;
    uint64_t warps;
};

struct moment {
    uint64_t ticks;
    uint64_t raw_ns;
};

struct survey {
    const struct bench_request *request;
    struct comparison *others;
    size_t count;
    double patience_s;
    bool is_contended; /**< some CPU never answered */
};

static void answer(struct exchange *exchange)
{
    const struct np_clock *clock = &exchange->request->clock;
    uint64_t last = 0;
    for (;;) {
        const uint64_t question = atomic_load_explicit(&exchange->question, memory_order_acquire);
        if (question == OVER)
            return;
        if (question == last)
            continue;
        atomic_store_explicit(&exchange->time, np_clock_now(clock), memory_order_relaxed);
        atomic_store_explicit(&exchange->answer, question, memory_order_release);
        last = question;
    }
}

static void note_round(struct exchange *exchange, uint64_t asked, uint64_t time, uint64_t came)
{
    const int64_t low = (int64_t)(time - came), high = (int64_t)(time - asked);
    exchange->warps += low > 0 || high < 0;
    exchange->low = exchange->rounds == 0 || low > exchange->low ? low : exchange->low;
    exchange->high = exchange->rounds == 0 || high < exchange->high ? high : exchange->high;
    exchange->rounds++;
}

/* Returns false when the time is up: the other thread may have no CPU. */
static bool await(const struct exchange *exchange, uint64_t round, uint64_t until)
{
    const struct np_clock *clock = &exchange->request->clock;
    for (uint64_t spins = 1; atomic_load_explicit(&exchange->answer, memory_order_acquire) != round; spins++)
        if (spins % SPINS_PER_LOOK == 0 &&
            ((int64_t)(until - np_clock_now(clock)) < 0 || bench_is_cancelled(exchange->request)))
            return false;
    return true;
}

static void ask(struct exchange *exchange)
{
    const struct np_clock *clock = &exchange->request->clock;
    const uint64_t begin = np_clock_now(clock), until = begin + np_clock_ticks(clock, exchange->most_s);
    const uint64_t patient = until + np_clock_ticks(clock, exchange->patience_s);
    bool is_alive = true;
    for (uint64_t round = 1; is_alive && round <= ENOUGH_ROUNDS; round++) {
        const uint64_t asked = np_clock_now(clock);
        atomic_store_explicit(&exchange->question, round, memory_order_release);
        is_alive = await(exchange, round, exchange->rounds > 0 ? until : patient);
        const uint64_t came = np_clock_now(clock);
        if (exchange->rounds == 0 && (int64_t)(came - until) > 0)
            exchange->patience_s -= np_clock_seconds(clock, until, came);
        if (is_alive)
            note_round(exchange, asked, atomic_load_explicit(&exchange->time, memory_order_relaxed), came);
        is_alive = is_alive && (int64_t)(until - came) > 0 && !bench_is_cancelled(exchange->request);
    }
    atomic_store_explicit(&exchange->question, OVER, memory_order_release);
}

static int talk(void *state, size_t index, struct np_gate *gate)
{
    struct exchange *exchange = state;
    uint64_t opened;
    const int rc = np_gate_meet(gate, &exchange->request->clock, &opened); /* who answers waits without limit */
    if (rc != 0)
        return rc;
    if (index == 0)
        ask(exchange);
    else
        answer(exchange);
    return 0;
}

static int compare(struct survey *survey, unsigned int first, unsigned int cpu, double most_s)
{
    const double hz = survey->request->clock.hz;
    const unsigned int cpus[2] = {first, cpu};
    struct exchange exchange = {.request = survey->request, .most_s = most_s, .patience_s = survey->patience_s};
    const int rc = conditions_team_run(cpus, 2, talk, &exchange);
    if (rc != 0)
        return rc;
    if (bench_is_cancelled(survey->request))
        return -ECANCELED;
    survey->patience_s = exchange.patience_s > 0 ? exchange.patience_s : 0;
    survey->is_contended = survey->is_contended || exchange.rounds == 0;
    if (exchange.rounds == 0)
        return 0;
    const double low_s = (double)exchange.low / hz, high_s = (double)exchange.high / hz;
    struct comparison *other = &survey->others[survey->count++];
    *other = (struct comparison){.cpu = cpu, .rounds = exchange.rounds, .warps = exchange.warps};
    other->offset_s = (low_s + high_s) / 2;
    /* Clocks of different rates leave no range at all: low is above high. */
    other->uncertainty_s = (high_s > low_s ? high_s - low_s : low_s - high_s) / 2;
    const double least_s = low_s > -high_s ? low_s : -high_s; /* how far the range is from 0 */
    other->beyond_s = least_s > 0 ? least_s : 0;
    return 0;
}

static void put_points(const struct survey *survey, struct np_json *out)
{
    np_json_open_array(out, "points");
    for (size_t i = 0; i < survey->count; i++) {
        const struct comparison *other = &survey->others[i];
        np_json_open_object(out, NULL);
        np_json_integer(out, "cpu", other->cpu);
        np_json_number(out, "value", other->beyond_s);
        np_json_number(out, "offset_s", other->offset_s);
        np_json_number(out, "uncertainty_s", other->uncertainty_s);
        np_json_integer(out, "warps", other->warps);
        np_json_integer(out, "samples", other->rounds);
        np_json_close_object(out);
    }
    np_json_close_array(out);
}

static int put_summary(const struct survey *survey, struct np_json *out)
{
    double *beyond_s = calloc(2 * survey->count, sizeof *beyond_s);
    double *uncertainty_s = beyond_s + survey->count, median_s, p10_s, p90_s;
    uint64_t rounds = 0, warps = 0;
    if (beyond_s == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < survey->count; i++) {
        beyond_s[i] = survey->others[i].beyond_s;
        uncertainty_s[i] = survey->others[i].uncertainty_s;
        rounds += survey->others[i].rounds;
        warps += survey->others[i].warps;
    }
    np_sort(beyond_s, survey->count);
    np_sort(uncertainty_s, survey->count);
    (void)np_quantile(beyond_s, survey->count, 0.5, &median_s);
    (void)np_quantile(uncertainty_s, survey->count, 0.1, &p10_s);
    (void)np_quantile(uncertainty_s, survey->count, 0.9, &p90_s);
    np_json_number(out, "value", beyond_s[survey->count - 1]);
    np_json_number(out, "sustained", median_s);
    np_json_number(out, "stability", p90_s > 0 ? p10_s / p90_s : 1);
    np_json_null(out, "interval");
    np_json_bool(out, "is_converged", false);
    np_json_integer(out, "samples", rounds);
    np_json_integer(out, "warps", warps);
    np_json_number(out, "uncertainty_s", uncertainty_s[survey->count - 1]);
    free(beyond_s);
    return 0;
}

/* Both clocks at one moment: of several tries the one that took least, for an interrupt may come between. */
static struct moment both_clocks(const struct np_clock *clock)
{
    struct moment best = {0, 0};
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < MOMENT_TRIES; i++) {
        const uint64_t before = np_clock_now(clock);
        const uint64_t raw_ns = np_clock_raw_ns();
        const uint64_t took = np_clock_now(clock) - before;
        if (took >= least)
            continue;
        least = took;
        best = (struct moment){.ticks = before + took / 2, .raw_ns = raw_ns};
    }
    return best;
}

/* How fast the counter runs by the kernel's clock, and how far that is from what was found, or told, before. */
static void put_drift(const struct np_clock *clock, struct moment begin, struct moment end, struct np_json *out)
{
    const double hz = (double)(end.ticks - begin.ticks) * 1e9 / (double)(end.raw_ns - begin.raw_ns);
    np_json_number(out, "seconds", (double)(end.raw_ns - begin.raw_ns) * 1e-9);
    if (clock->is_counter) {
        np_json_number(out, "counter_hz", hz);
        np_json_number(out, "drift", hz / clock->hz - 1);
    } else {
        np_json_null(out, "counter_hz");
        np_json_null(out, "drift");
    }
}

static int measure(struct survey *survey, const struct cpu_list *list)
{
    const double share_s = survey->request->seconds / (double)(list->count - 1);
    int rc = 0;
    survey->others = calloc(list->count, sizeof *survey->others);
    if (survey->others == NULL)
        return -ENOMEM;
    for (size_t i = 1; i < list->count && rc == 0; i++)
        rc = compare(survey, list->cpus[0], list->cpus[i], share_s > LEAST_S ? share_s : LEAST_S);
    return rc == 0 && survey->count == 0 ? -ETIMEDOUT : rc;
}

int clock_consistency(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct cpu_list list;
    struct survey survey = {.request = request, .patience_s = PATIENCE_S};
    int rc = cpu_list_open(&list, request, false, why);
    if (rc != 0)
        goto out;
    if (list.count < 2) {
        rc = bench_why(why, -ENOTSUP, "it takes two CPUs, and there is one");
        goto out;
    }
    const struct moment begin = both_clocks(&request->clock);
    rc = measure(&survey, &list);
    const struct moment end = both_clocks(&request->clock);
    if (rc == 0) {
        put_points(&survey, out);
        rc = put_summary(&survey, out);
    }
    if (rc != 0) {
        rc = cpu_why(why, rc);
        goto out;
    }
    put_drift(&request->clock, begin, end, out);
    np_json_integer(out, "reference_cpu", list.cpus[0]);
    np_json_bool(out, "is_contended", survey.is_contended);
    bench_put_cpus(out, &list.set);
    np_json_string(out, "isa", np_isa_name(NP_ISA_GENERIC));
out:
    free(survey.others);
    cpu_list_close(&list);
    return rc;
}

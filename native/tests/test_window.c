/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>

#include "nodeproof/cpuset.h"
#include "nodeproof/window.h"
#include "test.h"

static bool is_near(double value, double expected)
{
    return fabs(value - expected) <= 1e-9 * fabs(expected) + 1e-12;
}

static void work_is_spread_over_bins(void)
{
    struct np_sheet sheet;
    CHECK(np_sheet_open(&sheet, 1, 4) == 0);
    np_sheet_add(&sheet, -1, 1, 20, 2);    /* half of it before the window */
    np_sheet_add(&sheet, 1, 1.5, 10, 0.5); /* within a bin */
    np_sheet_add(&sheet, 1.5, 3.5, 8, 1);  /* over three bins, half of the time off its CPU */
    np_sheet_add(&sheet, 3.5, 9, 55, 5.5); /* ends after the window */
    np_sheet_add(&sheet, 3.5, 3.5, 99, 0); /* no time at all */
    const double work[] = {10, 12, 4, 7}, on_cpu_s[] = {1, 0.75, 0.5, 0.75};
    for (int i = 0; i < 4; i++)
        CHECK(is_near(sheet.work[i], work[i]) && is_near(sheet.on_cpu_s[i], on_cpu_s[i]));
    np_sheet_close(&sheet);
}

static void only_bins_of_all_threads_count(void)
{
    struct np_sheet sheets[2];
    double rates[4];
    CHECK(np_sheet_open(&sheets[0], 0.5, 4) == 0 && np_sheet_open(&sheets[1], 0.5, 4) == 0);
    np_sheet_add(&sheets[0], 0, 2, 40, 2);
    np_sheet_add(&sheets[1], 0.5, 1, 10, 0.5); /* began late, */
    np_sheet_add(&sheets[1], 1, 1.5, 4, 0.2);  /* then lost its CPU */
    np_sheet_add(&sheets[1], 1.5, 2, 30, 0.49);
    CHECK(np_sheets_rates(sheets, 2, false, rates) == 2);
    CHECK(is_near(rates[0], 40) && is_near(rates[1], 80));
    CHECK(np_sheets_rates(sheets, 2, true, rates) == 4);
    CHECK(is_near(rates[0], 20) && is_near(rates[2], 28));
    CHECK(np_sheets_rates(sheets, 0, true, rates) == 0);
    np_sheet_close(&sheets[0]);
    np_sheet_close(&sheets[1]);
}

struct state {
    struct np_clock clock;
    atomic_bool is_cancelled;
    struct np_window window;
    struct np_sheet sheets[2];
};

/* A unit is a microsecond of work. */
static uint64_t busy(void *state, uint64_t units)
{
    const struct state *s = state;
    const uint64_t begin = np_clock_now(&s->clock);
    while (np_clock_seconds(&s->clock, begin, np_clock_now(&s->clock)) < 1e-6 * (double)units)
        continue;
    return units;
}

static int measures(void *state, size_t index, struct np_gate *gate)
{
    struct state *s = state;
    return np_window_run(&s->window, gate, busy, s, &s->sheets[index]);
}

static uint64_t cancels(void *state, uint64_t units)
{
    struct state *s = state;
    atomic_store(&s->is_cancelled, true);
    return units;
}

static int is_cancelled(void *state, size_t index, struct np_gate *gate)
{
    struct state *s = state;
    return np_window_run(&s->window, gate, cancels, s, &s->sheets[index]);
}

int main(void)
{
    static struct state state;
    struct np_cpuset allowed;
    unsigned int cpus[2];
    double total = 0;
    work_is_spread_over_bins();
    only_bins_of_all_threads_count();

    CHECK(np_clock_init(&state.clock, false) == 0 && np_affinity_get(&allowed) == 0);
    cpus[0] = cpus[1] = np_cpuset_first(&allowed);
    state.window = (struct np_window){.clock = &state.clock,
                                      .is_cancelled = &state.is_cancelled,
                                      .warmup_s = 2e-3,
                                      .block_s = 2e-4,
                                      .bin_s = 2e-3,
                                      .bins = 50};
    CHECK(np_sheet_open(&state.sheets[0], 2e-3, 50) == 0 && np_sheet_open(&state.sheets[1], 2e-3, 50) == 0);
    CHECK(np_team_run(cpus, 1, measures, &state) == 0);
    for (int i = 0; i < 50; i++)
        total += state.sheets[0].work[i];
    CHECK(total > 1e3 && total < 1.01e5); /* at most the 100 ms of the window, in microseconds */

    CHECK(np_team_run(cpus, 2, is_cancelled, &state) == -ECANCELED);
    np_sheet_close(&state.sheets[0]);
    np_sheet_close(&state.sheets[1]);
    return EXIT_SUCCESS;
}

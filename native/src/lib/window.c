/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/window.h"

#include <errno.h>
#include <stdlib.h>

/* An interrupt may take this much of a bin before the thread counts as having lost its CPU. */
static const double LEAST_ON_CPU = 0.95;

/* One block alone may have been disturbed for the whole of the warm-up, and would make all others tiny. */
enum { LEAST_BLOCKS = 3 };

int np_sheet_open(struct np_sheet *sheet, double bin_s, size_t bins)
{
    *sheet = (struct np_sheet){.bin_s = bin_s, .bins = bins};
    sheet->work = calloc(bins, sizeof *sheet->work);
    sheet->on_cpu_s = calloc(bins, sizeof *sheet->on_cpu_s);
    if (sheet->work != NULL && sheet->on_cpu_s != NULL)
        return 0;
    np_sheet_close(sheet);
    return -ENOMEM;
}

void np_sheet_close(struct np_sheet *sheet)
{
    free(sheet->work);
    free(sheet->on_cpu_s);
    *sheet = (struct np_sheet){0};
}

void np_sheet_add(struct np_sheet *sheet, double begin_s, double end_s, double work, double on_cpu_s)
{
    const double length_s = end_s - begin_s;
    if (!(length_s > 0) || end_s <= 0)
        return;
    const double share = on_cpu_s < length_s ? on_cpu_s / length_s : 1;
    for (size_t i = begin_s > 0 ? (size_t)(begin_s / sheet->bin_s) : 0; i < sheet->bins; i++) {
        const double low_s = (double)i * sheet->bin_s;
        const double high_s = low_s + sheet->bin_s;
        if (low_s >= end_s)
            break;
        const double overlap_s = (end_s < high_s ? end_s : high_s) - (begin_s > low_s ? begin_s : low_s);
        if (overlap_s <= 0)
            continue;
        sheet->work[i] += work * overlap_s / length_s;
        sheet->on_cpu_s[i] += overlap_s * share;
    }
}

size_t np_sheets_rates(const struct np_sheet *sheets, size_t count, bool any, double *rates)
{
    size_t written = 0;
    for (size_t bin = 0; count > 0 && bin < sheets[0].bins; bin++) {
        bool is_full = true;
        double work = 0;
        for (size_t i = 0; i < count; i++) {
            work += sheets[i].work[bin];
            is_full = is_full && sheets[i].on_cpu_s[bin] >= LEAST_ON_CPU * sheets[i].bin_s;
        }
        if (is_full || any)
            rates[written++] = work / sheets[0].bin_s;
    }
    return written;
}

/* Only the kernel knows when the thread was off its CPU; where a hypervisor reports steal, that is off as well. */
static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool is_cancelled(const struct np_window *window)
{
    return atomic_load_explicit(window->is_cancelled, memory_order_relaxed);
}

uint64_t np_window_warm_up(const struct np_window *window, uint64_t from, np_block_fn *block, void *state)
{
    const uint64_t until = from + np_clock_ticks(window->clock, window->warmup_s);
    const double block_ticks = window->block_s * window->clock->hz;
    double best = 0;
    uint64_t units = 1, now = np_clock_now(window->clock);
    int blocks = 0;
    do {
        const uint64_t begin = now;
        const double done = (double)block(state, units);
        now = np_clock_now(window->clock);
        const double rate = done / (double)(now > begin ? now - begin : 1);
        best = rate > best ? rate : best;
        units = (uint64_t)(best * block_ticks) + 1;
        blocks++;
    } while (((int64_t)(until - now) > 0 || blocks < LEAST_BLOCKS) && !is_cancelled(window));
    return units;
}

int np_window_run(const struct np_window *window, struct np_gate *gate, np_block_fn *block, void *state,
                  struct np_sheet *sheet)
{
    const struct np_clock *clock = window->clock;
    uint64_t opened;
    const int rc = np_gate_meet(gate, clock, &opened);
    if (rc != 0)
        return rc;
    const uint64_t start = opened + np_clock_ticks(clock, window->warmup_s);
    const uint64_t units = np_window_warm_up(window, opened, block, state);
    const double window_s = (double)window->bins * window->bin_s;
    double cpu_s = cpu_seconds();
    double end_s = np_clock_seconds(clock, start, np_clock_now(clock));
    while (end_s < window_s && !is_cancelled(window)) {
        const double begin_s = end_s, cpu_begin_s = cpu_s;
        const double done = (double)block(state, units);
        end_s = np_clock_seconds(clock, start, np_clock_now(clock));
        cpu_s = cpu_seconds();
        np_sheet_add(sheet, begin_s, end_s, done, cpu_s - cpu_begin_s);
    }
    return is_cancelled(window) ? -ECANCELED : 0;
}

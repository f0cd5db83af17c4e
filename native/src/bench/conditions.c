/* SPDX-License-Identifier: Apache-2.0 */
#include "conditions.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "nodeproof/clock.h"
#include "system.h"

/* The first line of /proc/stat, in ticks of 1/100 s: proc_stat(5). Guests are counted in user and nice as well. */
enum { USER, NICE, SYSTEM, IDLE, IOWAIT, IRQ, SOFTIRQ, STEAL, COLUMNS };

static void read_machine(struct conditions *now)
{
    char text[1024];
    uint64_t ticks[COLUMNS] = {0};
    const double hz = (double)sysconf(_SC_CLK_TCK);
    if (system_read_text("/proc/stat", text, sizeof text) != 0)
        return;
    const int found =
        sscanf(text, "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
               &ticks[USER], &ticks[NICE], &ticks[SYSTEM], &ticks[IDLE], &ticks[IOWAIT], &ticks[IRQ], &ticks[SOFTIRQ],
               &ticks[STEAL]);
    now->has_machine = found == COLUMNS;
    now->busy_s = (double)(ticks[USER] + ticks[NICE] + ticks[SYSTEM] + ticks[IRQ] + ticks[SOFTIRQ]) / hz;
    now->steal_s = (double)ticks[STEAL] / hz;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + 1e-6 * (double)time.tv_usec;
}

/* What the threads of finished teams waited. */
static _Atomic uint64_t team_delay_ns;

/* How long a thread waited for a CPU: the second number of Documentation/scheduler/sched-stats.rst. */
static uint64_t run_delay_ns(const char *path)
{
    char text[128];
    uint64_t ran_ns = 0, waited_ns = 0;
    if (system_read_text(path, text, sizeof text) == 0)
        sscanf(text, "%" SCNu64 " %" SCNu64, &ran_ns, &waited_ns);
    return waited_ns;
}

struct errand {
    np_team_fn *work;
    void *state;
};

static int do_and_note(void *state, size_t index, struct np_gate *gate)
{
    const struct errand *errand = state;
    const int rc = errand->work(errand->state, index, gate);
    team_delay_ns += run_delay_ns("/proc/thread-self/schedstat");
    return rc;
}

int conditions_team_run(const unsigned int *cpus, size_t count, np_team_fn *work, void *state)
{
    struct errand errand = {.work = work, .state = state};
    return np_team_run(cpus, count, do_and_note, &errand);
}

void conditions_read(struct conditions *now)
{
    struct rusage usage;
    *now = (struct conditions){.time_s = 1e-9 * (double)np_clock_raw_ns()};
    read_machine(now);
    now->run_delay_s = 1e-9 * (double)(run_delay_ns("/proc/self/schedstat") + team_delay_ns);
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return;
    now->own_s = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    now->involuntary_switches = (uint64_t)usage.ru_nivcsw;
}

void conditions_put(struct np_json *out, const struct conditions *before, const struct conditions *after)
{
    const double own_s = after->own_s - before->own_s;
    const double busy_s = after->busy_s - before->busy_s;
    np_json_open_object(out, "conditions");
    np_json_number(out, "seconds", after->time_s - before->time_s);
    np_json_number(out, "own_cpu_s", own_s);
    if (before->has_machine && after->has_machine) {
        np_json_number(out, "busy_cpu_s", busy_s);
        /* A tick is charged whole to whom it meets: a little less than nothing is nothing. */
        np_json_number(out, "foreign_cpu_s", busy_s > own_s ? busy_s - own_s : 0);
        np_json_number(out, "steal_s", after->steal_s - before->steal_s);
    } else {
        np_json_null(out, "busy_cpu_s");
        np_json_null(out, "foreign_cpu_s");
        np_json_null(out, "steal_s");
    }
    np_json_number(out, "run_delay_s", after->run_delay_s - before->run_delay_s);
    np_json_integer(out, "involuntary_switches", after->involuntary_switches - before->involuntary_switches);
    np_json_close_object(out);
}

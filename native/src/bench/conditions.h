/* SPDX-License-Identifier: Apache-2.0 */
/* What else happened on the machine while a benchmark ran: without it nobody can tell a slow node from a busy one. */
#ifndef NODEPROOF_BENCH_CONDITIONS_H
#define NODEPROOF_BENCH_CONDITIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "nodeproof/json.h"
#include "nodeproof/team.h"

struct conditions {
    double time_s;
    double own_s;
    bool has_machine;   /**< what follows could be read */
    double busy_s;      /**< of all CPUs together, ours included */
    double steal_s;     /**< of all CPUs together, taken by the hypervisor */
    double run_delay_s; /**< our threads waited for a CPU, all together */
    uint64_t involuntary_switches;
};

/** np_team_run, and note how long its threads waited for their CPUs. */
int conditions_team_run(const unsigned int *cpus, size_t count, np_team_fn *work, void *state);

void conditions_read(struct conditions *conditions);

/** Write what happened between two readings. */
void conditions_put(struct np_json *out, const struct conditions *before, const struct conditions *after);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdatomic.h>

#include "nodeproof/cpuset.h"
#include "nodeproof/team.h"
#include "test.h"

enum { THREADS = 4 };

struct state {
    struct np_clock clock;
    unsigned int cpus[THREADS];
    uint64_t opened[THREADS];
    atomic_int met;
};

static int meets(void *state, size_t index, struct np_gate *gate)
{
    struct state *s = state;
    struct np_cpuset set;
    CHECK(np_affinity_get(&set) == 0);
    CHECK(np_cpuset_count(&set) == 1 && np_cpuset_first(&set) == s->cpus[index]);
    const int rc = np_gate_meet(gate, &s->clock, &s->opened[index]);
    atomic_fetch_add(&s->met, rc == 0);
    return rc;
}

static int one_fails(void *state, size_t index, struct np_gate *gate)
{
    return index == 2 ? -EDOM : meets(state, index, gate);
}

int main(void)
{
    struct state state = {.met = 0};
    struct np_cpuset allowed;
    unsigned int cpus[NP_MAX_CPUS];
    CHECK(np_clock_init(&state.clock, false) == 0);
    CHECK(np_affinity_get(&allowed) == 0);
    const size_t count = np_cpuset_list(&allowed, cpus, NP_MAX_CPUS);
    for (size_t i = 0; i < THREADS; i++)
        state.cpus[i] = cpus[i % count];

    CHECK(np_team_run(state.cpus, THREADS, meets, &state) == 0);
    CHECK(state.met == THREADS);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(state.opened[i] == state.opened[0] && state.opened[i] > 0);

    /* Those who wait for one that does not come are sent home, and the cause is what is told. */
    state.met = 0;
    CHECK(np_team_run(state.cpus, THREADS, one_fails, &state) == -EDOM);
    CHECK(state.met == 0);

    state.cpus[1] = NP_MAX_CPUS - 1; /* nowhere is that CPU online */
    CHECK(np_team_run(state.cpus, THREADS, meets, &state) == -ENODEV);
    CHECK(np_team_run(state.cpus, 0, meets, &state) == -EINVAL);
    return EXIT_SUCCESS;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/team.h"

#include <errno.h>
#include <stdlib.h>

#include "nodeproof/cpuset.h"

struct member {
    pthread_t thread;
    size_t index;
    unsigned int cpu;
    int rc;
    np_team_fn *work;
    void *state;
    struct np_gate *gate;
};

static int gate_init(struct np_gate *gate, size_t expected)
{
    *gate = (struct np_gate){.expected = expected};
    const int rc = pthread_mutex_init(&gate->lock, NULL);
    if (rc != 0)
        return -rc;
    const int other = pthread_cond_init(&gate->changed, NULL);
    if (other != 0)
        pthread_mutex_destroy(&gate->lock);
    return -other;
}

static void gate_destroy(struct np_gate *gate)
{
    pthread_cond_destroy(&gate->changed);
    pthread_mutex_destroy(&gate->lock);
}

static void gate_call_off(struct np_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->is_off = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

int np_gate_meet(struct np_gate *gate, const struct np_clock *clock, uint64_t *opened)
{
    pthread_mutex_lock(&gate->lock);
    if (++gate->arrived == gate->expected && !gate->is_off) {
        gate->is_open = true;
        gate->opened = np_clock_now(clock);
        pthread_cond_broadcast(&gate->changed);
    }
    while (!gate->is_open && !gate->is_off)
        pthread_cond_wait(&gate->changed, &gate->lock);
    const bool is_open = gate->is_open;
    *opened = gate->opened;
    pthread_mutex_unlock(&gate->lock);
    return is_open ? 0 : -ECANCELED;
}

static void *begin(void *argument)
{
    struct member *member = argument;
    member->rc = np_affinity_pin(member->cpu);
    if (member->rc == -EINVAL) /* gone offline or out of our cpuset: nothing that the caller asked wrongly */
        member->rc = -ENODEV;
    if (member->rc == 0)
        member->rc = member->work(member->state, member->index, member->gate);
    if (member->rc != 0)
        gate_call_off(member->gate);
    return NULL;
}

int np_team_run(const unsigned int *cpus, size_t count, np_team_fn *work, void *state)
{
    struct np_gate gate;
    size_t started = 0;
    struct member *members = calloc(count > 0 ? count : 1, sizeof *members);
    if (members == NULL)
        return -ENOMEM;
    int rc = count > 0 ? gate_init(&gate, count) : -EINVAL;
    if (rc != 0)
        goto out;
    for (; started < count && rc == 0; started += rc == 0) {
        members[started] =
            (struct member){.index = started, .cpu = cpus[started], .work = work, .state = state, .gate = &gate};
        rc = -pthread_create(&members[started].thread, NULL, begin, &members[started]);
    }
    if (rc != 0)
        gate_call_off(&gate);
    for (size_t i = 0; i < started; i++) {
        pthread_join(members[i].thread, NULL);
        if (rc == 0 || rc == -ECANCELED)
            rc = members[i].rc != 0 ? members[i].rc : rc;
    }
    gate_destroy(&gate);
out:
    free(members);
    return rc;
}

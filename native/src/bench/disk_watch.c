/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_watch.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "conditions.h"
#include "nodeproof/clock.h"
#include "nodeproof/cpuset.h"

/* How often to look, how long one who is cancelled may take to notice, and how long the slowest disk may think:
   flushing its cache takes some ten seconds. */
static const double LOOK_S = 0.01, GRACE_S = 0.04, STALL_S = 60;

struct watch {
    disk_watch_fn *work;
    void *state;
    struct np_cpuset allowed;
    int rc;
    atomic_bool is_done;
};

/* A team keeps account of how long its threads waited for a CPU. It pins them as well, but who waits for a disk
   needs no CPU of their own. */
static int work_anywhere(void *state, size_t index, struct np_gate *gate)
{
    const struct watch *watch = state;
    (void)index;
    (void)gate;
    if (sched_setaffinity(0, sizeof watch->allowed.word, (const cpu_set_t *)watch->allowed.word) != 0)
        return -errno;
    return watch->work(watch->state);
}

static void *begin(void *argument)
{
    struct watch *watch = argument;
    const unsigned int cpu = np_cpuset_first(&watch->allowed);
    watch->rc = conditions_team_run(&cpu, 1, work_anywhere, watch);
    atomic_store(&watch->is_done, true);
    return NULL;
}

/* Signals are for the thread that watches: it is never stuck. */
static int start(pthread_t *thread, struct watch *watch)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    const int rc = -pthread_create(thread, NULL, begin, watch);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

static double now_s(void)
{
    return 1e-9 * (double)np_clock_raw_ns();
}

/* Returns 0 when the work is done, or why it is given up. */
static int keep_watch(const struct watch *watch, const atomic_bool *is_cancelled, const _Atomic uint64_t *answers)
{
    const struct timespec pause = {.tv_nsec = (long)(LOOK_S * 1e9)};
    double cancelled_s = 0, answered_s = now_s();
    uint64_t seen = atomic_load(answers);
    while (!atomic_load(&watch->is_done)) {
        nanosleep(&pause, NULL);
        const double time_s = now_s();
        if (atomic_load(answers) != seen) {
            seen = atomic_load(answers);
            answered_s = time_s;
        }
        if (cancelled_s == 0 && atomic_load(is_cancelled))
            cancelled_s = time_s;
        if (cancelled_s > 0 && time_s - cancelled_s > GRACE_S)
            return -ECANCELED;
        if (time_s - answered_s > STALL_S)
            return -ETIMEDOUT;
    }
    return 0;
}

int disk_watch(disk_watch_fn *work, void *state, const atomic_bool *is_cancelled, const _Atomic uint64_t *answers,
               bool *is_abandoned)
{
    pthread_t thread;
    struct watch *watch = malloc(sizeof *watch);
    *is_abandoned = false;
    if (watch == NULL)
        return -ENOMEM;
    *watch = (struct watch){.work = work, .state = state};
    int rc = np_affinity_get(&watch->allowed);
    if (rc == 0)
        rc = start(&thread, watch);
    if (rc == 0) {
        rc = keep_watch(watch, is_cancelled, answers);
        *is_abandoned = rc != 0;
        if (*is_abandoned)
            return rc;
        pthread_join(thread, NULL);
        rc = watch->rc;
    }
    free(watch);
    return rc;
}

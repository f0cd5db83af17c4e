/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a modified cache line takes from one core to another, by the method of multichase's `pingpong -u -r 0`: two
 * threads hand a word to and fro without a pause; a third looks every 0.25 s how often; the best of five such means
 * counts.
 */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { SAMPLES = 5, SAMPLE_US = 250000, BATCH = 10000, FALSE_SHARING_BYTES = 256 };

static _Alignas(FALSE_SHARING_BYTES) atomic_uint ball;
static _Alignas(FALSE_SHARING_BYTES) atomic_ulong passes;
static _Alignas(FALSE_SHARING_BYTES) atomic_bool is_over;

struct player {
    int cpu;
    unsigned int me;
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *play(void *argument)
{
    const struct player *player = argument;
    unsigned long count = 0;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(player->cpu, &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus) != 0) {
        perror("pingpong: sched_setaffinity");
        exit(1);
    }
    while (!atomic_load_explicit(&is_over, memory_order_relaxed)) {
        if (atomic_load_explicit(&ball, memory_order_acquire) != player->me)
            continue;
        atomic_store_explicit(&ball, 1 - player->me, memory_order_release);
        if (++count == BATCH && player->me == 0) {
            atomic_fetch_add_explicit(&passes, 2 * BATCH, memory_order_relaxed);
            count = 0;
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct player players[2] = {{.cpu = argc == 3 ? atoi(argv[1]) : -1, .me = 0},
                                {.cpu = argc == 3 ? atoi(argv[2]) : -1, .me = 1}};
    pthread_t threads[2];
    double best_s = INFINITY, last_s;
    if (players[0].cpu < 0 || players[1].cpu < 0 || players[0].cpu == players[1].cpu) {
        fputs("Usage: pingpong CPU OTHER_CPU\n", stderr);
        return 2;
    }
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, play, &players[i]) != 0)
            return 1;
    last_s = now_s();
    for (int i = 0; i < SAMPLES; i++) {
        usleep(SAMPLE_US);
        const unsigned long count = atomic_exchange(&passes, 0);
        const double stamp_s = now_s(), latency_s = (stamp_s - last_s) / (double)count;
        last_s = stamp_s;
        if (latency_s < best_s)
            best_s = latency_s;
    }
    atomic_store(&is_over, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    printf("%.6e\n", best_s);
    return 0;
}

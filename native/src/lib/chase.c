/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/chase.h"

#include <errno.h>
#include <stdbool.h>

/* Lines to link between two looks at whether to go on: 4 MiB, a thousand page faults at worst. */
enum { LINES_PER_LOOK = 1 << 16 };

/* How many random lines are on their way to the cache while one is linked. More than a core can fetch at once. */
enum { AHEAD = 32 };

/* Splitmix64 (Steele, Lea and Flood, 2014): numbers do not wait for the one before to be finished. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Below `bound`, by multiplication instead of a slow division: the bias is less than bound / 2^64. */
static size_t random_below(uint64_t *state, size_t bound)
{
    return (size_t)((unsigned __int128)next_random(state) * bound >> 64);
}

/*
 * Sattolo's algorithm from the inside out: each line is put behind a random one of those before it. It needs
 * no array of its own, touches fresh memory in ascending order, and its random accesses are
 * known long before they are made.
 */
int np_chase_link(struct np_line *lines, size_t count, uint64_t seed, const atomic_bool *is_cancelled)
{
    size_t upcoming[AHEAD];
    if (count == 0)
        return -EINVAL;
    lines[0].next = &lines[0];
    for (size_t i = 1; i < AHEAD; i++)
        upcoming[i] = random_below(&seed, i);
    upcoming[0] = random_below(&seed, AHEAD);
    for (size_t i = 1; i < count; i++) {
        struct np_line *before = &lines[upcoming[i % AHEAD]];
        upcoming[i % AHEAD] = random_below(&seed, i + AHEAD);
        __builtin_prefetch(&lines[upcoming[i % AHEAD]], 1);
        lines[i].next = before->next;
        before->next = &lines[i];
        if (i % LINES_PER_LOOK == 0 && atomic_load_explicit(is_cancelled, memory_order_relaxed))
            return -ECANCELED;
    }
    return 0;
}

/* So many loads that what surrounds them does not count, even where a load takes four cycles. */
enum { LOADS_PER_ROUND = 128 };

#define LOAD at = at->next;
#define LOAD_8 LOAD LOAD LOAD LOAD LOAD LOAD LOAD LOAD
#define LOAD_64 LOAD_8 LOAD_8 LOAD_8 LOAD_8 LOAD_8 LOAD_8 LOAD_8 LOAD_8

uint64_t np_chase_follow(void *state, uint64_t loads)
{
    struct np_chase *chase = state;
    const struct np_line *at = chase->at;
    const uint64_t rounds = (loads + LOADS_PER_ROUND - 1) / LOADS_PER_ROUND;
    for (uint64_t i = 0; i < rounds; i++) {
        LOAD_64 LOAD_64
    }
    chase->at = at;
    return rounds * LOADS_PER_ROUND;
}

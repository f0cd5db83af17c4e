/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/verify_pair.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "kernels.h"

/* Each side does so much of everything; totals 4 and up are what the lock guards. */
enum { OPERATIONS = 256, GUARDED = NP_VERIFY_PAIR_TOTALS - 4, SPINS = 2000 };

static uint64_t word_of(uint64_t seed, uint64_t line, uint64_t word)
{
    return np_verify_random(seed, line * NP_VERIFY_PAIR_WORDS + word);
}

/* What side and operation add: the same numbers whoever comes first. */
static uint64_t operand_of(uint64_t seed, unsigned int side, uint64_t operation)
{
    return np_verify_random(~seed, operation * 2 + side);
}

void np_verify_pair_init(struct np_verify_pair *pair)
{
    for (size_t i = 0; i < 2; i++) {
        memset(pair->lines[i].words, 0, sizeof pair->lines[i].words);
        atomic_store(&pair->lines[i].turn, 0);
    }
    memset(pair->guarded, 0, sizeof pair->guarded);
    atomic_store(&pair->sum, 0);
    atomic_store(&pair->parity, 0);
    atomic_store(&pair->greatest, 0);
    atomic_store(&pair->swapped, 0);
    atomic_store(&pair->lock, 0);
    atomic_store(&pair->done, 0);
}

struct waiter {
    const atomic_bool *is_cancelled;
    double patience_s;
};

/* CPU time of the thread: a process that is stopped and goes on later has not waited. */
static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Wait until `*value` is `wanted`: spinning, then giving way, for the other side may be without a CPU. */
static int wait_for(const struct waiter *waiter, atomic_uint_fast64_t *value, uint64_t wanted)
{
    for (int i = 0; i < SPINS; i++)
        if (atomic_load_explicit(value, memory_order_acquire) == wanted)
            return 0;
    for (const double until_s = now_s() + waiter->patience_s; now_s() < until_s; sched_yield()) {
        if (atomic_load_explicit(value, memory_order_acquire) == wanted)
            return 0;
        if (atomic_load_explicit(waiter->is_cancelled, memory_order_relaxed))
            return -ECANCELED;
    }
    return -ETIMEDOUT;
}

/* Turn 2n: line n may be written; turn 2n + 1: it may be read. Both sides send and receive in step. */
static int pass_lines(struct np_verify_pair *pair, unsigned int side, uint64_t seed, const struct waiter *waiter,
                      uint64_t *output)
{
    struct np_verify_line *mine = &pair->lines[side], *theirs = &pair->lines[1 - side];
    for (uint64_t n = 0; n < NP_VERIFY_PAIR_LINES; n++) {
        int rc = wait_for(waiter, &mine->turn, 2 * n);
        if (rc != 0)
            return rc;
        for (uint64_t i = 0; i < NP_VERIFY_PAIR_WORDS; i++)
            mine->words[i] = word_of(seed, n, i);
        atomic_store_explicit(&mine->turn, 2 * n + 1, memory_order_release);
        rc = wait_for(waiter, &theirs->turn, 2 * n + 1);
        if (rc != 0)
            return rc;
        memcpy(output + n * NP_VERIFY_PAIR_WORDS, theirs->words, sizeof theirs->words);
        atomic_store_explicit(&theirs->turn, 2 * n + 2, memory_order_release);
    }
    return 0;
}

static int guard(struct np_verify_pair *pair, uint64_t operand, const struct waiter *waiter)
{
    while (atomic_exchange_explicit(&pair->lock, 1, memory_order_acquire) != 0) {
        const int rc = wait_for(waiter, &pair->lock, 0);
        if (rc != 0)
            return rc;
    }
    for (size_t i = 0; i < GUARDED; i++)
        pair->guarded[i] += operand * (2 * i + 1);
    atomic_store_explicit(&pair->lock, 0, memory_order_release);
    return 0;
}

static int operate(struct np_verify_pair *pair, unsigned int side, uint64_t seed, const struct waiter *waiter)
{
    for (uint64_t n = 0; n < OPERATIONS; n++) {
        const uint64_t operand = operand_of(seed, side, n);
        atomic_fetch_add(&pair->sum, operand);
        atomic_fetch_xor(&pair->parity, operand);
        uint64_t greatest = atomic_load(&pair->greatest);
        while (greatest < operand && !atomic_compare_exchange_weak(&pair->greatest, &greatest, operand))
            continue;
        uint64_t swapped = atomic_load(&pair->swapped);
        while (!atomic_compare_exchange_weak(&pair->swapped, &swapped, swapped - operand))
            continue;
        const int rc = guard(pair, operand, waiter);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int np_verify_pair_run(struct np_verify_pair *pair, unsigned int side, uint64_t seed, double patience_s,
                       const atomic_bool *is_cancelled, uint64_t *output)
{
    const struct waiter waiter = {.is_cancelled = is_cancelled, .patience_s = patience_s};
    uint64_t *totals = output + NP_VERIFY_PAIR_LINES * NP_VERIFY_PAIR_WORDS;
    memset(output, 0, NP_VERIFY_PAIR_OUTPUT_BYTES);
    int rc = pass_lines(pair, side, seed, &waiter, output);
    rc = rc != 0 ? rc : operate(pair, side, seed, &waiter);
    if (rc != 0)
        return rc;
    atomic_fetch_add(&pair->done, 1);
    rc = wait_for(&waiter, &pair->done, 2);
    totals[0] = atomic_load(&pair->sum);
    totals[1] = atomic_load(&pair->parity);
    totals[2] = atomic_load(&pair->greatest);
    totals[3] = atomic_load(&pair->swapped);
    memcpy(totals + 4, pair->guarded, sizeof pair->guarded);
    return rc;
}

void np_verify_pair_expected(uint64_t seed, uint64_t *output)
{
    uint64_t *totals = output + NP_VERIFY_PAIR_LINES * NP_VERIFY_PAIR_WORDS;
    for (uint64_t n = 0; n < NP_VERIFY_PAIR_LINES * NP_VERIFY_PAIR_WORDS; n++)
        output[n] = word_of(seed, 0, n);
    memset(totals, 0, NP_VERIFY_PAIR_TOTALS * sizeof *totals);
    for (uint64_t n = 0; n < 2 * OPERATIONS; n++) {
        const uint64_t operand = operand_of(seed, n & 1, n / 2);
        totals[0] += operand;
        totals[1] ^= operand;
        totals[2] = operand > totals[2] ? operand : totals[2];
        totals[3] -= operand;
        for (size_t i = 0; i < GUARDED; i++)
            totals[4 + i] += operand * (2 * i + 1);
    }
}

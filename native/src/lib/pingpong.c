/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/pingpong.h"

#include <errno.h>

/* Both sides spin without a pause: that would add its own length to what is measured. */
enum { SPINS_PER_LOOK = 1 << 16 };

void np_pingpong_answer(struct np_ball *ball)
{
    uint64_t expected = 1;
    for (uint64_t spins = 1;; spins++) {
        if (atomic_load_explicit(&ball->count, memory_order_acquire) == expected) {
            atomic_store_explicit(&ball->count, expected + 1, memory_order_release);
            expected += 2;
            spins = 0;
        } else if (spins % SPINS_PER_LOOK == 0 && atomic_load_explicit(&ball->is_over, memory_order_relaxed)) {
            return;
        }
    }
}

static bool is_cancelled_now(const atomic_bool *is_cancelled)
{
    return atomic_load_explicit(is_cancelled, memory_order_relaxed);
}

/* Wait for the answer. Returns false when the time is up, for the other thread may have no CPU, or when cancelled. */
static bool await(const struct np_ball *ball, uint64_t expected, const struct np_clock *clock, uint64_t until,
                  const atomic_bool *is_cancelled)
{
    for (uint64_t spins = 1; atomic_load_explicit(&ball->count, memory_order_acquire) != expected; spins++)
        if (spins % SPINS_PER_LOOK == 0 &&
            ((int64_t)(np_clock_now(clock) - until) > 0 || is_cancelled_now(is_cancelled)))
            return false;
    return true;
}

int np_pingpong_serve(struct np_ball *ball, const struct np_clock *clock, const atomic_bool *is_cancelled,
                      size_t batches, size_t passes, double most_s, struct np_samples *samples)
{
    const uint64_t start = np_clock_now(clock), until = start + np_clock_ticks(clock, most_s);
    uint64_t count = 0;
    bool is_alive = true;
    size_t batch = 0;
    while (batch < batches && is_alive && !is_cancelled_now(is_cancelled)) {
        const uint64_t begin = np_clock_now(clock);
        for (size_t i = 0; i < passes && is_alive; i++, count += 2) {
            atomic_store_explicit(&ball->count, count + 1, memory_order_release);
            is_alive = await(ball, count + 2, clock, until, is_cancelled);
        }
        const uint64_t end = np_clock_now(clock);
        if (is_alive && batch++ > 0) /* the first finds its partner still asleep */
            np_samples_add(samples, np_clock_seconds(clock, begin, end) / (double)passes / 2);
        is_alive = is_alive && (int64_t)(end - until) < 0;
    }
    samples->seconds += np_clock_seconds(clock, start, np_clock_now(clock));
    atomic_store(&ball->is_over, true);
    return samples->count > 0 ? 0 : -ECANCELED;
}

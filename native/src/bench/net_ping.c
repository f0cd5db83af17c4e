/* SPDX-License-Identifier: Apache-2.0 */
#include "net_ping.h"

#include <errno.h>
#include <math.h>

static const double WARMUP_S = 0.02, LEAST_S = 0.15;

/* Sorting is not free: look at the figures after so many samples, then after an eighth more each time. */
enum { FIRST_LOOK = 48 };

struct caller {
    struct net_end *end;
    struct net_slot *slot;
    int rc;
    atomic_bool is_off;
};

/* The answer to a number is its complement: not what was sent, whatever the network repeats. */
static uint64_t round_trips(void *state, uint64_t units)
{
    struct caller *caller = state;
    struct net_end *end = caller->end;
    for (uint64_t i = 0; i < units && caller->rc == 0; i++) {
        const uint64_t number = ++caller->slot->messages;
        net_put_number(end->message, number);
        caller->rc = net_send(end, caller->slot, end->message, end->message_bytes);
        if (caller->rc == 0)
            caller->rc = net_receive(end, caller->slot, end->answer, end->message_bytes);
        end->messages += caller->rc == 0;
        end->wrong += caller->rc == 0 && net_number(end->answer) != ~number;
    }
    if (caller->rc != 0)
        atomic_store_explicit(&caller->is_off, true, memory_order_relaxed);
    return units;
}

static int say(struct net_end *end, struct net_slot *slot, uint64_t word)
{
    net_put_number(end->message, word);
    return net_send(end, slot, end->message, end->message_bytes);
}

/* Measure one slot for a moment, and go on. */
static int block(struct net_end *end, struct net_slot *slot, double warmup_s, double most_s)
{
    struct caller caller = {.end = end, .slot = slot};
    const struct np_clock *clock = &end->request->clock;
    const struct np_sampling sampling = {
        .clock = clock,
        .is_cancelled = &caller.is_off,
        .kind = NP_TIME,
        .warmup_s = warmup_s,
        .block_s = 0, /* a sample is one round trip */
        .least_s = most_s,
        .most_s = most_s,
    };
    int rc = net_turn_to(slot);
    if (rc != 0)
        return rc;
    const double cpu_begin_s = net_cpu_seconds();
    const uint64_t begin = np_clock_now(clock);
    rc = np_sampling_run(&sampling, round_trips, &caller, &slot->samples);
    slot->on_cpu_s += net_cpu_seconds() - cpu_begin_s;
    slot->block_s += np_clock_seconds(clock, begin, np_clock_now(clock));
    rc = caller.rc != 0 ? caller.rc : rc;
    return rc != 0 ? rc : say(end, slot, NET_NEXT);
}

/* Each slot is known well enough, or has no room left. */
static int is_enough(const struct net_end *end, bool *enough)
{
    *enough = true;
    for (size_t i = 0; i < end->count && *enough; i++) {
        const struct np_samples *samples = &end->slots[i].samples;
        struct np_figures figures;
        const int rc = np_samples_figures(samples, NP_TIME, &figures);
        if (rc == -ENOMEM)
            return rc;
        *enough = samples->count == samples->size || (rc == 0 && figures.is_converged && samples->seconds >= LEAST_S);
    }
    return 0;
}

static size_t samples_of_all(const struct net_end *end)
{
    size_t count = 0;
    for (size_t i = 0; i < end->count; i++)
        count += end->slots[i].samples.count;
    return count;
}

int net_ping_lead(struct net_end *end)
{
    const struct np_clock *clock = &end->request->clock;
    const double block_s = fmin(end->block_s, end->most_s / (double)end->count);
    size_t next_look = FIRST_LOOK * end->count;
    bool enough = false;
    int rc = 0;
    for (size_t i = 0; i < end->count && rc == 0; i++)
        rc = block(end, &end->slots[i], WARMUP_S, 0);
    const uint64_t until = np_clock_now(clock) + np_clock_ticks(clock, end->most_s);
    do { /* at least once: a busy machine may take all the time away before anything is measured */
        for (size_t i = 0; i < end->count && rc == 0; i++)
            rc = block(end, &end->slots[i], 0, block_s);
        if (rc != 0 || samples_of_all(end) < next_look)
            continue;
        next_look += next_look / 8;
        rc = is_enough(end, &enough);
    } while (rc == 0 && !enough && np_clock_seconds(clock, np_clock_now(clock), until) > 0);
    return rc != 0 ? rc : say(end, &end->slots[0], NET_LAST);
}

int net_ping_follow(struct net_end *end)
{
    size_t index = 0;
    int rc = net_turn_to(&end->slots[0]);
    while (rc == 0) {
        struct net_slot *slot = &end->slots[index];
        rc = net_receive(end, slot, end->message, end->message_bytes);
        const uint64_t number = net_number(end->message);
        if (rc != 0 || number == NET_LAST)
            break;
        if (number == NET_NEXT) {
            index = (index + 1) % end->count;
            rc = net_turn_to(&end->slots[index]);
            continue;
        }
        net_put_number(end->message, ~number);
        rc = net_send(end, slot, end->message, end->message_bytes);
    }
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "net_stream.h"

#include <errno.h>
#include <math.h>

static const double WARMUP_S = 0.02, MOST_WARMUP_S = 0.2;

/* The first message of a block comes late, by a round trip, and is not counted. */
enum { FEWEST_MESSAGES = 3, MOST_MESSAGES = 1 << 20, FEWEST_WINDOWS = 8 };

/* A message is right if both its ends carry its number: what is between them was copied by the same call. */
static void stamp(char *message, size_t bytes, uint64_t number)
{
    net_put_number(message, number);
    net_put_number(message + bytes - sizeof number, number);
}

static bool has_stamp(const char *message, size_t bytes, uint64_t number)
{
    return net_number(message) == number && net_number(message + bytes - sizeof number) == number;
}

static int say(const struct net_end *end, const struct net_slot *slot, uint64_t word)
{
    char text[sizeof word];
    net_put_number(text, word);
    return net_send(end, slot, text, sizeof text);
}

/* Rates of a block, message by message. */
struct tally {
    double begin_s, window_begin_s, now_s;
    uint64_t bytes, window_bytes;
    size_t windows;
};

static void count(struct tally *tally, const struct net_end *end, struct np_samples *samples, double window_s)
{
    tally->bytes += end->message_bytes;
    tally->window_bytes += end->message_bytes;
    const double took_s = tally->now_s - tally->window_begin_s;
    if (took_s < window_s || !(took_s > 0))
        return;
    if (samples != NULL)
        np_samples_add(samples, (double)tally->window_bytes / took_s);
    tally->window_begin_s = tally->now_s;
    tally->window_bytes = 0;
    tally->windows++;
}

/* Ask for a block and take it; its rates go to `samples`, which may be NULL. `*took_s` is how long it took. */
static int take_block(struct net_end *end, struct net_slot *slot, struct np_samples *samples, double *took_s)
{
    const struct np_clock *clock = &end->request->clock;
    const double window_s = fmin(end->window_s, end->most_s / FEWEST_WINDOWS);
    const uint64_t asked = np_clock_now(clock);
    struct tally tally = {0};
    int rc = say(end, slot, slot->wanted);
    for (uint64_t i = 0; i < slot->wanted && rc == 0; i++) {
        rc = net_receive(end, slot, end->message, end->message_bytes);
        tally.now_s = np_clock_seconds(clock, asked, np_clock_now(clock));
        end->messages += rc == 0;
        end->wrong += rc == 0 && !has_stamp(end->message, end->message_bytes, slot->messages);
        slot->messages++;
        if (i == 0)
            tally.begin_s = tally.window_begin_s = tally.now_s;
        else
            count(&tally, end, samples, window_s);
    }
    *took_s = tally.now_s - tally.begin_s;
    if (rc != 0 || !(*took_s > 0))
        return rc;
    if (samples != NULL && tally.windows == 0)
        np_samples_add(samples, (double)tally.bytes / *took_s);
    if (samples != NULL)
        samples->seconds += *took_s;
    const double wanted = (double)(slot->wanted - 1) / *took_s * end->block_s + 1;
    slot->wanted = (uint64_t)fmin(fmax(wanted, FEWEST_MESSAGES), MOST_MESSAGES);
    return 0;
}

/* Let the connection open its window, and find how many messages make a block. */
static int warm_up(struct net_end *end, struct net_slot *slot)
{
    const struct np_clock *clock = &end->request->clock;
    const uint64_t begin = np_clock_now(clock);
    double took_s = 0, spent_s = 0;
    slot->wanted = FEWEST_MESSAGES;
    int rc = net_turn_to(slot);
    while (rc == 0 && (spent_s < WARMUP_S || took_s < end->block_s / 2) && spent_s < MOST_WARMUP_S) {
        rc = take_block(end, slot, NULL, &took_s);
        spent_s = np_clock_seconds(clock, begin, np_clock_now(clock));
    }
    return rc != 0 ? rc : say(end, slot, NET_NEXT);
}

int net_stream_lead(struct net_end *end)
{
    const struct np_clock *clock = &end->request->clock;
    double took_s;
    int rc = 0;
    for (size_t i = 0; i < end->count && rc == 0; i++)
        rc = warm_up(end, &end->slots[i]);
    const uint64_t until = np_clock_now(clock) + np_clock_ticks(clock, end->most_s);
    do {
        for (size_t i = 0; i < end->count && rc == 0; i++) {
            struct net_slot *slot = &end->slots[i];
            rc = net_turn_to(slot);
            if (rc == 0)
                rc = take_block(end, slot, &slot->samples, &took_s);
            if (rc == 0)
                rc = say(end, slot, NET_NEXT);
        }
    } while (rc == 0 && np_clock_seconds(clock, np_clock_now(clock), until) > 0);
    return rc != 0 ? rc : say(end, &end->slots[0], NET_LAST);
}

static int give_block(struct net_end *end, struct net_slot *slot, uint64_t wanted)
{
    int rc = wanted <= MOST_MESSAGES ? 0 : -EPROTO;
    for (uint64_t i = 0; i < wanted && rc == 0; i++) {
        stamp(end->message, end->message_bytes, slot->messages++);
        rc = net_send(end, slot, end->message, end->message_bytes);
    }
    return rc;
}

int net_stream_follow(struct net_end *end)
{
    char word[sizeof(uint64_t)];
    size_t index = 0;
    int rc = net_turn_to(&end->slots[0]);
    while (rc == 0) {
        struct net_slot *slot = &end->slots[index];
        rc = net_receive(end, slot, word, sizeof word);
        const uint64_t wanted = net_number(word);
        if (rc != 0 || wanted == NET_LAST)
            break;
        if (wanted != NET_NEXT) {
            rc = give_block(end, slot, wanted);
            continue;
        }
        index = (index + 1) % end->count;
        rc = net_turn_to(&end->slots[index]);
    }
    return rc;
}

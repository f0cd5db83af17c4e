/* SPDX-License-Identifier: Apache-2.0 */
#include "net_slots.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* Who spins looks at the clock only now and then. */
enum { SPINS_PER_LOOK = 64 };

/* Far longer than an answer takes: the other end has lost its CPU, and spinning might be what keeps it from it. */
static const double MOST_SPIN_S = 0.002;

double net_cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void net_put_number(void *message, uint64_t number)
{
    const uint64_t word = htobe64(number);
    memcpy(message, &word, sizeof word);
}

uint64_t net_number(const void *message)
{
    uint64_t word;
    memcpy(&word, message, sizeof word);
    return be64toh(word);
}

int net_turn_to(const struct net_slot *slot)
{
    return slot->cpu >= 0 ? np_affinity_pin((unsigned int)slot->cpu) : 0;
}

static int is_over(const struct net_end *end)
{
    const struct np_clock *clock = &end->request->clock;
    if (bench_is_cancelled(end->request))
        return -ECANCELED;
    return np_clock_seconds(clock, np_clock_now(clock), end->deadline) <= 0 ? -ETIMEDOUT : 0;
}

/* How long a call has waited in vain. */
struct patience {
    unsigned int spins;
    uint64_t begin;
    bool is_asleep; /* it spins no more */
};

static bool is_spinning_on(const struct net_end *end, struct patience *patience)
{
    const struct np_clock *clock = &end->request->clock;
    if (patience->is_asleep || ++patience->spins % SPINS_PER_LOOK != 0)
        return !patience->is_asleep;
    const uint64_t now = np_clock_now(clock);
    patience->begin = patience->begin != 0 ? patience->begin : now;
    patience->is_asleep = np_clock_seconds(clock, patience->begin, now) > MOST_SPIN_S;
    return false;
}

/* After a call that moved `n` bytes: 0 if it may be tried again, else -errno. */
static int judge(const struct net_end *end, const struct net_slot *slot, ssize_t n, struct patience *patience)
{
    if (n > 0)
        return bench_is_cancelled(end->request) ? -ECANCELED : 0;
    if (n == 0)
        return -EPIPE;
    if (errno != EAGAIN && errno != EINTR)
        return -errno;
    return slot->is_spinning && is_spinning_on(end, patience) ? 0 : is_over(end);
}

int net_receive(const struct net_end *end, const struct net_slot *slot, void *message, size_t bytes)
{
    struct patience patience = {0};
    int rc = 0;
    for (size_t got = 0; got < bytes && rc == 0;) {
        const int flags = slot->is_spinning && !patience.is_asleep ? MSG_DONTWAIT : 0;
        const ssize_t n = recv(slot->fd, (char *)message + got, bytes - got, flags);
        got += n > 0 ? (size_t)n : 0;
        rc = judge(end, slot, n, &patience);
    }
    return rc;
}

int net_send(const struct net_end *end, const struct net_slot *slot, const void *message, size_t bytes)
{
    struct patience patience = {0};
    int rc = 0;
    for (size_t sent = 0; sent < bytes && rc == 0;) {
        const ssize_t n = send(slot->fd, (const char *)message + sent, bytes - sent, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        rc = judge(end, slot, n, &patience);
    }
    return rc;
}

/* Their pages are there before anything is measured. */
static int open_messages(struct net_end *end)
{
    end->message = malloc(end->message_bytes);
    end->answer = malloc(end->message_bytes);
    if (end->message == NULL || end->answer == NULL)
        return -ENOMEM;
    memset(end->message, 0x5a, end->message_bytes);
    memset(end->answer, 0x5a, end->message_bytes);
    return 0;
}

int net_play(void *state, size_t index, struct np_gate *gate)
{
    const struct net_part *part = &((const struct net_part *)state)[index];
    struct net_end *end = part->end;
    uint64_t opened;
    int rc = open_messages(end);
    if (rc == 0)
        rc = np_gate_meet(gate, &end->request->clock, &opened);
    if (rc == 0)
        rc = part->play(end);
    for (size_t i = 0; i < end->count && rc != 0; i++)
        shutdown(end->slots[i].fd, SHUT_RDWR); /* the other end must not wait for this one */
    free(end->message);
    free(end->answer);
    end->message = end->answer = NULL;
    return rc;
}

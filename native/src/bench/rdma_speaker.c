/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma_speaker.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* A completion for each message would be polled for in each; none at all would leave the send queue full. */
enum { SIGNAL_EVERY = 16, MOST_UNREAPED = 2 };

/* A message may come in parts: its end has been seen, and the rest is a few stores behind. */
enum { SETTLE_TURNS = 1000 };

/* Take the completions of what was sent. */
static int reap(struct rdma_speaker *speaker)
{
    struct np_ibv_wc done[VERBS_MOST_POSTED];
    const int count = verbs_poll(speaker->end->send_cq, VERBS_MOST_POSTED, done);
    if (count < 0)
        return bench_why(speaker->why, -EIO, "%s: cannot poll for completions", speaker->end->port->name);
    for (int i = 0; i < count; i++)
        if (done[i].status != NP_IBV_WC_SUCCESS)
            return verbs_end_why(speaker->end, &done[i], speaker->why);
    speaker->unreaped -= (unsigned int)count <= speaker->unreaped ? (unsigned int)count : speaker->unreaped;
    return 0;
}

/* Nothing has come for a while: is there still somebody, and has the device given up? */
static int look_up(struct rdma_speaker *speaker)
{
    int rc = reap(speaker);
    if (rc != 0)
        return rc;
    rc = rdma_wait_look(speaker->wait);
    return rc != 0 ? rdma_link_why(speaker->link, rc, speaker->why) : 0;
}

static int reap_until(struct rdma_speaker *speaker, unsigned int left)
{
    int rc = 0;
    rdma_wait_begin(speaker->wait);
    while (speaker->unreaped > left && rc == 0)
        rc = rdma_wait_is_long(speaker->wait) ? look_up(speaker) : reap(speaker);
    return rc;
}

/* The number is the end of the message, its lowest byte last: the byte that others poll for. */
static _Atomic uint64_t *stamp_of(const struct verbs_end *end, char *first, enum rdma_operation operation)
{
    char *message = verbs_slot(end, first, (uint64_t)operation);
    return (_Atomic uint64_t *)(void *)(message + end->shape.message_bytes - sizeof(uint64_t));
}

int rdma_speaker_say(struct rdma_speaker *speaker, enum rdma_operation operation, uint64_t message)
{
    struct verbs_end *end = speaker->end;
    const bool is_last = (message & RDMA_ALL_ENDS) != 0;
    const bool is_signalled = is_last || ++speaker->posted % SIGNAL_EVERY == 0;
    if (is_signalled && speaker->unreaped >= MOST_UNREAPED) {
        const int rc = reap_until(speaker, MOST_UNREAPED - 1);
        if (rc != 0)
            return rc;
    }
    atomic_store_explicit(stamp_of(end, end->outgoing, operation), htobe64(message), memory_order_relaxed);
    verbs_prepare(end, 0, operation == RDMA_WRITE ? NP_IBV_WR_RDMA_WRITE : NP_IBV_WR_SEND, (uint64_t)operation,
                  is_signalled);
    const int rc = verbs_post(end, 1);
    if (rc != 0)
        return bench_why(speaker->why, -EIO, "%s: cannot post a message: %s", end->port->name, strerror(-rc));
    speaker->unreaped += is_signalled;
    return 0;
}

/* Wait until the last byte is not that of the message before. The device writes it, at any moment: hence the atomic. */
static int await_write(struct rdma_speaker *speaker, uint64_t number)
{
    _Atomic uint64_t *stamp = stamp_of(speaker->end, speaker->end->incoming, RDMA_WRITE);
    const _Atomic unsigned char *last = (const _Atomic unsigned char *)(stamp + 1) - 1;
    const unsigned char before = (unsigned char)(number - 1);
    while (atomic_load_explicit(last, memory_order_acquire) == before) {
        if (!rdma_wait_is_long(speaker->wait))
            continue;
        const int rc = look_up(speaker);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int await_send(struct rdma_speaker *speaker)
{
    struct verbs_end *end = speaker->end;
    struct np_ibv_wc done;
    int count;
    while ((count = verbs_poll(end->receive_cq, 1, &done)) == 0) {
        if (!rdma_wait_is_long(speaker->wait))
            continue;
        const int rc = look_up(speaker);
        if (rc != 0)
            return rc;
    }
    if (count < 0)
        return bench_why(speaker->why, -EIO, "%s: cannot poll for messages", end->port->name);
    speaker->owed++;
    return done.status == NP_IBV_WC_SUCCESS ? 0 : verbs_end_why(end, &done, speaker->why);
}

/* Receives that were used up are posted again while there is time: after the answer, not before. */
static int pay(struct rdma_speaker *speaker)
{
    int rc = 0;
    for (; speaker->owed > 0 && rc == 0; speaker->owed--)
        rc = verbs_post_receive(speaker->end);
    if (rc == 0)
        return 0;
    return bench_why(speaker->why, -EIO, "%s: cannot post a receive: %s", speaker->end->port->name, strerror(-rc));
}

int rdma_speaker_hear(struct rdma_speaker *speaker, enum rdma_operation operation, uint64_t number, uint64_t *message)
{
    _Atomic uint64_t *stamp = stamp_of(speaker->end, speaker->end->incoming, operation);
    int rc = pay(speaker);
    rdma_wait_begin(speaker->wait);
    if (rc == 0)
        rc = operation == RDMA_WRITE ? await_write(speaker, number) : await_send(speaker);
    if (rc != 0)
        return rc;
    for (int i = 0; i < SETTLE_TURNS; i++) {
        *message = be64toh(atomic_load_explicit(stamp, memory_order_acquire));
        if ((*message & RDMA_NUMBER) == number)
            return 0;
    }
    speaker->wrong++;
    *message = number;
    atomic_store_explicit(stamp, htobe64(number), memory_order_relaxed); /* else the next one would seem to be there */
    return 0;
}

int rdma_speaker_finish(struct rdma_speaker *speaker)
{
    return reap_until(speaker, 0);
}

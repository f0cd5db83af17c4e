/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One end of a reliable connection (RC): a queue pair, and memory that goes out and comes in by slots.
 *
 * An end has a context of its own, so that two ends in one process share no lock of the library. One thread at a time
 * may use it.
 */
#ifndef NODEPROOF_BENCH_VERBS_END_H
#define NODEPROOF_BENCH_VERBS_END_H

#include "nodeproof/arena.h"
#include "verbs_port.h"

/** Work requests that are handed to the device at once at most. */
enum { VERBS_MOST_POSTED = 16 };

/** What an end is made for. */
struct verbs_shape {
    uint32_t message_bytes; /**< a multiple of 8 */
    uint32_t slots;         /**< messages that have places of their own, in each direction */
    uint32_t send_depth;
    uint32_t receive_depth; /**< receives that are posted from the beginning, into the last slot */
    bool is_relaxed;        /**< the device may write a message in any order: nobody looks at it before a completion */
};

/** What the other end has to know. Both programs are of the same version, and little-endian. */
struct verbs_address {
    uint64_t incoming; /**< address of slot 0 */
    uint32_t rkey;
    uint32_t qp_num;
    uint32_t psn;
    uint32_t message_bytes;
    uint16_t lid;
    uint8_t mtu;
    uint8_t is_ethernet;
    uint8_t needs_route; /**< InfiniBand packets need a GID */
    uint8_t gid[16];
    char name[VERBS_PORT_NAME_BYTES];
};

struct verbs_end {
    const struct verbs *verbs;
    const struct verbs_port *port;
    struct verbs_shape shape;
    struct np_arena arena;
    size_t stride; /**< from slot to slot */
    char *outgoing, *incoming;
    struct np_ibv_context *context;
    struct np_ibv_pd *pd;
    struct np_ibv_mr *mr;
    struct np_ibv_cq *send_cq, *receive_cq;
    struct np_ibv_qp *qp;
    uint32_t psn;
    uint32_t inline_bytes; /**< messages up to this size go with the request itself */
    int path_mtu;
    struct verbs_address peer;
    struct np_ibv_send_wr sends[VERBS_MOST_POSTED];
    struct np_ibv_sge send_parts[VERBS_MOST_POSTED];
    struct np_ibv_recv_wr receive;
    struct np_ibv_sge receive_part;
};

/**
 * Make an end of `port`, which must outlive it. Returns 0 or -errno, with one sentence in `why`. It may be closed in
 * any case.
 */
int verbs_end_open(struct verbs_end *end, const struct verbs *verbs, const struct verbs_port *port,
                   const struct verbs_shape *shape, char why[BENCH_WHY_BYTES]);

void verbs_end_close(struct verbs_end *end);

void verbs_end_address(const struct verbs_end *end, struct verbs_address *address);

/** Connect with the end of this address, which may be another host's word. Returns 0 or -errno, with one sentence. */
int verbs_end_connect(struct verbs_end *end, const struct verbs_address *peer, char why[BENCH_WHY_BYTES]);

/** Say which completion failed. Returns -EIO. */
int verbs_end_why(const struct verbs_end *end, const struct np_ibv_wc *completion, char why[BENCH_WHY_BYTES]);

static inline char *verbs_slot(const struct verbs_end *end, char *first, uint64_t number)
{
    return first + number % end->shape.slots * end->stride;
}

/** Describe request `i` of the next post: the message of slot `number`, to the same slot of the other end. */
static inline void verbs_prepare(struct verbs_end *end, size_t i, int opcode, uint64_t number, bool is_signalled)
{
    struct np_ibv_send_wr *send = &end->sends[i];
    const uint64_t offset = number % end->shape.slots * end->stride;
    end->send_parts[i].addr = (uintptr_t)end->outgoing + offset;
    send->opcode = opcode;
    send->send_flags = (is_signalled ? NP_IBV_SEND_SIGNALED : 0U) |
                       (end->shape.message_bytes <= end->inline_bytes ? NP_IBV_SEND_INLINE : 0U);
    send->remote_addr = end->peer.incoming + offset;
}

/** Hand the first `count` requests to the device. Returns 0 or -errno. */
static inline int verbs_post(struct verbs_end *end, size_t count)
{
    struct np_ibv_send_wr *bad;
    for (size_t i = 0; i < count; i++)
        end->sends[i].next = i + 1 < count ? &end->sends[i + 1] : NULL;
    const int error = end->context->ops.post_send(end->qp, end->sends, &bad);
    return error > 0 ? -error : error;
}

/** Make room for one more message that is sent to us. Returns 0 or -errno. */
static inline int verbs_post_receive(struct verbs_end *end)
{
    struct np_ibv_recv_wr *bad;
    const int error = end->context->ops.post_recv(end->qp, &end->receive, &bad);
    return error > 0 ? -error : error;
}

/** Take completions. Returns how many, or a negative number. */
static inline int verbs_poll(struct np_ibv_cq *cq, int most, struct np_ibv_wc *completions)
{
    return cq->context->ops.poll_cq(cq, most, completions);
}

#endif

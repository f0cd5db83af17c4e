/* SPDX-License-Identifier: Apache-2.0 */
/* One side of a link that exchanges numbered messages in turn with the other, by RDMA writes or by sends. */
#ifndef NODEPROOF_BENCH_RDMA_SPEAKER_H
#define NODEPROOF_BENCH_RDMA_SPEAKER_H

#include "rdma_links.h"

enum rdma_operation { RDMA_WRITE, RDMA_SEND, RDMA_OPERATIONS };

/** What a link for speakers is made for: each operation has a slot of its own. */
enum { RDMA_SPEAKER_SEND_DEPTH = 64, RDMA_SPEAKER_RECEIVE_DEPTH = 16 };

/** Messages are a number, with what the receiver is told beside it. */
#define RDMA_NUMBER (UINT64_MAX >> 8)
#define RDMA_BLOCK_ENDS (UINT64_C(1) << 62) /**< there is no message of this operation for a while */
#define RDMA_ALL_ENDS (UINT64_C(1) << 63)   /**< and none of any other */

struct rdma_speaker {
    const struct rdma_link *link;
    struct verbs_end *end;
    struct rdma_wait *wait;
    uint64_t posted;
    unsigned int unreaped;             /**< messages whose completion has not been seen, though asked for */
    unsigned int owed;                 /**< receives that are used up */
    uint64_t numbers[RDMA_OPERATIONS]; /**< of the last message of each */
    uint64_t wrong;                    /**< messages with another number than the one that was due */
    char *why;
};

/** Send one message. Returns 0 or -errno, with one sentence in the speaker's `why`. */
int rdma_speaker_say(struct rdma_speaker *speaker, enum rdma_operation operation, uint64_t message);

/** Wait for message `number`. Returns 0 or -errno, with one sentence in the speaker's `why`. */
int rdma_speaker_hear(struct rdma_speaker *speaker, enum rdma_operation operation, uint64_t number, uint64_t *message);

/** Wait until the last message has arrived, for which the queue pair has to be there. Returns as the others. */
int rdma_speaker_finish(struct rdma_speaker *speaker);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Round trips of small messages. */
#ifndef NODEPROOF_BENCH_NET_PING_H
#define NODEPROOF_BENCH_NET_PING_H

#include "net_slots.h"

/** Most samples of a slot. */
enum { NET_PING_SAMPLES = 1 << 17 };

/** Send messages and time the answers, until the times are known well enough or the time is over. */
net_end_fn net_ping_lead;

/** Answer. */
net_end_fn net_ping_follow;

#endif

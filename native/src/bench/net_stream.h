/* SPDX-License-Identifier: Apache-2.0 */
/* One large message after the other, one way: who leads asks for a block of them and takes it. */
#ifndef NODEPROOF_BENCH_NET_STREAM_H
#define NODEPROOF_BENCH_NET_STREAM_H

#include "net_slots.h"

/** Most samples of a slot. */
enum { NET_STREAM_SAMPLES = 1 << 14 };

net_end_fn net_stream_lead;
net_end_fn net_stream_follow;

#endif

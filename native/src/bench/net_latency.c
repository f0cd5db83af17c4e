/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Half a round trip of a small message over TCP: what a message takes one way.
 *
 * Ends that spin tell of the network and the kernel's code; ends that sleep of interrupts, the scheduler and how deep
 * idle CPUs sleep as well.
 */
#include "net.h"
#include "net_job.h"
#include "net_ping.h"

int net_latency(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    static const struct net_job JOB = {
        .benchmark = "net.latency",
        .unit = "s",
        .kind = NP_TIME,
        .operations = {{"spinning", true}, {"blocking", false}},
        .count = 2,
        .lead = net_ping_lead,
        .follow = net_ping_follow,
        .message_bytes = NET_PING_BYTES,
        .least_bytes = NET_PING_BYTES,
        .most_bytes = 1 << 20,
        .block_s = 0.008,
        .scale = 0.5,
        .samples = NET_PING_SAMPLES,
    };
    return net_job_run(&JOB, request, out, why);
}

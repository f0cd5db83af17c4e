/* SPDX-License-Identifier: Apache-2.0 */
/* A stream over one TCP connection, towards who measures: between two hosts from the server to the client. */
#include "net.h"
#include "net_job.h"
#include "net_stream.h"

int net_bandwidth(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    static const struct net_job JOB = {
        .benchmark = "net.bandwidth",
        .unit = "B/s",
        .kind = NP_RATE,
        .operations = {{"stream", false}},
        .count = 1,
        .lead = net_stream_lead,
        .follow = net_stream_follow,
        .message_bytes = 256 << 10,
        .least_bytes = 64,
        .most_bytes = 64 << 20,
        .block_s = 0.01,
        .window_s = 0.0025,
        .scale = 1,
        .samples = NET_STREAM_SAMPLES,
    };
    return net_job_run(&JOB, request, out, why);
}

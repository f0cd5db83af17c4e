/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RDMA writes on each link, one way, as many as fit on it.
 *
 * The writer keeps the send queue full and counts completions; the CPU of the other end has nothing to do. Links take
 * turns in blocks. What is measured lies between two completions with the queue full: neither the time to fill it nor
 * to empty it counts.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rdma.h"
#include "rdma_results.h"
#include "rdma_rounds.h"

static const double WINDOW_S = 0.01;

/* The queue is full while its writer sleeps, and each waking takes time from whoever sends: software RDMA, that is. */
static const double NAP_SHARE = 1.0 / 8;

/* Memory of few messages is used again and again: it is the link that is measured, not the memory behind it. */
enum { DEFAULT_BYTES = 64 << 10, MOST_POSTED = 128, SLOTS = 16, RECEIVES = 1 };

/* So much on its way fills any link: 400 Gb/s for 40 us. A slow one has to be emptied of it after each block. */
enum { ON_ITS_WAY_BYTES = 2 << 20 };

/* Messages are posted in batches, and a completion is asked for once in each. */
enum { BATCHES = 8 };

/* In a block, at least so many times a full queue is sent; of a link, at most so many windows are kept. */
enum { FEWEST_QUEUES = 2, MOST_SAMPLES = 1 << 16 };

static const char *const OPERATIONS[] = {"write"};

struct stream {
    struct verbs_end *end;
    struct np_samples *samples;
    uint64_t depth, batch;      /* messages that are posted at most, and at once */
    uint64_t posted, completed; /* messages */
};

struct bandwidth {
    struct rdma_links links;
    struct rdma_result *results; /* of each link one */
    struct rdma_sides sides;
    struct stream *streams;
    struct rdma_wait wait;
    unsigned int cpu;
    char *why;
};

/* A message carries its number at both ends: what arrives last in a slot is known. */
static void stamp(const struct stream *stream, uint64_t number)
{
    uint64_t *message = (uint64_t *)(void *)verbs_slot(stream->end, stream->end->outgoing, number);
    message[0] = message[stream->end->shape.message_bytes / sizeof *message - 1] = number;
}

/* Post a batch, of which only the last message asks for a completion. */
static int post_batch(struct bandwidth *bandwidth, struct stream *stream)
{
    for (size_t i = 0; i < stream->batch; i++) {
        stamp(stream, stream->posted);
        verbs_prepare(stream->end, i, NP_IBV_WR_RDMA_WRITE, stream->posted++, i + 1 == stream->batch);
    }
    const int rc = verbs_post(stream->end, stream->batch);
    if (rc == 0)
        return 0;
    return bench_why(bandwidth->why, -EIO, "%s: cannot post messages: %s", stream->end->port->name, strerror(-rc));
}

static int fill(struct bandwidth *bandwidth, struct stream *stream)
{
    int rc = 0;
    while (rc == 0 && stream->posted - stream->completed + stream->batch <= stream->depth)
        rc = post_batch(bandwidth, stream);
    return rc;
}

/* Wait for a completion of `cq`, and take as many as there are. Returns how many, or -errno. */
static int await(struct bandwidth *bandwidth, const struct rdma_link *link, const struct verbs_end *end,
                 struct np_ibv_cq *cq)
{
    struct np_ibv_wc done[BATCHES];
    int count;
    rdma_wait_begin(&bandwidth->wait);
    while ((count = verbs_poll(cq, BATCHES, done)) == 0) {
        const int rc = rdma_wait_is_long(&bandwidth->wait) ? rdma_wait_look(&bandwidth->wait) : 0;
        if (rc != 0)
            return rdma_link_why(link, rc, bandwidth->why);
    }
    if (count < 0)
        return bench_why(bandwidth->why, -EIO, "%s: cannot poll for completions", end->port->name);
    for (int i = 0; i < count; i++)
        if (done[i].status != NP_IBV_WC_SUCCESS)
            return verbs_end_why(end, &done[i], bandwidth->why);
    return count;
}

static int complete(struct bandwidth *bandwidth, size_t index)
{
    struct stream *stream = &bandwidth->streams[index];
    const int count = await(bandwidth, &bandwidth->links.links[index], stream->end, stream->end->send_cq);
    if (count > 0)
        stream->completed += (uint64_t)count * stream->batch;
    return count > 0 ? 0 : count;
}

/* Windows from completion to completion, until there is one at least and the queue has been sent several times. */
static int measure_block(struct bandwidth *bandwidth, size_t index, bool is_measured)
{
    struct stream *stream = &bandwidth->streams[index];
    const struct np_clock *clock = &bandwidth->links.request->clock;
    const uint64_t enough = stream->completed + FEWEST_QUEUES * stream->depth;
    int rc = bench_is_cancelled(bandwidth->links.request) ? -ECANCELED : fill(bandwidth, stream);
    if (rc == 0)
        rc = complete(bandwidth, index);
    uint64_t began = np_clock_now(clock), first = stream->completed;
    for (bool is_over = false; rc == 0 && !is_over;) {
        rc = fill(bandwidth, stream);
        if (rc == 0)
            rc = complete(bandwidth, index);
        const uint64_t now = np_clock_now(clock);
        const double window_s = np_clock_seconds(clock, began, now);
        if (rc != 0 || window_s < WINDOW_S)
            continue;
        if (is_measured)
            np_samples_add(stream->samples,
                           (double)(stream->completed - first) * stream->end->shape.message_bytes / window_s);
        began = now;
        first = stream->completed;
        is_over = stream->completed >= enough;
    }
    while (rc == 0 && stream->completed < stream->posted)
        rc = complete(bandwidth, index);
    return rc;
}

static int go_to(struct bandwidth *bandwidth, size_t index)
{
    const unsigned int cpu = bandwidth->links.links[index].cpus[0];
    if (cpu == bandwidth->cpu)
        return 0;
    bandwidth->cpu = cpu;
    return np_affinity_pin(cpu);
}

/* Round after round through all links; the first one is to warm up. */
static int write_all(struct bandwidth *bandwidth)
{
    const struct bench_request *request = bandwidth->links.request;
    struct rdma_rounds rounds = rdma_rounds_begin(&request->clock);
    int rc = 0;
    while (rc == 0 && (rounds.count < 2 || rounds.seconds + rounds.last_s / 2 < request->seconds)) {
        for (size_t i = 0; i < bandwidth->links.count && rc == 0; i++) {
            rc = go_to(bandwidth, i);
            if (rc == 0)
                rc = measure_block(bandwidth, i, rounds.count > 0);
        }
        rdma_rounds_end_one(&rounds);
    }
    bandwidth->sides.seconds = rounds.seconds;
    return rc;
}

/* A message of its own, which the receiver gets a completion for: all that was written before it is then in memory. */
static int say_how_many(struct bandwidth *bandwidth, size_t index)
{
    struct stream *stream = &bandwidth->streams[index];
    stamp(stream, stream->posted);
    verbs_prepare(stream->end, 0, NP_IBV_WR_SEND, stream->posted, true);
    const int rc = verbs_post(stream->end, 1);
    if (rc != 0)
        return bench_why(bandwidth->why, -EIO, "%s: cannot post a message: %s", stream->end->port->name, strerror(-rc));
    const int count = await(bandwidth, &bandwidth->links.links[index], stream->end, stream->end->send_cq);
    return count > 0 ? 0 : count;
}

/* The message that says how many there were lies in the last slot, where a receive was posted for it. */
static int check(struct bandwidth *bandwidth, size_t index)
{
    const struct verbs_end *end = rdma_links_end(&bandwidth->links, index, RDMA_ANSWERER);
    const size_t last = end->shape.message_bytes / sizeof(uint64_t) - 1;
    const int count = await(bandwidth, &bandwidth->links.links[index], end, end->receive_cq);
    if (count < 0)
        return count;
    const uint64_t *told = (const uint64_t *)(const void *)verbs_slot(end, end->incoming, SLOTS - 1);
    const uint64_t posted = told[0];
    uint64_t wrong = told[last] != posted || posted < SLOTS;
    for (uint64_t number = posted - SLOTS; wrong == 0 && number < posted; number++) {
        const uint64_t *message = (const uint64_t *)(const void *)verbs_slot(end, end->incoming, number);
        const bool is_overwritten = message == told;
        wrong += !is_overwritten && (message[0] != number || message[last] != number);
    }
    bandwidth->sides.wrong[RDMA_ANSWERER] += wrong;
    return 0;
}

static int take_part(void *state, size_t index, struct np_gate *gate)
{
    struct bandwidth *bandwidth = state;
    const struct rdma_links *links = &bandwidth->links;
    const int own = links->is_between_hosts ? rdma_links_own_side(links) : RDMA_CALLER;
    const double cpu_began_s = rdma_cpu_seconds();
    const uint64_t began = np_clock_now(&links->request->clock);
    int rc = own == RDMA_CALLER ? write_all(bandwidth) : 0;
    (void)index;
    (void)gate;
    if (own == RDMA_CALLER)
        rdma_sides_end(&bandwidth->sides, links->request, own, rc, began, cpu_began_s);
    for (size_t i = 0; i < links->count && rc == 0 && own == RDMA_CALLER; i++)
        rc = say_how_many(bandwidth, i);
    if (rc == 0 && links->is_between_hosts)
        rc = rendezvous_barrier(&bandwidth->links.met, bandwidth->why); /* who has nothing to do sleeps here */
    for (size_t i = 0; i < links->count && rc == 0 && (own == RDMA_ANSWERER || !links->is_between_hosts); i++)
        rc = check(bandwidth, i);
    bandwidth->sides.rcs[own] = rc;
    return rc;
}

static void open_stream(struct stream *stream, struct verbs_end *end, struct np_samples *samples)
{
    const uint64_t batch = ON_ITS_WAY_BYTES / BATCHES / end->shape.message_bytes;
    *stream = (struct stream){.end = end, .samples = samples};
    stream->batch = batch < 1 ? 1 : batch > MOST_POSTED / BATCHES ? MOST_POSTED / BATCHES : batch;
    stream->depth = stream->batch * BATCHES;
}

static int measure(struct bandwidth *bandwidth, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    const struct rdma_links *links = &bandwidth->links;
    const int own = links->is_between_hosts ? rdma_links_own_side(links) : RDMA_CALLER;
    int rc = rdma_results_open(&bandwidth->results, links, OPERATIONS, 1, MOST_SAMPLES);
    bandwidth->streams = calloc(links->count, sizeof *bandwidth->streams);
    if (rc != 0 || bandwidth->streams == NULL)
        return bench_why(why, -ENOMEM, "%s", strerror(ENOMEM));
    for (size_t i = 0; i < links->count; i++)
        open_stream(&bandwidth->streams[i], rdma_links_end(links, i, RDMA_CALLER), &bandwidth->results[i].samples);
    bandwidth->wait = rdma_sides_wait(&bandwidth->sides, links);
    bandwidth->wait.nap_share = NAP_SHARE;
    bandwidth->cpu = NP_MAX_CPUS;
    bandwidth->why = bandwidth->sides.whys[own];
    rc = rdma_sides_run(&bandwidth->sides, links, 1, take_part, bandwidth, why);
    return rc != 0 ? rc
                   : rdma_results_put(&bandwidth->links, &bandwidth->sides, NP_RATE, bandwidth->results, links->count,
                                      out, why);
}

int rdma_bandwidth(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct bandwidth bandwidth = {0};
    const struct verbs_shape shape = {
        .message_bytes = rdma_message_bytes(request, DEFAULT_BYTES),
        .slots = SLOTS,
        .send_depth = MOST_POSTED,
        .receive_depth = RECEIVES,
        .is_relaxed = request->bytes == 0 || request->bytes >= DEFAULT_BYTES, /* else the next one in a slot is near */
    };
    if (shape.message_bytes == 0)
        return bench_why(why, -EINVAL, RDMA_BYTES_RULE);
    int rc = rdma_links_open(&bandwidth.links, request, "rdma.bandwidth", &shape, why);
    if (rc == 0)
        rc = measure(&bandwidth, out, why);
    rdma_results_close(bandwidth.results, bandwidth.links.count);
    free(bandwidth.streams);
    rdma_links_close(&bandwidth.links);
    return rc;
}

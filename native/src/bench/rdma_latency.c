/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Half a round trip between the two ends of each link, by RDMA writes and by sends.
 *
 * Writes are polled for in memory, where they appear without any help of the CPU: this is as fast as the hardware gets.
 * Links and operations take turns in blocks of some milliseconds, so that what disturbs the node meanwhile disturbs
 * all of them alike, and one that stands out is slow by itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rdma.h"
#include "rdma_results.h"
#include "rdma_rounds.h"
#include "rdma_speaker.h"

static const double BLOCK_S = 0.005, FASTEST_S = 1e-6;

/* The first of a block find caches cold, and the other side still on its way to its CPU. */
enum { SKIPPED = 4, FEWEST_TRIPS = 12, DEFAULT_BYTES = 8, FEWEST_SAMPLES = 1 << 10, MOST_SAMPLES = 1 << 17 };

static const char *const OPERATIONS[RDMA_OPERATIONS] = {[RDMA_WRITE] = "write", [RDMA_SEND] = "send"};

struct latency {
    struct rdma_links links;
    struct rdma_result *results; /* of each link RDMA_OPERATIONS */
    struct rdma_sides sides;
};

/* One thread's view. */
struct side {
    struct latency *latency;
    int number;
    struct rdma_wait wait;
    struct rdma_speaker *speakers; /* one for each link */
    unsigned int cpu;
};

static int open_side(struct side *side, struct latency *latency, int number)
{
    const struct rdma_links *links = &latency->links;
    *side = (struct side){.latency = latency, .number = number, .cpu = NP_MAX_CPUS};
    side->wait = rdma_sides_wait(&latency->sides, links);
    side->speakers = calloc(links->count, sizeof *side->speakers);
    if (side->speakers == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < links->count; i++)
        side->speakers[i] = (struct rdma_speaker){
            .link = &links->links[i],
            .end = rdma_links_end(links, i, number),
            .wait = &side->wait,
            .why = latency->sides.whys[number],
        };
    return 0;
}

/* Go to the CPU that is next to the port of a link, unless a signal says otherwise. */
static int go_to(struct side *side, size_t index)
{
    const struct rdma_links *links = &side->latency->links;
    if (bench_is_cancelled(links->request))
        return -ECANCELED;
    const unsigned int cpu = links->links[index].cpus[links->is_between_hosts ? 0 : side->number];
    if (cpu == side->cpu)
        return 0;
    side->cpu = cpu;
    return np_affinity_pin(cpu);
}

/* Exchange messages until the block is over; the last one says so. */
static int call_block(struct side *side, size_t point, bool is_measured, bool is_final)
{
    const struct np_clock *clock = &side->wait.request->clock;
    const enum rdma_operation operation = (enum rdma_operation)(point % RDMA_OPERATIONS);
    struct rdma_speaker *speaker = &side->speakers[point / RDMA_OPERATIONS];
    struct np_samples *samples = &side->latency->results[point].samples;
    int rc = go_to(side, point / RDMA_OPERATIONS);
    uint64_t before = np_clock_now(clock);
    const uint64_t until = before + np_clock_ticks(clock, BLOCK_S);
    bool is_last = false;
    for (int trips = 0; !is_last && rc == 0; trips++) {
        uint64_t answer, message = ++speaker->numbers[operation];
        is_last = trips >= FEWEST_TRIPS && (int64_t)(before - until) >= 0;
        message |= is_last ? RDMA_BLOCK_ENDS | (is_final ? RDMA_ALL_ENDS : 0) : 0;
        rc = rdma_speaker_say(speaker, operation, message);
        if (rc == 0)
            rc = rdma_speaker_hear(speaker, operation, speaker->numbers[operation], &answer);
        const uint64_t now = np_clock_now(clock);
        if (is_measured && trips >= SKIPPED && rc == 0)
            np_samples_add(samples, np_clock_seconds(clock, before, now > before ? now : before + 1) / 2);
        before = now;
    }
    return rc;
}

/* Round after round through all links and operations; the first one is to warm up. */
static int call(struct side *side)
{
    struct latency *latency = side->latency;
    const struct bench_request *request = side->wait.request;
    const size_t points = latency->links.count * RDMA_OPERATIONS;
    struct rdma_rounds rounds = rdma_rounds_begin(&request->clock);
    bool is_final = false;
    int rc = 0;
    while (!is_final && rc == 0) {
        is_final = rounds.count > 0 && rounds.seconds + rounds.last_s >= request->seconds;
        for (size_t point = 0; point < points && rc == 0; point++)
            rc = call_block(side, point, rounds.count > 0, is_final && point + 1 == points);
        rdma_rounds_end_one(&rounds);
    }
    latency->sides.seconds = rounds.seconds;
    return rc;
}

/* Answer until the last message of all has been answered. */
static int answer(struct side *side)
{
    const size_t points = side->latency->links.count * RDMA_OPERATIONS;
    uint64_t message = 0;
    int rc = 0;
    for (size_t point = 0; rc == 0 && !(message & RDMA_ALL_ENDS); point = (point + 1) % points) {
        const enum rdma_operation operation = (enum rdma_operation)(point % RDMA_OPERATIONS);
        struct rdma_speaker *speaker = &side->speakers[point / RDMA_OPERATIONS];
        rc = go_to(side, point / RDMA_OPERATIONS);
        for (message = 0; rc == 0 && !(message & RDMA_BLOCK_ENDS);) {
            rc = rdma_speaker_hear(speaker, operation, ++speaker->numbers[operation], &message);
            if (rc == 0)
                rc = rdma_speaker_say(speaker, operation, message);
        }
        if (rc == 0 && (message & RDMA_ALL_ENDS))
            rc = rdma_speaker_finish(speaker);
    }
    return rc;
}

/* What a thread does: alone on its host, or one of two. */
static int take_part(void *state, size_t index, struct np_gate *gate)
{
    struct latency *latency = state;
    const struct rdma_links *links = &latency->links;
    const int number = links->is_between_hosts ? rdma_links_own_side(links) : (int)index;
    struct side side;
    uint64_t opened;
    int rc = open_side(&side, latency, number);
    if (rc == 0)
        rc = np_gate_meet(gate, &links->request->clock, &opened);
    const double cpu_began_s = rdma_cpu_seconds();
    const uint64_t began = np_clock_now(&links->request->clock);
    if (rc == 0)
        rc = number == RDMA_CALLER ? call(&side) : answer(&side);
    rdma_sides_end(&latency->sides, links->request, number, rc, began, cpu_began_s);
    for (size_t i = 0; i < links->count && side.speakers != NULL; i++)
        latency->sides.wrong[number] += side.speakers[i].wrong;
    free(side.speakers);
    return rc;
}

/* Room for all that there is time for; who answers on another host does not know how long its caller measures. */
static size_t most_samples(const struct rdma_links *links)
{
    const double trips = links->request->seconds / (double)links->count / RDMA_OPERATIONS / FASTEST_S;
    if (links->is_between_hosts || trips > MOST_SAMPLES)
        return MOST_SAMPLES;
    return trips < FEWEST_SAMPLES ? FEWEST_SAMPLES : (size_t)trips;
}

static int measure(struct latency *latency, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    const struct rdma_links *links = &latency->links;
    const size_t points = links->count * RDMA_OPERATIONS;
    int rc = rdma_results_open(&latency->results, links, OPERATIONS, RDMA_OPERATIONS, most_samples(links));
    if (rc == 0)
        rc = rdma_sides_run(&latency->sides, links, links->is_between_hosts ? 1 : RDMA_SIDES, take_part, latency, why);
    else
        bench_why(why, rc, "%s", strerror(-rc));
    if (rc == 0)
        rc = rdma_results_put(&latency->links, &latency->sides, NP_TIME, latency->results, points, out, why);
    rdma_results_close(latency->results, points);
    return rc;
}

int rdma_latency(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct latency latency = {0};
    const struct verbs_shape shape = {
        .message_bytes = rdma_message_bytes(request, DEFAULT_BYTES),
        .slots = RDMA_OPERATIONS,
        .send_depth = RDMA_SPEAKER_SEND_DEPTH,
        .receive_depth = RDMA_SPEAKER_RECEIVE_DEPTH,
    };
    if (shape.message_bytes == 0)
        return bench_why(why, -EINVAL, RDMA_BYTES_RULE);
    int rc = rdma_links_open(&latency.links, request, "rdma.latency", &shape, why);
    if (rc == 0)
        rc = measure(&latency, out, why);
    rdma_links_close(&latency.links);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP over the loopback interface between two CPUs: the kernel's network code, without any network.
 *
 * Round trips of ends that spin tell of that code and of interrupts; of ends that sleep, of the scheduler and of how
 * deep idle CPUs sleep as well. The two differ by a factor of ten, hence they are kept apart.
 */
#include <errno.h>
#include <string.h>

#include "conditions.h"
#include "fingerprint.h"
#include "net.h"
#include "net_cpus.h"
#include "net_pair.h"
#include "net_ping.h"
#include "net_stream.h"
#include "tail.h"

enum mode { SPINNING, BLOCKING, THROUGHPUT, MODES };

struct plan {
    const char *name;
    const char *unit;
    enum np_kind kind;
    double share; /* of the time */
    size_t message_bytes;
    size_t samples;
    net_end_fn *lead, *follow;
};

static const struct plan PLANS[MODES] = {
    [SPINNING] = {"spinning", "s", NP_TIME, 0.4, NET_PING_BYTES, NET_PING_SAMPLES, net_ping_lead, net_ping_follow},
    [BLOCKING] = {"blocking", "s", NP_TIME, 0.3, NET_PING_BYTES, NET_PING_SAMPLES, net_ping_lead, net_ping_follow},
    [THROUGHPUT] = {"throughput", "B/s", NP_RATE, 0.3, 1 << 20, NET_STREAM_SAMPLES, net_stream_lead, net_stream_follow},
};

/* Below this the spinning ends were apart most of the time: what is left was hardly undisturbed. */
static const double LEAST_ON_CPU = 0.5;

static const double BLOCK_S = 0.05, WINDOW_S = 0.01;

/* How long it may take beside what it measures. */
static const double MARGIN_S = 10;

/* One way to measure: the end that does and the one that helps. */
struct transfer {
    struct net_slot slots[2];
    struct net_end ends[2];
};

static void put_point(struct np_json *out, const struct plan *plan, struct np_samples *samples,
                      const struct np_figures *figures)
{
    np_json_open_object(out, NULL);
    np_json_string(out, "mode", plan->name);
    np_json_string(out, "unit", plan->unit);
    np_json_integer(out, "message_bytes", plan->message_bytes);
    bench_put_figures(out, figures, 1);
    if (plan->kind == NP_TIME)
        tail_put(out, samples);
    np_json_close_object(out);
}

static void put_samples(struct np_json *out, struct transfer transfers[MODES], const struct np_figures figures[MODES])
{
    const struct net_slot *spinning = &transfers[SPINNING].slots[0];
    double seconds = 0;
    uint64_t messages = 0, wrong = 0;
    np_json_open_array(out, "points");
    for (size_t i = 0; i < MODES; i++) {
        put_point(out, &PLANS[i], &transfers[i].slots[0].samples, &figures[i]);
        seconds += transfers[i].slots[0].samples.seconds;
        messages += transfers[i].ends[0].messages;
        wrong += transfers[i].ends[0].wrong;
    }
    np_json_close_array(out);
    bench_put_figures(out, &figures[SPINNING], 1);
    tail_put(out, &transfers[SPINNING].slots[0].samples);
    np_json_number(out, "seconds", seconds);
    np_json_bool(out, "is_contended", spinning->on_cpu_s < LEAST_ON_CPU * spinning->block_s);
    np_json_integer(out, "messages", messages);
    np_json_integer(out, "wrong_messages", wrong);
}

static int measure_one(struct transfer *transfer, const struct plan *plan, const unsigned int *cpus,
                       struct np_figures *figures)
{
    struct net_part parts[2] = {{&transfer->ends[0], plan->lead}, {&transfer->ends[1], plan->follow}};
    struct np_samples *samples = &transfer->slots[0].samples;
    int rc = np_samples_open(samples, plan->samples);
    if (rc == 0)
        rc = conditions_team_run(cpus, 2, net_play, parts);
    return rc == 0 ? np_samples_figures(samples, plan->kind, figures) : rc;
}

static int measure(const struct bench_request *request, const struct net_pair *pair, struct transfer transfers[MODES],
                   const unsigned int *cpus, struct np_figures figures[MODES])
{
    const struct np_clock *clock = &request->clock;
    const uint64_t deadline = np_clock_now(clock) + np_clock_ticks(clock, request->seconds + MARGIN_S);
    int rc = 0;
    for (size_t i = 0; i < MODES && rc == 0; i++) {
        struct transfer *transfer = &transfers[i];
        for (size_t j = 0; j < 2; j++) {
            transfer->slots[j] = (struct net_slot){.fd = pair->ends[j], .cpu = -1, .is_spinning = i == SPINNING};
            transfer->ends[j] = (struct net_end){.request = request,
                                                 .deadline = deadline,
                                                 .slots = &transfer->slots[j],
                                                 .count = 1,
                                                 .message_bytes = PLANS[i].message_bytes,
                                                 .most_s = request->seconds * PLANS[i].share,
                                                 .block_s = BLOCK_S,
                                                 .window_s = WINDOW_S};
        }
        rc = measure_one(transfer, &PLANS[i], cpus, &figures[i]);
    }
    return rc;
}

int net_loopback(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    unsigned int cpus[2];
    struct net_pair pair;
    struct np_cpuset used = {{0}};
    struct np_figures figures[MODES];
    struct transfer transfers[MODES] = {0};
    int rc = net_cpus_for_two(request, cpus, why);
    if (rc == 0)
        rc = net_pair_open(&pair, why);
    if (rc != 0)
        return rc;
    rc = measure(request, &pair, transfers, cpus, figures);
    if (rc == 0) {
        np_cpuset_add(&used, cpus[0]);
        np_cpuset_add(&used, cpus[1]);
        fingerprint_put(request, &used, out);
        put_samples(out, transfers, figures);
        bench_put_cpus(out, &used);
        np_json_string(out, "isa", np_isa_name(NP_ISA_GENERIC));
        np_json_string(out, "address", pair.address);
    } else {
        bench_why(why, rc, "the connection over %s failed: %s", pair.address, strerror(-rc));
    }
    for (size_t i = 0; i < MODES; i++)
        np_samples_close(&transfers[i].slots[0].samples);
    net_pair_close(&pair);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP over the loopback interface between two CPUs: the kernel's network code, without any network.
 *
 * Round trips of ends that spin tell of that code and of interrupts; of ends that sleep, of the scheduler and of how
 * deep idle CPUs sleep as well. The two differ by a factor of ten, hence they are kept apart.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conditions.h"
#include "fingerprint.h"
#include "net.h"
#include "net_pair.h"
#include "net_transfer.h"
#include "placement.h"
#include "tail.h"

enum mode { SPINNING, BLOCKING, THROUGHPUT, MODES };

struct plan {
    const char *name;
    const char *unit;
    enum np_kind kind;
    double share; /* of the time */
    size_t message_bytes;
};

static const struct plan PLANS[MODES] = {
    [SPINNING] = {"spinning", "s", NP_TIME, 0.4, NET_PING_BYTES},
    [BLOCKING] = {"blocking", "s", NP_TIME, 0.3, NET_PING_BYTES},
    [THROUGHPUT] = {"throughput", "B/s", NP_RATE, 0.3, NET_STREAM_BYTES},
};

/* Below this the spinning ends were apart most of the time: what is left was hardly undisturbed. */
static const double LEAST_ON_CPU = 0.5;

/* Two CPUs of different cores if there are any. */
static int choose_cpus(const struct bench_request *request, unsigned int cpus[2], char why[BENCH_WHY_BYTES])
{
    struct placement place;
    struct np_cpuset allowed;
    int rc = placement_find(request, &place, why);
    if (rc != 0)
        return rc;
    if (np_cpuset_list(&place.cpuset, cpus, 2) >= 2)
        return 0;
    if (request->has_cpus)
        return bench_why(why, -EINVAL, "--cpus: two CPUs are needed");
    rc = np_affinity_get(&allowed);
    if (rc == 0 && np_cpuset_list(&allowed, cpus, 2) >= 2)
        return 0;
    return bench_why(why, -ENOTSUP, "needs two CPUs, and this process may use one only");
}

static void put_point(struct np_json *out, const struct plan *plan, struct net_transfer *transfer,
                      const struct np_figures *figures)
{
    np_json_open_object(out, NULL);
    np_json_string(out, "mode", plan->name);
    np_json_string(out, "unit", plan->unit);
    np_json_integer(out, "message_bytes", plan->message_bytes);
    bench_put_figures(out, figures, 1);
    if (plan->kind == NP_TIME)
        tail_put(out, &transfer->samples);
    np_json_close_object(out);
}

static void put_samples(struct np_json *out, struct net_transfer transfers[MODES],
                        const struct np_figures figures[MODES])
{
    double seconds = 0;
    uint64_t messages = 0, wrong = 0;
    np_json_open_array(out, "points");
    for (size_t i = 0; i < MODES; i++) {
        put_point(out, &PLANS[i], &transfers[i], &figures[i]);
        seconds += transfers[i].samples.seconds;
        messages += transfers[i].messages;
        wrong += transfers[i].wrong;
    }
    np_json_close_array(out);
    bench_put_figures(out, &figures[SPINNING], 1);
    tail_put(out, &transfers[SPINNING].samples);
    np_json_number(out, "seconds", seconds);
    np_json_bool(out, "is_contended", transfers[SPINNING].on_cpu_share < LEAST_ON_CPU);
    np_json_integer(out, "messages", messages);
    np_json_integer(out, "wrong_messages", wrong);
}

static int measure(const struct bench_request *request, struct net_transfer transfers[MODES], const unsigned int *cpus,
                   struct np_figures figures[MODES])
{
    int rc = 0;
    for (size_t i = 0; i < MODES && rc == 0; i++) {
        transfers[i].most_s = request->seconds * PLANS[i].share;
        rc = conditions_team_run(cpus, 2, i == THROUGHPUT ? net_transfer_stream : net_transfer_ping, &transfers[i]);
        if (rc == 0)
            rc = np_samples_figures(&transfers[i].samples, PLANS[i].kind, &figures[i]);
    }
    return rc;
}

int net_loopback(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    unsigned int cpus[2];
    struct net_pair pair;
    struct np_cpuset used = {{0}};
    struct np_figures figures[MODES];
    struct net_transfer transfers[MODES];
    int rc = choose_cpus(request, cpus, why);
    if (rc == 0)
        rc = net_pair_open(&pair, why);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < MODES; i++)
        transfers[i] = (struct net_transfer){.request = request, .pair = &pair, .is_spinning = i == SPINNING};
    rc = measure(request, transfers, cpus, figures);
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
        np_samples_close(&transfers[i].samples);
    net_pair_close(&pair);
    return rc;
}

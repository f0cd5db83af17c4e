/* SPDX-License-Identifier: Apache-2.0 */
#include "net_job.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "conditions.h"
#include "fingerprint.h"
#include "net_cpus.h"
#include "net_links.h"
#include "net_pair.h"
#include "net_points.h"

/* Below this the spinning end was away most of the time: what is left was hardly undisturbed. */
static const double LEAST_ON_CPU = 0.5;

/* How long a measurement on one host may take beside what it measures. */
static const double MARGIN_S = 10;

struct run {
    const struct net_job *job;
    const struct bench_request *request;
    size_t message_bytes;
    struct net_links links;
    struct rendezvous met;
    struct np_cpuset cpus;
    struct net_end lead, follow;
    struct net_slot slots[2][NET_MOST_LINKS * NET_MOST_OPERATIONS];
    bool is_contended;
};

static int check(struct run *run, char why[BENCH_WHY_BYTES])
{
    const struct bench_request *request = run->request;
    run->message_bytes = request->bytes > 0 ? request->bytes : run->job->message_bytes;
    if (request->between_ports)
        return bench_why(why, -EINVAL, "--between ports: what a host sends to itself never leaves it");
    if (request->devices != NULL && !rendezvous_is_asked(request))
        return bench_why(why, -EINVAL, "--device: one host alone measures its loopback interface only");
    if (run->message_bytes < run->job->least_bytes || run->message_bytes > run->job->most_bytes)
        return bench_why(why, -EINVAL, "--bytes: a message has %zu to %zu bytes", run->job->least_bytes,
                         run->job->most_bytes);
    int rc = net_links_name(request, &run->links, why);
    for (size_t i = 0; i < run->links.count && rc == 0; i++)
        if (request->devices != NULL && if_nametoindex(run->links.links[i].device) == 0)
            rc = bench_why(why, -ENOTSUP, "there is no network interface %s", run->links.links[i].device);
    return rc;
}

/* An end, and a slot of it for each operation over each link. */
static struct net_end make_end(struct run *run, size_t index, uint64_t deadline)
{
    const struct net_job *job = run->job;
    const size_t count = run->links.count * job->count;
    struct net_slot *slots = run->slots[index];
    for (size_t i = 0; i < count; i++)
        slots[i] = (struct net_slot){.fd = run->links.links[i / job->count].fd,
                                     .cpu = -1,
                                     .is_spinning = job->operations[i % job->count].is_spinning};
    return (struct net_end){.request = run->request,
                            .deadline = deadline,
                            .slots = slots,
                            .count = count,
                            .message_bytes = run->message_bytes,
                            .most_s = run->request->seconds,
                            .block_s = job->block_s,
                            .window_s = job->window_s};
}

static int open_samples(struct run *run)
{
    int rc = 0;
    for (size_t i = 0; i < run->lead.count && rc == 0; i++)
        rc = np_samples_open(&run->lead.slots[i].samples, run->job->samples);
    return rc;
}

static bool is_contended(const struct net_end *end)
{
    double spun_s = 0, on_cpu_s = 0;
    for (size_t i = 0; i < end->count; i++)
        if (end->slots[i].is_spinning) {
            spun_s += end->slots[i].block_s;
            on_cpu_s += end->slots[i].on_cpu_s;
        }
    return on_cpu_s < LEAST_ON_CPU * spun_s;
}

static int run_here(struct run *run, char why[BENCH_WHY_BYTES])
{
    const struct np_clock *clock = &run->request->clock;
    const uint64_t deadline = np_clock_now(clock) + np_clock_ticks(clock, run->request->seconds + MARGIN_S);
    struct net_part parts[2] = {{&run->lead, run->job->lead}, {&run->follow, run->job->follow}};
    unsigned int cpus[2];
    struct net_pair pair;
    int rc = net_cpus_for_two(run->request, cpus, why);
    if (rc == 0)
        rc = net_pair_open(&pair, why);
    if (rc != 0)
        return rc;
    np_cpuset_add(&run->cpus, cpus[0]);
    np_cpuset_add(&run->cpus, cpus[1]);
    run->links.links[0].fd = pair.ends[1];
    run->follow = make_end(run, 1, deadline);
    run->links.links[0].fd = pair.ends[0];
    run->lead = make_end(run, 0, deadline);
    net_link_look(&run->links.links[0]);
    rc = open_samples(run);
    if (rc == 0)
        rc = conditions_team_run(cpus, 2, net_play, parts);
    run->is_contended = is_contended(&run->lead);
    run->links.links[0].fd = -1;
    net_pair_close(&pair);
    return rc == 0 ? 0 : bench_why(why, rc, "the connection over %s failed: %s", pair.address, strerror(-rc));
}

/* Both print the same: the server gets what the client has measured. */
static int share(struct run *run, char why[BENCH_WHY_BYTES])
{
    struct net_end *end = &run->lead;
    const uint64_t mine[3] = {htobe64(run->is_contended), htobe64(end->messages), htobe64(end->wrong)};
    uint64_t theirs[3];
    int rc = rendezvous_exchange(&run->met, mine, theirs, sizeof mine, why);
    if (rc != 0)
        return rc;
    run->is_contended = run->is_contended || theirs[0] != 0;
    if (run->met.is_server) {
        end->messages = be64toh(theirs[1]);
        end->wrong = be64toh(theirs[2]);
    }
    for (size_t i = 0; i < end->count && rc == 0; i++)
        rc = rendezvous_share_samples(&run->met, &end->slots[i].samples, why);
    return rc;
}

static int place_slots(struct run *run, char why[BENCH_WHY_BYTES])
{
    int rc = 0;
    for (size_t i = 0; i < run->lead.count && rc == 0; i++) {
        unsigned int cpu;
        const size_t link = i / run->job->count;
        rc = net_cpus_for(run->request, run->links.links[link].device, link, &cpu, why);
        if (rc != 0)
            break;
        run->lead.slots[i].cpu = (int)cpu;
        np_cpuset_add(&run->cpus, cpu);
    }
    return rc;
}

/* The server follows with the same end: its slots have room for what the client will tell. */
static int run_between_hosts(struct run *run, char why[BENCH_WHY_BYTES])
{
    int rc = rendezvous_open(run->request, run->job->benchmark, &run->met, why);
    if (rc == 0)
        rc = net_links_open(&run->links, &run->met, run->job->benchmark, run->message_bytes, why);
    if (rc != 0)
        return rc;
    run->lead = make_end(run, 0, run->met.deadline);
    rc = place_slots(run, why);
    if (rc != 0)
        return rc;
    struct net_part part = {&run->lead, run->met.is_server ? run->job->follow : run->job->lead};
    const unsigned int cpu = (unsigned int)run->lead.slots[0].cpu;
    rc = open_samples(run);
    if (rc == 0)
        rc = conditions_team_run(&cpu, 1, net_play, &part);
    if (rc != 0)
        return rendezvous_why(&run->met, rc, why);
    run->is_contended = !run->met.is_server && is_contended(&run->lead);
    return share(run, why);
}

int net_job_run(const struct net_job *job, const struct bench_request *request, struct np_json *out,
                char why[BENCH_WHY_BYTES])
{
    struct run run = {.job = job, .request = request, .met.fd = -1};
    int rc = check(&run, why);
    if (rc != 0)
        return rc;
    const bool is_between_hosts = rendezvous_is_asked(request);
    rc = is_between_hosts ? run_between_hosts(&run, why) : run_here(&run, why);
    if (rc == 0) {
        const struct net_outcome outcome = {.job = job,
                                            .links = &run.links,
                                            .end = &run.lead,
                                            .peer_host = is_between_hosts ? run.met.peer_host : NULL,
                                            .is_contended = run.is_contended};
        fingerprint_put(request, &run.cpus, out);
        rc = net_points_put(&outcome, out);
        if (rc != 0)
            bench_why(why, rc, "what was measured makes no figures: %s", strerror(-rc));
        bench_put_cpus(out, &run.cpus);
        np_json_string(out, "isa", np_isa_name(NP_ISA_GENERIC));
    }
    for (size_t i = 0; i < run.lead.count; i++)
        np_samples_close(&run.lead.slots[i].samples);
    net_links_close(&run.links);
    rendezvous_close(&run.met);
    return rc;
}

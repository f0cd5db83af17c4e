/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma_links.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "placement.h"
#include "system.h"

/* Take a CPU of `wanted`, else any that we may use, but not `taken`. */
static int choose_cpu(const struct np_cpuset *wanted, const struct np_cpuset *allowed, unsigned int taken,
                      unsigned int *cpu)
{
    const struct np_cpuset *const sets[] = {wanted, allowed};
    for (size_t i = 0; i < 2; i++) {
        unsigned int first[2];
        const size_t found = np_cpuset_list(sets[i], first, 2);
        const size_t chosen = found > 0 && first[0] == taken ? 1 : 0;
        if (found <= chosen)
            continue;
        *cpu = first[chosen];
        return 0;
    }
    return -ENOTSUP;
}

/* CPUs next to a port that we may use, one of each core; where nobody says which, those of the first node. */
static void near_cpus(const struct verbs_port *port, const struct np_cpuset *allowed, const struct placement *place,
                      struct np_cpuset *near)
{
    *near = port->near;
    np_cpuset_intersect(near, allowed);
    system_one_per_core(near);
    if (np_cpuset_count(near) == 0)
        *near = place->cpuset;
}

static int place_link(struct rdma_links *links, struct rdma_link *link, const struct verbs_port *ports[RDMA_SIDES],
                      const struct placement *place, char why[BENCH_WHY_BYTES])
{
    const struct bench_request *request = links->request;
    const int sides = links->is_between_hosts ? 1 : RDMA_SIDES;
    struct np_cpuset allowed = request->cpus, near;
    unsigned int taken = NP_MAX_CPUS;
    int rc = request->has_cpus ? 0 : np_affinity_get(&allowed);
    for (int side = 0; side < sides && rc == 0; side++) {
        if (request->has_cpus)
            near = request->cpus;
        else
            near_cpus(ports[side], &allowed, place, &near);
        rc = choose_cpu(&near, &allowed, taken, &link->cpus[side]);
        if (rc != 0 && request->has_cpus)
            return bench_why(why, -EINVAL, "--cpus: two CPUs are needed");
        if (rc != 0)
            return bench_why(why, rc, "needs two CPUs, and this process may use one only");
        taken = link->cpus[side];
        np_cpuset_add(&links->cpus, taken);
    }
    return rc == 0 ? 0 : bench_why(why, rc, "cannot read the CPU affinity: %s", strerror(-rc));
}

/* Connect the two ends in this process. */
static int connect_here(struct rdma_link *link, char why[BENCH_WHY_BYTES])
{
    struct verbs_address addresses[RDMA_SIDES];
    int rc = 0;
    for (int side = 0; side < RDMA_SIDES; side++)
        verbs_end_address(&link->ends[side], &addresses[side]);
    for (int side = 0; side < RDMA_SIDES && rc == 0; side++)
        rc = verbs_end_connect(&link->ends[side], &addresses[!side], why);
    return rc;
}

static int connect_with_host(struct rdma_links *links, struct rdma_link *link, char why[BENCH_WHY_BYTES])
{
    struct verbs_address mine, theirs;
    verbs_end_address(&link->ends[0], &mine);
    int rc = rendezvous_exchange(&links->met, &mine, &theirs, sizeof mine, why);
    if (rc == 0)
        rc = verbs_end_connect(&link->ends[0], &theirs, why);
    if (rc == 0) /* checked, unlike `theirs` */
        memcpy(links->met.is_server ? link->device : link->peer, link->ends[0].peer.name, sizeof link->peer);
    return rc;
}

static int open_link(struct rdma_links *links, size_t index, const struct verbs_shape *shape,
                     const struct placement *place, char why[BENCH_WHY_BYTES])
{
    struct rdma_link *link = &links->links[index];
    const bool is_ring = links->request->between_ports && !links->is_between_hosts;
    const size_t next = is_ring ? (index + 1) % links->ports.count : index;
    const struct verbs_port *ports[RDMA_SIDES] = {&links->ports.ports[index], &links->ports.ports[next]};
    const int sides = links->is_between_hosts ? 1 : RDMA_SIDES;
    int rc = place_link(links, link, ports, place, why);
    link->port = ports[0];
    memcpy(link->device, ports[0]->name, sizeof link->device);
    memcpy(link->peer, ports[1]->name, sizeof link->peer);
    for (int side = 0; side < sides && rc == 0; side++)
        rc = verbs_end_open(&link->ends[side], &links->verbs, ports[side], shape, why);
    if (rc == 0 && !links->is_between_hosts)
        rc = connect_here(link, why);
    return rc;
}

/* Meet the other host and connect all links with it; nobody sends before both are ready. */
static int meet(struct rdma_links *links, const char *benchmark, char why[BENCH_WHY_BYTES])
{
    const uint64_t mine = links->count;
    uint64_t theirs = 0;
    int rc = rendezvous_open(links->request, benchmark, &links->met, why);
    if (rc == 0)
        rc = rendezvous_exchange(&links->met, &mine, &theirs, sizeof mine, why);
    if (rc == 0 && mine != theirs)
        return bench_why(why, -EPROTO, "the other host has another number of ports (%llu) than this one (%zu)",
                         (unsigned long long)theirs, links->count);
    for (size_t i = 0; i < links->count && rc == 0; i++)
        rc = connect_with_host(links, &links->links[i], why);
    return rc != 0 ? rc : rendezvous_barrier(&links->met, why);
}

static size_t count_links(const struct rdma_links *links, char why[BENCH_WHY_BYTES])
{
    const size_t ports = links->ports.count;
    if (links->is_between_hosts || !links->request->between_ports)
        return ports;
    if (ports < 2)
        bench_why(why, -ENOTSUP, "--between ports needs two active ports, and %s is the only one",
                  links->ports.ports[0].name);
    return ports > 2 ? ports : ports - 1; /* two ports have one link, more of them a ring */
}

int rdma_links_open(struct rdma_links *links, const struct bench_request *request, const char *benchmark,
                    const struct verbs_shape *shape, char why[BENCH_WHY_BYTES])
{
    struct placement place = {.node = -1};
    *links = (struct rdma_links){.request = request, .is_between_hosts = rendezvous_is_asked(request)};
    links->met.fd = -1;
    int rc = verbs_load(&links->verbs, why);
    if (rc == 0)
        rc = verbs_ports_open(&links->ports, &links->verbs, request, why);
    if (rc == 0)
        rc = placement_find(request, &place, why);
    if (rc != 0)
        return rc;
    links->count = count_links(links, why);
    if (links->count == 0)
        return -ENOTSUP;
    links->links = calloc(links->count, sizeof *links->links);
    if (links->links == NULL)
        return bench_why(why, -ENOMEM, "%s", strerror(ENOMEM));
    for (size_t i = 0; i < links->count && rc == 0; i++)
        rc = open_link(links, i, shape, &place, why);
    return rc == 0 && links->is_between_hosts ? meet(links, benchmark, why) : rc;
}

void rdma_links_close(struct rdma_links *links)
{
    for (size_t i = 0; i < links->count && links->links != NULL; i++)
        for (int side = 0; side < RDMA_SIDES; side++)
            verbs_end_close(&links->links[i].ends[side]);
    free(links->links);
    links->links = NULL;
    verbs_ports_close(&links->ports);
    if (links->is_between_hosts && links->met.fd >= 0)
        rendezvous_close(&links->met);
}

void rdma_links_put(const struct rdma_links *links, struct np_json *out)
{
    np_json_string(out, "between",
                   links->is_between_hosts         ? "hosts"
                   : links->request->between_ports ? "ports"
                                                   : "self");
    if (links->is_between_hosts)
        np_json_string(out, "peer_host", links->met.peer_host);
    else
        np_json_null(out, "peer_host");
}

void rdma_link_put(const struct rdma_link *link, const char *operation, struct np_json *out)
{
    const struct verbs_end *end = &link->ends[0];
    np_json_string(out, "device", link->device);
    np_json_string(out, "peer", link->peer);
    np_json_string(out, "operation", operation);
    np_json_integer(out, "message_bytes", end->shape.message_bytes);
    if (link->port->rate_bits_per_s > 0)
        np_json_number(out, "rate_bits_per_s", link->port->rate_bits_per_s);
    else
        np_json_null(out, "rate_bits_per_s");
    np_json_integer(out, "mtu_bytes", verbs_mtu_bytes(end->path_mtu));
}

int rdma_link_why(const struct rdma_link *link, int rc, char why[BENCH_WHY_BYTES])
{
    if (rc == -EPIPE)
        return bench_why(why, rc, "%s: the other host went away", link->device);
    if (rc == -ETIMEDOUT)
        return bench_why(why, rc, "%s: nothing came from %s for seconds", link->device, link->peer);
    return bench_why(why, rc, "%s: %s", link->device, strerror(-rc));
}

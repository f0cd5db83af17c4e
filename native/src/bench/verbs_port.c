/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs_port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "system.h"

/* What the kernel says of a port's state: IBTA specification, PortInfo.PortState. */
static const char *const STATES[] = {"without a state", "down", "initialising", "armed", "active", "deferred"};

enum { STATE_COUNT = sizeof STATES / sizeof *STATES, MOST_GIDS = UINT8_MAX + 1, PATH_BYTES = NP_IBV_PATH_BYTES + 64 };

/* A file of the device in sysfs, without its newline. */
static int read_attribute(const struct np_ibv_device *device, const char *name, char *text, size_t size)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%.*s/%s", NP_IBV_PATH_BYTES - 1, device->ibdev_path, name);
    const int rc = system_read_text(path, text, size);
    if (rc == 0)
        text[strcspn(text, "\n")] = '\0';
    return rc;
}

static int read_port_attribute(const struct verbs_port *port, const char *name, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "ports/%u/%s", port->number, name);
    return read_attribute(port->device, path, text, size);
}

/* What the verbs say of the rate has no place for the newest ones; sysfs says `400 Gb/sec (4X NDR)`. */
static void find_rate(struct verbs_port *port)
{
    char text[64], unit[8] = "";
    double rate = 0;
    if (read_port_attribute(port, "rate", text, sizeof text) != 0)
        return;
    if (sscanf(text, "%lf %7s", &rate, unit) == 2 && strcmp(unit, "Gb/sec") == 0 && rate > 0 && rate < 1e6)
        port->rate_bits_per_s = rate * 1e9;
}

static void find_place(struct verbs_port *port)
{
    char text[NP_CPULIST_BYTES];
    port->node = -1;
    if (read_attribute(port->device, "device/local_cpulist", text, sizeof text) != 0 ||
        np_cpulist_parse(text, &port->near) != 0)
        port->near = (struct np_cpuset){{0}};
    if (read_attribute(port->device, "device/numa_node", text, sizeof text) == 0)
        port->node = (int)strtol(text, NULL, 10);
}

/*
 * How good an address is: packets of RoCE v2 can be routed, and those with IPv4 addresses pass everywhere.
 *
 * Between two ports of one host, though, the kernel would deliver them to itself: only an address of the link is looked
 * for on the cable (drivers/infiniband/core/addr.c, addr_resolve_neigh).
 */
static int rank_gid(const struct verbs_port *port, int index, const union np_ibv_gid *gid, bool is_own_peer)
{
    static const uint8_t NONE[16], IPV4[12] = {[10] = 0xff, [11] = 0xff};
    char name[48], type[32] = "";
    if (memcmp(gid->raw, NONE, sizeof NONE) == 0)
        return 0;
    snprintf(name, sizeof name, "gid_attrs/types/%d", index);
    if (read_port_attribute(port, name, type, sizeof type) != 0 || strcmp(type, "RoCE v2") != 0)
        return 1;
    if (memcmp(gid->raw, IPV4, sizeof IPV4) == 0)
        return 4;
    const bool is_of_link = gid->raw[0] == 0xfe && (gid->raw[1] & 0xc0) == 0x80; /* fe80::/10: ends at a router */
    return !is_of_link ? 3 : is_own_peer ? 5 : 2;
}

/* InfiniBand needs a GID across subnets only, and its first one is the one that is always there. */
static void find_gid(struct verbs_port *port, const struct verbs *verbs, struct np_ibv_context *context,
                     const struct bench_request *request)
{
    const int asked = request->gid_index;
    const int most = port->is_ethernet ? port->attr.gid_tbl_len : 1;
    const int first = asked >= 0 ? asked : 0;
    const int last = asked >= 0 ? asked + 1 : most;
    const int end = last < MOST_GIDS ? last : MOST_GIDS;
    int best = 0;
    for (int i = first; i < end; i++) {
        union np_ibv_gid gid;
        if (verbs->query_gid(context, port->number, i, &gid) != 0)
            continue;
        const int rank = rank_gid(port, i, &gid, request->between_ports);
        if (rank <= best)
            continue;
        best = rank;
        port->gid = gid;
        port->gid_index = (uint8_t)i;
        port->has_gid = true;
    }
}

static int check_gid(const struct verbs_port *port, int asked, char why[BENCH_WHY_BYTES])
{
    if (port->has_gid)
        return 0;
    if (asked >= 0)
        return bench_why(why, -ENOTSUP, "%s has no GID of index %d", port->name, asked);
    return port->is_ethernet ? bench_why(why, -ENOTSUP, "%s has no GID: has its interface an address?", port->name) : 0;
}

static int open_port(struct verbs_ports *ports, struct np_ibv_context *context, struct np_ibv_device *device,
                     uint8_t number, const struct bench_request *request, char why[BENCH_WHY_BYTES])
{
    struct verbs_port *port = &ports->ports[ports->count];
    *port = (struct verbs_port){.device = device, .number = number};
    snprintf(port->name, sizeof port->name, "%.*s/%u", NP_IBV_NAME_BYTES - 1, device->name, number);
    if (ports->verbs->query_port(context, number, &port->attr) != 0)
        return bench_why(why, -ENOTSUP, "there is no RDMA port %s", port->name);
    const unsigned int state = (unsigned int)port->attr.state;
    if (state != NP_IBV_PORT_ACTIVE)
        return bench_why(why, -ENOTSUP, "RDMA port %s is not active: it is %s", port->name,
                         STATES[state < STATE_COUNT ? state : 0]);
    port->is_ethernet = port->attr.link_layer == NP_IBV_LINK_LAYER_ETHERNET;
    find_rate(port);
    find_place(port);
    find_gid(port, ports->verbs, context, request);
    const int rc = check_gid(port, request->gid_index, why);
    ports->count += rc == 0;
    return rc;
}

/* Take one port of a device, or with 0 all that are fit. Returns 0 if one was taken. */
static int open_device(struct verbs_ports *ports, struct np_ibv_device *device, uint8_t number,
                       const struct bench_request *request, char why[BENCH_WHY_BYTES])
{
    struct np_ibv_device_attr attr = {.phys_port_cnt = 1};
    struct np_ibv_context *context = ports->verbs->open_device(device);
    const size_t before = ports->count;
    int rc = 0;
    if (context == NULL)
        return bench_why(why, errno == EACCES || errno == EPERM ? -ENOTSUP : -ENODEV,
                         "cannot open the RDMA device %s: %s", device->name, strerror(errno));
    if (number == 0)
        (void)ports->verbs->query_device(context, &attr);
    const uint8_t first = number != 0 ? number : 1, last = number != 0 ? number : attr.phys_port_cnt;
    for (unsigned int i = first; i <= last && ports->count < VERBS_MOST_PORTS; i++)
        rc = open_port(ports, context, device, (uint8_t)i, request, why);
    ports->verbs->close_device(context);
    return ports->count > before ? 0 : rc;
}

/* One name of the list: `mlx5_0/1`, or `mlx5_0` for the first port of a device. */
static int open_named(struct verbs_ports *ports, const char *name, size_t length, const struct bench_request *request,
                      char why[BENCH_WHY_BYTES])
{
    const char *slash = memchr(name, '/', length);
    const size_t device_length = slash != NULL ? (size_t)(slash - name) : length;
    char *end = NULL;
    const bool has_number = slash != NULL && slash[1] >= '0' && slash[1] <= '9';
    const unsigned long number = slash == NULL ? 1 : has_number ? strtoul(slash + 1, &end, 10) : 0;
    if (device_length == 0 || number < 1 || number > UINT8_MAX || (slash != NULL && end != name + length))
        return bench_why(why, -EINVAL, "--device takes a list such as mlx5_0/1,mlx5_1/1, not \"%.*s\"", (int)length,
                         name);
    if (ports->count == VERBS_MOST_PORTS)
        return bench_why(why, -EINVAL, "--device: more than %d ports", VERBS_MOST_PORTS);
    for (size_t i = 0; ports->list[i] != NULL; i++)
        if (strlen(ports->list[i]->name) == device_length && memcmp(ports->list[i]->name, name, device_length) == 0)
            return open_device(ports, ports->list[i], (uint8_t)number, request, why);
    return bench_why(why, -ENOTSUP, "there is no RDMA device %.*s", (int)device_length, name);
}

static int open_list(struct verbs_ports *ports, const struct bench_request *request, char why[BENCH_WHY_BYTES])
{
    int rc = 0;
    for (const char *name = request->devices; rc == 0; name++) {
        const size_t length = strcspn(name, ",");
        rc = open_named(ports, name, length, request, why);
        name += length;
        if (*name == '\0')
            break;
    }
    return rc;
}

int verbs_ports_open(struct verbs_ports *ports, const struct verbs *verbs, const struct bench_request *request,
                     char why[BENCH_WHY_BYTES])
{
    int count = 0;
    *ports = (struct verbs_ports){.verbs = verbs};
    errno = 0;
    ports->list = verbs->get_device_list(&count);
    if (ports->list == NULL)
        return bench_why(why, -ENOTSUP, "no RDMA device: %s", strerror(errno != 0 ? errno : ENODEV));
    if (count == 0)
        return bench_why(why, -ENOTSUP, "there is no RDMA device");
    if (request->devices != NULL)
        return open_list(ports, request, why);
    int rc = 0;
    for (int i = 0; i < count; i++) {
        const int failed = open_device(ports, ports->list[i], 0, request, why);
        rc = failed != 0 ? failed : rc;
    }
    return ports->count > 0 ? 0 : rc;
}

void verbs_ports_close(struct verbs_ports *ports)
{
    if (ports->list != NULL)
        ports->verbs->free_device_list(ports->list);
    ports->list = NULL;
}

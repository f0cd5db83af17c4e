/* SPDX-License-Identifier: Apache-2.0 */
#include "net_links.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "net_pair.h"

/* What both ends say before they connect; numbers in network order. */
struct wishes {
    uint64_t links;
    uint64_t message_bytes;
    uint64_t nanoseconds;
    uint64_t secret; /* of the server: connections without it are not ours */
};

/* Where the server waits for the connections of a link, and what each end calls its interface. */
struct place {
    char device[IFNAMSIZ];
    uint8_t address[16]; /* all zeros at the client */
    uint16_t is_v6;
    uint16_t port;
};

struct opening {
    struct net_links *links;
    struct rendezvous *met;
    const char *benchmark;
    uint64_t secret;
    struct place places[NET_MOST_LINKS];
    int listeners[NET_MOST_LINKS];
};

int net_links_name(const struct bench_request *request, struct net_links *links, char why[BENCH_WHY_BYTES])
{
    const char *rest = request->devices;
    *links = (struct net_links){0};
    for (size_t i = 0; i < NET_MOST_LINKS; i++)
        links->links[i].fd = -1;
    if (rest == NULL) {
        links->count = 1;
        return 0;
    }
    while (rest != NULL) {
        const char *comma = strchr(rest, ',');
        const int length = comma != NULL ? (int)(comma - rest) : (int)strlen(rest);
        if (links->count == NET_MOST_LINKS)
            return bench_why(why, -EINVAL, "--device: more than %d interfaces", NET_MOST_LINKS);
        struct net_link *link = &links->links[links->count++];
        if (length < IFNAMSIZ)
            snprintf(link->device, sizeof link->device, "%.*s", length, rest);
        if (!net_interface_is_name(link->device))
            return bench_why(why, -EINVAL, "--device: \"%.*s\" is no name of an interface", length, rest);
        rest = comma != NULL ? comma + 1 : NULL;
    }
    return 0;
}

static int agree(struct opening *opening, size_t message_bytes, char why[BENCH_WHY_BYTES])
{
    const uint64_t links = opening->links->count;
    const double wanted_s = opening->met->request->seconds;
    struct wishes mine = {.links = htobe64(links),
                          .message_bytes = htobe64(message_bytes),
                          .nanoseconds = htobe64((uint64_t)(wanted_s * 1e9))};
    struct wishes theirs;
    if (opening->met->is_server && getrandom(&mine.secret, sizeof mine.secret, 0) != (ssize_t)sizeof mine.secret)
        return bench_why(why, -EIO, "no random numbers: %s", strerror(errno));
    const int rc = rendezvous_exchange(opening->met, &mine, &theirs, sizeof mine, why);
    if (rc != 0)
        return rc;
    opening->secret = opening->met->is_server ? mine.secret : theirs.secret;
    if (theirs.links != mine.links)
        return bench_why(why, -EINVAL, "this end has %" PRIu64 " interfaces, the other one %" PRIu64, links,
                         be64toh(theirs.links));
    if (theirs.message_bytes != mine.message_bytes)
        return bench_why(why, -EINVAL, "this end has messages of %zu bytes, the other one of %" PRIu64, message_bytes,
                         be64toh(theirs.message_bytes));
    if (theirs.nanoseconds != mine.nanoseconds)
        return bench_why(why, -EINVAL, "this end measures for %g s, the other one for %g s", wanted_s,
                         1e-9 * (double)be64toh(theirs.nanoseconds));
    return 0;
}

static struct meeting meeting_of(const struct opening *opening, const char *session, size_t index)
{
    return (struct meeting){.request = opening->met->request,
                            .benchmark = opening->benchmark,
                            .session = session,
                            .device = opening->links->links[index].device,
                            .watched = opening->met->fd,
                            .deadline = opening->met->deadline};
}

/* Listen where the link is: at an address of its interface, or at the one that the client came to. */
static int listen_at(struct opening *opening, size_t index, char why[BENCH_WHY_BYTES])
{
    struct endpoint at;
    struct place *place = &opening->places[index];
    const struct meeting meeting = meeting_of(opening, "", index);
    int rc = endpoint_of(opening->met->fd, &at);
    if (rc != 0)
        return bench_why(why, rc, "the other host went away");
    if (*meeting.device != '\0')
        rc = net_interface_address(meeting.device, at.any.sa_family, &at, why);
    if (rc != 0)
        return rc;
    endpoint_set_port(&at, 0);
    opening->listeners[index] = meeting_listen(&meeting, &at, why);
    if (opening->listeners[index] < 0)
        return opening->listeners[index];
    place->is_v6 = htons(at.any.sa_family == AF_INET6);
    place->port = htons(endpoint_port(&at));
    if (place->is_v6)
        memcpy(place->address, &at.v6.sin6_addr, sizeof at.v6.sin6_addr);
    else
        memcpy(place->address, &at.v4.sin_addr, sizeof at.v4.sin_addr);
    return 0;
}

/* The address of a link is one of this end's scope: the other end's numbers of interfaces mean nothing here. */
static struct endpoint endpoint_at(const struct opening *opening, size_t index)
{
    const struct place *place = &opening->places[index];
    struct endpoint to = {.any.sa_family = place->is_v6 ? AF_INET6 : AF_INET}, own;
    if (!place->is_v6) {
        memcpy(&to.v4.sin_addr, place->address, sizeof to.v4.sin_addr);
    } else {
        memcpy(&to.v6.sin6_addr, place->address, sizeof to.v6.sin6_addr);
        if (*opening->links->links[index].device != '\0')
            to.v6.sin6_scope_id = if_nametoindex(opening->links->links[index].device);
        else if (endpoint_of(opening->met->fd, &own) == 0 && own.any.sa_family == AF_INET6)
            to.v6.sin6_scope_id = own.v6.sin6_scope_id;
    }
    endpoint_set_port(&to, ntohs(place->port));
    return to;
}

static int connect_link(struct opening *opening, size_t index, char why[BENCH_WHY_BYTES])
{
    char session[MEETING_SESSION_BYTES];
    snprintf(session, sizeof session, "%016" PRIx64 "-%zu", be64toh(opening->secret), index);
    const struct meeting meeting = meeting_of(opening, session, index);
    const struct endpoint to = endpoint_at(opening, index);
    const int fd = opening->met->is_server ? meeting_accept(&meeting, opening->listeners[index], why)
                                           : meeting_reach(&meeting, &to, why);
    if (fd < 0)
        return fd;
    opening->links->links[index].fd = fd;
    const int flags = fcntl(fd, F_GETFL);
    const int rc = fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0 ? -errno : net_pair_prepare(fd);
    return rc == 0 ? 0 : bench_why(why, rc, "cannot set up a connection: %s", strerror(-rc));
}

/* What the other end calls its interfaces is hostile text until it is looked at. */
static int take_places(struct opening *opening, const struct place *theirs, char why[BENCH_WHY_BYTES])
{
    for (size_t i = 0; i < opening->links->count; i++) {
        struct net_link *link = &opening->links->links[i];
        snprintf(link->peer, sizeof link->peer, "%.*s", IFNAMSIZ - 1, theirs[i].device);
        if (*link->peer != '\0' && !net_interface_is_name(link->peer))
            return rendezvous_why(opening->met, -EPROTO, why);
        if (!opening->met->is_server)
            opening->places[i] = theirs[i];
    }
    return 0;
}

static int connect_all(struct opening *opening, char why[BENCH_WHY_BYTES])
{
    struct place theirs[NET_MOST_LINKS];
    int rc = 0;
    for (size_t i = 0; i < opening->links->count && rc == 0; i++) {
        memcpy(opening->places[i].device, opening->links->links[i].device, IFNAMSIZ);
        if (opening->met->is_server)
            rc = listen_at(opening, i, why);
    }
    if (rc == 0)
        rc = rendezvous_exchange(opening->met, opening->places, theirs, sizeof theirs, why);
    if (rc == 0)
        rc = take_places(opening, theirs, why);
    for (size_t i = 0; i < opening->links->count && rc == 0; i++)
        rc = connect_link(opening, i, why);
    return rc;
}

int net_links_open(struct net_links *links, struct rendezvous *met, const char *benchmark, size_t message_bytes,
                   char why[BENCH_WHY_BYTES])
{
    struct opening opening = {.links = links, .met = met, .benchmark = benchmark};
    for (size_t i = 0; i < NET_MOST_LINKS; i++)
        opening.listeners[i] = -1;
    int rc = agree(&opening, message_bytes, why);
    if (rc == 0)
        rc = connect_all(&opening, why);
    for (size_t i = 0; i < links->count; i++) {
        if (opening.listeners[i] >= 0)
            close(opening.listeners[i]);
        if (rc == 0)
            net_link_look(&links->links[i]);
    }
    return rc;
}

void net_link_look(struct net_link *link)
{
    struct endpoint own;
    char name[IFNAMSIZ];
    memcpy(name, link->device, sizeof name);
    if (*name == '\0' && endpoint_of(link->fd, &own) == 0)
        net_interface_of(&own, name);
    link->speed_mbit = net_interface_number(name, "speed");
    link->mtu_bytes = net_interface_number(name, "mtu");
}

void net_links_close(struct net_links *links)
{
    for (size_t i = 0; i < links->count; i++) {
        if (links->links[i].fd >= 0)
            close(links->links[i].fd);
        links->links[i].fd = -1;
    }
}

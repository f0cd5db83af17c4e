/* SPDX-License-Identifier: Apache-2.0 */
#include "net_pair.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* How long the connection may take, and how long who waits for a message takes to see that it is cancelled. */
static const struct timeval CONNECT_TIME = {.tv_sec = 2}, WAIT_TIME = {.tv_usec = 50000};

/* Others may knock at a port that is open for a moment. */
enum { BACKLOG = 16, MOST_STRANGERS = 64 };

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t loopback(union address *address, int family)
{
    *address = (union address){.any.sa_family = (sa_family_t)family};
    if (family == AF_INET) {
        address->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return sizeof address->v4;
    }
    address->v6.sin6_addr = in6addr_loopback;
    return sizeof address->v6;
}

static bool is_same(const union address *one, const union address *other)
{
    if (one->any.sa_family != other->any.sa_family)
        return false;
    if (one->any.sa_family == AF_INET)
        return one->v4.sin_port == other->v4.sin_port && one->v4.sin_addr.s_addr == other->v4.sin_addr.s_addr;
    return one->v6.sin6_port == other->v6.sin6_port &&
           memcmp(&one->v6.sin6_addr, &other->v6.sin6_addr, sizeof one->v6.sin6_addr) == 0;
}

static int socket_or_errno(int family)
{
    const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 ? fd : -errno;
}

/* Listen at a port that the kernel chooses, for this machine only. Returns a socket or -errno. */
static int listen_here(union address *address, int family)
{
    socklen_t length = loopback(address, family);
    const int fd = socket_or_errno(family);
    if (fd < 0)
        return fd;
    if (bind(fd, &address->any, length) == 0 && listen(fd, BACKLOG) == 0 &&
        getsockname(fd, &address->any, &length) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &CONNECT_TIME, sizeof CONNECT_TIME) == 0)
        return fd;
    const int rc = -errno;
    close(fd);
    return rc;
}

static int connect_to(const union address *address)
{
    const int fd = socket_or_errno(address->any.sa_family);
    const socklen_t length = address->any.sa_family == AF_INET ? sizeof address->v4 : sizeof address->v6;
    if (fd < 0)
        return fd;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &CONNECT_TIME, sizeof CONNECT_TIME) == 0 &&
        connect(fd, &address->any, length) == 0)
        return fd;
    const int rc = errno == EINPROGRESS ? -ETIMEDOUT : -errno;
    close(fd);
    return rc;
}

/* Take our own connection, and send strangers away. */
static int accept_own(int listener, int client)
{
    union address own, peer;
    socklen_t length = sizeof own;
    if (getsockname(client, &own.any, &length) != 0)
        return -errno;
    for (int i = 0; i < MOST_STRANGERS; i++) {
        length = sizeof peer;
        const int fd = accept4(listener, &peer.any, &length, SOCK_CLOEXEC);
        if (fd < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        if (is_same(&own, &peer))
            return fd;
        close(fd);
    }
    return -ECONNREFUSED;
}

int net_pair_prepare(int fd)
{
    const int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &WAIT_TIME, sizeof WAIT_TIME) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &WAIT_TIME, sizeof WAIT_TIME) != 0)
        return -errno;
    return 0;
}

static int open_over(struct net_pair *pair, int family)
{
    union address address;
    int rc = 0;
    const int listener = listen_here(&address, family);
    *pair = (struct net_pair){.ends = {-1, -1}, .address = family == AF_INET ? "127.0.0.1" : "::1"};
    if (listener < 0)
        return listener;
    pair->ends[0] = connect_to(&address);
    pair->ends[1] = pair->ends[0] >= 0 ? accept_own(listener, pair->ends[0]) : -1;
    close(listener);
    for (int i = 0; i < 2 && rc == 0; i++)
        rc = pair->ends[i] >= 0 ? net_pair_prepare(pair->ends[i]) : pair->ends[i];
    if (rc != 0)
        net_pair_close(pair);
    return rc;
}

int net_pair_open(struct net_pair *pair, char why[BENCH_WHY_BYTES])
{
    int rc = open_over(pair, AF_INET);
    const int first = rc;
    if (rc != 0 && rc != -EINTR)
        rc = open_over(pair, AF_INET6);
    if (rc == 0)
        return 0;
    const bool is_down = first == -ENETUNREACH || first == -EADDRNOTAVAIL || first == -EAFNOSUPPORT;
    return bench_why(why, is_down ? -ENOTSUP : first, "no TCP connection over the loopback interface: %s",
                     strerror(-first));
}

void net_pair_close(struct net_pair *pair)
{
    for (int i = 0; i < 2; i++) {
        if (pair->ends[i] >= 0)
            close(pair->ends[i]);
        pair->ends[i] = -1;
    }
}

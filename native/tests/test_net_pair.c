/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/net_pair.h"
#include "test.h"

enum { STRANGERS = 3 };

static int strangers[STRANGERS], knocks;

/* In the place of libc's: strangers are at the open port first, and wait before us in its queue. */
int connect(int fd, const struct sockaddr *address, socklen_t length)
{
    for (int i = 0; i < STRANGERS; i++) {
        strangers[i] = socket(address->sa_family, SOCK_STREAM, 0);
        knocks += strangers[i] >= 0 && syscall(SYS_connect, strangers[i], address, length) == 0;
    }
    return (int)syscall(SYS_connect, fd, address, length);
}

/* The port of this end, or of the one that it is connected with: at the same place in an address of either family. */
static unsigned short port_of(int fd, bool is_other)
{
    struct sockaddr_in6 address;
    socklen_t length = sizeof address;
    struct sockaddr *any = (struct sockaddr *)&address;
    CHECK((is_other ? getpeername(fd, any, &length) : getsockname(fd, any, &length)) == 0);
    return address.sin6_port;
}

int main(void)
{
    char why[BENCH_WHY_BYTES] = "", letter = 0;
    struct net_pair pair;
    const int rc = net_pair_open(&pair, why);
    if (rc == -ENOTSUP)
        return EXIT_SUCCESS; /* no loopback interface here */
    CHECK(rc == 0);
    CHECK(knocks == STRANGERS);
    CHECK(port_of(pair.ends[0], false) == port_of(pair.ends[1], true));
    CHECK(port_of(pair.ends[1], false) == port_of(pair.ends[0], true));
    CHECK(write(pair.ends[0], "x", 1) == 1);
    CHECK(read(pair.ends[1], &letter, 1) == 1 && letter == 'x');
    for (int i = 0; i < STRANGERS; i++)
        CHECK(read(strangers[i], &letter, 1) <= 0);                 /* sent away */
    CHECK(read(pair.ends[0], &letter, 1) == -1 && errno == EAGAIN); /* waits for a moment only */
    net_pair_close(&pair);
    CHECK(pair.ends[0] == -1 && pair.ends[1] == -1);
    return EXIT_SUCCESS;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "meeting.h"

#include <errno.h>
#include <math.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

/* Changes with everything that the two ends say to each other, in any benchmark. */
enum { VERSION = 1 };

static const char MAGIC[8] = {'n', 'p', 'b', 'e', 'n', 'c', 'h', '\n'};

/* How long who waits takes to see a signal that came just before it went to sleep. */
static const double SLICE_S = 0.05;

/* A host that is switched off, or behind a cable that was pulled, sends no farewell: tcp(7). */
enum { IDLE_S = 2, PROBE_S = 1, PROBES = 3, UNANSWERED_MS = 5000 };

void hello_make(const struct meeting *meeting, enum hello_says says, struct hello *hello)
{
    *hello = (struct hello){.version = htonl(VERSION), .says = htonl(says)};
    memcpy(hello->magic, MAGIC, sizeof MAGIC);
    strncpy(hello->benchmark, meeting->benchmark, sizeof hello->benchmark - 1);
    if (says == SAYS_LET_ME_IN)
        strncpy(hello->session, meeting->session, sizeof hello->session - 1);
}

bool hello_may_begin(const struct hello *hello, size_t bytes)
{
    return memcmp(hello->magic, MAGIC, bytes < sizeof MAGIC ? bytes : sizeof MAGIC) == 0;
}

enum hello_says hello_judge(const struct meeting *meeting, const struct hello *hello)
{
    struct hello right;
    hello_make(meeting, SAYS_LET_ME_IN, &right);
    if (hello->version != right.version || hello->says != right.says)
        return SAYS_OTHER_VERSION;
    if (memcmp(hello->benchmark, right.benchmark, sizeof right.benchmark) != 0)
        return SAYS_OTHER_BENCHMARK;
    return memcmp(hello->session, right.session, sizeof right.session) == 0 ? SAYS_WELCOME : SAYS_OTHER_SESSION;
}

static bool is_gone(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLRDHUP};
    return fd >= 0 && poll(&one, 1, 0) > 0;
}

int meeting_wait(const struct meeting *meeting, struct pollfd *fds, size_t count, uint64_t until)
{
    const struct np_clock *clock = &meeting->request->clock;
    for (;;) {
        const double left_s = np_clock_seconds(clock, np_clock_now(clock), until);
        if (bench_is_cancelled(meeting->request))
            return -ECANCELED;
        if (is_gone(meeting->watched))
            return -EPIPE;
        if (left_s <= 0)
            return -ETIMEDOUT;
        const int n = poll(fds, count, (int)ceil(1000 * fmin(left_s, SLICE_S)));
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
    }
}

static bool set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

int meeting_socket(const struct meeting *meeting, int family, char why[BENCH_WHY_BYTES])
{
    const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return bench_why(why, -errno, "cannot have a TCP socket: %s", strerror(errno));
    int rc = 0;
    if (!set(fd, IPPROTO_TCP, TCP_NODELAY, 1) || !set(fd, SOL_SOCKET, SO_KEEPALIVE, 1) ||
        !set(fd, IPPROTO_TCP, TCP_KEEPIDLE, IDLE_S) || !set(fd, IPPROTO_TCP, TCP_KEEPINTVL, PROBE_S) ||
        !set(fd, IPPROTO_TCP, TCP_KEEPCNT, PROBES) || !set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNANSWERED_MS))
        rc = bench_why(why, -errno, "cannot set up a TCP socket: %s", strerror(errno));
    const size_t length = strlen(meeting->device);
    if (rc == 0 && length > 0 && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, meeting->device, (socklen_t)length) != 0)
        rc = bench_why(why, errno == ENODEV ? -ENOTSUP : -errno, "cannot bind to interface %s: %s", meeting->device,
                       strerror(errno));
    if (rc != 0)
        close(fd);
    return rc != 0 ? rc : fd;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "meeting.h"

static const double PAUSE_S = 0.1;

/* The server may not be there yet, or be there and have no time: what is worth another attempt. */
static bool is_worth_waiting(int rc)
{
    return rc == -ECONNREFUSED || rc == -ECONNRESET || rc == -EPIPE || rc == -EHOSTUNREACH || rc == -ENETUNREACH;
}

static int connect_to(const struct meeting *meeting, int fd, const struct endpoint *to)
{
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    struct endpoint own;
    int error = 0;
    socklen_t length = sizeof error;
    if (connect(fd, &to->any, endpoint_bytes(to)) != 0 && errno != EINPROGRESS)
        return -errno;
    int rc = meeting_wait(meeting, &one, 1, meeting->deadline);
    if (rc == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        rc = -errno;
    if (rc == 0 && error == 0)
        rc = endpoint_of(fd, &own);
    /* At a port that nobody listens at, TCP may connect a socket with itself. */
    if (rc == 0 && error == 0 && memcmp(&own, to, endpoint_bytes(to)) == 0)
        error = ECONNREFUSED;
    return rc != 0 ? rc : -error;
}

static int take_answer(const struct meeting *meeting, int fd, struct hello *answer)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    size_t got = 0;
    while (got < sizeof *answer) {
        const int rc = meeting_wait(meeting, &one, 1, meeting->deadline);
        if (rc != 0)
            return rc;
        const ssize_t n = recv(fd, (char *)answer + got, sizeof *answer - got, 0);
        if (n == 0)
            return -ECONNRESET;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        got += n > 0 ? (size_t)n : 0;
        if (!hello_may_begin(answer, got))
            return -EPROTO;
    }
    return 0;
}

static int follow_answer(const struct meeting *meeting, const struct hello *answer, const char *server,
                         char why[BENCH_WHY_BYTES])
{
    char benchmark[MEETING_BENCHMARK_BYTES];
    switch (ntohl(answer->says)) {
    case SAYS_WELCOME:
        return 0;
    case SAYS_OTHER_BENCHMARK:
        snprintf(benchmark, sizeof benchmark, "%.*s", (int)sizeof benchmark - 1, answer->benchmark);
        for (char *c = benchmark; *c != '\0'; c++)
            *c = *c > ' ' && *c < 0x7f ? *c : '?';
        return bench_why(why, -EPROTO, "%s waits for another benchmark, %s", server, benchmark);
    case SAYS_OTHER_SESSION:
        return bench_why(why, -EPROTO, "%s waits for another session than \"%s\"", server, meeting->session);
    default:
        return bench_why(why, -EPROTO, "%s is of another version of nodeproof-bench", server);
    }
}

/* One attempt. Returns a connection, or -errno with one sentence. */
static int attempt(const struct meeting *meeting, const struct endpoint *to, const char *server,
                   char why[BENCH_WHY_BYTES])
{
    struct hello mine, answer = {0};
    const int fd = meeting_socket(meeting, to->any.sa_family, why);
    if (fd < 0)
        return fd;
    hello_make(meeting, SAYS_LET_ME_IN, &mine);
    int rc = connect_to(meeting, fd, to);
    if (rc == 0 && send(fd, &mine, sizeof mine, MSG_NOSIGNAL) != (ssize_t)sizeof mine)
        rc = -ECONNRESET;
    if (rc != 0)
        bench_why(why, rc, "cannot connect to %s: %s", server, strerror(-rc));
    if (rc == 0) {
        rc = take_answer(meeting, fd, &answer);
        if (rc == -EPROTO)
            bench_why(why, rc, "what answers at %s is no nodeproof-bench", server);
        else if (rc != 0)
            bench_why(why, rc, "%s did not answer: %s", server, strerror(-rc));
        else
            rc = follow_answer(meeting, &answer, server, why);
    }
    if (rc != 0)
        close(fd);
    return rc != 0 ? rc : fd;
}

int meeting_reach(const struct meeting *meeting, const struct endpoint *to, char why[BENCH_WHY_BYTES])
{
    const struct np_clock *clock = &meeting->request->clock;
    char server[ENDPOINT_TEXT_BYTES];
    endpoint_text(to, server);
    for (;;) {
        const int rc = attempt(meeting, to, server, why);
        if (!is_worth_waiting(rc) || np_clock_seconds(clock, np_clock_now(clock), meeting->deadline) < PAUSE_S)
            return rc;
        const int paused = meeting_wait(meeting, NULL, 0, np_clock_now(clock) + np_clock_ticks(clock, PAUSE_S));
        if (paused == -ECANCELED || paused == -EPIPE)
            return bench_why(why, paused, "%s", paused == -EPIPE ? "the other host went away" : "cancelled");
    }
}

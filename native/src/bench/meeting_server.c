/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "meeting.h"

enum { BACKLOG = 16, MOST_GUESTS = 16, MOST_LINES = 8 };

/* Who connects says at once what it wants. */
static const double HELLO_S = 2;

/* Who has connected and not yet said all. */
struct guest {
    int fd;
    uint64_t deadline;
    size_t got;
    struct hello hello;
};

struct door {
    const struct meeting *meeting;
    int listener;
    struct guest guests[MOST_GUESTS]; /* the one that has waited longest first */
    size_t count;
    size_t refused;
};

static const char *reason(enum hello_says says)
{
    switch (says) {
    case SAYS_OTHER_VERSION:
        return "it is of another version of nodeproof-bench";
    case SAYS_OTHER_BENCHMARK:
        return "it came for another benchmark";
    case SAYS_OTHER_SESSION:
        return "it came for another session";
    default:
        return "it is no nodeproof-bench";
    }
}

/* A scan must not fill the log: after some lines there are no more. */
static void refuse(struct door *door, size_t index, const char *because)
{
    struct endpoint peer;
    char host[ENDPOINT_HOST_BYTES] = "unknown";
    if (endpoint_of_peer(door->guests[index].fd, &peer) == 0)
        endpoint_host(&peer, host);
    if (door->refused++ < MOST_LINES)
        fprintf(stderr, "nodeproof-bench: %s: refused %s: %s%s\n", door->meeting->benchmark, host, because,
                door->refused == MOST_LINES ? "; further ones are not shown" : "");
    close(door->guests[index].fd);
    door->count--;
    memmove(&door->guests[index], &door->guests[index + 1], (door->count - index) * sizeof door->guests[0]);
}

/* Let one in that has something to say. Returns 0 or -errno. */
static int let_in(struct door *door)
{
    const struct np_clock *clock = &door->meeting->request->clock;
    const int fd = accept4(door->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) /* what was wrong with a connection is no matter of ours: accept(2) */
        return errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM ? -errno : 0;
    if (door->count == MOST_GUESTS)
        refuse(door, 0, "it said nothing, and others are waiting");
    door->guests[door->count++] =
        (struct guest){.fd = fd, .deadline = np_clock_now(clock) + np_clock_ticks(clock, HELLO_S)};
    return 0;
}

/* Take what a guest says. Returns 1 once it is the right one, which then is in no list any more. */
static int listen_to(struct door *door, size_t index)
{
    struct guest *guest = &door->guests[index];
    struct hello answer;
    const ssize_t n = recv(guest->fd, (char *)&guest->hello + guest->got, sizeof guest->hello - guest->got, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    guest->got += n > 0 ? (size_t)n : 0;
    if (n <= 0 || !hello_may_begin(&guest->hello, guest->got))
        return refuse(door, index, n <= 0 ? "it went away" : reason(0)), 0;
    if (guest->got < sizeof guest->hello)
        return 0;
    const enum hello_says says = hello_judge(door->meeting, &guest->hello);
    hello_make(door->meeting, says, &answer);
    /* A new connection has room for so little: who leaves none is not waited for. */
    const bool is_sent = send(guest->fd, &answer, sizeof answer, MSG_NOSIGNAL) == (ssize_t)sizeof answer;
    if (is_sent && says == SAYS_WELCOME)
        return 1;
    return refuse(door, index, is_sent ? reason(says) : "it went away"), 0;
}

/* Wait for the listener and all guests. Returns 1 with the right one last of all, 0 or -errno. */
static int serve(struct door *door)
{
    const struct np_clock *clock = &door->meeting->request->clock;
    struct pollfd fds[MOST_GUESTS + 1];
    uint64_t until = door->meeting->deadline;
    for (size_t i = 0; i < door->count; i++)
        fds[i] = (struct pollfd){.fd = door->guests[i].fd, .events = POLLIN};
    fds[door->count] = (struct pollfd){.fd = door->listener, .events = POLLIN};
    if (door->count > 0 && np_clock_seconds(clock, door->guests[0].deadline, until) > 0)
        until = door->guests[0].deadline;
    const size_t count = door->count;
    int rc = meeting_wait(door->meeting, fds, count + 1, until);
    if (rc == -ETIMEDOUT && until != door->meeting->deadline)
        return refuse(door, 0, "it said nothing"), 0;
    for (size_t i = count; i-- > 0 && rc == 0;) { /* from the last on: who is refused leaves the list */
        if (fds[i].revents == 0 || listen_to(door, i) == 0)
            continue;
        const struct guest right = door->guests[i];
        door->guests[i] = door->guests[door->count - 1];
        door->guests[door->count - 1] = right;
        return 1;
    }
    return rc == 0 && fds[count].revents != 0 ? let_in(door) : rc;
}

int meeting_listen(const struct meeting *meeting, struct endpoint *at, char why[BENCH_WHY_BYTES])
{
    const int on = 1;
    char text[ENDPOINT_TEXT_BYTES];
    const int fd = meeting_socket(meeting, at->any.sa_family, why);
    if (fd < 0)
        return fd;
    /* A port whose last connections are only just closed is free; [::] is no IPv4 address. */
    if ((at->any.sa_family == AF_INET || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 && bind(fd, &at->any, endpoint_bytes(at)) == 0 &&
        listen(fd, BACKLOG) == 0 && endpoint_of(fd, at) == 0)
        return fd;
    const int rc = -errno;
    endpoint_text(at, text);
    close(fd);
    return bench_why(why, rc, "cannot listen on %s: %s", text, strerror(-rc));
}

int meeting_accept(const struct meeting *meeting, int listener, char why[BENCH_WHY_BYTES])
{
    struct door door = {.meeting = meeting, .listener = listener};
    int rc = 0, fd = -1;
    while (rc == 0)
        rc = serve(&door);
    if (rc > 0)
        fd = door.guests[--door.count].fd;
    while (door.count > 0)
        close(door.guests[--door.count].fd);
    if (rc > 0)
        return fd;
    struct endpoint own;
    char text[ENDPOINT_TEXT_BYTES] = "us";
    if (endpoint_of(listener, &own) == 0)
        endpoint_text(&own, text);
    if (rc != -ETIMEDOUT)
        return bench_why(why, rc, "nobody came to %s: %s", text,
                         rc == -EPIPE ? "the other host went away" : strerror(-rc));
    if (door.refused == 0)
        return bench_why(why, rc, "nobody came to %s in time", text);
    return bench_why(why, rc, "nobody came to %s in time but %zu who were refused", text, door.refused);
}

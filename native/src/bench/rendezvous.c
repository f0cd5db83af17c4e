/* SPDX-License-Identifier: Apache-2.0 */
#include "rendezvous.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Time for the hosts to find each other and to set up, beside what they measure. */
static const double MARGIN_S = 10, HURRIED_MARGIN_S = 0.5;

enum { CHUNK_SAMPLES = 1024 };

static uint64_t deadline(const struct bench_request *request)
{
    const bool is_hurried = request->hook != NULL && strcmp(request->hook, "hurry") == 0;
    const double margin_s = is_hurried ? HURRIED_MARGIN_S : MARGIN_S;
    return np_clock_now(&request->clock) + np_clock_ticks(&request->clock, request->seconds + margin_s);
}

static int wait_for_client(const struct meeting *meeting, struct endpoint *at, char why[BENCH_WHY_BYTES])
{
    char text[ENDPOINT_TEXT_BYTES];
    const int listener = meeting_listen(meeting, at, why);
    if (listener < 0)
        return listener;
    endpoint_text(at, text);
    fprintf(stderr, "nodeproof-bench: listening on %s\n", text);
    const int fd = meeting_accept(meeting, listener, why);
    close(listener);
    return fd;
}

int rendezvous_open(const struct bench_request *request, const char *benchmark, struct rendezvous *met,
                    char why[BENCH_WHY_BYTES])
{
    const struct meeting meeting = {.request = request,
                                    .benchmark = benchmark,
                                    .session = request->session,
                                    .device = "",
                                    .watched = -1,
                                    .deadline = deadline(request)};
    const char *address = request->listen != NULL ? request->listen : request->connect;
    struct endpoint at, own, peer;
    *met = (struct rendezvous){.fd = -1, .is_server = request->listen != NULL, .request = request};
    if (endpoint_parse(address, &at) != 0 || (!met->is_server && endpoint_port(&at) == 0))
        return bench_why(why, -EINVAL, "\"%s\" is no numeric ADDRESS:PORT, such as 10.0.0.1:7000 or [fd00::1]:7000",
                         address);
    met->fd = met->is_server ? wait_for_client(&meeting, &at, why) : meeting_reach(&meeting, &at, why);
    if (met->fd < 0)
        return met->fd;
    const int rc = endpoint_of(met->fd, &own) != 0 ? -EPIPE : endpoint_of_peer(met->fd, &peer);
    if (rc != 0) {
        rendezvous_close(met);
        return bench_why(why, -EPIPE, "the other host went away");
    }
    endpoint_host(&own, met->host);
    endpoint_host(&peer, met->peer_host);
    met->deadline = deadline(request);
    return 0;
}

int rendezvous_why(const struct rendezvous *met, int rc, char why[BENCH_WHY_BYTES])
{
    if (rc == -EPIPE || rc == -ECONNRESET)
        return bench_why(why, -EPIPE, "the other host, %s, went away", met->peer_host);
    if (rc == -ETIMEDOUT)
        return bench_why(why, rc, "the other host, %s, did not answer in time", met->peer_host);
    if (rc == -EPROTO)
        return bench_why(why, rc, "the other host, %s, said what makes no sense", met->peer_host);
    return bench_why(why, rc, "the connection with %s failed: %s", met->peer_host, strerror(-rc));
}

/* Move what can be moved without waiting. Returns 0 or -errno. */
static int move_some(const struct rendezvous *met, const char *mine, char *theirs, size_t bytes, size_t *sent,
                     size_t *got)
{
    if (*got < bytes) {
        const ssize_t n = recv(met->fd, theirs + *got, bytes - *got, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return n == 0 ? -EPIPE : -errno;
        *got += n > 0 ? (size_t)n : 0;
    }
    if (*sent < bytes) {
        const ssize_t n = send(met->fd, mine + *sent, bytes - *sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        *sent += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int rendezvous_exchange(struct rendezvous *met, const void *mine, void *theirs, size_t bytes, char why[BENCH_WHY_BYTES])
{
    const struct meeting meeting = {.request = met->request, .watched = -1};
    size_t sent = 0, got = 0;
    int rc = met->fd >= 0 ? 0 : -EPIPE;
    while (rc == 0 && (sent < bytes || got < bytes)) {
        struct pollfd one = {.fd = met->fd,
                             .events = (short)((got < bytes ? POLLIN : 0) | (sent < bytes ? POLLOUT : 0))};
        rc = meeting_wait(&meeting, &one, 1, met->deadline);
        if (rc == 0)
            rc = move_some(met, mine, theirs, bytes, &sent, &got);
    }
    return rc == 0 ? 0 : rendezvous_why(met, rc, why);
}

int rendezvous_barrier(struct rendezvous *met, char why[BENCH_WHY_BYTES])
{
    static const char HERE[8] = "barrier";
    char theirs[sizeof HERE];
    const int rc = rendezvous_exchange(met, HERE, theirs, sizeof HERE, why);
    if (rc != 0)
        return rc;
    return memcmp(HERE, theirs, sizeof HERE) == 0 ? 0 : rendezvous_why(met, -EPROTO, why);
}

static uint64_t pack(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return htobe64(bits);
}

static double unpack(uint64_t word)
{
    double value;
    const uint64_t bits = be64toh(word);
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Exchange some samples: the client's values become the server's. */
static int share_chunk(struct rendezvous *met, double *values, size_t count, char why[BENCH_WHY_BYTES])
{
    uint64_t mine[CHUNK_SAMPLES] = {0}, theirs[CHUNK_SAMPLES];
    for (size_t i = 0; i < count && !met->is_server; i++)
        mine[i] = pack(values[i]);
    const int rc = rendezvous_exchange(met, mine, theirs, count * sizeof mine[0], why);
    if (rc != 0 || !met->is_server)
        return rc;
    for (size_t i = 0; i < count; i++) {
        values[i] = unpack(theirs[i]);
        if (!isfinite(values[i]) || values[i] <= 0)
            return rendezvous_why(met, -EPROTO, why);
    }
    return 0;
}

int rendezvous_share_samples(struct rendezvous *met, struct np_samples *samples, char why[BENCH_WHY_BYTES])
{
    const uint64_t mine[2] = {htobe64(samples->count), pack(samples->seconds)};
    uint64_t theirs[2];
    int rc = rendezvous_exchange(met, mine, theirs, sizeof mine, why);
    if (rc != 0)
        return rc;
    if (met->is_server) {
        samples->count = be64toh(theirs[0]);
        samples->seconds = unpack(theirs[1]);
        if (samples->count > samples->size || !isfinite(samples->seconds) || samples->seconds < 0) {
            samples->count = 0;
            return rendezvous_why(met, -EPROTO, why);
        }
    }
    for (size_t done = 0; done < samples->count && rc == 0; done += CHUNK_SAMPLES) {
        const size_t left = samples->count - done;
        rc = share_chunk(met, samples->values + done, left < CHUNK_SAMPLES ? left : CHUNK_SAMPLES, why);
    }
    return rc;
}

bool rendezvous_is_peer_gone(const struct rendezvous *met)
{
    struct pollfd one = {.fd = met->fd, .events = POLLRDHUP};
    return met->fd < 0 || poll(&one, 1, 0) > 0;
}

void rendezvous_close(struct rendezvous *met)
{
    if (met->fd >= 0)
        close(met->fd);
    met->fd = -1;
}

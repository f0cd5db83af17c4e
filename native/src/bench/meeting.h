/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a connection between two hosts comes to be the right one: who connects says what it wants, who listens answers.
 *
 * Whoever says something else, or nothing, is sent away, and the listener waits on: a port scanner ends no measurement.
 */
#ifndef NODEPROOF_BENCH_MEETING_H
#define NODEPROOF_BENCH_MEETING_H

#include <poll.h>

#include "bench.h"
#include "endpoint.h"

enum { MEETING_BENCHMARK_BYTES = 32, MEETING_SESSION_BYTES = 64 };

/** What both ends have to agree on, and until when. */
struct meeting {
    const struct bench_request *request;
    const char *benchmark;
    const char *session;
    const char *device; /**< network interface to stay on, "": any */
    int watched;        /**< a connection without whose other end it makes no sense, or -1 */
    uint64_t deadline;  /**< in ticks of the request's clock */
};

/** What goes over the connection first, in either direction. Numbers are in network order, texts filled up with NUL. */
struct hello {
    char magic[8];
    uint32_t version;
    uint32_t says;
    char benchmark[MEETING_BENCHMARK_BYTES];
    char session[MEETING_SESSION_BYTES]; /**< of the client; a server does not tell it */
};

enum hello_says { SAYS_LET_ME_IN = 1, SAYS_WELCOME, SAYS_OTHER_VERSION, SAYS_OTHER_BENCHMARK, SAYS_OTHER_SESSION };

/** What one end says. */
void hello_make(const struct meeting *meeting, enum hello_says says, struct hello *hello);

/** True if the first `bytes` may be the beginning of a hello. */
bool hello_may_begin(const struct hello *hello, size_t bytes);

/** What a listener has to answer to a client's hello that begins as one. */
enum hello_says hello_judge(const struct meeting *meeting, const struct hello *hello);

/**
 * Wait for one of `fds` until `until`.
 *
 * Returns 0, -ETIMEDOUT, -ECANCELED, -EPIPE if the other end of `watched` is gone, or another -errno.
 */
int meeting_wait(const struct meeting *meeting, struct pollfd *fds, size_t count, uint64_t until);

/** A TCP socket that does not block, bound to the interface. Returns it or -errno, with one sentence. */
int meeting_socket(const struct meeting *meeting, int family, char why[BENCH_WHY_BYTES]);

/** Listen; port 0 becomes the one that the kernel chose. Returns a socket or -errno, with one sentence. */
int meeting_listen(const struct meeting *meeting, struct endpoint *at, char why[BENCH_WHY_BYTES]);

/** Wait for the right client. Returns its connection or -errno, with one sentence; the listener stays open. */
int meeting_accept(const struct meeting *meeting, int listener, char why[BENCH_WHY_BYTES]);

/** Connect, again and again until the server is there. Returns a connection or -errno, with one sentence. */
int meeting_reach(const struct meeting *meeting, const struct endpoint *to, char why[BENCH_WHY_BYTES]);

#endif

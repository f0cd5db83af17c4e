/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where two hosts meet to measure between them: one TCP connection, over which both say the same things in turn.
 *
 * The server waits at --listen, the client comes to it with --connect. Whoever else knocks is sent away: the server
 * waits on for a client of the same version, benchmark and session. Every wait ends: with -EPIPE once the other end is
 * gone, -ETIMEDOUT at the deadline, -ECANCELED when a signal says so.
 */
#ifndef NODEPROOF_BENCH_RENDEZVOUS_H
#define NODEPROOF_BENCH_RENDEZVOUS_H

#include "bench.h"
#include "endpoint.h"
#include "meeting.h"
#include "nodeproof/sampling.h"

struct rendezvous {
    int fd; /**< does not block; -1: closed */
    bool is_server;
    const struct bench_request *request;
    uint64_t deadline;                   /**< of everything that the two do together, in ticks of the request's clock */
    char host[ENDPOINT_HOST_BYTES];      /**< the numeric address of this end */
    char peer_host[ENDPOINT_HOST_BYTES]; /**< that of the other one */
};

/** True if the request is about two hosts. */
static inline bool rendezvous_is_asked(const struct bench_request *request)
{
    return request->listen != NULL || request->connect != NULL;
}

/**
 * Meet the other host: listen or connect, whichever is asked for, until --seconds and 10 more are over.
 *
 * What they then do together has as long again. Returns 0 or -errno, with one sentence in `why`: -EINVAL if the address
 * is none, -EPROTO if the server is not of this version, benchmark and session. `*met` may be closed in any case.
 */
int rendezvous_open(const struct bench_request *request, const char *benchmark, struct rendezvous *met,
                    char why[BENCH_WHY_BYTES]);

/** Send `bytes` and receive as many; the order of bytes is the caller's. Returns 0 or -errno, with one sentence. */
int rendezvous_exchange(struct rendezvous *met, const void *mine, void *theirs, size_t bytes,
                        char why[BENCH_WHY_BYTES]);

/** Return once both are here. Returns 0 or -errno, with one sentence. */
int rendezvous_barrier(struct rendezvous *met, char why[BENCH_WHY_BYTES]);

/**
 * Give the server the samples that the client has measured; both have opened theirs.
 *
 * Returns 0 or -errno, with one sentence: -EPROTO if what came cannot be samples, or is more than there is room for.
 */
int rendezvous_share_samples(struct rendezvous *met, struct np_samples *samples, char why[BENCH_WHY_BYTES]);

/** True if the other end has closed the connection; does not wait. */
bool rendezvous_is_peer_gone(const struct rendezvous *met);

/** Say in `why` what went wrong with the other host. Returns `rc`, with -ECONNRESET as -EPIPE. */
int rendezvous_why(const struct rendezvous *met, int rc, char why[BENCH_WHY_BYTES]);

void rendezvous_close(struct rendezvous *met);

#endif

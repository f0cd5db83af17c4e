/* SPDX-License-Identifier: Apache-2.0 */
#include "net_transfer.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "nodeproof/window.h"

static const double WARMUP_S = 0.02, PING_LEAST_S = 0.15, STREAM_WINDOW_S = 0.01;

enum { PING_SAMPLES = 1 << 17, STREAM_MOST_WINDOWS = 10000, STREAM_FEWEST_WINDOWS = 8 };

/* Says that there is no message after this one. */
#define LAST UINT64_MAX

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* True if what the last call said only means that it should be tried again. */
static bool is_to_repeat(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Take a whole message. Returns 0, -EPIPE if the other end will send no more, or -errno. */
static int receive(const struct net_transfer *transfer, int fd, void *message, size_t bytes)
{
    for (size_t got = 0; got < bytes;) {
        if (bench_is_cancelled(transfer->request))
            return -ECANCELED;
        const ssize_t n = recv(fd, (char *)message + got, bytes - got, transfer->is_spinning ? MSG_DONTWAIT : 0);
        if (n > 0)
            got += (size_t)n;
        else if (!is_to_repeat(n))
            return n == 0 ? -EPIPE : -errno;
    }
    return 0;
}

static int send_all(const struct net_transfer *transfer, int fd, const void *message, size_t bytes)
{
    for (size_t sent = 0; sent < bytes;) {
        if (bench_is_cancelled(transfer->request))
            return -ECANCELED;
        const ssize_t n = send(fd, (const char *)message + sent, bytes - sent, MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        else if (!is_to_repeat(n))
            return -errno;
    }
    return 0;
}

struct caller {
    struct net_transfer *transfer;
    uint64_t sent;
    int rc;
    atomic_bool is_off;
};

static uint64_t round_trips(void *state, uint64_t units)
{
    struct caller *caller = state;
    struct net_transfer *transfer = caller->transfer;
    const int fd = transfer->pair->ends[0];
    uint64_t answer = 0;
    for (uint64_t i = 0; i < units && caller->rc == 0; i++) {
        caller->sent++;
        caller->rc = send_all(transfer, fd, &caller->sent, NET_PING_BYTES);
        if (caller->rc == 0)
            caller->rc = receive(transfer, fd, &answer, NET_PING_BYTES);
        transfer->wrong += caller->rc == 0 && answer != ~caller->sent;
    }
    if (caller->rc != 0)
        atomic_store_explicit(&caller->is_off, true, memory_order_relaxed);
    return units;
}

static int call(struct net_transfer *transfer)
{
    struct caller caller = {.transfer = transfer};
    const struct np_clock *clock = &transfer->request->clock;
    const struct np_sampling sampling = {
        .clock = clock,
        .is_cancelled = &caller.is_off,
        .kind = NP_TIME,
        .warmup_s = WARMUP_S,
        .block_s = 0, /* a sample is one round trip */
        .least_s = PING_LEAST_S,
        .most_s = transfer->most_s,
    };
    int rc = np_samples_open(&transfer->samples, PING_SAMPLES);
    if (rc != 0)
        return rc;
    const double cpu_begin_s = cpu_seconds();
    const uint64_t begin = np_clock_now(clock);
    rc = np_sampling_run(&sampling, round_trips, &caller, &transfer->samples);
    transfer->on_cpu_share = (cpu_seconds() - cpu_begin_s) / np_clock_seconds(clock, begin, np_clock_now(clock));
    transfer->messages = caller.sent;
    caller.sent = LAST;
    rc = caller.rc != 0 ? caller.rc : rc;
    return rc != 0 ? rc : send_all(transfer, transfer->pair->ends[0], &caller.sent, NET_PING_BYTES);
}

static int answer(const struct net_transfer *transfer)
{
    const int fd = transfer->pair->ends[1];
    for (;;) {
        uint64_t message;
        int rc = receive(transfer, fd, &message, NET_PING_BYTES);
        if (rc != 0 || message == LAST)
            return rc;
        message = ~message;
        rc = send_all(transfer, fd, &message, NET_PING_BYTES);
        if (rc != 0)
            return rc;
    }
}

/* If one end fails, the other must not wait for it. */
static int end_together(const struct net_transfer *transfer, int rc)
{
    if (rc != 0)
        net_pair_end(transfer->pair);
    return rc;
}

int net_transfer_ping(void *state, size_t index, struct np_gate *gate)
{
    struct net_transfer *transfer = state;
    uint64_t opened;
    const int rc = np_gate_meet(gate, &transfer->request->clock, &opened);
    return rc != 0 ? rc : end_together(transfer, index == 0 ? call(transfer) : answer(transfer));
}

/* A message is right if both its ends carry its number: what is between them was copied by the same call. */
static void stamp(uint64_t *message, uint64_t number)
{
    message[0] = message[NET_STREAM_BYTES / sizeof *message - 1] = number;
}

static bool has_stamp(const uint64_t *message, uint64_t number)
{
    return message[0] == number && message[NET_STREAM_BYTES / sizeof *message - 1] == number;
}

/* Take messages until there are no more; what comes after the last window only has to be taken away. */
static int take(struct net_transfer *transfer, struct np_sheet *sheet, uint64_t *message)
{
    const struct np_clock *clock = &transfer->request->clock;
    const uint64_t start = np_clock_now(clock) + np_clock_ticks(clock, WARMUP_S);
    double last_s = -WARMUP_S;
    int rc;
    while ((rc = receive(transfer, transfer->pair->ends[0], message, NET_STREAM_BYTES)) == 0) {
        const double now_s = np_clock_seconds(clock, start, np_clock_now(clock));
        np_sheet_add(sheet, last_s, now_s, NET_STREAM_BYTES, now_s - last_s);
        last_s = now_s;
        transfer->wrong += !has_stamp(message, transfer->messages++);
        if (now_s >= sheet->bin_s * (double)sheet->bins)
            atomic_store_explicit(&transfer->is_over, true, memory_order_relaxed);
    }
    return rc == -EPIPE && atomic_load(&transfer->is_over) ? 0 : rc;
}

static int take_and_count(struct net_transfer *transfer, uint64_t *message)
{
    struct np_sheet sheet;
    const double windows =
        fmin(fmax(round(transfer->most_s / STREAM_WINDOW_S), STREAM_FEWEST_WINDOWS), STREAM_MOST_WINDOWS);
    int rc = np_sheet_open(&sheet, transfer->most_s / windows, (size_t)windows);
    if (rc != 0)
        return rc;
    rc = take(transfer, &sheet, message);
    if (rc == 0)
        rc = np_samples_open(&transfer->samples, sheet.bins);
    if (rc == 0)
        transfer->samples.count = np_sheets_rates(&sheet, 1, true, transfer->samples.values);
    transfer->samples.seconds = transfer->most_s;
    np_sheet_close(&sheet);
    return rc;
}

static int give(const struct net_transfer *transfer, uint64_t *message)
{
    const int fd = transfer->pair->ends[1];
    int rc = 0;
    for (uint64_t number = 0; rc == 0 && !atomic_load_explicit(&transfer->is_over, memory_order_relaxed); number++) {
        stamp(message, number);
        rc = send_all(transfer, fd, message, NET_STREAM_BYTES);
    }
    if (rc == 0 && shutdown(fd, SHUT_WR) != 0)
        rc = -errno;
    return rc;
}

int net_transfer_stream(void *state, size_t index, struct np_gate *gate)
{
    struct net_transfer *transfer = state;
    uint64_t opened;
    uint64_t *message = malloc(NET_STREAM_BYTES);
    int rc = message != NULL ? 0 : -ENOMEM;
    if (rc == 0) {
        memset(message, 0x5a, NET_STREAM_BYTES); /* its pages are there before it is measured */
        rc = np_gate_meet(gate, &transfer->request->clock, &opened);
    }
    if (rc == 0)
        rc = end_together(transfer, index == 0 ? take_and_count(transfer, message) : give(transfer, message));
    free(message);
    return rc;
}

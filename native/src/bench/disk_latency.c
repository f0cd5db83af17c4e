/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a disk takes for a small request at a random place.
 *
 * One at a time tells of the device and the path to it; many at a time, of how many requests it can do.
 * The tail is given by the 99th percentile of all requests: single extremes belong to the kernel as often as to
 * the disk.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "disk_session.h"
#include "nodeproof/sampling.h"
#include "tail.h"

enum { SAMPLES = 1 << 17, POINTS = 3 };

/* Comparing a block takes a fraction of a microsecond: too long for each of a million a second. */
enum { VERIFY_EVERY = 8 };

struct kind {
    const char *operation;
    bool is_write;
    size_t depth;
    double share; /* of the time */
};

static const struct kind KINDS[POINTS] = {
    {"read", false, 1, 0.4},
    {"write", true, 1, 0.3},
    {"read", false, DISK_MOST_DEPTH, 0.3},
};

struct series {
    struct disk_session *session;
    const struct kind *kind;
    uint64_t random;
    uint64_t start, until;
    uint64_t requests;
    double seconds;
    struct np_samples times_s; /* of so many requests as there is room for, chosen at random */
};

struct latency {
    struct disk_session session; /* first: work() is given this one */
    struct series series[POINTS];
};

static bool is_verified(const struct series *series, const struct disk_io *io)
{
    return !io->is_write && (series->kind->depth == 1 || io->offset / DISK_BLOCK_BYTES % VERIFY_EVERY == 0);
}

static bool next(void *state, struct disk_io *io)
{
    struct series *series = state;
    struct disk_session *session = series->session;
    const uint64_t blocks = session->file.bytes / DISK_BLOCK_BYTES;
    const bool is_late = (int64_t)(np_clock_now(&session->request->clock) - series->until) >= 0;
    if (bench_is_cancelled(session->request) || (is_late && series->requests > 0))
        return false;
    io->is_write = series->kind->is_write;
    io->bytes = DISK_BLOCK_BYTES;
    io->offset = disk_data_random(&series->random) % blocks * DISK_BLOCK_BYTES;
    io->buffer = disk_session_buffer(session, io->slot);
    if (io->is_write) {
        disk_data_prepare(&session->data, io->buffer, io->offset, io->bytes);
        disk_data_stamp(&session->data, io->buffer, io->offset, io->bytes);
    } else if (is_verified(series, io)) {
        disk_data_spoil(io->buffer, io->bytes);
    }
    return true;
}

/* Vitter, Random Sampling with a Reservoir, 1985, algorithm R: of a long run each request is as likely to be kept. */
static void keep(struct series *series, double time_s)
{
    struct np_samples *kept = &series->times_s;
    series->requests++;
    if (kept->count < kept->size) {
        np_samples_add(kept, time_s);
        return;
    }
    const uint64_t index = disk_data_random(&series->random) % series->requests;
    if (index < kept->size)
        kept->values[index] = time_s;
}

static void done(void *state, const struct disk_io *io)
{
    struct series *series = state;
    struct disk_session *session = series->session;
    const struct np_clock *clock = &session->request->clock;
    keep(series, np_clock_seconds(clock, io->begin, io->end > io->begin ? io->end : io->begin + 1));
    series->seconds = np_clock_seconds(clock, series->start, io->end);
    session->own_bytes += io->bytes;
    if (is_verified(series, io))
        disk_session_verify(session, io->buffer, io->offset, io->bytes);
}

static int measure(struct disk_session *session, struct series *series, double seconds)
{
    const struct np_clock *clock = &session->request->clock;
    struct disk_load load = {.depth = series->kind->depth, .state = series, .next = next, .done = done};
    int rc = np_samples_open(&series->times_s, SAMPLES);
    if (rc != 0)
        return rc;
    series->session = session;
    series->random = session->data.seed + series->kind->depth;
    series->start = np_clock_now(clock);
    series->until = series->start + np_clock_ticks(clock, seconds);
    rc = disk_session_drive(session, &load);
    session->seconds += series->seconds;
    return rc == 0 && bench_is_cancelled(session->request) ? -ECANCELED : rc;
}

static int work(struct disk_session *session)
{
    struct latency *latency = (struct latency *)session;
    int rc = disk_session_plant(session);
    for (size_t i = 0; i < POINTS && rc == 0; i++) {
        latency->series[i].kind = &KINDS[i];
        rc = measure(session, &latency->series[i], session->request->seconds * KINDS[i].share);
    }
    return rc;
}

static void put_point(struct np_json *out, struct series *series, const struct np_figures *figures)
{
    np_json_open_object(out, NULL);
    np_json_string(out, "operation", series->kind->operation);
    np_json_integer(out, "queue_depth", series->kind->depth);
    np_json_integer(out, "request_bytes", DISK_BLOCK_BYTES);
    bench_put_figures(out, figures, 1);
    tail_put(out, &series->times_s);
    np_json_number(out, "requests_per_s", (double)series->requests / series->seconds);
    np_json_close_object(out);
}

static int put(struct latency *latency, struct np_json *out)
{
    struct np_figures figures[POINTS];
    for (size_t i = 0; i < POINTS; i++) {
        const int rc = np_samples_figures(&latency->series[i].times_s, NP_TIME, &figures[i]);
        if (rc != 0)
            return rc == -EINVAL ? -EIO : rc; /* not one request was done: that is no mistake of the caller */
    }
    np_json_open_array(out, "points");
    for (size_t i = 0; i < POINTS; i++)
        put_point(out, &latency->series[i], &figures[i]);
    np_json_close_array(out);
    bench_put_figures(out, &figures[0], 1);
    tail_put(out, &latency->series[0].times_s);
    disk_session_put(&latency->session, out);
    return 0;
}

int disk_latency(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    bool is_abandoned;
    struct latency *latency = calloc(1, sizeof *latency);
    if (latency == NULL)
        return bench_why(why, -ENOMEM, "no memory");
    int rc = disk_session_run(&latency->session, request, work, &is_abandoned, why);
    if (is_abandoned)
        return rc;
    if (rc == 0) {
        rc = put(latency, out);
        if (rc != 0)
            bench_why(why, rc, "no figures: %s", strerror(-rc));
    }
    for (size_t i = 0; i < POINTS; i++)
        np_samples_close(&latency->series[i].times_s);
    free(latency);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory bandwidth of one NUMA node, its cores all at once.
 *
 * All cores of a last-level cache together may move less than some of them: they queue up at its path to
 * memory. Hence the best of 1, 2, 4 and all threads for each cache is the peak.
 */
#include <errno.h>
#include <string.h>

#include "fingerprint.h"
#include "memory.h"
#include "placement.h"
#include "streams.h"

enum { MAX_WIDTHS = 4 };

/* How many threads of each last-level cache to try. Who names CPUs wants those. */
static size_t widths_to_try(const struct bench_request *request, size_t widest, size_t widths[MAX_WIDTHS])
{
    size_t count = 0;
    for (size_t width = 1; width < widest && width <= 4 && !request->has_cpus; width *= 2)
        widths[count++] = width;
    widths[count++] = widest;
    return count;
}

static void put_point(struct np_json *out, size_t width, const struct stream_result *result)
{
    np_json_open_object(out, NULL);
    np_json_integer(out, "threads_per_cache", width);
    np_json_integer(out, "threads", result->threads);
    bench_put_figures(out, &result->figures, 1);
    np_json_bool(out, "is_contended", result->is_contended);
    np_json_close_object(out);
}

/* Measure each width and keep the best; a point for each goes to `out`. */
static int measure_widths(struct streams *streams, struct np_json *out, struct stream_result *best)
{
    size_t widths[MAX_WIDTHS];
    const size_t count = widths_to_try(streams->request, streams_widest(streams), widths);
    double seconds = 0;
    int rc = 0;
    *best = (struct stream_result){.is_contended = true};
    np_json_open_array(out, "points");
    for (size_t i = 0; i < count && rc == 0; i++) {
        struct stream_result result;
        rc = streams_measure(streams, widths[i], streams->request->seconds / (double)count, &result);
        if (rc != 0)
            break;
        put_point(out, widths[i], &result);
        seconds += result.seconds;
        const bool is_better = result.figures.capability > best->figures.capability;
        if (result.is_contended == best->is_contended ? is_better : best->is_contended)
            *best = result;
    }
    np_json_close_array(out);
    best->seconds = seconds;
    return rc;
}

static int measure(const struct bench_request *request, enum np_stream_op op, struct np_json *out,
                   char why[BENCH_WHY_BYTES])
{
    struct placement place;
    struct streams streams;
    struct stream_result best;
    int rc = placement_find(request, &place, why);
    if (rc == 0)
        rc = streams_open(&streams, request, op, &place.cpuset, place.node, why);
    if (rc != 0)
        return rc;
    fingerprint_put(request, &place.cpuset, out);
    rc = measure_widths(&streams, out, &best);
    if (rc == 0) {
        bench_put_figures(out, &best.figures, 1);
        np_json_number(out, "seconds", best.seconds);
        np_json_bool(out, "is_contended", best.is_contended);
        bench_put_cpus(out, &place.cpuset);
        np_json_integer(out, "cores", place.cores);
        np_json_bool(out, "is_partial", place.cores_used < place.cores);
        streams_put(&streams, out);
    } else if (rc == -EIO) {
        bench_why(why, rc, "the threads did no work at all: other processes had the CPUs");
    } else {
        bench_why(why, rc, "%s", strerror(-rc));
    }
    streams_close(&streams);
    return rc;
}

int memory_read(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    return measure(request, NP_STREAM_READ, out, why);
}

int memory_write(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    return measure(request, NP_STREAM_WRITE, out, why);
}

int memory_copy(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    return measure(request, NP_STREAM_COPY, out, why);
}

int memory_scale(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    return measure(request, NP_STREAM_SCALE, out, why);
}

int memory_add(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    return measure(request, NP_STREAM_ADD, out, why);
}

int memory_triad(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    return measure(request, NP_STREAM_TRIAD, out, why);
}

int memory_triad_regular(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    return measure(request, NP_STREAM_TRIAD_REGULAR, out, why);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "net_points.h"

#include "histogram.h"
#include "tail.h"

static void put_or_null(struct np_json *out, const char *key, double value)
{
    if (value > 0)
        np_json_number(out, key, value);
    else
        np_json_null(out, key);
}

static void put_times(struct np_json *out, struct np_samples *times)
{
    tail_put(out, times); /* sorts them */
    np_json_number(out, "min_s", times->values[0]);
    np_json_number(out, "max_s", times->values[times->count - 1]);
    histogram_put(out, times);
}

static void put_point(const struct net_outcome *outcome, size_t index, const struct np_figures *figures,
                      struct np_json *out)
{
    const struct net_job *job = outcome->job;
    const struct net_link *link = &outcome->links->links[index / job->count];
    np_json_open_object(out, NULL);
    np_json_string(out, "device", link->device);
    np_json_string(out, "peer", link->peer);
    np_json_string(out, "operation", job->operations[index % job->count].name);
    np_json_integer(out, "message_bytes", outcome->end->message_bytes);
    np_json_string(out, "unit", job->unit);
    bench_put_figures(out, figures, 1);
    put_or_null(out, "rate_bits_per_s", 1e6 * (double)link->speed_mbit);
    put_or_null(out, "mtu_bytes", (double)link->mtu_bytes);
    if (job->kind == NP_TIME)
        put_times(out, &outcome->end->slots[index].samples);
    np_json_close_object(out);
}

/* The worst link by the first operation. */
static size_t find_worst(const struct net_job *job, const struct np_figures *figures, size_t count)
{
    size_t worst = 0;
    for (size_t i = 0; i < count; i += job->count)
        if (job->kind == NP_TIME ? figures[i].capability > figures[worst].capability
                                 : figures[i].capability < figures[worst].capability)
            worst = i;
    return worst;
}

int net_points_put(const struct net_outcome *outcome, struct np_json *out)
{
    struct np_figures figures[NET_MOST_LINKS * NET_MOST_OPERATIONS];
    const struct net_end *end = outcome->end;
    double seconds = 0;
    for (size_t i = 0; i < end->count; i++) {
        struct np_samples *samples = &end->slots[i].samples;
        for (size_t j = 0; j < samples->count; j++)
            samples->values[j] *= outcome->job->scale;
        const int rc = np_samples_figures(samples, outcome->job->kind, &figures[i]);
        if (rc != 0)
            return rc;
        seconds += samples->seconds;
    }
    np_json_open_array(out, "points");
    for (size_t i = 0; i < end->count; i++)
        put_point(outcome, i, &figures[i], out);
    np_json_close_array(out);
    bench_put_figures(out, &figures[find_worst(outcome->job, figures, end->count)], 1);
    np_json_number(out, "seconds", seconds);
    np_json_bool(out, "is_contended", outcome->is_contended);
    np_json_integer(out, "messages", end->messages);
    np_json_integer(out, "wrong_messages", end->wrong);
    np_json_string(out, "between", outcome->peer_host != NULL ? "hosts" : "self");
    if (outcome->peer_host != NULL)
        np_json_string(out, "peer_host", outcome->peer_host);
    else
        np_json_null(out, "peer_host");
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "gpu_blocks.h"

void gpu_points_begin(struct gpu_points *points, struct np_json *out, enum np_kind kind)
{
    *points = (struct gpu_points){.out = out, .kind = kind};
    np_json_open_array(out, "points");
}

static void put(const struct gpu_points *points, const struct gpu_part *part, const struct np_figures *figures,
                const struct gpu_seen *seen)
{
    struct np_json *out = points->out;
    np_json_open_object(out, NULL);
    np_json_string(out, "device", part->gpu->address);
    np_json_string(out, "peer", part->peer->address);
    np_json_string(out, "operation", part->operation);
    np_json_integer(out, "bytes", part->bytes);
    if (part->access != NULL)
        np_json_string(out, "access", part->access);
    if (part->is_on_host && part->node >= 0)
        np_json_integer(out, "memory_node", (uint64_t)part->node);
    else if (part->is_on_host)
        np_json_null(out, "memory_node");
    bench_put_figures(out, figures, 1);
    gpu_seen_put(seen, out);
    np_json_close_object(out);
}

int gpu_points_add(struct gpu_points *points, const struct gpu_part *part, const struct np_samples *samples,
                   const struct gpu_seen *seen, char why[BENCH_WHY_BYTES])
{
    struct np_figures figures;
    const int rc = np_samples_figures(samples, points->kind, &figures);
    if (rc != 0)
        return bench_why(why, rc == -EINVAL ? -EIO : rc, "GPU %d (%s): no samples of %s", part->gpu->index,
                         part->gpu->address, part->operation);
    put(points, part, &figures, seen);
    points->seconds += samples->seconds;
    if (points->operation == NULL) {
        points->operation = part->operation;
        points->worst = figures;
    } else if (strcmp(points->operation, part->operation) == 0) {
        const bool is_worse = points->kind == NP_TIME ? figures.sustained > points->worst.sustained
                                                      : figures.sustained < points->worst.sustained;
        points->worst = is_worse ? figures : points->worst;
    }
    return 0;
}

static int put_whole(const struct gpu_points *points, char why[BENCH_WHY_BYTES])
{
    if (points->operation == NULL)
        return bench_why(why, -ENOTSUP, "there is nothing to measure");
    np_json_close_array(points->out);
    bench_put_figures(points->out, &points->worst, 1);
    np_json_string(points->out, "operation", points->operation);
    np_json_number(points->out, "seconds", points->seconds);
    np_json_integer(points->out, "wrong_elements", points->wrong);
    return 0;
}

int gpu_points_end(const struct gpu_points *points, struct gpus *gpus, int rc, char why[BENCH_WHY_BYTES])
{
    if (rc == 0)
        rc = put_whole(points, why);
    if (rc == 0)
        gpus_put(gpus, points->out);
    gpus_close(gpus, rc);
    return rc;
}

int gpu_points_measure(struct gpu_points *points, const struct gpu_part *part, const struct gpu_blocks *blocks,
                       char why[BENCH_WHY_BYTES])
{
    struct np_samples samples = {0};
    struct gpu_seen seen = {0};
    int rc = gpu_blocks_measure(part->gpu, blocks, &samples, &seen, why);
    if (rc == 0)
        rc = gpu_points_add(points, part, &samples, &seen, why);
    np_samples_close(&samples);
    return rc;
}

int gpu_points_of_each(const struct bench_request *request, struct np_json *out, enum np_kind kind,
                       gpu_measure_fn *measure, char why[BENCH_WHY_BYTES])
{
    struct gpus gpus;
    struct gpu_points points;
    int rc = gpus_open(&gpus, request, why);
    gpu_points_begin(&points, out, kind);
    for (size_t i = 0; i < gpus.count && rc == 0; i++)
        rc = measure(&points, &gpus.list[i], request->seconds / (double)gpus.count, why);
    return gpu_points_end(&points, &gpus, rc, why);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma_results.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conditions.h"
#include "histogram.h"
#include "tail.h"

enum { MOST_BYTES = 16 << 20 };

/* Below this a side was without its CPU most of the time: what is left was hardly undisturbed. */
static const double LEAST_ON_CPU = 0.5;

uint32_t rdma_message_bytes(const struct bench_request *request, uint32_t chosen)
{
    const uint64_t bytes = request->bytes != 0 ? request->bytes : chosen;
    return bytes % sizeof(uint64_t) == 0 && bytes <= MOST_BYTES ? (uint32_t)bytes : 0;
}

double rdma_cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int rdma_results_open(struct rdma_result **results, const struct rdma_links *links, const char *const *operations,
                      size_t operation_count, size_t samples)
{
    const size_t count = links->count * operation_count;
    *results = calloc(count, sizeof **results);
    for (size_t i = 0; i < count; i++) {
        if (*results == NULL || np_samples_open(&(*results)[i].samples, samples) != 0)
            return -ENOMEM;
        (*results)[i].link = &links->links[i / operation_count];
        (*results)[i].operation = operations[i % operation_count];
        /* A page that is touched for the first time while it is measured would be a slow sample. */
        memset((*results)[i].samples.values, 0, samples * sizeof *(*results)[i].samples.values);
    }
    return 0;
}

void rdma_results_close(struct rdma_result *results, size_t count)
{
    for (size_t i = 0; i < count && results != NULL; i++)
        np_samples_close(&results[i].samples);
    free(results);
}

struct rdma_wait rdma_sides_wait(const struct rdma_sides *sides, const struct rdma_links *links)
{
    return (struct rdma_wait){
        .request = links->request,
        .met = links->is_between_hosts ? &links->met : NULL,
        .is_off = &sides->is_off,
    };
}

void rdma_sides_end(struct rdma_sides *sides, const struct bench_request *request, int side, int rc, uint64_t began,
                    double cpu_began_s)
{
    const double took_s = np_clock_seconds(&request->clock, began, np_clock_now(&request->clock));
    sides->on_cpu_shares[side] = took_s > 0 ? (rdma_cpu_seconds() - cpu_began_s) / took_s : 1;
    sides->rcs[side] = rc;
    if (rc != 0)
        atomic_store_explicit(&sides->is_off, true, memory_order_relaxed);
}

int rdma_sides_run(struct rdma_sides *sides, const struct rdma_links *links, size_t count, np_team_fn *work,
                   void *state, char why[BENCH_WHY_BYTES])
{
    for (int side = 0; side < RDMA_SIDES; side++)
        sides->on_cpu_shares[side] = 1;
    const int rc = conditions_team_run(links->links[0].cpus, count, work, state);
    if (rc == 0)
        return 0;
    for (int side = 0; side < RDMA_SIDES; side++)
        if (sides->rcs[side] == rc && sides->whys[side][0] != '\0')
            return bench_why(why, rc, "%s", sides->whys[side]);
    return bench_why(why, rc, "%s", strerror(-rc));
}

struct summary {
    uint64_t wrong;
    double seconds;
    double on_cpu_share;
};

static int tell(struct rdma_links *links, struct rdma_sides *sides, struct rdma_result *results, size_t count,
                char why[BENCH_WHY_BYTES])
{
    const int own = rdma_links_own_side(links), other = !own;
    const struct summary mine = {sides->wrong[own], sides->seconds, sides->on_cpu_shares[own]};
    struct summary theirs;
    int rc = rendezvous_exchange(&links->met, &mine, &theirs, sizeof mine, why);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = rendezvous_share_samples(&links->met, &results[i].samples, why);
    if (rc != 0)
        return rc;
    sides->wrong[other] = theirs.wrong;
    sides->on_cpu_shares[other] = theirs.on_cpu_share;
    if (links->met.is_server)
        sides->seconds = theirs.seconds;
    return 0;
}

static void put_tail(struct np_json *out, struct np_samples *times)
{
    tail_put(out, times); /* sorts them */
    np_json_number(out, "min_s", times->values[0]);
    np_json_number(out, "max_s", times->values[times->count - 1]);
}

static void put_point(struct np_json *out, struct rdma_result *result, enum np_kind kind,
                      const struct np_figures *figures)
{
    np_json_open_object(out, NULL);
    rdma_link_put(result->link, result->operation, out);
    np_json_string(out, "unit", kind == NP_TIME ? "s" : "B/s");
    bench_put_figures(out, figures, 1);
    if (kind == NP_TIME) {
        put_tail(out, &result->samples);
        histogram_put(out, &result->samples);
    }
    np_json_close_object(out);
}

/* The worst of all points, by what a job would see of it, is the figure of the node. */
static int put_points(struct np_json *out, struct rdma_result *results, size_t count, enum np_kind kind,
                      char why[BENCH_WHY_BYTES])
{
    struct np_figures worst = {0};
    size_t worst_index = 0;
    np_json_open_array(out, "points");
    for (size_t i = 0; i < count; i++) {
        struct np_figures figures;
        const int rc = np_samples_figures(&results[i].samples, kind, &figures);
        if (rc != 0)
            return bench_why(why, -EIO, "%s: no samples of %s to %s", results[i].link->device, results[i].operation,
                             results[i].link->peer);
        put_point(out, &results[i], kind, &figures);
        const bool is_worse =
            kind == NP_TIME ? figures.sustained > worst.sustained : figures.sustained < worst.sustained;
        if (i == 0 || is_worse) {
            worst = figures;
            worst_index = i;
        }
    }
    np_json_close_array(out);
    bench_put_figures(out, &worst, 1);
    if (kind == NP_TIME)
        tail_put(out, &results[worst_index].samples);
    return 0;
}

int rdma_results_put(struct rdma_links *links, struct rdma_sides *sides, enum np_kind kind, struct rdma_result *results,
                     size_t count, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    int rc = links->is_between_hosts ? tell(links, sides, results, count, why) : 0;
    if (rc == 0)
        rc = put_points(out, results, count, kind, why);
    if (rc != 0)
        return rc;
    rdma_links_put(links, out);
    np_json_number(out, "seconds", sides->seconds);
    np_json_bool(out, "is_contended",
                 sides->on_cpu_shares[RDMA_CALLER] < LEAST_ON_CPU ||
                     sides->on_cpu_shares[RDMA_ANSWERER] < LEAST_ON_CPU);
    np_json_integer(out, "wrong_messages", sides->wrong[RDMA_CALLER] + sides->wrong[RDMA_ANSWERER]);
    np_json_string(out, "isa", np_isa_name(NP_ISA_GENERIC));
    bench_put_cpus(out, &links->cpus);
    return 0;
}

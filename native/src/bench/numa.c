/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bandwidth and latency between all NUMA nodes: what work on the wrong node loses.
 *
 * Memory is bound to a node and the kernel asked where the pages are; a matrix of pages that are
 * somewhere else would be a fair-looking lie.
 */
#include "numa.h"

#include <errno.h>
#include <string.h>

#include "chains.h"
#include "fingerprint.h"
#include "matrix.h"
#include "streams.h"
#include "system.h"

static void add_cpus(struct np_cpuset *cpus, const struct np_cpuset *more)
{
    for (size_t i = 0; i < sizeof cpus->word / sizeof *cpus->word; i++)
        cpus->word[i] |= more->word[i];
}

/* Say which cell failed. */
static int in_cell(const struct matrix_cell *cell, int rc, char why[BENCH_WHY_BYTES])
{
    char cause[BENCH_WHY_BYTES];
    if (rc == 0)
        return 0;
    memcpy(cause, why, sizeof cause);
    return bench_why(why, rc, "CPUs of node %u, memory of node %u: %s", cell->cpu_node, cell->memory_node, cause);
}

static void put_streams(const struct matrix_cell *cell, const struct streams *streams,
                        const struct stream_result *result, struct np_json *out)
{
    np_json_open_object(out, NULL);
    matrix_put_cell(cell, out);
    np_json_integer(out, "threads", result->threads);
    np_json_integer(out, "array_bytes", streams->array_bytes);
    np_json_string(out, "pages", streams->pages);
    if (streams->has_local_share)
        np_json_number(out, "local_share", streams->local_share);
    else
        np_json_null(out, "local_share");
    np_json_close_object(out);
}

/* All cores of one node read the memory of another; a point goes to `out`. */
static int measure_bandwidth(const struct bench_request *request, struct matrix *matrix, struct matrix_cell *cell,
                             uint64_t *wrong_elements, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct np_cpuset cpus;
    struct streams streams;
    struct stream_result result;
    int rc = matrix_row_cpus(matrix, cell->cpu_node, &cpus);
    if (rc != 0)
        return bench_why(why, rc, "cannot read the CPUs of the node: %s", strerror(-rc));
    rc = streams_open(&streams, request, NP_STREAM_READ, &cpus, matrix_memory_node(matrix, cell), why);
    if (rc != 0)
        return rc;
    const double most_s = request->seconds / (double)matrix->cell_count;
    rc = streams_measure(&streams, streams_widest(&streams), most_s, &result);
    if (rc == 0) {
        cell->figures = result.figures;
        cell->seconds = result.seconds;
        cell->is_contended = result.is_contended;
        *wrong_elements += streams.wrong_elements;
        add_cpus(&matrix->cpus, &cpus);
        put_streams(cell, &streams, &result, out);
    } else {
        bench_why(why, rc, "%s", rc == -EIO ? "no thread had its CPU for long enough" : strerror(-rc));
    }
    streams_close(&streams);
    return rc;
}

int numa_bandwidth(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct matrix matrix;
    uint64_t wrong_elements = 0;
    int rc = matrix_open(&matrix, why);
    if (rc != 0)
        return rc;
    np_json_open_array(out, "points");
    for (size_t i = 0; i < matrix.cell_count && rc == 0; i++)
        rc = in_cell(&matrix.cells[i], measure_bandwidth(request, &matrix, &matrix.cells[i], &wrong_elements, out, why),
                     why);
    np_json_close_array(out);
    if (rc == 0) {
        matrix_put(&matrix, NP_RATE, out);
        np_json_string(out, "isa", np_isa_name(request->has_isa ? request->isa : np_stream_widest()));
        np_json_integer(out, "wrong_elements", wrong_elements);
        fingerprint_put(request, &matrix.cpus, out);
    }
    matrix_close(&matrix);
    return rc;
}

/* The CPU of a row that follows chains. */
static int find_follower(const struct matrix *matrix, unsigned int cpu_node, unsigned int *cpu,
                         char why[BENCH_WHY_BYTES])
{
    struct np_cpuset cpus;
    const int rc = matrix_row_cpus(matrix, cpu_node, &cpus);
    *cpu = np_cpuset_first(&cpus);
    return rc == 0 ? 0 : bench_why(why, rc, "cannot read the CPUs of the node: %s", strerror(-rc));
}

/* A chain in the memory of a column that no CPU's cache can hold, linked from nearby if possible. */
static int open_column(const struct bench_request *request, const struct matrix *matrix,
                       const struct matrix_cell *column, struct chain *chain, char why[BENCH_WHY_BYTES])
{
    const int node = matrix_memory_node(matrix, column);
    uint64_t cache_bytes = 0, bytes;
    unsigned int linker = NP_MAX_CPUS;
    for (const struct matrix_cell *cell = column;
         cell < matrix->cells + matrix->cell_count && cell->memory_node == column->memory_node; cell++) {
        struct chain_caches caches;
        unsigned int cpu;
        const int rc = find_follower(matrix, cell->cpu_node, &cpu, why);
        if (rc != 0)
            return rc;
        chain_find_caches(cpu, &caches);
        cache_bytes = caches.last_bytes > cache_bytes ? caches.last_bytes : cache_bytes;
        linker = linker == NP_MAX_CPUS || cell->cpu_node == column->memory_node ? cpu : linker;
    }
    int rc = chain_choose_bytes(request, cache_bytes, system_available_bytes(node) / 2, &bytes, why);
    if (rc == 0)
        rc = chain_open(chain, request, linker, node, bytes, why);
    if (rc != 0)
        return rc;
    rc = chain_link(chain, linker, bytes);
    return rc == 0 ? 0 : bench_why(why, rc, "cannot link the chain: %s", strerror(-rc));
}

/* One CPU of a node follows a chain in the memory of another; a point goes to `out`. */
static int measure_latency(struct chain *chain, struct matrix *matrix, struct matrix_cell *cell, struct np_json *out,
                           char why[BENCH_WHY_BYTES])
{
    struct chain_result result;
    unsigned int cpu;
    int rc = find_follower(matrix, cell->cpu_node, &cpu, why);
    if (rc != 0)
        return rc;
    rc = chain_measure(chain, cpu, chain->request->seconds / (double)matrix->cell_count, &result);
    if (rc != 0)
        return bench_why(why, rc, "%s", strerror(-rc));
    cell->figures = result.figures;
    cell->seconds = result.seconds;
    cell->is_contended = result.is_contended;
    np_cpuset_add(&matrix->cpus, cpu);
    np_json_open_object(out, NULL);
    matrix_put_cell(cell, out);
    chain_put_set(chain, out);
    chain_put_local_share(chain, out);
    np_json_close_object(out);
    return 0;
}

int numa_latency(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct matrix matrix;
    struct chain chain = {.request = request};
    int rc = matrix_open(&matrix, why);
    if (rc != 0)
        return rc;
    np_json_open_array(out, "points");
    for (size_t i = 0; i < matrix.cell_count && rc == 0; i++) {
        struct matrix_cell *cell = &matrix.cells[i];
        if (i == 0 || cell->memory_node != cell[-1].memory_node) {
            chain_close(&chain);
            rc = open_column(request, &matrix, cell, &chain, why);
        }
        if (rc == 0)
            rc = measure_latency(&chain, &matrix, cell, out, why);
        rc = in_cell(cell, rc, why);
    }
    np_json_close_array(out);
    if (rc == 0) {
        matrix_put(&matrix, NP_TIME, out);
        np_json_string(out, "isa", np_isa_name(NP_ISA_GENERIC));
    }
    chain_close(&chain);
    matrix_close(&matrix);
    return rc;
}

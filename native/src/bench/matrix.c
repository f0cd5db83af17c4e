/* SPDX-License-Identifier: Apache-2.0 */
#include "matrix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nodeproof/arena.h"
#include "system.h"

/* The most nodes that Linux can be built for. */
enum { MAX_NODES = 1024 };

enum { STATUS_BYTES = 1 << 15 };

/* Nodes on which a cpuset lets us have memory: proc_pid_status(5). Without the line, all of them. */
static void keep_allowed(struct np_cpuset *nodes)
{
    static const char KEY[] = "Mems_allowed_list:";
    char text[STATUS_BYTES];
    struct np_cpuset allowed;
    char *list = system_read_text("/proc/self/status", text, sizeof text) == 0 ? strstr(text, KEY) : NULL;
    if (list == NULL)
        return;
    list += strlen(KEY);
    list += strspn(list, " \t");
    list[strcspn(list, "\n")] = '\0';
    if (np_cpulist_parse(list, &allowed) == 0)
        np_cpuset_intersect(nodes, &allowed);
}

int matrix_row_cpus(const struct matrix *matrix, unsigned int cpu_node, struct np_cpuset *cpus)
{
    int rc = 0;
    *cpus = matrix->allowed;
    if (matrix->is_numa) {
        struct np_cpuset of_node = {{0}};
        rc = system_node_cpus(cpu_node, &of_node);
        np_cpuset_intersect(cpus, &of_node);
    }
    system_one_per_core(cpus);
    return rc;
}

static void find_nodes(struct matrix *matrix)
{
    matrix->is_numa = system_memory_nodes(&matrix->columns) == 0;
    if (!matrix->is_numa) {
        np_cpuset_add(&matrix->rows, 0);
        np_cpuset_add(&matrix->columns, 0);
        return;
    }
    keep_allowed(&matrix->columns);
    for (unsigned int node = 0; node < MAX_NODES; node++) {
        struct np_cpuset cpus;
        if (matrix_row_cpus(matrix, node, &cpus) == 0 && np_cpuset_count(&cpus) > 0)
            np_cpuset_add(&matrix->rows, node);
    }
}

static const struct matrix_cell *worst(const struct matrix *matrix, enum np_kind kind, bool is_local)
{
    const struct matrix_cell *found = NULL;
    for (size_t i = 0; i < matrix->cell_count; i++) {
        const struct matrix_cell *cell = &matrix->cells[i];
        if ((cell->cpu_node == cell->memory_node) != is_local)
            continue;
        const double value = cell->figures.capability;
        if (found == NULL || (kind == NP_RATE ? value < found->figures.capability : value > found->figures.capability))
            found = cell;
    }
    return found;
}

/* First touch would place all memory on the node of the CPU that uses it: then no cell is what it says. */
static int try_to_bind(const struct matrix *matrix, char why[BENCH_WHY_BYTES])
{
    for (unsigned int node = 0; node < MAX_NODES; node++) {
        struct np_arena arena;
        if (!np_cpuset_has(&matrix->columns, node))
            continue;
        int rc = np_arena_open(&arena, NP_HUGE_PAGE_BYTES);
        if (rc == 0)
            rc = np_arena_bind(&arena, node);
        np_arena_close(&arena);
        if (rc == -ENOMEM)
            return bench_why(why, rc, "out of memory");
        if (rc != 0)
            return bench_why(why, -ENOTSUP, "memory cannot be placed on NUMA node %u: %s", node, strerror(-rc));
    }
    return 0;
}

static int open_cells(struct matrix *matrix)
{
    matrix->cells = calloc(np_cpuset_count(&matrix->rows) * np_cpuset_count(&matrix->columns), sizeof *matrix->cells);
    if (matrix->cells == NULL)
        return -ENOMEM;
    for (unsigned int column = 0; column < MAX_NODES; column++)
        for (unsigned int row = 0; np_cpuset_has(&matrix->columns, column) && row < MAX_NODES; row++)
            if (np_cpuset_has(&matrix->rows, row))
                matrix->cells[matrix->cell_count++] = (struct matrix_cell){.cpu_node = row, .memory_node = column};
    return 0;
}

int matrix_open(struct matrix *matrix, char why[BENCH_WHY_BYTES])
{
    *matrix = (struct matrix){.cells = NULL};
    int rc = np_affinity_get(&matrix->allowed);
    if (rc != 0)
        return bench_why(why, rc, "cannot read the CPU affinity: %s", strerror(-rc));
    find_nodes(matrix);
    if (np_cpuset_count(&matrix->rows) == 0 || np_cpuset_count(&matrix->columns) == 0)
        return bench_why(why, -ENOTSUP, "no NUMA node has CPUs or memory for this process");
    rc = open_cells(matrix);
    if (rc != 0)
        return bench_why(why, rc, "out of memory");
    if (worst(matrix, NP_RATE, false) != NULL)
        rc = try_to_bind(matrix, why);
    if (rc != 0)
        matrix_close(matrix);
    return rc;
}

void matrix_close(struct matrix *matrix)
{
    free(matrix->cells);
    *matrix = (struct matrix){.cells = NULL};
}

int matrix_memory_node(const struct matrix *matrix, const struct matrix_cell *cell)
{
    return matrix->is_numa ? (int)cell->memory_node : -1;
}

void matrix_put_cell(const struct matrix_cell *cell, struct np_json *out)
{
    np_json_integer(out, "cpu_node", cell->cpu_node);
    np_json_integer(out, "memory_node", cell->memory_node);
    bench_put_figures(out, &cell->figures, 1);
    np_json_bool(out, "is_contended", cell->is_contended);
}

static void put_nodes(const struct matrix *matrix, struct np_json *out)
{
    np_json_open_array(out, "nodes");
    for (unsigned int node = 0; node < MAX_NODES; node++)
        if (np_cpuset_has(&matrix->rows, node) || np_cpuset_has(&matrix->columns, node))
            np_json_integer(out, NULL, node);
    np_json_close_array(out);
}

void matrix_put(const struct matrix *matrix, enum np_kind kind, struct np_json *out)
{
    const struct matrix_cell *local = worst(matrix, kind, true), *remote = worst(matrix, kind, false);
    double seconds = 0;
    bool is_contended = false;
    for (size_t i = 0; i < matrix->cell_count; i++) {
        seconds += matrix->cells[i].seconds;
        is_contended |= matrix->cells[i].is_contended;
    }
    bench_put_figures(out, local != NULL ? &local->figures : &remote->figures, 1);
    np_json_number(out, "seconds", seconds);
    np_json_bool(out, "is_contended", is_contended);
    bench_put_cpus(out, &matrix->cpus);
    put_nodes(matrix, out);
    if (local == NULL || remote == NULL) {
        np_json_null(out, "local_remote_ratio");
        return;
    }
    const double ratio = remote->figures.capability / local->figures.capability;
    np_json_number(out, "local_remote_ratio", kind == NP_RATE ? ratio : 1 / ratio);
}

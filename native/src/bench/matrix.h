/* SPDX-License-Identifier: Apache-2.0 */
/* A figure for every NUMA node whose CPUs use, and every one whose memory is used. */
#ifndef NODEPROOF_BENCH_MATRIX_H
#define NODEPROOF_BENCH_MATRIX_H

#include "bench.h"

/** A node with CPUs of ours is a row, one with memory of ours a column: some have only one of them. */
struct matrix {
    bool is_numa;              /**< else one node, which the kernel does not number */
    struct np_cpuset rows;     /**< of node numbers */
    struct np_cpuset columns;  /**< of node numbers */
    struct np_cpuset allowed;  /**< CPUs */
    struct np_cpuset cpus;     /**< CPUs that were used */
    struct matrix_cell *cells; /**< column by column */
    size_t cell_count;
};

struct matrix_cell {
    unsigned int cpu_node;
    unsigned int memory_node;
    struct np_figures figures;
    double seconds;
    bool is_contended;
};

/**
 * Find the nodes, and whether memory may be placed on them.
 *
 * Returns 0 or -errno, with one sentence in `why`.
 */
int matrix_open(struct matrix *matrix, char why[BENCH_WHY_BYTES]);
void matrix_close(struct matrix *matrix);

/** CPUs of a row, one for each core. Returns 0 or -errno. */
int matrix_row_cpus(const struct matrix *matrix, unsigned int cpu_node, struct np_cpuset *cpus);

/** How a column's node is called elsewhere: -1 without NUMA. */
int matrix_memory_node(const struct matrix *matrix, const struct matrix_cell *cell);

/** Write coordinates and figures of a cell. */
void matrix_put_cell(const struct matrix_cell *cell, struct np_json *out);

/**
 * Write what sums the cells up: the worst of the local ones is the value (of all, if none is local),
 * and the worst remote one compares with it as `local_remote_ratio`, less than 1 if remote is worse.
 */
void matrix_put(const struct matrix *matrix, enum np_kind kind, struct np_json *out);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of nodeproof-bench. */
#ifndef NODEPROOF_BENCH_OPTIONS_H
#define NODEPROOF_BENCH_OPTIONS_H

#include "bench.h"

/** Exit statuses beside EXIT_SUCCESS and EXIT_FAILURE. */
enum { EXIT_USAGE = 2, EXIT_UNSUPPORTED = 3 };

/**
 * Read the command line into the request and find the benchmark.
 *
 * Returns 0, or 1 if the program is to end with `*status`: all has been said then.
 */
int options_read(int argc, char **argv, struct bench_request *request, const struct benchmark **benchmark, int *status);

#endif

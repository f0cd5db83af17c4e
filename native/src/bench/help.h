/* SPDX-License-Identifier: Apache-2.0 */
/* What nodeproof-bench says of itself. */
#ifndef NODEPROOF_BENCH_HELP_H
#define NODEPROOF_BENCH_HELP_H

#include <stdio.h>

void help_print(FILE *stream);

/** Print all benchmarks: name, unit, seconds, title and needs, a line for each. */
void help_list(void);

/** Returns an exit status: a text that a full disk cut short must not pass for the whole one. */
int help_finish(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_GATE_OPTIONS_H
#define NODEPROOF_GATE_OPTIONS_H

#include "gate.h"

enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_WRONG };

/* Read the command line. Without a kind it is the name that we were called by: slurm.conf gives hooks no arguments, so
   a link named `prolog` is a prolog. DONE: help or version was printed. WRONG: `why` says what is. */
enum options_result options_read(int argc, char **argv, struct gate_options *options, char why[GATE_WHY_BYTES]);

#endif

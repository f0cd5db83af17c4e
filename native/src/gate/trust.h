/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing that a user can write changes an answer: who else could have written a directory or a file. */
#ifndef NODEPROOF_GATE_TRUST_H
#define NODEPROOF_GATE_TRUST_H

#include <sys/stat.h>

#include "gate.h"

/* Open the run directory. Returns -1 and says why, or with an empty `why` that it is not there. */
int trust_open_directory(const char *path, char why[GATE_WHY_BYTES]);

/* Open a file of the directory, which has to be a regular one that root alone can write (or we, where we are not
   root). Returns -1 and says why, or with an empty `why` that it is not there. */
int trust_open_file(int directory, const char *name, int flags, struct stat *status, char why[GATE_WHY_BYTES]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_GATE_SAY_H
#define NODEPROOF_GATE_SAY_H

#include "gate.h"

/* Write all of it, or what whoever reads takes. */
void say_bytes(int fd, const char *text, size_t bytes);

/* Print the lines of an answer for slurmd. It hides what a hook printed that ended with 0: that goes to the log too. */
void say_answer(const struct gate_occasion *occasion, const struct gate_answer *answer);

/* Say on stderr that something is not as it should be; loudly: in the system log as well. */
__attribute__((format(printf, 3, 4))) void say_trouble(const struct gate_occasion *occasion, bool is_loud,
                                                       const char *format, ...);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_GATE_ANSWER_H
#define NODEPROOF_GATE_ANSWER_H

#include "gate.h"

/* Read the answer of the agent from its gate file. Returns -1 if there is none to go by: `why` says why, or is empty
   where no agent has left a file at all. */
int answer_read(int directory, enum gate_kind kind, const struct gate_moment *moment, struct gate_answer *answer,
                char why[GATE_WHY_BYTES]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_GATE_MARK_H
#define NODEPROOF_GATE_MARK_H

#include "gate.h"

/* Leave word that a job begins or ends, and wake the agent, which then reads counters. Changes no answer: what goes
   wrong is said on stderr. */
void mark_leave(int directory, const struct gate_occasion *occasion, const struct gate_moment *moment);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_GATE_FALLBACK_H
#define NODEPROOF_GATE_FALLBACK_H

#include "gate.h"

/* Have Python judge this node, within a deadline. Returns the exit code of this hook: that of the pass, or what the
   options say where it came to no verdict, which is said loudly. */
int fallback_run(const struct gate_options *options, const struct gate_occasion *occasion);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of nodeproof-gate: no heap, no configuration and no network, so that a prolog costs a millisecond and what
 * can go wrong in it is short enough to be read.
 */
#ifndef NODEPROOF_GATE_H
#define NODEPROOF_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gate_kind { GATE_HEALTHCHECK, GATE_PROLOG, GATE_EPILOG, GATE_KINDS };

/* As slurm.conf, the gate file and `nodeproof hook` call them. */
extern const char *const GATE_KIND_NAMES[GATE_KINDS];

/* A health check has 0 well, 1 failed, 2 unused, 3 something to tell; a prolog or epilog that is not 0 drains. */
extern const int GATE_MOST_CODE[GATE_KINDS];

enum { GATE_WHY_BYTES = 200, GATE_LABEL_BYTES = 48, GATE_BOOT_ID_BYTES = 36 };

struct gate_options {
    const char *run_dir;
    enum gate_kind kind;
    bool fails_closed;
    unsigned int timeout_s;
};

/* What this run is for. `job_id` is 0 without a job; `label` is how the log calls it, as the Python hook does. */
struct gate_occasion {
    enum gate_kind kind;
    uint64_t job_id;
    char label[GATE_LABEL_BYTES];
};

/* When this run is: in this boot ("" if /proc does not say), on the clock that no administrator sets. */
struct gate_moment {
    char boot_id[GATE_BOOT_ID_BYTES + 1];
    uint64_t boottime_ns;
};

/* `lines` are whole lines of the gate file, each with its key; the memory stays. */
struct gate_answer {
    int code;
    const char *lines;
    size_t lines_bytes;
};

/* Fill `why`, for a message. Returns -1, so that a caller can return it. */
__attribute__((format(printf, 2, 3))) int gate_why(char why[GATE_WHY_BYTES], const char *format, ...);

#endif

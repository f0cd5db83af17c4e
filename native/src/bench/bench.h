/* SPDX-License-Identifier: Apache-2.0 */
/* What bench_main.c asks of a benchmark. A new one is a file beside this one and a row in its table. */
#ifndef NODEPROOF_BENCH_BENCH_H
#define NODEPROOF_BENCH_BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "nodeproof/clock.h"
#include "nodeproof/cpuset.h"
#include "nodeproof/figures.h"
#include "nodeproof/isa.h"
#include "nodeproof/json.h"

/** What the command line asked for. */
struct bench_request {
    struct np_clock clock;
    const atomic_bool *is_cancelled;
    double seconds; /**< longest time to measure: asked for, else the benchmark's own */
    bool has_isa;   /**< else the widest that the CPU and the benchmark have */
    enum np_isa isa;
    bool has_cpus;
    struct np_cpuset cpus;
    int node;         /**< -1: the benchmark's own choice */
    uint64_t bytes;   /**< size of what is worked on; 0: the benchmark's own choice */
    const char *path; /**< directory to work in; NULL: the benchmark's own choice */
    bool has_seed;
    uint64_t seed;
    double share;        /**< of the free memory, 0 to 1; 0: the benchmark's own choice */
    const char *devices; /**< local ports or interfaces, comma-separated; NULL: the benchmark's own choice */
    bool between_ports;  /**< each port with the next one instead of itself */
    const char *listen;  /**< wait for the other host at this ADDRESS:PORT; NULL: not asked for */
    const char *connect; /**< the other host waits at this ADDRESS:PORT; NULL: not asked for */
    const char *session; /**< what both hosts must name the same; "" if not given */
    int gid_index;       /**< of RoCE; -1: the benchmark's own choice */
    const char *hook;    /**< a fault to plant; only the program for tests takes one */
};

/** Options that a benchmark may take; --seconds is for all of them. */
enum {
    TAKES_CPUS = 1 << 0,
    TAKES_NODE = 1 << 1,
    TAKES_ISA = 1 << 2,
    TAKES_BYTES = 1 << 3,
    TAKES_PATH = 1 << 4,
    TAKES_SEED = 1 << 5,
    TAKES_SHARE = 1 << 6,
    TAKES_DEVICE = 1 << 7,
    TAKES_PEER = 1 << 8,
    TAKES_GID = 1 << 9,
};

enum { BENCH_WHY_BYTES = 512 };

/**
 * Run, and write the benchmark's own keys to `out`.
 *
 * Returns 0 or -errno, with one sentence in `why`: -EINVAL is a mistake in the request, -ENOTSUP
 * something that this machine does not have.
 */
typedef int bench_fn(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES]);

struct benchmark {
    const char *name;
    const char *unit;
    double seconds; /**< how long it measures at most unless --seconds says so */
    unsigned int takes;
    const char *title;
    const char *needs;
    bench_fn *run;
};

/** All benchmarks; the last has no name. */
extern const struct benchmark BENCHMARKS[];

/** Write the sentence and return `rc`. */
__attribute__((format(printf, 3, 4))) int bench_why(char why[BENCH_WHY_BYTES], int rc, const char *format, ...);

/** Write value, sustained, stability, interval, is_converged and samples, each times `scale`. */
void bench_put_figures(struct np_json *out, const struct np_figures *figures, double scale);

/** Write cpus and threads. */
void bench_put_cpus(struct np_json *out, const struct np_cpuset *cpus);

/** True if a signal has asked us to stop. */
static inline bool bench_is_cancelled(const struct bench_request *request)
{
    return atomic_load_explicit(request->is_cancelled, memory_order_relaxed);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The benchmarks of cores and of the clock, and what they share. */
#ifndef NODEPROOF_BENCH_CPU_H
#define NODEPROOF_BENCH_CPU_H

#include "bench.h"
#include "nodeproof/flops.h"
#include "nodeproof/sampling.h"
#include "nodeproof/team.h"

bench_fn cpu_flops;
bench_fn cpu_frequency;
bench_fn cpu_per_core;
bench_fn cpu_core_to_core;
bench_fn cpu_jitter;
bench_fn clock_consistency;

/** CPUs to work on, in ascending order. */
struct cpu_list {
    struct np_cpuset set;
    unsigned int *cpus;
    size_t count;
};

/**
 * Take the CPUs asked for, else all that this process may run on, or one of each core of these.
 *
 * Returns 0 or -errno, with one sentence in `why`; close the list even then.
 */
int cpu_list_open(struct cpu_list *list, const struct bench_request *request, bool one_per_core,
                  char why[BENCH_WHY_BYTES]);

void cpu_list_close(struct cpu_list *list);

/** Write the sentence for an error of measuring and return the error: no samples are those that others had the CPUs
 * for. */
int cpu_why(char why[BENCH_WHY_BYTES], int rc);

/** The package (socket) of a CPU; 0 if the kernel does not say. */
unsigned int cpu_package(unsigned int cpu);

/** CPU time of the calling thread: what is missing to the time of the clock, others had. */
double cpu_thread_seconds(void);

/** The instructions asked for, else the widest. Returns 0 or -ENOTSUP, with one sentence in `why`. */
int cpu_choose_isa(const struct bench_request *request, enum np_isa *isa, char why[BENCH_WHY_BYTES]);

/**
 * What one thread did: a chain of additions, which tells the clock, and then the kernel, over and over.
 *
 * The two alternate so fast that the clock which the one tells is that of the other: a slice of both takes some
 * microseconds, a block of slices a fraction of a millisecond.
 */
struct cpu_work {
    const struct bench_request *request;
    const struct np_flops_kernel *kernel; /**< NULL: the chain alone */
    double warmup_s;
    double least_s;
    double most_s; /**< go on for so long while fewer than `enough` blocks were undisturbed */
    size_t enough;
    uint64_t start;   /**< ticks of the clock: when the first block began, the same for all threads of a team */
    uint64_t planned; /**< ticks that the chain of one slice should take */
    uint64_t adds;    /**< in one slice */
    uint64_t rounds;  /**< in one slice */
    size_t slices;    /**< in one block */
    uint64_t looking; /**< ticks that two looks at the clock take */
    struct cpu_block *blocks;
    size_t count, size;
};

struct cpu_block {
    uint64_t begin, end;    /**< ticks of the clock */
    uint64_t chain, kernel; /**< ticks that each of the two had in all slices */
    double chain_share;     /**< chain over kernel: the median of the slices */
    double on_cpu_s;        /**< CPU time since the end of the block before */
};

/** Make room for blocks of `most_s`. Returns 0 or -ENOMEM. */
int cpu_work_open(struct cpu_work *work);
void cpu_work_close(struct cpu_work *work);

/** Work in one thread of a team. Returns 0 or -ECANCELED. */
int cpu_work_run(struct cpu_work *work, struct np_gate *gate);

/** True if the thread had its CPU throughout the block, and slices took about as long as planned. */
bool cpu_block_is_clean(const struct cpu_work *work, size_t i);

/** Cycles per second and operations per second in a block. */
double cpu_block_clock_hz(const struct cpu_work *work, size_t i);
double cpu_block_flops(const struct cpu_work *work, size_t i);

/** Seconds of a number of ticks. */
double cpu_work_seconds(const struct cpu_work *work, uint64_t ticks);

/** Add operations per cycle to `samples`, one for every block. */
void cpu_work_flops_per_clock(const struct cpu_work *work, struct np_samples *samples);

/** Find their capability, or 0 if there are none. Returns 0 or -ENOMEM. */
int cpu_flops_per_clock(const struct np_samples *samples, double *flops_per_clock);

/** Write `flops_per_clock`: null if it is 0. */
void cpu_put_flops_per_clock(struct np_json *out, double flops_per_clock);

/** What the threads of all CPUs did together. */
struct cpu_rates {
    struct np_figures flops;    /**< of all of them; nothing without a kernel */
    struct np_figures clock_hz; /**< mean of the CPUs */
    double flops_per_clock;     /**< of one CPU: capability; 0: unknown */
    unsigned int slowest_cpu;   /**< by the median of its clock in the last window */
    double slowest_hz;
    double seconds;
    bool is_contended; /**< foreign processes had our CPUs so long that there is no clean sample */
};

/** Have all CPUs of the list work at once for at most `most_s`. Returns 0 or -errno. */
int cpu_measure(const struct bench_request *request, const struct cpu_list *list, const struct np_flops_kernel *kernel,
                double most_s, struct cpu_rates *rates);

#endif

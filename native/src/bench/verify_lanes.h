/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cores that run the same kernel on the same seed at the same time, so that each has the others' outputs
 * to be compared with while they are still in memory. Lane 0 decides what comes next.
 */
#ifndef NODEPROOF_BENCH_VERIFY_LANES_H
#define NODEPROOF_BENCH_VERIFY_LANES_H

#include "bench.h"
#include "nodeproof/team.h"
#include "nodeproof/verify.h"
#include "nodeproof/verify_pair.h"
#include "verify_flips.h"
#include "verify_load.h"

/** A result that was wrong is computed so many times more. */
enum { LANE_REPLAYS = 10 };

/** What is run: a variant of a kernel, or the pair kernel if there is none. */
struct item {
    const struct np_verify_kernel *kernel;
    const struct np_verify_variant *variant;
};

const char *item_name(const struct item *item);
enum np_isa item_isa(const struct item *item);
size_t item_output_bytes(const struct item *item);
uint64_t item_standard_hash(const struct item *item);

struct lane {
    unsigned int cpu;
    bool is_tested; /**< otherwise it only serves to compare with */
    void *scratch, *output, *replay;
    bool *is_condemned; /**< by item: it has been wrong again and again, and has no vote */
    int partner;        /**< CPU of the other side, or -1 */
    /* What it found for one seed: first, over and over, and with plain C; 0 is nothing. */
    uint64_t hash, replays[LANE_REPLAYS], plain;
    unsigned int standard_failures; /**< of LANE_REPLAYS runs of the seed whose output is known */
};

enum step_kind { STEP_RUN, STEP_REPLAY, STEP_OPINION, STEP_STOP };

struct step {
    enum step_kind kind;
    size_t item;
    uint64_t seed;
    size_t replay;   /**< number of this replay */
    size_t distance; /**< between the lanes of a pair */
    double rest_s;   /**< before it */
    enum load_phase phase;
};

struct barrier {
    _Alignas(64) atomic_uint arrived;
    _Alignas(64) atomic_uint generation;
};

struct lanes {
    const struct bench_request *request;
    struct flips flips;
    struct lane *lanes;
    size_t count;
    struct item *items;
    size_t item_count;
    struct np_verify_pair *pairs; /**< that of two lanes has the number of the lower one */
    struct step step;
    struct barrier barrier;
    _Alignas(64) atomic_uint_fast64_t golden; /**< the first output's hash, and what all others must be; 0: none yet */
    atomic_bool is_mismatched;
    atomic_int rc; /**< why all are to go home */
};

/** Make lanes for these CPUs; the first `tested` of them are what is tested. Returns 0 or -errno; close them then. */
int lanes_open(struct lanes *lanes, const struct bench_request *request, const unsigned int *cpus, size_t count,
               size_t tested, char why[BENCH_WHY_BYTES]);
void lanes_close(struct lanes *lanes);

/** Make a lane's memory, from the thread that is to use it. Returns 0 or -ENOMEM. */
int lane_open(struct lane *lane, size_t item_count);
void lane_close(struct lane *lane);

/** What a lane thinks of a seed beside its first result, by itself. */
void lane_form_opinion(struct lanes *lanes, struct lane *lane, const struct step *step);

/** Have all lanes do a step, as lane 0. */
void lanes_perform(struct lanes *lanes, const struct step *step);

/** What the other lanes do: whatever lane 0 performs, until it says stop. Returns 0 or -errno. */
int lanes_follow(struct lanes *lanes, size_t index);

#endif

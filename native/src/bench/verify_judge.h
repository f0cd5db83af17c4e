/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs differ: which core is wrong, in which bits, and does it happen again? */
#ifndef NODEPROOF_BENCH_VERIFY_JUDGE_H
#define NODEPROOF_BENCH_VERIFY_JUDGE_H

#include "verify_lanes.h"

enum { FINDINGS_MOST = 64, REFEREES_MOST = 2 };

struct finding {
    unsigned int cpu;
    int partner; /**< the CPU on the other side of a pair, or -1 */
    size_t item;
    enum np_isa isa;
    uint64_t seed;
    enum load_phase phase;
    uint64_t times;        /**< how often this core was wrong here, this one included */
    unsigned int replayed; /**< how many of LANE_REPLAYS were wrong as well */
    bool is_attributed;    /**< false: one of several cores is wrong, and nothing says which */
    bool has_difference;   /**< false: only that it is wrong is known, for nobody has the right output */
    struct np_verify_difference difference;
};

struct judge {
    struct lanes *lanes;
    struct finding findings[FINDINGS_MOST];
    size_t count;
    uint64_t corruptions;                /**< findings and all that had no room there */
    uint64_t judged;                     /**< mismatches looked into */
    struct lane referees[REFEREES_MOST]; /**< further cores, heard only if two disagree */
    size_t referee_count;
    size_t open_referees;
    const struct step *step;
};

/** Look for cores that can be heard beside the lanes. */
void judge_open(struct judge *judge, struct lanes *lanes);
void judge_close(struct judge *judge);

/** As lane 0, after a step that left a mismatch. Returns 0 or -errno. */
int judge_mismatch(struct judge *judge, const struct step *step);

/** Count what condemned cores did wrong in this step: they were not compared. */
void judge_count_condemned(struct judge *judge, const struct step *step);

#endif

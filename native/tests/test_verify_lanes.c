/* SPDX-License-Identifier: Apache-2.0 */
/* Which of many cores is wrong: more lanes than most test machines have CPUs, each with a number of its own. */
#include <errno.h>
#include <string.h>

#include "bench/verify_judge.h"
#include "nodeproof/cpuset.h"
#include "test.h"

enum { SEED = 99 };

static struct {
    struct bench_request request;
    atomic_bool is_cancelled;
    struct lanes lanes;
    struct judge judge;
    size_t steps, distance;
} run;

static void lead(void)
{
    static const uint64_t SEEDS[] = {SEED, NP_VERIFY_SEED};
    struct step step = {.kind = STEP_RUN, .distance = run.distance};
    for (size_t i = 0; i < 2; i++) {
        for (step.item = 0; step.item < run.lanes.item_count; step.item++) {
            step.seed = SEEDS[i];
            lanes_perform(&run.lanes, &step);
            CHECK(atomic_load(&run.lanes.rc) == 0);
            judge_count_condemned(&run.judge, &step);
            if (atomic_load(&run.lanes.is_mismatched))
                CHECK(judge_mismatch(&run.judge, &step) == 0);
            run.steps++;
        }
    }
    lanes_perform(&run.lanes, &(struct step){.kind = STEP_STOP});
}

static int take_lane(void *state, size_t index, struct np_gate *gate)
{
    uint64_t opened;
    (void)state;
    CHECK(lane_open(&run.lanes.lanes[index], run.lanes.item_count) == 0);
    CHECK(np_gate_meet(gate, &run.request.clock, &opened) == 0);
    if (index != 0)
        return lanes_follow(&run.lanes, index);
    lead();
    return 0;
}

/* Lanes are numbered 0, 1, 2, … whatever CPUs they run on; of two lanes, cores 2 and 3 are the referees. */
static void run_lanes(size_t count, size_t referees, size_t distance, const char *hook)
{
    char why[BENCH_WHY_BYTES];
    struct np_cpuset allowed;
    unsigned int cpus[8], usable[8];
    CHECK(np_affinity_get(&allowed) == 0);
    const size_t some = np_cpuset_list(&allowed, usable, 8);
    for (size_t i = 0; i < count; i++)
        cpus[i] = usable[i % (some < 8 ? some : 8)];
    memset(&run, 0, sizeof run);
    CHECK(np_clock_init(&run.request.clock, false) == 0);
    run.request.is_cancelled = &run.is_cancelled;
    run.request.hook = hook;
    run.request.has_isa = true; /* plain C alone: a quarter of the items */
    run.distance = distance;
    CHECK(lanes_open(&run.lanes, &run.request, cpus, count, count, why) == 0);
    for (size_t i = 0; i < count; i++)
        run.lanes.lanes[i].cpu = (unsigned int)i;
    judge_open(&run.judge, &run.lanes);
    if (run.judge.referee_count > referees)
        run.judge.referee_count = referees;
    CHECK(np_team_run(cpus, count, take_lane, NULL) == 0);
}

static void end(void)
{
    judge_close(&run.judge);
    lanes_close(&run.lanes);
}

/* Every finding names this lane and these bits, and says how sure that is. */
static void all_findings_are(unsigned int cpu, const char *kernel, uint64_t flipped, bool is_reproduced)
{
    CHECK(run.judge.count > 0);
    for (size_t i = 0; i < run.judge.count; i++) {
        const struct finding *finding = &run.judge.findings[i];
        CHECK(finding->cpu == cpu && strcmp(item_name(&run.lanes.items[finding->item]), kernel) == 0);
        CHECK(finding->has_difference && finding->difference.wrong_words == 1);
        CHECK((finding->difference.expected ^ finding->difference.found) == flipped);
        CHECK((finding->replayed == LANE_REPLAYS) == is_reproduced && (finding->replayed == 0) == !is_reproduced);
        CHECK(finding->is_attributed);
    }
}

static void of_five_lanes_the_wrong_one_is_named(void)
{
    run_lanes(5, 0, 1, NULL);
    CHECK(run.judge.corruptions == 0 && run.judge.judged == 0 && run.steps == 2 * run.lanes.item_count);
    end();
    run_lanes(5, 0, 2, "flip:0:aes:77");
    all_findings_are(0, "aes", UINT64_C(1) << 13, true);
    CHECK(run.judge.count == 1 && run.judge.corruptions == 2); /* with both seeds */
    end();
    run_lanes(5, 0, 3, "flip:4:lz:64:once");
    all_findings_are(4, "lz", 1, false);
    CHECK(run.judge.corruptions == 1);
    end();
    run_lanes(5, 0, 1, "flip:3:gather:3:unknown");
    all_findings_are(3, "gather", 8, true);
    CHECK(run.judge.corruptions == 1);
    end();
}

static void a_pair_names_its_other_side(void)
{
    run_lanes(5, 0, 1, "flip:2:atomics:5");
    all_findings_are(2, "atomics", 32, true);
    CHECK(run.judge.findings[0].partner == 3);
    end();
    run_lanes(5, 0, 1, "flip:4:atomics:5:once"); /* the odd one out works alone */
    all_findings_are(4, "atomics", 32, false);
    CHECK(run.judge.findings[0].partner == -1);
    end();
}

static void several_may_be_wrong(void)
{
    run_lanes(5, 0, 1, "flip:1:copy:0,flip:3:copy:1,flip:3:multiply:2:once");
    bool is_found[5] = {false};
    for (size_t i = 0; i < run.judge.count; i++)
        is_found[run.judge.findings[i].cpu] = true;
    CHECK(!is_found[0] && is_found[1] && !is_found[2] && is_found[3] && !is_found[4]);
    end();
}

/* What the known seed does not show, two cores cannot decide between them. */
static void two_lanes_need_a_third(void)
{
    run_lanes(2, 0, 1, "flip:1:crc32c:9");
    all_findings_are(1, "crc32c", 512, true);
    end();
    run_lanes(2, 0, 1, "flip:0:crc32c:9:unknown");
    CHECK(run.judge.count == 2);
    for (size_t i = 0; i < run.judge.count; i++)
        CHECK(!run.judge.findings[i].is_attributed && run.judge.findings[i].cpu == i % 2);
    end();
}

static void one_lane_has_only_itself(void)
{
    run_lanes(1, 0, 1, NULL);
    CHECK(run.judge.corruptions == 0);
    end();
    run_lanes(1, 0, 1, "flip:0:transpose:9"); /* plain C is wrong in the same way: only the known seed shows it */
    CHECK(run.judge.count > 0 && !run.judge.findings[0].has_difference && run.judge.findings[0].is_attributed);
    CHECK(run.judge.findings[0].seed == NP_VERIFY_SEED);
    end();
    run_lanes(1, 0, 1, "flip:0:sha256:9:once");
    CHECK(run.judge.count == 1 && run.judge.findings[0].replayed == 0 && run.judge.findings[0].isa == NP_ISA_GENERIC);
    end();
}

static void bad_hooks_are_refused(void)
{
    static const char *const BAD[] = {"flip", "flip:0", "flip:0:aes", "flip:0:aes:x", "flip:0:aes:1:twice", "segv,"};
    char why[BENCH_WHY_BYTES];
    struct flips flips;
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        CHECK(flips_read(&flips, BAD[i], why) == -EINVAL);
    CHECK(flips_read(&flips, "flip:12:aes:1,flip:0:lz:18446744073709551615:once", why) == 0 && flips.count == 2);
    CHECK(flips.flip[0].cpu == 12 && flips.flip[1].when == FLIP_ONCE && flips.flip[1].bit == UINT64_MAX);
}

int main(void)
{
    bad_hooks_are_refused();
    of_five_lanes_the_wrong_one_is_named();
    a_pair_names_its_other_side();
    several_may_be_wrong();
    two_lanes_need_a_third();
    one_lane_has_only_itself();
    return EXIT_SUCCESS;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Silent data corruption: all CPUs, SMT siblings too, run the same kernels on the same seeds and must find the same.
 *
 * Each rotation takes every variant of every kernel once, with a seed of its own; every eighth has the seed whose
 * outputs are known beforehand. The value is the number of wrong outputs: to judge it is the caller's affair.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conditions.h"
#include "cpu.h"
#include "system.h"
#include "verify.h"
#include "verify_judge.h"

/* Of two the second has the known seed: whatever --seconds says, each variant is run with both. */
enum { LEAST_ROTATIONS = 2, KNOWN_EVERY = 8 };

/* Mismatches that are looked into before the run ends early: more would not say more. */
enum { JUDGED_MOST = 256 };

struct verify_run {
    const struct bench_request *request;
    struct lanes lanes;
    struct judge judge;
    uint64_t seed;
    uint64_t rotations; /* that were begun */
    uint64_t steps, steps_in[LOAD_PHASES], bytes;
    double seconds;
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* The first rotation has the seed asked for itself: a corruption is replayed by the seed that is told with it. */
static uint64_t seed_of(const struct verify_run *run, uint64_t rotation)
{
    if (rotation % KNOWN_EVERY == 1)
        return NP_VERIFY_SEED;
    return rotation == 0 ? run->seed : mix(run->seed + rotation * UINT64_C(0x9e3779b97f4a7c15));
}

/* Distances of pairs go through all numbers below the power of two that holds the number of lanes. */
static size_t distance_of(const struct verify_run *run, uint64_t rotation)
{
    size_t most = 1;
    while (most < run->lanes.count)
        most *= 2;
    return most > 1 ? 1 + rotation % (most - 1) : 1;
}

static struct step plan(struct verify_run *run, uint64_t rotation, size_t item, double at_s)
{
    struct step step = {
        .kind = STEP_RUN, .item = item, .seed = seed_of(run, rotation), .distance = distance_of(run, rotation)};
    step.phase = load_plan(at_s, run->request->seconds, mix(run->steps + 1), &step.rest_s);
    return step;
}

static int take_step(struct verify_run *run, const struct step *step)
{
    lanes_perform(&run->lanes, step);
    const int rc = atomic_load(&run->lanes.rc);
    if (rc != 0 || bench_is_cancelled(run->request))
        return rc != 0 ? rc : -ECANCELED;
    run->steps++;
    run->steps_in[step->phase]++;
    run->bytes += item_output_bytes(&run->lanes.items[step->item]);
    judge_count_condemned(&run->judge, step);
    return atomic_load(&run->lanes.is_mismatched) ? judge_mismatch(&run->judge, step) : 0;
}

static int lead(struct verify_run *run)
{
    const struct np_clock *clock = &run->request->clock;
    const uint64_t start = np_clock_now(clock);
    int rc = 0;
    for (bool is_over = false; !is_over && rc == 0; run->rotations++) {
        for (size_t item = 0; item < run->lanes.item_count && !is_over && rc == 0; item++) {
            const double at_s = np_clock_seconds(clock, start, np_clock_now(clock));
            const struct step step = plan(run, run->rotations, item, at_s);
            is_over = run->judge.judged >= JUDGED_MOST ||
                      (run->rotations >= LEAST_ROTATIONS && at_s >= run->request->seconds);
            if (!is_over)
                rc = take_step(run, &step);
        }
    }
    run->seconds = np_clock_seconds(clock, start, np_clock_now(clock));
    if (atomic_load(&run->lanes.rc) == 0)
        lanes_perform(&run->lanes, &(struct step){.kind = STEP_STOP});
    return rc;
}

static int take_lane(void *state, size_t index, struct np_gate *gate)
{
    struct verify_run *run = state;
    uint64_t opened;
    int rc = lane_open(&run->lanes.lanes[index], run->lanes.item_count);
    if (rc == 0)
        rc = np_gate_meet(gate, &run->request->clock, &opened);
    if (rc != 0)
        return rc;
    return index == 0 ? lead(run) : lanes_follow(&run->lanes, index);
}

/* One CPU alone has nobody to be compared with: a CPU of another core serves, if this process may use one. */
static size_t add_helper(unsigned int *cpus, size_t count)
{
    struct np_cpuset allowed;
    if (count != 1 || np_affinity_get(&allowed) != 0)
        return count;
    for (unsigned int cpu = 0; cpu < NP_MAX_CPUS; cpu++) {
        struct np_cpuset two = {{0}};
        if (!np_cpuset_has(&allowed, cpu) || cpu == cpus[0])
            continue;
        np_cpuset_add(&two, cpu);
        np_cpuset_add(&two, cpus[0]);
        system_one_per_core(&two);
        if (np_cpuset_count(&two) < 2)
            continue;
        cpus[count++] = cpu;
        break;
    }
    return count;
}

static uint64_t choose_seed(const struct bench_request *request)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return request->has_seed ? request->seed : mix((uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec);
}

static void put_word(struct np_json *out, const char *key, bool is_known, uint64_t word)
{
    char text[19];
    snprintf(text, sizeof text, "0x%016llx", (unsigned long long)word);
    if (is_known)
        np_json_string(out, key, text);
    else
        np_json_null(out, key);
}

static void put_finding(const struct verify_run *run, const struct finding *finding, struct np_json *out)
{
    const struct np_verify_difference *difference = &finding->difference;
    const bool is_known = finding->has_difference;
    np_json_open_object(out, NULL);
    np_json_integer(out, "value", finding->times);
    np_json_integer(out, "cpu", finding->cpu);
    if (finding->partner >= 0)
        np_json_integer(out, "partner_cpu", (uint64_t)finding->partner);
    np_json_string(out, "kernel", item_name(&run->lanes.items[finding->item]));
    np_json_string(out, "isa", np_isa_name(finding->isa));
    np_json_integer(out, "seed", finding->seed);
    np_json_string(out, "phase", load_phase_name(finding->phase));
    if (is_known)
        np_json_integer(out, "offset", difference->offset);
    else
        np_json_null(out, "offset");
    put_word(out, "expected", is_known, difference->expected);
    put_word(out, "found", is_known, difference->found);
    if (is_known)
        np_json_integer(out, "wrong_words", difference->wrong_words);
    else
        np_json_null(out, "wrong_words");
    np_json_bool(out, "is_reproduced", finding->replayed > 0);
    np_json_integer(out, "replays_wrong", finding->replayed);
    np_json_integer(out, "replays", LANE_REPLAYS);
    np_json_bool(out, "is_attributed", finding->is_attributed);
    np_json_close_object(out);
}

static void put_result(const struct verify_run *run, const struct cpu_list *list, struct np_json *out)
{
    enum np_isa widest = NP_ISA_GENERIC;
    for (size_t i = 0; i < run->lanes.item_count; i++)
        widest = item_isa(&run->lanes.items[i]) > widest ? item_isa(&run->lanes.items[i]) : widest;
    np_json_integer(out, "value", run->judge.corruptions);
    np_json_integer(out, "samples", run->steps * list->count);
    np_json_number(out, "seconds", run->seconds);
    np_json_bool(out, "is_contended", false);
    bench_put_cpus(out, &list->set);
    np_json_string(out, "isa", np_isa_name(widest));
    np_json_integer(out, "seed", run->seed);
    np_json_integer(out, "variants", run->lanes.item_count);
    np_json_integer(out, "runs_per_cpu", run->steps);
    np_json_integer(out, "rotations", run->steps / run->lanes.item_count);
    np_json_integer(out, "bytes_per_cpu", run->bytes);
    np_json_open_object(out, "runs_by_phase");
    for (int phase = 0; phase < LOAD_PHASES; phase++)
        np_json_integer(out, load_phase_name((enum load_phase)phase), run->steps_in[phase]);
    np_json_close_object(out);
    if (run->lanes.count > list->count)
        np_json_integer(out, "helper_cpu", run->lanes.lanes[list->count].cpu);
    np_json_open_array(out, "points");
    for (size_t i = 0; i < run->judge.count; i++)
        put_finding(run, &run->judge.findings[i], out);
    np_json_close_array(out);
}

int cpu_verify(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct cpu_list list;
    struct verify_run *run = NULL;
    unsigned int *cpus = NULL;
    int rc = cpu_list_open(&list, request, false, why);
    if (rc != 0)
        goto out;
    run = aligned_alloc(_Alignof(struct verify_run), sizeof *run);
    cpus = calloc(list.count + 1, sizeof *cpus);
    if (run == NULL || cpus == NULL) {
        rc = bench_why(why, -ENOMEM, "out of memory");
        goto out;
    }
    memset(run, 0, sizeof *run);
    run->request = request;
    run->seed = choose_seed(request);
    memcpy(cpus, list.cpus, list.count * sizeof *cpus);
    const size_t count = add_helper(cpus, list.count);
    rc = lanes_open(&run->lanes, request, cpus, count, list.count, why);
    if (rc == 0) {
        judge_open(&run->judge, &run->lanes);
        rc = conditions_team_run(cpus, count, take_lane, run);
        if (rc == 0)
            put_result(run, &list, out);
        else
            bench_why(why, rc, "%s", rc == -ETIMEDOUT ? "a line did not arrive at another CPU" : strerror(-rc));
    }
    judge_close(&run->judge);
    lanes_close(&run->lanes);
out:
    free(run);
    free(cpus);
    cpu_list_close(&list);
    return rc;
}

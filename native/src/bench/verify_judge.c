/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_judge.h"

#include <errno.h>
#include <string.h>

#include "conditions.h"

/* The hash that the right output must have; no `is_certain`: cores stand against cores. */
struct verdict {
    uint64_t hash;
    bool is_certain;
};

void judge_open(struct judge *judge, struct lanes *lanes)
{
    struct np_cpuset allowed;
    memset(judge, 0, sizeof *judge);
    judge->lanes = lanes;
    if (lanes->count > 2 || np_affinity_get(&allowed) != 0)
        return;
    for (unsigned int cpu = 0; cpu < NP_MAX_CPUS && judge->referee_count < REFEREES_MOST; cpu++) {
        bool is_lane = false;
        for (size_t i = 0; i < lanes->count; i++)
            is_lane |= lanes->lanes[i].cpu == cpu;
        if (np_cpuset_has(&allowed, cpu) && !is_lane)
            judge->referees[judge->referee_count++] = (struct lane){.cpu = cpu, .partner = -1};
    }
}

void judge_close(struct judge *judge)
{
    for (size_t i = 0; i < judge->referee_count; i++)
        lane_close(&judge->referees[i]);
}

static struct lane *voter(const struct judge *judge, size_t i)
{
    const size_t lanes = judge->lanes->count;
    return i < lanes ? &judge->lanes->lanes[i] : (struct lane *)&judge->referees[i - lanes];
}

static size_t voters(const struct judge *judge)
{
    return judge->lanes->count + judge->referee_count;
}

static int hear(void *state, size_t index, struct np_gate *gate)
{
    struct judge *judge = state;
    struct lane *referee = &judge->referees[index];
    (void)gate;
    if (referee->scratch == NULL) {
        const int rc = lane_open(referee, judge->lanes->item_count);
        if (rc != 0)
            return rc;
    }
    lane_form_opinion(judge->lanes, referee, judge->step);
    referee->hash = referee->plain;
    memcpy(referee->output, referee->replay, item_output_bytes(&judge->lanes->items[judge->step->item]));
    for (size_t i = 0; i < LANE_REPLAYS; i++)
        referee->replays[i] = referee->plain;
    return 0;
}

static int hear_referees(struct judge *judge)
{
    unsigned int cpus[REFEREES_MOST];
    for (size_t i = 0; i < judge->referee_count; i++)
        cpus[i] = judge->referees[i].cpu;
    return judge->referee_count > 0 ? conditions_team_run(cpus, judge->referee_count, hear, judge) : 0;
}

static unsigned int times_found(const struct lane *lane, uint64_t hash)
{
    unsigned int times = (lane->hash == hash) + (lane->plain == hash);
    for (size_t i = 0; i < LANE_REPLAYS; i++)
        times += lane->replays[i] == hash;
    return times;
}

/* What a core found most often. */
static uint64_t opinion(const struct lane *lane)
{
    uint64_t best = lane->hash;
    for (size_t i = 0; i < LANE_REPLAYS; i++)
        if (times_found(lane, lane->replays[i]) > times_found(lane, best))
            best = lane->replays[i];
    return best;
}

/* Votes of the cores that compute what is known rightly; plain C decides where they are as many against as for. */
static uint64_t votes(const struct judge *judge, uint64_t hash)
{
    uint64_t count = 0;
    for (size_t i = 0; i < voters(judge); i++) {
        const struct lane *lane = voter(judge, i);
        if (lane->standard_failures == 0)
            count += (opinion(lane) == hash ? UINT64_C(1) << 32 : 0) + (lane->plain == hash);
    }
    return count;
}

static struct verdict vote(const struct judge *judge, const struct step *step)
{
    uint64_t best = 0, most = 0;
    bool is_tied = true;
    if (step->seed == NP_VERIFY_SEED)
        return (struct verdict){item_standard_hash(&judge->lanes->items[step->item]), true};
    if (voters(judge) == 1 && voter(judge, 0)->standard_failures > 0)
        return (struct verdict){voter(judge, 0)->plain, true};
    for (size_t i = 0; i < voters(judge); i++) {
        const uint64_t hash = opinion(voter(judge, i)), count = votes(judge, hash);
        if (count > most || most == 0) {
            is_tied = count == 0;
            best = hash;
            most = count;
        } else if (count == most && hash != best) {
            is_tied = true;
        }
    }
    return (struct verdict){best, !is_tied};
}

static const void *output_of(const struct judge *judge, uint64_t hash)
{
    for (size_t i = 0; i < voters(judge); i++) {
        const struct lane *lane = voter(judge, i);
        if (lane->hash == hash)
            return lane->output;
        if (lane->plain == hash) /* the last that it computed */
            return lane->replay;
    }
    return NULL;
}

static void keep(struct judge *judge, const struct finding *finding)
{
    judge->corruptions++;
    if (judge->count < FINDINGS_MOST)
        judge->findings[judge->count++] = *finding;
}

static void find(struct judge *judge, struct lane *lane, const struct step *step, struct verdict verdict)
{
    const struct item *item = &judge->lanes->items[step->item];
    const void *expected = output_of(judge, verdict.hash);
    struct finding finding = {
        .cpu = lane->cpu,
        .partner = item->kernel == NULL ? lane->partner : -1,
        .item = step->item,
        .isa = item_isa(item),
        .seed = step->seed,
        .phase = step->phase,
        .times = 1,
        .is_attributed = verdict.is_certain,
        .has_difference = expected != NULL && lane->hash != verdict.hash,
    };
    if (finding.has_difference)
        np_verify_compare(expected, lane->output, item_output_bytes(item), &finding.difference);
    for (size_t i = 0; i < LANE_REPLAYS; i++)
        finding.replayed += lane->replays[i] != verdict.hash;
    lane->is_condemned[step->item] = finding.replayed > 0 || !verdict.is_certain;
    keep(judge, &finding);
}

/* The only core's first run was the wrong one, that of plain C: what it found is not there any more. */
static void find_plain(struct judge *judge, const struct step *step)
{
    keep(judge, &(struct finding){.cpu = judge->lanes->lanes[0].cpu,
                                  .partner = -1,
                                  .item = step->item,
                                  .isa = NP_ISA_GENERIC,
                                  .seed = step->seed,
                                  .phase = step->phase,
                                  .times = 1,
                                  .is_attributed = true});
}

/* What a core is to be compared with: where cores stand against each other, what another side found. */
static struct verdict against(const struct judge *judge, const struct lane *lane, struct verdict verdict)
{
    for (size_t i = 0; i < judge->lanes->count && !verdict.is_certain && verdict.hash == lane->hash; i++)
        verdict.hash = judge->lanes->lanes[i].hash;
    if (!verdict.is_certain && verdict.hash == lane->hash)
        verdict.hash = lane->plain;
    return verdict;
}

static void name_the_wrong(struct judge *judge, const struct step *step)
{
    const struct verdict verdict = vote(judge, step);
    size_t wrong = 0;
    for (size_t i = 0; i < judge->lanes->count; i++) {
        struct lane *lane = &judge->lanes->lanes[i];
        const struct verdict other = against(judge, lane, verdict);
        if (lane->is_condemned[step->item] || lane->hash == other.hash)
            continue;
        find(judge, lane, step, other);
        wrong++;
    }
    if (wrong == 0)
        find_plain(judge, step);
}

int judge_mismatch(struct judge *judge, const struct step *step)
{
    struct lanes *lanes = judge->lanes;
    struct step again = *step;
    judge->step = &again;
    judge->judged++;
    again.rest_s = 0;
    again.kind = STEP_REPLAY;
    for (again.replay = 0; again.replay < LANE_REPLAYS && atomic_load(&lanes->rc) == 0; again.replay++)
        lanes_perform(lanes, &again);
    again.kind = STEP_OPINION;
    if (atomic_load(&lanes->rc) == 0)
        lanes_perform(lanes, &again);
    const int rc = atomic_load(&lanes->rc) != 0 ? atomic_load(&lanes->rc) : hear_referees(judge);
    if (rc == 0)
        name_the_wrong(judge, step);
    return rc;
}

void judge_count_condemned(struct judge *judge, const struct step *step)
{
    const uint64_t golden = atomic_load(&judge->lanes->golden);
    for (size_t i = 0; i < judge->count && golden != 0; i++) {
        struct finding *finding = &judge->findings[i];
        if (finding->item != step->item)
            continue;
        for (size_t k = 0; k < judge->lanes->count; k++) {
            const struct lane *lane = &judge->lanes->lanes[k];
            if (lane->cpu != finding->cpu || !lane->is_condemned[step->item] || lane->hash == golden)
                continue;
            finding->times++;
            judge->corruptions++;
        }
    }
}

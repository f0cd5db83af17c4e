/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_lanes.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A partner that gives no sign for so long while we spin has lost a line. */
static const double PATIENCE_S = 5;

/* Longest sleep at a time: a signal that cancels is seen after it. */
static const double NAP_S = 0.05;

/* About 0.1 ms: what keeps the others longer than that is another process. */
enum { SPINS = 2000 };

const char *item_name(const struct item *item)
{
    return item->kernel != NULL ? item->kernel->name : "atomics";
}

enum np_isa item_isa(const struct item *item)
{
    return item->kernel != NULL ? item->variant->isa : NP_ISA_GENERIC;
}

size_t item_output_bytes(const struct item *item)
{
    return item->kernel != NULL ? item->kernel->output_bytes : (size_t)NP_VERIFY_PAIR_OUTPUT_BYTES;
}

uint64_t item_standard_hash(const struct item *item)
{
    return item->kernel != NULL ? item->kernel->standard_hash : NP_VERIFY_PAIR_HASH;
}

/* Variants in turn, kernel by kernel, so that neighbours in time load other parts of the core. */
static int list_items(struct lanes *lanes)
{
    size_t count, most = 1;
    const struct np_verify_kernel *const *kernels = np_verify_kernels(&count);
    for (size_t i = 0; i < count; i++)
        most += kernels[i]->variant_count;
    lanes->items = calloc(most, sizeof *lanes->items);
    if (lanes->items == NULL)
        return -ENOMEM;
    for (size_t variant = 0; variant < NP_ISA_COUNT; variant++) {
        for (size_t i = 0; i < count; i++) {
            const struct np_verify_variant *v = &kernels[i]->variants[variant];
            if (variant < kernels[i]->variant_count && v->is_supported() &&
                (!lanes->request->has_isa || lanes->request->isa == v->isa))
                lanes->items[lanes->item_count++] = (struct item){kernels[i], v};
        }
    }
    if (lanes->count > 1 && (!lanes->request->has_isa || lanes->request->isa == NP_ISA_GENERIC))
        lanes->items[lanes->item_count++] = (struct item){NULL, NULL};
    return lanes->item_count > 0 ? 0 : -ENOTSUP;
}

int lanes_open(struct lanes *lanes, const struct bench_request *request, const unsigned int *cpus, size_t count,
               size_t tested, char why[BENCH_WHY_BYTES])
{
    memset(lanes, 0, sizeof *lanes);
    lanes->request = request;
    lanes->count = count;
    lanes->lanes = calloc(count, sizeof *lanes->lanes);
    lanes->pairs = aligned_alloc(_Alignof(struct np_verify_pair), count * sizeof *lanes->pairs);
    if (lanes->lanes == NULL || lanes->pairs == NULL)
        return bench_why(why, -ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        lanes->lanes[i] = (struct lane){.cpu = cpus[i], .is_tested = i < tested, .partner = -1};
    int rc = list_items(lanes);
    if (rc == -ENOTSUP)
        return bench_why(why, rc, "this CPU does not support %s", np_isa_name(request->isa));
    if (rc != 0)
        return bench_why(why, rc, "out of memory");
    rc = flips_read(&lanes->flips, request->hook, why);
    return rc;
}

void lanes_close(struct lanes *lanes)
{
    for (size_t i = 0; lanes->lanes != NULL && i < lanes->count; i++)
        lane_close(&lanes->lanes[i]);
    free(lanes->lanes);
    free(lanes->items);
    free(lanes->pairs);
}

int lane_open(struct lane *lane, size_t item_count)
{
    lane->scratch = aligned_alloc(NP_VERIFY_ALIGNMENT, NP_VERIFY_MAX_SCRATCH_BYTES);
    lane->output = aligned_alloc(NP_VERIFY_ALIGNMENT, NP_VERIFY_MAX_OUTPUT_BYTES);
    lane->replay = aligned_alloc(NP_VERIFY_ALIGNMENT, NP_VERIFY_MAX_OUTPUT_BYTES);
    lane->is_condemned = calloc(item_count, sizeof *lane->is_condemned);
    const bool is_open =
        lane->scratch != NULL && lane->output != NULL && lane->replay != NULL && lane->is_condemned != NULL;
    return is_open ? 0 : -ENOMEM;
}

void lane_close(struct lane *lane)
{
    free(lane->scratch);
    free(lane->output);
    free(lane->replay);
    free(lane->is_condemned);
}

static bool is_over(const struct lanes *lanes)
{
    return atomic_load_explicit(&lanes->rc, memory_order_relaxed) != 0;
}

static void send_home(struct lanes *lanes, int rc)
{
    int none = 0;
    atomic_compare_exchange_strong(&lanes->rc, &none, rc);
}

/* Leave the core to its SMT sibling, which may still be at work. */
static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Spins: between two runs the cores must not fall asleep. Where others want the CPU it is theirs. */
static void meet(struct lanes *lanes)
{
    struct barrier *barrier = &lanes->barrier;
    const unsigned int generation = atomic_load(&barrier->generation);
    if (atomic_fetch_add(&barrier->arrived, 1) + 1 == lanes->count) {
        atomic_store(&barrier->arrived, 0);
        atomic_fetch_add(&barrier->generation, 1);
        return;
    }
    for (unsigned int spins = 1; atomic_load(&barrier->generation) == generation && !is_over(lanes); spins++) {
        relax();
        if (spins % SPINS != 0)
            continue;
        sched_yield();
        if (bench_is_cancelled(lanes->request))
            send_home(lanes, -ECANCELED);
    }
}

static void rest(const struct lanes *lanes, double seconds)
{
    while (seconds > 0 && !bench_is_cancelled(lanes->request)) {
        const double nap_s = seconds < NAP_S ? seconds : NAP_S;
        const struct timespec nap = {.tv_nsec = (long)(nap_s * 1e9)};
        nanosleep(&nap, NULL);
        seconds -= nap_s;
    }
}

/* Lanes i and i xor distance are partners: over all distances each one meets every other. */
static size_t partner_of(const struct lanes *lanes, size_t index, size_t distance)
{
    const size_t other = index ^ distance;
    return other < lanes->count ? other : index;
}

static void run_pair(struct lanes *lanes, size_t index, const struct step *step, uint64_t *output)
{
    const size_t other = partner_of(lanes, index, step->distance), lower = index < other ? index : other;
    lanes->lanes[index].partner = other != index ? (int)lanes->lanes[other].cpu : -1;
    if (other == index) {
        np_verify_pair_expected(step->seed, output);
        return;
    }
    const int rc = np_verify_pair_run(&lanes->pairs[lower], index > other, step->seed, PATIENCE_S,
                                      lanes->request->is_cancelled, output);
    if (rc != 0)
        send_home(lanes, rc);
}

static uint64_t finish(struct lanes *lanes, const struct lane *lane, const struct item *item, uint64_t seed,
                       void *output)
{
    const size_t bytes = item_output_bytes(item);
    flips_apply(&lanes->flips, lane->cpu, item_name(item), seed, output, bytes);
    const uint64_t hash = np_verify_hash(output, bytes);
    return hash != 0 ? hash : 1;
}

/* Without a partner: the pair kernel as one thread, the others by this variant. */
static uint64_t run_alone(struct lanes *lanes, struct lane *lane, const struct item *item,
                          const struct np_verify_variant *variant, uint64_t seed)
{
    if (item->kernel != NULL)
        variant->run(seed, lane->scratch, lane->replay);
    else
        np_verify_pair_expected(seed, lane->replay);
    return finish(lanes, lane, item, seed, lane->replay);
}

static uint64_t run_together(struct lanes *lanes, size_t index, const struct step *step, void *output)
{
    struct lane *lane = &lanes->lanes[index];
    const struct item *item = &lanes->items[step->item];
    if (item->kernel != NULL)
        item->variant->run(step->seed, lane->scratch, output);
    else
        run_pair(lanes, index, step, output);
    return finish(lanes, lane, item, step->seed, output);
}

void lane_form_opinion(struct lanes *lanes, struct lane *lane, const struct step *step)
{
    const struct item *item = &lanes->items[step->item];
    const struct np_verify_variant *plain = item->kernel != NULL ? &item->kernel->variants[0] : NULL;
    lane->standard_failures = 0;
    for (int i = 0; i < LANE_REPLAYS; i++)
        lane->standard_failures +=
            run_alone(lanes, lane, item, item->variant, NP_VERIFY_SEED) != item_standard_hash(item);
    lane->plain = run_alone(lanes, lane, item, plain, step->seed);
}

/* The first to finish says what it found, and whoever has something else cries out. */
static void compare(struct lanes *lanes, const struct lane *lane)
{
    uint64_t golden = 0;
    if (!atomic_compare_exchange_strong(&lanes->golden, &golden, lane->hash) && golden != lane->hash)
        atomic_store(&lanes->is_mismatched, true);
}

static void run(struct lanes *lanes, size_t index, const struct step *step)
{
    struct lane *lane = &lanes->lanes[index];
    const struct item *item = &lanes->items[step->item];
    if (lanes->count == 1 && atomic_load(&lanes->golden) == 0) /* nobody to compare with but plain C */
        atomic_store(&lanes->golden, run_alone(lanes, lane, item, &item->kernel->variants[0], step->seed));
    lane->hash = run_together(lanes, index, step, lane->output);
    if (!lane->is_condemned[step->item])
        compare(lanes, lane);
}

static void take_part(struct lanes *lanes, size_t index)
{
    const struct step *step = &lanes->step;
    struct lane *lane = &lanes->lanes[index];
    if (step->rest_s > 0) {
        rest(lanes, step->rest_s);
        meet(lanes); /* from rest to work at the same moment */
    }
    if (step->kind == STEP_RUN)
        run(lanes, index, step);
    else if (step->kind == STEP_REPLAY)
        lane->replays[step->replay] = run_together(lanes, index, step, lane->replay);
    else if (step->kind == STEP_OPINION)
        lane_form_opinion(lanes, lane, step);
}

void lanes_perform(struct lanes *lanes, const struct step *step)
{
    lanes->step = *step;
    if (lanes->items[step->item].kernel == NULL)
        for (size_t i = 0; i < lanes->count; i++)
            np_verify_pair_init(&lanes->pairs[i]);
    if (step->kind == STEP_RUN) {
        atomic_store(&lanes->is_mismatched, false);
        atomic_store(&lanes->golden, step->seed == NP_VERIFY_SEED ? item_standard_hash(&lanes->items[step->item]) : 0);
    }
    meet(lanes);
    if (step->kind == STEP_STOP)
        return;
    take_part(lanes, 0);
    meet(lanes);
}

int lanes_follow(struct lanes *lanes, size_t index)
{
    for (;;) {
        meet(lanes);
        if (is_over(lanes) || lanes->step.kind == STEP_STOP)
            return atomic_load(&lanes->rc);
        take_part(lanes, index);
        meet(lanes);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "conditions.h"
#include "nodeproof/sampling.h"
#include "streams.h"

static const double SCALE = 3;
static const double WINDOW_S = 0.2, WARMUP_S = 0.025;

/* A bin of all threads holds several blocks of each; one thread alone fits a shorter one into its slice of a shared
 * CPU. */
static const double BLOCK_S = 0.25e-3, TEAM_BIN_S = 2e-3, LONE_BIN_S = 0.5e-3;

enum { ENOUGH_SAMPLES = 96, FEWEST_SAMPLES = 8, MOST_SAMPLES = 1 << 18 };

/* Verified between two looks at whether to go on: milliseconds of work. */
enum { VERIFY_ELEMENTS = 1 << 20 };

/* What one thread works on. */
struct worker {
    const struct streams *streams;
    const struct np_window *window;
    struct stream_domain *domain;
    np_stream_fn *kernel;
    size_t first, elements; /* its part of the arrays */
    size_t next;            /* where the next block begins, from `first` on */
    struct np_sheet sheet;
    uint64_t done;
    uint64_t wrong;
};

struct crew {
    struct worker *workers;
    unsigned int *cpus;
    size_t count;
};

static void crew_close(struct crew *crew)
{
    free(crew->workers);
    free(crew->cpus);
}

/* Spread the threads over each domain: neighbours may share a core or a path to memory. */
static int crew_open(struct crew *crew, const struct streams *streams, size_t per_domain)
{
    *crew = (struct crew){.workers = calloc(streams->cpu_count, sizeof *crew->workers),
                          .cpus = calloc(streams->cpu_count, sizeof *crew->cpus)};
    if (crew->workers == NULL || crew->cpus == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < streams->domain_count; i++) {
        struct stream_domain *domain = &streams->domains[i];
        const size_t threads = per_domain < domain->cpu_count ? per_domain : domain->cpu_count;
        const size_t part = domain->elements / threads / NP_STREAM_GROUP * NP_STREAM_GROUP;
        for (size_t k = 0; k < threads; k++) {
            crew->cpus[crew->count] = domain->cpus[k * domain->cpu_count / threads];
            crew->workers[crew->count++] =
                (struct worker){.streams = streams, .domain = domain, .first = k * part, .elements = part};
        }
    }
    return 0;
}

/* Touched first by a thread of the domain, hence on its node where the kernel does not bind. */
static int fill(void *state, size_t index, struct np_gate *gate)
{
    const struct worker *worker = &((struct crew *)state)->workers[index];
    const struct stream_domain *domain = worker->domain;
    (void)gate;
    for (size_t i = 0; i < worker->elements; i += NP_STREAM_GROUP) {
        if (bench_is_cancelled(worker->streams->request))
            return -ECANCELED;
        np_stream_fill(worker->streams->op, domain->a, domain->b, domain->c, worker->first + i, NP_STREAM_GROUP);
    }
    return 0;
}

int streams_touch(struct streams *streams)
{
    struct crew crew;
    int rc = crew_open(&crew, streams, streams_widest(streams));
    if (rc == 0)
        rc = conditions_team_run(crew.cpus, crew.count, fill, &crew);
    crew_close(&crew);
    return rc;
}

static uint64_t block(void *state, uint64_t units)
{
    struct worker *worker = state;
    const struct stream_domain *domain = worker->domain;
    const uint64_t left = worker->elements - worker->next;
    const uint64_t whole = (units + NP_STREAM_GROUP - 1) / NP_STREAM_GROUP * NP_STREAM_GROUP;
    const size_t count = whole < left ? whole : left;
    const size_t first = worker->first + worker->next;
    worker->kernel(domain->a + first, domain->b + first, domain->c + first, SCALE, count);
    worker->next = count < left ? worker->next + count : 0;
    worker->done += count;
    return count;
}

static int measure(void *state, size_t index, struct np_gate *gate)
{
    struct worker *worker = &((struct crew *)state)->workers[index];
    return np_window_run(worker->window, gate, block, worker, &worker->sheet);
}

static int verify(void *state, size_t index, struct np_gate *gate)
{
    struct worker *worker = &((struct crew *)state)->workers[index];
    const struct stream_domain *domain = worker->domain;
    const enum np_stream_op op = worker->streams->op;
    const size_t count = worker->done < worker->elements ? worker->done : worker->elements;
    (void)gate;
    for (size_t at = 0; at < count; at += VERIFY_ELEMENTS) {
        const size_t first = worker->first + at, part = count - at < VERIFY_ELEMENTS ? count - at : VERIFY_ELEMENTS;
        if (bench_is_cancelled(worker->streams->request))
            return -ECANCELED;
        const double sum = worker->kernel(domain->a + first, domain->b + first, domain->c + first, SCALE,
                                          op == NP_STREAM_READ ? part : 0);
        worker->wrong += np_stream_wrong(op, domain->a, SCALE, sum, first, part);
    }
    return 0;
}

/* Rates of many windows. */
struct tally {
    struct np_samples clean; /* bins in which nobody else had one of our CPUs */
    struct np_samples all;
};

/* Bins in which nobody had a CPU are no sample: they say how busy the machine was, not how fast it is. */
static int add_all(struct np_samples *all, const struct np_sheet *sheets, size_t count)
{
    double *rates = malloc(sheets[0].bins * sizeof *rates);
    if (rates == NULL)
        return -ENOMEM;
    const size_t bins = np_sheets_rates(sheets, count, true, rates);
    for (size_t i = 0; i < bins; i++)
        if (rates[i] > 0)
            np_samples_add(all, rates[i]);
    free(rates);
    return 0;
}

/* One window, added to the tally. */
static int measure_once(struct crew *crew, const struct np_window *window, struct tally *tally)
{
    struct np_sheet *sheets = calloc(crew->count, sizeof *sheets);
    int rc = sheets != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; i < crew->count && rc == 0; i++) {
        crew->workers[i].window = window;
        rc = np_sheet_open(&crew->workers[i].sheet, window->bin_s, window->bins);
    }
    if (rc == 0)
        rc = conditions_team_run(crew->cpus, crew->count, measure, crew);
    for (size_t i = 0; i < crew->count && rc == 0; i++)
        sheets[i] = crew->workers[i].sheet;
    if (rc == 0) {
        tally->clean.count += np_sheets_rates(sheets, crew->count, false, tally->clean.values + tally->clean.count);
        rc = add_all(&tally->all, sheets, crew->count);
    }
    for (size_t i = 0; i < crew->count; i++)
        np_sheet_close(&crew->workers[i].sheet);
    free(sheets);
    return rc;
}

/* Measure until capability is certain or the time is up. A thread whose CPU somebody else wants gets
   a part of it in slices: more windows find enough bins in which all threads ran. */
static int measure_all(struct crew *crew, const struct np_window *window, size_t windows, struct stream_result *result)
{
    struct tally tally = {0};
    size_t next_look = FEWEST_SAMPLES;
    int rc = np_samples_open(&tally.clean, windows * window->bins);
    rc = rc != 0 ? rc : np_samples_open(&tally.all, windows * window->bins);
    for (size_t i = 0; i < windows && rc == 0; i++) {
        rc = measure_once(crew, window, &tally);
        result->seconds += (double)window->bins * window->bin_s;
        if (rc != 0 || (tally.clean.count < next_look && i + 1 < windows) || tally.clean.count < FEWEST_SAMPLES)
            continue;
        next_look = tally.clean.count + tally.clean.count / 8; /* sorting all of them is not free */
        rc = np_samples_figures(&tally.clean, NP_RATE, &result->figures);
        if (rc == 0 && result->figures.is_converged && tally.clean.count >= ENOUGH_SAMPLES)
            break;
    }
    result->is_contended = tally.clean.count < FEWEST_SAMPLES;
    if (rc == 0 && result->is_contended) /* then what can be had at all, marked as such */
        rc = np_samples_figures(&tally.all, NP_RATE, &result->figures);
    rc = rc == -EINVAL ? -EIO : rc; /* not one bin of work: that is no mistake of the caller */
    np_samples_close(&tally.clean);
    np_samples_close(&tally.all);
    return rc;
}

static void scale(struct np_figures *figures, double factor)
{
    figures->capability *= factor;
    figures->sustained *= factor;
    figures->low *= factor;
    figures->high *= factor;
}

int streams_measure(struct streams *streams, size_t per_domain, double most_s, struct stream_result *result)
{
    struct np_window window = {
        .clock = &streams->request->clock,
        .is_cancelled = streams->request->is_cancelled,
        .warmup_s = WARMUP_S,
        .block_s = BLOCK_S,
    };
    size_t windows = most_s > 2 * WINDOW_S ? (size_t)(most_s / WINDOW_S) : 1;
    struct crew crew;
    *result = (struct stream_result){0};
    int rc = crew_open(&crew, streams, per_domain);
    window.bin_s = crew.count > 1 ? TEAM_BIN_S : LONE_BIN_S;
    window.bins = (size_t)((most_s < WINDOW_S ? most_s : WINDOW_S) / window.bin_s) + 1;
    windows = windows < MOST_SAMPLES / window.bins ? windows : MOST_SAMPLES / window.bins;
    for (size_t i = 0; i < crew.count; i++)
        crew.workers[i].kernel = np_stream_kernel(streams->op, streams->isa);
    rc = rc != 0 ? rc : measure_all(&crew, &window, windows, result);
    rc = rc != 0 ? rc : conditions_team_run(crew.cpus, crew.count, verify, &crew);
    for (size_t i = 0; i < crew.count; i++)
        streams->wrong_elements += crew.workers[i].wrong;
    result->threads = crew.count;
    scale(&result->figures, (double)np_stream_bytes(streams->op));
    crew_close(&crew);
    return rc;
}

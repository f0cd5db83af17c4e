/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a cache line takes from one core to another, one way: the matrix of pairs.
 *
 * On a large machine it is a sample of it. The time asked for decides how large a one.
 */
#include <errno.h>
#include <stdlib.h>

#include "conditions.h"
#include "cpu.h"
#include "nodeproof/pingpong.h"
#include "system.h"

enum { BATCHES = 101, PASSES = 50, SMALL_MACHINE = 16 };

/* A pair takes about this long: 5000 passes there and back of 100 ns, and starting two threads. */
static const double PAIR_S = 1.5e-3;

/* Wait so long for both threads of a pair to have their CPUs, and so long again for all pairs that need more. */
static const double MOST_S = 0.05, PATIENCE_S = 2;

enum sample {
    ALL,    /**< all pairs */
    SHARED, /**< FEW, and all pairs under each last-level cache */
    SOME,   /**< FEW, and all pairs under one last-level cache of each package */
    FEW,    /**< neighbours under each last-level cache, and the first core of each with that of every other */
};

/* A CPU and its place among those of the same last-level cache. */
struct seat {
    unsigned int cpu;
    size_t cache;   /**< number of the first seat under the same last-level cache */
    size_t package; /**< number of the first seat in the same package */
    size_t rank;    /**< CPUs before it under the same cache */
};

struct matrix {
    const struct bench_request *request;
    struct seat *seats;
    size_t count;
    enum sample sample;
    bool is_contended; /**< some pair never had both of its CPUs at the same time */
    double patience_s;
    double seconds;
    size_t measured, shared; /**< pairs, and those of them under the same cache */
    struct np_figures slowest, slowest_shared;
};

struct game {
    const struct bench_request *request;
    double most_s;
    struct np_ball ball;
    struct np_samples samples;
};

static int play(void *state, size_t index, struct np_gate *gate)
{
    struct game *game = state;
    uint64_t opened;
    const int rc = np_gate_meet(gate, &game->request->clock, &opened); /* who answers waits for the end without limit */
    if (rc != 0)
        return rc;
    if (index == 0)
        return np_pingpong_serve(&game->ball, &game->request->clock, game->request->is_cancelled, BATCHES, PASSES,
                                 game->most_s, &game->samples);
    np_pingpong_answer(&game->ball);
    return 0;
}

static int take_seats(struct matrix *matrix, const struct cpu_list *list)
{
    matrix->count = list->count;
    matrix->seats = calloc(list->count, sizeof *matrix->seats);
    if (matrix->seats == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < list->count; i++) {
        struct seat *seats = matrix->seats;
        struct np_cpuset siblings;
        const unsigned int package = cpu_package(list->cpus[i]);
        seats[i] = (struct seat){.cpu = list->cpus[i], .cache = i, .package = i};
        system_cache_siblings(list->cpus[i], &siblings);
        for (size_t k = i; k-- > 0;) {
            if (cpu_package(seats[k].cpu) == package)
                seats[i].package = seats[k].package;
            if (np_cpuset_has(&siblings, seats[k].cpu)) {
                seats[i].cache = seats[k].cache;
                seats[i].rank++;
            }
        }
    }
    return 0;
}

static bool is_shared(const struct matrix *matrix, size_t i, size_t k)
{
    return matrix->seats[i].cache == matrix->seats[k].cache;
}

static bool is_wanted(const struct matrix *matrix, enum sample sample, size_t i, size_t k)
{
    const struct seat *a = &matrix->seats[i], *b = &matrix->seats[k];
    if (sample == ALL)
        return true;
    if (!is_shared(matrix, i, k))
        return a->rank == 0 && b->rank == 0;
    return b->rank == a->rank + 1 || sample == SHARED || (sample == SOME && a->cache == a->package);
}

static double cost_s(const struct matrix *matrix, enum sample sample)
{
    double cost = 0;
    for (size_t i = 0; i < matrix->count; i++)
        for (size_t k = i + 1; k < matrix->count; k++)
            cost += is_wanted(matrix, sample, i, k) ? PAIR_S : 0;
    return cost;
}

static enum sample choose_sample(const struct matrix *matrix)
{
    int sample = ALL;
    if (matrix->count <= SMALL_MACHINE)
        return ALL;
    while (sample < FEW && cost_s(matrix, (enum sample)sample) > matrix->request->seconds)
        sample++;
    return (enum sample)sample;
}

static void put_point(const struct matrix *matrix, size_t i, size_t k, const struct np_figures *figures,
                      struct np_json *out)
{
    np_json_open_object(out, NULL);
    np_json_integer(out, "cpu", matrix->seats[i].cpu);
    np_json_integer(out, "to_cpu", matrix->seats[k].cpu);
    np_json_bool(out, "shares_cache", is_shared(matrix, i, k));
    np_json_number(out, "value", figures->capability);
    np_json_number(out, "sustained", figures->sustained);
    np_json_number(out, "stability", figures->stability);
    np_json_integer(out, "samples", figures->samples);
    np_json_close_object(out);
}

static void note(struct matrix *matrix, bool shares_cache, const struct np_figures *figures)
{
    if (matrix->measured++ == 0 || figures->capability > matrix->slowest.capability)
        matrix->slowest = *figures;
    if (shares_cache && (matrix->shared++ == 0 || figures->capability > matrix->slowest_shared.capability))
        matrix->slowest_shared = *figures;
}

static int measure_pair(struct matrix *matrix, size_t i, size_t k, struct np_json *out)
{
    const unsigned int cpus[2] = {matrix->seats[i].cpu, matrix->seats[k].cpu};
    struct game game = {.request = matrix->request, .most_s = MOST_S + matrix->patience_s};
    struct np_figures figures;
    int rc = np_samples_open(&game.samples, BATCHES);
    rc = rc != 0 ? rc : conditions_team_run(cpus, 2, play, &game);
    matrix->seconds += game.samples.seconds;
    matrix->patience_s -= game.samples.seconds > MOST_S ? game.samples.seconds - MOST_S : 0;
    if (rc == -ECANCELED && !bench_is_cancelled(matrix->request)) {
        matrix->is_contended = true;
        rc = 0;
    } else if (rc == 0) {
        rc = np_samples_figures(&game.samples, NP_TIME, &figures);
        if (rc == 0) {
            put_point(matrix, i, k, &figures, out);
            note(matrix, is_shared(matrix, i, k), &figures);
        }
    }
    np_samples_close(&game.samples);
    return rc;
}

static int measure_all(struct matrix *matrix, struct np_json *out)
{
    int rc = 0;
    np_json_open_array(out, "points");
    for (size_t i = 0; i < matrix->count; i++)
        for (size_t k = i + 1; k < matrix->count && rc == 0; k++)
            if (is_wanted(matrix, matrix->sample, i, k))
                rc = measure_pair(matrix, i, k, out);
    np_json_close_array(out);
    return rc == 0 && matrix->measured == 0 ? -ETIMEDOUT : rc;
}

int cpu_core_to_core(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct cpu_list list;
    struct matrix matrix = {.request = request, .patience_s = PATIENCE_S};
    int rc = cpu_list_open(&list, request, true, why);
    if (rc != 0)
        goto out;
    if (list.count < 2) {
        rc = bench_why(why, -ENOTSUP, "it takes two cores, and there is one");
        goto out;
    }
    rc = take_seats(&matrix, &list);
    if (rc == 0) {
        matrix.sample = choose_sample(&matrix);
        rc = measure_all(&matrix, out);
    }
    if (rc != 0) {
        rc = cpu_why(why, rc);
        goto out;
    }
    bench_put_figures(out, matrix.shared > 0 ? &matrix.slowest_shared : &matrix.slowest, 1);
    np_json_bool(out, "is_of_shared_cache", matrix.shared > 0);
    np_json_number(out, "slowest_s", matrix.slowest.capability);
    np_json_bool(out, "is_sampled", matrix.sample != ALL);
    np_json_number(out, "seconds", matrix.seconds);
    np_json_bool(out, "is_contended", matrix.is_contended);
    bench_put_cpus(out, &list.set);
    np_json_string(out, "isa", np_isa_name(NP_ISA_GENERIC));
out:
    free(matrix.seats);
    cpu_list_close(&list);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fingerprint.h"

#include <stdlib.h>

#include "conditions.h"
#include "nodeproof/pingpong.h"
#include "nodeproof/quantile.h"

enum { BATCHES = 101, PASSES = 50, MOST_PAIRS = 16 };

static const double MOST_S = 0.05;

struct pair {
    const struct bench_request *request;
    struct np_ball ball;
    struct np_samples *samples;
    double most_s;
};

static int play(void *state, size_t index, struct np_gate *gate)
{
    struct pair *pair = state;
    uint64_t opened;
    /* Who answers does so until the other one has had enough: it must not begin if that one cannot come. */
    const int rc = np_gate_meet(gate, &pair->request->clock, &opened);
    if (rc != 0)
        return rc;
    if (index == 0)
        return np_pingpong_serve(&pair->ball, &pair->request->clock, pair->request->is_cancelled, BATCHES, PASSES,
                                 pair->most_s, pair->samples);
    np_pingpong_answer(&pair->ball);
    return 0;
}

int fingerprint_pair(const struct bench_request *request, unsigned int cpu, unsigned int other, double most_s,
                     struct np_samples *samples)
{
    struct pair pair = {.request = request, .samples = samples, .most_s = most_s};
    const unsigned int cpus[2] = {cpu, other};
    return conditions_team_run(cpus, 2, play, &pair);
}

void fingerprint_put(const struct bench_request *request, const struct np_cpuset *cpus, struct np_json *out)
{
    unsigned int list[MOST_PAIRS + 1];
    double times_s[MOST_PAIRS], median_s;
    size_t pairs = 0;
    size_t count = np_cpuset_list(cpus, list, MOST_PAIRS + 1);
    count = count < MOST_PAIRS + 1 ? count : MOST_PAIRS + 1;
    for (size_t i = 0; i + 1 < count; i++) {
        struct np_samples samples;
        struct np_figures figures;
        if (np_samples_open(&samples, BATCHES) == 0 &&
            fingerprint_pair(request, list[i], list[i + 1], MOST_S, &samples) == 0 &&
            np_samples_figures(&samples, NP_TIME, &figures) == 0)
            times_s[pairs++] = figures.capability;
        np_samples_close(&samples);
    }
    np_sort(times_s, pairs);
    if (np_quantile(times_s, pairs, 0.5, &median_s) == 0)
        np_json_number(out, "fingerprint_s", median_s);
    else
        np_json_null(out, "fingerprint_s");
}

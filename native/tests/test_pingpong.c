/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "nodeproof/cpuset.h"
#include "nodeproof/pingpong.h"
#include "nodeproof/team.h"
#include "test.h"

enum { BATCHES = 21, PASSES = 200 };

struct game {
    struct np_ball ball;
    struct np_clock clock;
    atomic_bool is_cancelled;
    struct np_samples samples;
    int rc;
};

static int play(void *state, size_t index, struct np_gate *gate)
{
    struct game *game = state;
    uint64_t opened;
    const int rc = np_gate_meet(gate, &game->clock, &opened);
    if (rc != 0)
        return rc;
    if (index == 0)
        game->rc =
            np_pingpong_serve(&game->ball, &game->clock, &game->is_cancelled, BATCHES, PASSES, 2, &game->samples);
    else
        np_pingpong_answer(&game->ball);
    return 0;
}

/* On a machine with one CPU they take turns, as slowly as the scheduler lets them. */
static void two_threads_pass_the_ball(struct game *game)
{
    struct np_cpuset allowed;
    unsigned int cpus[2];
    CHECK(np_affinity_get(&allowed) == 0);
    const size_t count = np_cpuset_list(&allowed, cpus, 2);
    if (count == 1)
        cpus[1] = cpus[0];
    CHECK(np_team_run(cpus, 2, play, game) == 0);
    CHECK(game->rc == 0 || count == 1);
    CHECK(game->samples.count < BATCHES); /* the first batch does not count */
    CHECK(game->samples.count > 0 || count == 1);
    CHECK(atomic_load(&game->ball.count) >= 2 * game->samples.count * PASSES);
    for (size_t i = 0; i < game->samples.count; i++)
        CHECK(game->samples.values[i] > 1e-10 && game->samples.values[i] < 2);
}

static void a_partner_who_does_not_answer_is_not_waited_for(struct game *game)
{
    const uint64_t begin = np_clock_now(&game->clock);
    const int rc =
        np_pingpong_serve(&game->ball, &game->clock, &game->is_cancelled, BATCHES, PASSES, 0.01, &game->samples);
    CHECK(rc == -ECANCELED && game->samples.count == 0);
    CHECK(np_clock_seconds(&game->clock, begin, np_clock_now(&game->clock)) >= 0.01);
    CHECK(atomic_load(&game->ball.is_over)); /* and sent home, should he come */
    np_pingpong_answer(&game->ball);
}

static void it_can_be_cancelled(struct game *game)
{
    atomic_store(&game->is_cancelled, true);
    const int rc =
        np_pingpong_serve(&game->ball, &game->clock, &game->is_cancelled, BATCHES, PASSES, 1e6, &game->samples);
    CHECK(rc == -ECANCELED && game->samples.count == 0);
}

int main(void)
{
    static struct game game, deserted, cancelled;
    struct game *const games[] = {&game, &deserted, &cancelled};
    for (int i = 0; i < 3; i++)
        CHECK(np_clock_init(&games[i]->clock, true) == 0 && np_samples_open(&games[i]->samples, BATCHES) == 0);
    two_threads_pass_the_ball(&game);
    a_partner_who_does_not_answer_is_not_waited_for(&deserted);
    it_can_be_cancelled(&cancelled);
    for (int i = 0; i < 3; i++)
        np_samples_close(&games[i]->samples);
    return EXIT_SUCCESS;
}

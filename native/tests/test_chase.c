/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/chase.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "test.h"

enum { LINES = 1 << 12, ROUND = 128 };

static _Alignas(4096) struct np_line lines[LINES];
static atomic_bool is_cancelled;

/* One cycle visits every line once and then is back at the first. */
static bool is_one_cycle(size_t count)
{
    static bool is_visited[LINES];
    const struct np_line *at = lines;
    memset(is_visited, 0, sizeof is_visited);
    for (size_t i = 0; i < count; i++, at = at->next) {
        const size_t line = (size_t)(at - lines);
        if (line >= count || is_visited[line])
            return false;
        is_visited[line] = true;
    }
    return at == lines;
}

static void every_size_is_one_cycle(void)
{
    for (size_t count = 1; count <= LINES; count += count < 300 ? 1 : 199) {
        CHECK(np_chase_link(lines, count, count, &is_cancelled) == 0);
        CHECK(is_one_cycle(count));
    }
    CHECK(np_chase_link(lines, LINES, 1, &is_cancelled) == 0 && is_one_cycle(LINES));
    CHECK(np_chase_link(lines, 0, 1, &is_cancelled) == -EINVAL);
}

/* Four lines have six cycles; the seeds are fixed, and so are the counts. */
static void all_cycles_are_equally_likely(void)
{
    enum { SEEDS = 6000, CYCLES = 6 };
    int found[4][4] = {{0}}, kinds = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        CHECK(np_chase_link(lines, 4, seed, &is_cancelled) == 0);
        found[lines[0].next - lines][lines[0].next->next - lines]++;
    }
    for (int i = 0; i < 16; i++) {
        kinds += found[i / 4][i % 4] > 0;
        CHECK(found[i / 4][i % 4] == 0 || abs(found[i / 4][i % 4] - SEEDS / CYCLES) < 150);
    }
    CHECK(kinds == CYCLES);
}

static void the_order_is_random(void)
{
    size_t neighbours = 0;
    uint64_t distance = 0;
    CHECK(np_chase_link(lines, LINES, 7, &is_cancelled) == 0);
    for (size_t i = 0; i < LINES; i++) {
        const size_t next = (size_t)(lines[i].next - lines), far = next > i ? next - i : i - next;
        neighbours += far == 1;
        distance += far;
    }
    CHECK(neighbours < 12);                                                          /* two are expected */
    CHECK(distance / LINES > LINES * 3 / 10 && distance / LINES < LINES * 37 / 100); /* a third is expected */
}

static void a_chase_follows_the_cycle_and_returns(void)
{
    struct np_chase chase = {.at = lines};
    const struct np_line *at = lines;
    CHECK(np_chase_link(lines, 1001, 3, &is_cancelled) == 0);
    for (size_t i = 0; i < ROUND; i++)
        at = at->next;
    CHECK(np_chase_follow(&chase, 1) == ROUND && chase.at == at);
    chase.at = lines;
    for (size_t i = 1; i <= 1001; i++) { /* 1001 and 128 have no common divisor */
        CHECK(np_chase_follow(&chase, ROUND) == ROUND);
        CHECK((chase.at == lines) == (i == 1001));
    }
    CHECK(np_chase_follow(&chase, 1001 * ROUND) == 1001 * ROUND && chase.at == lines);
    CHECK(np_chase_follow(&chase, 1001 * ROUND - 1) == 1001 * ROUND && chase.at == lines);
}

static void linking_can_be_cancelled(void)
{
    enum { MANY = 1 << 17 };
    struct np_line *many = aligned_alloc(NP_LINE_BYTES, MANY * sizeof *many);
    CHECK(many != NULL && np_chase_link(many, MANY, 1, &is_cancelled) == 0);
    atomic_store(&is_cancelled, true);
    CHECK(np_chase_link(many, MANY, 1, &is_cancelled) == -ECANCELED);
    atomic_store(&is_cancelled, false);
    free(many);
}

int main(void)
{
    CHECK(sizeof(struct np_line) == NP_LINE_BYTES);
    every_size_is_one_cycle();
    all_cycles_are_equally_likely();
    the_order_is_random();
    a_chase_follows_the_cycle_and_returns();
    linking_can_be_cancelled();
    return EXIT_SUCCESS;
}

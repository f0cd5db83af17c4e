/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/detour.h"
#include "test.h"

static struct np_detours after(const uint64_t *readings, size_t count)
{
    struct np_detours detours = {.usual = 10, .threshold = 100};
    for (size_t i = 1; i < count; i++)
        np_detours_step(&detours, readings[i - 1], readings[i]);
    return detours;
}

static void a_gap_is_found(void)
{
    const uint64_t readings[] = {0, 10, 20, 120, 130, 1131, 1141, 1641, 1651};
    const struct np_detours found = after(readings, sizeof readings / sizeof readings[0]);
    CHECK(found.count == 2 && found.lost == 991 + 490); /* a step of 100 is none yet */
    CHECK(found.longest_count == 2);
    CHECK(found.longest[0].at == 130 && found.longest[0].ticks == 991);
    CHECK(found.longest[1].at == 1141 && found.longest[1].ticks == 490);
}

static void a_clock_that_goes_back_or_starts_anew_is_no_gap(void)
{
    const uint64_t readings[] = {1000, 1010, 400, 410, UINT64_MAX - 4, 5};
    const struct np_detours found = after(readings, 4), around = after(readings + 4, 2);
    CHECK(found.count == 0 && found.lost == 0 && found.longest_count == 0);
    CHECK(around.count == 0);
}

static void the_longest_are_kept_in_order(void)
{
    struct np_detours detours = {.usual = 0, .threshold = 5};
    uint64_t lost = 0;
    for (uint64_t i = 0; i < 32; i++) {
        const uint64_t step = 10 + i * 13 % 32; /* 10 to 41, each once */
        np_detours_step(&detours, 1000 * i, 1000 * i + step);
        lost += step;
    }
    CHECK(detours.count == 32 && detours.lost == lost && detours.longest_count == NP_DETOURS_LONGEST);
    for (uint64_t i = 0; i < NP_DETOURS_LONGEST; i++) {
        CHECK(detours.longest[i].ticks == 41 - i);
        CHECK(10 + detours.longest[i].at / 1000 * 13 % 32 == 41 - i);
    }
}

static void spinning_ends_in_time(const struct np_clock *clock)
{
    struct np_detours detours;
    atomic_bool is_cancelled = false;
    np_detours_init(&detours, clock, 1e-6);
    CHECK(detours.threshold >= np_clock_ticks(clock, 1e-6) && detours.threshold > detours.usual);
    const uint64_t from = np_clock_now(clock), until = from + np_clock_ticks(clock, 0.01);
    const uint64_t end = np_detours_spin(&detours, clock, &is_cancelled, from, until);
    CHECK((int64_t)(end - until) >= 0);
    CHECK(detours.lost <= end - from);
    CHECK((detours.count == 0) == (detours.lost == 0));
    for (size_t i = 0; i < detours.longest_count; i++)
        CHECK(detours.longest[i].at - from < end - from);

    atomic_store(&is_cancelled, true);
    CHECK(np_detours_spin(&detours, clock, &is_cancelled, end, end + np_clock_ticks(clock, 1000)) == end);
}

int main(void)
{
    struct np_clock clock;
    a_gap_is_found();
    a_clock_that_goes_back_or_starts_anew_is_no_gap();
    the_longest_are_kept_in_order();
    CHECK(np_clock_init(&clock, true) == 0);
    spinning_ends_in_time(&clock);
    CHECK(np_clock_init(&clock, false) == 0);
    spinning_ends_in_time(&clock);
    return EXIT_SUCCESS;
}

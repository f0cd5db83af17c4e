/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "nodeproof/pattern.h"
#include "test.h"

enum { COUNT = 4096, FIRST = 1 << 20, SEED = 7, KEPT = 3 };

static _Alignas(64) uint64_t words[COUNT + 16];

/* Nothing outside the part is touched, and every single wrong bit is found with its place. */
static void is_written_and_read_back(enum np_pattern pattern)
{
    struct np_pattern_part part = {pattern, SEED, FIRST, words + 8, COUNT};
    struct np_pattern_error errors[KEPT] = {{0}};
    memset(words, 0x77, sizeof words);
    np_pattern_fill(&part);
    np_pattern_flush(part.words, COUNT * sizeof *words);
    for (size_t i = 0; i < COUNT; i++)
        CHECK(part.words[i] == np_pattern_word(pattern, SEED, FIRST + i));
    CHECK(words[7] == words[0] && words[COUNT + 8] == words[0]);
    CHECK(np_pattern_check(&part, errors, KEPT) == 0);
    for (size_t bit = 0; bit < 64 * COUNT; bit += 1021) {
        part.words[bit / 64] ^= UINT64_C(1) << bit % 64;
        CHECK(np_pattern_check(&part, errors, KEPT) == 1);
        CHECK(errors[0].index == bit / 64 && (errors[0].expected ^ errors[0].found) == UINT64_C(1) << bit % 64);
        CHECK(errors[0].found == part.words[bit / 64]);
        part.words[bit / 64] ^= UINT64_C(1) << bit % 64;
    }
    for (size_t i = 0; i < 2 * KEPT; i++)
        part.words[COUNT - 1 - i] ^= 1;
    CHECK(np_pattern_check(&part, errors, KEPT) == 2 * KEPT);
    CHECK(errors[KEPT - 1].index == COUNT - KEPT - 1);
}

static void is_inverted(enum np_pattern pattern, bool is_downwards)
{
    struct np_pattern_part part = {pattern, SEED, FIRST, words, COUNT};
    struct np_pattern_error errors[KEPT] = {{0}};
    np_pattern_fill(&part);
    part.words[5] ^= 4;
    part.words[13] ^= 8;
    CHECK(np_pattern_invert(&part, is_downwards, errors, KEPT) == 2);
    CHECK(errors[0].index == (is_downwards ? 13 : 5) && errors[1].index == (is_downwards ? 5 : 13));
    for (size_t i = 0; i < COUNT; i++)
        CHECK(part.words[i] == ~np_pattern_word(pattern, SEED, FIRST + i));
    part.pattern = (enum np_pattern)(pattern ^ 1);
    CHECK(np_pattern_check(&part, errors, KEPT) == 0);
    CHECK(np_pattern_invert(&part, !is_downwards, errors, KEPT) == 0);
}

int main(void)
{
    for (int i = 0; i < NP_PATTERNS; i++) {
        const enum np_pattern pattern = (enum np_pattern)i;
        for (int k = 0; k < i; k++)
            CHECK(strcmp(np_pattern_name(pattern), np_pattern_name((enum np_pattern)k)) != 0);
        is_written_and_read_back(pattern);
        is_inverted(pattern, false);
        is_inverted(pattern, true);
    }
    for (uint64_t i = 0; i < 64; i++)
        CHECK(np_pattern_word(NP_PATTERN_WALKING_ONE, 0, i) == UINT64_C(1) << i);
    CHECK(np_pattern_word(NP_PATTERN_ADDRESS, 0, 12345) == 12345);
    CHECK(np_pattern_word(NP_PATTERN_RANDOM, 1, 0) != np_pattern_word(NP_PATTERN_RANDOM, 2, 0));
    return EXIT_SUCCESS;
}

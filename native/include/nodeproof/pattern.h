/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns that find broken memory cells, address lines and neighbours that disturb each other.
 *
 * Every word of a pattern follows from its number alone, so that any part can be written and read in any order.
 */
#ifndef NODEPROOF_PATTERN_H
#define NODEPROOF_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum np_pattern {
    NP_PATTERN_RANDOM,         /**< from a seed: the one that finds most */
    NP_PATTERN_RANDOM_INVERSE, /**< the complement of each word, as with the other inverses */
    NP_PATTERN_ADDRESS,        /**< each word its own number: lines that select the wrong cell */
    NP_PATTERN_ADDRESS_INVERSE,
    NP_PATTERN_CHECKERBOARD,
    NP_PATTERN_CHECKERBOARD_INVERSE,
    NP_PATTERN_WALKING_ONE,
    NP_PATTERN_WALKING_ZERO,
    NP_PATTERN_ZEROS,
    NP_PATTERN_ONES,
    NP_PATTERNS,
};

const char *np_pattern_name(enum np_pattern pattern);

/** A piece of memory, and which words of the pattern belong there. Aligned to 64 bytes, `count` a multiple of 8. */
struct np_pattern_part {
    enum np_pattern pattern;
    uint64_t seed;
    uint64_t first; /**< number of the first word */
    uint64_t *words;
    size_t count;
};

/** A word that is not what was written. */
struct np_pattern_error {
    size_t index; /**< in the part */
    uint64_t expected;
    uint64_t found;
};

/** Word `number` of a pattern. */
uint64_t np_pattern_word(enum np_pattern pattern, uint64_t seed, uint64_t number);

/** Write the pattern, around the caches where the CPU can do that. */
void np_pattern_fill(const struct np_pattern_part *part);

/** Read it back. Returns how many words are wrong, and keeps the first `size` of them. */
size_t np_pattern_check(const struct np_pattern_part *part, struct np_pattern_error *errors, size_t size);

/**
 * Read it back and write the complement over each word as it is read: a step of "moving inversions", upwards or
 * downwards. Returns as np_pattern_check.
 */
size_t np_pattern_invert(const struct np_pattern_part *part, bool is_downwards, struct np_pattern_error *errors,
                         size_t size);

/** Put a piece of memory out of all caches, so that what is read next comes from memory. */
void np_pattern_flush(const void *data, size_t bytes);

#endif

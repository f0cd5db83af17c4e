/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/pattern.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { LINE_WORDS = 8 };

static const char *const NAMES[NP_PATTERNS] = {
    [NP_PATTERN_RANDOM] = "random",
    [NP_PATTERN_RANDOM_INVERSE] = "random_inverse",
    [NP_PATTERN_ADDRESS] = "address",
    [NP_PATTERN_ADDRESS_INVERSE] = "address_inverse",
    [NP_PATTERN_CHECKERBOARD] = "checkerboard",
    [NP_PATTERN_CHECKERBOARD_INVERSE] = "checkerboard_inverse",
    [NP_PATTERN_WALKING_ONE] = "walking_one",
    [NP_PATTERN_WALKING_ZERO] = "walking_zero",
    [NP_PATTERN_ZEROS] = "zeros",
    [NP_PATTERN_ONES] = "ones",
};

const char *np_pattern_name(enum np_pattern pattern)
{
    return NAMES[pattern];
}

/* SplitMix64 without its state: Steele, Lea, Flood, 2014. */
static inline uint64_t random_word(uint64_t seed, uint64_t number)
{
    uint64_t z = seed + (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Odd patterns, but for ones, are the complements of the even ones before them. A checkerboard changes from word to
   word, and a walking bit has every place once in 64 words. */
__attribute__((always_inline)) static inline uint64_t word_of(enum np_pattern pattern, uint64_t seed, uint64_t number)
{
    const uint64_t flip = (unsigned int)pattern % 2 == 1 ? UINT64_MAX : 0;
    switch (pattern) {
    case NP_PATTERN_RANDOM:
    case NP_PATTERN_RANDOM_INVERSE:
        return random_word(seed, number) ^ flip;
    case NP_PATTERN_ADDRESS:
    case NP_PATTERN_ADDRESS_INVERSE:
        return number ^ flip;
    case NP_PATTERN_CHECKERBOARD:
    case NP_PATTERN_CHECKERBOARD_INVERSE:
        return (number % 2 == 0 ? UINT64_C(0x5555555555555555) : UINT64_C(0xaaaaaaaaaaaaaaaa)) ^ flip;
    case NP_PATTERN_WALKING_ONE:
    case NP_PATTERN_WALKING_ZERO:
        return UINT64_C(1) << number % 64 ^ flip;
    default:
        return flip;
    }
}

uint64_t np_pattern_word(enum np_pattern pattern, uint64_t seed, uint64_t number)
{
    return word_of(pattern, seed, number);
}

static inline void store(uint64_t *to, uint64_t word)
{
#if defined(__x86_64__)
    _mm_stream_si64((long long *)to, (long long)word);
#else
    *(volatile uint64_t *)to = word;
#endif
}

static void finish_stores(void)
{
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

/* A loop for each pattern: WORK(pattern) with a constant, so that the choice is made once. */
#define FOR_EACH_PATTERN(WORK)                                                                                         \
    WORK(NP_PATTERN_RANDOM)                                                                                            \
    WORK(NP_PATTERN_RANDOM_INVERSE)                                                                                    \
    WORK(NP_PATTERN_ADDRESS)                                                                                           \
    WORK(NP_PATTERN_ADDRESS_INVERSE)                                                                                   \
    WORK(NP_PATTERN_CHECKERBOARD)                                                                                      \
    WORK(NP_PATTERN_CHECKERBOARD_INVERSE)                                                                              \
    WORK(NP_PATTERN_WALKING_ONE)                                                                                       \
    WORK(NP_PATTERN_WALKING_ZERO)                                                                                      \
    WORK(NP_PATTERN_ZEROS)                                                                                             \
    WORK(NP_PATTERN_ONES)

__attribute__((always_inline)) static inline void fill(const struct np_pattern_part *part, enum np_pattern pattern)
{
    for (size_t i = 0; i < part->count; i++)
        store(part->words + i, word_of(pattern, part->seed, part->first + i));
}

void np_pattern_fill(const struct np_pattern_part *part)
{
    switch (part->pattern) {
#define FILL(PATTERN)                                                                                                  \
    case PATTERN:                                                                                                      \
        fill(part, PATTERN);                                                                                           \
        break;
        FOR_EACH_PATTERN(FILL)
    default:
        break;
    }
    finish_stores();
}

static size_t note(const struct np_pattern_part *part, size_t index, uint64_t found, size_t wrong,
                   struct np_pattern_error *errors, size_t size)
{
    const uint64_t expected = word_of(part->pattern, part->seed, part->first + index);
    if (found == expected)
        return wrong;
    if (wrong < size)
        errors[wrong] = (struct np_pattern_error){.index = index, .expected = expected, .found = found};
    return wrong + 1;
}

/* A line at a time without a branch for each word. */
__attribute__((always_inline)) static inline size_t check(const struct np_pattern_part *part, enum np_pattern pattern,
                                                          struct np_pattern_error *errors, size_t size)
{
    size_t wrong = 0;
    for (size_t i = 0; i < part->count; i += LINE_WORDS) {
        uint64_t line[LINE_WORDS], difference = 0;
        for (size_t k = 0; k < LINE_WORDS; k++) {
            line[k] = part->words[i + k];
            difference |= line[k] ^ word_of(pattern, part->seed, part->first + i + k);
        }
        for (size_t k = 0; difference != 0 && k < LINE_WORDS; k++)
            wrong = note(part, i + k, line[k], wrong, errors, size);
    }
    return wrong;
}

size_t np_pattern_check(const struct np_pattern_part *part, struct np_pattern_error *errors, size_t size)
{
    switch (part->pattern) {
#define CHECK(PATTERN)                                                                                                 \
    case PATTERN:                                                                                                      \
        return check(part, PATTERN, errors, size);
        FOR_EACH_PATTERN(CHECK)
    default:
        return 0;
    }
}

/* Whole lines, for each store around the cache throws out the line that it belongs to. */
__attribute__((always_inline)) static inline size_t invert(const struct np_pattern_part *part, enum np_pattern pattern,
                                                           bool is_downwards, struct np_pattern_error *errors,
                                                           size_t size)
{
    size_t wrong = 0;
    for (size_t i = 0; i < part->count; i += LINE_WORDS) {
        const size_t at = is_downwards ? part->count - LINE_WORDS - i : i;
        uint64_t line[LINE_WORDS], difference = 0;
        for (size_t k = 0; k < LINE_WORDS; k++)
            line[k] = part->words[at + k];
        for (size_t k = 0; k < LINE_WORDS; k++) {
            const uint64_t expected = word_of(pattern, part->seed, part->first + at + k);
            difference |= line[k] ^ expected;
            store(part->words + at + k, ~expected);
        }
        for (size_t k = 0; difference != 0 && k < LINE_WORDS; k++)
            wrong = note(part, at + k, line[k], wrong, errors, size);
    }
    return wrong;
}

size_t np_pattern_invert(const struct np_pattern_part *part, bool is_downwards, struct np_pattern_error *errors,
                         size_t size)
{
    size_t wrong = 0;
    switch (part->pattern) {
#define INVERT(PATTERN)                                                                                                \
    case PATTERN:                                                                                                      \
        wrong = invert(part, PATTERN, is_downwards, errors, size);                                                     \
        break;
        FOR_EACH_PATTERN(INVERT)
    default:
        break;
    }
    finish_stores();
    return wrong;
}

void np_pattern_flush(const void *data, size_t bytes)
{
    const char *line = data;
#if defined(__x86_64__)
    for (size_t i = 0; i < bytes; i += LINE_WORDS * sizeof(uint64_t))
        _mm_clflush(line + i);
    _mm_mfence();
#elif defined(__aarch64__)
    /* The kernel lets programs do this (SCTLR_EL1.UCI); lines are 64 bytes or more. */
    for (size_t i = 0; i < bytes; i += LINE_WORDS * sizeof(uint64_t))
        __asm__ volatile("dc civac, %0" : : "r"(line + i) : "memory");
    __asm__ volatile("dsb sy" : : : "memory");
#else
    (void)line, (void)bytes;
#endif
}

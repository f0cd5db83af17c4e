/* SPDX-License-Identifier: Apache-2.0 */
/* Words of memory that were not what had been written: which they are, and whether they stay wrong. */
#ifndef NODEPROOF_BENCH_MEMORY_WORDS_H
#define NODEPROOF_BENCH_MEMORY_WORDS_H

#include "bench.h"
#include "nodeproof/pattern.h"

enum { WORDS_FINDINGS_MOST = 64, WORDS_REPLAYS = 10 };

struct wrong_word {
    unsigned int cpu;
    enum np_pattern pattern;
    uint64_t offset; /**< in bytes, from the start of the memory that is tested */
    uint64_t expected, found;
    bool has_physical;
    uint64_t physical;
    bool is_overwritten;   /**< by its complement, as it was read: there is no second look */
    bool is_stored;        /**< a second look found the same: it was not lost on the way to the CPU */
    unsigned int replayed; /**< how often it was wrong again, of WORDS_REPLAYS times that it was written and read */
};

struct words {
    uint64_t seed;
    char *base;
    size_t bytes;
    int pagemap; /**< file, or negative */
    atomic_uint_fast64_t wrong;
    atomic_uint_fast64_t count; /**< of findings begun; those beyond the room were not kept */
    struct wrong_word findings[WORDS_FINDINGS_MOST];
    bool has_flip, is_flip_once; /**< a bit that the program for tests breaks */
    atomic_bool is_flip_over;
    uint64_t flip_offset, flip_bit;
};

/** Returns 0 or -errno; close it all the same. */
int words_open(struct words *words, const struct bench_request *request, void *base, size_t bytes,
               char why[BENCH_WHY_BYTES]);
void words_close(struct words *words);

/** Keep what was found wrong in a part, which may have been overwritten since. */
void words_note(struct words *words, unsigned int cpu, const struct np_pattern_part *part, bool is_overwritten,
                const struct np_pattern_error *errors, size_t wrong);

/** Flip the bit to be flipped if it is in this memory, which has just been written. */
void words_plant(struct words *words, void *data, size_t bytes);

uint64_t words_wrong(const struct words *words);

/** Write the points. */
void words_put(const struct words *words, struct np_json *out);

#endif

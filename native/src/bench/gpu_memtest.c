/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of a GPU's memory that do not keep what is written to them.
 *
 * Nearly all free memory is taken in pieces. A pass fills it with a pattern, reads it back while the complement is
 * written over it, and reads that back: "moving inversions". A word that holds its own address finds lines that are
 * mixed up. Error correction repairs single bits without a word: what is found here is beyond it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu.h"
#include "gpu_words.h"

enum { PIECES_MOST = 1024, POINTS_MOST = 64, REPLAYS = 4, REPLAY_WORDS = 512, LEAST_BYTES = 1 << 16 };

static const uint64_t PIECE_BYTES = UINT64_C(1) << 30;

static const double USUAL_SHARE = 0.98;

static const struct {
    const char *name;
    enum gpu_pattern pattern;
    uint64_t seed; /* of the random one, what --seed says */
} PASSES[] = {
    {"address", GPU_ADDRESS, 0},
    {"zeros", GPU_VALUE, 0},
    {"checkerboard", GPU_VALUE, UINT64_C(0xaaaaaaaaaaaaaaaa)},
    {"bytes", GPU_VALUE, UINT64_C(0x00ff00ff00ff00ff)},
    {"random", GPU_RANDOM, 1},
};

enum { PASS_COUNT = sizeof PASSES / sizeof *PASSES };

/** A word that was wrong, as it was for the first time. */
struct wrong_word {
    unsigned int pass;
    size_t piece;
    struct gpu_finding finding;
    uint64_t count;
};

struct memtest {
    const struct bench_request *request;
    struct np_json *out;
    struct gpu_words words;
    np_cu_deviceptr pieces[PIECES_MOST];
    uint64_t piece_words[PIECES_MOST];
    size_t count;
    struct wrong_word wrong_words[POINTS_MOST];
    size_t wrong_word_count;
    uint64_t bytes, bytes_tested, bytes_checked, checks, wrong, until;
    bool is_complete;
};

static bool is_over(const struct memtest *test)
{
    return (int64_t)(np_clock_now(&test->request->clock) - test->until) >= 0;
}

/* Take memory in pieces, smaller ones at the end, until the share is reached or no more is given. */
static int take_memory(struct memtest *test, char why[BENCH_WHY_BYTES])
{
    struct gpu *gpu = test->words.gpu;
    uint64_t free_bytes = 0, taken = 0;
    int rc = gpu_free_bytes(gpu, &free_bytes, why);
    if (rc != 0)
        return rc;
    const double share = test->request->share != 0 ? test->request->share : USUAL_SHARE;
    const uint64_t asked = test->request->bytes;
    const uint64_t wanted = asked != 0 ? asked : (uint64_t)(share * (double)free_bytes);
    uint64_t piece = PIECE_BYTES;
    while (piece >= LEAST_BYTES && test->count < PIECES_MOST) {
        rc = piece > wanted - taken ? -ENOMEM : gpu_alloc(gpu, piece, &test->pieces[test->count], why);
        if (rc == -ENOMEM) {
            piece /= 2;
            continue;
        }
        if (rc != 0)
            return rc;
        test->piece_words[test->count++] = piece / sizeof(uint64_t);
        taken += piece;
    }
    test->bytes += taken;
    return taken > 0 ? 0 : bench_why(why, -ENOTSUP, "GPU %d (%s): no free memory to test", gpu->index, gpu->address);
}

static void note_word(struct memtest *test, unsigned int pass, size_t piece, const struct gpu_finding *finding)
{
    for (size_t i = 0; i < test->wrong_word_count; i++) {
        struct wrong_word *known = &test->wrong_words[i];
        if (known->piece != piece || known->finding.index != finding->index)
            continue;
        known->count++;
        return;
    }
    if (test->wrong_word_count < POINTS_MOST)
        test->wrong_words[test->wrong_word_count++] = (struct wrong_word){pass, piece, *finding, 1};
}

static int check_piece(struct memtest *test, unsigned int pass, size_t piece, uint64_t seed, bool is_inverted,
                       char why[BENCH_WHY_BYTES])
{
    struct gpu_findings found;
    test->words.address = test->pieces[piece];
    test->words.count = test->piece_words[piece];
    const int rc = gpu_words_check(&test->words, PASSES[pass].pattern, seed, is_inverted ? ~UINT64_C(0) : 0,
                                   !is_inverted, &found, why);
    if (rc != 0)
        return rc;
    test->wrong += found.wrong;
    test->checks++;
    test->bytes_checked += test->piece_words[piece] * sizeof(uint64_t);
    for (uint64_t i = 0; i < found.wrong && i < GPU_FINDINGS_MOST; i++)
        note_word(test, pass, piece, &found.words[i]);
    return bench_is_cancelled(test->request) ? -ECANCELED : 0;
}

/* One pass over all pieces; of the first one at least one piece, however short the time. */
static int run_pass(struct memtest *test, unsigned int pass, char why[BENCH_WHY_BYTES])
{
    const bool is_random = PASSES[pass].pattern == GPU_RANDOM;
    const uint64_t seed = is_random && test->request->has_seed ? test->request->seed : PASSES[pass].seed;
    int rc = 0;
    for (size_t i = 0; i < test->count && rc == 0; i++) {
        test->words.address = test->pieces[i];
        test->words.count = test->piece_words[i];
        rc = gpu_words_fill(&test->words, PASSES[pass].pattern, seed, 0, why);
    }
    for (int step = 0; step < 2 && rc == 0; step++) {
        for (size_t i = 0; i < test->count && rc == 0; i++) {
            if (is_over(test) && (pass > 0 || step > 0 || i > 0))
                return (test->is_complete = false), 0;
            rc = check_piece(test, pass, i, seed, step == 1, why);
            test->bytes_tested += pass == 0 && step == 0 ? test->piece_words[i] * sizeof(uint64_t) : 0;
        }
    }
    return rc;
}

/* Write what was expected there again and again, to the word and its neighbours. Returns how often it was wrong. */
static int replay(const struct memtest *test, const struct wrong_word *word, uint64_t *wrong, char why[BENCH_WHY_BYTES])
{
    struct gpu_words words = test->words;
    const uint64_t first = word->finding.index / REPLAY_WORDS * REPLAY_WORDS;
    int rc = 0;
    words.address = test->pieces[word->piece] + first * sizeof(uint64_t);
    words.count = REPLAY_WORDS;
    for (int i = 0; i < REPLAYS && rc == 0; i++) {
        struct gpu_findings again = {0};
        rc = gpu_words_fill(&words, GPU_VALUE, word->finding.expected, 0, why);
        if (rc == 0)
            rc = gpu_words_check(&words, GPU_VALUE, word->finding.expected, 0, false, &again, why);
        for (uint64_t j = 0; j < again.wrong && j < GPU_FINDINGS_MOST; j++)
            *wrong += again.words[j].index == word->finding.index - first;
    }
    return rc;
}

static void put_hex(struct np_json *out, const char *key, uint64_t word)
{
    char text[24];
    snprintf(text, sizeof text, "0x%016llx", (unsigned long long)word);
    np_json_string(out, key, text);
}

static int put_point(const struct memtest *test, const struct wrong_word *word, char why[BENCH_WHY_BYTES])
{
    struct np_json *out = test->out;
    uint64_t offset = word->finding.index * sizeof(uint64_t), replays_wrong = 0;
    const int rc = replay(test, word, &replays_wrong, why);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < word->piece; i++)
        offset += test->piece_words[i] * sizeof(uint64_t);
    np_json_open_object(out, NULL);
    np_json_integer(out, "value", word->count);
    np_json_string(out, "gpu", test->words.gpu->address);
    np_json_integer(out, "index", (uint64_t)test->words.gpu->index);
    np_json_string(out, "pattern", PASSES[word->pass].name);
    np_json_integer(out, "offset", offset);
    put_hex(out, "address", test->pieces[word->piece] + word->finding.index * sizeof(uint64_t));
    put_hex(out, "expected", word->finding.expected);
    put_hex(out, "found", word->finding.found);
    np_json_bool(out, "is_reproduced", word->count > 1 || replays_wrong > 0);
    np_json_integer(out, "replays_wrong", replays_wrong);
    np_json_integer(out, "replays", REPLAYS);
    np_json_close_object(out);
    return 0;
}

static int test_gpu(struct memtest *test, struct gpu *gpu, double most_s, char why[BENCH_WHY_BYTES])
{
    const struct np_clock *clock = &test->request->clock;
    test->count = test->wrong_word_count = 0;
    test->until = np_clock_now(clock) + np_clock_ticks(clock, most_s);
    int rc = gpu_use(gpu, why);
    if (rc == 0)
        rc = gpu_words_open(&test->words, gpu, why);
    if (rc == 0)
        rc = take_memory(test, why);
    for (unsigned int pass = 0; pass < PASS_COUNT && rc == 0; pass++)
        rc = run_pass(test, pass, why);
    for (size_t i = 0; i < test->wrong_word_count && rc == 0; i++)
        rc = put_point(test, &test->wrong_words[i], why);
    return rc;
}

static void put(const struct memtest *test, double seconds)
{
    struct np_json *out = test->out;
    np_json_integer(out, "value", test->wrong);
    np_json_integer(out, "samples", test->checks);
    np_json_number(out, "seconds", seconds);
    np_json_integer(out, "bytes", test->bytes);
    np_json_integer(out, "bytes_tested", test->bytes_tested);
    np_json_integer(out, "bytes_checked", test->bytes_checked);
    np_json_integer(out, "patterns", PASS_COUNT);
    np_json_bool(out, "is_complete", test->is_complete);
    np_json_integer(out, "seed", test->request->has_seed ? test->request->seed : PASSES[PASS_COUNT - 1].seed);
}

int gpu_memtest(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct gpus gpus;
    struct memtest *test = calloc(1, sizeof *test);
    if (test == NULL)
        return bench_why(why, -ENOMEM, "%s", strerror(ENOMEM));
    *test = (struct memtest){.request = request, .out = out, .is_complete = true};
    int rc = gpus_open(&gpus, request, why);
    const uint64_t begin = np_clock_now(&request->clock);
    np_json_open_array(out, "points");
    for (size_t i = 0; i < gpus.count && rc == 0; i++)
        rc = test_gpu(test, &gpus.list[i], request->seconds / (double)gpus.count, why);
    np_json_close_array(out);
    if (rc == 0) {
        put(test, np_clock_seconds(&request->clock, begin, np_clock_now(&request->clock)));
        gpus_put(&gpus, out);
    }
    gpus_close(&gpus, rc);
    free(test);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "memory_words.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Documentation/admin-guide/mm/pagemap.rst: 64 bits for each page, zero frames for those who may not know. */
static const uint64_t PRESENT = UINT64_C(1) << 63, FRAME = (UINT64_C(1) << 55) - 1;

#ifdef NODEPROOF_HOOKS
static int read_flip(struct words *words, const char *hook, char why[BENCH_WHY_BYTES])
{
    int end = 0;
    if (hook == NULL)
        return 0;
    const bool is_flip =
        sscanf(hook, "flip:%" SCNu64 ":%" SCNu64 "%n", &words->flip_offset, &words->flip_bit, &end) == 2;
    words->is_flip_once = is_flip && strcmp(hook + end, ":once") == 0;
    words->has_flip = is_flip;
    if (!is_flip || (hook[end] != '\0' && !words->is_flip_once))
        return bench_why(why, -EINVAL, "--hook takes flip:OFFSET:BIT[:once], found \"%s\"", hook);
    words->flip_offset = words->flip_offset % words->bytes / 8 * 8;
    words->flip_bit %= 64;
    return 0;
}

void words_plant(struct words *words, void *data, size_t bytes)
{
    char *const at = words->base + words->flip_offset;
    if (!words->has_flip || at < (char *)data || at >= (char *)data + bytes || atomic_load(&words->is_flip_over))
        return;
    atomic_store(&words->is_flip_over, words->is_flip_once);
    *(uint64_t *)(void *)at ^= UINT64_C(1) << words->flip_bit;
}
#else
static int read_flip(struct words *words, const char *hook, char why[BENCH_WHY_BYTES])
{
    (void)words, (void)hook, (void)why;
    return 0;
}

void words_plant(struct words *words, void *data, size_t bytes)
{
    (void)words, (void)data, (void)bytes;
}
#endif

int words_open(struct words *words, const struct bench_request *request, void *base, size_t bytes,
               char why[BENCH_WHY_BYTES])
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t time_ns = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
    memset(words, 0, sizeof *words);
    words->seed = request->has_seed ? request->seed : np_pattern_word(NP_PATTERN_RANDOM, time_ns, 0);
    words->base = base;
    words->bytes = bytes;
    words->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    return read_flip(words, request->hook, why);
}

void words_close(struct words *words)
{
    if (words->base != NULL && words->pagemap >= 0)
        close(words->pagemap);
}

static bool find_physical(const struct words *words, const void *at, uint64_t *physical)
{
    const uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE), address = (uintptr_t)at;
    uint64_t entry = 0;
    if (words->pagemap < 0 ||
        pread(words->pagemap, &entry, sizeof entry, (off_t)(address / page_bytes * sizeof entry)) != sizeof entry)
        return false;
    *physical = (entry & FRAME) * page_bytes + address % page_bytes;
    return (entry & PRESENT) && (entry & FRAME) != 0;
}

/* Memory past the caches, not what a compiler remembers of it. */
static uint64_t read_word(const uint64_t *at)
{
    np_pattern_flush(at, sizeof *at);
    return *(const volatile uint64_t *)at;
}

static void look_again(struct words *words, uint64_t *at, struct wrong_word *finding)
{
    const uint64_t kept = read_word(at);
    finding->is_stored = kept == finding->found;
    for (int i = 0; i < WORDS_REPLAYS; i++) {
        *(volatile uint64_t *)at = finding->expected;
        words_plant(words, at, sizeof *at);
        finding->replayed += read_word(at) != finding->expected;
    }
    /* Right again, so that the next pass counts it only if it does not stay so. */
    *(volatile uint64_t *)at = finding->is_overwritten ? kept : finding->expected;
    if (!finding->is_overwritten)
        words_plant(words, at, sizeof *at);
}

void words_note(struct words *words, unsigned int cpu, const struct np_pattern_part *part, bool is_overwritten,
                const struct np_pattern_error *errors, size_t wrong)
{
    atomic_fetch_add(&words->wrong, wrong);
    for (size_t i = 0; i < wrong && i < WORDS_FINDINGS_MOST; i++) {
        uint64_t *const at = part->words + errors[i].index;
        const uint64_t place = atomic_fetch_add(&words->count, 1);
        if (place >= WORDS_FINDINGS_MOST)
            return;
        struct wrong_word *finding = &words->findings[place];
        *finding = (struct wrong_word){.cpu = cpu,
                                       .pattern = part->pattern,
                                       .offset = (uint64_t)((char *)at - words->base),
                                       .expected = errors[i].expected,
                                       .found = errors[i].found,
                                       .is_overwritten = is_overwritten};
        finding->has_physical = find_physical(words, at, &finding->physical);
        look_again(words, at, finding);
    }
}

uint64_t words_wrong(const struct words *words)
{
    return atomic_load(&words->wrong);
}

static void put_hex(struct np_json *out, const char *key, uint64_t word)
{
    char text[19];
    snprintf(text, sizeof text, "0x%016" PRIx64, word);
    np_json_string(out, key, text);
}

void words_put(const struct words *words, struct np_json *out)
{
    const uint64_t begun = atomic_load(&words->count);
    np_json_open_array(out, "points");
    for (size_t i = 0; i < begun && i < WORDS_FINDINGS_MOST; i++) {
        const struct wrong_word *finding = &words->findings[i];
        np_json_open_object(out, NULL);
        np_json_integer(out, "value", 1);
        np_json_integer(out, "cpu", finding->cpu);
        np_json_string(out, "pattern", np_pattern_name(finding->pattern));
        np_json_integer(out, "seed", words->seed);
        np_json_integer(out, "offset", finding->offset);
        put_hex(out, "expected", finding->expected);
        put_hex(out, "found", finding->found);
        if (finding->has_physical)
            put_hex(out, "physical_address", finding->physical);
        else
            np_json_null(out, "physical_address");
        if (finding->is_overwritten)
            np_json_null(out, "is_stored");
        else
            np_json_bool(out, "is_stored", finding->is_stored);
        np_json_bool(out, "is_reproduced", finding->replayed > 0);
        np_json_integer(out, "replays_wrong", finding->replayed);
        np_json_integer(out, "replays", WORDS_REPLAYS);
        np_json_close_object(out);
    }
    np_json_close_array(out);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_flips.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "nodeproof/verify.h"

#ifdef NODEPROOF_HOOKS
static bool read_one(const char *text, struct flip *flip, int *length)
{
    int end = 0;
    *flip = (struct flip){.when = FLIP_ALWAYS};
    if (sscanf(text, "flip:%u:%31[a-z0-9_]:%" SCNu64 "%n", &flip->cpu, flip->kernel, &flip->bit, &end) != 3)
        return false;
    if (strncmp(text + end, ":once", 5) == 0) {
        flip->when = FLIP_ONCE;
        end += 5;
    } else if (strncmp(text + end, ":unknown", 8) == 0) {
        flip->when = FLIP_UNKNOWN;
        end += 8;
    }
    *length = end;
    return text[end] == '\0' || text[end] == ',';
}

int flips_read(struct flips *flips, const char *hook, char why[BENCH_WHY_BYTES])
{
    flips->count = 0;
    for (int length; hook != NULL && *hook != '\0'; hook += length) {
        hook += *hook == ',';
        if (flips->count == FLIPS_MOST || !read_one(hook, &flips->flip[flips->count], &length))
            return bench_why(why, -EINVAL, "--hook takes flip:CPU:KERNEL:BIT[:once|:unknown], found \"%s\"", hook);
        flips->count++;
    }
    return 0;
}

void flips_apply(struct flips *flips, unsigned int cpu, const char *kernel, uint64_t seed, void *output, size_t bytes)
{
    for (size_t i = 0; i < flips->count; i++) {
        struct flip *flip = &flips->flip[i];
        const bool is_known = flip->when == FLIP_UNKNOWN && seed == NP_VERIFY_SEED;
        if (flip->cpu != cpu || flip->is_over || is_known || strcmp(flip->kernel, kernel) != 0)
            continue;
        flip->is_over = flip->when == FLIP_ONCE;
        const uint64_t bit = flip->bit % (8 * bytes);
        ((unsigned char *)output)[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
}
#else
int flips_read(struct flips *flips, const char *hook, char why[BENCH_WHY_BYTES])
{
    (void)hook, (void)why;
    flips->count = 0;
    return 0;
}

void flips_apply(struct flips *flips, unsigned int cpu, const char *kernel, uint64_t seed, void *output, size_t bytes)
{
    (void)flips, (void)cpu, (void)kernel, (void)seed, (void)output, (void)bytes;
}
#endif

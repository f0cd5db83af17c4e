/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "nodeproof/arena.h"
#include "nodeproof/triad.h"
#include "test.h"

enum { ELEMENTS = 64 * 1021 };

/* Runs from group 2 on, so that writing before or after what was asked for shows as well. */
static void computes(const struct np_triad_kernel *kernel, double *a, double *b, double *c)
{
    const size_t first = 2 * NP_TRIAD_GROUP;
    np_triad_fill(a, b, c, 0, ELEMENTS);
    kernel->run(a + first, b + first, c + first, 3, ELEMENTS - 2 * first);
    for (size_t i = 0; i < ELEMENTS; i++)
        CHECK(a[i] == (i >= first && i < ELEMENTS - first ? b[i] + 3 * c[i] : 0));

    kernel->run(a, b, c, 3, ELEMENTS);
    CHECK(np_triad_wrong(a, 3, ELEMENTS) == 0);
    a[ELEMENTS - 1] += 1;
    memset(&a[7], 0xff, 1);
    CHECK(np_triad_wrong(a, 3, ELEMENTS) == 2);
}

int main(void)
{
    struct np_arena arena;
    size_t count, tested = 0;
    const struct np_triad_kernel *kernels = np_triad_kernels(&count), *found = NULL;
    CHECK(np_arena_open(&arena, 3 * ELEMENTS * sizeof(double)) == 0);
    double *a = arena.base;
    for (size_t i = 0; i < count; i++) {
        if (!kernels[i].is_supported()) {
            printf("%s: not supported by this CPU\n", kernels[i].isa);
            CHECK(np_triad_find(kernels[i].isa, &found) == -ENOTSUP);
            continue;
        }
        computes(&kernels[i], a, a + ELEMENTS, a + 2 * ELEMENTS);
        CHECK(np_triad_find(kernels[i].isa, &found) == 0 && found == &kernels[i]);
        printf("%s: computes\n", kernels[i].isa);
        tested++;
    }
    CHECK(tested > 0);
    CHECK(np_triad_find(NULL, &found) == 0 && found->is_supported());
    CHECK(np_triad_find("mmx", &found) == -ENOENT);
    np_arena_close(&arena);
    return EXIT_SUCCESS;
}

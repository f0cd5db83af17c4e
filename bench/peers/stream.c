/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory bandwidth by the rules of STREAM (J. McCalpin): arrays of at least four last-level caches, ten passes of which
 * the first does not count, the best of the others, bytes counted without write-allocate, results verified.
 *
 * A peer to compare with, hence nothing of libnodeproof. Built with NONTEMPORAL (clang) the stores bypass the caches.
 */
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PASSES = 10, HUGE_PAGE_BYTES = 2 << 20 };

/* Whole cache lines: a compiler makes of them the widest stores that the target has. */
typedef double line __attribute__((vector_size(64)));
enum { LINE_DOUBLES = sizeof(line) / sizeof(double) };

#ifdef NONTEMPORAL
#define STORE(value, target) __builtin_nontemporal_store(value, target)
#else
#define STORE(value, target) (*(target) = (value))
#endif

static const double SCALAR = 3;

static void copy(line *restrict c, const line *restrict a, size_t lines)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < lines; i++)
        STORE(a[i], &c[i]);
}

static void scale(line *restrict b, const line *restrict c, size_t lines)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < lines; i++)
        STORE(SCALAR * c[i], &b[i]);
}

static void add(line *restrict c, const line *restrict a, const line *restrict b, size_t lines)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < lines; i++)
        STORE(a[i] + b[i], &c[i]);
}

static void triad(line *restrict a, const line *restrict b, const line *restrict c, size_t lines)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < lines; i++)
        STORE(b[i] + SCALAR * c[i], &a[i]);
}

/* Huge pages, as the others have them: 4 KiB pages cost up to a quarter. Touched first by the thread that uses them. */
static line *open_array(size_t lines, double value)
{
    line *array = aligned_alloc(HUGE_PAGE_BYTES, lines * sizeof *array);
    if (array == NULL)
        return NULL;
    madvise(array, lines * sizeof *array, MADV_HUGEPAGE);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < lines; i++)
        array[i] = (line){0} + value;
    return array;
}

static double run(int kernel, line *a, line *b, line *c, size_t lines)
{
    const double start_s = omp_get_wtime();
    switch (kernel) {
    case 0:
        copy(c, a, lines);
        break;
    case 1:
        scale(b, c, lines);
        break;
    case 2:
        add(c, a, b, lines);
        break;
    default:
        triad(a, b, c, lines);
    }
    return omp_get_wtime() - start_s;
}

static size_t count_wrong(const line *array, size_t lines, double expected)
{
    size_t wrong = 0;
#pragma omp parallel for schedule(static) reduction(+ : wrong)
    for (size_t i = 0; i < lines; i++)
        for (int j = 0; j < LINE_DOUBLES; j++)
            wrong += !(fabs(array[i][j] / expected - 1) < 1e-13);
    return wrong;
}

static int verify(const line *a, const line *b, const line *c, size_t lines)
{
    double x = 1, y = 2, z = 0;
    for (int pass = 0; pass < PASSES; pass++) {
        z = x;
        y = SCALAR * z;
        z = x + y;
        x = y + SCALAR * z;
    }
    return count_wrong(a, lines, x) + count_wrong(b, lines, y) + count_wrong(c, lines, z) == 0;
}

int main(int argc, char **argv)
{
    static const char *const NAMES[] = {"copy", "scale", "add", "triad"};
    static const int ARRAYS[] = {2, 2, 3, 3};
    const double mib = argc == 2 ? strtod(argv[1], NULL) : 0;
    if (!(mib >= 2)) {
        fputs("Usage: stream MIB_PER_ARRAY\n", stderr);
        return 2;
    }
    const size_t lines = (size_t)(mib / 2) * HUGE_PAGE_BYTES / sizeof(line);
    line *a = open_array(lines, 1), *b = open_array(lines, 2), *c = open_array(lines, 0);
    double best_s[4] = {INFINITY, INFINITY, INFINITY, INFINITY};
    if (a == NULL || b == NULL || c == NULL) {
        fputs("stream: too little memory\n", stderr);
        return 1;
    }
    for (int pass = 0; pass < PASSES; pass++)
        for (int kernel = 0; kernel < 4; kernel++) {
            const double seconds = run(kernel, a, b, c, lines);
            if (pass > 0 && seconds < best_s[kernel])
                best_s[kernel] = seconds;
        }
    if (!verify(a, b, c, lines)) {
        fputs("stream: wrong results\n", stderr);
        return 1;
    }
    for (int kernel = 0; kernel < 4; kernel++)
        printf("%s %.6e\n", NAMES[kernel], (double)(ARRAYS[kernel] * sizeof(line) * lines) / best_s[kernel]);
    return 0;
}

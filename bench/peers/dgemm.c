/* SPDX-License-Identifier: Apache-2.0 */
/* What OpenBLAS makes of this CPU: C = A * B in double precision, the best of five, and the kernels that it chose. */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Of cblas.h, which is not in the package with the library. */
enum { COLUMN_MAJOR = 102, NO_TRANSPOSE = 111 };
typedef void dgemm_fn(int, int, int, int, int, int, double, const double *, int, const double *, int, double, double *,
                      int);
typedef char *name_fn(void);

enum { PASSES = 5 };

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double *open_matrix(size_t elements)
{
    double *matrix = malloc(elements * sizeof *matrix);
    for (size_t i = 0; matrix != NULL && i < elements; i++)
        matrix[i] = (double)(i % 1024) / 1024;
    return matrix;
}

int main(int argc, char **argv)
{
    const int n = argc == 2 ? atoi(argv[1]) : 0;
    void *library = dlopen("libopenblas.so.0", RTLD_NOW);
    dgemm_fn *dgemm = library != NULL ? (dgemm_fn *)dlsym(library, "cblas_dgemm") : NULL;
    name_fn *kernels = library != NULL ? (name_fn *)dlsym(library, "openblas_get_corename") : NULL;
    double best_s = INFINITY;
    if (n <= 0) {
        fputs("Usage: dgemm N\n", stderr);
        return 2;
    }
    if (dgemm == NULL || kernels == NULL) {
        fprintf(stderr, "dgemm: %s\n", dlerror());
        return 1;
    }
    const size_t elements = (size_t)n * (size_t)n;
    double *a = open_matrix(elements), *b = open_matrix(elements), *c = open_matrix(elements);
    if (a == NULL || b == NULL || c == NULL)
        return 1;
    for (int pass = 0; pass <= PASSES; pass++) {
        const double start_s = now_s();
        dgemm(COLUMN_MAJOR, NO_TRANSPOSE, NO_TRANSPOSE, n, n, n, 1, a, n, b, n, 0, c, n);
        const double seconds = now_s() - start_s;
        if (pass > 0 && seconds < best_s)
            best_s = seconds;
    }
    printf("%s %.6e\n", kernels(), 2.0 * n * n * n / best_s);
    return 0;
}
